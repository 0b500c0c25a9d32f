#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes the examples that fuzz-outbox starts from, into corpus/outbox.tar: what
afork-call-frame.h and afork-call-outbox.h say, put into bytes once more and independently of the
code."""

import struct

import corpora

STARTED, BEGUN, PROGRESS, EVENT, RESULT, FAILED = range(64, 70)
FDS, BLOB, SEGMENT, SEGMENT_END, RELEASE = range(128, 133)


def padded(data):
    return data + bytes(-len(data) % 8)


def frame(kind, payload=b"", number=0, type_size=0, n_blobs=0, n_fds=0):
    header = struct.pack("<IBBHIHH", len(payload), kind, 0, n_fds, number, type_size, n_blobs)
    return header + padded(payload)


def value(kind, number, type_string, data, blobs=b"", n_blobs=0, n_fds=0):
    type_bytes = type_string + b"\0"
    return frame(kind, blobs + padded(type_bytes) + data, number, len(type_bytes), n_blobs, n_fds)


def string(text):
    return struct.pack("<I", len(text)) + text + b"\0"


def header(base, size, begun=1, in_use=1):
    return struct.pack("=QIII44x", base, size, begun, in_use)


def left(sent, base, data, size=None, **more):
    size = len(data) if size is None else size
    return struct.pack("<H", len(sent)) + sent + header(base, size, **more) + data


started = frame(STARTED)
result = value(RESULT, 1, b"u", struct.pack("<I", 7))
event = value(EVENT, 0, b"s", b"text\0")
failed = frame(FAILED, struct.pack("<i", 3) + string(b"afork-error-quark") + string(b"no"), 2)
blob = frame(BLOB, b"bytes of a blob")
with_blob = value(RESULT, 1, b"()", b"\0", struct.pack("<IIQ", 0, 0, 15), 1)

examples = {
    "nothing": left(started, 16, b""),
    "result": left(started, 16, result),
    "sent": left(started + result, 0, started + result + event),
    "half": left(started + result[:10], 16, result + event),
    "many": left(started, 16, (event + result + failed) * 40),
    "blob": left(started, 16, blob + with_blob),
    "blob-missing": left(started, 16, with_blob),
    "cut": left(started, 16, result, len(result) - 8),
    "gap": left(started, 24, result),
    "far-gap": left(started, 2**64 - 8, result),
    "too-much": left(started, 16, result, 2**32 - 8),
    "odd": left(started, 16, result, 20),
    "zeros": left(started, 16, b"", 32768),
    "unused": left(started, 16, result, in_use=0),
    "fds": left(started, 16, value(RESULT, 1, b"()", b"\0", n_fds=1)),
    "segment": left(started, 16, frame(SEGMENT, struct.pack("<Q", 4096), 1, n_fds=1)),
    "release": left(started, 16, frame(RELEASE, number=5)),
    "type": left(started, 16, value(RESULT, 1, b"(u", b"1234")),
}

corpora.pack("outbox", examples)
