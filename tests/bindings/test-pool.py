# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Pools from Python: calls, jobs, properties, signals, errors, and the end."""

import signal
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib, GObject

# The workers are written in C, also where the override is loaded.
AFork.Runtime.set_default(AFork.Runtime.get_native())

LIMIT = 50      # seconds for one test, after which something hangs


def new_pool(**properties):
    process = AFork.Process.new().require("pool")
    return AFork.Pool(process=process, function="pool_do", forward_stderr=False, **properties)


class Monitor(GObject.Object, Gio.Initable, Gio.MemoryMonitor, Gio.PowerProfileMonitor):
    power_saver_enabled = GObject.Property(type=bool, default=False)


def args(what, number=0):
    return GLib.Variant("(su)", (what, number))


class PoolTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def test_async(self):
        pool = AFork.Pool.new(AFork.Process.new().require("pool"), "pool_do")
        pool.props.max_workers = 2
        started, results = [], []
        pool.connect("worker-started", lambda pool, process: started.append(process.get_pid()))
        for i in range(20):
            pool.call_async(args("echo", i), None, lambda pool, result:
                            results.append(pool.call_finish(result).unpack()))
        while len(results) < 20:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(sorted(results), list(range(20)))
        self.assertGreaterEqual(len(started), 1)
        self.assertTrue(pool.shutdown(AFork.ShutdownMode.DRAIN, None))
        self.assertEqual(pool.get_n_workers(), 0)

    def test_templates(self):
        template = AFork.Process.new().require("pool").setenv("KIND", "1")
        other = AFork.Process.new().require("pool").setenv("KIND", "2")
        pool = AFork.Pool(process=template, function="pool_do", max_workers=1, load=1)
        pool.add_template(other, 1)
        self.assertEqual(pool.call(args("kind"), None).unpack(), 1)
        template.force_exit()
        with self.assertRaises(GLib.Error):
            pool.call(args("exit", 1), None)
        self.assertEqual(pool.call(args("kind"), None).unpack(), 1)
        self.assertEqual(pool.props.process, template)
        pool.shutdown(AFork.ShutdownMode.DRAIN, None)

    def test_job(self):
        pool = new_pool(max_workers=1, load=1)
        events = []
        pool.connect("event", lambda pool, event: events.append(event.unpack()))
        job = AFork.Job.new(args("emit", 7))
        job.set_priority(5)
        job.set_key("key")
        job.set_retries(1)
        self.assertEqual((job.props.priority, job.props.key, job.props.retries), (5, "key", 1))
        pid = pool.run_job(job, None).unpack()
        self.assertEqual(job.get_result().unpack(), pid)
        self.assertIsNone(job.get_error())
        self.assertEqual(events, [7])
        self.assertTrue(pool.shutdown(AFork.ShutdownMode.ABORT, None))

    def test_memory(self):
        pool = new_pool(max_workers=1, max_memory=64 << 20)
        exits = []
        pool.connect("worker-exited", lambda pool, process, error: exits.append(error))
        self.assertEqual(pool.get_max_memory(), 64 << 20)
        pool.call(args("grow", 100), None)
        while not exits:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(exits, [None])
        pool.set_max_memory(GLib.MAXUINT64)
        self.assertEqual(pool.props.max_memory, GLib.MAXUINT64)
        self.assertTrue(pool.shutdown(AFork.ShutdownMode.DRAIN, None))

    def test_stats(self):
        pool = new_pool(max_workers=1)
        pid = pool.call(args("pid"), None).unpack()
        stats = pool.get_stats().unpack()
        self.assertEqual((stats["accepted"], stats["results"], stats["errors"]), (1, 1, 0))
        self.assertLessEqual(stats["run-p50"], stats["run-max"])
        self.assertGreater(stats["bytes-sent"], 0)
        self.assertEqual(stats["workers-exited"]["shutdown"], 0)
        worker, = stats["workers"]
        self.assertEqual((worker["pid"], worker["host"], worker["state"]), (pid, "", "idle"))
        pool.shutdown(AFork.ShutdownMode.DRAIN, None)
        self.assertEqual(pool.get_stats().unpack()["workers-exited"]["shutdown"], 1)

    def test_workers(self):
        pool = new_pool(max_workers=1)
        workers = pool.get_workers()
        changes = []
        workers.connect("items-changed", lambda _list, *change: changes.append(change))
        pid = pool.call(args("pid"), None).unpack()
        self.assertEqual(changes, [(0, 0, 1)])
        worker = workers[0]
        self.assertEqual((worker.get_pid(), worker.props.host), (pid, None))
        self.assertIn(worker.props.state, list(AFork.PoolWorkerState.__enum_values__.values()))
        pool.shutdown(AFork.ShutdownMode.DRAIN, None)
        self.assertEqual(changes, [(0, 0, 1), (0, 1, 0)])
        self.assertEqual(worker.get_state(), AFork.PoolWorkerState.EXITED)

    def test_coalesce(self):
        pool = new_pool(max_workers=1, load=1)
        events, results = [], []
        pool.connect("event", lambda pool, event: events.append(event.unpack()))
        for _ in range(3):
            job = AFork.Job(args=args("emit", 7), coalesce=True)
            self.assertTrue(job.get_coalesce())
            pool.run_job_async(job, None, lambda pool, result:
                               results.append(pool.run_job_finish(result).unpack()))
        while len(results) < 3:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(len(set(results)), 1)
        self.assertEqual(events, [7])
        self.assertTrue(pool.shutdown(AFork.ShutdownMode.DRAIN, None))

    def test_adapt(self):
        monitor = Monitor()
        pool = new_pool(max_workers=2, min_idle=2, memory_monitor=monitor, power_monitor=monitor)
        self.assertEqual(pool.get_memory_monitor(), monitor)
        self.assertFalse(pool.props.adaptive)
        for n_idle in [2, 0]:
            while pool.props.n_idle != n_idle:
                GLib.MainContext.default().iteration(True)
            monitor.emit("low-memory-warning", Gio.MemoryMonitorWarningLevel.LOW)
        monitor.power_saver_enabled = True
        self.assertEqual(pool.call(args("echo", 3), None).unpack(), 3)
        pool.set_memory_monitor(None)
        self.assertIsNone(pool.props.memory_monitor)
        self.assertTrue(pool.shutdown(AFork.ShutdownMode.DRAIN, None))

    def test_errors(self):
        pool = new_pool(max_workers=1)
        job = AFork.Job.new(args("error", int(Gio.IOErrorEnum.NOT_FOUND)))
        with self.assertRaises(GLib.Error) as context:
            pool.run_job(job, None)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND))
        self.assertTrue(job.props.error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND))
        self.assertIsNone(pool.props.last_error)
        with self.assertRaises(GLib.Error) as context:
            pool.call(args("signal", int(signal.SIGKILL)), None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.SIGNALED))
        self.assertTrue(pool.props.last_error.matches(AFork.error_quark(), AFork.Error.SIGNALED))
        self.assertEqual(pool.call(args("echo", 3), None).unpack(), 3)

        self.assertEqual(pool.props.quarantine_time, 60000)
        for code in AFork.Error.SIGNALED, AFork.Error.QUARANTINED:
            with self.assertRaises(GLib.Error) as context:
                pool.call(args("signal", int(signal.SIGKILL)), None)
            self.assertTrue(context.exception.matches(AFork.error_quark(), code))
        pool.set_quarantine_time(0)
        with self.assertRaises(GLib.Error) as context:
            pool.call(args("signal", int(signal.SIGKILL)), None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.SIGNALED))
        pool.shutdown(AFork.ShutdownMode.DRAIN, None)
        with self.assertRaises(GLib.Error) as context:
            pool.call(args("echo"), None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.CLOSED))


unittest.main()
