#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The example that runs CGI programs: test-cgi.py CGI"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

cgi = sys.argv[1]

SCRIPT = """#!/bin/sh
echo "$QUERY_STRING was asked" >&2
case $QUERY_STRING in
  fail) exit 3;;
  crash) kill -9 $$;;
esac
echo "$REQUEST_METHOD $GATEWAY_INTERFACE $(pwd) ${DISPLAY-none} $(wc -c)"
"""


class CgiTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(os.path.realpath(folder.name))
        self.script = self.folder / "script"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        self.log = self.folder / "log"

    def run_cgi(self, script, *queries):
        return subprocess.run([cgi, self.log, script, *queries], capture_output=True,
                              encoding="utf-8",
                              env=dict(os.environ, DISPLAY=":99", LC_ALL="C.UTF-8"))

    def test_answers(self):
        queries = [f"query={i}" for i in range(20)]
        result = self.run_cgi(self.script, *queries)
        self.assertEqual(set(result.stdout.splitlines()),
                         {f"{query}: GET CGI/1.1 {self.folder} none 0" for query in queries})
        self.assertEqual((result.stderr, result.returncode), ("", 0))
        self.assertEqual(set(self.log.read_text().splitlines()),
                         {f"{query} was asked" for query in queries})

    def test_failure(self):
        result = self.run_cgi(self.script, "fail", "crash", "succeed")
        self.assertEqual(result.stdout, f"succeed: GET CGI/1.1 {self.folder} none 0\n")
        self.assertEqual(sorted(result.stderr.splitlines()),
                         ["crash: The program failed", "fail: The program failed"])
        self.assertEqual(result.returncode, 1)

    def test_no_program(self):
        missing = self.folder / "missing"
        result = self.run_cgi(missing, "x")
        self.assertIn(f"“{missing}”", result.stderr)
        self.assertIn("could not be executed: No such file", result.stderr)
        self.assertEqual((result.stdout, result.returncode), ("", 1))

    def test_no_log(self):
        self.log = self.folder / "missing" / "log"
        result = self.run_cgi(self.script, "x")
        self.assertEqual((result.stdout, result.stderr, result.returncode),
                         ("", f"{self.log}: No such file or directory\n", 1))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
