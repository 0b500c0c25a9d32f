# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The declarations for TypeScript: they have what AFork has in GJS, and nothing else, and tsc finds
the wrong uses of types-wrong.js and no others.

In the environment, AFORK_DECLARATIONS is the file.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).parent
PAGE = FOLDER.parent.parent / "docs" / "javascript.md"
DECLARATIONS = pathlib.Path(os.environ["AFORK_DECLARATIONS"])


def declared():
    """What the namespace declares, and {class: its members}."""
    names = set()
    classes = {}
    current = None
    for line in DECLARATIONS.read_text().splitlines():
        if match := re.match(r" {8}(?:class|enum|function|const) (\w+)", line):
            names.add(match[1])
            if re.match(r" {8}class \w+ extends GObject.Object", line):
                current = classes.setdefault(match[1], set())
        elif line == " " * 8 + "}":
            current = None
        elif current is not None and (match := re.match(
                r" {12}(?:static )?(?:readonly )?(\[Symbol\.\w+\]|\w+)[(<:?]", line)):
            current.add(match[1])
    return names, classes


def write_examples(folder):
    """The programs of the page about JavaScript. What is wrong in them on purpose is marked."""
    examples = []
    for name, text in re.findall(r"<!-- file: (\S+\.js) -->\n```js\n(.*?)```\n", PAGE.read_text(),
                                 re.DOTALL):
        path = folder / name
        path.write_text(text.replace("        await rpc.call_async({text: [undefined]});",
                                     "        // @ts-expect-error\n"
                                     "        await rpc.call_async({text: [undefined]});"))
        examples.append(path)
    assert len(examples) >= 2
    return examples


def snake_case(name):
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", name)


@unittest.skipUnless(shutil.which("gjs"), "gjs is not installed")
class NamesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run(["gjs", "-m", FOLDER / "names.js"], stdout=subprocess.PIPE,
                              check=True)
        cls.found = json.loads(done.stdout)
        cls.names, cls.classes = declared()

    def test_namespace(self):
        """Without the structures of classes."""
        found = {name for name in self.found["namespace"] if not name.endswith("Class")}
        self.assertEqual(found, self.names)

    def test_classes(self):
        self.assertEqual(set(self.found["classes"]), set(self.classes))
        for name, found in self.found["classes"].items():
            members = self.classes[name]
            # A property has a name like maxWorkers as well, of which GJS lists one only.
            given = {member for member in members
                     if snake_case(member) == member or snake_case(member) not in members}
            given -= {"connect", "constructor"}
            given = {member for member in given if not member.startswith("vfunc_")}
            with self.subTest(name):
                self.assertEqual(set(found), given)
        self.assertGreater(sum(map(len, self.classes.values())), 300)


@unittest.skipUnless(shutil.which("tsc"), "tsc is not installed (node-typescript)")
class TypeScriptTest(unittest.TestCase):
    def test_uses(self):
        wrong = FOLDER / "types-wrong.js"
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        examples = write_examples(pathlib.Path(folder.name))
        done = subprocess.run(
            ["tsc", "--noEmit", "--strict", "--allowJs", "--checkJs", "--target", "es2022",
             "--lib", "es2022", "--module", "es2022", "--moduleResolution", "node",
             FOLDER / "of-gjs.d.ts", DECLARATIONS, FOLDER / "types-right.ts", wrong,
             *examples], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = []
        for line in done.stdout.splitlines():
            if line.startswith(" "):
                continue
            match = re.fullmatch(r"(.*?)\((\d+),\d+\): error (TS\d+): .*", line)
            self.assertIsNotNone(match, done.stdout)
            found.append((pathlib.Path(match[1]).name, int(match[2]), match[3]))
        expected = []
        for number, line in enumerate(wrong.read_text().splitlines(), 1):
            _, mark, code = line.partition("  // TS")
            if mark:
                expected.append((wrong.name, number, f"TS{code}"))
        self.assertGreaterEqual(len(expected), 30)
        self.assertEqual(found, expected, done.stdout)


if __name__ == "__main__":
    unittest.main()
