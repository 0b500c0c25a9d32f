# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Operations in asyncio, with the event loop of gi.events, which PyGObject 3.50 and later has."""

import asyncio
import signal
import sys
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

try:
    from gi.events import GLibEventLoopPolicy
except ImportError:
    print("skipped: this PyGObject has no gi.events")
    sys.exit(77)

LIMIT = 50      # seconds for one test, after which something hangs

POLICY = GLibEventLoopPolicy()
asyncio.set_event_loop_policy(POLICY)

NATIVE = AFork.Runtime.get_native()


def new_rpc(function="calls_later", **properties):
    process = AFork.Process.new_for_runtime(NATIVE).require("calls")
    return AFork.Rpc(process=process, function=function, concurrent=function == "calls_later",
                     forward_stderr=False, **properties)


def args(what, number=0):
    return GLib.Variant("(su)", (what, number))


class AsyncioTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def run_async(self, coroutine):
        # asyncio.run() makes an event loop of its own, which this policy refuses for a thread that
        # has a main context.
        return POLICY.get_event_loop().run_until_complete(coroutine)

    def test_results(self):
        async def main():
            async with new_rpc() as rpc:
                operations = [rpc.call_async(args("after", 10 * (5 - i))) for i in range(5)]
                results = [result.unpack() for result in await asyncio.gather(*operations)]
                self.assertEqual([(await operation).unpack() for operation in operations], results)
                await asyncio.sleep(0)
                return results

        self.assertEqual(self.run_async(main()), [50, 40, 30, 20, 10])

    def test_errors(self):
        async def main():
            async with new_rpc("calls_do") as rpc:
                with self.assertRaises(GLib.Error) as context:
                    await rpc.call_async(args("error", int(Gio.IOErrorEnum.BUSY)))
                self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                          Gio.IOErrorEnum.BUSY))
            with self.assertRaises(AFork.Error.Closed):
                await rpc.call_async(args("unit"))

        self.run_async(main())

    def test_cancelled(self):
        """A task that is cancelled cancels the operation that it awaits."""
        async def wait(rpc):
            job = AFork.Job.new(args("never"))
            jobs.append(job)
            await rpc.run_job_async(job)

        jobs = []

        async def main():
            rpc = new_rpc()
            task = asyncio.create_task(wait(rpc))
            await rpc.call_async(args("now"))
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(wait(rpc), 0.05)
            await rpc.call_async(args("now"))
            self.assertEqual([job.get_state() for job in jobs], [AFork.JobState.CANCELLED] * 2)

        self.run_async(main())

    def test_map_and_events(self):
        async def main():
            async with new_rpc("calls_do") as rpc:
                events = rpc.events()
                await rpc.call_async(args("report", 3))
            self.assertEqual([event async for event in events], [0, 1, 2])

            process = AFork.Process.new_for_runtime(NATIVE).require("pool")
            async with AFork.Pool(process=process, function="pool_do", max_workers=2) as pool:
                items = GLib.Variant("a(su)", [("echo", i) for i in range(20)])
                return [job.unpack() async for job in pool.map(items)]

        self.assertEqual(self.run_async(main()), list(range(20)))

    def test_raw(self):
        """PyGObject's own awaitables go on working beside those of AFork."""
        async def main():
            process = AFork.Process.new_for_runtime(NATIVE).require("echo").send("text")
            connection = await process.run_async("echo")
            connection.get_socket().shutdown(False, True)
            data = await connection.get_input_stream().read_bytes_async(100, GLib.PRIORITY_DEFAULT)
            self.assertTrue(await process.wait_async())
            return data.get_data()

        self.assertEqual(self.run_async(main()), b"text")

    def test_other_runners(self):
        async def main():
            coroutine = asyncio.sleep(0)
            with self.assertRaisesRegex(RuntimeError, "asyncio"):
                AFork.run(coroutine)

        self.run_async(main())


if __name__ == "__main__":
    unittest.main()
