#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of values: what it costs to convert a value of Python to a GVariant and back.
README.md says more."""

import sys

from bench import Figure, Requirement, Suite, main
from cases import case
from plot import Panel

BINDING = Requirement(
    command=('{programs}/value-python.py', '--check'),
    missing='PyGObject is not installed (Debian has it in python3-gi), or the build is without '
            'introspection or without the Python extension, which needs python3-dev',
)
PYTHON = Requirement(
    command=('/usr/bin/python3', '-c', 'import pickle'),
    missing='Python is not installed (Debian has it in python3)',
)

# Name, title, how many conversions in a round, what AFork may take of pickle's time and what is
# aimed at.
KINDS = [
    ('bytes', '1 MiB of bytes', 400, None, None),
    ('integers', '100,000 integers', 60, 5, 2.5),
    ('tuples', '60,000 tuples of an integer, a string and a float', 20, None, None),
    ('dictionaries', '10,000 dictionaries with three entries', 40, None, None),
]

CASES = [
    case('copy-bytes', 'a copy', KINDS[0][1], 'limit', 'value-python.py', 'copy:bytes',
         count=2000, requirement=PYTHON),
] + [
    made
    for kind, title, count, *_ in KINDS
    for made in [
        case(f'afork-{kind}', 'AFork, from Python', title, 'ours', 'value-python.py',
             f'afork:{kind}', count=count, requirement=BINDING),
        case(f'pickle-{kind}', 'pickle', title, 'peer', 'value-python.py', f'pickle:{kind}',
             count=count, requirement=PYTHON),
    ]
] + [
    case('steps-tuples', 'AFork, from Python: in steps, from the GVariant', KINDS[2][1],
         'ours', 'value-python.py', 'afork-steps:tuples', count=20, requirement=BINDING),
]

FIGURES = [
    Figure('bytes-copy', 'processor time to convert 1 MiB of bytes and back, over a copy',
           'conversion-us', 'afork-bytes', 'copy-bytes', 10, 5, share=True),
] + [
    Figure(f'{kind}-pickle', f'processor time to convert {title} and back, over pickle',
           'conversion-us', f'afork-{kind}', f'pickle-{kind}', at_least, aim, share=True)
    for kind, title, _, at_least, aim in KINDS
] + [
    Figure('pickle-copy', 'processor time of pickle for 1 MiB of bytes and back, over a copy',
           'conversion-us', 'pickle-bytes', 'copy-bytes', share=True),
    Figure('longest-step', 'processor time of the longest step, of 2 ms, with 60,000 tuples',
           'longest-step-us', 'steps-tuples', at_least=20000, aim=5000, unit='µs',
           smaller_is_better=True),
]

PANELS = [
    Panel('Values converted and converted back a second', 'per-second',
          [title for _, title, *_ in KINDS]),
]

SUITE = Suite('values', 'What it costs to convert values of Python', CASES, FIGURES, PANELS,
              seconds={'full': 15, 'against': 8, 'quick': 3, 'smoke': 3})

if __name__ == '__main__':
    sys.exit(main(SUITE))
