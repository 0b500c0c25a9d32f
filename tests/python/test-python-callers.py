# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Callers in Python: workers have the interpreter, the options and the modules of their caller."""

import os
import subprocess
import sys
import tempfile
import zipapp
from unittest import mock

from harness import AFork, GLib, PythonTest, main

SOURCE = os.path.join(os.environ["G_TEST_SRCDIR"], "..", "introspection", "python")
BUILD = os.path.join(os.environ["G_TEST_BUILDDIR"], "..", "introspection", "python")

PATH = f"import sys; sys.path[1:1] = [{SOURCE!r}, {BUILD!r}]\n"

CALLER = """\
import gi
gi.require_version("AFork", "1")
from gi.repository import AFork
process = AFork.Process.new_for_runtime(AFork.Runtime.get_python()).require("mine")
connection = process.run("mine:work", None)
print(connection.get_input_stream().read_bytes(4096, None).get_data().decode())
"""

MODULE = """\
import sys

def work(socket):
    flags = [name for name in ("isolated", "dev_mode", "utf8_mode", "optimize", "bytes_warning")
             if getattr(sys.flags, name)]
    socket.sendall(repr((sys.prefix, sys.executable, flags, sys.warnoptions, sys._xoptions,
                         __file__)).encode())
"""


class CallerTest(PythonTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)
        self.write("mine.py", MODULE)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def call(self, *argv, folder=None, stdin=""):
        """What the function of the worker has sent, as a named tuple of sorts."""
        done = subprocess.run(argv, cwd=folder or self.folder, input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("("), done.stdout + done.stderr)
        names = "prefix", "executable", "flags", "warnings", "options", "file"
        return dict(zip(names, eval(done.stdout)))

    def test_script(self):
        script = self.write("caller.py", CALLER)
        got = self.call(sys.executable, script, folder="/")
        self.assertEqual(got["executable"], sys.executable)
        self.assertEqual(got["file"], os.path.join(self.folder, "mine.py"))
        self.assertEqual(got["flags"], [])

    def test_relative_script(self):
        self.write("caller.py", CALLER)
        got = self.call(sys.executable, "caller.py")
        self.assertEqual(got["file"], os.path.join(self.folder, "mine.py"))

    def test_options(self):
        script = self.write("caller.py", CALLER)
        got = self.call(sys.executable, "-X", "dev", "-X", "utf8", "-W", "error::SyntaxWarning",
                        "-O", "-b", script)
        self.assertEqual(got["flags"], ["dev_mode", "utf8_mode", "optimize", "bytes_warning"])
        self.assertIn("error::SyntaxWarning", got["warnings"])

    def test_isolated(self):
        script = self.write("caller.py", PATH + f"sys.path.insert(0, {self.folder!r})\n" + CALLER)
        got = self.call(sys.executable, "-I", script)
        self.assertEqual(got["flags"], ["isolated"])
        self.assertEqual(got["file"], os.path.join(self.folder, "mine.py"))

    def test_code(self):
        got = self.call(sys.executable, "-c", CALLER)
        self.assertEqual(got["file"], os.path.join(self.folder, "mine.py"))

    def test_interactive(self):
        got = self.call(sys.executable, "-i", "-q", stdin="import sys; sys.ps1 = ''\n" + CALLER)
        self.assertEqual(got["file"], os.path.join(self.folder, "mine.py"))

    def test_path_that_is_changed_later(self):
        os.rename(os.path.join(self.folder, "mine.py"), os.path.join(self.folder, "not-yet.py"))
        os.mkdir(os.path.join(self.folder, "later"))
        os.rename(os.path.join(self.folder, "not-yet.py"),
                  os.path.join(self.folder, "later", "mine.py"))
        start = CALLER.index("process = ")
        text = f"{CALLER[:start]}import sys; sys.path.append('later')\n{CALLER[start:]}"
        got = self.call(sys.executable, "-c", text)
        self.assertEqual(got["file"], os.path.join(self.folder, "later", "mine.py"))

    def test_zipapp(self):
        source = os.path.join(self.folder, "source")
        os.mkdir(source)
        os.rename(os.path.join(self.folder, "mine.py"), os.path.join(source, "mine.py"))
        self.write("source/__main__.py", CALLER)
        zipapp.create_archive(source, os.path.join(self.folder, "caller.pyz"))
        got = self.call(sys.executable, "caller.pyz")
        self.assertEqual(got["file"], os.path.join(self.folder, "caller.pyz", "mine.py"))

    def make_environment(self, *options):
        folder = os.path.join(self.folder, "environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, folder],
                       check=True)
        return folder

    def test_environment(self):
        folder = self.make_environment("--system-site-packages")
        python = os.path.join(folder, "bin", "python3")
        packages = subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"],
                                  stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        os.rename(os.path.join(self.folder, "mine.py"), os.path.join(packages, "mine.py"))
        got = self.call(python, self.write("caller.py", CALLER), folder="/")
        self.assertEqual(got["prefix"], folder)
        self.assertEqual(got["executable"], python)
        self.assertEqual(got["file"], os.path.join(packages, "mine.py"))

    def test_environment_without_gi(self):
        python = os.path.join(self.make_environment(), "bin", "python3")
        self.addCleanup(self.runtime.set_executable, None)
        self.runtime.set_executable(python)
        message = self.assert_fails(self.new_process("workers"), "workers:describe",
                                    AFork.Error.SPAWN)
        self.assertIn(f"The Python of the worker, {python}, has no PyGObject", message)
        self.assertIn("--system-site-packages", message)

    def embed(self, mode, code):
        program = os.environ.get("AFORK_TEST_EMBEDDED_PROGRAM")
        if program is None:
            self.skipTest("Python cannot be embedded here: there is no python3-embed.pc")
        return subprocess.run([program, mode, code], cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False)

    def test_embedded(self):
        """A program that embeds Python is not executed again, not even if it is sys.executable."""
        own = os.environ.get("AFORK_TEST_EMBEDDED_PROGRAM")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([self.folder, *sys.path])}
        for mode in "itself", "default":
            with self.subTest(mode), mock.patch.dict(os.environ, env):
                done = self.embed(mode, "import sys; print(sys.executable)")
                self.assertEqual(done.stdout == f"{own}\n", mode == "itself", done.stdout)
                done = self.embed(mode, CALLER)
                self.assertEqual(done.returncode, 0, done.stdout)
                prefix, executable, *_, file = eval(done.stdout)
                self.assertEqual(os.path.realpath(executable),
                                 os.path.realpath(os.environ["AFORK_TEST_PYTHON"]))
                self.assertEqual(file, os.path.join(self.folder, "mine.py"))

    def test_other_program(self):
        """The interpreter of a program is the program itself."""
        self.assertFalse(self.runtime.set_interpreter("/bin/sh", None, None))
        self.assertFalse(self.runtime.set_interpreter("/no/such/python", None, None))
        self.assertTrue(self.runtime.set_interpreter(sys.executable, ["-X", "dev"], None))


main()
