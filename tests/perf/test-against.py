#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests that a comparison runs each row with both libraries, and with no other. Says nothing about
timings. The arguments are the folder that the cases were built in and `valgrind`, if that can run
them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAMS = None
HAS_VALGRIND = None

# The server of the other build: notes which library its caller has, and has the dynamic linker note
# which ones it and its forks load themselves.
SERVER = '''#!/bin/sh
grep -o '/[^ ]*libafork-1[^ ]*' /proc/$PPID/maps | sort -u >> '{log}/callers'
echo x >> '{log}/started'
LD_DEBUG=files LD_DEBUG_OUTPUT='{log}/server' exec '{server}' "$@"
'''


def run(*arguments):
    done = subprocess.run([sys.executable, '-B', FOLDER / 'perf.py', '--programs', PROGRAMS,
                           *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


class OtherBuild:
    """A folder as one that AFork was built in, with copies of the library and of its server."""

    def __init__(self, test, server=SERVER):
        folder = tempfile.TemporaryDirectory()
        test.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.build, self.log = self.folder / 'build', self.folder / 'log'
        self.results = self.folder / 'results'
        for path in (self.log, self.results, self.build / 'afork/somewhere'):
            path.mkdir(parents=True)

        built = Path(PROGRAMS).resolve().parent.parent / 'afork'
        self.libafork = self.build / 'afork/libafork-1.so.0'
        shutil.copy(built / 'libafork-1.so.0', self.libafork)
        path = self.build / 'afork/somewhere/afork-server'
        path.write_text(server.format(log=self.log, server=built / 'server/afork-server'))
        path.chmod(0o755)

    def compare(self, *arguments):
        status, output = run('--smoke', '--against', self.build, '--results', self.results,
                             *arguments)
        report = self.results / 'against.json'
        return status, output, json.loads(report.read_text()) if report.exists() else None


class Comparison(unittest.TestCase):
    def check_rows(self, report):
        rows = [row for row in report['rows'] if not row['control']]
        self.assertTrue(rows)
        for row in rows:
            with self.subTest(row=row['name']):
                self.assertIsNone(row['failed'])
                self.assertTrue(row['measures'])
                for measure in row['measures']:
                    this, other = measure['rounds']
                    self.assertEqual((len(this), len(other)), (1, 1))
                    self.assertEqual(measure['ratio']['value'], this[0] / other[0])
                    self.assertEqual(measure['verdict'], 'too few rounds to tell')

    def test_the_other_rounds_are_all_with_the_other_library(self):
        other = OtherBuild(self)
        status, output, report = other.compare('calls')
        self.assertEqual(status, 0, output)
        self.check_rows(report)

        # Each row started a server of the other build at least once, and its caller had nothing but
        # the other library.
        rows = [row for row in report['rows'] if not row['control']]
        n_started = len((other.log / 'started').read_text().splitlines())
        self.assertGreaterEqual(n_started, len(rows))
        self.assertEqual(set((other.log / 'callers').read_text().splitlines()),
                         {str(other.libafork)})

        # So have workers that serve calls.
        loaded = set()
        for path in other.log.glob('server.*'):
            for line in path.read_text(errors='replace').splitlines():
                if 'calling init:' in line and 'libafork-1' in line:
                    loaded.add(os.path.realpath(line.split()[-1]))
        self.assertEqual(loaded, {str(other.libafork)})

    def test_each_row_is_printed_and_a_control_is_among_them(self):
        status, output, report = OtherBuild(self).compare('exec')
        self.assertEqual(status, 0, output)
        controls = [row['name'] for row in report['rows'] if row['control']]
        self.assertEqual(controls, ['spawn-10'])
        for row in report['rows']:
            self.assertRegex(output, rf"(?m)^exec/{row['name']} .* too few rounds to tell$")
        self.assertRegex(output, 'exec/spawn-10 +/s, control')
        self.assertRegex(output, r'(?m)^this:  .')
        self.assertRegex(output, r'(?m)^other: .')
        self.assertIn('not counted', output)

    def test_what_does_not_work_with_the_other_library_is_named(self):
        other = OtherBuild(self, server='#!/bin/sh\nexit 3\n')
        status, output, report = other.compare('first-byte')
        self.assertEqual(status, 0, output)
        self.assertIn('does not work with the other library: spare: ended with status', output)
        self.assertTrue(all(row['failed'] and not row['measures'] for row in report['rows']))

    def test_instructions_are_counted_for_each_library(self):
        if not HAS_VALGRIND or shutil.which('valgrind') is None:
            self.skipTest('valgrind cannot run these programs')
        status, output, report = OtherBuild(self).compare('--count', 'exec')
        self.assertEqual(status, 0, output)
        counted = {row['name']: row['instructions'] for row in report['rows']
                   if row['instructions']}
        self.assertEqual(list(counted), ['afork-10'])
        # Both are the same library.
        this, other = counted['afork-10']
        self.assertGreater(this, 10000)
        self.assertLess(abs(this - other) / this, 0.25)

    def test_refused(self):
        for arguments, status, words in (
            (('--against', '/dev'), 1, 'is no folder that AFork was built in'),
            (('--against', '/dev', '--page', 'costs.md'), 2, 'does not go into a page'),
            (('--quick', '--page', 'costs.md'), 2, 'too few rounds for a page'),
            (('spoon',), 2, 'no such suite: spoon'),
        ):
            with self.subTest(arguments=arguments):
                self.assertEqual(run(*arguments)[0], status)
                self.assertIn(words, run(*arguments)[1])


class AllSuites(unittest.TestCase):
    def test_several_suites_in_one_run(self):
        with tempfile.TemporaryDirectory() as folder:
            status, output = run('--smoke', '--results', folder, 'exec', 'first-byte')
            self.assertEqual(status, 0, output)
            self.assertEqual(sorted(os.listdir(folder)),
                             ['exec-smoke.json', 'exec-smoke.svg', 'first-byte-smoke.json',
                              'first-byte-smoke.svg'])
            self.assertRegex(output, r'(?m)^exec \(22 rows, 1 rounds\), first-byte \(2 rows, 1 '
                                     r'rounds\): about \d')


if __name__ == '__main__':
    HAS_VALGRIND = sys.argv.pop() == 'valgrind'
    PROGRAMS = sys.argv.pop()
    unittest.main()
