# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# Python programs fork themselves: by os.fork(), and by multiprocessing with its method "fork".

import multiprocessing
import os
import signal
import sys
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())


def new_rpc():
    return AFork.Rpc.new(AFork.Process.new().require("calls"), "calls_echo")


def call(rpc, text):
    return rpc.call(GLib.Variant("(s)", (text,)), None).unpack()


def use(rpc, results):
    """In the child: what was there before is lost, and what is made there works."""
    try:
        call(rpc, "lost")
        results.append("not lost")
    except GLib.Error as error:
        results.append(error.matches(AFork.error_quark(), AFork.Error.CLOSED))
    process = rpc.get_process()
    process.send_signal(signal.SIGKILL)
    process.force_exit()
    own = new_rpc()
    results.append(call(own, "own"))
    own.close(None)
    # Their finalizers run in the child.
    del process, rpc, own
    return results


def work(number):
    rpc = new_rpc()
    answer = call(rpc, str(number))
    rpc.close(None)
    return answer


EXPECTED = [True, ("own",)]


def put_used(queue, rpc):
    queue.put(use(rpc, []))


class PlainForkTest(unittest.TestCase):
    def setUp(self):
        self.rpc = new_rpc()
        self.assertEqual(call(self.rpc, "before"), ("before",))

    def tearDown(self):
        self.assertEqual(call(self.rpc, "after"), ("after",))
        self.assertTrue(self.rpc.close(None))

    def test_os_fork(self):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os._exit(0 if use(self.rpc, []) == EXPECTED else 1)
        self.assertEqual(call(self.rpc, "meanwhile"), ("meanwhile",))
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    # The interpreter ends in good order, which drops all objects.
    def test_os_fork_exit(self):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            try:
                sys.exit(0)
            except SystemExit:
                del self.rpc
                os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_process(self):
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        process = context.Process(target=put_used, args=(queue, self.rpc))
        process.start()
        self.assertEqual(queue.get(timeout=60), EXPECTED)
        process.join()
        self.assertEqual(process.exitcode, 0)

    def test_pool(self):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            self.assertEqual(pool.map(work, range(4)), [(str(i),) for i in range(4)])


if __name__ == "__main__":
    unittest.main()
