# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The examples in JavaScript, each run as its user would run it."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from gi.repository import Gio, GLib

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "util"))

from session_bus import SessionBus

LIMIT = 50      # seconds for one test, after which something hangs

EXAMPLES = pathlib.Path(__file__).parents[2] / "docs" / "examples" / "javascript"


@unittest.skipUnless(shutil.which("gjs"), "gjs is not installed")
class ExamplesTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def test_synopsis(self):
        done = subprocess.run(["gjs", "-m", EXAMPLES / "synopsis.js", "60", "97", "1"],
                              stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout, b"the factors of 60: 2 2 3 5\nthe factors of 97: 97\n"
                                      b"the factors of 1:\n")

    @unittest.skipUnless(shutil.which("dbus-daemon"), "dbus-daemon is not installed")
    def test_dbus_service(self):
        folder = tempfile.TemporaryDirectory(prefix="bus-")
        self.addCleanup(folder.cleanup)
        bus = SessionBus(pathlib.Path(folder.name))
        self.addCleanup(bus.stop)
        # GJS warns about code that fails.
        environ = {name: value for name, value in os.environ.items() if name != "G_DEBUG"}
        environ["DBUS_SESSION_BUS_ADDRESS"] = bus.address
        with subprocess.Popen(["gjs", "-m", EXAMPLES / "dbus-service.js"], text=True, env=environ,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            name = program.stdout.readline().strip()
            self.assertEqual(name, "org.example.Calculator")
            connection = Gio.DBusConnection.new_for_address_sync(
                bus.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
                | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)

            def begin(expression, callback=None):
                connection.call(name, "/org/example/Calculator", name, "Evaluate",
                                GLib.Variant("(s)", (expression,)), None, Gio.DBusCallFlags.NONE,
                                30000, None, callback)

            def evaluate(expression):
                results = []
                begin(expression, lambda _, result: results.append(result))
                while not results:
                    GLib.MainContext.default().iteration(True)
                return connection.call_finish(results[0]).unpack()[0]

            self.assertEqual(evaluate("6 * 7"), 42)
            with self.assertRaises(GLib.Error) as context:
                evaluate("null.x")
            self.assertIn("TypeError", context.exception.message)

            # A call that takes long: it reads what is written after another call was answered.
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "fifo")
                os.mkfifo(path)
                slow = []
                begin(f"imports.byteArray.toString(imports.gi.GLib.file_get_contents('{path}')[1])",
                      lambda _, result: slow.append(connection.call_finish(result).unpack()[0]))
                # From here on, a worker reads.
                with open(path, "w") as file:
                    self.assertEqual(evaluate("2 ** 10"), 1024)
                    self.assertEqual(slow, [])
                    file.write("17")
                while not slow:
                    GLib.MainContext.default().iteration(True)
                self.assertEqual(slow, [17])

            # A call that ends its worker.
            with self.assertRaises(GLib.Error) as context:
                evaluate("imports.system.exit(3)")
            self.assertIn("exited with status 3", context.exception.message)
            self.assertEqual(evaluate("1 / 4"), 0.25)
            connection.close_sync(None)
            program.stdin.close()
            self.assertEqual(program.wait(), 0)

    def test_dbus_service_in_sixty_lines(self):
        self.assertLessEqual(len((EXAMPLES / "dbus-service.js").read_text().splitlines()), 60)


unittest.main()
