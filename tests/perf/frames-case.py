#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The frames of the window of docs/examples/python/window.py for COUNT seconds, as a case. The
variants are `idle`, `workers` and `threads`: what the window is busy with. With --check, it only
finds out whether this can be measured."""

import argparse
import sys
from pathlib import Path

from binding import BUILD, ENVIRON
from frames import Display, Program

RECORDER = BUILD / 'tests' / 'frames' / 'libframe-times.so'
EXAMPLE = Path(__file__).resolve().parent / 'window.py'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=10)
    parser.add_argument('--warm-up', type=int, default=0)
    parser.add_argument('--in-flight', type=int, default=1)
    parser.add_argument('--resident-mb', type=int, default=0)
    parser.add_argument('--check', action='store_true')
    parser.add_argument('variant', nargs='?', default='idle')
    args = parser.parse_args()

    command = [sys.executable, '-B', str(EXAMPLE)]
    if args.check:
        import gi
        gi.require_version('Gtk', '4.0')
        with Display():
            return
    if args.variant != 'idle':
        command.append(args.variant)
    with Display(400, 320) as display, Program(display, RECORDER, command, ENVIRON) as program:
        run = program.record(args.count)
    print('p99-us', int(run.p99 * 1000))
    print('worst-us', int(run.worst * 1000))
    print('frames', run.n_frames)


if __name__ == '__main__':
    main()
