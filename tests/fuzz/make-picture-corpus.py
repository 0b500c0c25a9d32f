#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes corpus/picture-end.tar and corpus/png-text.tar: small pictures, whole, cut short, and
wrong in one way each.
"""

import pathlib
import struct
import sys

tests = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(tests / "thumbnailer"))
sys.dont_write_bytecode = True

import corpora
from pictures import (PNG_SIGNATURE, gif_of_two_frames, jpeg, jpeg_segment, png, png_chunk,
                      png_header)

KEYS = (png_chunk(b"tEXt", b"Thumb::URI\0file:///home/me/a.png")
        + png_chunk(b"tEXt", b"Thumb::MTime\x001700000000"))
PICTURE = png(2, 1)[len(png_header(2, 1)):]
END = png_chunk(b"IEND", b"")

JPEG = jpeg([[0, 255]])
JPEG_START = b"\xff\xd8"
JPEG_END = b"\xff\xd9"


def chunk_that_says(size, kind, data=b""):
    return struct.pack(">I", size) + kind + data + b"crc!"


picture_end = {
    "png": png(2, 1),
    "png-and-more": png(2, 1) + b"and more",
    "png-texts": png_header(2, 1) + KEYS + PICTURE,
    "png-end-within": png_header(2, 1) + png_chunk(b"tEXt", b"a\0" + END) + PICTURE,
    "png-cut": png(2, 1)[:-12],
    "png-cut-in-end": png(2, 1)[:-5],
    "png-cut-in-signature": PNG_SIGNATURE[:5],
    "png-size-wraps": PNG_SIGNATURE + chunk_that_says(0xffffffff, b"IHDR") + END,
    "jpeg": JPEG,
    "jpeg-and-more": JPEG + b"and more",
    "jpeg-exif": jpeg([[0, 255]], 6),
    "jpeg-end-within": JPEG_START + jpeg_segment(0xe1, b"Exif" + JPEG_END) + JPEG[2:],
    "jpeg-restarts": JPEG[:-2] + b"\xff\xd0\xff\0\xff\xff\xd1" + JPEG_END,
    "jpeg-length-0": JPEG_START + b"\xff\xe1\0\0" + JPEG_END,
    "jpeg-length-long": JPEG_START + b"\xff\xe1\xff\xff" + JPEG_END,
    "jpeg-cut": JPEG[:-2],
    "jpeg-cut-in-end": JPEG[:-1],
    "jpeg-cut-in-length": JPEG_START + b"\xff\xe1\0",
    "gif": gif_of_two_frames(),
    "empty": b"",
    "one-byte": b"\x89",
}

png_text = {
    "texts": png_header(2, 1) + KEYS + PICTURE,
    "texts-none": png(2, 1),
    "text-empty": png_header(2, 1) + png_chunk(b"tEXt", b"key\0") + PICTURE,
    "text-twice": png_header(2, 1) + KEYS + KEYS + PICTURE,
    "text-behind": png_header(2, 1) + PICTURE[:-len(END)] + KEYS + END,
    "key-empty": png_header(2, 1) + png_chunk(b"tEXt", b"\0text") + PICTURE,
    "nuls": png_header(2, 1) + png_chunk(b"tEXt", b"a\0b\0c\0") + PICTURE,
    "longest": png_header(2, 1) + png_chunk(b"tEXt", b"a\0" + b"b" * 8190) + PICTURE,
    "invalid-too-long": png_header(2, 1) + png_chunk(b"tEXt", b"a\0" + b"b" * 8191) + PICTURE,
    "invalid-no-nul": png_header(2, 1) + png_chunk(b"tEXt", b"key") + PICTURE,
    "invalid-no-text": png_header(2, 1) + png_chunk(b"tEXt", b"") + PICTURE,
    "invalid-no-picture": png_header(2, 1) + KEYS + END,
    "invalid-cut": (png_header(2, 1) + KEYS)[:-9],
    "invalid-cut-in-header": png_header(2, 1)[:11],
    "invalid-size-wraps": PNG_SIGNATURE + chunk_that_says(0xffffffff, b"tEXt", b"a\0b") + PICTURE,
    "invalid-skip-wraps": PNG_SIGNATURE + chunk_that_says(0xffffffff, b"IHDR") + PICTURE,
    "invalid-many-chunks": png_header(2, 1) + png_chunk(b"abCd", b"") * 64 + PICTURE,
    "invalid-gif": gif_of_two_frames(),
    "invalid-empty": b"",
}

corpora.pack("picture-end", picture_end)
corpora.pack("png-text", png_text)
