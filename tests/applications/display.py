#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs a program on a display and a session bus of its own.

display.py PROGRAM [ARGUMENT...]

Home, caches and settings are in a temporary folder, which is removed.
"""

import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).parent.parent / "frames"))
from frames import Display


def main():
    with Display(1280, 800) as display, tempfile.TemporaryDirectory() as home:
        runtime = pathlib.Path(home, "runtime")
        runtime.mkdir(mode=0o700)
        environment = display.get_environ() | {
            "HOME": home,
            "LANG": "C.UTF-8",
            "NO_AT_BRIDGE": "1",
            "XDG_CACHE_HOME": home + "/.cache",
            "XDG_CONFIG_HOME": home + "/.config",
            "XDG_DATA_HOME": home + "/.local/share",
            "XDG_RUNTIME_DIR": str(runtime),
        }
        # libadwaita has a theme of its own.
        del environment["GTK_THEME"]
        status = subprocess.run(["dbus-run-session", "--", *sys.argv[1:]],
                                env=environment).returncode
    sys.exit(status if status >= 0 else 128 - status)


main()
