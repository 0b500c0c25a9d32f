#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Peers: the pools of Python. Called as a case in C is (case.h); a variant is `executor:WHAT` for a
ProcessPoolExecutor or `pool:WHAT` for a multiprocessing.Pool, with the variants of pool-afork.c
`echo`, `spin`, `fresh` and `crash`."""

import argparse
import collections
import multiprocessing
import os
import signal
import struct
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

BYTES = b'\x5a' * 64
SPIN = 0.001            # seconds


def echo(data):
    return data


def spin(data):
    end = time.thread_time() + SPIN
    while time.thread_time() < end:
        pass
    return data


def crash(clock):
    os.pwrite(clock, struct.pack('q', time.monotonic_ns()), 0)
    os.kill(os.getpid(), signal.SIGKILL)


def look_at_clock():
    return time.monotonic_ns()


class Executor:
    """A ProcessPoolExecutor cannot be used once one of its workers has died."""

    def __init__(self, workers, fresh):
        # With `fork`, its default, it does not replace workers after a number of jobs.
        context = multiprocessing.get_context('forkserver' if fresh else 'fork')
        self.arguments = {'max_workers': workers, 'mp_context': context,
                          'max_tasks_per_child': 1 if fresh else None}
        self.pool = ProcessPoolExecutor(**self.arguments)

    def submit(self, function, *args):
        return self.pool.submit(function, *args)

    def get(self, future):
        return future.result()

    def crash(self, clock):
        try:
            self.pool.submit(crash, clock).result()
        except BrokenProcessPool:
            self.pool.shutdown()
            self.pool = ProcessPoolExecutor(**self.arguments)

    def close(self):
        self.pool.shutdown()


class Pool:
    """A multiprocessing.Pool replaces workers that have died, but never ends their jobs."""

    def __init__(self, workers, fresh):
        context = multiprocessing.get_context('fork')
        self.pool = context.Pool(workers, maxtasksperchild=1 if fresh else None)

    def submit(self, function, *args):
        return self.pool.apply_async(function, args)

    def get(self, result):
        return result.get()

    def crash(self, clock):
        self.pool.apply_async(crash, (clock,))

    def close(self):
        self.pool.terminate()


def run_jobs(pool, function, count, in_flight):
    """Returns how long all took, and how long each did."""
    pending = collections.deque()
    latencies = []
    n_begun = 0
    start = time.monotonic_ns()
    while len(latencies) < count:
        if n_begun < count and len(pending) < in_flight:
            pending.append((time.monotonic_ns(), pool.submit(function, BYTES)))
            n_begun += 1
        else:
            began, result = pending.popleft()
            assert pool.get(result) == BYTES, 'a wrong result'
            latencies.append(time.monotonic_ns() - began)
    return time.monotonic_ns() - start, latencies


def crash_once(pool, clock):
    pool.crash(clock)
    now = pool.get(pool.submit(look_at_clock))
    return now - struct.unpack('q', os.pread(clock, 8, 0))[0]


def run_crashes(pool, clock, count, warm_up):
    for _ in range(warm_up):
        crash_once(pool, clock)
    latencies = sorted(crash_once(pool, clock) for _ in range(count))
    print('latency-ns', *latencies)
    print('next-job-ns', latencies[count // 2])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('variant')
    args = parser.parse_args()
    kind, what = args.variant.split(':')

    ballast = bytearray(BYTES[:1]) * (args.resident_mb << 20)
    clock = os.memfd_create('clock')    # before the workers are forked
    pool = {'executor': Executor, 'pool': Pool}[kind](args.workers, what == 'fresh')
    if what == 'crash':
        run_crashes(pool, clock, args.count, args.warm_up)
    else:
        function = spin if what == 'spin' else echo
        run_jobs(pool, function, args.warm_up, args.in_flight)
        elapsed, latencies = run_jobs(pool, function, args.count, args.in_flight)
        print('elapsed-ns', elapsed)
        print('latency-ns', *latencies)
        if what == 'spin':
            at_once = min(args.workers, len(os.sched_getaffinity(0)))
            percent = int(args.count * SPIN * 1e9 * 100 / at_once / elapsed)
            print('efficiency-percent', max(1, percent))
    del ballast

    # The workers may be gone, or have their last job: nothing is left that would have to be waited
    # for.
    sys.stdout.flush()
    pool.close()


if __name__ == '__main__':
    main()
