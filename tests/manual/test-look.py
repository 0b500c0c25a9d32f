#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests of look.py: a page without faults, and each kind of fault."""

import base64
import pathlib
import sys
import tempfile
import unittest

from chromium import Browser, Failure, find
from look import look_at

SKIPPED = 77
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhf"
                         "DwAChwGA60e6kgAAAABJRU5ErkJggg==")
PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"></head><body>{}</body></html>"""


class Look(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(Browser(find()))

    def find(self, body):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "pixel.png").write_bytes(PIXEL)
            (folder / "broken.png").write_bytes(b"no picture")
            page = folder / "page.html"
            page.write_text(PAGE.format(body))
            return look_at(self.browser, page)

    def assert_fault(self, expected, body):
        faults = self.find(body)
        self.assertTrue(any(expected in fault for fault in faults), faults)

    def test_right(self):
        self.assertEqual(self.find(
            '<p>Text</p><img src="pixel.png"><pre style="overflow: auto">int i;</pre>'
            '<p hidden style="width: 2000px">x</p>'), [])
        self.assertEqual(self.find(
            '<table style="display: block; overflow-x: auto"><tr><td>'
            '<p style="width: 2000px">x</p></td></tr></table>'), [])

    def test_too_wide(self):
        self.assert_fault("the page is 2008 pixels wide", '<p style="width: 2000px">x</p>')
        self.assert_fault("pixels in a box", '<div style="overflow: auto">'
                          '<p style="width: 2000px">x</p></div>')
        self.assert_fault("pixels in a box", '<div style="overflow: hidden">'
                          '<p style="width: 2000px">x</p></div>')
        self.assert_fault("reaches from 8 to 2", '<table><tr><td>'
                          '<p style="width: 2000px">x</p></td></tr></table>')
        self.assert_fault("reaches from -100", '<p style="margin-left: -108px">x</p>')

    def test_too_wide_for_narrow(self):
        faults = self.find('<p style="width: 600px">x</p>')
        self.assertTrue(faults)
        self.assertFalse([fault for fault in faults if "narrow" not in fault], faults)

    def test_pictures(self):
        self.assert_fault("broken.png is broken", '<img src="broken.png">')
        self.assert_fault("missing.png is broken", '<img src="missing.png">')
        self.assert_fault("cannot be loaded", '<img src="missing.png">')
        self.assert_fault("pixel.png has no size", '<img src="pixel.png" style="width: 0">')
        self.assert_fault("cannot be loaded",
                          '<p style="background: url(missing.png)">x</p>')

    def test_scripts(self):
        self.assert_fault("nonsense is not defined", "<script>nonsense ()</script>")
        self.assert_fault("cannot be loaded", '<script src="missing.js"></script>')

    def test_network(self):
        self.assert_fault("cannot be loaded", '<img src="https://example.org/a.png">')

    def test_no_page(self):
        with self.assertRaises(Failure):
            look_at(self.browser, pathlib.Path("/nonexistent/page.html"))


if __name__ == "__main__":
    if find() is None:
        print("skipped: Chromium is not installed")
        sys.exit(SKIPPED)
    unittest.main()
