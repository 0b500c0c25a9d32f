# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Forks of processes of the GJS runtime: none hangs, and none is like another."""

import json
import os
import pathlib
import selectors
import tempfile

from gjs_harness import AFork, GLib, GjsTest, main, read_all

N_FORKS = int(os.environ.get("AFORK_TEST_FORKS", "200"))
AT_A_TIME = 4


class HotTest(GjsTest):
    LIMIT = 500

    def run_forks(self, template):
        """What forks of the template send, which run a few at a time."""
        selector = selectors.DefaultSelector()
        outputs = []
        started = 0
        while len(outputs) < N_FORKS:
            while started < N_FORKS and started - len(outputs) < AT_A_TIME:
                process = template.fork().send_arg(str(started))
                connection = process.run("hot.js:work", None)
                selector.register(connection.get_socket().get_fd(), selectors.EVENT_READ,
                                  (process, connection))
                started += 1
            for key, _ in selector.select():
                process, connection = key.data
                selector.unregister(key.fd)
                output = read_all(connection).decode().splitlines()
                process.wait(None)
                self.assertEqual(process.get_exit_status(), (True, 0), output)
                outputs.append(output)
        selector.close()
        return outputs

    def test_hot(self):
        template = self.new_process("hot.js")
        outputs = self.run_forks(template)
        for *parts, _ in outputs:
            self.assertEqual(sorted(parts), ["withDBus", "withFiles", "withImport", "withPromises",
                                             "withTimers"])
        numbers = zip(*(json.loads(output[-1]) for output in outputs))
        for name, of_one in zip(("Math.random", "random", "GLib", "GLib's UUID"), numbers):
            self.assertEqual(len(set(of_one)), N_FORKS, name)


class ModulesTest(GjsTest):
    def test_many(self):
        """A template that has required many modules can be forked, again and again."""
        with tempfile.TemporaryDirectory() as folder:
            template = self.new_process("workers.js")
            for i in range(50):
                path = pathlib.Path(folder, f"m{i}.js")
                path.write_text("import GLib from 'gi://GLib';\n"
                                f"globalThis.sum = (globalThis.sum ?? 0) + {i};\n"
                                "export const text = GLib.get_prgname();\n"
                                "await null;\n")
                template.require(str(path))
                if i % 10 == 0:
                    self.assertEqual(self.evaluate(template.fork(), "sum"), sum(range(i + 1)))
            for _ in range(10):
                self.assertEqual(self.evaluate(template.fork(), "sum"), 1225)

    def test_once(self):
        """A module is evaluated once, however it is called."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "m.js")
            path.write_text("globalThis.n = (globalThis.n ?? 0) + 1;")
            pathlib.Path(folder, "other.js").write_text("import './m.js';")
            self.runtime.set_module_path([folder, *self.runtime.dup_module_path()])
            process = self.new_process("m.js", str(path), path.as_uri(), "other.js", "m.js",
                                       "workers.js")
            self.assertEqual(self.evaluate(process, "n"), 1)


class ThreadsTest(GjsTest):
    def assert_refused(self, process):
        return self.assert_fails(process.fork(), "workers.js:describe", AFork.Error.THREADS)

    def test_import(self):
        message = self.assert_refused(self.new_process("importing.js"))
        self.assertRegex(message, "“(pool-.*|gmain)” was probably started by import\\(\\)")
        self.assertIn("was there after module “importing.js” was loaded", message)

    def test_asynchronous_function(self):
        message = self.assert_refused(self.new_process("connected.js"))
        self.assertIn("an asynchronous function of Gio", message)
        self.assertIn("was there after module “connected.js” was loaded", message)

    def test_code(self):
        message = self.assert_refused(self.new_process().eval(
            "imports.gi.Gio.bus_get_sync", None).eval(
            "imports.gi.Gio.File.new_for_path('/').query_info_async('*', 0, 0, null, () => {})",
            None))
        self.assertIn("was there after code was evaluated", message)

    def test_others_go_on(self):
        process = self.new_process("importing.js")
        self.assert_refused(process)
        self.assertEqual(self.evaluate(process, "1 + 1"), 2)

    def test_helper_threads(self):
        """The helper threads of the engine are ended before each fork, and started again."""
        template = self.new_process("hot.js", "workers.js")
        code = "for (let i = 0; i < 3; i++) imports.system.gc()"
        for _ in range(5):
            template.eval(code, None)
            self.assertEqual(self.evaluate(template.fork().eval(code, None), "1 + 1"), 2)


main()
