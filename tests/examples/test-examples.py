# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The small example programs, each run as its user would.

test-examples.py CHECKSUMS COMMAND LISTENER-POOL SINGLE-PROCESS
"""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

checksums, command, listener_pool, single_process = sys.argv[1:5]

# Messages in English, with all their characters.
os.environ["LC_ALL"] = "C.UTF-8"


def run(*argv):
    return subprocess.run(argv, capture_output=True, encoding="utf-8")


class ChecksumsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_on(self, *paths):
        return run(checksums, *paths)

    def test_files(self):
        expected = set()
        for i in range(20):
            path = os.path.join(self.folder, str(i))
            content = os.urandom(i * 10000)
            with open(path, "wb") as file:
                file.write(content)
            expected.add(f"{hashlib.sha256(content).hexdigest()}  {path}")

        result = self.run_on(*(line.split("  ")[1] for line in expected))
        self.assertEqual(set(result.stdout.splitlines()), expected)
        self.assertEqual((result.stderr, result.returncode), ("", 0))

    def test_unreadable(self):
        result = self.run_on(self.folder, os.path.join(self.folder, "missing"))
        self.assertEqual(result.stdout, "")
        self.assertIn("its worker could not read it", result.stderr)
        self.assertIn("No such file", result.stderr)
        self.assertEqual(result.returncode, 1)

    def test_nothing(self):
        result = self.run_on()
        self.assertEqual((result.stdout, result.stderr, result.returncode), ("", "", 0))


class CommandTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.output = os.path.join(folder.name, "output")

    def execute(self, *argv):
        return run(command, self.output, *argv)

    def read_output(self):
        with open(self.output) as file:
            return file.read()

    def test_output_and_errors(self):
        result = self.execute("sh", "-c", "echo out; echo first >&2; echo second >&2; exit 3")
        self.assertEqual(self.read_output(), "out\n")
        self.assertEqual(result.stdout, "sh: first\nsh: second\n")
        self.assertEqual((result.stderr, result.returncode), ("", 3))

    def test_no_input(self):
        result = self.execute("cat")
        self.assertEqual((self.read_output(), result.stdout, result.stderr), ("", "", ""))
        self.assertEqual(result.returncode, 0)

    def test_signal(self):
        result = self.execute("sh", "-c", "kill -TERM $$")
        self.assertIn("sh: Terminated", result.stderr)
        self.assertEqual(result.returncode, 128 + signal.SIGTERM)

    def test_no_program(self):
        result = self.execute("/nowhere/program")
        self.assertIn("“/nowhere/program”", result.stderr)
        self.assertEqual(result.returncode, 1)

    def test_no_output(self):
        self.output = "/nowhere/output"
        result = self.execute("true")
        self.assertIn("/nowhere/output: No such file", result.stderr)
        self.assertEqual(result.returncode, 1)

    def test_usage(self):
        result = self.execute()
        self.assertIn("usage", result.stderr)
        self.assertEqual(result.returncode, 2)


class ListenerPoolTest(unittest.TestCase):
    def ask(self, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := client.recv(4096):
                answer += chunk
        return int(re.search(rb"\r\n\r\nProcess (\d+) was here\.\n$", answer)[1])

    def test_answers(self):
        with subprocess.Popen([listener_pool], stdout=subprocess.PIPE, text=True) as pool:
            port = int(re.match(r"http://127.0.0.1:(\d+)/\n", pool.stdout.readline())[1])
            pids = {self.ask(port) for _ in range(50)}
            self.assertNotIn(pool.pid, pids)
            self.assertLessEqual(len(pids), 10)

            # All are there: while nine are kept busy, the tenth still answers.
            busy = [socket.create_connection(("127.0.0.1", port)) for _ in range(9)]
            self.ask(port)
            for client in busy:
                client.close()

            pool.send_signal(signal.SIGINT)
        self.assertEqual(pool.returncode, 0)


class SingleProcessTest(unittest.TestCase):
    def factor(self, *numbers):
        return run(single_process, *numbers)

    def test_numbers(self):
        result = self.factor("1", "2", "60", "97", "1001", "4294967296", "10000600009")
        self.assertEqual(result.stdout.splitlines(), [
            "1:", "2: 2", "60: 2 2 3 5", "97: 97", "1001: 7 11 13", "4294967296:" + 32 * " 2",
            "10000600009: 100003 100003",
        ])
        self.assertEqual((result.stderr, result.returncode), ("", 0))

    def test_no_number(self):
        for number in ["x", "-5", "12x", str(2 ** 64)]:
            result = self.factor("6", number)
            self.assertIn(f"“{number}”", result.stderr)
            self.assertEqual((result.stdout, result.returncode), ("", 1))

    def test_nothing(self):
        result = self.factor()
        self.assertEqual((result.stdout, result.stderr, result.returncode), ("", "", 0))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
