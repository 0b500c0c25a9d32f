# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The examples in Python, each run as its user would run it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import gi

from gi.repository import Gio, GLib

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "util"))

from session_bus import SessionBus

LIMIT = 110     # seconds for one test, after which something hangs

EXAMPLES = pathlib.Path(__file__).parent.parent.parent / "docs" / "examples" / "python"


def run(name, *arguments):
    done = subprocess.run([sys.executable, "-B", EXAMPLES / name, *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


class ExamplesTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def test_synopsis(self):
        self.assertEqual(run("synopsis.py", "60", "97", "1"),
                         (0, "the factors of 60: 2 2 3 5\nthe factors of 97: 97\n"
                             "the factors of 1:\n", ""))

    def test_listener_pool(self):
        with subprocess.Popen([sys.executable, "-B", EXAMPLES / "listener_pool.py"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            host, port = program.stdout.readline().split()
            pids = set()
            for _ in range(30):
                with socket.create_connection((host, int(port))) as connection:
                    text = connection.makefile().read()
                self.assertRegex(text, r"^worker [0-9] is process \d+\n$")
                pids.add(int(text.split()[-1]))
            self.assertNotIn(program.pid, pids)
            program.stdin.close()
            self.assertEqual(program.wait(), 0)
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}/fd/0"))
        # The template has the port, too. It exits with the program, a moment later: until then, a
        # connection waits, and is reset.
        with self.assertRaises(ConnectionRefusedError):
            while True:
                with socket.create_connection((host, int(port))) as connection:
                    try:
                        connection.recv(1)
                    except ConnectionResetError:
                        pass

    def test_from_multiprocessing(self):
        status, output, errors = run("from_multiprocessing.py")
        self.assertEqual((status, errors), (0, ""))
        results = {line.partition(": ")[2].strip() for line in output.splitlines()}
        self.assertEqual(results, {"[('a', 3), ('i', 4), ('', 0), ('a', 5)]"})
        self.assertEqual(len(output.splitlines()), 3)

    def test_thumbnails(self):
        try:
            gi.require_version("GdkPixbuf", "2.0")
            from gi.repository import GdkPixbuf
        except (ImportError, ValueError):
            self.skipTest("there is no GdkPixbuf for Python")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "pictures")
            source.mkdir()
            for i in range(6):
                picture = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, False, 8, 400, 300)
                picture.fill(0x10203000 * i & 0xffffffff)
                picture.savev(str(source / f"{i}.png"), "png", [], [])
            (source / "broken.png").write_text("no picture")
            pictures = sorted(source.iterdir())
            status, output, errors = run("thumbnails.py", folder, *pictures)
            self.assertEqual((status, errors), (0, ""))
            lines = output.splitlines()
            self.assertEqual([line.split("]")[0] for line in lines],
                             [f"[{i}/7" for i in range(1, 8)])
            self.assertEqual(sorted(line.split("] ")[1] for line in lines if "broken" not in line),
                             [f"{i}.png: 128 x 96" for i in range(6)])
            for i in range(6):
                thumbnail = GdkPixbuf.Pixbuf.new_from_file(f"{folder}/{i}.png")
                self.assertEqual((thumbnail.get_width(), thumbnail.get_height()), (128, 96))
            self.assertFalse(os.path.exists(f"{folder}/broken.png"))

    def test_thumbnails_in_thirty_lines(self):
        lines = (EXAMPLES / "thumbnails.py").read_text().splitlines()
        body = [line for line in lines if line.strip() and not line.startswith(("#", '"""T'))]
        self.assertLessEqual(len(body), 35)

    @unittest.skipUnless(shutil.which("dbus-daemon"), "dbus-daemon is not installed")
    def test_dbus_service(self):
        folder = tempfile.TemporaryDirectory(prefix="bus-")
        self.addCleanup(folder.cleanup)
        bus = SessionBus(pathlib.Path(folder.name))
        self.addCleanup(bus.stop)
        environ = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": bus.address}
        with subprocess.Popen([sys.executable, "-B", EXAMPLES / "dbus_service.py"], text=True,
                              env=environ, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as program:
            name = program.stdout.readline().strip()
            self.assertEqual(name, "org.example.Calculator")
            connection = Gio.DBusConnection.new_for_address_sync(
                bus.address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
                | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)

            def evaluate(expression):
                return connection.call_sync(name, "/org/example/Calculator", name, "Evaluate",
                                            GLib.Variant("(s)", (expression,)), None,
                                            Gio.DBusCallFlags.NONE, 30000, None).unpack()[0]

            self.assertEqual(evaluate("6 * 7"), 42)
            with self.assertRaises(GLib.Error) as context:
                evaluate("1 / 0")
            self.assertIn("ZeroDivisionError", context.exception.message)
            # A call that crashes its worker.
            with self.assertRaises(GLib.Error) as context:
                evaluate("os.abort()")
            self.assertIn("signal 6", context.exception.message)
            self.assertEqual(evaluate("2 ** 10"), 1024)
            connection.close_sync(None)
            program.stdin.close()
            self.assertEqual(program.wait(), 0)


if __name__ == "__main__":
    unittest.main()
