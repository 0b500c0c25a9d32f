# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""source-lines.py columns|spdx SOURCE-ROOT BUILD-ROOT

columns: no line of a source file is wider than 100 columns. Tables, programs and their output in
pages of prose may be wider. Programs in pages of the manual have at most 80 columns, which fit into
their box there.

spdx: each source file, apart from prose and data, names its licence in its first lines."""

import fnmatch
import pathlib
import sys

import tree

SOURCES = ('*.c', '*.h', '*.h.in', '*.js', '*.pl', '*.py', '*.sh', '*.supp', '*.toml.in', '*.ts',
           '*.vala', '*/meson.build', '.ci/run', 'dev', 'meson.build', 'meson_options.txt')
MAX_COLUMNS = 100
MAX_PROGRAM_COLUMNS = 80
LICENCE = 'SPDX-License-Identifier: LGPL-2.1-or-later'
LICENCE_LINES = 5


def is_source(name):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SOURCES)


def get_most_columns(name, lines):
    """Each line, and how wide it may be, or None."""
    in_program = False
    for line in lines:
        if not name.endswith('.md'):
            yield line, MAX_COLUMNS
        elif line.startswith('```'):
            in_program = not in_program
            yield line, None
        elif in_program:
            yield line, MAX_PROGRAM_COLUMNS if name.startswith('docs/') else None
        else:
            yield line, None if line.startswith('|') else MAX_COLUMNS


def check_columns(name, lines):
    for number, (line, most) in enumerate(get_most_columns(name, lines), 1):
        if most is not None and len(line) > most:
            yield f'{name}:{number}:{line}'


def check_spdx(name, lines):
    if not name.endswith('.md') and not any(LICENCE in line for line in lines[:LICENCE_LINES]):
        yield f'{name}: no SPDX line'


def main():
    check = {'columns': check_columns, 'spdx': check_spdx}[sys.argv[1]]
    source, build = map(pathlib.Path, sys.argv[2:])
    n_files = 0
    faults = []

    for name in tree.list_files(source, build):
        path = source / name
        if (is_source(name) or name.endswith('.md')) and path.is_file():
            n_files += 1
            faults += check(name, path.read_text(encoding='utf-8').split('\n'))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 0 if n_files > 0 and not faults else 1


if __name__ == '__main__':
    sys.exit(main())
