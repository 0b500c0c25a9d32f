# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The bytes of blobs in Python: no copy, and what is written to one is seen nowhere else."""

import gc
import signal
import unittest

import gi

gi.require_version("AFork", "1")
from gi.overrides import _afork
from gi.repository import AFork, GLib

LIMIT = 50      # seconds for one test, after which something hangs
SIZES = (0, 1, 1000, 32 * 1024, 1024 * 1024 + 3)


def new_process():
    return AFork.Process.new_for_runtime(AFork.Runtime.get_native()).require("blobs")


def view(blob):
    return _afork.view(AFork.bindings_get_bytes_address(blob), writable=True)


def run(rpc, arguments, *blobs):
    """Runs a job, and returns its result and views of its blobs."""
    job = AFork.Job.new(arguments)
    for blob in blobs:
        job.add_blob(GLib.Bytes.new(blob))
    number = rpc.run_job(job, None)
    return number, [view(blob) for blob in job.get_result_blobs()]


class BlobViewsTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def new_rpc(self, function="blobs_make", **properties):
        rpc = AFork.Rpc(process=new_process(), function=function,
                        **properties)
        self.addCleanup(rpc.close, None)
        return rpc

    def make(self, rpc, size, letter):
        n_segments, views = run(rpc, GLib.Variant("(uuu)", (size, 1, ord(letter))))
        return views[0], n_segments.unpack()

    def check(self, rpc):
        """Writes to blobs of all sizes. The next one in the same memory is as it was sent."""
        for size in SIZES:
            for letter in "abc":
                blob, _ = self.make(rpc, size, letter)
                self.assertEqual((blob.readonly, len(blob)), (False, size))
                self.assertEqual(blob, letter.encode() * size)
                for at in range(0, size, 1000):
                    blob[at] = ord("!")
                    blob[at:at + 100] = b"?" * len(blob[at:at + 100])
                self.assertEqual(bytes(blob[:100]), b"?" * min(100, size))
                del blob
                gc.collect()

    def test_trusted(self):
        self.check(self.new_rpc())

    def test_untrusted(self):
        self.check(self.new_rpc(trusted=False))

    def test_sealed(self):
        """The memory of a large blob of a worker that is not trusted cannot be changed, and the
        view of it can."""
        blob, _ = self.make(self.new_rpc(trusted=False), 33 * 1024 * 1024, "a")
        blob[5_000_000:5_000_003] = b"xyz"
        self.assertEqual(bytes(blob[4_999_999:5_000_004]), b"axyza")

    def test_outlives(self):
        """A view keeps its memory, after its job and its worker."""
        rpc = self.new_rpc()
        first, _ = self.make(rpc, 100_000, "a")
        part = first[1000:1010]
        del first
        second, _ = self.make(rpc, 100_000, "b")
        self.assertEqual(part, b"a" * 10)
        part[0] = ord("!")
        third, _ = self.make(rpc, 100_000, "c")
        rpc.close(None)
        gc.collect()
        self.assertEqual((bytes(part), second[-1], third[0]), (b"!" + b"a" * 9, ord("b"), ord("c")))

    def test_returned(self):
        """The memory is given back with the last view, so that a few segments serve all blobs."""
        rpc = self.new_rpc()
        for _ in range(50):
            blob, n_segments = self.make(rpc, 100_000, "a")
            part = blob[7:9]
            del blob
            part.release()
        with open("/proc/self/maps", encoding="ascii") as maps:
            self.assertLessEqual(maps.read().count("memfd:afork-blob"), 2)

    def test_sent_on(self):
        """A blob that was written to is sent on as it is now."""
        blob, _ = self.make(self.new_rpc(), 100_000, "a")
        blob[0:2] = b"xy"
        _, (copy,) = run(self.new_rpc("blobs_scribble"), GLib.Variant("(uu)", (0, 1)), bytes(blob))
        self.assertEqual(copy, blob)

    def test_equal_jobs(self):
        """Jobs that share one run have blobs of their own."""
        process = new_process()
        pool = AFork.Pool(process=process, function="blobs_make")
        results = []

        def done(pool, result, job):
            (blob,) = map(view, job.get_result_blobs() or [])
            results.append(bytes(blob) == b"a" * 100_000)
            blob[:] = b"!" * 100_000

        for _ in range(3):
            job = AFork.Job.new(GLib.Variant("(uuu)", (100_000, 1, ord("a"))), coalesce=True)
            pool.run_job_async(job, None, done, job)
        while len(results) < 3:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(results, [True] * 3)
        pool.shutdown(AFork.ShutdownMode.DRAIN, None)


if __name__ == "__main__":
    unittest.main()
