#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The same work with multiprocessing.Pool and with AFork, side by side."""

import multiprocessing

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork

import letters

TEXTS = ["banana", "mississippi", "", "abracadabra"]


def with_multiprocessing() -> list[tuple[str, int]]:
    # Starts processes that are forked from this program, or from a server that imports it again.
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = []
        for result in pool.imap(letters.find_most_frequent, TEXTS):
            results.append(result)
    return results


def with_afork() -> list[tuple[str, int]]:
    # Starts a template, which imports only that module, and forks of it.
    template = AFork.Process.new().require("letters")
    with AFork.Pool(process=template, function="serve", max_workers=2) as pool:
        results = []
        for job in pool.map(TEXTS):
            results.append(job.unpack())
    return results


async def in_a_main_loop() -> list[tuple[str, int]]:
    # multiprocessing has nothing like this: the main loop goes on meanwhile.
    template = AFork.Process.new().require("letters")
    results = []
    async with AFork.Pool(process=template, function="serve", max_workers=2) as pool:
        async for job in pool.map(TEXTS):
            results.append(job.unpack())
    return results


if __name__ == "__main__":
    print("multiprocessing:", with_multiprocessing())
    print("AFork:          ", with_afork())
    print("in a main loop: ", AFork.run(in_a_main_loop()))
