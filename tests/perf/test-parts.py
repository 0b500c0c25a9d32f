#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests what the benchmarks say: of how sure a ratio is, and of what a run is at."""

import fcntl
import io
import itertools
import os
import pty
import struct
import termios
import unittest

import against
import bench
import progress
import spread
from progress import Part, Progress


class Spread(unittest.TestCase):
    def test_the_likely_range_has_the_median_19_times_of_20(self):
        """Each value is below or above the true median by chance: all ways are gone through."""
        for n_values in range(6, 15):
            margin = spread.margin(n_values)
            ways = [sum(way) for way in itertools.product((0, 1), repeat=n_values)]
            for left_out, likely in ((margin, True), (margin + 1, False)):
                inside = [left_out < n_below < n_values - left_out for n_below in ways]
                with self.subTest(n_values=n_values, left_out=left_out):
                    self.assertEqual(sum(inside) / len(ways) >= 0.95, likely)

    def test_few_values_have_no_likely_range(self):
        self.assertIsNone(spread.likely_range([2] * 5))
        self.assertEqual(spread.likely_range([6, 5, 4, 3, 2, 1]), (1, 6))
        self.assertEqual(spread.likely_range([9, 8, 7, 6, 5, 4, 3, 2, 1]), (2, 8))

    def test_verdicts(self):
        above, below = [1.02, 1.2, 1.1, 1.3, 1.1, 1.2], [0.5, 0.6, 0.7, 0.8, 0.9, 0.99]
        self.assertEqual(spread.verdict(above, more_is_better=True), 'better')
        self.assertEqual(spread.verdict(above, more_is_better=False), 'worse')
        self.assertEqual(spread.verdict(below, more_is_better=True), 'worse')
        self.assertEqual(spread.verdict(below, more_is_better=False), 'better')
        self.assertEqual(spread.verdict(above), '')
        self.assertEqual(spread.verdict(above[:5]), 'too few rounds to tell')
        self.assertEqual(spread.verdict([0.9, *above[1:]]), 'too few rounds to tell')
        self.assertEqual(spread.verdict([1, *above[1:]]), 'too few rounds to tell')
        self.assertEqual(spread.verdict([0.99, 1.025, 1.01, 1, 1, 1]), 'the same within 3 %')
        self.assertEqual(spread.verdict([1] * 6), 'the same within 1 %')
        # One round of nine, on either side, may be anything.
        self.assertEqual(spread.verdict([0.1, *[1.1] * 7, 9], True), 'better')
        self.assertEqual(spread.verdict([0.1, 0.1, *[1.1] * 7], True), 'too few rounds to tell')

    def test_description(self):
        self.assertEqual(spread.describe([5, 1, 2, 3, 4]),
                         {'value': 3, 'lowest': 1, 'highest': 5, 'quartiles': [2, 4]})
        self.assertEqual(spread.describe([7])['quartiles'], [7, 7])


class Rounds(unittest.TestCase):
    def row(self, name, seconds):
        return against.Row('suite', against_case(name), [seconds])

    def test_long_rows_are_run_less_often_and_evenly(self):
        for seconds, rounds in itertools.product((1, 100), range(6, 16)):
            row = self.row('row', seconds)
            runs = [n for n in range(rounds) if against.runs_in(row, n, rounds)]
            with self.subTest(seconds=seconds, rounds=rounds):
                self.assertEqual(len(runs), rounds if seconds == 1 else 6)
                self.assertEqual(runs[0], 0)
                gaps = [b - a for a, b in zip(runs, runs[1:])]
                self.assertLessEqual(max(gaps) - min(gaps), 1)

    def test_as_many_rounds_as_there_is_time_for(self):
        rows = [self.row('short', 1), self.row('long', 10)]
        self.assertEqual(against.choose_rounds(rows, 1000), 15)
        self.assertEqual(against.choose_rounds(rows, 5 * 10 + 9), 10)
        self.assertEqual(against.choose_rounds(rows, 0), 6)


def against_case(name):
    return bench.Case(name, name, 'group', 'ours', 'program', {})


class Terminal(io.StringIO):
    """A text file that is a terminal of 60 columns."""

    def __init__(self):
        super().__init__()
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', 25, 60, 0, 0))

    def isatty(self):
        return True

    def fileno(self):
        return self.slave

    def close(self):
        os.close(self.master)
        os.close(self.slave)
        super().close()


class Progresses(unittest.TestCase):
    def run_parts(self, stream):
        """Two parts, whose rows take ten times as long as usual. Returns what was left when."""
        parts = [Part('first', ['a', 'b'], 3, 20), Part('second', ['c'], 2, 10, {'c': 1})]
        said = Progress(parts, stream)
        said.introduce()
        left = []
        for part in parts:
            for n in range(part.rounds):
                for row in part.rows:
                    if n < part.runs.get(row, part.rounds):
                        said.begin_row(part, n, row, 'what it does ' * 10)
                        said.end_row(part, row, {'a': 50, 'b': 150, 'c': 100}[row])
                        left.append(said.estimate.left())
        said.clear()
        return left

    def test_what_is_left(self):
        left = self.run_parts(io.StringIO())
        # After one run, what was not run yet seems to take five times as long as usual.
        self.assertEqual(left[0], 2 * 50 + 3 * 50 + 50)
        # After a round of the first part only the second is not known yet.
        self.assertEqual(left[1], 2 * 50 + 2 * 150 + 100)
        self.assertEqual([round(seconds) for seconds in left[2:]],
                         [50 + 2 * 150 + 83, 50 + 150 + 100, 150 + 90, 100, 0])

    def test_a_file_gets_a_line_for_each_row(self):
        stream = io.StringIO()
        self.run_parts(stream)
        lines = stream.getvalue().splitlines()
        self.assertEqual(len(lines), 1 + 3 * 2 + 1)
        self.assertEqual(lines[0], 'first (2 rows, 3 rounds), second (1 rows, 2 rounds): '
                                   'about 1 min 10 s')
        self.assertIn('first: round 2 of 3, about 8 min left: row 1 of 2, what', lines[3])
        self.assertFalse(set('\r\033') & set(stream.getvalue()))

    def test_a_terminal_gets_one_line_that_fits(self):
        stream = Terminal()
        self.addCleanup(stream.close)
        self.run_parts(stream)
        introduction, rewritten = stream.getvalue().split('\n')
        self.assertIn('about 1 min 10 s', introduction)
        lines = rewritten.split('\r\033[K')
        self.assertEqual(len(lines), 1 + 7 + 1)
        self.assertEqual((lines[0], lines[-1]), ('', ''))
        for line in lines[1:-1]:
            self.assertLess(len(line), 60)
            self.assertIn('left: row', line)

    def test_durations_in_words(self):
        for seconds, words in ((0, '5 s'), (12, '10 s'), (59, '60 s'), (60, '1 min 0 s'),
                               (119, '1 min 50 s'), (200, '3 min'), (800, '13 min')):
            self.assertEqual(progress.duration(seconds), words)


if __name__ == '__main__':
    unittest.main()
