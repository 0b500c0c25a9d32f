#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests that each case of a benchmark works and that its files are well-formed. Says nothing about
timings. The arguments are the name of the suite and the folder that the cases were built in."""

import importlib
import json
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

FOLDER = Path(__file__).parent
SUITE = None
PROGRAMS = None


def run(*arguments):
    done = subprocess.run([sys.executable, FOLDER / f'{SUITE}.py', *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def has_binding():
    """Whether Python can use the library of this build."""
    typelib = Path(PROGRAMS) / '../../introspection/AFork-1.typelib'
    return typelib.exists() and subprocess.run(['/usr/bin/python3', '-c', 'import gi'],
                                               stderr=subprocess.DEVNULL).returncode == 0


class SmokeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            report, plot = Path(folder) / 'suite.json', Path(folder) / 'suite.svg'
            page = Path(folder) / 'page.md'
            page.write_text(f'Above.\n<!-- begin: {SUITE} -->\n'
                            f'Old.\n<!-- end: {SUITE} -->\nBelow.\n')
            cls.status, cls.output = run('--smoke', '--programs', PROGRAMS,
                                         '--json', report, '--svg', plot, '--page', page)
            if cls.status != 0:
                raise AssertionError(cls.output)
            cls.page = page.read_text().splitlines()
            cls.report = json.loads(report.read_text())
            if all('skipped' in case for case in cls.report['cases']):
                raise unittest.SkipTest(cls.report['cases'][0]['skipped'])
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

    def test_only_the_cases_of_other_projects_or_photographs_are_skipped(self):
        for case in self.report['cases']:
            if 'skipped' in case:
                self.assertIn('not installed', case['skipped'])
                if (case['kind'] != 'peer' and not any(need in case['skipped'] for need in (
                        'mate-backgrounds', 'GJS is', 'Xvfb', 'needs root'))):
                    self.assertIn('Python', case['title'])
                    self.assertFalse(has_binding(), case['name'])

    def test_figures_lie_within_their_rounds(self):
        self.assertTrue(self.report['figures'])
        for figure in self.report['figures']:
            with self.subTest(figure=figure['name']):
                self.assertLessEqual(figure['lowest'], figure['value'])
                self.assertLessEqual(figure['value'], figure['highest'])

    def test_each_row_is_announced(self):
        for case in self.report['cases']:
            if 'skipped' not in case:
                self.assertIn(f", {case['name']} (", self.output)
        self.assertNotIn('\r', self.output)

    def test_machine_is_named(self):
        for key in ('kernel', 'processor', 'processors', 'glib', 'date'):
            self.assertTrue(self.report['machine'][key])
            self.assertIn(str(self.report['machine'][key]), self.output)

    def test_plot_shows_every_case_with_a_speed(self):
        texts = [element.text for element in self.plot.iter('{http://www.w3.org/2000/svg}text')]
        for case in self.report['cases']:
            if 'per-second' in case.get('medians', {}):
                self.assertIn(case['title'], texts)

    def test_page_has_every_figure(self):
        self.assertEqual((self.page[0], self.page[-1]), ('Above.', 'Below.'))
        self.assertNotIn('Old.', self.page)
        for figure in self.report['figures']:
            with self.subTest(figure=figure['name']):
                row = [line for line in self.page if line.startswith(f"| {figure['title']} |")]
                self.assertTrue(row)
                self.assertIn(figure['unit'], row[0])

    def test_a_quick_run_says_what_it_leaves_out(self):
        sys.path.insert(0, str(FOLDER))
        suite = importlib.import_module(SUITE).SUITE
        left_out = {case.name for case in suite.left_out('quick')}
        quick = suite.for_mode('quick')
        self.assertEqual({case.name for case in suite.cases} - left_out,
                         {case.name for case in quick.cases})
        for texts in ([case.group for case in quick.cases],
                      [figure.title for figure in quick.figures],
                      [name for panel in quick.panels for name in panel.groups]):
            self.assertFalse([text for text in texts if '2 GB' in text])


if __name__ == '__main__':
    PROGRAMS = sys.argv.pop()
    SUITE = sys.argv.pop()
    unittest.main()
