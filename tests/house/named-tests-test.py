#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks that named-tests.py finds each fault in a small table, and reads the lists of tests as
each version of GLib writes them: from 2.76 on, they are comments of TAP."""

import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = Path(__file__).parent / 'named-tests.py'
PAGE = '''
## What is tested where

| what | program | tests |
|---|---|---|
| one thing | `test-one` | `/one/first`, `/one/more/*` |

## More

| other | `test-none` | `/none` |
'''
TESTS = ('/one/first', '/one/more/second')


def run(folder, page, tests, prefix):
    """Returns whether named-tests.py accepts PAGE with a program that has TESTS."""
    program = folder / 'test-one'
    lines = '\n'.join(prefix + test for test in tests)
    program.write_text(f"#!/bin/sh\ncat << END\n{lines}\nEND\n")
    program.chmod(0o755)
    (folder / 'page.md').write_text(page)
    done = subprocess.run([sys.executable, '-B', SCRIPT, folder / 'page.md', program],
                          stderr=subprocess.PIPE, text=True)
    return done.returncode == 0


wrong = []
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for prefix in '', '# ':
        if not run(folder, PAGE, TESTS, prefix):
            wrong.append(f'tests that are listed behind “{prefix}” are not found')
        if run(folder, PAGE, TESTS[:1], prefix):
            wrong.append('a test that does not exist is accepted')
        if run(folder, PAGE.replace('| `test-one` |', '| `test-one`, `test-two` |'), TESTS, prefix):
            wrong.append('a program that does not exist is accepted')
    if run(folder, PAGE.replace('| one thing', '  one thing'), TESTS, ''):
        wrong.append('a page without a row is accepted')

for line in wrong:
    print(line, file=sys.stderr)
sys.exit(1 if wrong else 0)
