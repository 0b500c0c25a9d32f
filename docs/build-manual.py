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

# In a window that is too narrow, code continues in the next line of its box, and tables and
# diagrams are scrolled by themselves.
STYLE = """
body {
  overflow-wrap: break-word;
}

header h1 {
  flex-wrap: wrap;
  overflow-wrap: anywhere;
}

pre, pre code {
  white-space: break-spaces;
  overflow-wrap: anywhere;
}

pre.diagram, pre.diagram code {
  white-space: pre;
}

.toc nav {
  margin-left: 1em;
  margin-right: 1em;
}

@media (max-width: 700px) {
  .docblock table, .results table {
    display: block;
    overflow-x: auto;
  }
}
"""
with open(output / 'style.css', 'a') as style:
    style.write(STYLE)

# gi-docgen leaves links to other libraries to a script that every site has to bring along.
ADDRESSES = {name: f'https://docs.gtk.org/{name.lower()}/' for name in ('GLib', 'GObject', 'Gio')}
DIAGRAM = re.compile(r'[\u2500-\u257f]')


def mend_link(match):
    attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', match[0]))
    if attributes.get('href') != 'javascript:void(0)':
        return match[0]
    address = ADDRESSES[attributes['data-namespace']] + attributes['data-link']
    return f'<a class="external" href="{address}">'


def mend_code(match):
    return match[0].replace('<pre>', '<pre class="diagram">') if DIAGRAM.search(match[0]) \
        else match[0]


for page in sorted(output.glob('*.html')):
    text = page.read_text()
    text = re.sub(r'<a\s[^>]*>', mend_link, text)
    text = re.sub(r'<pre>.*?</pre>', mend_code, text, flags=re.S)
    page.write_text(text)
