#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks the links of the built manual.

links.py FOLDER

Every link of every page, of the style sheets and of the index for Devhelp is read. A link inside
the manual must lead to a file there, and to an element with that id. A link to elsewhere must have
the form of an address; nothing is fetched. Links from the first page must lead to every other page.
"""

import pathlib
import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
ADDRESS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
MAIL = re.compile(r"[^@\s]+@" + HOST.pattern)
ATTRIBUTES = {"data", "href", "link", "poster", "src"}
FIRST_PAGE = "index.html"


class Page(HTMLParser):
    """The links and the ids of a page."""

    def __init__(self, path):
        super().__init__()
        self.links = []             # of (line, link, whether a reader follows it)
        self.ids = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ATTRIBUTES:
                self.links.append((self.getpos()[0], value or "", tag == "a"))


def find_fault_of_address(link):
    """What is wrong with an address elsewhere, or None."""
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme == "mailto":
        return None if MAIL.fullmatch(parts.path) else "is no address for mail"
    if parts.scheme not in ("http", "https"):
        return f"has the scheme {parts.scheme or 'of the page'}"
    if not parts.hostname or not HOST.fullmatch(parts.hostname):
        return "names no host"
    if port == 0 or not ADDRESS.fullmatch(link) or re.search(r"%(?![0-9A-Fa-f]{2})", link):
        return "is no address"
    return None


class Manual:
    """The files of a built manual."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {path.relative_to(folder).as_posix() for path in folder.rglob("*")
                      if path.is_file()}
        self.pages = {name: Page(folder / name) for name in sorted(self.files)
                      if name.endswith(".html")}

    def _get_links(self):
        """Of every file: the file, the line, the link, and whether a reader follows it."""
        for name, page in self.pages.items():
            for line, link, is_followed in page.links:
                yield name, line, link, is_followed
        for name in sorted(self.files):
            if name.endswith(".css"):
                text = (self.folder / name).read_text(encoding="utf-8")
                for match in re.finditer(r"url\(\s*['\"]?([^'\")]*)['\"]?\s*\)", text):
                    yield name, text.count("\n", 0, match.start()) + 1, match[1], False
            elif name.endswith(".devhelp2"):
                for line, link, _ in Page(self.folder / name).links:
                    if link:
                        yield name, line, link, False

    def _find_target(self, name, link):
        """The file that a link leads to, and the id there. The id is "" if there is none."""
        path, _, fragment = link.partition("#")
        path = unquote(path.partition("?")[0])
        if not path:
            return name, unquote(fragment)
        target = (self.folder / name).parent / path
        try:
            return target.resolve().relative_to(self.folder).as_posix(), unquote(fragment)
        except ValueError:
            return None, ""

    def find_faults(self):
        """What is wrong, as lines of text, and the number of links."""
        faults = []
        n_links = 0
        followed = {name: set() for name in self.pages}
        for name, line, link, is_followed in self._get_links():
            n_links += 1
            where = f"{name}:{line}: “{link}”"
            if link.startswith("data:image/"):
                continue
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", link):
                fault = find_fault_of_address(link)
                if fault is not None:
                    faults.append(f"{where} {fault}")
                continue
            if not link or link != link.strip():
                faults.append(f"{where} leads nowhere")
                continue
            target, fragment = self._find_target(name, link)
            if target not in self.files:
                faults.append(f"{where}: the manual has no such file")
            elif fragment and (target not in self.pages
                               or fragment not in self.pages[target].ids):
                faults.append(f"{where}: {target} has no such heading")
            elif is_followed and target in self.pages:
                followed[name].add(target)
        return faults + self._find_lost_pages(followed) + self._find_equal_ids(), n_links

    def _find_lost_pages(self, followed):
        if FIRST_PAGE not in self.pages:
            return [f"there is no {FIRST_PAGE}"]
        seen = {FIRST_PAGE}
        waiting = [FIRST_PAGE]
        while waiting:
            for target in followed[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return [f"{name}: no link leads from {FIRST_PAGE} to this page"
                for name in self.pages if name not in seen]

    def _find_equal_ids(self):
        return [f"{name}: {page.ids.count(id)} elements have the id “{id}”"
                for name, page in self.pages.items()
                for id in sorted(set(page.ids)) if page.ids.count(id) > 1]


def main():
    manual = Manual(pathlib.Path(sys.argv[1]).resolve())
    faults, n_links = manual.find_faults()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(manual.pages)} pages, {n_links} links, {len(faults)} faults")
    return 1 if faults or not n_links else 0


if __name__ == "__main__":
    sys.exit(main())
