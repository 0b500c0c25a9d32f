#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of pools: small jobs and jobs of a millisecond, with one to eight workers; a fresh
process for each job; a worker that crashes; very many jobs that wait; and thumbnails. README.md
says more."""

import sys

from bench import PROCESSORS, Case, Figure, Requirement, Suite, main
from cases import PHOTOGRAPHS, PICTURES, PYTHON, THUMBNAILER, case
from plot import Panel

COUNTS = (1, 2, 4, 8)
IN_FLIGHT = 64

PISCINA = Requirement(
    command=('node', '-e', 'require("{programs}/node_modules/piscina")'),
    missing='piscina is not installed: `./dev perf` installs it if there are node, npm (in Debian, '
            'nodejs and npm) and a registry that npm can use',
)


def workers(count):
    return f'{count} worker' + ('s' if count > 1 else '')


# Name, title, kind, program, prefix of the variant, requirement, load, and how many small jobs a
# round has.
POOLS = [
    ('afork', 'AFork', 'ours', 'pool-afork', '', None, 2, 20000),
    ('afork-64', 'AFork, load 64', 'ours', 'pool-afork', '', None, 64, 60000),
    ('threads', 'GThreadPool', 'limit', 'pool-threads', '', None, None, 60000),
    ('executor', 'ProcessPoolExecutor', 'peer', 'pool-python.py', 'executor:', PYTHON, None, 4000),
    ('pool', 'multiprocessing.Pool', 'peer', 'pool-python.py', 'pool:', PYTHON, None, 6000),
    ('piscina', 'piscina', 'peer', 'pool-piscina.js', '', PISCINA, 2, 6000),
]

N_MILLISECONDS = 600            # jobs of a millisecond in a round, for each processor in use
N_QUEUED = {100000: '100,000', 1000000: '1,000,000'}
# How many pictures there are in a round of each mode, and how many of them xargs gets.
N_PICTURES = {'full': 2000, 'against': 500, 'quick': 200, 'smoke': 4}
N_PICTURES_XARGS = {mode: max(4, count // 5) for mode, count in N_PICTURES.items()}
N_PROCESSORS = len(PROCESSORS)


def small(n):
    return f'64 bytes, {workers(n)}'


def millisecond(n):
    return f'1 ms, {workers(n)}, all processors'


def queued(n):
    return f'{N_QUEUED[n]} jobs wait'


FRESH = 'a fresh process for each job'
CRASH = 'a worker is killed'
THUMBNAILS = '2,000 pictures, all processors'


def small_cases(n):
    return [
        case(f'{name}-{n}', title, small(n), kind, program, f'{prefix}echo', count=count,
             in_flight=max(IN_FLIGHT, n * (load or 0)), workers=n, load=load,
             operations=6400 if name == 'afork-64' and n == 1 else 0, requirement=requirement)
        for name, title, kind, program, prefix, requirement, load, count in POOLS
    ] + ([
        case('rpc', 'AForkRpc', small(n), 'limit', 'call-afork', 'echo', count=60000,
             in_flight=IN_FLIGHT),
    ] if n == 1 else [])


def millisecond_cases(n):
    return [
        case(f'{name}-spin-{n}', title, millisecond(n), kind, program, f'{prefix}spin',
             count=N_MILLISECONDS * min(n, N_PROCESSORS), quick=100, in_flight=IN_FLIGHT,
             workers=n, load=load, requirement=requirement, all_processors=True)
        for name, title, kind, program, prefix, requirement, load, _ in POOLS
        if name != 'afork-64'
    ]


def thumbnail_case(name, title, kind, program, variant=None, requirement=PICTURES,
                   counts=None, load=2):
    counts = counts or N_PICTURES
    arguments = {
        mode: (f'--count={count}', f'--warm-up={min(count, 20)}', f'--in-flight={IN_FLIGHT}',
               f'--workers={N_PROCESSORS}', f'--load={load}', *filter(None, [variant]))
        for mode, count in counts.items()
    }
    setup = {mode: ('{programs}/make-pictures', f'--count={count}', PHOTOGRAPHS)
             for mode, count in N_PICTURES.items()}
    return Case(name, title, THUMBNAILS, kind, program, arguments, requirement=requirement,
                all_processors=True, setup=setup)


CASES = [
    *(made for n in COUNTS for made in small_cases(n)),
    *(made for n in COUNTS for made in millisecond_cases(n)),

    case('afork-fresh', 'AFork: max-calls 1', FRESH, 'ours', 'pool-afork', 'fresh', count=600,
         in_flight=16, workers=2, load=1, operations=100),
    case('pool-fresh', 'multiprocessing.Pool: maxtasksperchild 1', FRESH, 'peer',
         'pool-python.py', 'pool:fresh', count=200, in_flight=16, workers=2, requirement=PYTHON),
    case('executor-fresh', 'ProcessPoolExecutor: max_tasks_per_child 1', FRESH, 'peer',
         'pool-python.py', 'executor:fresh', count=30, in_flight=16, workers=2,
         requirement=PYTHON),

    case('afork-crash', 'AFork', CRASH, 'ours', 'pool-afork', 'crash', count=100),
    case('pool-crash', 'multiprocessing.Pool', CRASH, 'peer', 'pool-python.py', 'pool:crash',
         count=30, requirement=PYTHON),
    case('executor-crash', 'ProcessPoolExecutor, made anew', CRASH, 'peer', 'pool-python.py',
         'executor:crash', count=30, requirement=PYTHON),

    case('queue-100000', 'AFork', queued(100000), 'ours', 'pool-afork', 'queue', count=100000,
         workers=2, load=64, operations=5000),
    case('queue-1000000', 'AFork', queued(1000000), 'ours', 'pool-afork', 'queue', count=1000000,
         quick=0, workers=2, load=64),

    thumbnail_case('thumbnails-pool', 'AFork', 'ours', 'pool-afork', 'thumbnail'),
    thumbnail_case('thumbnails-threads', 'threads of one process', 'limit', 'thumbnail-threads'),
    thumbnail_case('thumbnails-fresh', 'AFork: max-calls 1', 'ours', 'pool-afork',
                   'thumbnail-fresh', load=1),
    thumbnail_case('thumbnails-xargs', 'gdk-pixbuf-thumbnailer, xargs -P', 'peer',
                   'thumbnails-case.py', 'xargs:pictures:large', requirement=THUMBNAILER,
                   counts=N_PICTURES_XARGS),
]


def small_figures(n):
    peers = [(name, title) for name, title, *_ in POOLS if name not in ('afork', 'afork-64')]
    bounds = {'executor': (12, 25)}
    return [
        Figure(f'small-{n}-{name}',
               f'jobs/s, {workers(n)}, load 64, against {title}' if i == 0 else f'… {title}',
               'per-second', f'afork-64-{n}', f'{name}-{n}', *bounds.get(name, ()))
        for i, (name, title) in enumerate(sorted(peers, key=lambda peer: peer[0] != 'executor'))
    ] + [
        Figure(f'small-{n}-default', '… load 2, against ProcessPoolExecutor', 'per-second',
               f'afork-{n}', f'executor-{n}'),
    ]


def efficiency_figures(name, title):
    return [Figure(f'efficiency-{name}-{n}',
                   f'efficiency of 1 ms jobs, {title}, {workers(n)}' if n == 1
                   else f'… {workers(n)}',
                   'efficiency-percent', f'{name}-spin-{n}', unit='%') for n in COUNTS]


FIGURES = [
    Figure('small-rpc', 'jobs/s, 1 worker, load 64, against AForkRpc, 64 in flight', 'per-second',
           'afork-64-1', 'rpc', 0.5, 0.8),
    *(figure for n in COUNTS for figure in small_figures(n)),
    *(figure for name, title, *_ in POOLS if name != 'afork-64'
      for figure in efficiency_figures(name, title)),
    Figure('fresh-pool', 'jobs/s, a fresh process for each, against multiprocessing.Pool',
           'per-second', 'afork-fresh', 'pool-fresh'),
    Figure('fresh-executor', '… ProcessPoolExecutor', 'per-second', 'afork-fresh',
           'executor-fresh'),
    Figure('crash', 'time from the death of a worker until the next job runs', 'next-job-us',
           'afork-crash', unit='µs', smaller_is_better=True),
    Figure('crash-pool', '… multiprocessing.Pool over AFork', 'next-job-us', 'afork-crash',
           'pool-crash', smaller_is_better=True),
    Figure('crash-executor', '… ProcessPoolExecutor, which is made anew, over AFork',
           'next-job-us', 'afork-crash', 'executor-crash', smaller_is_better=True),
    Figure('queue-time', 'time a job, 1,000,000 over 100,000 that wait', 'per-job-us',
           'queue-1000000', 'queue-100000', share=True),
    Figure('queue-memory', 'memory a job, of 1,000,000 that wait', 'per-job-bytes',
           'queue-1000000', None, 1024, 512, unit='bytes', smaller_is_better=True),
    Figure('thumbnails-threads', 'thumbnails/s, against threads of one process', 'per-second',
           'thumbnails-pool', 'thumbnails-threads', 0.9, 1),
    Figure('thumbnails-fresh', '… a fresh process for each, against threads of one process',
           'per-second', 'thumbnails-fresh', 'thumbnails-threads'),
    Figure('thumbnails-xargs', '… against gdk-pixbuf-thumbnailer by xargs -P', 'per-second',
           'thumbnails-pool', 'thumbnails-xargs'),
    Figure('thumbnails-fresh-xargs', '… a fresh process for each, against the same', 'per-second',
           'thumbnails-fresh', 'thumbnails-xargs'),
]

PANELS = [
    Panel('Jobs a second', 'per-second', [small(n) for n in COUNTS]),
    Panel('Efficiency of jobs of a millisecond, per cent', 'efficiency-percent',
          [millisecond(n) for n in COUNTS]),
    Panel('Jobs a second, a fresh process for each', 'per-second', [FRESH]),
    Panel('From the death of a worker until the next job runs, microseconds', 'next-job-us',
          [CRASH], smaller_is_better=True),
    Panel('Time a job, microseconds', 'per-job-us', [queued(n) for n in N_QUEUED],
          smaller_is_better=True),
    Panel('Thumbnails a second', 'per-second', [THUMBNAILS]),
]

SUITE = Suite('pool', 'What jobs of a pool cost', CASES, FIGURES, PANELS,
              seconds={'full': 90, 'against': 30, 'quick': 20, 'smoke': 10},
              smaller=(('2,000', '200'),))

if __name__ == '__main__':
    sys.exit(main(SUITE))
