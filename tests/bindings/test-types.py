# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The declarations for type checkers: they have what the module has, no more, and mypy finds the
wrong uses of types-wrong.py and no others.

In the environment, AFORK_DECLARATIONS is the file of declarations.
"""

import ast
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork

FOLDER = pathlib.Path(__file__).parent
EXAMPLES = FOLDER.parent.parent / "docs" / "examples" / "python"
DECLARATIONS = pathlib.Path(os.environ["AFORK_DECLARATIONS"])

SPECIAL = {"__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__", "__enter__",
           "__exit__", "__init__", "__iter__", "__next__"}


def names_in(body):
    """The public names that statements of declarations define, each with its statement."""
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign):
            name = node.target.id
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name = node.name
        else:
            continue
        if not name.startswith("_") or name in SPECIAL:
            found.setdefault(name, []).append(node)
    return found


def is_public(name):
    return not name.startswith("_") and not name.startswith("do_")


class DeclarationsTest(unittest.TestCase):
    def setUp(self):
        self.declared = names_in(ast.parse(DECLARATIONS.read_text()).body)

    def test_module(self):
        """Without the types of callbacks, and the structures of classes."""
        names = {name for name in dir(AFork) if is_public(name) and hasattr(AFork, name)}
        left_out = {name for name in names
                    if name.endswith("Class") or "CallbackInfo" in str(type(getattr(AFork, name)))}
        self.assertEqual(names - left_out, set(self.declared))

    def test_classes(self):
        for name, (node, *_) in self.declared.items():
            if not isinstance(node, ast.ClassDef):
                continue
            cls = getattr(AFork, name)
            found = names_in(node.body)
            names = {attribute for base in cls.__mro__ if base.__module__.endswith(".AFork")
                     for attribute in vars(base) if is_public(attribute)}
            if hasattr(cls, "list_properties"):
                names -= {field.get_name() for field in cls.__info__.get_fields()}
            names |= {special for special in SPECIAL & set(found) if hasattr(cls, special)}
            if "Props" in found:
                names |= {"Props", "props"}
                self.check_properties(cls, found["Props"][0])
            with self.subTest(name):
                self.assertEqual(names, set(found))

    def check_properties(self, cls, node):
        self.assertEqual({spec.name.replace("-", "_") for spec in cls.list_properties()},
                         set(names_in(node.body)), cls)

    def test_parameters(self):
        """Functions have the same parameters in the declarations and in the typelib."""
        n_functions = 0
        for name, (node, *_) in self.declared.items():
            raw = getattr(AFork._introspection_module, name, None)
            if not isinstance(node, ast.ClassDef) or not hasattr(raw, "list_properties"):
                continue
            infos = {info.__name__: info for info in raw.__info__.get_methods()}
            for function, nodes in names_in(node.body).items():
                if function not in infos or function in ("new", "map"):
                    continue
                n_functions += 1
                given = {parameter.get_name() for parameter in infos[function].get_arguments()
                         if int(parameter.get_direction()) == 0}
                for overload in nodes:
                    names = [argument.arg for argument in overload.args.args
                             if argument.arg not in ("self", "cls")]
                    with self.subTest(f"{name}.{function}"):
                        self.assertLessEqual(set(names), given)
                        if overload.args.vararg is None and "callback" not in given:
                            self.assertEqual(set(names), given)
        self.assertGreater(n_functions, 100)


@unittest.skipUnless(shutil.which("mypy"), "mypy is not installed")
class MypyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        shutil.copytree(FOLDER / "declarations", cls.folder / "declarations")
        shutil.copy(DECLARATIONS, cls.folder / "declarations" / "gi" / "repository" / "AFork.pyi")

    def check(self, *files):
        """What mypy finds: a list of (line, code, text)."""
        done = subprocess.run(
            ["mypy", "--strict", "--show-error-codes", "--no-error-summary",
             "--hide-error-context", f"--cache-dir={self.folder / 'cache'}", *files],
            env={**os.environ, "MYPYPATH": str(self.folder / "declarations")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = []
        for line in done.stdout.splitlines():
            match = re.fullmatch(r"(.*?):(\d+): (error|note): (.*?)(?:  \[([\w-]+)\])?", line)
            self.assertIsNotNone(match, done.stdout)
            if match[3] == "error":
                found.append((int(match[2]), match[5], line))
        return found

    def test_declarations(self):
        path = self.folder / "declarations" / "gi" / "repository" / "AFork.pyi"
        self.assertEqual(self.check(path), [])

    def test_right(self):
        self.assertEqual(self.check(FOLDER / "types-right.py"), [])

    def test_examples(self):
        examples = sorted(EXAMPLES.glob("*.py"))
        for example in examples:
            with self.subTest(example.name):
                self.assertEqual(self.check(example), [])

    def test_wrong(self):
        wrong = FOLDER / "types-wrong.py"
        expected = []
        for number, line in enumerate(wrong.read_text().splitlines(), 1):
            _, mark, codes = line.partition("  # ")
            if mark:
                expected += [(number, code) for code in codes.split()]
        self.assertGreaterEqual(len({number for number, _ in expected}), 30)
        found = self.check(wrong)
        self.assertEqual([(number, code) for number, code, _ in found], expected,
                         "\n".join(text for *_, text in found))


class WrongTest(unittest.TestCase):
    def test_raise(self):
        """Each wrong use raises TypeError at run time, too."""
        spec = importlib.util.spec_from_file_location("wrong", FOLDER / "types-wrong.py")
        wrong = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(wrong)
        uses = [use for use in vars(wrong).values() if getattr(use, "__module__", "") == "wrong"]
        self.assertGreaterEqual(len(uses), 30)
        for use in uses:
            with self.subTest(use.__name__), self.assertRaises(TypeError):
                use()


if __name__ == "__main__":
    unittest.main()
