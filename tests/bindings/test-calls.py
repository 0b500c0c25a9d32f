# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Calls from Python: results, errors, jobs, events, and the end."""

import os
import signal
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())

LIMIT = 50      # seconds for one test, after which something hangs


def new_rpc(function="calls_do", **properties):
    process = AFork.Process.new().require("calls")
    return AFork.Rpc(process=process, function=function, **properties)


def args(what, number=0):
    return GLib.Variant("(su)", (what, number))


class CallsTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def test_async(self):
        rpc = AFork.Rpc.new(AFork.Process.new().require("calls"), "calls_echo")
        results = []
        for i in range(10):
            rpc.call_async(GLib.Variant("u", i), None,
                           lambda rpc, result: results.append(rpc.call_finish(result).unpack()))
        while len(results) < 10:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(results, list(range(10)))
        self.assertTrue(rpc.close(None))

    def test_errors(self):
        rpc = new_rpc(forward_stderr=False)
        with self.assertRaises(GLib.Error) as context:
            rpc.call(args("error", int(Gio.IOErrorEnum.NOT_FOUND)), None)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND))
        self.assertEqual(context.exception.message, "the worker says no")
        with self.assertRaises(GLib.Error) as context:
            rpc.call(args("signal", int(signal.SIGKILL)), None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.SIGNALED))
        self.assertIn("about to die", context.exception.message)

    def test_job(self):
        rpc = new_rpc()
        events, progress, states = [], [], []
        rpc.connect("event", lambda rpc, event: events.append(event.unpack()))
        job = AFork.Job.new(args("report", 3))
        job.connect("progress", lambda job, value: progress.append(value.unpack()))
        job.connect("notify::state", lambda job, spec: states.append(job.props.state))
        self.assertEqual(rpc.run_job(job, None).unpack(), 3)
        self.assertEqual(progress, [0, 1, 2])
        self.assertEqual(events, [0, 1, 2])
        self.assertEqual(states, [AFork.JobState.QUEUED, AFork.JobState.RUNNING,
                                  AFork.JobState.SUCCEEDED])
        self.assertTrue(rpc.close(None))

    def test_blobs_and_descriptors(self):
        rpc = new_rpc()
        job = AFork.Job.new(args("reverse-blobs"))
        self.assertEqual(job.add_blob(GLib.Bytes.new(b"one")), 0)
        self.assertEqual(job.add_blob(GLib.Bytes.new(b"three")), 1)
        self.assertEqual(rpc.run_job(job, None).unpack(), 8)
        self.assertEqual([blob.get_data() for blob in job.get_result_blobs()], [b"three", b"one"])

        job = AFork.Job.new(args("fds"))
        index, = rpc.run_job(job, None).unpack()
        fd = job.get_result_fds().get(index)
        self.assertEqual(os.read(fd, 100), b"from the worker")
        os.close(fd)
        self.assertTrue(rpc.close(None))

    def test_cancelled_and_concurrent(self):
        rpc = new_rpc("calls_later", concurrent=True)
        job = AFork.Job.new(args("never"))
        job.set_timeout(10)
        with self.assertRaises(GLib.Error) as context:
            rpc.run_job(job, None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.TIMED_OUT))
        job = AFork.Job.new(args("now", 5))
        job.cancel()
        with self.assertRaises(GLib.Error) as context:
            rpc.run_job(job, None)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED))
        self.assertEqual(rpc.call(args("now", 5), None).unpack(), 5)


unittest.main()
