# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A message bus for one test."""

import subprocess

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={folder}</listen>
  {services}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


class SessionBus:
    """dbus-daemon, with its configuration and its socket in FOLDER. SERVICES are elements of its
    configuration that say which services it starts, and ENV is the environment of these."""

    def __init__(self, folder, services="", env=None):
        configuration = folder / "bus.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, services=services))
        self._daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={configuration}", "--print-address", "--nofork"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True)
        self.address = self._daemon.stdout.readline().strip()

    def stop(self):
        self._daemon.terminate()
        self._daemon.wait()
        self._daemon.stdout.close()
