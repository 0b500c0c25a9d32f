#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of programs: what it costs to execute /bin/true and to see how it ended, through a
template and as it is done otherwise. README.md says more."""

import sys

from bench import Figure, Suite, main
from cases import LARGE, SMALL, SMALLER, case
from plot import Panel

SIZES = {SMALL: '10 MB', LARGE: '2 GB'}

# Name, title, kind, program, variant, whether it forks the caller, whether it can tell its time.
CONTESTANTS = [
    ('afork', 'AFork: exec', 'ours', 'exec-afork', None, False, True),
    ('gspawn', 'g_spawn_async', 'peer', 'exec-gspawn', 'default', True, True),
    ('gspawn-open', 'g_spawn_async: LEAVE_DESCRIPTORS_OPEN', 'peer', 'exec-gspawn', 'leave-open',
     False, True),
    ('subprocess', 'GSubprocess', 'peer', 'exec-subprocess', 'default', True, True),
    ('subprocess-inherit', 'GSubprocess: INHERIT_FDS', 'peer', 'exec-subprocess', 'inherit-fds',
     False, True),
    ('spawn', 'posix_spawn', 'limit', 'create-spawn', 'true', False, False),
]


def group(size, inside=False):
    return f'caller of {SIZES[size]}' + (', measured inside' if inside else '')


def cases(size):
    made = []
    for name, title, kind, program, variant, forks, tells in CONTESTANTS:
        count = 6 if forks and size == LARGE else 150
        # A quick run has large callers only where they tell most.
        quick = 0 if size == LARGE else None
        quick_inside = None if name in ('afork', 'gspawn') else quick
        made.append(case(f'{name}-{size}', title, group(size), kind, program, variant,
                         count=count, quick=quick, resident=size,
                         operations=50 if name == 'afork' and size == SMALL else 0))
        if tells:
            made.append(case(f'{name}-{size}-inside', title, group(size, True), kind, program,
                             variant, count=count, quick=quick_inside, resident=size,
                             inside=True))
    return made


def figures(size):
    made = []
    peers = [contestant for contestant in CONTESTANTS if contestant[0] != 'afork']
    for name, title, *_ in peers:
        made.append(Figure(f'rate-{name}-{size}',
                           f'programs/s at {SIZES[size]}, against {title}',
                           'per-second', f'afork-{size}', f'{name}-{size}'))
    for name, title, *_, tells in peers:
        if tells:
            made.append(Figure(f'inside-{name}-{size}',
                               f'caller’s time at {SIZES[size]}, {title} over AFork',
                               'life-inside-us', f'afork-{size}-inside', f'{name}-{size}-inside',
                               smaller_is_better=True))
    return made


CASES = cases(SMALL) + cases(LARGE)
FIGURES = figures(SMALL) + figures(LARGE)
PANELS = [
    Panel('Executed and ended, programs a second', 'per-second', [group(SMALL), group(LARGE)]),
    Panel('Caller’s time inside of it, microseconds a program', 'life-inside-us',
          [group(SMALL, True), group(LARGE, True)], smaller_is_better=True),
]

SUITE = Suite('exec', 'What executing a program costs', CASES, FIGURES, PANELS,
              seconds={'full': 110, 'against': 6, 'quick': 4, 'smoke': 5}, smaller=SMALLER)

if __name__ == '__main__':
    sys.exit(main(SUITE))
