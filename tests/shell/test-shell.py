#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs the extension of the examples inside GNOME Shell, which has no display and buses of its own.

test-shell.py EXAMPLE-FOLDER
"""

import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from gi.repository import Gio, GLib

FOLDER = pathlib.Path(__file__).resolve().parent
EXAMPLE = pathlib.Path(sys.argv.pop())
DRIVER = "driver@example.org"
SECONDS = 120           # until something that must come has come
N_ROUNDS = 10
N_JOBS = 100
SMALL, N_PRIMES = 200000, "17984"
LARGE = 60000000        # takes some seconds

# What makes an extension of driver.js, until GNOME Shell 44 and since.
OLD = """{code}
/* exported init */
const Main = imports.ui.main;
function init() {{
    let driver = null;
    return {{
        enable() {{
            driver = new Driver(uuid => Main.extensionManager.lookup(uuid), global);
        }},
        disable() {{
            driver.destroy();
        }},
    }};
}}
"""
NEW = """import * as Main from 'resource:///org/gnome/shell/ui/main.js';
{code}
export default class {{
    enable() {{
        this._driver = new Driver(uuid => Main.extensionManager.lookup(uuid), global);
    }}
    disable() {{
        this._driver.destroy();
    }}
}}
"""


def get_version():
    """The first number of the version of GNOME Shell."""
    words = subprocess.run(["gnome-shell", "--version"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.split()
    return int(words[-1].split(".")[0])


def install_extensions(folder, version):
    """Returns the UUID of the example."""
    metadata = json.loads((EXAMPLE / "metadata.json").read_text())
    code = (FOLDER / "driver.js").read_text()
    is_old = version < 45
    if is_old:
        metadata["shell-version"] = [str(version)]
    for uuid in (metadata["uuid"], DRIVER):
        (folder / uuid).mkdir(parents=True)
        (folder / uuid / "metadata.json").write_text(json.dumps(metadata | {"uuid": uuid}))
    shutil.copy(EXAMPLE / "worker.js", folder / metadata["uuid"])
    shutil.copy(EXAMPLE / ("extension-43.js" if is_old else "extension.js"),
                folder / metadata["uuid"] / "extension.js")
    (folder / DRIVER / "extension.js").write_text((OLD if is_old else NEW).format(code=code))
    return metadata["uuid"]


def start_bus(log):
    """Returns the address of a bus, and its process."""
    bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address"],
                           stdout=subprocess.PIPE, stderr=log, text=True)
    return bus.stdout.readline().strip(), bus


def count_children(pid):
    return len(find_children(pid))


def find_children(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sorted({int(child) for task in tasks
                   for child in (task / "children").read_text().split()})


def count_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class ShellTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.processes = []
        cls.home = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.addClassCleanup(cls.end_processes)
        runtime = pathlib.Path(cls.home, "run")
        runtime.mkdir(mode=0o700)
        data = pathlib.Path(cls.home, "share")
        cls.uuid = install_extensions(data / "gnome-shell" / "extensions", get_version())
        cls.log = open(pathlib.Path(cls.home, "log"), "w+")

        addresses = {}
        for kind in ("SYSTEM", "SESSION"):
            addresses[f"DBUS_{kind}_BUS_ADDRESS"], bus = start_bus(cls.log)
            cls.processes.append(bus)
        environ = os.environ | addresses | {
            "GSETTINGS_BACKEND": "memory",
            "HOME": cls.home,
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "NO_AT_BRIDGE": "1",
            "XDG_CACHE_HOME": f"{cls.home}/cache",
            "XDG_CONFIG_HOME": f"{cls.home}/config",
            "XDG_DATA_HOME": str(data),
            "XDG_RUNTIME_DIR": str(runtime),
        }
        # GNOME Shell warns about much that it does not find here.
        environ.pop("G_DEBUG", None)
        cls.processes.append(subprocess.Popen(
            [sys.executable, "-m", "dbusmock", "--system", "--template", "logind"], env=environ,
            stdout=cls.log, stderr=cls.log))
        system = cls.connect(addresses["DBUS_SYSTEM_BUS_ADDRESS"])
        cls.await_name(system, "org.freedesktop.login1")
        cls.shell = subprocess.Popen(
            ["gnome-shell", "--headless", "--virtual-monitor", "1280x720"], env=environ,
            stdout=cls.log, stderr=cls.log)
        cls.processes.append(cls.shell)
        cls.bus = cls.connect(addresses["DBUS_SESSION_BUS_ADDRESS"])
        cls.await_name(cls.bus, "org.gnome.Shell")
        cls.set_enabled(DRIVER, True)

    @classmethod
    def end_processes(cls):
        for process in reversed(cls.processes):
            process.terminate()
            process.wait()

    @staticmethod
    def connect(address):
        flags = Gio.DBusConnectionFlags
        return Gio.DBusConnection.new_for_address_sync(
            address, flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION, None, None)

    @classmethod
    def wait_for(cls, condition, what):
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                cls.log.seek(0)
                raise AssertionError(f"{what()}:\n{cls.log.read()}")
            time.sleep(0.05)

    @classmethod
    def await_name(cls, bus, name):
        def has_owner():
            return bus.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus",
                                 "org.freedesktop.DBus", "NameHasOwner",
                                 GLib.Variant("(s)", (name,)), None, 0, -1, None)[0]

        cls.wait_for(has_owner, lambda: f"nobody owns {name}")

    @classmethod
    def call(cls, path, interface, method, signature, *arguments):
        return cls.bus.call_sync("org.gnome.Shell", path, interface, method,
                                 GLib.Variant(signature, arguments), None, 0, SECONDS * 1000,
                                 None).unpack()

    @classmethod
    def call_shell(cls, *arguments):
        return cls.call("/org/gnome/Shell", "org.gnome.Shell.Extensions", *arguments)

    @classmethod
    def set_enabled(cls, uuid, is_enabled):
        """Waits until the extension has changed."""
        def get_state():
            try:
                info, = cls.call_shell("GetExtensionInfo", "(s)", uuid)
            except GLib.GError:
                # GNOME Shell has its name before it has its objects.
                return None, None
            return info.get("state"), info.get("error")

        # ACTIVE (called ENABLED before GNOME 46) and INACTIVE
        cls.wait_for(lambda: get_state()[0] is not None, lambda: f"{uuid} is unknown")
        method = "EnableExtension" if is_enabled else "DisableExtension"
        changed, = cls.call_shell(method, "(s)", uuid)
        assert changed, (uuid, method)
        cls.wait_for(lambda: get_state()[0] in ((1,) if is_enabled else (2, 6)),
                     lambda: f"{uuid}, {method}: {get_state()}")

    def ask(self, method, signature="()", *arguments):
        return self.call("/org/afork/Driver", "org.afork.Driver", method, signature, *arguments)

    def take_census(self):
        pid = self.shell.pid
        return (count_children(pid), count_descriptors(pid), self.ask("CountSources")[0])

    def await_census(self, before):
        """Waits until there are no more processes, descriptors and sources than before."""
        def is_same():
            return all(now <= then for now, then in zip(self.take_census(), before))

        self.wait_for(is_same, lambda: f"before: {before}, now: {self.take_census()}")

    def warm_up(self):
        """Returns the census after a first round, which loads what stays."""
        n_children = count_children(self.shell.pid)
        self.run_round()
        self.wait_for(lambda: count_children(self.shell.pid) <= n_children,
                      lambda: f"processes stay: {find_children(self.shell.pid)}")
        return self.take_census()

    def run_round(self):
        self.set_enabled(self.uuid, True)
        results, n_frames = self.ask("Run", "(suu)", self.uuid, N_JOBS, SMALL)
        self.assertEqual(results, [N_PRIMES] * N_JOBS)
        self.assertGreaterEqual(n_frames, 3)
        self.set_enabled(self.uuid, False)
        return n_frames

    def test_nothing_is_left(self):
        before = self.warm_up()
        frames = []
        for _ in range(N_ROUNDS):
            frames.append(self.run_round())
            self.await_census(before)
        print("frames while jobs ran:", *frames, file=sys.stderr)

    def test_disabled_while_jobs_run(self):
        before = self.warm_up()
        self.set_enabled(self.uuid, True)
        self.ask("Begin", "(suu)", self.uuid, 10, LARGE)
        self.wait_for(lambda: count_children(self.shell.pid) > before[0],
                      lambda: "no process is started")
        self.set_enabled(self.uuid, False)

        results = []

        def all_ended():
            results.extend(self.ask("Results")[0])
            return len(results) == 10

        self.wait_for(all_ended, lambda: f"jobs do not end: {results}")
        for result in results:
            self.assertIn("shut down", result)
        self.await_census(before)

    def test_worker_is_killed(self):
        before = self.warm_up()
        self.set_enabled(self.uuid, True)
        self.ask("Begin", "(suu)", self.uuid, 4, LARGE)
        self.wait_for(lambda: self.kill_workers() > 0, lambda: "no worker is started")
        results, _ = self.ask("Run", "(suu)", self.uuid, 3, SMALL)
        self.assertEqual(results, [N_PRIMES] * 3)
        self.set_enabled(self.uuid, False)
        self.await_census(before)

    def kill_workers(self):
        """Kills the forks of all templates; returns how many."""
        workers = [worker for template in find_children(self.shell.pid)
                   for worker in find_children(template)]
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        return len(workers)


def find_missing():
    if shutil.which("gnome-shell") is None:
        return "GNOME Shell is not installed (Debian has it in gnome-shell)"
    if importlib.util.find_spec("dbusmock") is None:
        return "dbusmock is not installed (Debian has it in python3-dbusmock)"
    return None


if __name__ == "__main__":
    missing = find_missing()
    if missing is not None:
        print(f"skipped: {missing}")
        sys.exit(77)
    unittest.main()
