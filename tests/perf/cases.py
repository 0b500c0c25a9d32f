# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Cases whose programs take the options of case.h, as every suite has them."""

from bench import Case

SMALL = '10'                    # MB that a caller has resident
LARGE = '2000'
LARGE_WHEN_QUICK = '50'


def case(name, title, group, kind, program, variant=None, *, count, in_flight=1,
         resident=SMALL, inside=False, requirement=None):
    def arguments(count, warm_up, resident):
        options = [f'--count={count}', f'--warm-up={warm_up}', f'--in-flight={in_flight}',
                   f'--resident-mb={resident}']
        if inside:
            options.append('--inside')
        if variant is not None:
            options.append(variant)
        return tuple(options)

    return Case(
        name, title, group, kind, program,
        args=arguments(count, max(in_flight, count // 10), resident),
        quick_args=arguments(3, 1, LARGE_WHEN_QUICK if resident == LARGE else SMALL),
        requirement=requirement,
    )
