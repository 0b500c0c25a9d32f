#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes to corpus/call-stream.tar what a worker may send to its caller, and some of what it may
not.

Run it when a frame changes. What it knows of the format it has from the comments in
afork/wire/afork-call-frame.h, not from the code that they describe: frames are in the scripts as
bytes. What libFuzzer has found beside, which goes by the names that it gave it, stays.
"""

import struct

import corpora

CALL, FDS, BLOB = 2, 128, 129
STARTED, BEGUN, PROGRESS, EVENT, RESULT, FAILED = range(64, 70)
MORE = 8

# Of a script: a step is an operation, the number of its arguments, and these, a byte each.
OP_SEND, OP_READ, OP_RAW, OP_STRAY = 1, 2, 3, 6
MAX_ARGS = 63


def step(operation, arguments=b""):
    return bytes((operation, len(arguments))) + arguments


def script(data):
    pieces = [data[i:i + MAX_ARGS] for i in range(0, len(data), MAX_ARGS)]
    stray = [step(OP_STRAY, bytes((which,))) for which in (6, 7, 6, 7)]
    steps = stray + [step(OP_RAW, piece) for piece in pieces] + [step(OP_SEND), step(OP_READ)]
    return b"".join(steps)


def pad(data):
    return data + b"\0" * (-len(data) % 8)


def frame(kind, payload=b"", number=0, flags=0, n_fds=0, type_size=0, n_blobs=0):
    header = struct.pack("<IBBHIHH", len(payload), kind, flags, n_fds, number, type_size, n_blobs)
    return pad(header + payload)


def value(kind, type_string, data, number=0, n_fds=0, blobs=()):
    type_bytes = type_string.encode() + b"\0"
    table = b"".join(struct.pack("<IIQ", 0, 0, size) for size in blobs)
    payload = table + pad(type_bytes) + data
    return frame(kind, payload, number, 0, n_fds, len(type_bytes), len(blobs))


def string(text):
    return struct.pack("<I", len(text)) + text + b"\0"


def failed(number, code, domain, text):
    return frame(FAILED, struct.pack("<i", code) + string(domain) + string(text), number)


files = {
    "session": frame(STARTED) + frame(BEGUN, number=1) + value(PROGRESS, "u", b"\1\0\0\0", 1)
    + value(EVENT, "s", b"event\0") + value(RESULT, "(us)", b"\1\0\0\0text\0", 1),
    "failed": failed(1, 7, b"g-io-error-quark", b"no"),
    "refused": failed(0, 5, b"afork-error-quark", b"there is no function"),
    "fds": value(RESULT, "(h)", b"\0\0\0\0", 1, n_fds=1),
    "fds-before": frame(FDS, n_fds=3) + value(RESULT, "(h)", b"\0\0\0\0", 1, n_fds=1),
    "fds-missing": value(RESULT, "(h)", b"\0\0\0\0", 1, n_fds=5),
    "blobs": frame(BLOB, b"one") + frame(BLOB, b"t", flags=MORE) + frame(BLOB, b"wo")
    + value(RESULT, "()", b"\0", 1, blobs=(3, 3)),
    "blob-size": frame(BLOB, b"one") + value(RESULT, "()", b"\0", 1, blobs=(4,)),
    "strings": value(RESULT, "as", b"a\0bc\0\2\5", 1),
    "dictionary": value(RESULT, "a{sv}", b"key\0\0\0\0\0\1\0\0\0\0u\4\x0f", 1),
    "variants": value(EVENT, "v", b"\1\0y" + b"\0v" * 100),
    "maybe": value(EVENT, "mmb", b"\1\0"),
    "not-normal": value(RESULT, "b", b"\7", 1),
    "type": value(RESULT, "(((", b"", 1),
    "callers": value(CALL, "u", b"\1\0\0\0", 1),
    "large": struct.pack("<IBBHIHH", 1 << 20, RESULT, 0, 0, 1, 2, 0) + b"u\0",
    "cut": value(RESULT, "u", b"\1\0\0\0", 1)[:-5],
}

corpora.add("call-stream", {name: script(content) for name, content in files.items()})
