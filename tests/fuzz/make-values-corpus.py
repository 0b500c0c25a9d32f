#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes the examples that fuzz-values starts from, into corpus/values.tar: values of all kinds as
the GVariant specification says, put into bytes independently of the code."""

import struct

import corpora


def example(kind, data):
    return kind.encode() + b"\0" + data


def padded(data, alignment=8):
    return data + bytes(-len(data) % alignment)


def string(text):
    return text.encode() + b"\0"


def variant(kind, data):
    return data + b"\0" + kind.encode()


def array(*items, alignment=8):
    """An array of elements of no fixed size, and of at most 255 bytes."""
    data, ends = b"", b""
    for item in items:
        data = padded(data, alignment) + item
        ends += bytes([len(data)])
    return data + ends


def entry(key, value):
    data = padded(string(key)) + value
    return data + bytes([len(key) + 1])


number = struct.pack("=q", -7)
strings = array(string("a"), string("bcd"), alignment=1)
mixed = array(variant("x", number), variant("s", string("text")), variant("b", b"\1"))
entries = array(entry("k", variant("x", number)), entry("key", variant("av", mixed)))

examples = {
    "nothing": example("()", b"\0"),
    "empty-tuple": example("m()", b"\0"),
    "no-maybe": example("mv", b""),
    "maybe": example("mmv", variant("s", string("a")) + b"\0\0"),
    "booleans": example("ab", b"\0\1\1"),
    "wrong-boolean": example("b", b"\2"),
    "numbers": example("ax", number * 3),
    "double": example("d", struct.pack("=d", 1.5)),
    "small-numbers": example("(ynqiuh)", b"\1\0" + struct.pack("=hH2xiIi", -1, 2, -3, 4, 5)),
    "string": example("s", string("äöü")),
    "path": example("o", string("/a/b")),
    "signature": example("g", string("a{sv}(ii)")),
    "bytes": example("ay", b"abc\0"),
    "strings": example("as", strings),
    "mixed": example("av", mixed),
    "late-mixed": example("av", array(variant("x", number), variant("x", number),
                                      variant("d", number))),
    "late-strings": example("av", array(variant("s", string("a")), variant("s", string("bc")),
                                        variant("as", strings))),
    "dictionary": example("a{sv}", entries),
    "numbered": example("a{yy}", b"\1\2\3\4"),
    "tuple": example("(sxs)", padded(string("a")) + number + string("b") + b"\2"),
    "tuples": example("(s(y(sx))as)", padded(string("a")) + b"\1" + bytes(7)
                      + padded(string("b")) + number + b"\2" + strings + bytes([33, 2])),
    "fixed-tuples": example("a(yx)", (b"\1" + bytes(7) + number) * 2),
    "variant": example("v", variant("v", variant("(sv)", array(string("a"))))),
    "inner-variant": example("(bv)", b"\1" + bytes(7) + variant("x", number)),
    "variants": example("av", array(variant("v", variant("x", number)), variant("mv", b""))),
    "long": example("as", b"".join(string("x" * 9) for _ in range(30))
                    + b"".join(struct.pack("=H", 10 * n + 10) for n in range(30))),
    "long-offsets": example("as", string("abc") + b"\4\0"),
    "deep": example("v", b"".join([b"\1"] + [b"\0v"] * 60 + [b"\0y"])),
    "deep-tuples": example("(" * 100 + "y" + ")" * 100, b"\1"),
    "deepest": example("(" + "a" * 127 + "y)", b""),
    "found-padding-beyond": example("aaav", bytes([0, 1, 0xb7]) + b"i\0\0\1"),
    "backwards": example("as", string("a") + string("b") + b"\4\2"),
}

corpora.pack("values", examples)
