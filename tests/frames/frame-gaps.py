#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Compares the frames of a window that is idle, of one that is busy, and of a control, which does
the same work in a way that disturbs it. tests/README.md has the rule."""

import argparse
import json
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from frames import Display, Failure, Program, find_faults, get_medians, is_disturbed

SKIPPED = 77


def measure(display, args, name):
    command = shlex.split(getattr(args, name))
    with Program(display, args.recorder, command) as program:
        run = program.record(args.seconds)
        if args.pictures:
            display.save_picture(args.pictures / f"{name}.png")
    return run


def show(name, runs):
    medians = get_medians(runs)
    each = ", ".join(f"{run.p99:.0f}/{run.worst:.0f}" for run in runs)
    print(f"{name:10} {medians.n_frames:8.0f} {medians.median:10.1f} {medians.p99:10.1f} "
          f"{medians.worst:10.1f} {medians.delay:10.1f}   {each}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(".")[0])
    parser.add_argument("--recorder", type=Path, required=True, metavar="FILE",
                        help="libframe-times.so of the build folder")
    for name in "idle", "busy", "control":
        parser.add_argument(f"--{name}", required=True, metavar="COMMAND",
                            help=f"the program with its window {name}" if name != "control"
                            else "the program that must not be within the bounds")
    parser.add_argument("--runs", type=int, default=5, help="of each, in turns (default: 5)")
    parser.add_argument("--seconds", type=float, default=60, help="of each run (default: 60)")
    parser.add_argument("--size", default="1024x768", metavar="WIDTHxHEIGHT",
                        help="of the screen (default: 1024x768)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER",
                        help="where pictures of the screen go")
    args = parser.parse_args()

    if not shutil.which("Xvfb"):
        print("skipped: Xvfb is not installed")
        return SKIPPED

    runs = {"idle": [], "busy": [], "control": []}
    try:
        with Display(*map(int, args.size.split("x"))) as display:
            for _ in range(args.runs):
                for name in runs:
                    runs[name].append(measure(display, args, name))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1

    print("gaps, ms     frames     median        p99      worst   delay, %   p99/worst of each run")
    for name in runs:
        show(name, runs[name])
    faults = find_faults(**runs)
    if args.json:
        args.json.write_text(json.dumps(
            {"seconds": args.seconds, "faults": faults}
            | {name: [asdict(run) for run in runs[name]] for name in runs}, indent=1) + "\n")
    if is_disturbed(runs["idle"]):
        print("skipped: the machine is too busy to compare frames")
        return SKIPPED
    for fault in faults:
        print(f"FAILED: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
