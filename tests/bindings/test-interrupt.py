# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Signals during blocking calls: Python's handlers run, and what they raise ends the call and is
raised where the call stands."""

import dis
import functools
import os
import signal
import socket
import sys
import threading
import time
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib, GObject

OVERRIDE = sys.modules["gi.overrides.AFork"]

LIMIT = 50      # seconds for one test, after which something hangs

NATIVE = AFork.Runtime.get_native()
MAIN = threading.main_thread().ident


def new_process(module="calls"):
    return AFork.Process.new_for_runtime(NATIVE).require(module)


def new_rpc(function="calls_do", **properties):
    return AFork.Rpc(process=new_process(), function=function, forward_stderr=False, **properties)


def args(what, number=0):
    return GLib.Variant("(su)", (what, number))


class Sender(threading.Thread):
    """Does something, once or several times, when the main thread waits in poll(2): that is, in a
    blocking call. By default, it sends a signal."""

    def __init__(self, number=signal.SIGINT, times=1, action=None):
        super().__init__()
        self.action = action or (lambda: signal.pthread_kill(MAIN, number))
        self.times = times
        self.sent_at = []
        self.start()

    def run(self):
        for _ in range(self.times):
            while not self.is_waiting():
                time.sleep(0.001)
            self.sent_at.append(time.monotonic())
            self.action()

    def is_waiting(self):
        with open(f"/proc/self/task/{os.getpid()}/wchan") as file:
            if "poll" in file.read():
                return True
        with open(f"/proc/self/task/{os.getpid()}/syscall") as file:
            return file.read().split()[0] in ("7", "271")


class Raiser:
    """Raises InterruptedError in the functions of the override, at the place that has NUMBER among
    those where the interpreter runs signal handlers: after it has begun a function, called one, or
    jumped back."""

    def __init__(self, number):
        self.number = number
        self.has_raised = False
        self.last = {}          # the instructions that frames have run last, by their ids

    def __enter__(self):
        sys.settrace(self.trace_call)

    def __exit__(self, exc_type, exc_value, traceback):
        sys.settrace(None)
        if self.has_raised and exc_type is not InterruptedError:
            raise AssertionError("The exception of the signal handler was lost")
        return self.has_raised

    def trace_call(self, frame, event, arg):
        if frame.f_code.co_filename != OVERRIDE.__file__:
            return None
        frame.f_trace_opcodes = True
        self.last.pop(id(frame), None)
        return self.trace_instruction

    def trace_instruction(self, frame, event, arg):
        if event == "opcode":
            name = get_instructions(frame.f_code).get(self.last.get(id(frame)), "")
            self.last[id(frame)] = frame.f_lasti
            if name.startswith(("RESUME", "CALL", "JUMP_BACKWARD")):
                self.number -= 1
                if self.number < 0:
                    self.has_raised = True
                    raise InterruptedError
        return self.trace_instruction


@functools.cache
def get_instructions(code):
    return {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}


class InterruptTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def assert_interrupted(self, call, *arguments):
        sender = Sender()
        try:
            call(*arguments)
            self.fail("was not interrupted")
        except KeyboardInterrupt as error:
            taken = time.monotonic() - sender.sent_at[0]
            self.assertEqual(error.__traceback__.tb_frame.f_code.co_filename, __file__)
        sender.join()
        self.assertEqual(signal.set_wakeup_fd(-1), -1)
        self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)
        return taken

    def test_within_100_ms(self):
        """On a busy machine, some attempts take longer, because other programs run."""
        rpc = new_rpc()
        n_prompt = 0
        while n_prompt < 3:
            n_prompt += self.assert_interrupted(rpc.call, args("stuck")) < 0.1
        rpc.get_process().force_exit()

    def test_calls(self):
        rpc = new_rpc()
        self.assert_interrupted(rpc.call, args("stuck"))
        self.assert_interrupted(rpc.run_job, AFork.Job.new(args("stuck")))
        rpc.get_process().force_exit()

    def test_close(self):
        rpc = new_rpc()
        rpc.call_async(args("stuck"))
        self.assert_interrupted(rpc.close)
        rpc.get_process().force_exit()

    def test_process(self):
        process = new_process("lifecycle")
        process.run("forever")
        self.assert_interrupted(process.wait)
        process.force_exit()
        process.wait()

    def test_pool(self):
        pool = AFork.Pool(process=new_process("pool"), function="pool_do", max_workers=1)
        self.assert_interrupted(pool.call, args("stuck"))
        jobs = pool.map(GLib.Variant("a(su)", [("stuck", 0)]))
        self.assert_interrupted(jobs.next)
        self.assert_interrupted(lambda: next(jobs))
        self.assert_interrupted(pool.shutdown, AFork.ShutdownMode.DRAIN)
        pool.shutdown(AFork.ShutdownMode.ABORT)

    def test_pool_events(self):
        """After shutdown() was interrupted, events end when the shutdown ends."""
        async def collect():
            return [event async for event in events]

        async def get_event():
            return await events.__anext__()

        async def shut_down():
            await pool.shutdown_async(AFork.ShutdownMode.ABORT)

        for is_shut_down_again in False, True:
            pool = AFork.Pool(process=new_process("pool"), function="pool_do", max_workers=1)
            events = pool.events()
            job = pool.call_async(args("stuck"))
            self.assertEqual(AFork.run(get_event()), "stuck")
            self.assert_interrupted(pool.shutdown, AFork.ShutdownMode.DRAIN)
            if is_shut_down_again:
                AFork.run(shut_down())
            else:
                job.cancel()
            self.assertEqual(AFork.run(collect()), [])
            with self.assertRaises(GLib.Error):
                job.result()
            with self.assertRaises(AFork.Error.Closed):
                pool.call(args("unit"))
            self.assertTrue(pool.shutdown(AFork.ShutdownMode.DRAIN))

    def test_cancellable_of_caller(self):
        """It is not cancelled, and still works."""
        cancellable = Gio.Cancellable.new()
        rpc = new_rpc("calls_later", concurrent=True)
        self.assert_interrupted(rpc.call, args("never"), cancellable)
        self.assertFalse(cancellable.is_cancelled())
        sender = Sender(action=cancellable.cancel)
        with self.assertRaises(GLib.Error) as context:
            rpc.call(args("never"), cancellable)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
        sender.join()

    def test_handler_that_returns(self):
        """The call goes on, however often that happens."""
        calls = []
        old = signal.signal(signal.SIGUSR1, lambda number, frame: calls.append(number))
        try:
            rpc = new_rpc("calls_later", concurrent=True)
            rpc.call(args("now"))
            sender = Sender(signal.SIGUSR1, 5)
            self.assertEqual(rpc.call(args("after", 300)).unpack(), 300)
            sender.join()
            rpc.close()
        finally:
            signal.signal(signal.SIGUSR1, old)
        self.assertGreaterEqual(len(calls), 1)

    def test_handler_that_raises(self):
        def handler(number, frame):
            raise TimeoutError("too long")

        old = signal.signal(signal.SIGUSR1, handler)
        try:
            rpc = new_rpc()
            sender = Sender(signal.SIGUSR1)
            with self.assertRaisesRegex(TimeoutError, "too long"):
                rpc.call(args("stuck"))
            sender.join()
            rpc.get_process().force_exit()
        finally:
            signal.signal(signal.SIGUSR1, old)

    def test_handler_that_calls(self):
        """A signal handler may make a blocking call of its own."""
        results = []
        other = new_rpc("calls_echo")

        def handler(number, frame):
            results.append(other.call(GLib.Variant("s", "inner")).unpack())
            raise InterruptedError

        old = signal.signal(signal.SIGUSR1, handler)
        try:
            rpc = new_rpc()
            sender = Sender(signal.SIGUSR1)
            with self.assertRaises(InterruptedError):
                rpc.call(args("stuck"))
            sender.join()
            rpc.get_process().force_exit()
        finally:
            signal.signal(signal.SIGUSR1, old)
        self.assertEqual(results, ["inner"])
        other.close()

    def test_any_place(self):
        """A handler raises before, in or after the call. Nothing that the call sets up remains."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        cancellable = Gio.Cancellable.new()
        signal_id = GObject.signal_lookup("cancelled", Gio.Cancellable)
        rpc = new_rpc()
        rpc.call(args("unit"))
        number = 0
        raiser = None
        signal.set_wakeup_fd(theirs.fileno())
        try:
            while raiser is None or raiser.has_raised:
                raiser = Raiser(number)
                with self.subTest(number=number):
                    with raiser:
                        rpc.call(args("unit"), cancellable)
                    self.assertEqual(OVERRIDE._signal_handlers._calls, [])
                    self.assertEqual(signal.set_wakeup_fd(theirs.fileno()), theirs.fileno())
                    self.assertEqual(0, GObject.signal_handler_find(
                        cancellable, GObject.SignalMatchType.ID, signal_id, 0, None, None, None))
                number += 1
        finally:
            signal.set_wakeup_fd(-1)
            ours.close()
            theirs.close()
        self.assertGreater(number, 20)
        rpc.close()

    def test_closed_wakeup_fd(self):
        """The descriptor that other code has set is closed during the call, and not set again."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        rpc = new_rpc("calls_later", concurrent=True)
        rpc.call(args("now"))
        old = signal.signal(signal.SIGUSR1, lambda number, frame: theirs.close())
        signal.set_wakeup_fd(theirs.fileno())
        try:
            sender = Sender(signal.SIGUSR1)
            self.assertEqual(rpc.call(args("after", 300)).unpack(), 300)
            sender.join()
            self.assertEqual(signal.set_wakeup_fd(-1), -1)
        finally:
            signal.signal(signal.SIGUSR1, old)
            ours.close()
        rpc.close()

    def test_nested(self):
        """A blocking call within a handler of an object, within another one."""
        inner = new_rpc()
        outer = new_rpc()
        caught = []

        def event_cb(rpc, event):
            sender = Sender()
            try:
                inner.call(args("stuck"))
            except KeyboardInterrupt:
                caught.append(True)
            sender.join()

        outer.connect("event", event_cb)
        self.assertEqual(outer.call(args("report", 1)).unpack(), 1)
        self.assertEqual(len(caught), 1)
        inner.get_process().force_exit()
        outer.close()

    def test_in_main_loop(self):
        """PyGObject has a handler of its own while a main loop runs."""
        loop = GLib.MainLoop()
        rpc = new_rpc()
        caught = []

        def idle_cb():
            sender = Sender()
            try:
                rpc.call(args("stuck"))
            except KeyboardInterrupt:
                caught.append(True)
            sender.join()
            return GLib.SOURCE_REMOVE

        GLib.idle_add(idle_cb)
        with self.assertRaises(KeyboardInterrupt):
            loop.run()
        self.assertEqual(len(caught), 1)
        rpc.get_process().force_exit()

    def test_wakeup_fd(self):
        """The descriptor that other code has set gets the signal, too, and is set again."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        try:
            rpc = new_rpc()
            sender = Sender()
            with self.assertRaises(KeyboardInterrupt):
                rpc.call(args("stuck"))
            sender.join()
            self.assertEqual(ours.recv(10), bytes([signal.SIGINT]))
            rpc.get_process().force_exit()
        finally:
            self.assertEqual(signal.set_wakeup_fd(-1), theirs.fileno())
            ours.close()
            theirs.close()

    def test_run(self):
        """AFork.run() cancels what the coroutine awaits, and lets the coroutine end."""
        rpc = new_rpc("calls_later", concurrent=True)
        steps = []

        async def main():
            try:
                await rpc.call_async(args("never"))
            except GLib.Error as error:
                steps.append(error.code)
                steps.append((await rpc.call_async(args("now", 7))).unpack())
                raise

        sender = Sender()
        with self.assertRaises(KeyboardInterrupt):
            AFork.run(main())
        sender.join()
        self.assertEqual(steps, [Gio.IOErrorEnum.CANCELLED, 7])

    def test_fork(self):
        """A child has sockets of its own."""
        rpc = new_rpc()
        rpc.call(args("unit"))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child = new_rpc()
                sender = Sender()
                try:
                    child.call(args("stuck"))
                except KeyboardInterrupt:
                    status = 0
                child.get_process().force_exit()
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        self.assert_interrupted(rpc.call, args("stuck"))
        rpc.get_process().force_exit()

    def test_no_descriptors_left(self):
        rpc = new_rpc()
        rpc.call(args("unit"))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            rpc.call(args("unit"))
        process = rpc.get_process()
        rpc.close()
        process.wait()
        del rpc, process
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before)


if __name__ == "__main__":
    if not os.path.exists("/proc/self/syscall"):
        print("skipped: the kernel does not say when a thread waits")
        sys.exit(77)
    unittest.main()
