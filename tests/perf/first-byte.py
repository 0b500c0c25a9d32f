#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of spares: how soon a function's first byte is there when a fork waits for it
already, and when it must be made. README.md says more."""

import sys

from bench import Figure, Suite, main
from cases import case
from plot import Panel

GROUP = 'caller of 10 MB'

CASES = [
    case('fork', 'fork of a template', GROUP, 'ours', 'first-byte-afork', 'fork', count=320),
    case('spare', 'spare', GROUP, 'ours', 'first-byte-afork', 'spare', count=320),
]

FIGURES = [
    Figure('p50', 'time to the first byte, a spare over a fork',
           'first-byte-us', 'spare', 'fork', 0.6, 0.4, share=True),
    Figure('p99', '… the slowest of a hundred',
           'first-byte-p99-us', 'spare', 'fork', share=True),
]

PANELS = [
    Panel('Until the first byte, microseconds', 'first-byte-us', [GROUP], smaller_is_better=True),
    Panel('… the slowest of a hundred', 'first-byte-p99-us', [GROUP], smaller_is_better=True),
]

SUITE = Suite('first-byte', 'How soon a worker answers', CASES, FIGURES, PANELS,
              seconds={'full': 8, 'against': 8, 'quick': 2, 'smoke': 2})

if __name__ == '__main__':
    sys.exit(main(SUITE))
