#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The creation benchmark: what it costs to create a process with a connected socket, for it to
end, and for the caller to see that. README.md says what is compared with what, and why."""

import sys

from bench import MODES, Case, Figure, Requirement, Suite, main
from cases import LARGE, SMALLER, case
from plot import Panel

ANYEVENT = Requirement(
    command=('perl', '-MEV', '-MAnyEvent::Fork', '-e', '1'),
    missing='AnyEvent::Fork is not installed (libanyevent-fork-perl and libev-perl on Debian)',
)

ONE = 'one at a time, caller of 10 MB'
MANY = '32 in flight, caller of 10 MB'
FAT = 'one at a time, caller of 2 GB'

# Cases that are compared stand side by side, so that they run a moment apart.
CASES = [
    case('bare-now', 'bare template loop, bound at start', ONE, 'limit', 'create-bare', 'now',
         count=1500),
    case('bare', 'bare template loop', ONE, 'limit', 'create-bare', 'lazy', count=1500),
    case('anyevent-new', 'AnyEvent::Fork: new', ONE, 'peer', 'create-anyevent.pl', 'new',
         count=300, requirement=ANYEVENT),
    case('afork-new', 'AFork: new', ONE, 'ours', 'create-afork', 'new', count=800,
         operations=100),
    case('afork-new-2g', 'AFork: new', FAT, 'ours', 'create-afork', 'new', count=800,
         resident=LARGE),
    case('fork-2g', 'socketpair and fork', FAT, 'peer', 'create-fork', count=6, resident=LARGE),
    case('fork', 'socketpair and fork', ONE, 'peer', 'create-fork', count=300),
    case('spawn', 'posix_spawn', ONE, 'limit', 'create-spawn', count=250),
    case('afork-exec', 'AFork: new_exec', ONE, 'ours', 'create-afork', 'exec', count=200,
         operations=20),
    case('anyevent-exec', 'AnyEvent::Fork: new_exec', ONE, 'peer', 'create-anyevent.pl', 'exec',
         count=100, requirement=ANYEVENT),
    case('subprocess', 'GSubprocess', ONE, 'peer', 'create-subprocess', 'default', count=300),
    case('subprocess-inherit', 'GSubprocess: INHERIT_FDS', ONE, 'peer', 'create-subprocess',
         'inherit-fds', count=300),

    case('bare-32', 'bare template loop', MANY, 'limit', 'create-bare', count=1500, in_flight=32),
    case('afork-new-32', 'AFork: new', MANY, 'ours', 'create-afork', 'new', count=800,
         in_flight=32, operations=320),
    case('anyevent-new-32', 'AnyEvent::Fork: new', MANY, 'peer', 'create-anyevent.pl', 'new',
         count=300, in_flight=32, requirement=ANYEVENT),

    # The measuring itself costs a little, so these tell nothing of speed.
    case('afork-inside-2g', 'AFork: new', FAT + ', measured inside', 'ours', 'create-afork',
         'new', count=300, resident=LARGE, inside=True),
    case('subprocess-inside-2g', 'GSubprocess', FAT + ', measured inside', 'peer',
         'create-subprocess', 'default', count=6, resident=LARGE, inside=True),
    case('subprocess-inherit-inside-2g', 'GSubprocess: INHERIT_FDS', FAT + ', measured inside',
         'peer', 'create-subprocess', 'inherit-fds', count=200, resident=LARGE, inside=True),

    Case('worker-memory', 'AFork: an idle worker', 'memory', 'ours', 'worker-memory',
         {mode: () for mode in MODES}),
]

FIGURES = [
    Figure('new-anyevent', 'workers/s, against AnyEvent::Fork->new',
           'per-second', 'afork-new', 'anyevent-new', 3.5, 5),
    Figure('new-anyevent-32', '… 32 in flight',
           'per-second', 'afork-new-32', 'anyevent-new-32', 3.5, 5),
    Figure('new-bare', 'workers/s, against the bare template loop',
           'per-second', 'afork-new', 'bare', 0.6, 0.8),
    Figure('new-bare-32', '… 32 in flight',
           'per-second', 'afork-new-32', 'bare-32', 0.6, 0.8),
    Figure('new-bare-now', 'workers/s, against that loop bound at start',
           'per-second', 'afork-new', 'bare-now'),
    Figure('new-2g', 'workers/s, a 2 GB caller against a 10 MB one',
           'per-second', 'afork-new-2g', 'afork-new', 0.95, 1),
    Figure('inside-subprocess', 'time inside at 2 GB, GSubprocess over ours',
           'start-inside-us', 'afork-inside-2g', 'subprocess-inside-2g', 500, 2000,
           smaller_is_better=True),
    Figure('inside-subprocess-inherit', '… GSubprocess with INHERIT_FDS over ours',
           'start-inside-us', 'afork-inside-2g', 'subprocess-inherit-inside-2g',
           smaller_is_better=True),
    Figure('exec-spawn', 'new_exec/s, against posix_spawn',
           'per-second', 'afork-exec', 'spawn', 0.6, 0.8),
    Figure('exec-anyevent', 'new_exec/s, against AnyEvent::Fork->new_exec',
           'per-second', 'afork-exec', 'anyevent-exec'),
    Figure('new-fork', 'workers/s, against socketpair and fork at 10 MB',
           'per-second', 'afork-new', 'fork'),
    Figure('new-fork-2g', '… at 2 GB',
           'per-second', 'afork-new-2g', 'fork-2g'),
    Figure('memory-unrun', 'private memory of a fork that is not run',
           'unrun-kib', 'worker-memory', None, 64, 40, unit='KiB', smaller_is_better=True),
    Figure('memory-running', 'private memory of a worker that sleeps',
           'running-kib', 'worker-memory', None, 64, 40, unit='KiB', smaller_is_better=True),
]

PANELS = [
    Panel('Created and ended, processes a second', 'per-second', [ONE, MANY, FAT]),
    Panel('Caller’s time inside of it, microseconds a process', 'start-inside-us',
          [FAT + ', measured inside'], smaller_is_better=True),
]

SUITE = Suite('create', 'What creating a process costs', CASES, FIGURES, PANELS,
              seconds={'full': 80, 'against': 10, 'quick': 6, 'smoke': 4}, smaller=SMALLER)

if __name__ == '__main__':
    sys.exit(main(SUITE))
