# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Processes from Python: each call, its results, errors, signals and properties."""

import os
import signal
import tempfile
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())

LIMIT = 50      # seconds for one test, after which something hangs


def read_all(connection):
    """What the worker writes until it ends."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(4096, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


def iterate_until(is_done):
    """Iterates the main context until a condition holds."""
    while not is_done():
        GLib.MainContext.default().iteration(True)


class ProcessTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def run_async(self, process, function, cancellable=None):
        """Runs a process with the main context turning, as a program does."""
        results = []
        process.run_async(function, cancellable, lambda process, result: results.append(result))
        iterate_until(lambda: results)
        return process.run_finish(results[0])

    def wait_async(self, process):
        results = []
        process.wait_async(None, lambda process, result: results.append(result))
        iterate_until(lambda: results)
        return process.wait_finish(results[0])

    def assert_raises(self, domain, code, call, *arguments):
        with self.assertRaises(GLib.Error) as context:
            call(*arguments)
        self.assertTrue(context.exception.matches(domain, code), context.exception)
        return context.exception.message


CODE = """
#include <stdio.h>
#include <afork/worker/afork-worker.h>

static char greeting[100];

void
afork_eval_init (int argc, const char * const *argv)
{
  snprintf (greeting, sizeof greeting, "%s, %s", argv[0], argv[1]);
}

void
greet (int socket, const AForkItem *items, size_t n_items)
{
  dprintf (socket, "%s %s", greeting, items[0].data);
}
"""


@unittest.skipUnless("AFORK_TEST_EVAL" in os.environ, "this build does not evaluate code")
class EvalTest(ProcessTest):
    def test_helper(self):
        template = AFork.Process.new()
        self.assertIs(template.eval(CODE, ["Guten Tag", "liebe"]), template)

        for name in "Ada", "Grace":
            process = template.fork().send_arg(name)
            connection = self.run_async(process, "greet")
            self.assertEqual(read_all(connection), f"Guten Tag, liebe {name}".encode())
            self.assertTrue(self.wait_async(process))

    def test_error(self):
        process = AFork.Process.new().eval("int x = 1\nint y;", None)
        message = self.assert_raises(AFork.error_quark(), AFork.Error.EVAL,
                                     self.run_async, process, "greet")
        self.assertIn("<string>:2: error: ", message)


class ItemsTest(ProcessTest):
    def test_strings_and_bytes(self):
        process = AFork.Process.new()
        self.assertIs(process.require("echo"), process)
        process.send_arg("ein ").send_arg("").send_bytes(GLib.Bytes.new(b"zw\0ei"))

        connection = process.run("echo", None)
        connection.get_output_stream().write_all(b" three", None)
        connection.get_socket().shutdown(False, True)

        self.assertEqual(read_all(connection), b"ein zw\0ei three")
        self.assertTrue(process.wait(None))

    def test_descriptor(self):
        process = AFork.Process.new().require("describe")
        with tempfile.TemporaryFile() as file:
            file.write(b"twelve bytes")
            file.flush()
            process.send_fd(file.fileno())
            inode = os.fstat(file.fileno()).st_ino

        connection = self.run_async(process, "describe")
        self.assertEqual(read_all(connection), f"fd {inode} 12\n".encode())

    def test_call(self):
        process = AFork.Process.new().require("describe").call("remember", ["one", "two"])
        connection = self.run_async(process, "recall")
        self.assertEqual(read_all(connection), b"2 6")

    def test_call_without_arguments(self):
        process = AFork.Process.new().require("describe").call("remember", None)
        self.assertEqual(read_all(self.run_async(process, "recall")), b"0 0")


class ForkTest(ProcessTest):
    def test_fork(self):
        template = AFork.Process.new().require("echo").send_arg("both ")
        first = template.fork().send_arg("first")
        second = template.fork().send_arg("second")

        for process, text in (second, b"both second"), (first, b"both first"):
            connection = self.run_async(process, "echo")
            connection.get_socket().shutdown(False, True)
            self.assertEqual(read_all(connection), text)
            self.assertTrue(self.wait_async(process))
        self.assertEqual(template.get_state(), AFork.ProcessState.PREPARING)

    def test_executed(self):
        process = AFork.Process.new_exec(None).require("lifecycle")
        self.run_async(process, "done")
        self.assertTrue(self.wait_async(process))
        self.assertEqual(process.get_exit_status(), (True, 0))


class ErrorTest(ProcessTest):
    def test_module(self):
        process = AFork.Process.new().require("no-such-module")
        message = self.assert_raises(AFork.error_quark(), AFork.Error.MODULE,
                                     process.run, "anything", None)
        self.assertIn("no-such-module", message)
        self.assertTrue(process.wait(None))
        self.assertGreater(process.get_exit_status().exit_status, 0)

    def test_function(self):
        process = AFork.Process.new().require("echo")
        message = self.assert_raises(AFork.error_quark(), AFork.Error.FUNCTION,
                                     self.run_async, process, "no_such_function")
        self.assertIn("no_such_function", message)

    def test_run_twice(self):
        process = AFork.Process.new().require("lifecycle")
        self.run_async(process, "done")
        self.assert_raises(AFork.error_quark(), AFork.Error.CLOSED,
                           self.run_async, process, "done")

    def test_cancelled(self):
        process = AFork.Process.new().require("lifecycle")
        cancellable = Gio.Cancellable.new()
        cancellable.cancel()
        self.assert_raises(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED,
                           self.run_async, process, "done", cancellable)


class EndTest(ProcessTest):
    def test_exit_status(self):
        process = AFork.Process.new().require("lifecycle").send_arg("3")
        self.run_async(process, "exit_with")
        self.assertTrue(self.wait_async(process))
        self.assertEqual(process.get_exit_status(), (True, 3))
        self.assertFalse(process.get_term_signal()[0])

        known, user, system, size = process.get_usage()
        self.assertTrue(known)
        self.assertGreater(size, 0)

    def test_signal(self):
        process = AFork.Process.new().require("lifecycle")
        connection = self.run_async(process, "forever")
        process.send_signal(signal.SIGTERM)
        self.assertTrue(self.wait_async(process))
        self.assertEqual(process.get_term_signal(), (True, signal.SIGTERM))
        self.assertFalse(process.get_exit_status()[0])
        self.assertEqual(read_all(connection), b"")

    def test_force_exit(self):
        process = AFork.Process.new().require("lifecycle")
        connection = self.run_async(process, "forever")
        process.force_exit()
        self.assertTrue(process.wait(None))
        self.assertEqual(process.get_term_signal().signal, signal.SIGKILL)
        self.assertEqual(read_all(connection), b"")

    def test_exited(self):
        process = AFork.Process.new().require("lifecycle").send_arg("7")
        statuses = []
        process.connect("exited", lambda process, status: statuses.append(status))
        self.run_async(process, "exit_with")
        iterate_until(lambda: statuses)
        self.assertEqual(os.waitstatus_to_exitcode(statuses[0]), 7)
        self.assertEqual(process.props.state, AFork.ProcessState.EXITED)


class PropertiesTest(ProcessTest):
    def test_process(self):
        process = AFork.Process.new()
        self.assertEqual(process.props.runtime, AFork.Runtime.get_native())
        self.assertEqual(process.props.pid, 0)
        self.assertIsNone(process.props.function)
        process.props.title = "from Python"
        self.assertEqual(process.get_title(), "from Python")

        connection = self.run_async(process.require("lifecycle"), "until_closed")
        self.assertEqual(process.props.function, "until_closed")
        self.assertEqual(process.props.state, AFork.ProcessState.RUNNING)
        self.assertGreater(process.props.pid, 0)
        with open(f"/proc/{process.props.pid}/cmdline", "rb") as file:
            self.assertIn(b"from Python", file.read())
        connection.close(None)
        self.assertTrue(self.wait_async(process))

    def test_notify(self):
        states = []
        process = AFork.Process.new().require("lifecycle")
        process.connect("notify::state", lambda process, pspec: states.append(process.props.state))
        self.run_async(process, "done")
        iterate_until(lambda: AFork.ProcessState.EXITED in states)
        self.assertEqual(states, sorted(states))
        self.assertIn(AFork.ProcessState.RUNNING, states)

    def test_runtime(self):
        server = os.environ["AFORK_SERVER"]
        runtime = AFork.Runtime(name="nice", argv=["nice", server], can_fork=True,
                                can_pass_fds=True, module_path=["/nowhere"])
        self.assertEqual(runtime.props.name, "nice")
        self.assertEqual(runtime.dup_argv(), ["nice", server])
        self.assertEqual(runtime.props.module_path, ["/nowhere"])
        runtime.set_environ(GLib.get_environ())
        self.assertIn(f"AFORK_SERVER={server}", runtime.dup_environ())

        process = AFork.Process.new_for_runtime(runtime).require("echo").send_arg("nicely")
        connection = self.run_async(process, "echo")
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"nicely")
        runtime.set_template(None)

    def test_default_template(self):
        runtime = AFork.Runtime.get_default()
        runtime.get_template().require("echo")
        connection = self.run_async(AFork.Process.new().send_arg("already there"), "echo")
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"already there")
        runtime.set_template(None)

    def test_recreate(self):
        process = AFork.Process.new().require("echo").send_arg("again")
        again = process.recreate()
        connection = self.run_async(again, "echo")
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"again")
        process.send_fd(0)
        with self.assertRaisesRegex(GLib.Error, "descriptor") as caught:
            process.recreate()
        self.assertTrue(caught.exception.matches(AFork.error_quark(),
                                                 AFork.Error.NOT_SUPPORTED))


if __name__ == "__main__":
    unittest.main()
