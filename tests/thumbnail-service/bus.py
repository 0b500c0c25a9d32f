# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A session bus that starts a thumbnail service."""

import hashlib
import os
import pathlib
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "util"))

from session_bus import SessionBus

NAMES = ("Cache1", "Manager1", "Thumbnailer1")
CHECKS = ("G_DEBUG", "G_SLICE", "LD_LIBRARY_PATH", "MALLOC_PERTURB_")


class Bus:
    """A bus that starts a service, whose thumbnails are in a folder of their own. With IS_OTHERS,
    it is a program of others, which is not run with what checks ours. With HAS_OTHERS, the bus
    also starts the other services of the system."""

    def __init__(self, *command, is_others=False, has_others=False):
        self._folder = tempfile.TemporaryDirectory(prefix="thumbnail-service-")
        self.folder = pathlib.Path(self._folder.name)
        self.cache = self.folder / "cache" / "thumbnails"
        services = self.folder / "services"
        services.mkdir()
        for name in NAMES:
            (services / f"{name}.service").write_text(
                f"[D-BUS Service]\nName=org.freedesktop.thumbnails.{name}\n"
                f"Exec={' '.join(command)}\n")
        env = os.environ | {"HOME": str(self.folder),
                            "XDG_CACHE_HOME": str(self.folder / "cache")}
        if is_others:
            env = {name: value for name, value in env.items() if name not in CHECKS}
        self._bus = SessionBus(
            self.folder, f"<servicedir>{services}</servicedir>"
            + ("<standard_session_servicedirs/>" if has_others else ""), env)
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = self._bus.address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bus.stop()

    def add(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path.as_uri()

    def thumbnail(self, uri, size="normal"):
        return self.cache / size / f"{hashlib.md5(uri.encode()).hexdigest()}.png"
