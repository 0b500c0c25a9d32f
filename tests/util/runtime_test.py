# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the tests of the Python runtime and of the GJS runtime share."""

import os
import signal
import sys
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib


def read_all(connection):
    """What the worker writes until it ends."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(65536, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


def count_fds():
    return len(os.listdir("/proc/self/fd"))


class RuntimeTest(unittest.TestCase):
    """A test of self.runtime, which a subclass sets."""

    LIMIT = 100         # seconds for one test, after which something hangs

    def setUp(self):
        signal.alarm(self.LIMIT)

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

    def assert_fails(self, process, function, code):
        """The message of the error with which the process cannot be run."""
        with self.assertRaises(GLib.Error) as context:
            process.run(function, None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        return context.exception.message


def main():
    unittest.main(module=sys.modules["__main__"])
