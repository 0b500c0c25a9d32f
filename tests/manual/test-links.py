#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Tests of links.py: a manual without faults, and each kind of fault."""

import pathlib
import tempfile
import unittest

from links import Manual

INDEX = """<!DOCTYPE html><html><head><link rel="stylesheet" href="style.css"></head><body>
<h1 id="top">Manual</h1> <a href="page.html">A page</a> <a href="#top">here</a>
{}</body></html>"""
PAGE = '<h1 id="page">Page</h1><a href="index.html#top">back</a><img src="a%20picture.png">'


class Links(unittest.TestCase):
    def find(self, text="", **files):
        """The faults of a manual with a text on its first page, and with further files."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name, "manual").resolve()
            folder.mkdir()
            folder.with_name("outside.html").write_text(PAGE)
            (folder / "a picture.png").write_bytes(b"")
            (folder / "style.css").write_text("body { background: url('a%20picture.png') }")
            (folder / "page.html").write_text(PAGE)
            (folder / "index.html").write_text(INDEX.format(text))
            for file, content in files.items():
                (folder / file.replace("_", ".")).write_text(content)
            faults, n_links = Manual(folder).find_faults()
        self.assertGreater(n_links, 0)
        return faults

    def assert_fault(self, expected, *args, **files):
        faults = self.find(*args, **files)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(expected, faults[0])

    def test_right(self):
        self.assertEqual(self.find(), [])
        for link in ("page.html#page", "./page.html", "page.html?x=1#page", "https://example.org",
                     "https://docs.gtk.org/gio/class.Task.html#a", "http://example.org:8080/",
                     "mailto:name@example.org", "https://example.org/a%20b"):
            self.assertEqual(self.find(f'<a href="{link}">x</a>'), [], link)

    def test_inside(self):
        self.assert_fault("no such file", '<a href="pages.html">x</a>')
        self.assert_fault("no such file", '<a href="/page.html">x</a>')
        self.assert_fault("no such file", '<a href="../outside.html">x</a>')
        self.assert_fault("no such file", '<img src="picture.png">')
        self.assert_fault("no such heading", '<a href="page.html#pages">x</a>')
        self.assert_fault("no such heading", '<a href="#bottom">x</a>')
        self.assert_fault("no such heading", '<a href="a%20picture.png#x">x</a>')
        self.assert_fault("leads nowhere", '<a href="">x</a>')
        self.assert_fault("leads nowhere", '<a href=" page.html">x</a>')

    def test_address(self):
        for link in ("https:/example.org", "https://", "https://example", "ftp://example.org",
                     "javascript:void(0)", "file:///usr/share/doc", "//example.org/x",
                     "https://exa mple.org", "https://example.org/a b", "https://example.org/%2",
                     "https://example.org:port/", "https://example.org/<x>", "mailto:name",
                     "https://-.org/"):
            self.assert_fault(link, f'<a href="{link}">x</a>')

    def test_lost_page(self):
        self.assert_fault("lost.html: no link leads", lost_html=PAGE)
        self.assert_fault("lost.html: no link leads", '<link href="lost.html">', lost_html=PAGE)

    def test_equal_ids(self):
        self.assert_fault("2 elements", '<p id="top">x</p>')

    def test_other_files(self):
        self.assert_fault("other.css:2:", other_css="\nbody { background: url(nothing.png) }")
        self.assert_fault("AFork.devhelp2:1:",
                          AFork_devhelp2='<keyword name="x" link="page.html#nothing"/>')


if __name__ == "__main__":
    unittest.main()
