# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A session bus that starts a thumbnail service."""

import hashlib
import os
import pathlib
import subprocess
import tempfile

NAMES = ("Cache1", "Manager1", "Thumbnailer1")
CHECKS = ("G_DEBUG", "G_SLICE", "LD_LIBRARY_PATH", "MALLOC_PERTURB_")
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={folder}</listen>
  <servicedir>{folder}/services</servicedir>
  {others}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


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
        config = self.folder / "bus.conf"
        config.write_text(CONFIG.format(
            folder=self.folder,
            others="<standard_session_servicedirs/>" if has_others else ""))
        env = os.environ | {"HOME": str(self.folder),
                            "XDG_CACHE_HOME": str(self.folder / "cache")}
        if is_others:
            env = {name: value for name, value in env.items() if name not in CHECKS}
        self._daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--print-address", "--nofork"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True)
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = self._daemon.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._daemon.terminate()
        self._daemon.wait()
        self._daemon.stdout.close()

    def add(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path.as_uri()

    def thumbnail(self, uri, size="normal"):
        return self.cache / size / f"{hashlib.md5(uri.encode()).hexdigest()}.png"
