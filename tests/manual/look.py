#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Looks at each page of the built manual in Chromium, in a wide and in a narrow window.

look.py FOLDER [--pictures FOLDER] [--page NAME]...

Nothing may be wider than the window or than the box that it is in, no picture may be broken, and
nothing that a page loads may be missing. With --pictures, pictures of the pages are kept.
"""

import argparse
import pathlib
import sys

from chromium import Browser, Failure, find

SKIPPED = 77
SIZES = {"wide": (1280, 900), "narrow": (360, 740)}
SCRIPT = pathlib.Path(__file__).with_name("look.js").read_text(encoding="utf-8")


def look_at(browser, page, pictures=None):
    """What is wrong with a page, as lines of text."""
    faults = [f"{page.name}: {fault}" for fault in browser.load(page.as_uri())]
    for name, size in SIZES.items():
        browser.set_width(*size)
        faults += [f"{page.name}, {name}: {fault}" for fault in browser.evaluate(SCRIPT)]
        if pictures is not None:
            browser.save_picture(pictures / f"{page.stem}-{name}.png")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path, help="the built manual")
    parser.add_argument("--pictures", type=pathlib.Path, metavar="FOLDER",
                        help="where pictures of the pages go")
    parser.add_argument("--page", action="append", metavar="NAME", help="look only at this page")
    args = parser.parse_args()

    program = find()
    if program is None:
        print("skipped: Chromium is not installed")
        return SKIPPED
    pages = sorted(args.folder.resolve().glob("*.html"))
    if args.page:
        pages = [page for page in pages if page.name in args.page]
    if args.pictures is not None:
        args.pictures.mkdir(parents=True, exist_ok=True)

    faults = []
    try:
        with Browser(program) as browser:
            for page in pages:
                faults += look_at(browser, page, args.pictures)
    except Failure as failure:
        faults.append(str(failure))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(pages)} pages in {len(SIZES)} windows, {len(faults)} faults")
    return 1 if faults or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
