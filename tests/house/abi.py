#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Compares the binary interface of the library with its record.

abi.py check RECORD LIBRARY HEADER...
abi.py write RECORD LIBRARY HEADER...

A function that is gone or changed fails the check, as does a type that programs know the layout of.
Types that no public header defines do not count, and neither do those that no function has. What
was added is printed, and does not fail: it is not protected before `write` has recorded it.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

# Of the status of abidiff
CANNOT_COMPARE = 1 | 2
DIFFERENT = 4


class Failure(Exception):
    """Why nothing could be compared."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode & CANNOT_COMPARE:
        raise Failure(f'{command[0]} failed:\n{done.stdout}{done.stderr}')
    return done


def describe(library, headers, path):
    """Writes the interface to a file, without what depends on the place of the build."""
    with tempfile.TemporaryDirectory() as folder:
        # Of headers in a folder, only the name counts, and not how the compiler was told of them.
        for header in headers:
            shutil.copy(header, folder)
        run('abidw', '--headers-dir', folder, '--drop-private-types', '--exported-interfaces-only',
            '--no-comp-dir-path', '--no-corpus-path', '--no-elf-needed', '--no-show-locs',
            '--type-id-style', 'hash', '--out-file', path, library)
    if '<abi-instr' not in path.read_text():
        raise Failure(f'{library} has no debug information')


def compare(record, library, headers):
    """Returns whether the interface is broken, and what is different from the record."""
    with tempfile.TemporaryDirectory() as folder:
        now = pathlib.Path(folder, 'now.abi')
        describe(library, headers, now)
        command = ['abidiff', '--no-show-locs', record, now]
        is_broken = run(*command, '--no-added-syms').returncode & DIFFERENT != 0
        different = run(*command)
    return is_broken, different.stdout if different.returncode & DIFFERENT else ''


def main():
    verb, record, library, *headers = sys.argv[1:]
    record = pathlib.Path(record)
    try:
        if verb == 'write':
            describe(library, headers, record)
            return
        is_broken, text = compare(record, library, headers)
    except Failure as failure:
        sys.exit(str(failure))

    print(text, end='')
    if is_broken:
        sys.exit('The binary interface is not that of the record any more. Programs that were '
                 'built with it would break.')
    if text:
        print('Nothing is broken. `meson compile abi-record` records what was added.')


if __name__ == '__main__':
    main()
