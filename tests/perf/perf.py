#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Runs all benchmarks, or some of them; or compares this build of the library with another one.
`./dev perf` calls this. README.md says more."""

import argparse
import importlib
import sys
from pathlib import Path

import against
from bench import Failure, add_options, check_options, run_suites

SUITES = (
    'calls', 'confinement', 'create', 'exec', 'first-byte', 'gjs', 'pending', 'pool', 'python',
    'remote', 'thumbnails', 'values',
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('.')[0])
    add_options(parser)
    parser.add_argument('--results', type=Path, metavar='FOLDER',
                        help='where numbers and plots go; by default where the cases were built')
    parser.add_argument('--against', type=Path, metavar='BUILD',
                        help='compare with the library of this other build folder')
    parser.add_argument('--minutes', type=float, metavar='N',
                        help='how long to compare, if {} rounds take no longer; by default '
                             '{against}, or {quick} in a quick run'
                             .format(against.LEAST_ROUNDS, **against.MINUTES))
    parser.add_argument('--count', action='store_true',
                        help='count instructions also where the comparison is not a full one')
    parser.add_argument('suites', nargs='*', metavar='SUITE',
                        help='which suites: ' + ', '.join(SUITES) + '; by default all')
    args = parser.parse_args()

    check_options(parser, args)
    unknown = set(args.suites) - set(SUITES)
    if unknown:
        parser.error('no such suite: ' + ', '.join(sorted(unknown)))
    if args.programs is None:
        parser.error('--programs is needed')
    if args.against and args.page:
        parser.error('a comparison does not go into a page: leave out --against or --page')

    suites = [importlib.import_module(name).SUITE for name in args.suites or SUITES]
    results = args.results or args.programs
    if args.against:
        try:
            against.compare(suites, args, results.resolve())
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
        return 0

    suffix = '' if args.mode == 'full' else f'-{args.mode}'
    return run_suites(suites, args, {
        suite.name: tuple(results / f'{suite.name}{suffix}.{kind}' for kind in ('json', 'svg'))
        for suite in suites
    })


if __name__ == '__main__':
    sys.exit(main())
