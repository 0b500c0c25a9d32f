# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""File names, arguments and environment values that are not UTF-8, as Python has them: what
os.fsdecode() makes of bytes."""

import os
import shutil
import signal
import tempfile
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())

LIMIT = 50      # seconds for one test, after which something hangs

NAME = b"n\xe4me"       # ISO 8859-1
TEXT = os.fsdecode(NAME)


def read_all(connection):
    """What comes until the other side has closed."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(4096, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


class FileNamesTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)
        self.folder = os.path.join(os.fsencode(tempfile.mkdtemp()), NAME)
        os.mkdir(self.folder)
        modules = os.environ["AFORK_MODULE_PATH"]
        self.module = os.path.join(self.folder, NAME + b".so")
        shutil.copy(os.path.join(modules, "echo.so"), self.module)
        self.script = os.path.join(self.folder, b"script-" + NAME)
        with open(self.script, "w") as file:
            file.write("#!/bin/sh\nprintf %s \"$0 $1 $VALUE\"\n")
        os.chmod(self.script, 0o755)

    def tearDown(self):
        shutil.rmtree(os.path.dirname(self.folder))
        signal.alarm(0)

    def run_echo(self, process):
        connection = process.run("echo", None)
        connection.get_socket().shutdown(False, True)
        return read_all(connection)

    def assert_message(self, code, call, *arguments):
        """It fails, and what it says is text that has the name as far as that is."""
        with self.assertRaises(GLib.Error) as context:
            call(*arguments)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        self.assertIn("n\ufffdme", context.exception.message)

    def test_require(self):
        process = AFork.Process.new().require(os.fsdecode(self.module)).send_arg(TEXT)
        self.assertEqual(self.run_echo(process), NAME)

    def test_require_missing(self):
        process = AFork.Process.new().require(os.fsdecode(self.folder + b"/missing.so"))
        self.assert_message(AFork.Error.MODULE, process.run, "echo", None)

    def test_call(self):
        process = AFork.Process.new().require("describe").call("remember", [TEXT])
        self.assertEqual(read_all(process.run("recall", None)), b"1 %d" % len(NAME))

    def test_chdir(self):
        process = AFork.Process.new().chdir(os.fsdecode(self.folder))
        self.assertEqual(read_all(process.exec(["pwd"], None)), self.folder + b"\n")

    def test_chdir_missing(self):
        process = AFork.Process.new().chdir(os.fsdecode(self.folder + b"/missing"))
        self.assert_message(AFork.Error.FAILED, process.run, "echo", None)

    def test_exec(self):
        process = AFork.Process.new().setenv("VALUE", TEXT)
        connection = process.exec([os.fsdecode(self.script), TEXT], None)
        self.assertEqual(read_all(connection), self.script + b" " + NAME + b" " + NAME)

    def test_exec_missing(self):
        process = AFork.Process.new()
        self.assert_message(AFork.Error.SPAWN, process.exec,
                            [os.fsdecode(self.folder + b"/missing")], None)

    def test_setenv_name(self):
        process = AFork.Process.new().setenv(TEXT, "value").setenv(TEXT, None)
        self.assertNotIn(NAME, read_all(process.exec(["env"], None)))

    def test_runtime(self):
        native = AFork.Runtime.get_native().dup_argv()
        server = os.environ["AFORK_SERVER"]
        own = os.path.join(self.folder, b"server-" + NAME)
        os.symlink(server, own)
        runtime = AFork.Runtime(name="own", argv=native, can_fork=True, can_pass_fds=True)
        values = [f"AFORK_SERVER={server}", f"VALUE={TEXT}", "PATH=" + os.environ["PATH"]]
        runtime.set_argv([os.fsdecode(own)])
        runtime.set_environ(values)
        runtime.set_working_directory(os.fsdecode(self.folder))
        runtime.set_module_path([os.fsdecode(self.folder)])
        self.assertEqual(runtime.dup_argv(), [os.fsdecode(own)])
        self.assertEqual(runtime.dup_environ(), values)
        self.assertEqual(runtime.dup_working_directory(), os.fsdecode(self.folder))
        self.assertEqual(runtime.dup_module_path(), [os.fsdecode(self.folder)])

        process = AFork.Process.new_for_runtime(runtime).require(TEXT).send_arg("found")
        self.assertEqual(self.run_echo(process), b"found")
        process = AFork.Process.new_for_runtime(runtime)
        self.assertEqual(read_all(process.exec(["sh", "-c", "pwd; printf %s \"$VALUE\""], None)),
                         self.folder + b"\n" + NAME)
        runtime.set_template(None)

    def test_command_missing(self):
        runtime = AFork.Runtime.new_command("own", [os.fsdecode(self.folder + b"/missing")])
        self.assert_message(AFork.Error.SPAWN, AFork.Process.new_for_runtime(runtime).run, "echo",
                            None)


if __name__ == "__main__":
    unittest.main()
