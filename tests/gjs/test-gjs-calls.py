# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Calls to workers in JavaScript."""

import os
import tempfile

from gjs_harness import AFork, Gio, GLib, GjsTest, main


def get_value(variant):
    """The value of a variant. The override gives the value itself."""
    value = variant.unpack() if isinstance(variant, GLib.Variant) else variant
    return None if value == () else value


class CallsTest(GjsTest):
    def new_rpc(self, function, **properties):
        process = properties.pop("process", None) or self.new_process("served.js")
        return AFork.Rpc(process=process, function=f"served.js:{function}", **properties)

    def call(self, rpc, value):
        return get_value(rpc.call(value, None))

    def assert_call_fails(self, rpc, value, domain=None, code=AFork.Error.EXCEPTION):
        with self.assertRaises(GLib.Error) as context:
            self.call(rpc, value)
        self.assertTrue(context.exception.matches(domain or AFork.error_quark(), code),
                        context.exception)
        return context.exception.message

    def test_values(self):
        rpc = self.new_rpc("echo")
        for value in (None, True, -5, 2**53 - 1, 1.5, "ä", b"\0\xff", [], [1, 2], [1, "x"],
                      {"k": [None, {"deep": []}]}, "x" * 3_000_000):
            self.assertEqual(self.call(rpc, value), value)
        self.assertEqual(self.call(self.new_rpc("variant"), None), (7, ["a"]))
        self.assertTrue(rpc.close(None))

    def test_many(self):
        rpc = self.new_rpc("echo")
        results = []
        for i in range(2000):
            rpc.call_async(GLib.Variant("x", i), None, lambda rpc, result: results.append(
                get_value(rpc.call_finish(result))))
        while len(results) < 2000:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(results, list(range(2000)))

    def test_nothing_is_kept(self):
        """The memory and the descriptors of a worker do not grow with its calls, whether or not
        they fail."""
        rpc = self.new_rpc("evaluate")
        left = 0

        def callback(rpc, result):
            nonlocal left
            left -= 1
            try:
                rpc.call_finish(result)
            except GLib.Error as error:
                self.assertTrue(error.matches(AFork.error_quark(), AFork.Error.EXCEPTION), error)

        sizes = []
        fds = []
        for n_calls in 2000, 10_000, 10_000:
            for i in range(n_calls):
                left += 1
                rpc.call_async(GLib.Variant("s", "null.x" if i % 10 == 0
                                            else "[args, call.blobs, call.cancellable][0]"),
                               None, callback)
                while left > 500:
                    GLib.MainContext.default().iteration(True)
            while left > 0:
                GLib.MainContext.default().iteration(True)
            sizes.append(self.call(rpc, "measure()"))
            fds.append(len(os.listdir(f"/proc/{rpc.get_process().get_pid()}/fd")))
        # An object of 64 bytes for each call would be too many.
        self.assertLess(max(sizes[1:]) - sizes[0], 600_000, sizes)
        self.assertEqual(fds[1:], fds[:1] * 2)

    def test_results_are_freed(self):
        """GJS itself would keep each value that it has made, with its data."""
        rpc = self.new_rpc("evaluate")
        sizes = []
        for _ in range(3):
            for _ in range(300):
                self.assertEqual(len(self.call(rpc, "'x'.repeat(100_000)")), 100_000)
            self.call(rpc, "System.gc()")
            with open(f"/proc/{rpc.get_process().get_pid()}/smaps_rollup",
                      encoding="ascii") as file:
                sizes.append(sum(int(line.split()[1]) for line in file
                                 if line.startswith("Private_Dirty")))
        self.assertLess(sizes[2] - sizes[1], 10_000, sizes)

    def test_functions_of_the_worker(self):
        for init in "init", "initLater":
            process = self.new_process("served.js").send_arg("text")
            process.send_bytes(GLib.Bytes.new(b"bytes"))
            rpc = self.new_rpc("getItems", process=process, init_function=f"served.js:{init}",
                               done_function="served.js:done")
            self.assertEqual(self.call(rpc, None), ["text", list(b"bytes")])
            self.assertTrue(rpc.close(None))
            process.wait(None)
            self.assertEqual(process.get_exit_status(), (True, 0))

    def test_init_fails(self):
        rpc = self.new_rpc("echo", init_function="served.js:initBadly")
        message = self.assert_call_fails(rpc, 1)
        self.assertRegex(message, "^RangeError: there is no database\n"
                                  "initBadly@file://.*/served.js:[0-9]+:[0-9]+$")

    def test_init_exits(self):
        rpc = self.new_rpc("echo", init_function="served.js:initExits", forward_stderr=False)
        self.assertIn("9", self.assert_call_fails(rpc, 1, code=AFork.Error.EXITED))

    def test_no_function(self):
        message = self.assert_call_fails(self.new_rpc("nothing"), 1, code=AFork.Error.FUNCTION)
        self.assertEqual(message, "There is no function “served.js:nothing” in module “served.js”")

    def test_exceptions(self):
        rpc = self.new_rpc("fail")
        message = self.assert_call_fails(rpc, "my message")
        self.assertRegex(message, "^RangeError: my message\n"
                                  "fail@file://.*/served.js:[0-9]+:[0-9]+$")
        # The worker goes on.
        self.assertIn("RangeError: again", self.assert_call_fails(rpc, "again"))
        message = self.assert_call_fails(self.new_rpc("deeper"), "inner")
        self.assertRegex(message, "^TypeError: outer\n(.*\n)*It was caused by RangeError: inner\n"
                                  "fail@")
        rpc = self.new_rpc("evaluate")
        for expression, text in (("(() => {throw 'text'})()", "String: text"),
                                 ("(() => {throw null})()", "null"),
                                 ("(() => {throw {toString() {throw 1}}})()", "Object: its text "
                                  "cannot be shown"),
                                 ("(() => {throw new Error('lone \\ud800 and \\0')})()",
                                  "Error: lone \\ud800 and \\0"),
                                 ("(() => {throw new Error('x'.repeat(2 ** 22))})()", "Error: xxx"),
                                 ("(function f() {f()})()", "InternalError: too much recursion"),
                                 ("() => 1", "TypeError: result"), ("1 +", "SyntaxError: ")):
            message = self.assert_call_fails(rpc, expression)
            self.assertTrue(message.startswith(text), message[:200])
            self.assertLess(len(message), 300_000)
        self.assertEqual(self.call(rpc, "1 + 1"), 2)

    def test_error_of_glib(self):
        message = self.assert_call_fails(self.new_rpc("failAsGLib"), "/no/such/file",
                                         Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND)
        self.assertNotIn("@", message)

    def test_exit(self):
        message = self.assert_call_fails(self.new_rpc("exit", forward_stderr=False), 4,
                                         code=AFork.Error.EXITED)
        self.assertIn("4", message)

    def test_progress(self):
        rpc = self.new_rpc("count")
        job = AFork.Job.new(GLib.Variant("x", 3))
        reports = []
        job.connect("progress", lambda job, value: reports.append(get_value(value)))
        self.assertEqual(get_value(rpc.run_job(job, None)), 3)
        self.assertEqual(reports, [{"i": 0}, {"i": 1}, {"i": 2}])

    def test_events(self):
        rpc = self.new_rpc("emit")
        events = []
        rpc.connect("event", lambda rpc, event: events.append(get_value(event)))
        self.assertIsNone(self.call(rpc, None))
        self.assertEqual(events, ["a variant", {"native": [1, 2]}])

    def cancel_call(self, function):
        """What the function emits when a call is cancelled that has reported progress."""
        rpc = self.new_rpc(function)
        emitted = []
        rpc.connect("event", lambda rpc, event: emitted.append(get_value(event)))
        job = AFork.Job.new(GLib.Variant("()", ()))
        job.connect("progress", lambda job, value: job.cancel())
        with self.assertRaises(GLib.Error) as context:
            rpc.run_job(job, None)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                  Gio.IOErrorEnum.CANCELLED))
        while not emitted:
            GLib.MainContext.default().iteration(True)
        return emitted[0]

    def test_cancelled(self):
        self.assertEqual(self.cancel_call("waitUntilCancelled"), "true true")

    def run_blobs(self, rpc, *blobs):
        job = AFork.Job.new(GLib.Variant("()", ()))
        for data in blobs:
            job.add_blob(GLib.Bytes.new(data))
        value = get_value(rpc.run_job(job, None))
        return value, [blob.get_data() or b"" for blob in job.get_result_blobs() or []]

    def test_blobs(self):
        """Writing to the views of blobs of all sizes changes nothing that is sent later."""
        for properties in {}, {"trusted": False}:
            rpc = self.new_rpc("scribble", **properties)
            for size in 0, 1, 999, 32 * 1024, 1024 * 1024 + 3, 33 * 1024 * 1024:
                for letter in b"a", b"b":
                    value, results = self.run_blobs(rpc, letter * size, b"small")
                    self.assertEqual(value, [f"Uint8Array {size}", "Uint8Array 5"])
                    expected = bytearray(letter * size)
                    expected[::1000] = b"X" * len(expected[::1000])
                    expected[-1:] = b"Y" * len(expected[-1:])
                    self.assertTrue(results[0] == bytes(expected), size)
                    self.assertEqual(results[1], b"XmalY")

    def test_blobs_are_freed(self):
        """The collector does not know how large blobs are."""
        rpc = self.new_rpc("sizes")
        blob = bytes(8 * 1024 * 1024)
        for _ in range(60):
            self.assertEqual(self.run_blobs(rpc, blob)[0], len(blob))
        pid = rpc.get_process().get_pid()
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            self.assertLess(maps.read().count("afork-blob"), 20)

    def test_files(self):
        rpc = self.new_rpc("files")
        job = AFork.Job.new(GLib.Variant("()", ()))
        with tempfile.TemporaryFile() as reader, tempfile.TemporaryFile() as writer:
            reader.write(b"read by the worker")
            reader.flush()
            reader.seek(0)
            job.set_fds(Gio.UnixFDList.new_from_array([os.dup(reader.fileno()),
                                                       os.dup(writer.fileno())]))
            self.assertEqual(get_value(rpc.run_job(job, None)), ["read by the worker", 0])
            writer.seek(0)
            self.assertEqual(writer.read(), b"written by the worker")
        self.assertEqual(job.get_result_fds().get_length(), 1)

    def test_after_the_answer(self):
        """An exception after the answer is printed, and the worker goes on."""
        rpc = self.new_rpc("failAfterwards", forward_stderr=False)
        for i in range(5):
            self.assertEqual(self.call(rpc, i), i)
        self.assertTrue(rpc.close(None))

    def test_odd_results(self):
        """Each call is answered, whatever its function throws or returns, and once."""
        rpc = self.new_rpc("returnOdd", forward_stderr=False)
        for name, expected in (("twice", 1), ("promise", 7), ("noMethod", {"then": 5})):
            self.assertEqual(self.call(rpc, name), expected)
        for name, expected in (("revoked", "."), ("revokedResult", "^TypeError"),
                               ("getter", "^RangeError: from the getter"),
                               ("method", r"^RangeError: from then\(\)"),
                               ("imports", "then")):
            with self.subTest(name):
                self.assertRegex(self.assert_call_fails(rpc, name), expected)
        self.assertTrue(rpc.close(None))


class ConcurrentTest(CallsTest):
    """The same worker serves many calls at a time."""

    def new_rpc(self, function, **properties):
        return super().new_rpc(function, concurrent=True, **properties)

    test_cancelled = None       # a function that does not return to the main loop is not cancelled

    def start_calls(self, rpc, values):
        results = []

        def callback(rpc, result):
            try:
                results.append(get_value(rpc.call_finish(result)))
            except GLib.Error as error:
                results.append(error)
        for value in values:
            rpc.call_async(GLib.Variant("x", value), None, callback)
        while len(results) < len(values):
            GLib.MainContext.default().iteration(True)
        return results

    def test_promises(self):
        rpc = self.new_rpc("doubleLater")
        results = self.start_calls(rpc, range(50))
        self.assertEqual(sorted(results), [2 * i for i in range(50)])
        self.assertTrue(rpc.close(None))

    def test_calls_meet(self):
        self.assertEqual(self.start_calls(self.new_rpc("meet"), [50] * 50), [None] * 50)

    def test_promise_is_cancelled(self):
        self.assertEqual(self.cancel_call("awaitCancelled"), "cancelled: true")

    def test_promise_fails(self):
        rpc = self.new_rpc("failLater")
        self.assertRegex(self.assert_call_fails(rpc, "bad"),
                         "^RangeError: bad\nfailLater@.*served.js:")


    def test_after_the_answer_of_promise(self):
        rpc = self.new_rpc("failAfterwardsLater", forward_stderr=False)
        self.assertEqual(sorted(self.start_calls(rpc, range(20))), list(range(20)))
        self.assertTrue(rpc.close(None))


main()
