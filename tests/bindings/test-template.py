# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# A template that is forked off Python itself. What runs in it is C: functions of modules, such as
# are loaded into the native server.

import os
import subprocess
import sys
import threading
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())


# A program of its own, which executes no server, for there is none.
EARLY = """
import gi
gi.require_version("AFork", "1")
from gi.repository import AFork

assert AFork.early()
AFork.Runtime.set_default(AFork.Runtime.get_native())
process = AFork.Process.new().require("take").send_arg("taken").call("take", None)
connection = process.run("give", None)
print(connection.get_input_stream().read_bytes(100, None).get_data().decode())
assert process.wait(None)
assert process.get_runtime() == AFork.Runtime.get_native()
"""


def refuse(test, make):
    """Has MAKE tried while there is a second thread."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="second")
    thread.start()
    try:
        with test.assertRaises(GLib.Error) as context:
            make()
    finally:
        done.set()
        thread.join()
    test.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.THREADS))
    test.assertIn("more than one thread", context.exception.message)


class TemplateTest(unittest.TestCase):
    def test_template(self):
        # All in one, for after the first run there is more than one thread.
        refuse(self, AFork.Process.new_template)
        refuse(self, AFork.early)

        template = AFork.Process.new_template()
        self.assertGreater(template.get_pid(), 0)
        self.assertEqual(template.get_runtime().get_name(), "program")

        with self.assertRaises(GLib.Error) as context:
            AFork.early()
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.FAILED))

        process = template.fork().require("take").send_arg("taken").call("take", None)
        connection = process.run("give", None)
        self.assertEqual(connection.get_input_stream().read_bytes(100, None).get_data(), b"taken")
        self.assertTrue(process.wait(None))
        self.assertEqual(process.get_exit_status(), (True, 0))

        with self.assertRaises(GLib.Error) as context:
            AFork.Process.new_template()
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.THREADS))

    def test_early(self):
        done = subprocess.run([sys.executable, "-c", EARLY], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "AFORK_SERVER": "/nowhere/server"})
        self.assertEqual((done.stdout, done.returncode), ("taken\n", 0))

    # After the other, in alphabetical order.
    def test_then_self(self):
        # Python has not called afork_init(), and is not executed a second time.
        process = AFork.Process.new_for_runtime(AFork.Runtime.get_self())
        with self.assertRaises(GLib.Error) as context:
            process.run("anything", None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.SPAWN))
        self.assertIn("afork_init()", context.exception.message)


if __name__ == "__main__":
    unittest.main()
