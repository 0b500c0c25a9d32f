# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Forks of a template that has done much: none hangs, and none repeats random numbers. A template
that has a thread is not forked, and the error says which thread."""

import importlib.util
import json
import os
import selectors
import unittest

from harness import AFork, GLib, PythonTest, main

N_FORKS = int(os.environ.get("AFORK_TEST_FORKS", "200"))
AT_ONCE = 6

# A worker hangs if it sends nothing and uses no processor time for so many seconds.
PATIENCE = 30


def get_processor_time(pid):
    """The ticks that the process and its children have used."""
    with open(f"/proc/{pid}/stat") as file:
        return sum(map(int, file.read().rpartition(")")[2].split()[11:15]))


class Worker:
    def __init__(self, template, number):
        self.process = template.fork().send_arg(str(number))
        self.connection = self.process.run("hot:work", None)
        self.fd = self.connection.get_socket().get_fd()
        self.output = b""
        self.ticks = -1

    def read(self):
        """Whether the worker goes on."""
        data = os.read(self.fd, 4096)
        self.output += data
        return bool(data)

    def hangs(self):
        before, self.ticks = self.ticks, get_processor_time(self.process.get_pid())
        return before == self.ticks


class HotTest(PythonTest):
    LIMIT = 550

    def collect(self, template):
        """The outputs of all workers, some of which run at once."""
        outputs = []
        selector = selectors.DefaultSelector()
        n_started = 0
        while len(outputs) < N_FORKS:
            while n_started < N_FORKS and len(selector.get_map()) < AT_ONCE:
                worker = Worker(template, n_started)
                selector.register(worker.fd, selectors.EVENT_READ, worker)
                n_started += 1
            ready = selector.select(PATIENCE)
            if not ready:
                for key in selector.get_map().values():
                    self.assertFalse(key.data.hangs(), f"A worker hangs after {key.data.output}")
            for key, _ in ready:
                worker = key.data
                if worker.read():
                    continue
                selector.unregister(worker.fd)
                worker.process.wait(None)
                self.assertEqual(worker.process.get_exit_status(), (True, 0), worker.output)
                outputs.append(worker.output.decode().splitlines())
        selector.close()
        return outputs

    def test_hot(self):
        template = self.new_process("hot")
        outputs = self.collect(template)
        for *parts, _ in outputs:
            self.assertEqual(sorted(parts), ["with_asyncio", "with_dbus", "with_main_loop",
                                             "with_subprocess", "with_threads"])
        numbers = zip(*(json.loads(output[-1]) for output in outputs), strict=True)
        for name, of_one in zip(("random", "GLib", "GLib's UUID", "secrets", "UUID"), numbers,
                                strict=True):
            self.assertEqual(len(set(of_one)), N_FORKS, name)

    def test_frozen(self):
        """The collector does not touch what a template had when it was forked, so that forks share
        its memory."""
        code = "import gc, hot\nfirst = [hot.Node(None)]"
        template = self.new_process("workers").eval(code, None)
        tracked = "[any(object is kept for object in sys.modules['gc'].get_objects())" \
            " for kept in (sys.modules['__main__'].first, sys.modules['hot'].kept)]"
        self.assertEqual(self.evaluate(template.fork(), tracked), [False, False])
        # Each fork has what came since the one before.
        template.eval("second = [hot.Node(None)]", None)
        self.assertEqual(self.evaluate(template.fork(), tracked.replace("first", "second")),
                         [False, False])
        self.assertEqual(self.evaluate(self.new_process("workers").eval(code, None), tracked),
                         [True, True])

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "numpy is not installed")
    def test_numpy(self):
        template = self.new_process("workers").eval("import numpy.random; numpy.random.rand()",
                                                    None)
        numbers = {self.evaluate(template.fork(), "float(sys.modules['numpy.random'].rand())")
                   for _ in range(N_FORKS)}
        self.assertEqual(len(numbers), N_FORKS)


# Has a thread of C that only waits, called NAME.
START_THREAD = '''
import ctypes, os
before = set(os.listdir("/proc/self/task"))
libc = ctypes.CDLL(None)
libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None)
[number] = set(os.listdir("/proc/self/task")) - before
with open(f"/proc/self/task/{number}/comm", "w") as file:
    file.write(NAME)
'''


class ThreadsTest(PythonTest):
    def assert_refused(self, process):
        return self.assert_fails(process.fork(), "workers:describe", AFork.Error.THREADS)

    def test_python_thread(self):
        process = self.new_process("threads")
        message = self.assert_refused(process)
        self.assertRegex(message,
                         "Python's thread “the pump” in pump\\(\\) of .*/threads.py, line 1")
        self.assertIn("it was there after module “threads” was imported", message)

    def test_thread_of_glib(self):
        process = self.new_process().eval("from gi.repository import GLib\n"
                                          "GLib.unix_signal_add(0, 10, lambda: True)", None)
        message = self.assert_refused(process)
        self.assertIn("“gmain”, which was probably started by GLib.unix_signal_add()", message)
        self.assertIn("it was there after code was evaluated", message)

    def test_names_of_threads(self):
        """Threads of libraries are known by their names."""
        for name, starter in (("gmain", "GLib.unix_signal_add()"),
                              ("gdbus", "a D-Bus connection"),
                              ("dconf worker", "Gio.Settings"),
                              ("pool-spawner", "an asynchronous function of Gio"),
                              ("pool-3", "an asynchronous function of Gio, such as"),
                              ("decoder", None)):
            with self.subTest(name=name):
                process = self.new_process().eval(START_THREAD.replace("NAME", repr(name)), None)
                message = self.assert_refused(process)
                self.assertIn(f"“{name}”, which was probably started by {starter}"
                              if starter else f"“{name}” of a library", message)

    def test_executor(self):
        process = self.new_process().eval(
            "from concurrent.futures import ThreadPoolExecutor\n"
            "executor = ThreadPoolExecutor(1, 'my pool')\n"
            "executor.submit(int).result()", None)
        self.assertIn("Python's thread “my pool_0”", self.assert_refused(process))

    def test_thread_that_ends(self):
        process = self.new_process().eval(
            "import threading\nthread = threading.Thread(target=int)\n"
            "thread.start(); thread.join()", None)
        self.assertEqual(self.evaluate(process.fork(), "1 + 1"), 2)

    def test_others_go_on(self):
        process = self.new_process("threads")
        self.assert_refused(process)
        self.assertEqual(self.evaluate(process, "1 + 1"), 2)


main()
