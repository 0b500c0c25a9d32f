#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Converts a value of Python, and converts it back. Called as a case in C is (case.h); the variants
are WAY:VALUE, where WAY is `afork`, `afork-steps`, `pickle` or `copy`, and VALUE is `bytes`,
`integers`, `tuples` or `dictionaries`."""

import argparse
import pickle
import time
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent.parent
STEP = 2000     # microseconds

VALUES = {
    'bytes': lambda: b'\x5a' * (1 << 20),
    'integers': lambda: list(range(100000)),
    'tuples': lambda: [(i, str(i), i / 3) for i in range(60000)],
    'dictionaries': lambda: [{'number': i, 'name': str(i), 'size': i / 3} for i in range(10000)],
}


def load_afork():
    """Returns the two modules of this build."""
    import importlib.util

    import gi

    gi.require_version('GIRepository', '2.0')
    from gi.repository import GIRepository

    GIRepository.Repository.prepend_search_path(str(BUILD / 'introspection'))
    GIRepository.Repository.prepend_library_path(str(BUILD / 'afork'))
    gi.require_version('AFork', '1')
    path = BUILD / 'introspection/python/gi/overrides/_afork.abi3.so'
    spec = importlib.util.spec_from_file_location('_afork', path)
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    from gi.repository import AFork

    return AFork, extension


def make_afork(value):
    AFork, extension = load_afork()
    take, get_address = AFork.bindings_take_variant, AFork.bindings_get_variant_address

    def pack(value):
        return take(extension.pack(value))

    def unpack(variant):
        return extension.unpack(get_address(variant))

    return pack, unpack


def make_pickle(value):
    return lambda value: pickle.dumps(value, pickle.HIGHEST_PROTOCOL), pickle.loads


def make_copy(value):
    """Copies bytes to memory that is mapped already."""
    copied = memoryview(bytearray(len(value)))

    def copy(value):
        copied[:] = value
        return value

    return copy, copy


def time_each(function, value, count):
    """The processor time of each call of FUNCTION, without dropping what it returns."""
    latencies = []
    for _ in range(count):
        began = time.thread_time_ns()
        result = function(value)
        latencies.append(time.thread_time_ns() - began)
        del result
    return latencies


def run(there, back, value, count):
    """Returns the processor time of each conversion, there and back. One process converts there and
    another one back, so each is repeated by itself, with memory that is mapped already."""
    converted = there(value)
    arrived = back(converted)
    assert len(arrived) == len(value) and arrived[-1] == value[-1], 'a wrong value'
    del arrived
    return [sum(both) for both in zip(time_each(there, value, count),
                                      time_each(back, converted, count))]


def run_steps(value, count):
    """Returns the same of the conversion from a GVariant only, for each of its steps."""
    AFork, extension = load_afork()
    address = extension.pack(value)
    variant = AFork.bindings_take_variant(address)
    steps = []
    start = time.monotonic_ns()
    for _ in range(count):
        unpacker = extension.Unpacker(address)
        is_ready = False
        while not is_ready:
            began = time.thread_time_ns()
            is_ready = unpacker.step(STEP)
            steps.append(time.thread_time_ns() - began)
        assert len(unpacker.take()) == len(value), 'a wrong value'
    elapsed = time.monotonic_ns() - start
    del variant
    return elapsed, steps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('--check', action='store_true', help='only whether AFork is there')
    parser.add_argument('variant', nargs='?', default='pickle:integers')
    args = parser.parse_args()

    if args.check:
        load_afork()
        return

    ballast = bytearray(b'\x5a') * (args.resident_mb << 20)
    way, kind = args.variant.split(':')
    value = VALUES[kind]()
    if way == 'afork-steps':
        run_steps(value, args.warm_up)
        elapsed, steps = run_steps(value, args.count)
        print('elapsed-ns', elapsed)
        print('count', args.count)
        print('latency-ns', *steps)
        print('longest-step-ns', max(steps))
    else:
        make = {'afork': make_afork, 'pickle': make_pickle, 'copy': make_copy}[way]
        there, back = make(value)
        run(there, back, value, args.warm_up)
        latencies = run(there, back, value, args.count)
        print('elapsed-ns', sum(latencies))
        print('latency-ns', *latencies)
        print('conversion-ns', sorted(latencies)[len(latencies) // 2])
    del ballast


if __name__ == '__main__':
    main()
