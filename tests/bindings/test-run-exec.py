# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What else becomes of processes, from Python: programs, other callers, spares, and their end."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())

LIMIT = 50      # seconds for one test, after which something hangs

# A caller of its own, which is going to be killed. Its worker does not read its socket.
CALLER = """
import gi
gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

process = AFork.Process.new_for_runtime(AFork.Runtime.get_native()).require("lifecycle")
process.props.die_with_parent = True
assert process.get_die_with_parent()
connection = process.run("forever", None)
print(process.get_pid(), flush=True)
GLib.MainLoop().run()
"""


def read_all(connection):
    """What comes until the other side has closed."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(4096, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


def iterate_until(is_done):
    """Iterates the main context until a condition holds."""
    tick = GLib.timeout_add(5, lambda: GLib.SOURCE_CONTINUE)
    while not is_done():
        GLib.MainContext.default().iteration(True)
    GLib.source_remove(tick)


def children(process):
    pid = process.get_pid()
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


class HandOverTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def finish(self, begin, finish):
        """The result of an asynchronous call, with the main context turning."""
        results = []
        begin(lambda process, result: results.append(result))
        iterate_until(lambda: results)
        return finish(results[0])

    def exec_async(self, process, argv):
        return self.finish(lambda callback: process.exec_async(argv, None, callback),
                           process.exec_finish)

    def detach_async(self, process):
        return self.finish(lambda callback: process.detach_async(None, callback),
                           process.detach_finish)

    def wait_async(self, process):
        return self.finish(lambda callback: process.wait_async(None, callback),
                           process.wait_finish)

    def assert_raises(self, code, call, *arguments):
        with self.assertRaises(GLib.Error) as context:
            call(*arguments)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        return context.exception.message


class ExecTest(HandOverTest):
    def test_program(self):
        process = AFork.Process.new().setenv("GREETING", "hello")
        with tempfile.TemporaryFile() as errors:
            process.map_fd(errors.fileno(), 2)
            connection = self.exec_async(process, ["sh", "-c", 'read x; echo $GREETING $x; '
                                                               'echo oops >&2; exit 4'])
            connection.get_output_stream().write_all(b"world\n", None)
            self.assertEqual(read_all(connection), b"hello world\n")
            self.assertTrue(self.wait_async(process))
            errors.seek(0)
            self.assertEqual(errors.read(), b"oops\n")
        self.assertEqual(process.get_exit_status(), (True, 4))

    def test_blocking(self):
        process = AFork.Process.new()
        self.assertEqual(read_all(process.exec(["echo", "blocking"], None)), b"blocking\n")
        self.assertTrue(process.wait(None))

    def test_missing(self):
        message = self.assert_raises(AFork.Error.SPAWN, self.exec_async, AFork.Process.new(),
                                     ["/nowhere/program"])
        self.assertIn("/nowhere/program", message)


class DetachTest(HandOverTest):
    def test_taken_over(self):
        given = AFork.Process.new().require("echo").send_arg("prepared here ")
        fd = self.detach_async(given)
        self.assertGreater(fd, 2)

        # The descriptor is the new object's from here on.
        taken = AFork.Process.new_from_fd(fd).send_arg("and there")
        connection = self.finish(lambda callback: taken.run_async("echo", None, callback),
                                 taken.run_finish)
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"prepared here and there")
        self.assertTrue(self.wait_async(given))
        self.assertEqual(given.get_exit_status(), (True, 0))
        self.assertEqual(taken.get_pid(), given.get_pid())
        self.assert_raises(AFork.Error.CLOSED, self.detach_async, given)

    def test_closed(self):
        fd = AFork.Process.new().detach(None)
        os.close(fd)

    def test_no_process(self):
        ours, theirs = os.pipe()
        process = AFork.Process.new_from_fd(ours)
        self.assert_raises(AFork.Error.FAILED, process.run, "anything", None)
        os.close(theirs)


class SpareTest(HandOverTest):
    def test_taken(self):
        template = AFork.Process.new().require("echo")
        template.props.spare = 1
        self.assertEqual(template.get_spare(), 1)
        iterate_until(lambda: template.get_pid() != 0 and len(children(template)) == 1)
        ready = children(template)

        process = template.fork().send_arg("spared")
        connection = process.run("echo", None)
        self.assertEqual([process.get_pid()], ready)
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"spared")
        self.assertTrue(self.wait_async(process))
        template.set_spare(0)


class DieWithParentTest(HandOverTest):
    def test_killed(self):
        with subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE,
                              text=True) as caller:
            worker = os.pidfd_open(int(caller.stdout.readline()))
            self.assertFalse(select.select([worker], [], [], 0)[0])
            caller.kill()
            # Readable when it has ended.
            self.assertTrue(select.select([worker], [], [], LIMIT)[0])
            os.close(worker)


class SkippedTest(HandOverTest):
    def test_only_for_c(self):
        # A function's address means nothing here, and the interpreter is no server.
        self.assertFalse(hasattr(AFork.Process, "run_func_async"))
        self.assertFalse(hasattr(AFork.Process, "run_func_finish"))
        self.assertFalse(hasattr(AFork, "init"))


if __name__ == "__main__":
    unittest.main()
