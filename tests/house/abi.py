#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Compares the binary interface of the library with its record.

abi.py check HEADER... --of RECORD LIBRARY...
abi.py write HEADER... --of RECORD LIBRARY...
abi.py name-classes HEADER...

A function that is gone or changed fails the check, as does a type that programs know the layout of.
Types that no public header defines do not count, and neither do those that no function has. What
was added is printed, and does not fail: it is not protected before `write` has recorded it.

No function has the class structure of a type that programs derive from. So there is another library
with a record of its own, whose functions have all of these. `name-classes` prints its source.
"""

import argparse
import pathlib
import re
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


def name_classes(headers):
    """The source of a library with a function for each type that can be derived from."""
    text = ''.join(pathlib.Path(header).read_text() for header in headers)
    types = re.findall(r'^G_DECLARE_DERIVABLE_TYPE \((\w+),', text, flags=re.M)
    return '#include <afork/afork.h>\n' + ''.join(
        f'void use_{name} ({name} *, {name}Class *);\n'
        f'void use_{name} ({name} *self, {name}Class *klass) {{ (void) self; (void) klass; }}\n'
        for name in types)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('verb', choices=['check', 'write', 'name-classes'])
    parser.add_argument('headers', nargs='+')
    parser.add_argument('--of', nargs=2, action='append', default=[])
    args = parser.parse_args()
    if args.verb == 'name-classes':
        print(name_classes(args.headers), end='')
        return

    is_broken, text = False, ''
    try:
        for record, library in args.of:
            if args.verb == 'write':
                describe(library, args.headers, pathlib.Path(record))
                continue
            this_is_broken, this_text = compare(pathlib.Path(record), library, args.headers)
            is_broken |= this_is_broken
            text += this_text
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
