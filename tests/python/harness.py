# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the tests of the Python runtime share."""

import os
import sys

import gi

gi.require_version("AFork", "1")
from gi.overrides import _afork
from gi.repository import AFork, Gio, GLib

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(FOLDER, "..", "util"))
from runtime_test import RuntimeTest, count_fds, main, read_all

_afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                         AFork.bindings_take_variant)

MODULES = os.path.join(FOLDER, "modules")


def pack(value):
    return AFork.bindings_take_variant(_afork.pack(value))


def unpack(variant):
    """The value of a variant. The override gives the value itself."""
    if not isinstance(variant, GLib.Variant):
        return variant
    return _afork.unpack(AFork.bindings_get_variant_address(variant))


class PythonTest(RuntimeTest):
    """A test in which the runtime finds the modules of the tests."""

    def setUp(self):
        super().setUp()
        self.runtime = AFork.Runtime.get_python()
        self.runtime.set_module_path([MODULES])

    def evaluate(self, process, *expressions):
        """The values of expressions in the process, which is run."""
        process.require("workers")
        for expression in expressions:
            process.send_arg(expression)
        lines = self.run_process(process, "workers:report").splitlines()
        values = [eval(line) for line in lines]
        return values[0] if len(values) == 1 else values
