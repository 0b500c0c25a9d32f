#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of AFork.Executor: small jobs and jobs of a millisecond, a fresh process for each
job, and executors that are made for one job. README.md says more."""

import sys

from bench import PROCESSORS, Figure, Requirement, Suite, main
from cases import case
from plot import Panel

COUNTS = (1, 2, 4)
IN_FLIGHT = 256
N_MILLISECONDS = 600            # jobs of a millisecond in a round, for each processor in use

BINDING = Requirement(
    command=('{programs}/executor-afork.py', '--check'),
    missing='PyGObject is not installed (Debian has it in python3-gi), or the build is without '
            'introspection or without the Python extension, which needs python3-dev',
)
PYTHON = Requirement(
    command=('/usr/bin/python3', '-c', 'import concurrent.futures'),
    missing='Python is not installed (Debian has it in python3)',
)

# Name, title, kind, program, prefix of the variant, requirement, and how many small jobs a round
# has.
EXECUTORS = [
    ('ppe', 'ProcessPoolExecutor', 'peer', 'pool-python.py', 'executor:', PYTHON, 4000),
    ('pool', 'multiprocessing.Pool', 'peer', 'pool-python.py', 'pool:', PYTHON, 6000),
    ('afork', 'AFork.Executor', 'ours', 'executor-afork.py', '', BINDING, 20000),
]


def workers(count):
    return f'{count} worker' + ('s' if count > 1 else '')


def small(n):
    return f'64 bytes, {workers(n)}'


def millisecond(n):
    return f'1 ms, {workers(n)}, all processors'


FRESH = 'a fresh process for each job'
START = 'an executor for each job'

CASES = [
    case(f'{name}-{n}', title, small(n), kind, program, f'{prefix}echo', count=count,
         in_flight=IN_FLIGHT, workers=n, requirement=requirement)
    for n in COUNTS
    for name, title, kind, program, prefix, requirement, count in EXECUTORS
] + [
    case(f'{name}-spin-{n}', title, millisecond(n), kind, program, f'{prefix}spin',
         count=N_MILLISECONDS * min(n, len(PROCESSORS)), quick=100, in_flight=64, workers=n,
         requirement=requirement, all_processors=True)
    for n in COUNTS
    for name, title, kind, program, prefix, requirement, _ in EXECUTORS
] + [
    case('afork-fresh', 'AFork.Executor: max_tasks_per_child 1', FRESH, 'ours',
         'executor-afork.py', 'fresh', count=200, in_flight=16, workers=2, requirement=BINDING),
    case('ppe-fresh', 'ProcessPoolExecutor: max_tasks_per_child 1', FRESH, 'peer',
         'pool-python.py', 'executor:fresh', count=60, in_flight=16, workers=2,
         requirement=PYTHON),
    case('afork-start', 'AFork.Executor', START, 'ours', 'executor-afork.py', 'start', count=10,
         requirement=BINDING),
]

PEERS = [(name, title) for name, title, *_ in EXECUTORS if name != 'afork']
BOUNDS = {'ppe': (2, 4)}

FIGURES = [
    Figure(f'small-{n}-{name}',
           f'jobs/s, {workers(n)}, against {title}' if i == 0 else f'… {title}',
           'per-second', f'afork-{n}', f'{name}-{n}', *BOUNDS.get(name, ()))
    for n in COUNTS
    for i, (name, title) in enumerate(PEERS)
] + [
    Figure(f'efficiency-{name}-{n}',
           f'efficiency of 1 ms jobs, {title}, {workers(n)}' if n == 1 else f'… {workers(n)}',
           'efficiency-percent', f'{name}-spin-{n}', unit='%')
    for name, title, *_ in EXECUTORS
    for n in COUNTS
] + [
    Figure('fresh', 'jobs/s, a fresh process for each, against ProcessPoolExecutor', 'per-second',
           'afork-fresh', 'ppe-fresh'),
    Figure('start', 'time from making an executor to its first result, with the start of Python',
           'first-answer-us', 'afork-start', unit='µs', smaller_is_better=True),
]

PANELS = [
    Panel('Jobs a second', 'per-second', [small(n) for n in COUNTS]),
    Panel('Efficiency of jobs of a millisecond, per cent', 'efficiency-percent',
          [millisecond(n) for n in COUNTS]),
    Panel('Jobs a second, a fresh process for each', 'per-second', [FRESH]),
    Panel('From making an executor to its first result, microseconds', 'first-answer-us', [START],
          smaller_is_better=True),
]

SUITE = Suite('executor', 'The cost of jobs of an executor in Python', CASES, FIGURES, PANELS,
              seconds={'full': 20, 'against': 10, 'quick': 5, 'smoke': 5})

if __name__ == '__main__':
    sys.exit(main(SUITE))
