# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Workers in Python that are confined, and that try what they must not do."""

import os
import signal
import unittest

from harness import AFork, GLib, PythonTest, main, read_all

# What a worker tries. Each expression succeeds if the worker does harm.
ATTEMPTS = {
    "read": "open('/etc/passwd').read()",
    "read-proc": "open('/proc/self/environ').read()",
    "read-of-caller": f"open('/proc/{os.getpid()}/status').read()",
    "read-device": "open('/dev/zero', 'rb').read(1)",
    "write": "open('/tmp/afork-confined', 'w')",
    "list": "__import__('os').listdir('/')",
    "remove": "__import__('os').unlink('/etc/passwd')",
    "chdir": "__import__('os').chdir('/usr')",
    "socket": "__import__('socket').socket()",
    "unix-socket": "__import__('socket').socket(__import__('socket').AF_UNIX)",
    "fork": "__import__('os').fork()",
    "exec": "__import__('os').execv('/bin/true', ['true'])",
    "spawn": "__import__('subprocess').run(['/bin/true'])",
    "kill-caller": f"__import__('os').kill({os.getpid()}, 0)",
    "kill-all": "__import__('os').kill(-1, 0)",
    "kill-parent": "__import__('os').kill(__import__('os').getppid(), 0)",
    "pidfd": f"__import__('os').pidfd_open({os.getpid()})",
    "priority": f"__import__('os').setpriority(__import__('os').PRIO_PROCESS, {os.getpid()}, 1)",
    "mount": "__import__('ctypes').CDLL(None).mount(0, b'/', 0, 0x44000, 0) == 0 or 1/0",
    "ptrace": f"__import__('ctypes').CDLL(None).ptrace(0x4206, {os.getpid()}, 0, 0) == 0 or 1/0",
    "unshare": "__import__('ctypes').CDLL(None).unshare(0x10000000) == 0 or 1/0",
    "chroot": "__import__('os').chroot('/')",
}

FUNCTION = """
import ctypes, os, socket as sockets, subprocess

def attempt(socket, expression):
    try:
        eval(expression)
        socket.sendall(b"done")
    except Exception as error:
        socket.sendall(f"refused {type(error).__name__}".encode())
"""


class ConfinedTest(PythonTest):
    def new_sandbox(self):
        sandbox = AFork.Sandbox.new_for_decoding()
        # The address space of an interpreter is large.
        sandbox.set_memory(-1)
        return sandbox

    def new_template(self):
        template = self.new_process("workers")
        template.eval(FUNCTION, None)
        template.restrict(self.new_sandbox())
        return template

    def run_confined(self, process, function):
        try:
            return process.run(function, None)
        except GLib.Error as error:
            if error.matches(AFork.error_quark(), AFork.Error.SANDBOX):
                self.skipTest(error.message)
            raise

    def test_template(self):
        template = self.new_template()
        for _ in range(5):
            worker = template.fork().send_arg("an answer")
            connection = self.run_confined(worker, "workers:echo")
            connection.get_socket().shutdown(False, True)
            self.assertEqual(read_all(connection), b"an answer")
            worker.wait(None)
            self.assertEqual(worker.get_exit_status(), (True, 0))

    def test_process_itself(self):
        process = self.new_template().send_arg("an answer")
        connection = self.run_confined(process, "workers:echo")
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"an answer")
        process.wait(None)
        self.assertEqual(process.get_exit_status(), (True, 0))

    def test_effects(self):
        worker = self.new_template().fork().send_arg("1")
        connection = self.run_confined(worker, "attempt")
        confinement = worker.get_confinement().unpack()
        for effect, layers in confinement["effects"].items():
            self.assertTrue(layers, effect)
        self.assertEqual(read_all(connection), b"done")

    def test_hostile(self):
        template = self.new_template()
        for name, expression in ATTEMPTS.items():
            with self.subTest(name):
                worker = template.fork().send_arg(expression)
                output = read_all(self.run_confined(worker, "attempt")).decode()
                worker.wait(None)
                ended, number = worker.get_term_signal()
                if ended:
                    self.assertEqual(number, signal.SIGSYS)
                    self.assertEqual(output, "")
                else:
                    self.assertTrue(output.startswith("refused "), output)


if __name__ == "__main__":
    main()
