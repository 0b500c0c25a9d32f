#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks the table of tests/README.md: each test in a row exists in a program of this row, and each
program in a row has one of the tests.

named-tests.py PAGE PROGRAM...
"""

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

page, *programs = sys.argv[1:]


# A program that only lists its tests never frees the data that it has made for them.
environment = {**os.environ, 'ASAN_OPTIONS': 'detect_leaks=0'}


def list_tests(program):
    done = subprocess.run([program, '-l'], stdout=subprocess.PIPE, text=True, check=True,
                          env=environment)
    # From GLib 2.76 on, the names are in comments of TAP.
    lines = [line.removeprefix('# ') for line in done.stdout.splitlines()]
    return [line for line in lines if line.startswith('/')]


def rows(text):
    """The names of programs and of tests in each row of the table."""
    section = text.partition('\n## What is tested where\n')[2].partition('\n## ')[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split('|')]
        if len(cells) == 5 and '`' in cells[2]:
            yield re.findall(r'`([^`]+)`', cells[2]), re.findall(r'`([^`]+)`', cells[3])


tests = {Path(program).name: list_tests(program) for program in programs}
n_rows = 0
wrong = []
for names, patterns in rows(Path(page).read_text()):
    n_rows += 1
    for name in names:
        if name not in tests:
            wrong.append(f'there is no program {name}')
        elif not any(fnmatch.filter(tests[name], pattern) for pattern in patterns):
            wrong.append(f'{name} has none of {", ".join(patterns)}')
    for pattern in patterns:
        if not any(fnmatch.filter(tests.get(name, []), pattern) for name in names):
            wrong.append(f'{pattern} is not in {", ".join(names)}')

for line in wrong:
    print(line, file=sys.stderr)
sys.exit(1 if wrong or n_rows == 0 else 0)
