#!/usr/bin/python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Peer: gdk-pixbuf-thumbnailer for each picture, by `xargs -P`. Called as a case in C is (case.h).
The time is that of all pictures, because xargs does not report when each one is done."""

import argparse
import subprocess
import time
from pathlib import Path

SIZE = 256
FOLDER = Path(__file__).resolve().parent


def make_thumbnails(n_pictures, n_at_once):
    pairs = [f'{FOLDER}/{name}\0' for number in range(n_pictures)
             for name in (f'pictures/{number:05}', f'thumbnails/{number:05}.png')]
    subprocess.run(['xargs', '-0', '-P', str(n_at_once), '-n', '2',
                    'gdk-pixbuf-thumbnailer', '-s', str(SIZE)],
                   input=''.join(pairs), text=True, check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--warm-up', type=int, default=10)
    parser.add_argument('--workers', type=int, default=1)
    args, _ = parser.parse_known_args()

    make_thumbnails(args.warm_up, args.workers)
    start = time.monotonic_ns()
    make_thumbnails(args.count, args.workers)
    print('elapsed-ns', time.monotonic_ns() - start)
    print('count', args.count)


main()
