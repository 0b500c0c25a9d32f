# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""make-pictures.py FOLDER: makes a folder with pictures that take long to read."""

import pathlib
import shutil
import struct
import sys
import zlib

N_PICTURES = 4
WIDTH = 4000
HEIGHT = 3000


def make_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_picture(i):
    """Stripes of colours, as a PNG file."""
    row = bytes((x * (i + 1) // 8 + c * 80) % 256 for x in range(WIDTH) for c in range(3))
    rows = b"".join(b"\0" + row[3 * y:] + row[:3 * y] for y in range(HEIGHT))
    return (b"\x89PNG\r\n\x1a\n"
            + make_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
            + make_chunk(b"IDAT", zlib.compress(rows, 1))
            + make_chunk(b"IEND", b""))


folder = pathlib.Path(sys.argv[1])
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
for i in range(N_PICTURES):
    (folder / f"{i}.png").write_bytes(make_picture(i))
