#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The benchmark of the thumbnailer: what thumbnails of small and of large pictures cost, in a fresh
process each, in workers that are used again, and by other programs. README.md says more."""

import sys

from bench import PROCESSORS, Case, Figure, Requirement, Suite, main
from cases import PHOTOGRAPHS, PICTURES, THUMBNAILER
from plot import Panel

N_PROCESSORS = len(PROCESSORS)

# How many pictures there are in a round of each mode. Programs that are executed for each picture
# get a fifth of them.
N_SMALL = {'full': 5000, 'against': 1000, 'quick': 400, 'smoke': 2}
N_LARGE = {'full': 500, 'against': 50, 'quick': 20, 'smoke': 1}
COUNTS = {'small': N_SMALL, 'large': N_LARGE}

SMALL = '5,000 small pictures, all processors'
LARGE = '500 large pictures, all processors'
AGAIN = '5,000 small pictures that have thumbnails, all processors'
SIZES = '500 large pictures, three sizes, all processors'
MEMORY = 'memory, 500 large pictures, all processors'

OURS = Requirement(
    command=('sh', '-c', f'{{programs}}/thumbnails-case.py --check && {PICTURES.command[2]}'),
    missing='the thumbnailer is not built, or cannot confine its workers here, or '
            + PICTURES.missing.replace('libgdk-pixbuf-2.0-dev',
                                       'libgdk-pixbuf-2.0-dev and liblcms2-dev'),
)
PYTHON = Requirement(
    command=('sh', '-c',
             f'{{programs}}/thumbnails-case.py --check-python && {PICTURES.command[2]}'),
    missing='gdk-pixbuf for Python is not installed (in Debian, python3-gi and '
            'gir1.2-gdkpixbuf-2.0), or ' + PICTURES.missing,
)
BWRAP = Requirement(
    command=('sh', '-c', 'bwrap --unshare-all --ro-bind / / true && '
                         f'{THUMBNAILER.command[2]}'),
    missing='bwrap is not installed (bubblewrap on Debian), or cannot be used here, or '
            + THUMBNAILER.missing,
)

# Name, title, kind, requirement, which part of the pictures it gets.
WAYS = [
    ('fresh', 'AFork: a fresh confined process each', 'ours', OURS, 1),
    ('threads', 'Python, ThreadPoolExecutor', 'peer', PYTHON, 1),
    ('executor', 'Python, ProcessPoolExecutor', 'peer', PYTHON, 1),
    ('fork', 'limit: fork() for each, not confined', 'limit', THUMBNAILER, 1),
    ('reused', 'AFork: confined workers', 'ours', OURS, 1),
    ('unconfined', 'AFork: workers, not confined', 'ours', OURS, 1),
    ('xargs', 'gdk-pixbuf-thumbnailer, xargs -P', 'peer', THUMBNAILER, 5),
    ('bwrap', '… in bwrap', 'peer', BWRAP, 5),
]


def thumbnails(way, pictures, group, what='make', name=None):
    title, kind, requirement, part = next(rest for first, *rest in WAYS if first == way)
    arguments = {
        mode: (f'--count={max(1, count // part)}', f'--warm-up={0 if mode == "smoke" else 4}',
               f'--workers={N_PROCESSORS}', f'{way}:{pictures}:{what}')
        for mode, count in COUNTS[pictures].items()
    }
    setup = {mode: ('{programs}/make-pictures', f'--count={count}', f'{pictures}:{PHOTOGRAPHS}')
             for mode, count in COUNTS[pictures].items()}
    return Case(name or f'{pictures}-{way}', title, group, kind, 'thumbnails-case.py', arguments,
                requirement=requirement, all_processors=True, setup=setup)


CASES = [
    *(thumbnails(way, 'small', SMALL) for way, *_ in WAYS),
    *(thumbnails(way, 'large', LARGE) for way, *_ in WAYS),
    thumbnails('reused', 'small', AGAIN, 'again', 'again'),
    thumbnails('reused', 'large', SIZES, 'sizes', 'sizes'),
    thumbnails('reused', 'large', SIZES, 'each-size', 'each-size'),
    *(thumbnails(way, 'large', MEMORY, 'memory', f'memory-{way}') for way, *_ in WAYS
      if way not in ('fork', 'unconfined', 'bwrap')),
]


def processor_figures(pictures, ours, title, bounds=()):
    """How many times the processor time of the peers OURS takes."""
    return [
        Figure(f'{pictures}-{ours}-{peer}', f'{title}, {of}' if i == 0 else f'… {of}',
               'processor-us', f'{pictures}-{ours}', f'{pictures}-{peer}',
               *(bounds if i == 0 else ()), share=True)
        for i, (peer, of) in enumerate([
            ('threads', 'of that in Python threads'), ('executor', 'of ProcessPoolExecutor'),
            ('xargs', 'of gdk-pixbuf-thumbnailer'), ('bwrap', 'of the same in bwrap'),
            ('fork', 'of fork() for each'),
        ]) if peer != ours
    ]


FIGURES = [
    *processor_figures('small', 'fresh', 'processor time of a small picture, a fresh process each',
                       (2, 1.2)),
    *processor_figures('small', 'fork', '… fork() for each'),
    *processor_figures('small', 'reused', '… in confined workers'),
    Figure('small-reused-unconfined', '… in confined workers, of that in others', 'processor-us',
           'small-reused', 'small-unconfined', share=True),
    *processor_figures('large', 'fresh', 'processor time of a large picture, a fresh process each'),
    *processor_figures('large', 'reused', '… in confined workers'),
    Figure('again', 'processor time of a small picture that has a thumbnail, of making it',
           'processor-us', 'again', 'small-reused', share=True),
    Figure('sizes', 'processor time of three sizes in one run, of that in three runs',
           'processor-us', 'sizes', 'each-size', share=True),
    *(Figure(f'memory-{way}', f'peak memory of the caller, large pictures, {title}'
             if i == 0 else f'… {title}', 'caller-kib', f'memory-{way}', unit='KiB',
             smaller_is_better=True)
      for i, (way, title) in enumerate([('reused', 'AFork'), ('threads', 'Python threads'),
                                        ('executor', 'ProcessPoolExecutor')])),
    *(Figure(f'memory-worker-{way}', f'peak private memory of a worker, large pictures, {title}'
             if i == 0 else f'… {title}', 'worker-kib', f'memory-{way}', unit='KiB',
             smaller_is_better=True)
      for i, (way, title) in enumerate([('reused', 'AFork'), ('fresh', 'a fresh process each'),
                                        ('executor', 'ProcessPoolExecutor'),
                                        ('xargs', 'gdk-pixbuf-thumbnailer')])),
]

PANELS = [
    Panel('Processor time of a picture, microseconds', 'processor-us',
          [SMALL, LARGE, AGAIN, SIZES], smaller_is_better=True),
    Panel('Thumbnails a second', 'per-second', [SMALL, LARGE, AGAIN, SIZES]),
    Panel('Peak private memory of a worker, KiB', 'worker-kib', [MEMORY], smaller_is_better=True),
]

SUITE = Suite('thumbnails', 'What thumbnails cost', CASES, FIGURES, PANELS,
              seconds={'full': 400, 'against': 60, 'quick': 45, 'smoke': 15},
              smaller=(('5,000', '400'), ('500', '20')))

if __name__ == '__main__':
    sys.exit(main(SUITE))
