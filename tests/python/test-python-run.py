# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Processes of the Python runtime: modules, code, functions, items, forks and exits."""

import os
import signal
import tempfile

from harness import AFork, Gio, GLib, PythonTest, count_fds, main, read_all


class FunctionTest(PythonTest):
    def test_items(self):
        process = self.new_process("workers").send_arg("a string").send_arg("")
        process.send_bytes(GLib.Bytes.new(b"by\0tes")).send_arg("Grüße")
        output = self.run_process(process, "workers:describe")
        self.assertEqual(output, repr(("socket", ("a string", "", b"by\0tes", "Grüße"))))

    def test_large_string(self):
        text = "ä" * 300_000
        process = self.new_process("workers").send_arg(text).send_arg("!")
        connection = process.run("workers:echo", None)
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), (text + "!").encode())

    def test_string_of_any_bytes(self):
        process = self.new_process("workers").send_arg(os.fsdecode(b"\xff\xfe name"))
        output = self.run_process(process, "workers:describe")
        self.assertEqual(output, repr(("socket", (os.fsdecode(b"\xff\xfe name"),))))

    def test_descriptor(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"in the file")
            file.seek(0)
            process = self.new_process("workers").send_fd(file.fileno())
            self.assertEqual(self.run_process(process, "workers:read_fd"), "in the file")

    def test_module_is_imported_to_run(self):
        self.assertEqual(self.run_process(self.new_process().send_arg("x"), "workers:describe"),
                         repr(("socket", ("x",))))

    def test_file(self):
        """A file that is not in the module path, and forks that have it."""
        with tempfile.TemporaryDirectory() as folder:
            def write(name, text):
                path = os.path.join(folder, name)
                with open(path, "w") as file:
                    file.write(text)
                return Gio.File.new_for_path(path)

            text = "def describe(socket, *items):\n    socket.sendall(__name__.encode())\n"
            mine = write("mine.py", text)
            template = self.new_process().require_file(mine).require_file(mine)
            template.require_file(write("my-program", text))
            self.assertEqual(self.run_process(template.fork(), "mine:describe"), "mine")
            self.assertEqual(self.run_process(template.fork(), "describe"), "my-program")
            self.assertEqual(self.run_process(template, "my-program:describe"), "my-program")

            for name, content, expected in (
                    ("json.py", text, "there is already another module “json”"),
                    ("a.b.py", text, "has a point"),
                    ("wrong.py", "def f():\n    1 = 2\n", "line 2"),
                    ("raises.py", "\n\nraise ValueError('my message')\n",
                     "raises.py\", line 3, in <module>")):
                # Of the standard library, the server has imported some modules already.
                process = self.new_process().eval("import json", None)
                process.require_file(write(name, content))
                message = self.assert_fails(process, "f", AFork.Error.MODULE)
                self.assertIn(expected, message)
                self.assertNotIn("afork-server", message)
            for path in (folder, os.path.join(folder, "missing.py")):
                process = self.new_process().require_file(Gio.File.new_for_path(path))
                self.assertIn(path, self.assert_fails(process, "f", AFork.Error.MODULE))

    def test_nested(self):
        self.assertEqual(self.run_process(self.new_process(), "workers:Namespace.nested"), "nested")

    def test_name_alone(self):
        process = self.new_process("workers").eval("def describe(socket, *items):\n"
                                                   "    socket.sendall(b'evaluated')", None)
        self.assertEqual(self.run_process(process.fork(), "describe"), "evaluated")
        process.require("workers")
        self.assertEqual(self.run_process(process, "describe"), repr(("socket", ())))

    def test_coroutine(self):
        process = self.new_process("workers").send_arg("awaited")
        self.assertEqual(self.run_process(process, "workers:serve"), "awaited")

    def test_title(self):
        process = self.new_process("workers")
        connection = process.run("workers:echo", None)
        with open(f"/proc/{process.get_pid()}/cmdline", "rb") as file:
            self.assertTrue(file.read().startswith(b"afork: workers:echo"))
        connection.close(None)
        process.wait(None)


class PreparationTest(PythonTest):
    def test_eval(self):
        process = self.new_process().eval("import workers\nworkers.value = args", ["one", "zwei ä"])
        values = self.evaluate(process, "value", "sys.modules['__main__'].args")
        self.assertEqual(values, [["one", "zwei ä"]] * 2)

    def test_call(self):
        process = self.new_process("workers").call("workers:remember", ["one", "two"])
        process.call("workers:remember", None)
        self.assertEqual(self.evaluate(process, "STARTED"), [("one", "two"), ()])

    def test_environment(self):
        os.environ["AFORK_TEST_INHERITED"] = "yes"
        self.addCleanup(os.environ.pop, "AFORK_TEST_INHERITED")
        process = self.new_process().setenv("AFORK_TEST_SET", "Wert ä")
        process.setenv("AFORK_TEST_INHERITED", None)
        values = self.evaluate(
            process, "os.environ.get('AFORK_TEST_SET')", "os.environ.get('AFORK_TEST_INHERITED')",
            "__import__('subprocess').check_output(['printenv', 'AFORK_TEST_SET'])")
        self.assertEqual(values, ["Wert ä", None, "Wert ä\n".encode()])

    def test_working_directory(self):
        with tempfile.TemporaryDirectory() as folder:
            process = self.new_process("workers").chdir(folder)
            self.assertEqual(self.evaluate(process, "os.getcwd()"), os.path.realpath(folder))

    def test_main_is_new(self):
        values = self.evaluate(self.new_process(), "sys.argv", "sorted(vars("
                               "sys.modules['__main__']).keys() - {'__builtins__'})")
        self.assertEqual(values, [[""], ["__doc__", "__loader__", "__name__", "__package__",
                                         "__spec__"]])

    def test_output_is_written_once(self):
        with tempfile.TemporaryFile() as file:
            process = self.new_process().map_fd(file.fileno(), 1)
            process.eval("print('from the template')", None)
            for number in range(3):
                self.evaluate(process.fork(), f"print('fork {number}', flush=True)")
            file.seek(0)
            self.assertEqual(file.read(), b"from the template\nfork 0\nfork 1\nfork 2\n")


class ForkTest(PythonTest):
    def test_forks(self):
        template = self.new_process("workers").eval("import workers\nworkers.seen = []", None)
        for name in "one", "two":
            fork = template.fork().eval(f"import workers\nworkers.seen.append({name!r})", None)
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

    def test_hooks(self):
        template = self.new_process("workers").eval(
            "import os, workers\n"
            "os.register_at_fork(after_in_child=lambda: workers.STARTED.append('child'))", None)
        self.assertEqual(self.evaluate(template.fork(), "STARTED"), ["child"])

    def test_nothing_is_left(self):
        self.evaluate(self.new_process(), "1")
        before = count_fds()
        for _ in range(5):
            self.evaluate(self.new_process(), "1")
        self.assertEqual(count_fds(), before)


class ExitTest(PythonTest):
    def run_until_exit(self, process, function):
        connection = process.run(function, None)
        output = read_all(connection)
        process.wait(None)
        return output

    def test_status(self):
        for text, status in (("3", 3), ("None", 0), ("'a message'", 1), ("256 + 7", 7)):
            process = self.new_process("workers").send_arg(text)
            self.run_until_exit(process, "workers:exit_with")
            self.assertEqual(process.get_exit_status(), (True, status), text)

    def test_exception(self):
        with tempfile.TemporaryFile() as file:
            process = self.new_process("workers").map_fd(file.fileno(), 2)
            self.run_until_exit(process, "workers:fail")
            self.assertEqual(process.get_exit_status(), (True, 1))
            file.seek(0)
            text = file.read().decode()
        self.assertRegex(text, "^Traceback .*\n  File .*/workers.py\", line .*, in fail\n")
        self.assertIn("ValueError: this function always fails", text)
        self.assertNotIn("afork-server", text)

    def test_interrupt(self):
        code = ("def wait(socket):\n"
                "    try:\n"
                "        socket.sendall(b'ready')\n"
                "        socket.recv(1)\n"
                "    except KeyboardInterrupt:\n"
                "        socket.sendall(b' interrupted')\n"
                "        raise\n")
        with tempfile.TemporaryFile() as file:
            process = self.new_process().eval(code, None).map_fd(file.fileno(), 2)
            connection = process.run("wait", None)
            self.assertEqual(connection.get_input_stream().read_bytes(5, None).get_data(), b"ready")
            process.send_signal(signal.SIGINT)
            self.assertEqual(read_all(connection), b" interrupted")
            process.wait(None)
            self.assertEqual(process.get_term_signal(), (True, signal.SIGINT))
            file.seek(0)
            self.assertIn(b"KeyboardInterrupt", file.read())

    def test_threads_are_joined(self):
        code = ("import threading, time\n"
                "def work(socket):\n"
                "    socket.settimeout(None)\n"
                "    def later():\n"
                "        socket.recv(1)\n"
                "        socket.sendall(b'from the thread')\n"
                "    threading.Thread(target=later).start()\n"
                "    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n")
        process = self.new_process().eval(code, None)
        connection = process.run("work", None)
        connection.get_socket().shutdown(False, True)
        self.assertEqual(read_all(connection), b"from the thread")
        process.wait(None)
        self.assertEqual(process.get_exit_status(), (True, 0))

    def test_exit_handlers(self):
        code = ("import atexit, os\n"
                "def work(socket):\n"
                "    atexit.register(os.write, socket.fileno(), b'of the worker')\n"
                "    work.socket = socket\n"
                "atexit.register(os.write, 2, b'of the template')\n")
        with tempfile.TemporaryFile() as file:
            template = self.new_process().map_fd(file.fileno(), 2).eval(code, None)
            process = template.fork()
            self.assertEqual(self.run_until_exit(process, "work"), b"of the worker")
            file.seek(0)
            self.assertEqual(file.read(), b"")


class ErrorTest(PythonTest):
    def test_no_module(self):
        message = self.assert_fails(self.new_process("no_such_module"), "x", AFork.Error.MODULE)
        self.assertEqual(message.splitlines()[0],
                         "Module “no_such_module” could not be imported: "
                         "ModuleNotFoundError: No module named 'no_such_module'")

    def test_no_function(self):
        message = self.assert_fails(self.new_process("workers"), "workers:none",
                                    AFork.Error.FUNCTION)
        self.assertEqual(message, "There is no function “workers:none” in module “workers”")
        message = self.assert_fails(self.new_process("workers"), "none", AFork.Error.FUNCTION)
        self.assertIn("no function “none” in the modules that have been loaded", message)
        message = self.assert_fails(self.new_process(), "none", AFork.Error.FUNCTION)
        self.assertIn("no module has been loaded", message)
        message = self.assert_fails(self.new_process(), "workers:not_a_function",
                                    AFork.Error.FUNCTION)
        self.assertIn("is not a function, but of type int", message)

    def test_eval(self):
        message = self.assert_fails(self.new_process().eval("def f():\n  1 / 0\nf()", None), "x",
                                    AFork.Error.EVAL)
        self.assertRegex(message, "^The code could not be run: ZeroDivisionError: division by zero"
                                  "\nTraceback (.*\n)*  File \"<eval 1>\", line 2, in f\n    1 / 0")

    def test_call(self):
        process = self.new_process("workers").call("workers:fail_in_command", None)
        message = self.assert_fails(process, "x", AFork.Error.FUNCTION)
        self.assertRegex(message, "^“workers:fail_in_command” has failed: ValueError: "
                                  "(.*\n)*.*/workers.py\", line .*, in fail_in_command")


main()
