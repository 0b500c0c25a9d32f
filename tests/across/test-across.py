# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A caller in Python, of workers in each language: test-across.py WORKER. The calls are those of
calls.ini."""

import json
import os
import pathlib
import signal
import sys
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

PAGE = 4096
LIMIT = 60      # seconds for one call, after which something hangs

WORKER = sys.argv.pop()
FOLDER = pathlib.Path(__file__).parent
FUNCTION = {"native": "values_{}", "python": "values:{}", "gjs": "values.js:{}"}[WORKER]


def read_table():
    """The calls as {group: {key: text}}."""
    file = GLib.KeyFile()
    file.load_from_file(str(FOLDER / "calls.ini"), GLib.KeyFileFlags.NONE)
    return {group: {key: file.get_value(group, key) for key in file.get_keys(group)[0]}
            for group in file.get_groups()[0]}


def get_runtime():
    if WORKER == "native":
        return AFork.Runtime.get_native()
    if WORKER == "python":
        runtime = AFork.Runtime.get_python()
    else:
        runtime = AFork.Runtime.get_gjs()
        # GJS warns about code that fails.
        runtime.set_environ([f"{name}={value}" for name, value in os.environ.items()
                             if name != "G_DEBUG"])
    runtime.set_module_path([str(FOLDER / "modules")])
    return runtime


def from_json(pairs):
    """What JSON has not."""
    for name, value in pairs:
        if name == "$bytes":
            return bytes(value)
        if name == "$integer":
            return int(value)
        if name == "$float":
            return float(value)
    return dict(pairs)


def make_native(call):
    value = json.loads(call["json"], object_pairs_hook=from_json)
    return [value] * int(call["repeat"]) if "repeat" in call else value


def make_variant(call, text):
    if "repeat" in call:
        text = "[" + ", ".join([text] * int(call["repeat"])) + "]"
    return GLib.Variant.parse(None, text, None, None)


def make_result(call):
    return make_variant(call, call.get(f"result-{WORKER}", call.get("result", call["args"])))


def make_blob(size):
    blob = bytearray(size)
    for i in range(0, size, PAGE):
        blob[i] = i // PAGE % 251
    return bytes(blob)


class AcrossTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.calls = read_table()
        cls.template = AFork.Process.new_for_runtime(get_runtime())
        cls.template.require("values.js" if WORKER == "gjs" else "values")
        cls.rpcs = {}

    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def get_rpc(self, function):
        if function not in self.rpcs:
            self.rpcs[function] = AFork.Rpc(process=self.template.fork(), forward_stderr=False,
                                            function=FUNCTION.format(function))
        return self.rpcs[function]

    def assert_same(self, found, expected):
        """Also if the types differ, or one is a negative zero or not a number."""
        if repr(found) != repr(expected):
            self.fail(f"found {repr(found)[:500]} instead of {repr(expected)[:500]}")

    def assert_equal_variants(self, found, expected):
        if not found.equal(expected):
            self.fail(f"found {found.print_(True)[:500]} instead of {expected.print_(True)[:500]}")

    def run_call(self, call, args):
        """Makes one call of the table. Returns its result, or None if it failed as it must."""
        signal.alarm(LIMIT)
        rpc = self.get_rpc(call.get("function", "echo"))
        sizes = [int(size) for size in call.get("blobs", "").split(";") if size]
        fds = [os.memfd_create("across") for _ in range(int(call.get("fds", 0)))]
        for i, fd in enumerate(fds):
            os.write(fd, b"descriptor %d" % i)
        job = AFork.Job.new(args, fds=fds, blobs=[make_blob(size) for size in sizes])
        for fd in fds:
            os.close(fd)
        cancellable = Gio.Cancellable()
        reports, events = [], []

        def progress_cb(job, value):
            reports.append(value.unpack())
            if value.unpack() == call.get("cancel"):
                cancellable.cancel()

        job.connect("progress", progress_cb)
        handler = rpc.connect("event", lambda rpc, value: events.append(value.unpack()))
        result = error = None
        try:
            result = rpc.run_job(job, cancellable)
        except GLib.Error as caught:
            error = caught
        rpc.disconnect(handler)
        numbers = list(range(int(call.get("reports", 0))))
        self.assertEqual(reports, [call["cancel"]] if "cancel" in call else numbers)
        self.assertEqual(events, numbers)

        if "error" in call:
            self.assertEqual(error and f"{error.domain} {error.code}", call["error"])
            message = call.get(f"message-{WORKER}", call.get("message", ""))
            self.assertTrue(error.message.startswith(message), error.message)
            return None
        if error is not None:
            raise error
        files = job.open_fds()
        for i, file in enumerate(files):
            with file:
                self.assertEqual(os.pread(file.fileno(), 100, 0), b"descriptor %d" % i)
        self.assertEqual(len(files), len(fds))
        blobs = job.view_blobs()
        self.assertEqual([len(blob) for blob in blobs], sizes)
        for blob, size in zip(blobs, sizes):
            self.assertTrue(blob == make_blob(size))
            if size > 0:
                blob[size - 1] = 5      # the program's own copy of this page
        return result

    def test_1_variants(self):
        for name, call in self.calls.items():
            if WORKER not in call.get("workers", WORKER).split(";"):
                continue
            with self.subTest(name):
                result = self.run_call(call, make_variant(call, call["args"]))
                if "error" not in call:
                    self.assert_equal_variants(result, make_result(call))
                if call.get("function") in ("exit", "wait", "there_is_none"):
                    del self.rpcs[call["function"]]

    def test_2_values(self):
        """The same with values of Python."""
        for name, call in self.calls.items():
            if "json" not in call or WORKER not in call.get("workers", WORKER).split(";"):
                continue
            with self.subTest(name):
                value = make_native(call)
                result = self.run_call(call, value)
                if "error" not in call:
                    self.assert_same(result, value)
                if WORKER == "native":
                    self.assertEqual(self.get_rpc("print").call(value),
                                     make_variant(call, call["args"]).print_(True))

    def test_3_at_once(self):
        rpc = self.get_rpc("echo")
        calls = [call for call in self.calls.values() if "json" in call]
        values = [make_native(call) for call in calls]

        async def call_all():
            operations = [rpc.call_async(value) for value in values]
            return [await operation for operation in operations]

        for found, expected in zip(AFork.run(call_all()), values):
            self.assert_same(found, expected)

    def test_4_close(self):
        """Each worker that is left exits when it is closed."""
        for rpc in self.rpcs.values():
            self.assertTrue(rpc.close())
            self.assertEqual(rpc.get_process().get_exit_status(), (True, 0))


unittest.main()
