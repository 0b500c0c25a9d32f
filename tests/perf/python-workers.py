#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Fresh workers in Python, one after the other: each is started, answers once, and exits. Called as
a case in C is (case.h); the variants are WAY:WHAT, where WAY is `afork`, `forkserver` or `spawn` of
multiprocessing, and WHAT is `fresh`, `memory` or `start`. With --check, it only finds out whether
AFork can be used."""

import argparse
import multiprocessing
import os
import time
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from binding import load

MODULE = 'python_jobs'
TICKS = os.sysconf('SC_CLK_TCK')


def get_processor_time(pid):
    """The time of a process, and of its children that have exited, in seconds."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def get_private_kib(pid):
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith('Private_'))


class AForkWorkers:
    def __init__(self):
        self.AFork = load()
        self.template = self.AFork.Process.new().require(MODULE)

    def start(self, function):
        """A worker that has answered."""
        process = self.template.fork()
        connection = process.run(f'{MODULE}:{function}')
        data = connection.get_input_stream().read_bytes(64).get_data()
        assert len(data) == 64, 'a wrong result'
        return process, connection

    def get_pid(self, worker):
        return worker[0].get_pid()

    def end(self, worker):
        process, connection = worker
        connection.close()
        process.wait()

    def get_servers(self):
        """All processes that have a part, but this one and the workers."""
        default = self.AFork.Runtime.get_python().get_template()
        return [default.get_pid(), self.template.get_pid()]


class PeerWorkers:
    def __init__(self, way):
        self.context = multiprocessing.get_context(way)
        self.way = way
        if way == 'forkserver':
            # Its server does not search where the program does, in Python 3.11: it would start
            # without the module, and each worker would import it.
            os.environ['PYTHONPATH'] = str(Path(__file__).resolve().parent)
            self.context.set_forkserver_preload(['__main__', MODULE])
        import python_jobs
        self.jobs = python_jobs

    def start(self, function):
        connection, other = self.context.Pipe()
        process = self.context.Process(target=getattr(self.jobs, f'{function}_peer'),
                                       args=(other,))
        process.start()
        other.close()
        assert len(connection.recv_bytes()) == 64, 'a wrong result'
        return process, connection

    def get_pid(self, worker):
        return worker[0].pid

    def end(self, worker):
        process, connection = worker
        connection.close()
        process.join()

    def get_servers(self):
        if self.way == 'spawn':
            return []
        return [forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid]


def run_fresh(workers, count):
    """Returns how long all took and each, and their processor time, with that of this process and
    of the servers, in seconds."""
    latencies = []
    servers = workers.get_servers()
    before = sum(map(get_processor_time, servers)) + get_processor_time(os.getpid())
    start = time.monotonic_ns()
    for _ in range(count):
        began = time.monotonic_ns()
        workers.end(workers.start('answer'))
        latencies.append(time.monotonic_ns() - began)
    elapsed = time.monotonic_ns() - start
    after = sum(map(get_processor_time, servers)) + get_processor_time(os.getpid())
    return elapsed, latencies, after - before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=20)
    parser.add_argument('--warm-up', type=int, default=3)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('--check', action='store_true')
    parser.add_argument('variant', nargs='?', default='afork:fresh')
    args = parser.parse_args()
    if args.check:
        load()
        return

    way, what = args.variant.split(':')
    ballast = bytearray(b'\x5a') * (args.resident_mb << 20)
    began = time.monotonic_ns()
    workers = AForkWorkers() if way == 'afork' else PeerWorkers(way)
    worker = workers.start('wait' if what == 'memory' else 'answer')
    first = time.monotonic_ns() - began

    if what == 'memory':
        print('worker-kib', get_private_kib(workers.get_pid(worker)))
    elif what == 'start':
        print('first-answer-ns', first)
    workers.end(worker)
    if what == 'fresh':
        run_fresh(workers, args.warm_up)
        elapsed, latencies, processor = run_fresh(workers, args.count)
        print('elapsed-ns', elapsed)
        print('latency-ns', *latencies)
        print('worker-cpu-ns', max(1, int(processor / args.count * 1e9)))
    del ballast


if __name__ == '__main__':
    main()
