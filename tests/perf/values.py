#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of values: what it costs to convert a value of Python or JavaScript to a GVariant
and back. README.md says more."""

import sys

from bench import Figure, Requirement, Suite, main
from cases import PYTHON, case, needs_extension
from plot import Panel

BINDING = needs_extension('value-python.py')
GJS = Requirement(
    command=('{programs}/value-gjs.js', '--check'),
    missing='GJS is not installed (Debian has it in gjs)',
)

# Name, title, how many conversions in a round, what AFork may take of pickle's time and what is
# aimed at.
KINDS = [
    ('bytes', '1 MiB of bytes', 400, None, None),
    ('integers', '100,000 integers', 60, 5, 2.5),
    ('tuples', '60,000 tuples of an integer, a string and a float', 20, None, None),
    ('dictionaries', '10,000 dictionaries with three entries', 40, None, None),
]

# The same for JavaScript, and JSON.
GJS_KINDS = [
    ('bytes', '16 MiB of a Uint8Array', 9, None, None),
    ('integers', '100,000 integers of JavaScript', 60, 5, 2.5),
    ('dictionaries', '10,000 objects with three entries', 20, None, None),
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
] + [
    case(f'gjs-{way}-bytes', title, GJS_KINDS[0][1], 'limit', 'value-gjs.js', f'{way}:bytes',
         count=9, requirement=GJS)
    for way, title in [('copy', 'a copy'), ('slice', 'a copy to memory of its own')]
] + [
    case(f'gjs-afork-{kind}', 'AFork, from JavaScript', title, 'ours', 'value-gjs.js',
         f'afork:{kind}', count=count, requirement=GJS)
    for kind, title, count, *_ in GJS_KINDS
] + [
    case(f'gjs-json-{kind}', 'JSON', title, 'peer', 'value-gjs.js', f'json:{kind}', count=count,
         requirement=GJS)
    for kind, title, count, *_ in GJS_KINDS[1:]
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
    Figure('gjs-bytes-copy', f'processor time to convert {GJS_KINDS[0][1]} and back, over a copy',
           'conversion-us', 'gjs-afork-bytes', 'gjs-copy-bytes', 10, 5, share=True),
    Figure('gjs-bytes-slice', 'the same, over a copy to memory of its own',
           'conversion-us', 'gjs-afork-bytes', 'gjs-slice-bytes', share=True),
    Figure('gjs-slice-copy', 'processor time of that copy, over one to memory that is mapped',
           'conversion-us', 'gjs-slice-bytes', 'gjs-copy-bytes', share=True),
] + [
    Figure(f'gjs-{kind}-json', f'processor time to convert {title} and back, over JSON',
           'conversion-us', f'gjs-afork-{kind}', f'gjs-json-{kind}', at_least, aim, share=True)
    for kind, title, _, at_least, aim in GJS_KINDS[1:]
] + [
    Figure('longest-step', 'processor time of the longest step, of 2 ms, with 60,000 tuples',
           'longest-step-us', 'steps-tuples', at_least=20000, aim=5000, unit='µs',
           smaller_is_better=True),
]

PANELS = [
    Panel('Values converted and converted back a second', 'per-second',
          [title for _, title, *_ in KINDS + GJS_KINDS]),
]

SUITE = Suite('values', 'What it costs to convert values of Python and JavaScript', CASES,
              FIGURES, PANELS,
              seconds={'full': 15, 'against': 8, 'quick': 3, 'smoke': 3})

if __name__ == '__main__':
    sys.exit(main(SUITE))
