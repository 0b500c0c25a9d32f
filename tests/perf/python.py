#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of workers in Python: fresh workers and their memory; AFork.Executor with small
jobs, jobs of a millisecond, a fresh process for each job, and one job; and the frames of a window
while jobs run. README.md says more."""

import sys

from bench import PROCESSORS, Figure, Requirement, Suite, main
from cases import PYTHON, case, needs_extension
from plot import Panel

COUNTS = (1, 2, 4)
IN_FLIGHT = 256
N_MILLISECONDS = 600            # jobs of a millisecond in a round, for each processor in use

BINDING = needs_extension('executor-afork.py')
WINDOW = Requirement(
    command=('{programs}/frames-case.py', '--check'),
    missing='GTK 4 for Python or Xvfb is not installed (Debian has them in gir1.2-gtk-4.0 and '
            'xvfb)',
)

# Name, title, kind, variant, requirement, and how many workers a round has.
WORKERS = [
    ('afork', 'AFork, from Python', 'ours', 'afork', BINDING, 60),
    ('forkserver', 'multiprocessing, forkserver', 'peer', 'forkserver', PYTHON, 40),
    ('spawn', 'multiprocessing, spawn', 'peer', 'spawn', PYTHON, 6),
]

# Name, title, kind, and the variant.
WINDOWS = [
    ('idle', 'AFork, from Python: an idle window', 'limit', 'idle'),
    ('workers', 'AFork, from Python: 200 jobs in workers', 'ours', 'workers'),
    ('threads', 'AFork, from Python: 200 jobs in threads', 'peer', 'threads'),
]
SECONDS = 60            # of a window, in a round

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

WORKER = 'a fresh worker for each answer'
MEMORY = 'a worker that sleeps'
FIRST = 'the first worker, with its server'
FRAMES = 'a window, all processors'

CASES = [
    case(f'worker-{name}', title, WORKER, kind, 'python-workers.py', f'{variant}:fresh',
         count=count, requirement=requirement)
    for name, title, kind, variant, requirement, count in WORKERS
] + [
    case(f'memory-{name}', title, MEMORY, kind, 'python-workers.py', f'{variant}:memory',
         count=1, requirement=requirement)
    for name, title, kind, variant, requirement, _ in WORKERS
] + [
    case(f'first-{name}', title, FIRST, kind, 'python-workers.py', f'{variant}:start',
         count=1, requirement=requirement)
    for name, title, kind, variant, requirement, _ in WORKERS
] + [
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
] + [
    case(f'window-{name}', title, FRAMES, kind, 'frames-case.py', variant, count=SECONDS, quick=5,
         requirement=WINDOW, all_processors=True)
    for name, title, kind, variant in WINDOWS
]

PEERS = [(name, title) for name, title, *_ in EXECUTORS if name != 'afork']
BOUNDS = {'ppe': (2, 4)}

FIGURES = [
    Figure('worker-forkserver', 'processor time of a fresh worker, forkserver over ours',
           'worker-cpu-us', 'worker-afork', 'worker-forkserver', 1.5, 3, smaller_is_better=True),
    Figure('worker-spawn', '… spawn over ours', 'worker-cpu-us', 'worker-afork', 'worker-spawn',
           smaller_is_better=True),
    Figure('workers-forkserver', 'fresh workers/s, against forkserver', 'per-second',
           'worker-afork', 'worker-forkserver'),
    Figure('memory-forkserver', 'private memory of a worker, forkserver over ours', 'worker-kib',
           'memory-afork', 'memory-forkserver', smaller_is_better=True),
    Figure('memory', 'private memory of a worker', 'worker-kib', 'memory-afork', unit='KiB',
           smaller_is_better=True),
    Figure('first-forkserver', 'time to the first answer, forkserver over ours',
           'first-answer-us', 'first-afork', 'first-forkserver', smaller_is_better=True),
] + [
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
] + [
    Figure(f'{measure}-{name}', f'{title}, {what}', f'{measure}-us', f'window-{name}', unit='µs',
           smaller_is_better=True)
    for measure, title in (('p99', 'gap that 99 of 100 frames do not exceed'),
                           ('worst', 'longest gap between frames'))
    for name, what in (('idle', 'idle window'), ('workers', 'jobs in workers'),
                       ('threads', 'the same jobs in threads'))
]

PANELS = [
    Panel('Processor time of a fresh worker, microseconds', 'worker-cpu-us', [WORKER],
          smaller_is_better=True),
    Panel('Private memory of a worker, KiB', 'worker-kib', [MEMORY], smaller_is_better=True),
    Panel('Jobs a second', 'per-second', [small(n) for n in COUNTS]),
    Panel('Efficiency of jobs of a millisecond, per cent', 'efficiency-percent',
          [millisecond(n) for n in COUNTS]),
    Panel('Jobs a second, a fresh process for each', 'per-second', [FRESH]),
    Panel('To the first answer, microseconds', 'first-answer-us', [FIRST, START],
          smaller_is_better=True),
    Panel('Gap that 99 of 100 frames do not exceed, microseconds', 'p99-us', [FRAMES],
          smaller_is_better=True),
    Panel('Longest gap between frames, microseconds', 'worst-us', [FRAMES],
          smaller_is_better=True),
]

SUITE = Suite('python', 'The cost of workers in Python', CASES, FIGURES, PANELS,
              seconds={'full': 240, 'against': 60, 'quick': 40, 'smoke': 40})

if __name__ == '__main__':
    sys.exit(main(SUITE))
