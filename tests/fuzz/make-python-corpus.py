#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes corpus/python.tar: GVariants of all types, right and wrong, and values of Python.

It takes the GVariants from corpus/values.tar. The values are what python-values.py makes of bytes:
the number of a maker, and what that takes.
"""

import corpora

# The makers, by their numbers. 0 is a container that was made before, and if there is none, None.
AGAIN, NUMBER, STR, BYTES, LIST, DICT, TUPLE, DEEP, VARIANT, SUBCLASS, BUFFER, BOOL, FLOAT, NONE = \
    range(14)


def value(*content, exact=True, hook=False):
    return b"v" + bytes([0 if exact else 1, 0 if hook else 1, *content])


values = {
    "none": value(NONE),
    "true": value(BOOL, 0),
    "int": value(NUMBER, 2, 1, 2, 0),
    "int-large": value(NUMBER, 0, 1, 64),
    "int-too-large": value(NUMBER, 0, 1, 65),
    "float": value(FLOAT, 8, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f),
    "str": value(STR, 2, 65, 0, 66, 0),
    "str-surrogate": value(STR, 1, 65, 7),
    "bytes": value(BYTES, 3, 0, 1, 2),
    "list": value(LIST, 1, 3, BOOL, 0, NONE, STR, 0),
    "list-of-ints": value(LIST, 0, NUMBER, 0, 0, 200, 0),
    "list-of-itself": value(LIST, 1, 1, AGAIN, 0),
    "tuple": value(TUPLE, 1, 2, BOOL, 0, BOOL, 1),
    "dict": value(DICT, 1, 0, 1, 65, 0, BOOL, 0),
    "dict-key": value(DICT, 1, 7, 0, BOOL, 0),
    "dict-of-itself": value(DICT, 1, 0, 1, 65, 0, AGAIN, 0),
    "deep": value(DEEP, BOOL, 0, 100, *[1] * 100),
    "too-deep": value(DEEP, BOOL, 0, 200, *[0] * 200),
    "buffers": value(LIST, 1, 2, BUFFER, 2, 1, 2, 0, 0, BUFFER, 2, 1, 2, 1, 0, exact=False),
    "buffer-exact": value(BUFFER, 2, 1, 2, 0, 0),
    "buffer-released": value(BUFFER, 2, 1, 2, 1, 7, exact=False),
    "variant": value(VARIANT, 1, 5, 0, 1, 2, 3, 4),
    "variant-changes-list": value(LIST, 1, 3, VARIANT, 0, 2, 1, 65, BOOL, 0, BOOL, 0, 0, 0),
    "variant-changes-dict": value(DICT, 2, 0, 1, 65, 0, VARIANT, 0, 2, 1, 65, 0, 1, 66, 0, BOOL, 0,
                                  0, 0),
    **{f"subclass-{i}": value(LIST, 1, 1, SUBCLASS, i, 0, 0, hook=True) for i in range(10)},
}

corpora.pack("python", {
    **values,
    **{f"variant-of-{name}": b"g" + content
       for name, content in corpora.read(corpora.archive_of("values")).items()},
})
