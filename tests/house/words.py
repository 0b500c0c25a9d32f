# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""words.py WORDS-FILE SOURCE-ROOT BUILD-ROOT

Checks that the tree uses none of the words in the file, which says what to write instead."""

import pathlib
import re
import sys

import tree

# Data, and licences and names that others have written.
LEFT_OUT = ('LICENSES/', 'COPYING', 'po/', 'tests/fuzz/corpus/', 'tests/house/words.txt')


def read_rows(path):
    for line in path.read_text().splitlines():
        if line and not line.startswith('#'):
            pattern, term = re.split(r'\s{2,}', line, maxsplit=1)
            yield re.compile(f'(?<![a-z])({pattern})(?![a-z])', re.IGNORECASE), term


def main():
    words, source, build = map(pathlib.Path, sys.argv[1:])
    rows = list(read_rows(words))
    n_files = 0
    n_found = 0

    for name in sorted(tree.list_files(source, build)):
        path = source / name
        if name.startswith(LEFT_OUT) or not path.is_file():
            continue
        try:
            text = path.read_text(encoding='utf-8')
        except UnicodeDecodeError:
            continue

        n_files += 1
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, term in rows:
                match = pattern.search(line)
                if match is not None:
                    n_found += 1
                    print(f'{name}:{number}: “{match[0]}”: {term}', file=sys.stderr)

    assert n_files > 0
    sys.exit(n_found > 0)


main()
