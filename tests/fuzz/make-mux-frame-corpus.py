#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes the examples that fuzz-mux-frame starts from, into corpus/mux-frame.tar: what
afork-mux-frame.h says, put into bytes once more and independently of the code."""

import struct

import corpora

HELLO, START, PING, OPEN, DATA, END, CREDIT, STOP = range(1, 9)


def frame(kind, payload=b"", channel=0, flags=0, size=None):
    return struct.pack("<IHBB", channel, len(payload) if size is None else size, kind,
                       flags) + payload


def string(text):
    return struct.pack("<I", len(text)) + text + b"\0"


hello = frame(HELLO, struct.pack("<IIII", 2, 6, 8, 1) + string(b"x86_64") + string(b"node7"))
start = frame(START, struct.pack("<II", 2, 15000) + string(b"python")
              + string(b"/opt/venv/bin/python"))
opened = frame(OPEN, struct.pack("<II", 0, 1), 1)
data = frame(DATA, b"bytes of a channel", 1)

examples = {
    "hello": hello,
    "session": hello + start + opened + data + frame(CREDIT, struct.pack("<I", 18), 1)
    + frame(PING) + frame(END, b"", 1) + frame(STOP, b"", 1),
    "largest": frame(DATA, b"x" * 16384, 0x80000001),
    "too-large": frame(DATA, b"", 1, size=16385),
    "empty-data": frame(DATA, b"", 1),
    "unknown": frame(9),
    "flags": frame(PING, flags=1),
    "channel-of-ping": frame(PING, b"", 1),
    "cut": hello[:-3],
    "string-with-nul": frame(HELLO, struct.pack("<IIII", 2, 6, 8, 1) + string(b"a\0b")
                             + string(b"")),
    "long-string": frame(HELLO, struct.pack("<IIII", 2, 6, 8, 1) + string(b"a" * 4096)
                         + string(b"")),
    "rest": frame(END, b"x", 1),
}

corpora.add("mux-frame", examples)
