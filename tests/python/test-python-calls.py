# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Calls to workers in Python."""

import os
import signal
import tempfile
import unittest

try:
    from gi import events       # of PyGObject 3.50 and later
except ImportError:
    events = None

from harness import AFork, Gio, GLib, PythonTest, main, pack, unpack


class CallsTest(PythonTest):
    def new_rpc(self, function, **properties):
        process = properties.pop("process", None) or self.new_process("served")
        return AFork.Rpc(process=process, function=f"served:{function}", **properties)

    def call(self, rpc, value):
        return unpack(rpc.call(pack(value), None))

    def assert_call_fails(self, rpc, value, domain=None, code=AFork.Error.EXCEPTION):
        with self.assertRaises(GLib.Error) as context:
            self.call(rpc, value)
        self.assertTrue(context.exception.matches(domain or AFork.error_quark(), code),
                        context.exception)
        return context.exception.message

    def test_values(self):
        rpc = self.new_rpc("echo")
        for value in (None, True, -5, 2**63, 1.5, "ä", b"\0\xff", [], [1, 2], [1, "x"], (1, b"2"),
                      {"k": [None, {"deep": ()}]}, "x" * 3_000_000):
            self.assertEqual(self.call(rpc, value), value)
        self.assertEqual(unpack(rpc.call(GLib.Variant("(qa{sv})", (7, {})), None)), (7, {}))
        self.assertTrue(rpc.close(None))

    def test_large_progress(self):
        """A large value that a worker reports is converted in steps, as a large result is."""
        rpc = self.new_rpc("evaluate")
        job = AFork.Job.new(pack("call.report([(i, str(i)) for i in range(60000)])"))
        turns = []

        async def main():
            reports = job.reports()
            await rpc.run_job_async(job)
            turns.clear()
            return [value async for value in reports]

        source = GLib.idle_source_new()
        source.set_callback(lambda data: turns.append(None) or True)
        source.attach(GLib.MainContext.default())
        (value,) = AFork.run(main())
        source.destroy()
        self.assertEqual(value, [(i, str(i)) for i in range(60000)])
        self.assertGreater(len(turns), 3)

    def test_many(self):
        rpc = self.new_rpc("echo")
        results = []
        for i in range(2000):
            rpc.call_async(pack(i), None,
                           lambda rpc, result: results.append(unpack(rpc.call_finish(result))))
        while len(results) < 2000:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(results, list(range(2000)))

    def test_nothing_is_kept(self):
        """The worker keeps no object of calls that are answered, whether or not they fail."""
        rpc = self.new_rpc("evaluate")
        left = 0

        def callback(rpc, result):
            nonlocal left
            left -= 1
            try:
                rpc.call_finish(result)
            except GLib.Error as error:
                self.assertTrue(error.matches(AFork.error_quark(), AFork.Error.EXCEPTION), error)

        counts = []
        for n_calls in 1000, 5000, 5000:
            for i in range(n_calls):
                left += 1
                rpc.call_async(pack("1 / 0" if i % 10 == 0 else "[{'k': args}, call.blobs]"), None,
                               callback)
            while left > 0:
                GLib.MainContext.default().iteration(True)
            counts.append(self.call(rpc, "[__import__('gc').collect(), "
                                    "len(__import__('gc').get_objects())][1]"))
        self.assertLess(max(counts[1:]) - counts[0], 50, counts)

    def test_functions_of_the_worker(self):
        process = self.new_process("served").send_arg("text").send_bytes(GLib.Bytes.new(b"bytes"))
        rpc = self.new_rpc("evaluate", process=process, init_function="served:init",
                           done_function="served:done")
        self.assertEqual(self.call(rpc, "items"), ("text", b"bytes"))
        self.assertEqual(self.call(rpc, "__import__('threading').active_count()"), 1)
        self.assertTrue(rpc.close(None))
        process.wait(None)
        self.assertEqual(process.get_exit_status(), (True, 0))

    def test_init_fails(self):
        rpc = self.new_rpc("echo", init_function="served:init_badly")
        message = self.assert_call_fails(rpc, 1)
        self.assertRegex(message, "^RuntimeError: there is no database\nTraceback (.*\n)*"
                                  ".*/served.py\", line .*, in init_badly")

    def test_no_function(self):
        message = self.assert_call_fails(self.new_rpc("nothing"), 1, code=AFork.Error.FUNCTION)
        self.assertEqual(message, "There is no function “served:nothing” in module “served”")

    def test_exceptions(self):
        rpc = self.new_rpc("fail")
        message = self.assert_call_fails(rpc, "my key")
        self.assertRegex(message, "^KeyError: 'my key'\nTraceback \\(most recent call last\\):\n"
                                  "  File \".*/served.py\", line [0-9]*, in fail\n"
                                  "    raise KeyError\\(args\\)$")
        # The worker goes on.
        self.assertIn("KeyError: 2", self.assert_call_fails(rpc, 2))
        message = self.assert_call_fails(self.new_rpc("deeper"), "inner")
        self.assertRegex(message, "^RuntimeError: outer\n(.*\n)*"
                                  "It was caused by KeyError: 'inner'\n(.*\n)*.*in fail\n")
        rpc = self.new_rpc("evaluate")
        self.assertRegex(self.assert_call_fails(rpc, "sys.exit(3)"), "^SystemExit: 3\n")
        self.assertRegex(self.assert_call_fails(rpc, "{1, 2}"), "^TypeError: result: set ")
        self.assertEqual(self.call(rpc, "1 + 1"), 2)

    def test_error_of_glib(self):
        message = self.assert_call_fails(self.new_rpc("fail_as_glib"), "/no/such/file",
                                         Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND)
        self.assertNotIn("Traceback", message)

    def test_progress(self):
        rpc = self.new_rpc("count")
        job = AFork.Job.new(pack(3))
        reports = []
        job.connect("progress", lambda job, value: reports.append(unpack(value)))
        self.assertEqual(unpack(rpc.run_job(job, None)), 3)
        self.assertEqual(reports, [{"i": 0}, {"i": 1}, {"i": 2}])

    def test_event(self):
        rpc = self.new_rpc("emit")
        events = []
        rpc.connect("event", lambda rpc, event: events.append(unpack(event)))
        self.assertIsNone(self.call(rpc, None))
        self.assertEqual(events, ["an event"])

    def test_cancelled(self):
        self.assertEqual(self.cancel_call("wait_until_cancelled"), "g-io-error-quark 19")

    def cancel_call(self, function):
        """What the function emits when a call is cancelled that has reported progress."""
        rpc = self.new_rpc(function)
        emitted = []
        rpc.connect("event", lambda rpc, event: emitted.append(unpack(event)))
        job = AFork.Job.new(pack(None))
        job.connect("progress", lambda job, value: job.cancel())
        with self.assertRaises(GLib.Error) as context:
            rpc.run_job(job, None)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                  Gio.IOErrorEnum.CANCELLED))
        while not emitted:
            GLib.MainContext.default().iteration(True)
        return emitted[0]

    def test_blobs(self):
        rpc = self.new_rpc("blobs")
        job = AFork.Job.new(pack(None))
        large = bytes(3_000_000)
        for data in b"small", large:
            job.add_blob(GLib.Bytes.new(data))
        self.assertEqual(unpack(rpc.run_job(job, None)), ["memoryview", "memoryview"])
        self.assertEqual([blob.get_data() for blob in job.get_result_blobs()],
                         [b"Xmall", b"X" + large[1:]])

    def test_files(self):
        rpc = self.new_rpc("files")
        job = AFork.Job.new(pack(None))
        with tempfile.TemporaryFile() as file:
            file.write(b"read by the worker")
            file.flush()
            with open(f"/proc/self/fd/{file.fileno()}", "rb") as reader, \
                    tempfile.TemporaryFile() as writer:
                job.set_fds(Gio.UnixFDList.new_from_array([os.dup(reader.fileno()),
                                                           os.dup(writer.fileno())]))
                data, modes, index = unpack(rpc.run_job(job, None))
                writer.seek(0)
                self.assertEqual(writer.read(), b"written by the worker")
        self.assertEqual((data, modes, index), (b"read by the worker", ["rb", "rb+"], 0))
        fd = job.get_result_fds().get(0)
        self.assertEqual(os.read(fd, 100), b"from a pipe")
        os.close(fd)

    def test_interrupt(self):
        for expression, text in (("os.kill(os.getpid(), 2)", "KeyboardInterrupt"),
                                 ("__import__('threading').Timer(0.1, os.kill, "
                                  "(os.getpid(), 2)).start()", "")):
            rpc = self.new_rpc("evaluate", forward_stderr=False)
            try:
                while True:
                    self.call(rpc, expression)
                    expression = "None"
            except GLib.Error as error:
                self.assertTrue(error.matches(AFork.error_quark(), AFork.Error.SIGNALED), error)
                self.assertIn(text, error.message)


class ConcurrentTest(CallsTest):
    """The same worker serves many calls at a time."""

    def new_rpc(self, function, **properties):
        return super().new_rpc(function, concurrent=True, **properties)

    def start_call(self, rpc, value, results):
        def callback(rpc, result):
            try:
                results.append(unpack(rpc.call_finish(result)))
            except GLib.Error as error:
                results.append(error)
        rpc.call_async(pack(value), None, callback)

    def await_results(self, results, n):
        while len(results) < n:
            GLib.MainContext.default().iteration(True)

    def test_interrupt(self):
        rpc = self.new_rpc("evaluate", forward_stderr=False)
        with self.assertRaises(GLib.Error) as context:
            while True:
                self.call(rpc, "os.kill(os.getpid(), 2)")
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.SIGNALED))

    test_cancelled = None       # a function that does not return to the main loop is not cancelled

    def test_coroutines(self):
        rpc = self.new_rpc("double_later")
        results = []
        for i in range(50):
            self.start_call(rpc, i, results)
        self.await_results(results, 50)
        self.assertEqual(sorted(results), [2 * i for i in range(50)])
        self.assertTrue(rpc.close(None))

    def test_calls_meet(self):
        rpc = self.new_rpc("meet")
        results = []
        for _ in range(50):
            self.start_call(rpc, 50, results)
        self.await_results(results, 50)
        self.assertEqual(results, [None] * 50)

    def test_generator(self):
        """A generator is no coroutine, and cannot be sent."""
        message = self.assert_call_fails(self.new_rpc("evaluate"), "(i for i in range(3))")
        self.assertRegex(message, "^TypeError: result: generator cannot be sent")

    def test_map_items(self):
        """An item of a map arrives as the argument of a call does."""
        values = [None, (), [], {}, (1,), [()], (None,), [None], ((), 2), 0, "", b"",
                  GLib.Variant("u", 3), GLib.Variant("()", ()), GLib.Variant("mi", None),
                  GLib.Variant("v", GLib.Variant("u", 1))]
        with AFork.Pool(process=self.new_process("served"), function="served:show") as pool:
            called = []
            for value in values:
                result = pool.call(value)
                called.append(result.unpack() if isinstance(value, GLib.Variant) else result)
            self.assertEqual(called[:13], [repr(value) for value in values[:12]] + ["3"])
            self.assertEqual([job.unpack() for job in pool.map(values)], called)
            for value, result in zip(values, called):
                self.assertEqual([job.unpack() for job in pool.map([value])], [result])
        with self.assertRaisesRegex(TypeError, r"^items\[1\]\[0\]: set cannot be sent"):
            AFork.Pool(process=self.new_process("served"), function="served:show").map(
                [(), [{1}]])

    def test_coroutine_is_cancelled(self):
        self.assertEqual(self.cancel_call("await_cancelled"),
                         "Error" if events is None else "CancelledError")

    @unittest.skipIf(events is None, "this PyGObject has no event loop for asyncio")
    def test_asyncio(self):
        rpc = self.new_rpc("use_asyncio")
        results = []
        for i in range(20):
            self.start_call(rpc, "x" * i, results)
        self.await_results(results, 20)
        self.assertEqual(sorted(results), [("slept", i) for i in range(20)])

    def test_coroutine_fails(self):
        rpc = self.new_rpc("fail_later")
        message = self.assert_call_fails(rpc, "bad")
        self.assertRegex(message, "^ValueError: bad\nTraceback (.*\n)*.*served.py\", line .*, in "
                                  "fail_later\n")
        self.assertRegex(self.assert_call_fails(rpc, 7), "^SystemExit: 7\n")


main()
