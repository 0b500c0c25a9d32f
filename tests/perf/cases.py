# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Cases whose programs take the options of case.h, as every suite has them."""

from bench import Case

SMALL = '10'                    # MB that a caller has resident
LARGE = '2000'
# To touch the memory takes long, on a virtual machine above all.
LARGE_IN = {'full': LARGE, 'quick': '100', 'smoke': '50'}

# What titles say of it.
SMALLER = (('2 GB', '100 MB'),)


def case(name, title, group, kind, program, variant=None, *, count, quick=None, in_flight=1,
         resident=SMALL, inside=False, requirement=None):
    """COUNT is how often the case does what it measures in a round, QUICK in a round of a quick
    run: an eighth as often unless it is given, or 0 where it takes too long for that."""
    def arguments(count, mode, warm_up=None):
        if count == 0:
            return None
        options = [
            f'--count={count}',
            f'--warm-up={max(in_flight, count // 10) if warm_up is None else warm_up}',
            f'--in-flight={in_flight}',
            f'--resident-mb={LARGE_IN[mode] if resident == LARGE else resident}',
        ]
        if inside:
            options.append('--inside')
        if variant is not None:
            options.append(variant)
        return tuple(options)

    if quick is None:
        quick = max(3, count // 8)
    return Case(
        name, title, group, kind, program,
        args={
            'full': arguments(count, 'full'),
            'quick': arguments(quick, 'quick'),
            'smoke': arguments(3, 'smoke', 1),
        },
        requirement=requirement,
    )
