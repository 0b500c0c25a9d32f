# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Workers in JavaScript that serve calls in a sandbox: calls work, and what ends at a limit says
which. What such workers cannot do is tested in ../confinement/test-confined-languages.py."""

from gjs_harness import AFork, Gio, GLib, GjsTest, main

MIB = 1024 * 1024


class ConfinedCallsTest(GjsTest):
    def new_rpc(self, function, **limits):
        sandbox = AFork.Sandbox.new_for_decoding()
        for name, value in limits.items():
            sandbox.set_property(name, value)
        process = self.new_process("served.js")
        process.restrict(sandbox)
        return AFork.Rpc(process=process.fork(), function=f"served.js:{function}",
                         forward_stderr=False)

    def call(self, rpc, value):
        variant = rpc.call(value, None)
        return variant.unpack() if isinstance(variant, GLib.Variant) else variant

    def assert_call_fails(self, rpc, value, code, text):
        with self.assertRaises(GLib.Error) as context:
            self.call(rpc, value)
        self.assertTrue(context.exception.matches(AFork.error_quark(), code), context.exception)
        self.assertIn(text, context.exception.message)

    def test_values(self):
        rpc = self.new_rpc("echo")
        for value in 5, "ä", [1, "x"], {"k": [None]}, "x" * 3_000_000, b"\0" * 3_000_000:
            self.assertEqual(self.call(rpc, value), value)
        self.assertTrue(rpc.close(None))

    def test_memory_that_is_allowed(self):
        """The engine has reserved much more, and that does not count."""
        rpc = self.new_rpc("evaluate")
        for mib in 1, 10, 100:
            self.assertEqual(self.call(rpc, f"new Uint8Array({mib} * 1024 * 1024).fill(1).length"),
                             mib * MIB)
        self.assertEqual(self.call(rpc, "Array.from({length: 1e6}, (_, i) => `${i}`).length"),
                         1_000_000)
        self.assertTrue(rpc.close(None))

    def test_memory(self):
        rpc = self.new_rpc("evaluate")
        self.assert_call_fails(rpc, "new Uint8Array(1024 * 1024 * 1024).fill(1).length",
                               AFork.Error.OUT_OF_MEMORY, f"memory: {256 * MIB}")

    def test_memory_in_pieces(self):
        rpc = self.new_rpc("evaluate")
        self.assert_call_fails(
            rpc, "Array.from({length: 1000}, () => new Uint8Array(1024 * 1024).fill(1)).length",
            AFork.Error.OUT_OF_MEMORY, f"memory: {256 * MIB}")

    def test_cpu_time(self):
        rpc = self.new_rpc("evaluate", cpu_time=1)
        self.assert_call_fails(rpc, "for (;;);", AFork.Error.TIMED_OUT, "cpu-time: 1 s")

    def test_file(self):
        """What GIO cannot do is an error of it, and the worker goes on."""
        rpc = self.new_rpc("failAsGLib")
        with self.assertRaises(GLib.Error) as context:
            self.call(rpc, "/etc/passwd")
        self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                  Gio.IOErrorEnum.PERMISSION_DENIED),
                        context.exception)
        self.assertTrue(rpc.close(None))

    def test_import(self):
        """A module that was not loaded before is not found."""
        rpc = self.new_rpc("evaluate")
        with self.assertRaises(GLib.Error):
            self.call(rpc, "imports.gi.Gtk")

    def test_program(self):
        process = self.new_process()
        process.restrict(AFork.Sandbox.new_for_decoding())
        with self.assertRaises(GLib.Error) as context:
            process.exec(["true"], None)
        self.assertTrue(context.exception.matches(AFork.error_quark(), AFork.Error.SANDBOX))


main()
