#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of pending calls: what one costs while ten thousand or a million are. README.md
says more."""

import sys

from bench import Figure, Suite, main
from cases import case
from plot import Panel

COUNTS = {10000: '10,000', 100000: '100,000', 1000000: '1,000,000'}
# What takes seconds is not in a quick run; the others are the same there.
QUICK = {10000: 10000, 100000: 100000, 1000000: 0}
WAYS = {'answered': 'answered', 'cancelled': 'cancelled at once', 'killed': 'the worker is killed'}


def group(count):
    return f'{COUNTS[count]} pending'


CASES = [
    case(f'{way}-{count}', title, group(count), 'ours', 'pending-afork', way, count=count,
         quick=QUICK[count], operations=5000 if count == 10000 else 0)
    for count in COUNTS for way, title in WAYS.items()
]

FIGURES = [
    figure
    for way, title in WAYS.items()
    for figure in [
        Figure(f'{way}-{count}', f'time a call, {title}, {COUNTS[count]} over 10,000 pending',
               'per-call-us', f'{way}-{count}', f'{way}-10000', share=True)
        for count in COUNTS if count != 10000
    ] + [
        Figure(f'{way}-time', f'time a call, {title}, of 1,000,000', 'per-call-us',
               f'{way}-1000000', unit='µs', smaller_is_better=True),
    ]
] + [
    Figure('memory', 'memory a call, of 1,000,000', 'per-call-bytes', 'answered-1000000',
           unit='bytes', smaller_is_better=True),
]

PANELS = [
    Panel('Time a call, microseconds', 'per-call-us', [group(count) for count in COUNTS],
          smaller_is_better=True),
]

SUITE = Suite('pending', 'What a call costs while many are pending', CASES, FIGURES, PANELS,
              seconds={'full': 25, 'against': 4, 'quick': 2, 'smoke': 1})

if __name__ == '__main__':
    sys.exit(main(SUITE))
