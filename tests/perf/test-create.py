#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests that each case of the creation benchmark works and that its files are well-formed. Says
nothing about timings. The argument is the folder that the cases were built in."""

import json
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

BENCHMARK = Path(__file__).parent / 'create.py'
PROGRAMS = None


def run(*arguments):
    done = subprocess.run([sys.executable, BENCHMARK, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


class QuickRun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            report, plot = Path(folder) / 'create.json', Path(folder) / 'create.svg'
            cls.status, cls.output = run('--quick', '--programs', PROGRAMS,
                                         '--json', report, '--svg', plot)
            if cls.status != 0:
                raise AssertionError(cls.output)
            cls.report = json.loads(report.read_text())
            cls.plot = xml.etree.ElementTree.parse(plot)

    def test_every_case_is_measured_or_says_why_not(self):
        status, listed = run('--list')
        self.assertEqual(status, 0)
        self.assertEqual(len(self.report['cases']), len(listed.splitlines()) - 1)
        for case in self.report['cases']:
            with self.subTest(case=case['name']):
                self.assertIn(case['name'], listed)
                if 'skipped' not in case:
                    self.assertTrue(all(value > 0 for value in case['medians'].values()))

    def test_only_the_cases_of_other_projects_are_skipped(self):
        for case in self.report['cases']:
            if 'skipped' in case:
                self.assertEqual(case['kind'], 'peer')
                self.assertIn('not installed', case['skipped'])

    def test_figures_lie_within_their_rounds(self):
        self.assertTrue(self.report['figures'])
        for figure in self.report['figures']:
            with self.subTest(figure=figure['name']):
                self.assertLessEqual(figure['lowest'], figure['value'])
                self.assertLessEqual(figure['value'], figure['highest'])

    def test_machine_is_named(self):
        for key in ('kernel', 'processor', 'processors', 'glib', 'date'):
            self.assertTrue(self.report['machine'][key])
            self.assertIn(str(self.report['machine'][key]), self.output)

    def test_plot_shows_every_case_with_a_speed(self):
        texts = [element.text for element in self.plot.iter('{http://www.w3.org/2000/svg}text')]
        for case in self.report['cases']:
            if 'per-second' in case.get('medians', {}):
                self.assertIn(case['title'], texts)


class CommandLine(unittest.TestCase):
    def test_one_case_can_be_chosen(self):
        status, output = run('--quick', '--programs', PROGRAMS, '--case', 'fork')
        self.assertEqual(status, 0)
        self.assertIn('socketpair and fork', output)
        self.assertNotIn('GSubprocess', output)

    def test_unknown_case_is_refused(self):
        status, output = run('--programs', PROGRAMS, '--case', 'spoon')
        self.assertEqual(status, 2)
        self.assertIn('spoon', output)

    def test_failing_case_is_named(self):
        with tempfile.TemporaryDirectory() as empty:
            status, output = run('--quick', '--programs', empty, '--case', 'fork')
        self.assertEqual(status, 1)
        self.assertIn('fork', output)


if __name__ == '__main__':
    PROGRAMS = sys.argv.pop()
    unittest.main()
