# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Errors of workers in Python: each has the frame of the user's code, however strange the exception
is."""

import os
import tempfile

from harness import AFork, GLib, PythonTest, main, pack

# What the user's code does in its last line, and what the error says about it.
RAISES = {
    "message": ("raise ValueError('my message')", "ValueError: my message"),
    "surrogates": ("raise ValueError('lone \\udc80 surrogate')",
                   "ValueError: lone \\udc80 surrogate"),
    "null": ("raise ValueError('null \\0 byte')", "ValueError: null \\0 byte"),
    "long": ("raise ValueError('x' * 2**20)", "ValueError: xxx"),
    "many lines": ("raise ValueError('x\\n' * 2**19)", "ValueError: x\nx\n"),
    "wide": ("raise ValueError('\\N{PILE OF POO}' * 2**18)", "ValueError: \N{PILE OF POO}"),
    "nothing": ("raise ValueError", "ValueError"),
    "exit": ("import sys; sys.exit('a message')", "SystemExit: a message"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "class": ("class Odd(Exception):\n"
              "        def __str__(self): raise BaseException('no text')\n"
              "    raise Odd", "Odd: "),
    "recursion": ("f = lambda: f(); f()", "RecursionError: maximum recursion depth exceeded"),
    "group": ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", "ExceptionGroup: two"),
}


class ErrorTest(PythonTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.runtime.set_module_path([self.folder.name])
        self.n_modules = 0

    def write_module(self, text):
        self.n_modules += 1
        name = f"wrong{self.n_modules}"
        with open(os.path.join(self.folder.name, f"{name}.py"), "w") as file:
            file.write(text)
        return name

    def write_function(self, code, name="function"):
        return self.write_module(f"def {name}(*args):\n    {code}\n")

    def check_message(self, message, module, text, where):
        """The message has the text of the exception, then a traceback with the user's frame."""
        self.assertIn(text, message)
        self.assertRegex(message, f'File ".*/{module}.py", line [0-9]+, in {where}')
        self.assertNotIn("afork-server", message)
        self.assertNotIn("importlib", message)
        self.assertLess(len(message.encode()), 4096)

    def each(self):
        return list(RAISES.values())

    def test_module(self):
        for code, text in self.each():
            module = self.write_module(f"if True:\n    {code}\n")
            message = self.assert_fails(self.new_process(module), "x", AFork.Error.MODULE)
            self.check_message(message, module, text, "<(module|lambda)>")
            self.assertTrue(message.startswith(f"Module “{module}” could not be imported: "))

    def test_module_of_module(self):
        inner = self.write_function("1 / 0")
        outer = self.write_module(f"import {inner}\n{inner}.function()")
        message = self.assert_fails(self.new_process(outer), "x", AFork.Error.MODULE)
        self.check_message(message, outer, "ZeroDivisionError: division by zero", "<module>")
        self.check_message(message, inner, "ZeroDivisionError: division by zero", "function")

    def test_syntax(self):
        module = self.write_module("x = 1\ny = = 2\n")
        message = self.assert_fails(self.new_process(module), "x", AFork.Error.MODULE)
        self.assertRegex(message, f'File ".*/{module}.py", line 2\n    y = = 2\n')
        self.assertIn("SyntaxError: invalid syntax", message)

        message = self.assert_fails(self.new_process().eval("x = 1\ny = = 2\n", None), "x",
                                    AFork.Error.EVAL)
        self.assertRegex(message, 'File "<eval 1>", line 2\n    y = = 2\n')

    def test_null_in_module(self):
        module = self.write_module("x = '\0'\n")
        message = self.assert_fails(self.new_process(module), "x", AFork.Error.MODULE)
        self.assertIn("source code string cannot contain null bytes", message)

    def test_eval(self):
        for code, text in self.each():
            message = self.assert_fails(
                self.new_process().eval(f"def g():\n    {code}\ng()", None), "x", AFork.Error.EVAL)
            self.assertIn(text, message)
            self.assertRegex(message, 'File "<eval 1>", line [0-9], in (g|<lambda>)')

    def test_call(self):
        for code, text in self.each():
            module = self.write_function(code)
            message = self.assert_fails(self.new_process().call(f"{module}:function", ["x"]), "x",
                                        AFork.Error.FUNCTION)
            self.check_message(message, module, text, "(function|<lambda>)")

    def test_function(self):
        for code, text in self.each():
            module = self.write_module(f"if True:\n    {code}\n")
            message = self.assert_fails(self.new_process(), f"{module}:x", AFork.Error.FUNCTION)
            self.check_message(message, module, text, "<(module|lambda)>")

    def assert_call_fails(self, rpc, code=AFork.Error.EXCEPTION):
        with self.assertRaises(GLib.Error) as context:
            rpc.call(pack("argument"), None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        return context.exception.message

    def test_init(self):
        for code, text in self.each():
            module = self.write_function(code)
            rpc = AFork.Rpc(process=self.new_process(), function=f"{module}:function",
                            init_function=f"{module}:function")
            self.check_message(self.assert_call_fails(rpc), module, text, "(function|<lambda>)")

    def test_served(self):
        for code, text in self.each():
            if "KeyboardInterrupt" in text:
                continue        # ends the worker
            module = self.write_function(code)
            for concurrent in False, True:
                rpc = AFork.Rpc(process=self.new_process(), function=f"{module}:function",
                                concurrent=concurrent)
                message = self.assert_call_fails(rpc)
                self.assertTrue(message.startswith((text, f"{module}.function.<locals>.{text}")),
                                message[:200])
                self.check_message(message[:1000] + message[-500:], module, text,
                                   "(function|<lambda>)")

    def test_served_function(self):
        module = self.write_module("raise ValueError('my message')")
        rpc = AFork.Rpc(process=self.new_process(), function=f"{module}:function")
        self.check_message(self.assert_call_fails(rpc, AFork.Error.FUNCTION), module,
                           "ValueError: my message", "<module>")

    def test_strange_names(self):
        message = self.assert_fails(self.new_process("n" * 5000), "x", AFork.Error.MODULE)
        self.assertIn("could not be imported: ModuleNotFoundError: No module named", message)
        message = self.assert_fails(self.new_process(), ":", AFork.Error.FUNCTION)
        self.assertIn("no function “:” in module “__main__”", message)
        message = self.assert_fails(self.new_process(os.fsdecode(b"\xff")), "x", AFork.Error.MODULE)
        self.assertIn("is not valid UTF-8", message)


main()
