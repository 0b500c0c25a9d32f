#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests the options that all benchmarks have, with one of them. The argument is the folder that the
cases were built in."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).parent / 'exec.py'
PROGRAMS = None


def run(*arguments):
    done = subprocess.run([sys.executable, SCRIPT, *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def list_cases():
    _, listed = run('--list')
    return [line.split()[0] for line in listed.splitlines()[1:]]


class Options(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.page = self.folder / 'page.md'
        self.page.write_text('Above.\n')

    def test_one_case_can_be_chosen(self):
        name, other = list_cases()[-1], list_cases()[0]
        report = self.folder / 'suite.json'
        status, _ = run('--smoke', '--programs', PROGRAMS, '--case', name, '--json', report)
        self.assertEqual(status, 0)
        names = [case['name'] for case in json.loads(report.read_text())['cases']]
        self.assertEqual(names, [name])
        self.assertNotEqual(name, other)

    def test_unknown_case_is_refused(self):
        status, output = run('--programs', PROGRAMS, '--case', 'spoon')
        self.assertEqual(status, 2)
        self.assertIn('spoon', output)

    def test_failing_case_is_named(self):
        name = list_cases()[0]
        status, output = run('--smoke', '--programs', self.folder, '--case', name)
        self.assertEqual(status, 1)
        self.assertIn(name, output)

    def test_a_quick_run_goes_into_no_page(self):
        status, output = run('--quick', '--programs', PROGRAMS, '--page', self.page)
        self.assertEqual(status, 2)
        self.assertIn('too few rounds for a page', output)
        self.assertEqual(self.page.read_text(), 'Above.\n')

    def test_page_without_a_place_is_left_alone(self):
        status, output = run('--smoke', '--programs', PROGRAMS, '--case', list_cases()[0],
                             '--page', self.page)
        self.assertEqual(status, 1)
        self.assertIn('no place', output)
        self.assertEqual(self.page.read_text(), 'Above.\n')


if __name__ == '__main__':
    PROGRAMS = sys.argv.pop()
    unittest.main()
