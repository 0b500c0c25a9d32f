# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Maps from Python: arrays, lists of jobs, errors, and the end."""

import signal
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())

LIMIT = 50      # seconds for one test, after which something hangs


def args(what, number=0):
    return GLib.Variant("(su)", (what, number))


class MapTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)
        process = AFork.Process.new().require("pool")
        self.pool = AFork.Pool(process=process, function="pool_do", forward_stderr=False,
                               max_workers=2)

    def tearDown(self):
        self.pool.shutdown(AFork.ShutdownMode.DRAIN, None)
        signal.alarm(0)

    def test_array(self):
        items = GLib.Variant("a(su)", [("echo", i) for i in range(50)])
        squares = self.pool.map(items, AFork.MapFlags.ORDERED)
        squares.props.look_ahead = 5
        self.assertEqual(squares.get_look_ahead(), 5)
        found = []
        while job := squares.next(None):
            self.assertIsNone(job.get_error())
            found.append((job.get_index(), job.props.result.unpack()))
        self.assertEqual(found, [(i, i) for i in range(50)])

    def test_async(self):
        items = GLib.Variant("a(su)", [("echo", 1), ("error", int(Gio.IOErrorEnum.BUSY))])
        results = self.pool.map(items, AFork.MapFlags.UNORDERED)
        jobs = []

        def next_cb(results, result):
            jobs.append(results.next_finish(result))
            if jobs[-1] is not None:
                results.next_async(None, next_cb)

        results.next_async(None, next_cb)
        while not jobs or jobs[-1] is not None:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(sorted(job.props.index for job in jobs[:-1]), [0, 1])
        errors = [job.props.error for job in jobs[:-1] if job.props.error is not None]
        self.assertEqual(len(errors), 1)
        self.assertTrue(errors[0].matches(Gio.io_error_quark(), Gio.IOErrorEnum.BUSY))

    def test_list(self):
        jobs = Gio.ListStore.new(AFork.Job)
        results = self.pool.map_jobs(jobs, AFork.MapFlags.ORDERED)
        self.assertIsNone(results.next(None))
        for i in range(3):
            jobs.append(AFork.Job.new(args("echo", i)))
        self.assertEqual(results.next(None), jobs[0])
        jobs.remove(1)
        self.assertEqual(results.next(None).get_index(), 1)
        self.assertIsNone(results.next(None))
        self.assertEqual(jobs[1].props.state, AFork.JobState.SUCCEEDED)

    def test_errors(self):
        with self.assertRaises(GLib.Error) as context:
            self.pool.map(args("echo"), AFork.MapFlags.ORDERED).next(None)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                  Gio.IOErrorEnum.INVALID_ARGUMENT))
        results = AFork.Map(pool=self.pool, items=GLib.Variant("as", []))
        results.close()
        with self.assertRaises(GLib.Error) as context:
            results.next(None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.CLOSED))


unittest.main()
