#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The confinement benchmark: what it costs to create a confined process, for it to end, and for the
caller to see that. README.md says what is compared with what, and why."""

import sys

from bench import Requirement, Suite, main, Figure
from cases import SMALLER, case
from plot import Panel

BWRAP = Requirement(
    command=('bwrap', '--unshare-all', '--ro-bind', '/', '/', 'true'),
    missing='bwrap is not installed (bubblewrap on Debian), or cannot be used here',
)

ONE = 'one at a time'
MANY = '32 in flight'

# Cases that are compared stand side by side, so that they run a moment apart.
CASES = [
    case('plain', 'AFork: not confined', ONE, 'ours', 'create-afork', 'new', count=800),
    case('decoding', 'AFork: confined for decoding', ONE, 'ours', 'create-afork', 'decoding',
         count=800),
    case('no-admin', 'AFork: no administration, no network', ONE, 'ours', 'create-afork',
         'no-admin', count=800),
    case('bwrap', 'bwrap and a program that does nothing', ONE, 'peer', 'create-spawn', 'bwrap',
         count=40, requirement=BWRAP),
    case('plain-32', 'AFork: not confined', MANY, 'ours', 'create-afork', 'new', count=800,
         in_flight=32),
    case('decoding-32', 'AFork: confined for decoding', MANY, 'ours', 'create-afork', 'decoding',
         count=800, in_flight=32),
]

FIGURES = [
    Figure('decoding-plain', 'confined workers/s, against plain ones',
           'per-second', 'decoding', 'plain', 0.5, 0.8),
    Figure('decoding-plain-32', '… 32 in flight',
           'per-second', 'decoding-32', 'plain-32', 0.5, 0.8),
    Figure('no-admin-plain', 'workers/s without administration and network, against plain ones',
           'per-second', 'no-admin', 'plain'),
    Figure('decoding-bwrap', 'confined workers/s, against bwrap and a program for each',
           'per-second', 'decoding', 'bwrap'),
]

PANELS = [
    Panel('Created and ended, processes a second', 'per-second', [ONE, MANY]),
]

SUITE = Suite('confinement', 'What confining a process costs', CASES, FIGURES, PANELS,
              seconds={'full': 20, 'against': 4, 'quick': 3, 'smoke': 2}, smaller=SMALLER)

if __name__ == '__main__':
    sys.exit(main(SUITE))
