#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes corpus/confinement.tar: descriptions of sandboxes with records of each kind, reports, and
some that are wrong in one way each.

Run it when the format changes. What it knows of that it has from the comments in
afork/wire/afork-confinement.h, not from the code that they describe.
"""

import struct

import corpora

LIMIT, NICE, IDLE, OOM_SCORE, FILTER, PATHS, NAMESPACES, MISSING = range(1, 9)
N_LAYERS = 7


def u32(*values):
    return b"".join(struct.pack("<I", value) for value in values)


def record(kind, content=b"", size=None):
    return u32(kind, len(content) if size is None else size) + content


def description(*records, version=1, flags=0, wanted=0):
    return u32(version, flags, wanted) + b"".join(records)


def limit(number, soft, hard):
    return record(LIMIT, u32(number) + struct.pack("<QQ", soft, hard))


def instructions(count):
    return struct.pack("<HBBI", 6, 0, 0, 0x7fff0000) * count


def filter_of(stage, content, gives=0):
    return record(FILTER, u32(stage, gives, 0xc000003e) + content)


def paths(access, *texts):
    return record(PATHS, u32(access)
                  + b"".join(u32(len(text)) + text + b"\0" for text in texts))


def report(*layers, wanted=0x1fff, count=N_LAYERS):
    layers += ((0, 0, 0),) * (N_LAYERS - len(layers))
    return u32(wanted, count) + b"".join(u32(*layer) for layer in layers)


valid = {
    "empty": description(),
    "limits": description(limit(0, 1 << 28, 1 << 28), limit(2, 20, 40), wanted=3),
    "limit-largest": description(limit(6, 0, 2**64 - 1)),
    "priority": description(record(NICE, u32(19)), record(IDLE), record(OOM_SCORE, u32(1000))),
    "filters": description(filter_of(0, instructions(3)), filter_of(1, instructions(200), 0x1f80)),
    "paths": description(paths(0, b"/usr", b"/etc/fonts"), paths(1), flags=1),
    "namespaces": description(record(NAMESPACES, u32(63))),
    "missing": description(record(MISSING, u32(3, 3)), flags=3),
    "report": report((1, 0, 1), (2, 13, 0), (1, 0, 0), (3, 0, 0), (5, 0, 0x100)),
}

invalid = {
    "nothing": b"",
    "version": description(version=2),
    "flags": description(flags=8),
    "effects": description(wanted=1 << 13),
    "kind": description(record(99)),
    "size": description(record(IDLE, size=4)),
    "size-wraps": description(record(IDLE, size=2**32 - 1)),
    "left-over": description(record(NICE, u32(1, 2))),
    "limit-number": description(limit(7, 0, 0)),
    "limit-order": description(limit(0, 2, 1)),
    "nice": description(record(NICE, u32(20))),
    "filter-empty": description(filter_of(0, b"")),
    "filter-odd": description(filter_of(0, instructions(1) + b"x")),
    "filter-long": description(filter_of(0, instructions(4097))),
    "filters-many": description(*[filter_of(0, instructions(1))] * 5),
    "filter-stage": description(filter_of(2, instructions(1))),
    "paths-relative": description(paths(0, b"usr")),
    "paths-empty": description(paths(0, b"")),
    "paths-nul": description(paths(0, b"/u\0sr")),
    "paths-many": description(paths(0, *[b"/x"] * 257)),
    "paths-twice": description(paths(0), paths(0)),
    "paths-access": description(paths(2)),
    "missing-layer": description(record(MISSING, u32(7, 1))),
    "report-short": report()[:-1],
    "report-count": report(count=8),
    "report-state": report((7, 0, 0)),
    "report-gives": report((2, 1, 1)),
}

corpora.pack("confinement", {
    **valid,
    **{"invalid-" + name: content for name, content in invalid.items()},
})
