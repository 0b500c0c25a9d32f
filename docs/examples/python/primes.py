# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The work of window.py: it needs no window, so the workers need no GTK."""


def count_primes(start: int, stop: int) -> int:
    found = 0
    for number in range(max(start, 2), stop):
        divisor = 2
        while divisor * divisor <= number and number % divisor:
            divisor += 1
        found += divisor * divisor > number
    return found


def count(call: object, args: tuple[int, int]) -> int:
    return count_primes(*args)
