#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks the targets of links.

page-links.py SOURCE-ROOT

In the pages of the manual and in doc comments, links lead to pages of the manual and to headings
there, and never to a file of the source tree, because the manual is also installed without the
tree. In other pages, links lead to files and folders of the tree. Every page of docs/ must be in
the manual.
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
docs = root / 'docs'
wrong = []


def prose(text):
    return re.sub(r'^```.*?^```$', '', text, flags=re.S | re.M)


def anchor(heading):
    heading = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading)
    return re.sub(r'[-\s]+', '-', re.sub(r'[^\w\s-]', '', heading).strip().lower())


def links(text):
    return re.findall(r'(!?)\[[^]]*\]\(([^)\s]+)\)', text)


pages = {}
for path in sorted([*docs.glob('*.md'), *docs.glob('*.md.in')]):
    text = prose(path.read_text())
    headings = re.findall(r'^##+ (.*)$', text, flags=re.M)
    slug = re.search(r'^Slug: (.*)$', text, flags=re.M)[1]
    pages[path] = (slug, set(map(anchor, headings)), text)
targets = {f'{slug}.html': anchors for slug, anchors, text in pages.values()}

config = (docs / 'afork-1.toml.in').read_text()
content = re.findall(r'^  "([^"]+)",$', config, flags=re.M)
for path in pages:
    if path.name.removesuffix('.in') not in content:
        wrong.append(f'{path.name} is not in the manual')


def check(where, text, own_anchors):
    for is_picture, link in links(text):
        page, _, fragment = link.partition('#')
        if re.match(r'https?:', link):
            continue
        if is_picture:
            if link not in content or not (docs / link).exists():
                wrong.append(f'{where}: there is no picture {link}')
        elif page and page not in targets:
            wrong.append(f'{where}: the manual has no {link}')
        elif fragment and fragment not in (targets[page] if page else own_anchors):
            wrong.append(f'{where}: there is no heading {link}')


for path, (slug, anchors, text) in pages.items():
    check(path.name, text, anchors)
for path in sorted([*root.glob('afork/**/*.c'), *root.glob('afork/**/*.h')]):
    comments = '\n'.join(re.findall(r'/\*\*.*?\*/', path.read_text(), flags=re.S))
    check(path.name, comments, set())

readmes = [path for folder in ('afork', 'docs', 'tests')
           for path in root.glob(f'{folder}/**/README.md')]
for path in sorted([*root.glob('*.md'), *readmes]):
    for _, link in links(prose(path.read_text())):
        if not re.match(r'https?:|#', link) and not (path.parent / link.partition('#')[0]).exists():
            wrong.append(f'{path.relative_to(root)}: there is no {link}')

for line in wrong:
    print(line, file=sys.stderr)
sys.exit(1 if wrong or not pages else 0)
