#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of calls: small ones, one at a time and many in flight; results of all sizes; and
how soon a worker that is just started answers. README.md says more."""

import sys
from dataclasses import replace

from bench import Figure, Requirement, Suite, main
from cases import PYTHON, case
from plot import Panel

ONE = '64 bytes, one at a time'
MANY = '64 bytes, 64 in flight'
START = 'worker started for it'
IN_FLIGHT = 64

ANYEVENT_RPC = Requirement(
    command=('perl', '-MEV', '-MAnyEvent::Fork::RPC', '-e', '1'),
    missing='AnyEvent::Fork::RPC is not installed: Debian has AnyEvent::Fork '
            '(libanyevent-fork-perl), with which `cpan AnyEvent::Fork::RPC` installs it',
)
BINDING = Requirement(
    command=('{programs}/call-afork.py', '--help'),     # which imports what it needs
    missing='PyGObject is not installed (Debian has it in python3-gi), or the build is without '
            'introspection',
)

# Size, title, how many calls in a round, and in one of a quick run.
SIZES = [
    (4 << 10, '4 KiB', 4000, 500),
    (64 << 10, '64 KiB', 2000, 300),
    (1 << 20, '1 MiB', 200, 40),
    (16 << 20, '16 MiB', 20, 3),
    (256 << 20, '256 MiB', 2, 0),
]

# Name, title, kind, program, variant, requirement.
CARRIERS = [
    ('value', 'AFork: value', 'ours', 'call-afork', 'value', None),
    ('blob', 'AFork: blob', 'ours', 'call-afork', 'blob', None),
    ('fresh', 'socket, fresh memory', 'limit', 'call-socket', 'fresh', None),
    ('reused', 'socket, reused memory', 'limit', 'call-socket', 'reused', None),
    ('pool', 'ProcessPoolExecutor', 'peer', 'call-pool.py', 'value', PYTHON),
]

LARGEST_IN_SMOKE = 1 << 20      # debugging aids of the test suite make large memory slow

# What blobs must at least be, and what is aimed at, against a socket and fresh memory.
BLOB_BOUNDS = {'1 MiB': (1.5, 2), '16 MiB': (5, 10)}


def group(size_title):
    return f'result of {size_title}'


def sized(size, size_title, count, quick):
    made = []
    for name, title, kind, program, variant, requirement in CARRIERS:
        # It takes as long as all others of this size together.
        quick_count = 0 if name == 'pool' and size >= 16 << 20 else quick
        one = case(f'{name}-{size_title.replace(" ", "")}', title, group(size_title), kind, program,
                   f'{variant}:{size}', count=count, quick=quick_count, requirement=requirement,
                   operations=100 if kind == 'ours' and size == 64 << 10 else 0)
        smoke = (*one.args['smoke'][:-1], f'{variant}:{min(size, LARGEST_IN_SMOKE)}')
        made.append(replace(one, args={**one.args, 'smoke': smoke}))
    return made


def sized_figures(size_title):
    suffix = size_title.replace(' ', '')
    at_least, aim = BLOB_BOUNDS.get(size_title, (None, None))
    return [
        Figure(f'blob-fresh-{suffix}', f'blobs of {size_title}, against a socket and fresh memory',
               'per-second', f'blob-{suffix}', f'fresh-{suffix}', at_least, aim),
        Figure(f'blob-reused-{suffix}', '… and reused memory',
               'per-second', f'blob-{suffix}', f'reused-{suffix}'),
        Figure(f'blob-pool-{suffix}', '… ProcessPoolExecutor',
               'per-second', f'blob-{suffix}', f'pool-{suffix}'),
        Figure(f'value-fresh-{suffix}',
               f'values of {size_title}, against a socket and fresh memory',
               'per-second', f'value-{suffix}', f'fresh-{suffix}'),
        Figure(f'value-reused-{suffix}', '… and reused memory',
               'per-second', f'value-{suffix}', f'reused-{suffix}'),
        Figure(f'value-pool-{suffix}', '… ProcessPoolExecutor',
               'per-second', f'value-{suffix}', f'pool-{suffix}'),
    ]


CASES = [
    case('one', 'AFork', ONE, 'ours', 'call-afork', 'echo', count=20000,
         operations=1000),
    case('one-raw', 'ping-pong', ONE, 'limit', 'call-socket', 'echo', count=20000),
    case('one-gdbus', 'GDBus', ONE, 'peer', 'call-gdbus', 'echo', count=4000),
    case('one-anyevent', 'AnyEvent::Fork::RPC', ONE, 'peer', 'call-anyevent.pl', 'echo',
         count=4000, requirement=ANYEVENT_RPC),
    case('one-pool', 'ProcessPoolExecutor', ONE, 'peer', 'call-pool.py', 'echo', count=2000,
         requirement=PYTHON),

    case('many', 'AFork', MANY, 'ours', 'call-afork', 'echo', count=100000, in_flight=IN_FLIGHT,
         operations=6400),
    case('many-python', 'AFork, from Python', MANY, 'ours', 'call-afork.py', 'echo', count=20000,
         in_flight=IN_FLIGHT, requirement=BINDING),
    case('many-gdbus', 'GDBus', MANY, 'peer', 'call-gdbus', 'echo', count=8000,
         in_flight=IN_FLIGHT),
    case('many-anyevent', 'AnyEvent::Fork::RPC', MANY, 'peer', 'call-anyevent.pl', 'echo',
         count=10000, in_flight=IN_FLIGHT, requirement=ANYEVENT_RPC),
    case('many-pool', 'ProcessPoolExecutor', MANY, 'peer', 'call-pool.py', 'echo', count=4000,
         in_flight=IN_FLIGHT, requirement=PYTHON),

    *(made for size in SIZES for made in sized(*size)),

    case('start', 'AFork: fork of a template', START, 'ours', 'call-afork', 'start', count=200,
         operations=50),
    case('start-pool', 'ProcessPoolExecutor', START, 'peer', 'call-pool.py', 'start', count=20,
         requirement=PYTHON),
]

FIGURES = [
    Figure('one-raw', 'calls/s one at a time, against ping-pong',
           'per-second', 'one', 'one-raw', 0.5, 0.65),
    Figure('one-anyevent', '… AnyEvent::Fork::RPC',
           'per-second', 'one', 'one-anyevent', 1.5, 2),
    Figure('one-gdbus', '… GDBus', 'per-second', 'one', 'one-gdbus'),
    Figure('one-pool', '… ProcessPoolExecutor', 'per-second', 'one', 'one-pool'),
    Figure('many-gdbus', 'calls/s, 64 in flight, against GDBus',
           'per-second', 'many', 'many-gdbus', 25, 50),
    Figure('many-anyevent', '… AnyEvent::Fork::RPC',
           'per-second', 'many', 'many-anyevent', 2.5, 5),
    Figure('many-pool', '… ProcessPoolExecutor', 'per-second', 'many', 'many-pool'),
    Figure('many-python-pool', '… from Python, against ProcessPoolExecutor',
           'per-second', 'many-python', 'many-pool', 2, 4),
    *(figure for _, title, *_ in SIZES for figure in sized_figures(title)),
    Figure('start-pool', 'start to first answer, ProcessPoolExecutor over AFork',
           'first-answer-us', 'start', 'start-pool', smaller_is_better=True),
]

PANELS = [
    Panel('Calls a second', 'per-second', [ONE, MANY]),
    Panel('Results a second', 'per-second', [group(title) for _, title, *_ in SIZES]),
    Panel('From start to first answer, microseconds', 'first-answer-us', [START],
          smaller_is_better=True),
    Panel('Workers started, called and ended a second', 'per-second', [START]),
]

SUITE = Suite('calls', 'What calls cost', CASES, FIGURES, PANELS,
              seconds={'full': 30, 'against': 8, 'quick': 6, 'smoke': 9})

if __name__ == '__main__':
    sys.exit(main(SUITE))
