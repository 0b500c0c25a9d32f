# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""AFork.Executor, beside CPython's own tests, which are in test-concurrent-futures.py."""

import asyncio
import concurrent.futures
import functools
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipapp
from concurrent.futures.process import BrokenProcessPool
from unittest import mock

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules"))

import executor_jobs as jobs
import gi
from interruptions import Interruption

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

LIMIT = 120     # in seconds, after which something hangs


class ExecutorTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)


class StartTest(ExecutorTest):
    def test_no_thread(self):
        """Threads cannot be started: none, or not the second one."""
        start = threading.Thread.start
        for n_threads in 0, 1:
            started = []

            def start_some(thread):
                if len(started) >= n_threads:
                    raise RuntimeError("can't start new thread")
                started.append(thread)
                start(thread)

            executor = AFork.Executor(2)
            with mock.patch.object(threading.Thread, "start", start_some):
                with self.assertRaisesRegex(BrokenProcessPool, "can't start new thread"):
                    executor.submit(abs, -1)
            with self.assertRaises(BrokenProcessPool):
                executor.submit(abs, -1)
            executor.shutdown()
            executor.shutdown()
            for thread in started:
                self.assertFalse(thread.is_alive())


    def test_interrupted(self):
        """A signal handler raises an exception while the first thread starts."""
        def interrupt(thread):
            start(thread)
            raise KeyboardInterrupt

        start = threading.Thread.start
        executor = AFork.Executor(2)
        with mock.patch.object(threading.Thread, "start", interrupt):
            self.assertRaises(KeyboardInterrupt, executor.submit, abs, -1)
        with self.assertRaises(BrokenProcessPool):
            executor.submit(abs, -1)
        executor.shutdown()
        self.assertEqual(list_threads(), [])


def list_threads():
    """The threads of executors."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("AFork.Executor")]


class InterruptTest(ExecutorTest):
    """Signal handlers raise exceptions while the main thread waits for an executor to end."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "file")
        self.executor = AFork.Executor(1)
        self.future = self.executor.submit(jobs.await_file, self.path)

    def assert_waits(self):
        """The next shutdown waits until all calls have ended."""
        self.assertFalse(self.future.done())
        jobs.make_file(self.path)
        self.executor.shutdown()
        self.assertTrue(self.future.done())
        self.assertTrue(self.future.result())
        self.assertEqual(list_threads(), [])

    def test_shutdown(self):
        for i in range(3):
            with Interruption("_afork_executor.py"):
                self.executor.shutdown()
        self.assert_waits()

    def test_block(self):
        with Interruption("_afork_executor.py"):
            with self.executor:
                pass
        self.assert_waits()

    def test_kill(self):
        with Interruption("_afork_executor.py"):
            self.executor.shutdown()
        self.executor.kill_workers()
        self.assertIsInstance(self.future.exception(0), BrokenProcessPool)
        self.assertEqual(list_threads(), [])

    def test_before_abort(self):
        """What was interrupted before it ended the calls can be done again."""
        with mock.patch.object(self.executor._calls, "close", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, self.executor.terminate_workers)
        self.executor.terminate_workers()
        self.assertIsInstance(self.future.exception(0), BrokenProcessPool)

    def test_cancel(self):
        """A future whose cancel() was interrupted is cancelled when the executor ends, at last."""
        def interrupt(number):
            remove(number)
            raise KeyboardInterrupt

        while not self.future.running():
            time.sleep(0.001)
        # One more call is given to the worker.
        self.executor.submit(abs, -1)
        future = self.executor.submit(abs, -1)
        remove = self.executor._calls.remove
        with mock.patch.object(self.executor._calls, "remove", interrupt):
            self.assertRaises(KeyboardInterrupt, future.cancel)
        self.assert_waits()
        done, pending = concurrent.futures.wait([future], timeout=LIMIT / 2)
        self.assertEqual(done, {future})
        self.assertTrue(future.cancelled())


class ValuesTest(ExecutorTest):
    @classmethod
    def setUpClass(cls):
        cls.executor = AFork.Executor(2)

    @classmethod
    def tearDownClass(cls):
        cls.executor.shutdown()

    def check(self, value):
        result = self.executor.submit(jobs.echo, value).result()
        self.assertEqual(result, value)
        self.assertIs(type(result), type(value))
        return result

    def test_values(self):
        for value in (None, True, 0, -2**63, 2**64 - 1, 2**200, 1.5, "ä", "\0", "\udc80", b"\0\1",
                      bytearray(b"x"), [], [1, 2], [True, 2], [1.5], ["a", "b"], [None, [()]], (),
                      (1,), {}, {"a": {"b": [1]}}, {1: 2}, {1, 2}, range(3), 1j, ...):
            with self.subTest(value=value):
                self.check(value)
                self.check([value])
                self.check({"key": value})

    def test_subclasses(self):
        """What is of a subclass arrives as one."""
        self.assertIs(self.check(jobs.Color.RED), jobs.Color.RED)
        self.assertEqual(self.check(jobs.Point(1, 2)).y, 2)
        self.assertIs(type(self.check([jobs.Point(1, 2)])[0]), jobs.Point)

    def test_variant(self):
        variant = GLib.Variant("(su)", ("a", 7))
        result = self.executor.submit(jobs.echo, variant).result()
        self.assertEqual(result.get_type_string(), "(su)")
        self.assertEqual(result.unpack(), ("a", 7))

    def test_large(self):
        value = os.urandom(20 << 20)
        self.assertEqual(self.executor.submit(jobs.echo, value).result(), value)
        items = [(i, str(i)) for i in range(60000)]
        self.assertEqual(self.executor.submit(jobs.echo, items).result(), items)

    def test_identity(self):
        """What is in a value twice arrives as one object, as with pickle."""
        row = [0]
        self.assertTrue(self.executor.submit(jobs.are_same, row, row).result())
        first, second = self.executor.submit(jobs.echo, row, row).result()[0]
        self.assertIs(first, second)
        nested = []
        for i in range(60):
            nested = [nested, nested]
        self.assertEqual(len(self.executor.submit(jobs.echo, nested).result()), 2)

    def test_manager(self):
        """An object of a manager of multiprocessing, also in a pickle that hides what it has."""
        with multiprocessing.Manager() as manager:
            shared = manager.list([5])
            for value in shared, jobs.Compressed(shared):
                with AFork.Executor(1) as executor:
                    self.assertEqual(executor.submit(jobs.get_first, value).result(LIMIT), 5)

    def test_functions(self):
        submit = self.executor.submit
        self.assertEqual(submit(pow, 2, 5).result(), 32)
        self.assertEqual(submit(str, 5).result(), "5")
        self.assertEqual(submit(jobs.Counter.get).result(), None)
        self.assertEqual(submit(jobs.Counter().twice, 4).result(), 8)
        self.assertEqual(submit(functools.partial(pow, 3), 2).result(), 9)
        self.assertEqual(submit([3, 1, 2].__len__).result(), 3)
        self.assertEqual(submit(jobs.echo, 1, fn=2, self=3).result(), ((1,), {"fn": 2, "self": 3}))

    def test_unpicklable(self):
        for function, args in ((lambda: 1, ()), (jobs.echo, (threading.Lock(),))):
            future = self.executor.submit(function, *args)
            with self.assertRaises((pickle.PicklingError, AttributeError, TypeError)):
                future.result()
        with self.assertRaisesRegex(TypeError, "lock"):
            self.executor.submit(jobs.return_lock).result()

    def test_exceptions(self):
        with self.assertRaises(ZeroDivisionError) as caught:
            self.executor.submit(divmod, 1, 0).result()
        self.assertIn("ZeroDivisionError", str(caught.exception.__cause__))
        with self.assertRaisesRegex(RuntimeError, "LoudError: salt and pepper") as caught:
            self.executor.submit(jobs.raise_loud).result()
        self.assertIn('raise LoudError("salt", "pepper")', str(caught.exception.__cause__))
        with self.assertRaisesRegex(RuntimeError, "LocalError: nobody can import me"):
            self.executor.submit(jobs.raise_local).result()
        with self.assertRaises(ValueError) as caught:
            self.executor.submit(jobs.raise_lone_surrogate).result()
        self.assertEqual(caught.exception.args, ("\udc80 and \0",))
        self.assertEqual(self.executor.submit(pow, 2, 2).result(), 4)

    def test_odd_exceptions(self):
        """An exception is raised, or its text, whatever its class does. The executor goes on."""
        for error, expected in ((jobs.ReducedError, RuntimeError), (jobs.FrozenError, RuntimeError),
                                (jobs.StrictError, jobs.StrictError)):
            with self.subTest(error=error):
                caught = self.executor.submit(jobs.throw, error, 7).exception(LIMIT)
                self.assertIs(type(caught), expected)
                self.assertIn("7", str(caught))
                self.assertIn("raise error(*args)", str(caught.__cause__))
                self.assertEqual(self.executor.submit(abs, -1).result(LIMIT), 1)
        caught = self.executor.submit(jobs.throw, jobs.SilentError).exception(LIMIT)
        self.assertIn("SilentError", str(caught.__cause__))
        self.assertEqual(self.executor.submit(abs, -2).result(LIMIT), 2)

    def test_thread_goes_on(self):
        """An error in the thread that takes the results fails the future that it belongs to, or, if
        it belongs to none, all futures."""
        with AFork.Executor(1) as executor:
            with mock.patch.object(executor._calls, "_finish", side_effect=SystemExit("finish")):
                error = executor.submit(abs, -1).exception(LIMIT)
            self.assertIsInstance(error, SystemExit)
            self.assertEqual(executor.submit(abs, -2).result(LIMIT), 2)
            with tempfile.TemporaryDirectory() as folder, mock.patch.object(
                    executor._calls, "_finish_all", side_effect=MemoryError("all")):
                path = os.path.join(folder, "submitted")
                futures = [executor.submit(jobs.await_file, path)]
                futures += [executor.submit(abs, i) for i in range(2)]
                jobs.make_file(path)
                for future in futures:
                    error = future.exception(LIMIT)
                    self.assertIsInstance(error, BrokenProcessPool)
                    self.assertIn("MemoryError: all", str(error.__cause__))

    def test_many_in_batches(self):
        """Short calls go to workers in batches, with exceptions and other values among them."""
        futures = []
        for i in range(5000):
            if i % 50 == 7:
                futures.append(self.executor.submit(divmod, i, 0))
            elif i % 50 == 8:
                futures.append(self.executor.submit(jobs.echo, {i}))
            else:
                futures.append(self.executor.submit(jobs.echo, i))
        for i, future in enumerate(futures):
            if i % 50 == 7:
                self.assertIsInstance(future.exception(), ZeroDivisionError)
            else:
                self.assertEqual(future.result(), {i} if i % 50 == 8 else i)


class WorkersTest(ExecutorTest):
    def test_calls_that_wait_for_others(self):
        """A call waits for one that was submitted after it. Calls before both are short, so that
        workers get batches. The second call has to go to another worker."""
        with tempfile.TemporaryDirectory() as folder, AFork.Executor(2) as executor:
            for i in range(20):
                path = os.path.join(folder, str(i))
                short = [executor.submit(abs, n) for n in range(500)]
                waits = executor.submit(jobs.await_file, path)
                more = [executor.submit(abs, n) for n in range(5)]
                makes = executor.submit(jobs.make_file, path)
                self.assertTrue(waits.result())
                self.assertEqual(makes.result(), path)
                for n, future in enumerate(short + more):
                    self.assertEqual(future.result(), n if n < 500 else n - 500)

    def test_results_before_a_long_call(self):
        """A result does not wait for the long call behind it, even in one batch."""
        with tempfile.TemporaryDirectory() as folder, AFork.Executor(1) as executor:
            for i in range(20):
                path = os.path.join(folder, str(i))
                list(executor.map(abs, range(500)))
                short = [executor.submit(abs, n) for n in range(20)]
                waits = executor.submit(jobs.await_file, path)
                for future in short:
                    future.result()
                jobs.make_file(path)
                self.assertTrue(waits.result())

    def test_split_that_fails(self):
        """A batch of short calls with a long one that cannot be split at first is split later, and
        so is the next one. No call is lost."""
        with tempfile.TemporaryDirectory() as folder:
            with AFork.Executor(1, initializer=jobs.fail_to_split, initargs=(2,)) as executor:
                for i in range(20):
                    path = os.path.join(folder, str(i))
                    list(executor.map(abs, range(500)))
                    short = [executor.submit(abs, n) for n in range(20)]
                    waits = executor.submit(jobs.await_file, path)
                    more = [executor.submit(abs, n) for n in range(20)]
                    for n, future in enumerate(short):
                        self.assertEqual(future.result(LIMIT / 2), n)
                    jobs.make_file(path)
                    self.assertTrue(waits.result(LIMIT / 2))
                    self.assertEqual([future.result(LIMIT / 2) for future in more],
                                     list(range(20)))

    def test_parallel(self):
        with tempfile.TemporaryDirectory() as folder, AFork.Executor(3) as executor:
            pids = set(executor.map(jobs.meet, [folder] * 3, [3] * 3))
        self.assertEqual(len(pids), 3)
        self.assertNotIn(None, pids)

    def test_killed(self):
        with AFork.Executor(2) as executor:
            pid = executor.submit(os.getpid).result()
            future = executor.submit(jobs.nap, 60)
            self.assertIn(pid, executor._processes)
            os.kill(pid, signal.SIGKILL)
            with self.assertRaises(BrokenProcessPool) as caught:
                future.result()
            self.assertIn("signal 9", str(caught.exception.__cause__))
            with self.assertRaises(BrokenProcessPool):
                executor.submit(abs, 1)

    def test_pids(self):
        """Programs send signals to the keys of _processes: each is the pid of a worker."""
        with AFork.Executor(2, max_tasks_per_child=1) as executor:
            self.assertEqual(executor._processes, {})
            futures = [executor.submit(os.getpid) for i in range(8)]
            seen = set(executor._processes)
            workers = list(executor._calls.workers)
            self.assertEqual(len(workers), 2)
            while not all(future.done() for future in futures):
                seen.update(executor._processes)
                seen.update(worker.pid for worker in workers)
            pids = {future.result() for future in futures}
            self.assertLessEqual(seen, pids | {None})
            processes = executor._processes
        self.assertEqual(executor._processes, {})
        self.assertNotIn(None, processes)
        for worker in workers:
            self.assertIsNone(worker.pid)

    def test_exits(self):
        with AFork.Executor(1) as executor:
            futures = [executor.submit(jobs.exit_now, 7)] + [executor.submit(abs, 1)] * 3
            with self.assertRaises(BrokenProcessPool) as caught:
                futures[0].result()
            self.assertIn("7", str(caught.exception.__cause__))
            for future in futures[1:]:
                self.assertIsInstance(future.exception(), BrokenProcessPool)

    def test_ended_by_the_caller(self):
        for end in AFork.Executor.terminate_workers, AFork.Executor.kill_workers:
            executor = AFork.Executor(2)
            futures = [executor.submit(jobs.nap, 60) for i in range(5)]
            end(executor)
            for future in futures:
                self.assertIsInstance(future.exception(), BrokenProcessPool)
            executor.shutdown()

    def test_initializer(self):
        with AFork.Executor(2, initializer=jobs.set_value, initargs=([1, {2}],)) as executor:
            futures = [executor.submit(jobs.Counter.get) for i in range(50)]
            for future in futures:
                self.assertEqual(future.result(), [1, {2}])

    def test_results_that_change(self):
        """A result is what it was when the function returned, even if a call behind it changes it,
        and is in the same batch."""
        with AFork.Executor(1, initializer=jobs.set_value, initargs=([],)) as executor:
            results = list(executor.map(jobs.add_to_value, range(300)))
        self.assertEqual([result[-1] for result in results], list(range(300)))

    def test_max_tasks(self):
        with AFork.Executor(1, max_tasks_per_child=2) as executor:
            pids = [executor.submit(os.getpid).result() for i in range(6)]
            self.assertEqual(pids[0::2], pids[1::2])
            self.assertEqual(len(set(pids)), 3)

    def test_cancel(self):
        with tempfile.TemporaryDirectory() as folder, AFork.Executor(1) as executor:
            path = os.path.join(folder, "cancelled")
            first = executor.submit(jobs.await_file, path)
            futures = [executor.submit(abs, i) for i in range(50)]
            self.assertTrue(futures[-1].cancel())
            self.assertTrue(futures[-1].cancel())
            self.assertTrue(futures[-1].cancelled())
            self.assertFalse(futures[-2].running())
            with self.assertRaises(concurrent.futures.CancelledError):
                futures[-1].result()
            jobs.make_file(path)
            self.assertTrue(first.result())
            self.assertFalse(first.cancel())
            done, pending = concurrent.futures.wait(futures)
            self.assertEqual(len(done), 50)

    def test_running(self):
        with tempfile.TemporaryDirectory() as folder, AFork.Executor(1) as executor:
            path = os.path.join(folder, "seen")
            future = executor.submit(jobs.await_file, path)
            executor.submit(abs, 1)
            while not future.running():
                time.sleep(0.001)
            self.assertFalse(future.cancel())
            jobs.make_file(path)
            self.assertTrue(future.result())
            self.assertFalse(future.running())

    def test_dropped_map(self):
        """Calls whose results are not wanted any more are not made, but for those that were given
        to the worker before."""
        with tempfile.TemporaryDirectory() as folder:
            path, log = (os.path.join(folder, name) for name in ("dropped", "log"))
            with AFork.Executor(1) as executor:
                results = executor.map(jobs.log_and_await_file, [log] * 100, [folder] + [path] * 99)
                next(results)
                results.close()
                jobs.make_file(path)
            self.assertLess(os.path.getsize(log), 10)

    def test_threads(self):
        with AFork.Executor(2) as executor, concurrent.futures.ThreadPoolExecutor(8) as threads:
            def run(first):
                return sum(executor.map(abs, range(first, first + 200)))

            sums = list(threads.map(run, range(0, 8000, 1000)))
        self.assertEqual(sums, [sum(range(n, n + 200)) for n in range(0, 8000, 1000)])

    def test_nothing_is_left(self):
        def count():
            # A thread has closed its descriptors when the kernel has removed it, which may be
            # after Python's join().
            while any(os.path.exists(f"/proc/self/task/{thread}") for thread in threads):
                time.sleep(0.001)
            gc.collect()
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                children = len(file.read().split())
            return len(os.listdir("/proc/self/fd")), threading.active_count(), children

        def use():
            with AFork.Executor(2) as executor:
                list(executor.map(abs, range(10)))
                threads.update(thread.native_id for thread in list_threads())

        threads = set()
        use()
        self.assertTrue(threads)
        before = count()
        for i in range(5):
            use()
        self.assertEqual(count(), before)

    def test_fork(self):
        """A fork of the program cannot use the executor, and does not hang."""
        with AFork.Executor(1) as executor:
            executor.submit(abs, 1).result()
            pid = os.fork()
            if pid == 0:
                try:
                    executor.submit(abs, 1)
                except RuntimeError:
                    os._exit(0)
                os._exit(1)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertEqual(executor.submit(abs, -2).result(), 2)

    def test_arguments(self):
        with self.assertRaisesRegex(ValueError, "max_workers"):
            AFork.Executor(0)
        with self.assertRaisesRegex(TypeError, "initializer"):
            AFork.Executor(1, initializer=1)
        for wrong, error in ((0, ValueError), (1.5, TypeError)):
            with self.assertRaises(error):
                AFork.Executor(1, max_tasks_per_child=wrong)
        AFork.Executor(1, mp_context="anything").shutdown()


class LoopTest(ExecutorTest):
    """Where callbacks are called, and that nothing waits for the main loop."""

    def setUp(self):
        super().setUp()
        self.loop = GLib.MainLoop()
        self.executor = AFork.Executor(1)

    def tearDown(self):
        self.executor.shutdown()
        super().tearDown()

    def in_loop(self, function):
        """Calls a function in the main loop, and runs the loop until it is quit."""
        errors = []

        def call():
            try:
                function()
            except BaseException as error:
                errors.append(error)
                self.loop.quit()

        GLib.idle_add(call)
        self.loop.run()
        if errors:
            raise errors[0]

    def test_callbacks_in_the_loop(self):
        threads = []

        def done(future):
            threads.append(threading.current_thread())
            if len(threads) == 100:
                self.loop.quit()

        def start():
            for i in range(100):
                self.executor.submit(abs, i).add_done_callback(done)

        self.in_loop(start)
        self.assertEqual(set(threads), {threading.main_thread()})

    def test_callbacks_without_loop(self):
        called = threading.Event()
        threads = []

        def done(future):
            threads.append(threading.current_thread())
            called.set()

        self.executor.submit(jobs.nap, 0.05).add_done_callback(done)
        self.assertTrue(called.wait(60))
        self.assertNotEqual(threads, [threading.main_thread()])

    def test_waiting_in_the_loop(self):
        """The main loop waits in a callback for results."""
        def start():
            futures = [self.executor.submit(abs, i) for i in range(20)]
            self.assertEqual(futures[0].result(), 0)
            done, pending = concurrent.futures.wait(futures)
            self.assertEqual(len(done), 20)
            futures = [self.executor.submit(abs, i) for i in range(20)]
            self.assertEqual(len(list(concurrent.futures.as_completed(futures))), 20)
            self.assertEqual(list(self.executor.map(abs, range(20))), list(range(20)))
            self.loop.quit()

        self.in_loop(start)

    def test_loop_goes_on(self):
        """The loop is iterated while calls run, and callbacks come in order."""
        order = []
        ticks = []

        def tick():
            ticks.append(None)
            return GLib.SOURCE_CONTINUE

        def done(index, future):
            order.append(index)
            if index == 19:
                self.loop.quit()

        def start():
            for i in range(20):
                self.executor.submit(jobs.nap, 0.01).add_done_callback(functools.partial(done, i))

        source = GLib.timeout_add(5, tick)
        self.in_loop(start)
        GLib.source_remove(source)
        self.assertEqual(order, list(range(20)))
        self.assertGreater(len(ticks), 10)

    def test_loop_that_ends(self):
        """A callback that the loop has not called is called when the executor ends."""
        called = []

        def start():
            future = self.executor.submit(jobs.nap, 0.05)
            future.add_done_callback(lambda future: called.append(future))
            # The loop is busy until the result is there, and does not go on.
            future.result()
            self.loop.quit()

        self.in_loop(start)
        self.executor.shutdown()
        self.assertEqual(len(called), 1)

    def test_shut_down_in_callback(self):
        called = threading.Event()

        def done(future):
            self.executor.shutdown()
            called.set()

        self.executor.submit(jobs.nap, 0.05).add_done_callback(done)
        self.assertTrue(called.wait(60))

    def test_callback_fails(self):
        def start():
            future = self.executor.submit(jobs.nap, 0.02)
            future.add_done_callback(lambda future: 1 / 0)
            future.add_done_callback(lambda future: self.loop.quit())

        with self.assertLogs("concurrent.futures", "ERROR") as logs:
            self.in_loop(start)
        self.assertIn("ZeroDivisionError", logs.output[0])

    def test_callback_and_its_log_fail(self):
        """Callbacks are called after one whose exception cannot be logged."""
        def start():
            future = self.executor.submit(jobs.nap, 0.02)
            future.add_done_callback(lambda future: 1 / 0)
            future.add_done_callback(lambda future: self.loop.quit())

        def refuse(record):
            raise OSError("the log is full")

        logger = logging.getLogger("concurrent.futures")
        logger.addFilter(refuse)
        self.addCleanup(logger.removeFilter, refuse)
        self.in_loop(start)

    def test_callback_raises_anything(self):
        """Callbacks are called after one that raises what is no Exception."""
        def start():
            self.executor.submit(abs, 1).add_done_callback(fail)

        def fail(future):
            self.executor.submit(abs, 2).add_done_callback(lambda future: self.loop.quit())
            raise asyncio.CancelledError

        # Exceptions that leave a callback of the main loop are printed.
        with mock.patch.object(sys, "stderr"):
            self.in_loop(start)

    def test_callback_raises_anything_without_loop(self):
        called = []

        def fail(future):
            called.append(future)
            raise SystemExit("callback")

        with self.assertLogs("concurrent.futures", "ERROR") as logs:
            for i in range(2):
                future = self.executor.submit(jobs.nap, 0.05)
                future.add_done_callback(fail)
                future.add_done_callback(called.append)
                future.result(LIMIT)
            self.executor.shutdown()
        self.assertEqual(len(called), 4)
        self.assertEqual(len(logs.output), 2)
        self.assertIn("SystemExit: callback", logs.output[0])

    def test_cancelled_callback_raises_anything(self):
        """Callbacks that this thread calls: the others are called, and futures are cancelled."""
        called = []

        def fail(future):
            called.append(future)
            raise KeyboardInterrupt

        def add_callbacks(future):
            future.add_done_callback(fail)
            future.add_done_callback(called.append)
            return future

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "begun")
            first = self.executor.submit(jobs.await_file, path)
            while not first.running():
                time.sleep(0.001)
            # One more call is given to the worker.
            self.executor.submit(abs, -1)
            futures = [add_callbacks(self.executor.submit(abs, i)) for i in range(4)]
            last = self.executor.submit(abs, 4)
            self.assertRaises(KeyboardInterrupt, futures[0].cancel)
            self.assertEqual(called, [futures[0]] * 2)
            # What waits for the future does not wait any longer.
            done, pending = concurrent.futures.wait(futures[:1], timeout=LIMIT / 2)
            self.assertEqual(len(done), 1)
            with mock.patch.object(sys, "stderr"):
                self.assertRaises(KeyboardInterrupt, self.executor.shutdown, cancel_futures=True)
            self.assertEqual(len(called), 8)
            self.assertTrue(all(future.cancelled() for future in [*futures, last]))
            jobs.make_file(path)
            self.assertTrue(first.result())
            # The executor was shut down, and the worker exits.
            self.assertTrue(self.executor._calls.ended.wait(LIMIT / 2))

    def test_asyncio(self):
        async def run():
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(self.executor, pow, 2, n) for n in range(20)]
            return await asyncio.gather(*calls)

        self.assertEqual(asyncio.run(run()), [2**n for n in range(20)])


PROGRAM = '''
import sys
import gi
gi.require_version("AFork", "1")
from gi.repository import AFork

class Box:
    def __init__(self, value):
        self.value = value

def double(box):
    return Box(2 * box.value)

def triple(number):
    return 3 * number

print("imported", flush=True)
if __name__ == "__main__":
    with AFork.Executor(1) as executor:
        print(executor.submit(triple, 5).result())
        print(executor.submit(double, Box(4)).result().value)
        print(executor.submit(lambda_free, 1).exception() if "lambda_free" in globals() else None)
'''


class ProgramsTest(ExecutorTest):
    """Functions of the main module, in all the ways in which a program is started."""

    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, text=PROGRAM):
        path = os.path.join(self.folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_python(self, *args, **options):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        result = subprocess.run([sys.executable, *args], env=env, cwd=self.folder.name,
                                capture_output=True, text=True, timeout=LIMIT, check=False,
                                **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def check(self, *args):
        # The worker imports the main module when it needs it, once.
        output = self.run_python(*args)
        self.assertEqual(output.count("imported"), 2)
        self.assertEqual([word for word in output if word != "imported"], ["15", "8", "None"])

    def test_script(self):
        self.check(self.write("program.py"))

    def test_module(self):
        self.write("package/__init__.py", "")
        self.write("package/program.py")
        self.check("-m", "package.program")

    def test_package(self):
        self.write("package/__init__.py", "")
        self.write("package/__main__.py")
        self.check("-m", "package")

    def test_folder(self):
        self.check(os.path.dirname(self.write("folder/__main__.py")))

    def test_zipapp(self):
        self.write("folder/__main__.py")
        path = os.path.join(self.folder.name, "program.pyz")
        zipapp.create_archive(os.path.join(self.folder.name, "folder"), path)
        self.check(path)

    def test_not_needed(self):
        """A program whose functions are elsewhere is not imported, and need not be guarded."""
        path = self.write("program.py", PROGRAM.split("if __name__")[0] + '''
with AFork.Executor(1) as executor:
    print(executor.submit(abs, -5).result())
''')
        self.assertEqual(self.run_python(path), ["imported", "5"])

    def test_text(self):
        """A text about __main__ is no reason to import the program, nor are other attributes than
        its own."""
        self.write("elsewhere.py", """
import sys

def count_attributes(*args):
    return len([name for name in ("__file__", "__path__", "__wrapped__")
                if hasattr(sys.modules["__main__"], name)])
""")
        path = self.write("program.py", PROGRAM.split("if __name__")[0] + '''
import elsewhere
with AFork.Executor(1, initializer=print, initargs=("__main__",)) as executor:
    for value in "__main__", "__mp_main__":
        print(executor.submit(elsewhere.count_attributes, value, {value}).result())
''')
        self.assertEqual(self.run_python(path), ["imported", "__main__", "0", "0"])

    def test_looked_up(self):
        """The program is imported for whatever looks something up in it."""
        self.write("elsewhere.py", """
import pickle

class Pickled:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return pickle.loads, (pickle.dumps(self.value),)

def unpickle(pickled):
    return pickle.loads(pickled).value

def look_up(name):
    import __main__
    return getattr(__main__, name)(5)

def import_all(number):
    content = {}
    exec("from __main__ import *", content)
    return content["triple"](number)

def get_value(box):
    return box.value
""")
        path = self.write("program.py", PROGRAM.split("if __name__")[0] + '''
    import elsewhere, pickle
    for function, value in ((elsewhere.unpickle, pickle.dumps(Box(15))),
                            (elsewhere.look_up, "triple"),
                            (elsewhere.import_all, 5),
                            (elsewhere.get_value, elsewhere.Pickled(Box(15)))):
        with AFork.Executor(1) as executor:
            print(executor.submit(function, value).result())
            print(executor.submit(elsewhere.look_up, "quadruple").exception())
'''.replace("    import", "if __name__ == '__main__':\n    import"))
        error = "module '__mp_main__' has no attribute 'quadruple'"
        output = self.run_python(path)
        self.assertEqual(output.count("imported"), 5)
        self.assertEqual([word for word in output if word != "imported"],
                         4 * ["15", *error.split()])

    def test_executor_in_a_worker(self):
        """A worker's main module is the one of the program, and its own workers import it, too."""
        path = self.write("program.py", PROGRAM.split("if __name__")[0] + '''
def run(number):
    with AFork.Executor(1) as executor:
        number = executor.submit(triple, number).result()
        return executor.submit(double, Box(number)).result().value

if __name__ == "__main__":
    with AFork.Executor(1) as executor:
        print(executor.submit(run, 5).result())
''')
        self.assertEqual(self.run_python(path), 3 * ["imported"] + ["30"])

    def test_import_fails(self):
        """Each call that needs the program gets the error of its import."""
        path = self.write("program.py", """
import gi, sys
gi.require_version("AFork", "1")
from gi.repository import AFork

if __name__ == "__mp_main__":
    sys.exit("not here")

def triple(number):
    return 3 * number

with AFork.Executor(1) as executor:
    for number in 1, 2:
        print(repr(executor.submit(triple, number).exception()).replace(" ", ""))
    print(executor.submit(abs, -5).result())
""")
        self.assertEqual(self.run_python(path), 2 * ["SystemExit('nothere')"] + ["5"])

    def test_command(self):
        """A function of a program that is no file cannot be found."""
        output = self.run_python("-c", PROGRAM.split("if __name__")[0] + '''
with AFork.Executor(1) as executor:
    error = executor.submit(triple, 5).exception()
    print(type(error).__name__, "__main__" in str(error))
    print(executor.submit(abs, -5).result())
''')
        self.assertEqual(output, ["imported", "PicklingError", "True", "5"])

    def test_exit(self):
        """The program ends when its calls have ended, also in a program that never waits."""
        path = self.write("program.py", '''
import gi, time
gi.require_version("AFork", "1")
from gi.repository import AFork
executor = AFork.Executor(1)
executor.submit(time.sleep, 0.2).add_done_callback(
    lambda future: print("done\\n", end=""))
executor.submit(print, "printed\\n", end="", flush=True)
''')
        self.assertEqual(sorted(self.run_python(path)), ["done", "printed"])

    def test_exit_after_interrupt(self):
        """The program ends when its calls have ended, also if a wait for them was interrupted."""
        path = self.write("program.py", '''
import gi, time
gi.require_version("AFork", "1")
from gi.repository import AFork
from interruptions import Interruption
executor = AFork.Executor(1)

def done(future):
    time.sleep(0.2)
    print("done")

executor.submit(time.sleep, 0.2).add_done_callback(done)
with Interruption("_afork_executor.py"):
    executor.shutdown()
print("interrupted")
''')
        self.assertEqual(self.run_python(path), ["interrupted", "done"])

    def test_no_workers(self):
        """If no worker can start, futures say why."""
        path = self.write("program.py", '''
import gi, os
gi.require_version("AFork", "1")
from gi.repository import AFork
AFork.Runtime.get_python().set_property("executable", "/nonexistent/python")
with AFork.Executor(1) as executor:
    error = executor.submit(abs, 1).exception()
    print(type(error).__name__, "/nonexistent/python" in str(error.__cause__))
''')
        self.assertEqual(self.run_python(path), ["BrokenProcessPool", "True"])

    def test_interrupt(self):
        """SIGINT ends the wait for a result."""
        path = self.write("program.py", '''
import gi, os, signal, threading, time
gi.require_version("AFork", "1")
from gi.repository import AFork
executor = AFork.Executor(1)
executor.submit(abs, 1).result()
future = executor.submit(time.sleep, 60)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    future.result()
except KeyboardInterrupt:
    print("interrupted")
    executor.kill_workers()
''')
        self.assertEqual(self.run_python(path), ["interrupted"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
