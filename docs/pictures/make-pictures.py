#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Computes the pictures that docs/contact-sheet.png shows, so that the sheet has no other authors.

make-pictures.py FOLDER

The sheet itself is what the thumbnailer draws of them:

    docs/pictures/make-pictures.py /tmp/pictures
    ./dev demo --output /tmp/thumbnails --contact-sheet docs/contact-sheet.png /tmp/pictures
"""

import cmath
import math
import pathlib
import struct
import sys
import zlib

WIDTH = 384


def mix(first, second, share):
    share = min(max(share, 0.0), 1.0)
    return tuple(a + (b - a) * share for a, b in zip(first, second))


def ramp(colours, position):
    """The colour at a position from 0 to 1 in a list of colours."""
    position = min(max(position, 0.0), 1.0) * (len(colours) - 1)
    index = min(int(position), len(colours) - 2)
    return mix(colours[index], colours[index + 1], position - index)


def noise(x, seed):
    """Smooth noise in one dimension, of several octaves."""
    total = 0.0
    for octave in range(6):
        x_octave = x * 2 ** octave
        cell = math.floor(x_octave)
        share = x_octave - cell
        share = share * share * (3 - 2 * share)
        ends = [math.sin((cell + i) * 127.1 + seed * 311.7 + octave * 74.7) * 43758.5453
                for i in (0, 1)]
        first, second = (end - math.floor(end) for end in ends)
        total += (first + (second - first) * share) / 2 ** octave
    return total / 2


def hash_point(i, j):
    value = math.sin(i * 127.1 + j * 311.7) * 43758.5453
    other = math.sin(i * 269.5 + j * 183.3) * 43758.5453
    return i + value - math.floor(value), j + other - math.floor(other)


DUSK = [(28, 27, 66), (90, 52, 110), (214, 92, 92), (250, 176, 104), (255, 226, 160)]
SEA = [(8, 24, 48), (16, 72, 110), (48, 150, 170), (190, 230, 220)]
FIRE = [(16, 8, 24), (110, 20, 40), (224, 84, 32), (250, 190, 70), (255, 250, 220)]
ICE = [(16, 20, 52), (44, 84, 160), (120, 180, 226), (240, 250, 255)]


def hills(x, y, sky, near, seed):
    colour = ramp(sky, (y + 1) / 1.4)
    distance = math.hypot(x - 0.45, y + 0.1)
    colour = mix(colour, (255, 244, 214), 1 - (distance - 0.16) * 60)
    colour = mix(colour, (255, 226, 180), 0.35 * math.exp(-3 * distance))
    for layer in range(5):
        roughness = noise(x * (0.9 + layer * 0.35) + layer * 9, seed) - 0.5
        height = -0.05 + layer * 0.2 - 0.55 * roughness
        if y > height:
            colour = mix(ramp(sky, 0.55), near, (layer + 1) / 5)
    return colour


def dusk_hills(x, y):
    return hills(x, y, DUSK, (22, 18, 44), 3)


def morning_hills(x, y):
    return hills(x, y, [(120, 176, 214), (196, 222, 226), (250, 232, 196)], (28, 62, 52), 8)


def escape(z, c, limit):
    for i in range(limit):
        z = z * z + c
        size = z.real * z.real + z.imag * z.imag
        if size > 64:
            return (i + 1 - math.log2(math.log(size))) / limit
    return None


def mandelbrot(x, y):
    depth = escape(0j, complex(-0.7436 + x * 0.012, 0.1318 + y * 0.012), 160)
    colours = [*ICE, (250, 210, 120), (120, 50, 20)]
    return (10, 12, 30) if depth is None else ramp(colours, depth * 1.5)


def julia(x, y):
    depth = escape(complex(x * 1.15, y * 1.15), complex(-0.79, 0.156), 90)
    return (24, 8, 20) if depth is None else ramp(FIRE, math.sqrt(max(depth, 0)) * 1.2)


def ripples(x, y):
    value = sum(math.sin(28 * math.hypot(x - a, y - b)) / (1 + 1.5 * math.hypot(x - a, y - b))
                for a, b in ((-0.8, -0.5), (0.7, -0.6), (0.1, 0.9)))
    return ramp(SEA, 0.5 + value * 0.34)


def glass(x, y):
    x, y = x * 4.5, y * 4.5
    cells = sorted((math.hypot(x - p, y - q), i, j)
                   for i in range(math.floor(x) - 1, math.floor(x) + 2)
                   for j in range(math.floor(y) - 1, math.floor(y) + 2)
                   for p, q in [hash_point(i, j)])
    colour = ramp([(196, 60, 62), (240, 176, 66), (62, 140, 116), (50, 84, 152), (140, 74, 140)],
                  hash_point(cells[0][1], cells[0][2])[0] % 1)
    colour = mix(colour, (255, 255, 240), 0.25 * (1 - cells[0][0]))
    return mix((24, 22, 30), colour, (cells[1][0] - cells[0][0]) * 14)


def flower(x, y):
    radius, angle = math.hypot(x, y), math.atan2(y, x)
    colour = mix((30, 70, 52), (14, 34, 34), radius)
    for petals, reach, first, second in ((9, 0.95, (196, 66, 116), (250, 176, 190)),
                                         (9, 0.66, (222, 104, 120), (255, 214, 190))):
        edge = reach * (0.55 + 0.45 * abs(math.cos(petals / 2 * (angle + reach))) ** 0.6)
        if radius < edge:
            colour = mix(first, second, radius / edge)
    return mix(colour, ramp([(120, 70, 20), (246, 200, 84)], radius / 0.2), (0.21 - radius) * 60)


def galaxy(x, y):
    y *= 1.7
    radius, angle = math.hypot(x, y), math.atan2(y, x)
    arms = 0.5 + 0.5 * math.cos(2 * angle - 9 * math.log(radius + 0.12))
    light = math.exp(-2.2 * radius) * (0.25 + 0.75 * arms) + math.exp(-14 * radius)
    colour = ramp([(6, 6, 18), (44, 40, 96), (150, 110, 180), (255, 226, 190)], light)
    star = math.sin(math.floor(x * 90) * 12.99 + math.floor(y * 60) * 78.2) * 43758.5
    return mix(colour, (255, 255, 255), 0.8 if star - math.floor(star) > 0.993 else 0)


def dunes(x, y):
    if y < -0.35 + 0.12 * math.sin(x * 2 + 1):
        return ramp([(84, 140, 190), (232, 214, 190)], (y + 1) / 0.8)
    phase = y * 5 + 1.4 * math.sin(x * 1.6 + y * 2) + 0.5 * math.sin(x * 4 - y * 3)
    share = phase - math.floor(phase)
    return ramp([(132, 74, 44), (206, 136, 76), (244, 200, 136)], share ** 0.7)


def marble(x, y):
    turbulence = sum(math.sin(x * 3 * 2 ** i + 2 * math.sin(y * 2.5 * 2 ** i + i)) / 2 ** i
                     for i in range(5))
    return ramp([(238, 236, 230), (196, 200, 204), (70, 84, 96), (226, 224, 220)],
                0.5 + 0.5 * math.sin(6 * y + 2.4 * turbulence))


def zeros(x, y):
    """The basins of Newton's method for z⁵ = 1."""
    z = complex(x, y) * 1.4 or 0.001
    for i in range(40):
        step = (z ** 5 - 1) / (5 * z ** 4)
        z -= step
        if abs(step) < 1e-4:
            break
    root = round(cmath.phase(z) / (2 * math.pi) * 5) % 5
    colour = [(226, 110, 80), (246, 196, 96), (84, 160, 134), (58, 106, 168), (150, 88, 150)][root]
    return mix(colour, (14, 14, 28), i / 22)


def sea(x, y):
    if y < -0.1:
        distance = math.hypot(x + 0.3, y + 0.45)
        colour = ramp([(12, 18, 46), (52, 70, 120), (150, 130, 160)], (y + 1) / 0.9)
        colour = mix(colour, (226, 226, 240), 0.5 * math.exp(-5 * distance))
        return mix(colour, (250, 248, 232), 1 - (distance - 0.17) * 60)
    depth = 1 / (y + 0.16)
    wave = math.sin(depth * 16 + 3 * math.sin(x * depth * 2)) * math.sin(x * depth * 5 + depth * 4)
    path = math.exp(-abs(x + 0.3) * (3 - y)) * (0.5 + 0.5 * wave)
    return mix(ramp(SEA, 0.12 + 0.1 * wave + 0.2 * (0.3 - y)), (250, 244, 216), path)


def save_png(path, width, height, rows):
    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b''.join(b'\0' + row for row in rows), 9)
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', data)
                     + chunk(b'IEND', b''))


def draw(path, function, shape):
    height = round(WIDTH / shape)
    rows = []
    for j in range(height):
        row = bytearray()
        for i in range(WIDTH):
            x, y = (i + 0.5) / WIDTH * 2 - 1, ((j + 0.5) / height * 2 - 1)
            colour = function(x * max(shape, 1), y * max(1 / shape, 1))
            row += bytes(min(max(round(value), 0), 255) for value in colour)
        rows.append(bytes(row))
    save_png(path, WIDTH, height, rows)


PICTURES = [
    (dusk_hills, 3 / 2), (glass, 1), (mandelbrot, 4 / 3), (ripples, 3 / 2), (flower, 1),
    (sea, 3 / 2), (julia, 4 / 3), (marble, 3 / 2), (morning_hills, 3 / 2), (zeros, 1),
    (galaxy, 3 / 2), (dunes, 4 / 3),
]

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for number, (function, shape) in enumerate(PICTURES, 1):
    draw(folder / f'{number:02}-{function.__name__.replace("_", "-")}.png', function, shape)
