#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Thumbnails with progress: thumbnails.py FOLDER PICTURE..."""

import pathlib
import sys

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

CODE = """
import gi
gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf

def make(call, args):
    source, target = args
    picture = GdkPixbuf.Pixbuf.new_from_file_at_size(source, 128, 128)
    picture.savev(target, "png", [], [])
    return picture.get_width(), picture.get_height()
"""


async def main(folder: str, *pictures: str) -> None:
    items = [(picture, f"{folder}/{pathlib.Path(picture).stem}.png") for picture in pictures]
    async with AFork.Pool.new(AFork.Process.new().eval(CODE), "make") as pool:
        done = 0
        async for job in pool.map(items, AFork.MapFlags.UNORDERED):
            done += 1
            print(f"[{done}/{len(items)}]", pathlib.Path(pictures[job.get_index()]).name, end=": ")
            try:
                print("{} x {}".format(*job.unpack()))
            except GLib.Error as error:
                print(error.message.partition("\n")[0])


AFork.run(main(*sys.argv[1:]))
