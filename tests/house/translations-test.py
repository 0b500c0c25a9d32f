# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks that translations.py accepts a complete translation and finds each kind of fault."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).with_name('translations.py')

SOURCE = 'const char *text = _("%s has %u jobs"); const char *other = _("None");\n'
HEAD = ('msgid ""\nmsgstr ""\n"Language: de\\n"\n"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=UTF-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
        '"Project-Id-Version: test\\n"\n"Last-Translator: test\\n"\n"Language-Team: German\\n"\n'
        '"PO-Revision-Date: 2026-12-01 12:00+0000\\n"\n')
JOBS = 'msgid "%s has %u jobs"\nmsgstr "%s hat %u Aufträge"\n'
NONE = 'msgid "None"\nmsgstr "Keine"\n'


class Translations(unittest.TestCase):
    def check(self, *messages, source=SOURCE, linguas='de\n'):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / 'text.c').write_text(source)
            (folder / 'POTFILES.in').write_text('text.c\n')
            (folder / 'LINGUAS').write_text(linguas)
            (folder / 'de.po').write_text('\n'.join([HEAD, *messages]), encoding='utf-8')
            return subprocess.run([sys.executable, '-B', CHECKER, folder, folder],
                                  capture_output=True, text=True)

    def assert_fault(self, fault, *messages, **options):
        result = self.check(*messages, **options)
        self.assertEqual(result.returncode, 1)
        self.assertIn(fault, result.stderr)

    def test_complete(self):
        result = self.check(JOBS, NONE)
        self.assertEqual((result.returncode, result.stderr), (0, ''))

    def test_missing(self):
        self.assert_fault('“None” is not translated', JOBS)

    def test_empty(self):
        self.assert_fault('“None” is not translated', JOBS, 'msgid "None"\nmsgstr ""\n')

    def test_fuzzy(self):
        self.assert_fault('“None” is marked fuzzy', JOBS, '#, fuzzy\n' + NONE)

    def test_obsolete(self):
        self.assert_fault('“Many” is in no source', JOBS, NONE,
                          'msgid "Many"\nmsgstr "Viele"\n')

    def test_placeholders(self):
        for wrong in ('%s hat Aufträge', '%u hat %s Aufträge', '%s hat %d Aufträge',
                      '%s hat %u Aufträge %s'):
            with self.subTest(wrong):
                self.assert_fault('has other placeholders',
                                  JOBS.replace('%s hat %u Aufträge', wrong), NONE)

    def test_cut_off(self):
        self.assert_fault('not a valid C format string', JOBS, NONE,
                          source=SOURCE + 'int n = g_error_new (a, b, _("%" FORMAT " jobs"), n);\n')

    def test_language_not_listed(self):
        self.assert_fault('LINGUAS has', JOBS, NONE, linguas='')


if __name__ == '__main__':
    unittest.main()
