#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Builds the manual with gi-docgen, and mends what gi-docgen has no option for.

build-manual.py OUTPUT-FOLDER GI-DOCGEN ARGUMENT...
"""

import pathlib
import re
import shutil
import subprocess
import sys

output = pathlib.Path(sys.argv[1])

# Pages that are not in the manual any more would stay there.
shutil.rmtree(output, ignore_errors=True)
subprocess.run([*sys.argv[2:], f'--output-dir={output}'], check=True)

# The first page has rows for a website and for the sources, which are empty if there is none.
index = output / 'index.html'
text = re.sub(r'\s*<tr><td><em>\w+</em></td><td><a href="" [^>]*></a></td></tr>', '',
              index.read_text())
index.write_text(text)

# Code in a window that is too narrow for it continues in the next line of its box.
with open(output / 'style.css', 'a') as style:
    style.write('\npre, pre code {\n  white-space: pre-wrap;\n  overflow-wrap: anywhere;\n}\n')
