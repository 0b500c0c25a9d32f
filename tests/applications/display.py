#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs a program on a display and a session bus of its own.

display.py PROGRAM [ARGUMENT...]

Home, caches and settings are in a temporary folder, which is removed.
"""

import os
import pathlib
import subprocess
import sys
import tempfile


def start_display():
    """Returns the X server, and the name of its display."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as file:
        return server, ":" + file.readline().strip()


def main():
    server, display = start_display()
    with tempfile.TemporaryDirectory() as home:
        runtime = pathlib.Path(home, "runtime")
        runtime.mkdir(mode=0o700)
        environment = os.environ | {
            "DISPLAY": display,
            "GDK_BACKEND": "x11",
            "GSK_RENDERER": "cairo",
            "GSETTINGS_BACKEND": "memory",
            "GTK_A11Y": "none",
            "HOME": home,
            "LANG": "C.UTF-8",
            "NO_AT_BRIDGE": "1",
            "XDG_CACHE_HOME": home + "/.cache",
            "XDG_CONFIG_HOME": home + "/.config",
            "XDG_DATA_HOME": home + "/.local/share",
            "XDG_RUNTIME_DIR": str(runtime),
        }
        environment.pop("WAYLAND_DISPLAY", None)
        try:
            status = subprocess.run(["dbus-run-session", "--", *sys.argv[1:]],
                                    env=environment).returncode
        finally:
            server.terminate()
            server.wait()
    sys.exit(status if status >= 0 else 128 - status)


main()
