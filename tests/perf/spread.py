# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the rounds of a run tell about a ratio, and what they do not."""

import math
import statistics

SURE = 0.95             # how often the likely range has the true median in it, at least
SAME = 0.05             # what differs by no more than this is called the same


def margin(n_values):
    """How many of the lowest, and of the highest, of so many values are left out of the likely
    range. None where even all of them do not suffice for one."""
    outside, margin = 0, None
    for n_below in range(n_values // 2):
        outside += 2 * math.comb(n_values, n_below) / 2 ** n_values
        if outside > 1 - SURE:
            break
        margin = n_below
    return margin


def likely_range(values):
    """Where the median of ever more rounds would lie: of 20 such ranges, 19 have it. Nothing is
    assumed of how the values are distributed, except that a round does not depend on the others. It
    takes 6 values; from fewer comes None."""
    left_out = margin(len(values))
    if left_out is None:
        return None
    ordered = sorted(values)
    return ordered[left_out], ordered[-1 - left_out]


def verdict(ratios, more_is_better=None):
    """What the RATIOS of all rounds say about 1: nothing, that both are the same, or which is
    better. That is '' if nobody has said what is better."""
    likely = likely_range(ratios)
    if likely is None:
        return 'too few rounds to tell'

    low, high = likely
    if low <= 1 <= high:
        most = max(high - 1, 1 - low)
        if most > SAME:
            return 'too few rounds to tell'
        return f'the same within {max(1, math.ceil(most * 100))} %'
    if more_is_better is None:
        return ''
    return 'better' if (low > 1) == more_is_better else 'worse'


def describe(values):
    """The median of VALUES and how far they are apart."""
    if len(values) > 1:
        lower, _, upper = statistics.quantiles(values, n=4, method='inclusive')
    else:
        lower = upper = values[0]
    return {
        'value': statistics.median(values),
        'lowest': min(values),
        'highest': max(values),
        'quartiles': [lower, upper],
    }
