#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""AFork from Python: what call-afork.c does, through the typelib of the same build. Called as a
case in C is (case.h); the variant is `echo`."""

import argparse
import os
import sys
import time
from pathlib import Path

import gi

gi.require_version('GIRepository', '2.0')
from gi.repository import GIRepository

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent.parent
GIRepository.Repository.prepend_search_path(str(BUILD / 'introspection'))
GIRepository.Repository.prepend_library_path(
    os.environ.get('AFORK_LIBRARY_FOLDER', str(BUILD / 'afork')))     # another build is compared

gi.require_version('AFork', '1')
from gi.repository import AFork, GLib

ECHOED = b'\x5a' * 64
BYTESTRING = GLib.VariantType.new('ay')

# Looked up once: each time PyGObject makes a new object to call.
new_bytes = GLib.Bytes.new
new_value = GLib.Variant.new_from_bytes


class Series:
    """Calls, some of which are under way at once: the next is made where an answer came."""

    def __init__(self, rpc, count, in_flight):
        self.call_async = rpc.call_async
        self.call_finish = rpc.call_finish
        self.count = count
        self.in_flight = in_flight
        self.n_begun = 0
        self.latencies = []

    def run(self):
        """Returns how long all took, and how long each did."""
        context = GLib.MainContext.default()
        start = time.monotonic_ns()
        for _ in range(min(self.in_flight, self.count)):
            self.begin()
        while len(self.latencies) < self.count:
            context.iteration(True)
        return time.monotonic_ns() - start, self.latencies

    def begin(self):
        self.n_begun += 1
        began = time.monotonic_ns()
        args = new_value(BYTESTRING, new_bytes(ECHOED), True)
        self.call_async(args, None, self.ended, began)

    def ended(self, rpc, result, began):
        data = self.call_finish(result).get_data_as_bytes().get_data()
        assert data == ECHOED, 'a wrong result'
        self.latencies.append(time.monotonic_ns() - began)
        if self.n_begun < self.count:
            self.begin()


def fail(*exception):
    """Ends the program. PyGObject only reports what is raised in a callback, which would then be
    waited for without end."""
    sys.__excepthook__(*exception)
    os._exit(1)


def main():
    sys.excepthook = fail
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('variant', choices=['echo'])
    args = parser.parse_args()

    ballast = bytearray(ECHOED[:1]) * (args.resident_mb << 20)
    process = AFork.Process.new().require(str(FOLDER / 'call-module.so')).fork()
    rpc = AFork.Rpc.new(process, 'call_echo')
    Series(rpc, args.warm_up, args.in_flight).run()
    elapsed, latencies = Series(rpc, args.count, args.in_flight).run()
    del ballast

    print('elapsed-ns', elapsed)
    print('latency-ns', *latencies)


if __name__ == '__main__':
    main()
