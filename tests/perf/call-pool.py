#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Peer: ProcessPoolExecutor with one worker. Called as a case in C is (case.h); the variants are
`echo`, `value:SIZE` and `start` (call-loop.h)."""

import argparse
import collections
import time
from concurrent.futures import ProcessPoolExecutor

FILLING = b'\x5a'
PAGE = 4096
results = {}


def echo(data):
    return data


def make_result(size):
    if size not in results:
        results[size] = FILLING * size
    return results[size]


def check_result(data, size):
    assert len(data) == size and data[::PAGE].count(FILLING) == -(-size // PAGE), 'a wrong result'


def call_of(variant):
    """What is called, with what, and how large its result is."""
    if variant == 'echo':
        return echo, FILLING * 64, 64
    kind, size = variant.split(':')
    assert kind == 'value', 'no such variant'
    return make_result, int(size), int(size)


def run_calls(pool, count, in_flight, variant):
    """Returns how long all took, and how long each did."""
    function, argument, size = call_of(variant)
    pending = collections.deque()
    latencies = []
    n_begun = 0
    start = time.monotonic_ns()
    while len(latencies) < count:
        if n_begun < count and len(pending) < in_flight:
            pending.append((time.monotonic_ns(), pool.submit(function, argument)))
            n_begun += 1
        else:
            began, future = pending.popleft()
            check_result(future.result(), size)
            latencies.append(time.monotonic_ns() - began)
    return time.monotonic_ns() - start, latencies


def run_starts(count):
    latencies = []
    start = time.monotonic_ns()
    for _ in range(count):
        began = time.monotonic_ns()
        with ProcessPoolExecutor(1) as pool:
            check_result(pool.submit(echo, FILLING * 64).result(), 64)
            latencies.append(time.monotonic_ns() - began)
    return time.monotonic_ns() - start, latencies


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('variant')
    args = parser.parse_args()

    ballast = bytearray(FILLING) * (args.resident_mb << 20)
    if args.variant == 'start':
        run_starts(args.warm_up)
        elapsed, latencies = run_starts(args.count)
    else:
        with ProcessPoolExecutor(1) as pool:
            run_calls(pool, args.warm_up, args.in_flight, args.variant)
            elapsed, latencies = run_calls(pool, args.count, args.in_flight, args.variant)
    del ballast

    print('elapsed-ns', elapsed)
    print('latency-ns', *latencies)
    if args.variant == 'start':
        print('first-answer-ns', sorted(latencies)[len(latencies) // 2])


if __name__ == '__main__':
    main()
