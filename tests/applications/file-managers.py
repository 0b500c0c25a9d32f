#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Clients of the desktop that have the thumbnail service make thumbnails, on a display.

file-managers.py SERVICE TESTS MAKE-PICTURES FOLDER

Each client opens a folder of pictures on a bus of its own, whose thumbnailer is the service. When
the service has made all thumbnails, the client must show them. Pictures of the screen go to FOLDER.
"""

import contextlib
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time

SERVICE, TESTS, MAKE_PICTURES, FOLDER = map(pathlib.Path, sys.argv[1:])
sys.path[:0] = [str(TESTS / name) for name in ("thumbnailer", "thumbnail-service", "frames")]

import tap
from bus import Bus
from frames import Display

tap.TIMEOUT = 240
N_PICTURES = 12
LIMIT = 120
SOFTWARE = "afork-thumbnailer-"
N_EQUAL = 10            # looks at the screen
N_COLORS = 5000         # of a screen with the thumbnails; with icons only, it has half as many


def wait_until(has_come, what):
    end = time.monotonic() + LIMIT
    while not has_come():
        assert time.monotonic() < end, f"this has not come: {what}"
        time.sleep(0.05)


def read_software(path):
    """The program that says in a PNG file that it has made it."""
    data = path.read_bytes()
    position = 8
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        key, _, value = data[position + 8:position + 8 + size].partition(b"\0")
        if kind == b"tEXt" and key == b"Software":
            return value.decode()
        position += size + 12
    return None


class Desktop:
    """A display, a bus with the service, and a folder with pictures."""

    def __init__(self, stack, size):
        self.display = stack.enter_context(Display(*size))
        self.bus = stack.enter_context(Bus(str(SERVICE), has_others=True))
        self.pictures = self.bus.folder / "Pictures"
        subprocess.run([MAKE_PICTURES, self.pictures, str(N_PICTURES), str(N_PICTURES), "600"],
                       check=True)
        self._stack = stack

    def start(self, *command):
        environ = self.display.get_environ() | {
            "DBUS_SESSION_BUS_ADDRESS": os.environ["DBUS_SESSION_BUS_ADDRESS"],
            "HOME": str(self.bus.folder),
            "XDG_CACHE_HOME": str(self.bus.cache.parent),
            "XDG_CONFIG_HOME": str(self.bus.folder / "config"),
            "XDG_DATA_HOME": str(self.bus.folder / "data"),
            "XDG_RUNTIME_DIR": str(self.bus.folder),
            "LANG": "C.UTF-8",
        }
        process = subprocess.Popen(command, env=environ, cwd=self.bus.folder,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process

    def find_thumbnails(self):
        uris = [path.as_uri() for path in sorted(self.pictures.iterdir())]
        return [thumbnail for uri in uris
                for size in ("normal", "large", "x-large", "xx-large")
                if (thumbnail := self.bus.thumbnail(uri, size)).exists()]


class Screen:
    """Whether a screen shows pictures, and has not changed for a while. Its picture is kept."""

    def __init__(self, desktop, name):
        self._display = desktop.display
        self._path = FOLDER / f"{name}.png"
        self._n_colors = 0
        self._n_equal = 0

    def is_complete(self):
        n_colors = self._display.save_picture(self._path)
        self._n_equal = self._n_equal + 1 if n_colors == self._n_colors else 0
        self._n_colors = n_colors
        return n_colors > N_COLORS and self._n_equal >= N_EQUAL


def check(program, size, n_shown):
    """Of the pictures, N_SHOWN are in view at least. SIZE is that of the window."""
    if not shutil.which(program):
        raise tap.Skip(f"{program} is not installed")
    with contextlib.ExitStack() as stack:
        desktop = Desktop(stack, size)
        desktop.start(program, str(desktop.pictures))
        wait_until(lambda: len(desktop.find_thumbnails()) >= n_shown, "thumbnails")
        wait_until(Screen(desktop, program).is_complete, "pictures on the screen")
        made_by = {read_software(thumbnail) for thumbnail in desktop.find_thumbnails()}
        assert all(program.startswith(SOFTWARE) for program in made_by), made_by


def test_thunar():
    check("thunar", (640, 480), N_PICTURES)


def test_ristretto():
    check("ristretto", (600, 440), 3)


tap.main(globals())
