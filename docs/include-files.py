#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes a page with the text of programs in it.

include-files.py PAGE.md.in FOLDER

A line `@include PATH` of the page becomes the file of that path in FOLDER, without its licence.
"""

import pathlib
import re
import sys

page, folder = map(pathlib.Path, sys.argv[1:])


def include(match):
    path = folder / match[1]
    code = path.read_text()
    code = re.sub(r'\A/\*\n \* Copyright.*?\*/\n+', '', code, flags=re.S)
    code = re.sub(r'\A(#!.*\n)?(#|//) Copyright.*\n(#|//) SPDX.*\n+', '', code)
    return f'```{path.suffix[1:]}\n{code}```'


sys.stdout.write(re.sub(r'^@include (\S+)$', include, page.read_text(), flags=re.M))
