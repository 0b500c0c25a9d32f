#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of workers in JavaScript, for programs in JavaScript: fresh workers and their
memory, compared with GJS that is executed; and calls, compared with D-Bus between two processes of
GJS. README.md says more."""

import sys

from bench import Figure, Requirement, Suite, main
from cases import case
from plot import Panel

IN_FLIGHT = 64

GJS = Requirement(
    command=('/usr/bin/gjs', '--version'),
    missing='GJS is not installed (Debian has it in gjs)',
)
RUNTIME = Requirement(
    command=('{programs}/gjs-workers.js', 'afork:start'),
    missing='GJS is not installed (Debian has it in gjs), or the build is without introspection or '
            'without afork-gjs, which needs libgjs-dev',
)

WORKER = 'a fresh worker for each answer'
MEMORY = 'a worker that sleeps'
FIRST = 'the first worker, with its server'
ONE = '64 bytes, one at a time'
MANY = '64 bytes, 64 in flight'
START = 'a process for each call'

# Name, title, kind, variant, requirement, and how many workers a round has.
WORKERS = [
    ('afork', 'AFork, from JavaScript', 'ours', 'afork', RUNTIME, 100),
    ('gjs', 'gjs executed', 'peer', 'gjs', GJS, 20),
]

# The same for calls: how many a round has, and how many processes are started.
CALLERS = [
    ('afork', 'AFork, from JavaScript', 'ours', 'afork', RUNTIME, 6000, 60),
    ('gdbus', 'GDBus between two gjs', 'peer', 'gdbus', GJS, 3000, 15),
]

CASES = [
    case(f'worker-{name}', title, WORKER, kind, 'gjs-workers.js', f'{variant}:fresh',
         count=count, requirement=requirement)
    for name, title, kind, variant, requirement, count in WORKERS
] + [
    case(f'memory-{name}', title, MEMORY, kind, 'gjs-workers.js', f'{variant}:memory',
         count=1, requirement=requirement)
    for name, title, kind, variant, requirement, _ in WORKERS
] + [
    case(f'first-{name}', title, FIRST, kind, 'gjs-workers.js', f'{variant}:start',
         count=1, requirement=requirement)
    for name, title, kind, variant, requirement, _ in WORKERS
] + [
    case(f'{group}-{name}', title, what, kind, 'call-gjs.js', f'{variant}:echo',
         count=count, in_flight=in_flight, requirement=requirement)
    for group, what, in_flight in (('one', ONE, 1), ('many', MANY, IN_FLIGHT))
    for name, title, kind, variant, requirement, count, _ in CALLERS
] + [
    case(f'start-{name}', title, START, kind, 'call-gjs.js', f'{variant}:start',
         count=count, requirement=requirement)
    for name, title, kind, variant, requirement, _, count in CALLERS
]

FIGURES = [
    Figure('worker', 'processor time of a fresh worker, gjs executed over ours', 'worker-cpu-us',
           'worker-afork', 'worker-gjs', 5, 10, smaller_is_better=True),
    Figure('workers', 'fresh workers/s, against gjs executed', 'per-second', 'worker-afork',
           'worker-gjs'),
    Figure('memory-gjs', 'private memory of a worker, gjs executed over ours', 'worker-kib',
           'memory-afork', 'memory-gjs', smaller_is_better=True),
    Figure('memory', 'private memory of a worker', 'worker-kib', 'memory-afork', unit='KiB',
           smaller_is_better=True),
    Figure('first', 'time to the first answer, with the server, gjs executed over ours',
           'first-answer-us', 'first-afork', 'first-gjs', smaller_is_better=True),
    Figure('one', 'calls/s one at a time, against GDBus between two gjs', 'per-second',
           'one-afork', 'one-gdbus'),
    Figure('many', 'calls/s, 64 in flight, against GDBus between two gjs', 'per-second',
           'many-afork', 'many-gdbus'),
    Figure('start', 'start to first answer, GDBus with gjs executed over ours', 'first-answer-us',
           'start-afork', 'start-gdbus', smaller_is_better=True),
]

PANELS = [
    Panel('Processor time of a fresh worker, microseconds', 'worker-cpu-us', [WORKER],
          smaller_is_better=True),
    Panel('Private memory of a worker, KiB', 'worker-kib', [MEMORY], smaller_is_better=True),
    Panel('To the first answer, microseconds', 'first-answer-us', [FIRST, START],
          smaller_is_better=True),
    Panel('Calls a second', 'per-second', [ONE, MANY]),
]

SUITE = Suite('gjs', 'The cost of workers in JavaScript', CASES, FIGURES, PANELS,
              seconds={'full': 30, 'against': 15, 'quick': 12, 'smoke': 10})

if __name__ == '__main__':
    sys.exit(main(SUITE))
