# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the tests of the GJS runtime share."""

import json
import os
import signal
import sys
import tempfile
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

MODULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules")
GJS_ERROR = "gjs-error-quark"


def read_all(connection):
    """What the worker writes until it ends."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(65536, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


def count_fds():
    return len(os.listdir("/proc/self/fd"))


class GjsTest(unittest.TestCase):
    """A test in which the runtime finds the modules of the tests."""

    LIMIT = 100         # seconds for one test, after which something hangs
    ARGV = None

    def setUp(self):
        signal.alarm(self.LIMIT)
        self.runtime = AFork.Runtime.get_gjs()
        self.runtime.set_module_path([MODULES])
        if self.ARGV is not None:
            self.runtime.set_argv(self.ARGV)
        # The warnings of GJS about code that fails, which is tested here, must not end workers.
        self.runtime.set_environ([f"{name}={value}" for name, value in os.environ.items()
                                  if name != "G_DEBUG"])

    def tearDown(self):
        signal.alarm(0)

    def new_process(self, *modules):
        process = AFork.Process.new_for_runtime(self.runtime)
        for module in modules:
            process.require(module)
        return process

    def run_process(self, process, function):
        """What the function sends, until the process exits properly."""
        output = read_all(process.run(function, None))
        process.wait(None)
        self.assertEqual(process.get_exit_status(), (True, 0), output)
        return output.decode()

    def evaluate(self, process, *expressions):
        """The values of expressions in the process, which is run."""
        for expression in expressions:
            process.send_arg(expression)
        lines = self.run_process(process, "workers.js:report").splitlines()
        values = [json.loads(line) for line in lines]
        return values[0] if len(values) == 1 else values

    def assert_fails(self, process, function, code):
        """The message of the error with which the process cannot be run."""
        with self.assertRaises(GLib.Error) as context:
            process.run(function, None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        return context.exception.message

    def run_with_stderr(self, process, function):
        """What the function sends, and what it prints as errors, until the process exits."""
        with tempfile.TemporaryFile() as file:
            process.map_fd(file.fileno(), 2)
            output = read_all(process.run(function, None))
            process.wait(None)
            file.seek(0)
            return output.decode(), file.read().decode()


def main():
    unittest.main(module=sys.modules["__main__"])
