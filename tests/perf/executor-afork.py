#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""AFork.Executor, as the peers in pool-python.py are used. Called as a case in C is (case.h); the
variants are `echo`, `spin`, `fresh` and `start`. With --check, it only finds out whether it can be
run."""

import argparse
import collections
import os
import time

from binding import load

BYTES = b'\x5a' * 64
SPIN = 0.001            # seconds


def echo(data):
    return data


def spin(data):
    end = time.thread_time() + SPIN
    while time.thread_time() < end:
        pass
    return data


def run_jobs(executor, function, count, in_flight):
    """Returns how long all took, and how long each did."""
    pending = collections.deque()
    latencies = []
    n_begun = 0
    start = time.monotonic_ns()
    while len(latencies) < count:
        if n_begun < count and len(pending) < in_flight:
            pending.append((time.monotonic_ns(), executor.submit(function, BYTES)))
            n_begun += 1
        else:
            began, future = pending.popleft()
            assert future.result() == BYTES, 'a wrong result'
            latencies.append(time.monotonic_ns() - began)
    return time.monotonic_ns() - start, latencies


def run_starts(executor_type, count):
    latencies = []
    start = time.monotonic_ns()
    for _ in range(count):
        began = time.monotonic_ns()
        with executor_type(1) as executor:
            assert executor.submit(echo, BYTES).result() == BYTES, 'a wrong result'
            latencies.append(time.monotonic_ns() - began)
    return time.monotonic_ns() - start, latencies


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('--check', action='store_true')
    parser.add_argument('variant', nargs='?', default='echo')
    args = parser.parse_args()
    executor_type = load().Executor
    if args.check:
        return

    ballast = bytearray(BYTES[:1]) * (args.resident_mb << 20)
    if args.variant == 'start':
        run_starts(executor_type, min(args.warm_up, 3))
        elapsed, latencies = run_starts(executor_type, args.count)
    else:
        function = spin if args.variant == 'spin' else echo
        executor = executor_type(args.workers,
                                 max_tasks_per_child=1 if args.variant == 'fresh' else None)
        run_jobs(executor, function, args.warm_up, args.in_flight)
        elapsed, latencies = run_jobs(executor, function, args.count, args.in_flight)
    del ballast

    print('elapsed-ns', elapsed)
    print('latency-ns', *latencies)
    if args.variant == 'start':
        print('first-answer-ns', sorted(latencies)[len(latencies) // 2])
    if args.variant == 'spin':
        at_once = min(args.workers, len(os.sched_getaffinity(0)))
        percent = int(args.count * SPIN * 1e9 * 100 / at_once / elapsed)
        print('efficiency-percent', max(1, percent))


if __name__ == '__main__':
    main()
