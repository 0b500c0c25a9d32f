# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the tests of the Python runtime share."""

import os
import signal
import sys
import unittest

import gi

gi.require_version("AFork", "1")
from gi.overrides import _afork
from gi.repository import AFork, Gio, GLib

_afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                         AFork.bindings_take_variant)

MODULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules")


def pack(value):
    return AFork.bindings_take_variant(_afork.pack(value))


def unpack(variant):
    """The value of a variant. The override gives the value itself."""
    if not isinstance(variant, GLib.Variant):
        return variant
    return _afork.unpack(AFork.bindings_get_variant_address(variant))


def read_all(connection):
    """What the worker writes until it ends."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(65536, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


def count_fds():
    return len(os.listdir("/proc/self/fd"))


class PythonTest(unittest.TestCase):
    """A test in which the runtime finds the modules of the tests."""

    LIMIT = 100         # seconds for one test, after which something hangs

    def setUp(self):
        signal.alarm(self.LIMIT)
        self.runtime = AFork.Runtime.get_python()
        self.runtime.set_module_path([MODULES])

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
        self.assertEqual(process.get_exit_status(), (True, 0))
        return output.decode()

    def evaluate(self, process, *expressions):
        """The values of expressions in the process, which is run."""
        process.require("workers")
        for expression in expressions:
            process.send_arg(expression)
        lines = self.run_process(process, "workers:report").splitlines()
        values = [eval(line) for line in lines]
        return values[0] if len(values) == 1 else values

    def assert_fails(self, process, function, code):
        """The message of the error with which the process cannot be run."""
        with self.assertRaises(GLib.Error) as context:
            process.run(function, None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        return context.exception.message


def main():
    unittest.main(module=sys.modules["__main__"])
