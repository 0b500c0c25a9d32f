#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Makes thumbnails of all files in folders by the thumbnailer and by gdk-pixbuf-thumbnailer, and
compares the results.

compare-with-gdk-pixbuf.py THUMBNAILER [--names] [--jobs N] FOLDER...

For each format it prints how many files both make a thumbnail of, only one of them, or neither;
and of how many of the first the thumbnails differ, in size, or in their colours by more than can be
rounding. --names lists the files that do not have the same result, with what the thumbnailer said.
Both may take a limited time and memory for a picture.
"""

import argparse
import collections
import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gi
gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf, Gio  # noqa: E402

PIXELS = 128
PEER = "gdk-pixbuf-thumbnailer"
TIME_LIMIT = 30             # seconds of processor time
MEMORY_LIMIT = 1 << 30
PIXEL_DIFFERENCE = 12       # the mean of all channels of all pixels, of 255
OUTCOMES = ("both", "only ours", "only the peer's", "neither")

# The first that fits.
FORMATS = [
    ("PNG", rb"\x89PNG"), ("JPEG", rb"\xff\xd8\xff"), ("GIF", rb"GIF8"), ("BMP", rb"BM"),
    ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), ("WebP", rb"RIFF....WEBP"),
    ("ANI", rb"RIFF....ACON"), ("ICO, CUR", rb"\0\0[\1\2]\0"), ("ICNS", rb"icns"),
    ("AVIF, HEIC", rb"....ftyp"), ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), ("PNM", rb"P[1-7]\s"),
    ("XPM", rb"/\* XPM|! XPM"), ("XBM", rb"\s*#define|/\*"), ("SVG", rb"(?s).{0,1000}<svg"),
    ("SVGZ", rb"\x1f\x8b"), ("PSD", rb"8BPS"), ("empty", rb"$"),
]
FORMATS_BY_NAME = {".tga": "TGA", ".qtif": "QTIF", ".qif": "QTIF"}


def find_format(path):
    with open(path, "rb") as file:
        start = file.read(4096)
    for name, pattern in FORMATS:
        if re.match(pattern, start, re.S):
            return name
    return FORMATS_BY_NAME.get(path.suffix.lower(), "other")


def find_files(folders):
    return sorted({path.resolve() for folder in folders for path in folder.rglob("*")
                   if path.is_file() and not path.is_symlink()})


# What makes thumbnails

def run_ours(thumbnailer, files, output, n_jobs):
    """Returns the causes of failures, and paths of thumbnails."""
    causes = {}
    for first in range(0, len(files), 500):
        part = files[first:first + 500]
        run = subprocess.run([thumbnailer, "--output", output, f"--jobs={n_jobs}",
                              f"--timeout={TIME_LIMIT}", *part], stdout=subprocess.PIPE, text=True,
                             errors="replace", check=False)
        assert run.returncode in (0, 1), run
        for path, cause in re.findall(r"^(?:failed|left) (.*?): (.*)$", run.stdout, re.M):
            causes[path] = cause
    made = {}
    for path in files:
        uri = Gio.File.new_for_path(str(path)).get_uri()
        thumbnail = output / "normal" / (hashlib.md5(uri.encode()).hexdigest() + ".png")
        if thumbnail.exists():
            made[path] = thumbnail
    return causes, made


def limit_resources():
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT, TIME_LIMIT))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_peer(files, output, n_jobs):
    """Returns paths of thumbnails."""
    def make(path):
        thumbnail = output / (hashlib.md5(os.fsencode(path)).hexdigest() + ".png")
        subprocess.run([PEER, "-s", str(PIXELS), path, thumbnail], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, preexec_fn=limit_resources, check=False)
        return path, thumbnail

    with ThreadPoolExecutor(n_jobs) as pool:
        results = list(pool.map(make, files))
    return {path: thumbnail for path, thumbnail in results
            if thumbnail.exists() and thumbnail.stat().st_size > 0}


# The comparison

def load(path):
    """On black: what is behind a transparent pixel does not count."""
    pixbuf = GdkPixbuf.Pixbuf.new_from_file(str(path))
    width, height = pixbuf.get_width(), pixbuf.get_height()
    flat = pixbuf.composite_color_simple(width, height, GdkPixbuf.InterpType.NEAREST, 255, 8, 0, 0)
    data, stride = flat.get_pixels(), flat.get_rowstride()
    n = flat.get_n_channels()
    return (width, height), b"".join(
        bytes(data[y * stride + channel:y * stride + n * width:n])
        for y in range(height) for channel in range(3))


def describe_difference(ours, peers):
    """Or None if they are alike."""
    (size, channels), (peers_size, peers_channels) = load(ours), load(peers)
    if size != peers_size:
        return "size", "{} × {}, the peer's {} × {}".format(*size, *peers_size)
    mean = sum(abs(a - b) for a, b in zip(channels, peers_channels)) / len(channels)
    return ("colours", f"by {mean:.0f}") if mean > PIXEL_DIFFERENCE else None


def compare(files, causes, ours, peers):
    """Returns the outcomes and differences of each format, and lines about single files."""
    outcomes = collections.defaultdict(collections.Counter)
    differences = collections.defaultdict(collections.Counter)
    lines = []
    for path in files:
        kind = find_format(path)
        outcome = OUTCOMES[2 * (path not in ours) + (path not in peers)]
        outcomes[kind][outcome] += 1
        if outcome == "both":
            difference = describe_difference(ours[path], peers[path])
            if difference is not None:
                what, text = difference
                differences[kind][what] += 1
                lines.append((kind, f"other {what}", path, text))
        elif outcome != "neither":
            lines.append((kind, outcome, path, causes.get(str(path), "")))
    return outcomes, differences, lines


def print_table(outcomes, differences):
    columns = [*OUTCOMES, "other size", "other colours"]
    print("| format | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    order = sorted(outcomes, key=lambda kind: -sum(outcomes[kind].values()))
    rows = [(kind, [outcomes[kind][outcome] for outcome in OUTCOMES]
             + [differences[kind][what] for what in ("size", "colours")]) for kind in order]
    rows.append(("all", [sum(column) for column in zip(*(numbers for _, numbers in rows))]))
    for kind, numbers in rows:
        print(f"| {kind} | " + " | ".join(map(str, numbers)) + " |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("thumbnailer")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()

    files = find_files(arguments.folders)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch)
        causes, ours = run_ours(arguments.thumbnailer, files, output / "ours", arguments.jobs)
        (output / "peer").mkdir()
        peers = run_peer(files, output / "peer", arguments.jobs)
        outcomes, differences, lines = compare(files, causes, ours, peers)
    print_table(outcomes, differences)
    if arguments.names:
        print()
        for kind, outcome, path, text in sorted(lines, key=lambda line: line[:3]):
            print(f"{kind}, {outcome}: {path}: {text}")


if __name__ == "__main__":
    sys.exit(main())
