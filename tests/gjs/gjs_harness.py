# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the tests of the GJS runtime share."""

import json
import os
import sys
import tempfile

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(FOLDER, "..", "util"))
from runtime_test import RuntimeTest, count_fds, main, read_all

MODULES = os.path.join(FOLDER, "modules")
GJS_ERROR = "gjs-error-quark"


class GjsTest(RuntimeTest):
    """A test in which the runtime finds the modules of the tests."""

    ARGV = None

    def setUp(self):
        super().setUp()
        self.runtime = AFork.Runtime.get_gjs()
        self.runtime.set_module_path([MODULES])
        if self.ARGV is not None:
            self.runtime.set_argv(self.ARGV)
        # The warnings of GJS about code that fails, which is tested here, must not end workers.
        self.runtime.set_environ([f"{name}={value}" for name, value in os.environ.items()
                                  if name != "G_DEBUG"])

    def evaluate(self, process, *expressions):
        """The values of expressions in the process, which is run."""
        for expression in expressions:
            process.send_arg(expression)
        lines = self.run_process(process, "workers.js:report").splitlines()
        values = [json.loads(line) for line in lines]
        return values[0] if len(values) == 1 else values

    def run_with_stderr(self, process, function):
        """What the function sends, and what it prints as errors, until the process exits."""
        with tempfile.TemporaryFile() as file:
            process.map_fd(file.fileno(), 2)
            output = read_all(process.run(function, None))
            process.wait(None)
            file.seek(0)
            return output.decode(), file.read().decode()
