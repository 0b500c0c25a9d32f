# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Processes of the GJS runtime: modules, code, functions, items, forks and exits."""

import os
import pathlib
import subprocess
import tempfile

from gjs_harness import AFork, Gio, GLib, GjsTest, MODULES, count_fds, main, read_all


def find_letter():
    """One for names of modules. GJS 1.82 itself finds no module whose path is not ASCII."""
    with tempfile.NamedTemporaryFile(prefix="ü", suffix=".js") as module:
        is_found = subprocess.run(["gjs", "-m", module.name]).returncode == 0
    return "ü" if is_found else "u"


LETTER = find_letter()


class FunctionTest(GjsTest):
    def test_items(self):
        process = self.new_process("workers.js").send_arg("a string").send_arg("")
        process.send_bytes(GLib.Bytes.new(b"by\0tes")).send_bytes(GLib.Bytes.new(b""))
        process.send_arg("Grüße")
        output = self.run_process(process, "workers.js:describe")
        self.assertEqual(output, '[true,["a string","",{"bytes":[98,121,0,116,101,115]},'
                                 '{"bytes":[]},"Grüße"]]')

    def test_large_string(self):
        text = "ä" * 300_000
        process = self.new_process("workers.js").send_arg(text).send_arg("!")
        connection = process.run("workers.js:echo", None)
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), (text + "!").encode())

    def test_string_of_any_bytes(self):
        process = self.new_process("workers.js").send_arg(os.fsdecode(b"\xff\xfe"))
        output = self.run_process(process, "workers.js:describe")
        self.assertEqual(output, '[true,[{"bytes":[255,254]}]]')

    def test_descriptor(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"in the file")
            file.seek(0)
            process = self.new_process("workers.js").send_fd(file.fileno())
            self.assertEqual(self.run_process(process, "workers.js:readFd"), "in the file")

    def test_names(self):
        """What a module can be called, and that it is loaded to run its function."""
        path = pathlib.Path(MODULES, "workers.js")
        self.check_names("workers.js", str(path), path.as_uri(),
                         f"{MODULES}/../modules/workers.js")
        with tempfile.TemporaryDirectory(prefix=f"afork '{LETTER}\\\" ") as folder:
            strange = pathlib.Path(folder, f"wor'k\\e\"r:{LETTER}.js")
            strange.symlink_to(path)
            self.check_names(str(strange), strange.as_uri())

    def check_names(self, *names):
        for name in names:
            for process in self.new_process(), self.new_process(name):
                output = self.run_process(process.send_arg("x"), f"{name}:describe")
                self.assertEqual(output, '[true,["x"]]', name)

    def test_file(self):
        """A file that is not in the module path, and forks that have it."""
        with tempfile.TemporaryDirectory(prefix=f"afork '{LETTER} ") as folder:
            def write(name, text):
                path = pathlib.Path(folder, name)
                path.write_text(text)
                return Gio.File.new_for_path(str(path))

            text = ("export function send(connection) {\n"
                    "    const stream = connection.get_output_stream();\n"
                    "    stream.write_all(new TextEncoder().encode('it is here'), null);\n}\n")
            mine = write("it's mine.js", text)
            template = self.new_process().require_file(mine).require_file(mine)
            self.assertEqual(self.run_process(template.fork(), "it's mine.js:send"), "it is here")
            self.assertEqual(self.run_process(template, "send"), "it is here")

            process = self.new_process().require_file(write("wrong.js", "\nlet = = 2;\n"))
            message = self.assert_fails(process, "f", AFork.Error.MODULE)
            self.assertIn("wrong.js:2", message)
            for path in (folder, f"{folder}/missing.js"):
                process = self.new_process().require_file(Gio.File.new_for_path(path))
                self.assertIn(path, self.assert_fails(process, "f", AFork.Error.MODULE))

    def test_resource(self):
        """A module of a resource, which other code of the template has registered."""
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "a.js").write_text(
                "export function run(connection) {\n"
                "    const stream = connection.get_output_stream();\n"
                "    stream.write_all(new TextEncoder().encode(name), null);\n"
                "}\nimport {name} from './b.js';\n")
            pathlib.Path(folder, "b.js").write_text("export const name = import.meta.url;\n")
            pathlib.Path(folder, "r.xml").write_text(
                "<gresources><gresource prefix='/test'><file>a.js</file><file>b.js</file>"
                "</gresource></gresources>")
            try:
                subprocess.run(["glib-compile-resources", "r.xml"], cwd=folder, check=True)
            except FileNotFoundError:
                self.skipTest("glib-compile-resources is not installed")
            template = self.new_process().eval(
                "imports.gi.Gio.Resource.load(args[0])._register()", [f"{folder}/r.gresource"])
            template.require("resource:///test/a.js")
            for _ in range(2):
                self.assertEqual(self.run_process(template.fork(), "resource:///test/a.js:run"),
                                 "resource:///test/b.js")

    def test_module_path(self):
        """The directories of the module path come first, and then the working directory."""
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            for folder, text in (first, "first"), (second, "second"):
                pathlib.Path(folder, "m.js").write_text(f"export const text = '{text}';")
            pathlib.Path(second, "n.js").write_text("export const text = 'only second';")
            self.runtime.set_module_path([first, second, MODULES])
            pathlib.Path(first, "sub").mkdir()
            pathlib.Path(first, "sub", "o.js").write_text("export const text = 'deeper';")
            process = self.new_process().eval("var texts = {}; function put(name) {}", None)
            for name, text in ("m.js", "first"), ("n.js", "only second"), ("sub/o.js", "deeper"):
                message = self.assert_fails(self.new_process(name), f"{name}:text",
                                            AFork.Error.FUNCTION)
                self.assertIn("is not a function, but of type string", message)
            pathlib.Path(first, "f.js").write_text("export {send} from './sub/s.js';")
            pathlib.Path(first, "sub", "s.js").write_text("export function send(c) {}")
            self.assertEqual(self.run_process(self.new_process("f.js"), "f.js:send"), "")
            self.runtime.set_module_path([MODULES])
            process = self.new_process().chdir(second)
            message = self.assert_fails(process, "n.js:text", AFork.Error.FUNCTION)
            self.assertIn("is not a function, but of type string", message)

    def test_nested(self):
        self.assertEqual(self.run_process(self.new_process(), "workers.js:Namespace.nested"),
                         "Namespace")

    def test_default(self):
        self.assertEqual(self.run_process(self.new_process(), "workers.js:default"), "the default")

    def test_name_alone(self):
        process = self.new_process("workers.js").eval(
            "function describe(connection) {\n"
            "    connection.get_output_stream().write_all(new TextEncoder().encode('evaluated'), "
            "null);\n}", None)
        self.assertEqual(self.run_process(process.fork(), "describe"), "evaluated")
        process.require("workers.js")
        self.assertEqual(self.run_process(process, "describe"), "[true,[]]")

    def test_promise(self):
        process = self.new_process("workers.js").send_arg("awaited")
        self.assertEqual(self.run_process(process, "workers.js:serve"), "awaited")

    def test_jobs_that_are_left(self):
        self.assertEqual(self.run_process(self.new_process("workers.js"), "workers.js:leaveJob"),
                         "from the job")

    def test_title(self):
        process = self.new_process("workers.js")
        connection = process.run("workers.js:echo", None)
        with open(f"/proc/{process.get_pid()}/cmdline", "rb") as file:
            self.assertTrue(file.read().startswith(b"afork: workers.js:echo"))
        connection.close(None)
        process.wait(None)


class PreparationTest(GjsTest):
    def test_eval(self):
        process = self.new_process().eval("function f() { return args; }\nvar value = f();",
                                          ["one", "zwei ä"])
        values = self.evaluate(process, "value", "args", "globalThis.f().length")
        self.assertEqual(values, [["one", "zwei ä"], ["one", "zwei ä"], 2])

    def test_eval_that_ends_in_comment(self):
        process = self.new_process().eval("var value = 1 // the end", None)
        self.assertEqual(self.evaluate(process, "value"), 1)

    def test_call(self):
        process = self.new_process("workers.js").call("workers.js:remember", ["one", "two"])
        process.call("workers.js:remember", None)
        self.assertEqual(self.evaluate(process, "started"), [["one", "two"], []])

    def test_call_of_promise(self):
        process = self.new_process().eval(
            "async function prepare(...args) {\n"
            "    await new Promise(resolve => setTimeout(resolve, 1));\n"
            "    globalThis.prepared = args;\n}", None).call("prepare", ["x"])
        self.assertEqual(self.evaluate(process, "prepared"), ["x"])

    def test_environment(self):
        os.environ["AFORK_TEST_INHERITED"] = "yes"
        self.addCleanup(os.environ.pop, "AFORK_TEST_INHERITED")
        process = self.new_process().setenv("AFORK_TEST_SET", "Wert ä")
        process.setenv("AFORK_TEST_INHERITED", None)
        values = self.evaluate(process, "GLib.getenv('AFORK_TEST_SET')",
                               "GLib.getenv('AFORK_TEST_INHERITED')")
        self.assertEqual(values, ["Wert ä", None])

    def test_working_directory(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.new_process("workers.js").chdir(folder)
            self.assertEqual(self.evaluate(process, "GLib.get_current_dir()"),
                             os.path.realpath(folder))

    def test_output_is_written_once(self):
        with tempfile.TemporaryFile() as file:
            process = self.new_process().map_fd(file.fileno(), 1)
            process.eval("print('from the template')", None)
            for number in range(3):
                self.evaluate(process.fork(), f"print('fork {number}')")
            file.seek(0)
            # Without an engine, the template prints nothing, and each fork does what it would.
            text = b"from the template\n"
            expected = [text + b"fork 0\n"] + [(text if self.ARGV else b"") + b"fork %d\n" % i
                                               for i in (1, 2)]
            self.assertEqual(file.read(), b"".join(expected))

    def test_executed_program(self):
        process = self.new_process().eval("imports.gi.GLib.setenv('X', 'of the code', true)", None)
        connection = process.exec(["printenv", "X"], None)
        self.assertEqual(read_all(connection), b"of the code\n")


class ForkTest(GjsTest):
    def test_forks(self):
        template = self.new_process("workers.js").eval("var seen = [];", None)
        for name in "one", "two":
            fork = template.fork().eval(f"seen.push('{name}')", None)
            self.assertEqual(self.evaluate(fork.fork(), "seen"), [name])
            self.assertEqual(self.evaluate(fork, "seen"), [name])
        self.assertEqual(self.evaluate(template, "seen"), [])

    def test_executed(self):
        process = AFork.Process.new_exec(self.runtime)
        self.assertEqual(self.evaluate(process, "1 + 1"), 2)

    def test_default_runtime(self):
        self.addCleanup(AFork.Runtime.set_default, AFork.Runtime.get_default())
        AFork.Runtime.set_default(self.runtime)
        self.assertEqual(self.evaluate(AFork.Process.new(), "1 + 1"), 2)

    def test_nothing_is_left(self):
        self.evaluate(self.new_process(), "1")
        before = count_fds()
        for _ in range(5):
            self.evaluate(self.new_process(), "1")
        self.assertEqual(count_fds(), before)


class ExitTest(GjsTest):
    def assert_exits(self, process, function, status):
        output, printed = self.run_with_stderr(process, function)
        self.assertEqual(process.get_exit_status(), (True, status), printed)
        return output, printed

    def test_status(self):
        for status in 0, 3, 255:
            process = self.new_process("workers.js").send_arg(str(status))
            self.assertEqual(self.assert_exits(process, "workers.js:exitWith", status), ("", ""))

    def test_status_of_promise(self):
        self.assert_exits(self.new_process("workers.js"), "workers.js:exitLater", 5)

    def test_status_of_timeout(self):
        self.assert_exits(self.new_process("workers.js"), "workers.js:exitInTimeout", 6)

    def test_exception(self):
        for function, text in ("fail", "this function"), ("failLater", "this promise"):
            _, printed = self.assert_exits(self.new_process("workers.js"), f"workers.js:{function}",
                                           1)
            self.assertRegex(printed, f"^RangeError: {text} always fails\n"
                                      f"{function}@file://.*/workers.js:[0-9]+:[0-9]+\n$")

    def test_rejected_promise(self):
        output, printed = self.assert_exits(self.new_process("workers.js"), "workers.js:reject", 0)
        self.assertEqual(output, "returned")
        self.assertIn("Unhandled promise rejection", printed)
        self.assertIn("workers.js", printed)

    def test_exit_of_template(self):
        for process in (self.new_process().eval("imports.system.exit(7)", None),
                        self.new_process("workers.js").call("workers.js:exitWith", ["", "7"])):
            message = self.assert_fails(process, "x", AFork.Error.EXITED)
            self.assertRegex(message, "exited with status [07]")


class ErrorTest(GjsTest):
    def test_no_module(self):
        message = self.assert_fails(self.new_process("no-such.js"), "x", AFork.Error.MODULE)
        self.assertRegex(message.splitlines()[0],
                         "^Module “no-such.js” could not be loaded: .*no-such.js.*")

    def test_syntax_error(self):
        """The message has the error with its file and line, of a module and of what it imports."""
        with tempfile.TemporaryDirectory() as folder:
            wrong = pathlib.Path(folder, "wrong.js")
            wrong.write_text("export function f() {\n    return 1;\n}\nlet = = 5;\n")
            pathlib.Path(folder, "importing.js").write_text("\nimport {f} from './wrong.js';\n")
            pathlib.Path(folder, "naming.js").write_text("import {none} from './right.js';\n")
            pathlib.Path(folder, "right.js").write_text("export const one = 1;\n")
            self.runtime.set_module_path([folder])
            for name in "wrong.js", "importing.js":
                for function in "x", f"{name}:f":
                    process = self.new_process(name) if function == "x" else self.new_process()
                    message = self.assert_fails(process, function, AFork.Error.MODULE)
                    first, *rest = message.splitlines()
                    self.assertTrue(first.startswith(
                        f"Module “{name}” could not be loaded: SyntaxError: "), message)
                    self.assertRegex(message, f"file://{folder}/wrong.js:4(:[0-9]+)?\\b")
            message = self.assert_fails(self.new_process("naming.js"), "x", AFork.Error.MODULE)
            self.assertRegex(message, "SyntaxError: .*none")
            self.assertRegex(message, f"file://{folder}/naming.js:1(:[0-9]+)?\\b")
        message = self.assert_fails(self.new_process().eval("var a;\nvar b = = 5;", None), "x",
                                    AFork.Error.EVAL)
        self.assertRegex(message, "SyntaxError: (.*\n)*.*<eval-1>:2(:[0-9]+)?\\b")

    def test_no_function(self):
        message = self.assert_fails(self.new_process("workers.js"), "workers.js:none",
                                    AFork.Error.FUNCTION)
        self.assertEqual(message, "There is no function “workers.js:none” in module “workers.js”")
        message = self.assert_fails(self.new_process("workers.js"), "none", AFork.Error.FUNCTION)
        self.assertIn("no function “none” in the modules that have been loaded", message)
        message = self.assert_fails(self.new_process(), "none", AFork.Error.FUNCTION)
        self.assertIn("no module has been loaded", message)
        message = self.assert_fails(self.new_process(), "workers.js:notAFunction",
                                    AFork.Error.FUNCTION)
        self.assertIn("is not a function, but of type number", message)

    def test_eval(self):
        message = self.assert_fails(
            self.new_process().eval("function f() {\n  null.x;\n}\nf()", None), "x",
            AFork.Error.EVAL)
        self.assertRegex(message, "^The code could not be run: TypeError: (.*\n)+"
                                  "f@<eval-1>:2:[0-9]+")

    def test_call(self):
        message = self.assert_fails(self.new_process().call("workers.js:fail", None), "x",
                                    AFork.Error.FUNCTION)
        self.assertRegex(message, "^“workers.js:fail” has failed: RangeError: this function always "
                                  "fails\nfail@file://.*workers.js:")

    def test_no_program(self):
        self.runtime.set_argv(None)
        self.runtime.set_executable("/no/such/program")
        self.addCleanup(self.runtime.set_executable, None)
        message = self.assert_fails(self.new_process(), "x", AFork.Error.SPAWN)
        self.assertIn("/no/such/program", message)

    def test_no_typelib(self):
        """If GJS cannot load AFork, the first command says so."""
        self.runtime.set_environ([text for text in self.runtime.dup_environ()
                                  if not text.startswith("GI_TYPELIB_PATH=")])
        if os.path.exists("/usr/local/lib/girepository-1.0/AFork-1.typelib"):
            self.skipTest("AFork is installed")
        message = self.assert_fails(self.new_process("workers.js"), "x", AFork.Error.MODULE)
        self.assertIn("AFork could not be loaded by GJS", message)
        self.assertIn("Typelib file for namespace 'AFork'", message)


if "AFORK_TEST_LATE" in os.environ:
    # The same where the engine has threads of its own.
    GjsTest.ARGV = [AFork.Runtime.get_gjs().dup_argv()[0], "--late-context"]

main()
