#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks that the files, functions and words that afork/README.md names exist, and that it names
all files of the library.

code-map.py SOURCE-ROOT

In each paragraph, list item and table row of the page, the name of a file stands before the names
of its contents: a `function()` that the file defines, or a `word` that occurs in the file. Paths
are relative to afork/ or to the top of the tree. The page has a row for each folder of the library,
for each file in C, and for each header that belongs to none.
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
library = root / 'afork'
page = library / 'README.md'
n_functions = 0
wrong = []


def find(path):
    return next((folder / path for folder in (library, root) if (folder / path).exists()), None)


def check(block):
    global n_functions
    name = text = None
    for token in re.findall(r'`([^`]+)`', block):
        if re.fullmatch(r'[\w./-]+(/|\.[ch]|\.build)', token):
            path = find(token)
            if path is None:
                wrong.append(f'there is no {token}')
            name, text = token, path.read_text() if path is not None and path.is_file() else None
        elif text is None:
            wrong.append(f'{token} stands behind no file')
        elif token.endswith('()'):
            n_functions += 1
            if not re.search(rf'^{re.escape(token[:-2])} \(', text, flags=re.M):
                wrong.append(f'{name} does not define {token}')
        elif not re.search(rf'(?<!\w){re.escape(token)}(?!\w)', text):
            wrong.append(f'{name} does not have {token}')


text = page.read_text()
for block in re.split(r'\n(?=\n|\||- |\d+\. )', text):
    check(block)
for path in sorted(library.glob('**/meson.build')):
    folder = path.parent.relative_to(library)
    if folder.parts and f'\n| `{folder}/` |' not in text:
        wrong.append(f'the page has no row for {folder}/')

sources = {path.with_suffix('') for path in library.glob('**/*.c')}
for path in sorted(library.glob('**/*.[ch]')):
    belongs = path.parent / path.stem.removesuffix('-private') in sources
    if (path.suffix == '.c' or not belongs) and f'\n| `{path.relative_to(library)}` |' not in text:
        wrong.append(f'the page has no row for {path.relative_to(library)}')

for line in wrong:
    print(line, file=sys.stderr)
sys.exit(1 if wrong or n_functions == 0 else 0)
