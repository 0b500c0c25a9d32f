# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Workers in C, Python and JavaScript that were taken over, in a sandbox for decoding. All try the
same, in C: modules/hostile.c.

AFORK_TEST_REFUSED names what the kernel refuses: see environments.py. If a sandbox for decoding
cannot do without it, no worker must run.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "util"))
from runtime_test import RuntimeTest, main, read_all

REFUSED = os.environ.get("AFORK_TEST_REFUSED", "")
# An effect that cannot be had then, and the layer that the error names.
LACKING = {"rlimits": ("memory", "rlimits"), "seccomp": ("system-calls", "seccomp")}.get(REFUSED)
MODULES = os.environ["AFORK_MODULE_PATH"]
MEMORY = 256 * 1024 * 1024
MUCH_MEMORY = str(4 * MEMORY)
# For a file that is sent, and for what is kept in a socket.
MUCH_IN_FILE = 1024 * 1024

# What is tried: a name and an argument. Descriptors that come with it stand in FDS below.
FILES = [
    ("other-descriptor", ""), ("leave-by-descriptors", ""), ("leave-by-descriptors", "directory"),
    ("truncate-file", "file"), ("remove", "/etc/passwd"), ("make", "/tmp/afork-test-new"),
    ("list", "/"), ("list", "/proc/self/fd"), ("list", "/proc/self/task"), ("list", "/dev"),
    ("write", "/tmp/afork-test-new"), ("write", "/proc/self/oom_score_adj"), ("write", "/dev/null"),
    *((name, path) for name in ("read", "read-by-other-call") for path in (
        "/etc/passwd", "/proc/self/status", "/proc/self/mem", "/proc/1/status", "/dev/null",
        "/dev/zero", "/dev/tty", "/dev/shm", "/sys/kernel/uevent_seqnum", ".", "..")),
]
SOCKETS = [*(("socket", str(family)) for family in range(48)), ("socket-pair", "")]
NEW_PROCESSES = [("fork", ""), ("fork-directly", ""), ("clone3", ""), ("exec", "/bin/true")]
OTHER_PROCESSES = ["kill", "tgkill", "sigqueue", "set-owner", "pidfd", "pidfd-getfd", "prlimit",
                   "renice", "ptrace", "process-vm-read", "process-vm-write"]
PROCESSES = [("kill-group", ""), ("session", ""), ("tracer", ""), ("pidfd-given", "pidfd"),
             ("pidfd-getfd", "pidfd"), ("setns", "pidfd")]
MEMORY_HOARDS = [("map", MUCH_MEMORY), ("map-pieces", MUCH_MEMORY), ("break", MUCH_MEMORY),
                 ("map-stack", MUCH_MEMORY), ("map-read-only", MUCH_MEMORY), ("map-shared", "4096"),
                 ("memfd", "4096"), ("shm", "4096"), ("pipe", ""),
                 ("park", "socket"), ("descriptors", "100"), ("lift-limit", "")]
TIME = [("burn", ""), ("burn-threads", "")]
# These take some seconds.
LONG_TIME = [("burn-ignoring", ""), ("burn-moving", "")]
KERNEL = [("bpf", ""), ("io-uring", ""), ("userfaultfd", ""), ("key", ""), ("perf", ""),
          ("mount", "/tmp"), ("mount-by-descriptors", "/tmp"), ("module", ""), ("chroot", "/tmp"),
          ("unshare", ""), ("terminal", ""), ("terminal", "terminal")]

# What is not harmful, and must succeed where nothing is restricted: else the tests show nothing.
CONTROLS = [("read", "/etc/passwd"), ("list", "/"), ("socket", "1"), ("socket-pair", ""),
            ("fork", ""), ("map", "4096"), ("map-shared", "4096"), ("memfd", "4096"), ("pipe", ""),
            ("truncate-file", "file"), ("leave-by-descriptors", "directory"), ("session", "")]


class HostileTest:
    """The tests of each runtime."""

    LIMIT = 200

    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.sibling = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(self.sibling.wait)
        self.addCleanup(self.sibling.kill)

    def new_sandbox(self):
        sandbox = AFork.Sandbox.new_for_decoding()
        sandbox.set_memory(MEMORY)
        sandbox.set_cpu_time(1)
        return sandbox

    def new_template(self):
        template = self.new_plain_template()
        template.restrict(self.new_sandbox())
        return template

    def open_fd(self, name):
        """The descriptor that an attempt with this argument gets, or -1."""
        if name == "file":
            path = os.path.join(self.folder.name, "file")
            return os.open(path, os.O_RDWR | os.O_CREAT)
        if name == "directory":
            return os.open("/usr", os.O_RDONLY | os.O_DIRECTORY)
        if name == "pidfd":
            return os.pidfd_open(self.sibling.pid)
        if name == "socket":
            return self.new_socket()
        if name == "terminal":
            return os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        return -1

    def new_socket(self):
        """One end, of which nobody reads the other."""
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
        return os.dup(ends[0].fileno())

    def run_attempt(self, worker, name, argument):
        """What the worker says at the end, and by which signal it was ended, or 0."""
        try:
            fd = self.open_fd(argument)
        except OSError as error:
            self.skipTest(f"{argument}: {error}")
        worker.send_arg(name).send_arg(str(MUCH_IN_FILE) if fd >= 0 else argument)
        if fd >= 0:
            worker.send_fd(fd)
            os.close(fd)
        output = read_all(worker.run(self.FUNCTION, None))
        worker.wait(None)
        ended, number = worker.get_term_signal()
        return output.decode(), number if ended else 0

    def assert_lacking(self, error):
        """That the error with which no worker could be run is the one that is expected."""
        self.assertIsNotNone(LACKING, error.message)
        effect, layer = LACKING
        self.assertTrue(error.matches(AFork.error_quark(), AFork.Error.SANDBOX), error)
        self.assertRegex(error.message, rf"could not be confined: .*\b{effect}\b.* \(.*\b{layer}: ")

    def assert_not_done(self, worker, name, argument, signals=(signal.SIGSYS,)):
        with self.subTest(f"{name} {argument}"):
            try:
                output, number = self.run_attempt(worker, name, argument)
            except GLib.Error as error:
                self.assert_lacking(error)
                return
            self.assertIsNone(LACKING)
            if number != 0:
                self.assertIn(number, signals)
                self.assertEqual(output, "")
            else:
                self.assertRegex(output, "^refused [1-9]")

    def check(self, attempts, **options):
        template = self.new_template()
        for name, argument in attempts:
            self.assert_not_done(template.fork(), name, argument, **options)

    def test_controls(self):
        template = self.new_plain_template()
        for name, argument in CONTROLS:
            with self.subTest(f"{name} {argument}"):
                output, number = self.run_attempt(template.fork(), name, argument)
                self.assertEqual((output, number), ("done 0", 0))

    def test_files(self):
        self.check(FILES)
        self.assertFalse(os.path.exists("/tmp/afork-test-new"))

    def test_sockets(self):
        self.check(SOCKETS)

    def test_processes(self):
        pids = os.getpid(), self.sibling.pid, 1
        self.check([*NEW_PROCESSES, *PROCESSES,
                    *((name, str(pid)) for name in OTHER_PROCESSES for pid in pids)])
        self.assertIsNone(self.sibling.poll())

    def test_siblings(self):
        """Workers of the same template."""
        template = self.new_template()
        sleeper = template.fork().send_arg("sleep").send_arg("")
        try:
            connection = sleeper.run(self.FUNCTION, None)
        except GLib.Error as error:
            self.assert_lacking(error)
            return
        for name in OTHER_PROCESSES:
            # The worker has another number for it in its own PID namespace.
            for pid in sleeper.get_pid(), *range(1, 5):
                self.assert_not_done(template.fork(), name, str(pid))
        self.assertEqual(sleeper.get_state(), AFork.ProcessState.RUNNING)
        sleeper.force_exit()
        sleeper.wait(None)
        self.assertEqual(sleeper.get_term_signal(), (True, signal.SIGKILL))
        connection.close(None)

    def test_memory(self):
        self.check(MEMORY_HOARDS)

    def test_time(self):
        attempts = TIME if REFUSED else TIME + LONG_TIME
        self.check(attempts, signals=(signal.SIGXCPU, signal.SIGKILL))

    def test_kernel(self):
        self.check(KERNEL)

    def test_death_pipe(self):
        template = self.new_template()
        template.set_die_with_parent(True)
        self.assert_not_done(template.fork(), "death-pipe", "")

    def test_older_thread(self):
        """A thread that was there before the function was entered. There is no fork then."""
        for name, argument in (("read", "/etc/passwd"), ("socket", "1"), ("fork", "")):
            process = self.start_thread(self.new_template())
            self.assert_not_done(process, f"thread:{name}", argument)

    def test_effects(self):
        """What was asked for is had, by a layer that is in force."""
        worker = self.new_template().fork().send_arg("compute").send_arg("")
        try:
            connection = worker.run(self.FUNCTION, None)
        except GLib.Error as error:
            self.assert_lacking(error)
            return
        confinement = worker.get_confinement().unpack()
        self.assertEqual(set(confinement["effects"]), {
            "memory", "cpu-time", "open-files", "file-size", "core-size", "priority", "network",
            "read-paths", "write-paths", "system-calls", "new-processes", "other-processes"})
        for effect, layers in confinement["effects"].items():
            self.assertTrue(layers, effect)
            for layer in layers:
                self.assertEqual(confinement["layers"][layer], "in force", effect)
        if REFUSED in confinement["layers"]:
            self.assertNotEqual(confinement["layers"][REFUSED], "in force")
        self.assertEqual(read_all(connection), b"done 0")


class NativeTest(HostileTest, RuntimeTest):
    FUNCTION = "hostile_try"

    def setUp(self):
        super().setUp()
        self.runtime = AFork.Runtime.get_native()

    def new_plain_template(self):
        return self.new_process("hostile")

    def start_thread(self, process):
        return process.call("hostile_start_thread", None)


class PythonTest(HostileTest, RuntimeTest):
    FUNCTION = "attempt"
    CODE = """
import ctypes

library = ctypes.CDLL(args[0])

def attempt(socket, name, argument, file=None):
    # What is passed as an item is a file object or a number.
    fd = -1 if file is None else file if isinstance(file, int) else file.fileno()
    result = library.afork_hostile_attempt(name.encode(), argument.encode(), fd, socket.fileno())
    word = "unknown" if result < 0 else "refused" if result > 0 else "done"
    socket.sendall(f"{word} {result}".encode())

def start_thread():
    assert library.afork_hostile_start_thread() == 0
"""

    def setUp(self):
        super().setUp()
        self.runtime = AFork.Runtime.get_python()

    def new_plain_template(self):
        process = self.new_process()
        return process.eval(self.CODE, [os.path.join(MODULES, "hostile.so")])

    def start_thread(self, process):
        return process.call("start_thread", None)


@unittest.skipUnless("AFORK_GJS_SERVER" in os.environ, "there is no runtime for JavaScript")
class GjsTest(HostileTest, RuntimeTest):
    FUNCTION = "attempt"
    CODE = """
const {AForkTestHostile} = imports.gi;

// This loads the library.
AForkTestHostile.hostile_attempt('', '', -1, -1);

function attempt(connection, name, argument, fd = -1) {
    const own = connection.get_socket().get_fd();
    const result = AForkTestHostile.hostile_attempt(name, argument, fd, own);
    const word = result < 0 ? 'unknown' : result > 0 ? 'refused' : 'done';
    const bytes = new TextEncoder().encode(`${word} ${result}`);
    connection.get_output_stream().write_all(bytes, null);
}

function startThread() {
    if (AForkTestHostile.hostile_start_thread() !== 0)
        throw new Error('no thread');
}
"""

    def setUp(self):
        super().setUp()
        self.runtime = AFork.Runtime.get_gjs()
        self.runtime.set_environ([f"{name}={value}" for name, value in os.environ.items()
                                  if name != "G_DEBUG"])

    def new_plain_template(self):
        return self.new_process().eval(self.CODE, None)

    def start_thread(self, process):
        return process.call("startThread", None)


@unittest.skipIf(REFUSED, "the others are enough")
class GjsLateTest(GjsTest):
    """Where the engine has threads of its own, the context is made when a process is run."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.runtime.set_argv, None)
        self.runtime.set_argv([self.runtime.dup_argv()[0], "--late-context"])


main()
