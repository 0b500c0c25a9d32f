#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs all benchmarks, or some of them. `./dev perf` calls this. README.md says more."""

import argparse
import importlib
import sys
from pathlib import Path

from bench import add_options, check_options, run_suites

SUITES = ('calls', 'create', 'exec', 'first-byte', 'pending')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('.')[0])
    add_options(parser)
    parser.add_argument('--results', type=Path, metavar='FOLDER',
                        help='where numbers and plots go; by default where the cases were built')
    parser.add_argument('suites', nargs='*', metavar='SUITE',
                        help='which suites: ' + ', '.join(SUITES) + '; by default all')
    args = parser.parse_args()

    check_options(parser, args)
    unknown = set(args.suites) - set(SUITES)
    if unknown:
        parser.error('no such suite: ' + ', '.join(sorted(unknown)))
    if args.programs is None:
        parser.error('--programs is needed')

    suites = [importlib.import_module(name).SUITE for name in args.suites or SUITES]
    results = args.results or args.programs
    suffix = '' if args.mode == 'full' else f'-{args.mode}'
    return run_suites(suites, args, {
        suite.name: tuple(results / f'{suite.name}{suffix}.{kind}' for kind in ('json', 'svg'))
        for suite in suites
    })


if __name__ == '__main__':
    sys.exit(main())
