# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Pictures for tests, good and bad, made from nothing; and a reader of PNG files."""

import struct
import zlib

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


# PNG

def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width, height):
    return PNG_SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(width, height, color=(200, 80, 40)):
    """A picture of one color."""
    row = b"\0" + bytes(color) * width
    return (png_header(width, height)
            + png_chunk(b"IDAT", zlib.compress(row * height, 1))
            + png_chunk(b"IEND", b""))


def png_with_profile(width, height, profile):
    whole = png(width, height)
    chunk = png_chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))
    return whole[:33] + chunk + whole[33:]


def swapping_profile():
    """A color profile in which red and blue have the place of each other: those of sRGB, by D50."""
    def fixed(*numbers):
        return struct.pack(">%di" % len(numbers), *(round(n * 65536) for n in numbers))

    xyz = {b"rXYZ": (0.1431, 0.0606, 0.7141), b"gXYZ": (0.3851, 0.7169, 0.0971),
           b"bXYZ": (0.4360, 0.2225, 0.0139), b"wtpt": (0.9642, 1.0, 0.8249)}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = {key: b"XYZ \0\0\0\0" + fixed(*value) for key, value in xyz.items()}
    tags.update({key: curve for key in (b"rTRC", b"gTRC", b"bTRC")})
    tags[b"desc"] = tags[b"cprt"] = b"text\0\0\0\0test\0\0\0\0"
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for key, body in tags.items():
        table += key + struct.pack(">II", start + len(data), len(body))
        data += body
    header = (struct.pack(">I4sI4s4s4s", start + len(data), b"\0\0\0\0", 0x02400000, b"mntr",
                          b"RGB ", b"XYZ ")
              + bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def png_of_absurd_size():
    """It says that it is 100,000 pixels wide and high, and has few of them."""
    return (png_header(100_000, 100_000)
            + png_chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
            + png_chunk(b"IEND", b""))


class Png:
    """What a PNG file has: width, height, texts and rows of pixels."""

    def __init__(self, data):
        assert data.startswith(PNG_SIGNATURE), data[:20]
        self.texts = {}
        compressed = b""
        position = len(PNG_SIGNATURE)
        kind = None
        while kind != b"IEND":
            size, kind = struct.unpack_from(">I4s", data, position)
            body = data[position + 8:position + 8 + size]
            assert zlib.crc32(kind + body) == struct.unpack_from(">I", data, position + 8 + size)[0]
            if kind == b"IHDR":
                self.width, self.height, depth, color_type = struct.unpack_from(">IIBB", body)
                assert depth == 8 and color_type in (2, 6)
                self.channels = 3 if color_type == 2 else 4
            elif kind == b"tEXt":
                key, text = body.decode("latin-1").split("\0", 1)
                self.texts[key] = text
            elif kind == b"IDAT":
                compressed += body
            position += 12 + size
        self.rows = self._unfilter(zlib.decompress(compressed))

    def _unfilter(self, data):
        n = self.channels
        stride = self.width * n
        rows = []
        above = bytes(stride)
        for start in range(0, len(data), stride + 1):
            kind = data[start]
            row = bytearray(data[start + 1:start + 1 + stride])
            for i in range(stride):
                left = row[i - n] if i >= n else 0
                corner = above[i - n] if i >= n else 0
                row[i] = row[i] + self._predict(kind, left, above[i], corner) & 255
            rows.append(row)
            above = row
        return rows

    @staticmethod
    def _predict(kind, left, above, corner):
        if kind < 4:
            return (0, left, above, (left + above) // 2)[kind]
        guess = left + above - corner
        return min((left, above, corner), key=lambda value: abs(guess - value))

    def pixel(self, x, y):
        return tuple(self.rows[y][x * self.channels:x * self.channels + 3])


# JPEG

def jpeg_segment(marker, data):
    return struct.pack(">BBH", 0xff, marker, len(data) + 2) + data


def jpeg_exif(orientation):
    """An Exif block with one entry."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    return jpeg_segment(0xe1, b"Exif\0\0" + tiff)


def jpeg_scan(grays):
    """A block each, all of one gray: a code of four bits for the size of the difference to the
    block before, the difference, and one bit for the end of the block."""
    bits = ""
    before = 0
    for gray in grays:
        difference = gray - 128 - before
        before = gray - 128
        size = abs(difference).bit_length()
        bits += f"{size:04b}"
        if size > 0:
            bits += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
        bits += "0"
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return data.replace(b"\xff", b"\xff\0")


def jpeg(blocks, orientation=None):
    """@blocks are rows of grays, and each becomes eight pixels wide and high."""
    height, width = 8 * len(blocks), 8 * len(blocks[0])
    return (b"\xff\xd8"
            + (jpeg_exif(orientation) if orientation else b"")
            + jpeg_segment(0xdb, b"\0" + b"\x08" * 64)
            + jpeg_segment(0xc0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
            + jpeg_segment(0xc4, b"\0" + bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12)))
            + jpeg_segment(0xc4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
            + jpeg_segment(0xda, b"\1\1\0\0\x3f\0")
            + jpeg_scan([gray for row in blocks for gray in row])
            + b"\xff\xd9")


# GIF

def gif_of_two_frames():
    """The first is black, the second white; four pixels each."""
    palette = b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 2, 0)
    black, white = b"\2\2\x84\x51\0", b"\2\2\x8c\x53\0"
    return (b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + palette
            + frame + black + frame + white + b"\x3b")
