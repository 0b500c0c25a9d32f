# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the override adds to the API in Python: items, errors, types of arguments, awaitables, and
the objects as context managers and iterators."""

import ast
import copy
import gc
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import unittest
import weakref
from unittest import mock

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib, GObject

LIMIT = 50      # seconds for one test, after which something hangs

NATIVE = AFork.Runtime.get_native()


def new_process(module):
    return AFork.Process.new_for_runtime(NATIVE).require(module)


def new_rpc(function="calls_do", **properties):
    return AFork.Rpc(process=new_process("calls"), function=function, forward_stderr=False,
                     **properties)


def new_pool(**properties):
    return AFork.Pool(process=new_process("pool"), function="pool_do", forward_stderr=False,
                      **properties)


def args(what, number=0):
    return GLib.Variant("(su)", (what, number))


def read_all(connection):
    """What comes until the other side has closed."""
    chunks = []
    while chunk := connection.get_input_stream().read_bytes(4096, None).get_data():
        chunks.append(chunk)
    return b"".join(chunks)


class OverrideTest(unittest.TestCase):
    def setUp(self):
        signal.alarm(LIMIT)

    def tearDown(self):
        signal.alarm(0)

    def test_loaded(self):
        self.assertEqual(AFork.Process.__module__, "gi.overrides.AFork")


class SendTest(OverrideTest):
    def describe(self, *items):
        process = new_process("describe")
        self.assertIs(process.send(*items), process)
        return read_all(process.run("describe")).decode().splitlines()

    def test_kinds(self):
        with tempfile.TemporaryFile() as file, socket.socket() as other:
            lines = self.describe("text", "", b"", b"a\0b", bytearray(b"abc"),
                                  memoryview(b"abcd")[1:], GLib.Bytes.new(b"x" * 9), file, other)
            inodes = [str(os.fstat(item.fileno()).st_ino) for item in (file, other)]
        self.assertEqual([line.split()[1] for line in lines[:7]],
                         ["4", "0", "0", "3", "3", "3", "9"])
        self.assertEqual([line.split()[:2] for line in lines[7:]],
                         [["fd", inode] for inode in inodes])

    def test_file_names(self):
        name = os.fsdecode(b"n\xe4me")
        self.assertEqual(self.describe(name), self.describe(b"n\xe4me"))

    def test_duplicated_at_once(self):
        process = new_process("describe")
        with tempfile.TemporaryFile() as file:
            process.send(file)
            inode = os.fstat(file.fileno()).st_ino
        self.assertIn(str(inode), read_all(process.run("describe")).decode())

    def test_refused(self):
        closed = tempfile.TemporaryFile()
        closed.close()
        unconnected = socket.socket()
        unconnected.close()
        for item in (None, True, False, 0, 1, 1.5, ["a"], ("a",), {"a": 1}, object()):
            process = new_process("describe")
            with self.subTest(item=item), self.assertRaisesRegex(TypeError, r"items\[1\]"):
                process.send("text", item)
            # The first item was not queued, either.
            self.assertEqual(read_all(process.run("describe")), b"")
        for item in (closed, unconnected, "a\0b"):
            with self.subTest(item=item), self.assertRaises(ValueError):
                new_process("describe").send(item)

    def test_send_fd(self):
        process = new_process("describe")
        for fd in (None, True, 1.5, "1", b"1", [1]):
            for call in (process.send_fd, lambda fd: process.map_fd(fd, 1),
                         lambda fd: process.map_fd(1, fd), AFork.Process.new_from_fd):
                with self.subTest(fd=fd), self.assertRaisesRegex(TypeError, "fd|target"):
                    call(fd)
        with tempfile.TemporaryFile() as file:
            process.send_fd(file).send_fd(file.fileno()).send_fd(fd=file)
        self.assertEqual(len(read_all(process.run("describe")).splitlines()), 3)


class TypesTest(OverrideTest):
    def assert_refused(self, name, call, *arguments, **keywords):
        with self.assertRaises(TypeError) as context:
            call(*arguments, **keywords)
        self.assertIn(name, str(context.exception))

    def test_str_is_no_list(self):
        process = AFork.Process.new_for_runtime(NATIVE)
        runtime = AFork.Runtime.new_command("name", ["program"])
        for call in (lambda value: process.call("function", value),
                     lambda value: process.eval("code", value),
                     lambda value: process.call("function", args=value)):
            for value in ("abc", b"abc", pathlib.Path("abc"), 1, [1], ["a", None]):
                self.assert_refused("args", call, value)
        for value in ("abc", b"abc", 1, ["a", 1]):
            self.assert_refused("argv", process.exec, value)
            self.assert_refused("argv", process.exec_async, value)
            self.assert_refused("argv", runtime.set_argv, value)
            self.assert_refused("argv", AFork.Runtime.new_command, "name", value)
            self.assert_refused("environment", runtime.set_environ, value)
            self.assert_refused("module_path", runtime.set_module_path, value)
        runtime.set_argv(("program", "argument"))
        self.assertEqual(runtime.dup_argv(), ["program", "argument"])

    def test_scalars(self):
        process = new_process("echo")
        pool = new_pool()
        for value in (None, 1, b"x", ["x"]):
            self.assert_refused("function", process.run, value)
            self.assert_refused("function", process.run_async, value)
        self.assert_refused("name", process.setenv, None, "value")
        self.assert_refused("value", process.setenv, "NAME", 1)
        for value in (None, 1.5, "1", True):
            self.assert_refused("max_workers", pool.set_max_workers, value)
            self.assert_refused("signal", process.send_signal, value)
        for value in (None, 1, "yes"):
            self.assert_refused("adaptive", pool.set_adaptive, value)
        for value in (1, [], "x"):
            self.assert_refused("cancellable", process.run, "echo", value)
            self.assert_refused("cancellable", pool.call, args("echo"), value)
            self.assert_refused("cancellable", pool.call_async, args("echo"), value)
        self.assert_refused("mode", pool.shutdown, "drain")
        self.assert_refused("process", AFork.Rpc.new, "process", "function")
        self.assert_refused("job", pool.run_job, args("echo"))
        self.assert_refused("blob", AFork.Job.new().add_blob, "text")
        self.assert_refused("fds", AFork.Job.new, fds="abc")
        self.assert_refused("fds[1]", AFork.Job.new, fds=[0, True])
        self.assert_refused("blobs[0]", AFork.Job.new, blobs=["text"])
        for value in ("abc", b"abc", {"a": 1}, 1, None):
            self.assert_refused("items", pool.map, value)
        sandbox = AFork.Sandbox.new()
        for value in ("/tmp", [1], 1):
            self.assert_refused("read_paths", sandbox.set_read_paths, value)
            self.assert_refused("write_paths", AFork.Sandbox, write_paths="/tmp")
        self.assert_refused("memory", sandbox.set_memory, 1.5)
        self.assert_refused("network", sandbox.set_network, None)
        self.assert_refused("sandbox", process.restrict, "sandbox")
        sandbox.set_read_paths([pathlib.Path("/tmp")])
        self.assertEqual(sandbox.get_read_paths(), ["/tmp"])
        with self.assertRaises(ValueError):
            process.require("a\0b")

    def test_properties(self):
        """A bool is a number to Python, and True as a descriptor would be standard output."""
        for value in (True, 1.0, "1", None):
            self.assert_refused("fd", AFork.Process, fd=value)
            self.assert_refused("timeout", AFork.Job, timeout=value)
            self.assert_refused("timeout", AFork.Job.new, 1, timeout=value)
            self.assert_refused("priority", AFork.Job, priority=value)
            self.assert_refused("memory", AFork.Sandbox, memory=value)
            self.assert_refused("nice", AFork.Sandbox, nice=value)
            self.assert_refused("max_workers", AFork.Pool, process=new_process("pool"),
                                function="pool_do", max_workers=value)
            self.assert_refused("spare", AFork.Process, runtime=NATIVE, spare=value)
        for value in (1, "no", None):
            self.assert_refused("network", AFork.Sandbox, network=value)
            self.assert_refused("concurrent", AFork.Rpc, process=new_process("calls"),
                                function="calls_do", concurrent=value)
        for value in (1, b"x", ["x"]):
            self.assert_refused("function", AFork.Rpc, process=new_process("calls"), function=value)
        with self.assertRaises(ValueError):
            AFork.Job.new(1, key="a\0b")
        self.assertIsNone(AFork.Job(key=None).get_key())
        self.assertEqual(AFork.Job(timeout=5).get_timeout(), 5)
        sandbox = AFork.Sandbox(system_calls=AFork.SystemCalls.COMPUTE, read_paths=["/tmp"])
        self.assertEqual(sandbox.get_read_paths(), ["/tmp"])

    def test_none(self):
        """What must not be None: each parameter of the typelib that is not nullable."""
        process = AFork.Process.new_for_runtime(NATIVE)
        objects = [process, AFork.Rpc.new(new_process("calls"), "calls_do"), new_pool(),
                   AFork.Job.new(), AFork.Sandbox.new(), NATIVE]
        n_refused = 0
        for source in objects:
            for info in type(source).__base__.__info__.get_methods():
                parameters = [parameter for parameter in info.get_arguments()
                              if int(parameter.get_direction()) == 0]
                if not parameters or parameters[0].may_be_null() or parameters[0].is_optional():
                    continue
                function = getattr(source, info.get_name())
                values = [None] * sum(not parameter.may_be_null() for parameter in parameters)
                with self.subTest(info.get_name()), self.assertRaises(TypeError):
                    function(*values)
                n_refused += 1
        self.assertGreater(n_refused, 60)

    def test_keywords(self):
        process = AFork.Process.new_for_runtime(runtime=NATIVE).require(module="echo")
        self.assertIs(process.setenv(name="NAME", value="value"), process)
        self.assert_refused("modul", process.require, modul="echo")
        self.assert_refused("module", process.require, "echo", module="echo")
        self.assert_refused("module", process.require)
        self.assert_refused("require", process.require, "a", "b")
        self.assertIsNotNone(process.run(function="echo", cancellable=None))

    def test_paths(self):
        folder = pathlib.Path(os.environ["AFORK_MODULE_PATH"])
        process = AFork.Process.new_for_runtime(NATIVE).require(folder / "echo.so").chdir(folder)
        connection = process.exec([pathlib.Path("/bin/pwd")])
        self.assertEqual(read_all(connection), os.fsencode(folder) + b"\n")


class ErrorTest(OverrideTest):
    def test_classes(self):
        with self.assertRaises(AFork.Error.Module) as context:
            new_process("missing").run("function")
        error = context.exception
        self.assertIsInstance(error, AFork.Error)
        self.assertIsInstance(error, GLib.Error)
        self.assertNotIsInstance(error, AFork.Error.Function)
        self.assertTrue(error.matches(AFork.error_quark(), AFork.Error.MODULE))
        self.assertIn("missing", error.message)
        self.assertIn("missing", str(error))
        self.assertEqual(AFork.Error.quark(), AFork.error_quark())

    def test_all_codes(self):
        codes = [name for name in dir(AFork.Error) if name.isupper() and name != "CODE"]
        self.assertIn("TIMED_OUT", codes)
        for name in codes:
            cls = getattr(AFork.Error, "".join(part.capitalize() for part in name.split("_")))
            error = cls("text")
            self.assertTrue(error.matches(AFork.error_quark(), getattr(AFork.Error, name)))
            for other in (error.copy(), copy.copy(error), pickle.loads(pickle.dumps(error))):
                self.assertIs(type(other), cls)
                self.assertEqual((other.message, other.domain, other.code),
                                 ("text", error.domain, error.code))

    def test_other_domains(self):
        rpc = new_rpc()
        with self.assertRaises(GLib.Error) as context:
            rpc.call(args("error", int(Gio.IOErrorEnum.NOT_FOUND)))
        self.assertNotIsInstance(context.exception, AFork.Error)
        self.assertTrue(context.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND))
        rpc.close()

    def test_from_callbacks_and_objects(self):
        loop = GLib.MainLoop()
        caught = []

        def ran_cb(process, result, data):
            try:
                process.run_finish(result)
            except AFork.Error.Function as error:
                caught.append((error, data))
            loop.quit()

        new_process("echo").run_async("missing", None, ran_cb, "data")
        loop.run()
        self.assertEqual(caught[0][1], "data")

        rpc = new_rpc()
        job = AFork.Job.new(args("exit", 3))
        with self.assertRaises(AFork.Error.Exited):
            rpc.run_job(job)
        self.assertIsInstance(job.get_error(), AFork.Error.Exited)
        with self.assertRaises(AFork.Error.Exited):
            job.unpack()

    def test_traceback(self):
        """The frame of the caller, and none that hides it: the last is of the override."""
        try:
            new_process("missing").run("function")
        except AFork.Error as error:
            frames = []
            traceback = error.__traceback__
            while traceback is not None:
                frames.append(traceback.tb_frame.f_code.co_filename)
                traceback = traceback.tb_next
            self.assertEqual(frames[0], __file__)
            self.assertLessEqual(len(frames), 5)
            self.assertIsNone(error.__cause__)


EXITING = """
import sys
import gi
gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

def ran_cb(operation):
    sys.exit(7)

operation = AFork.Process.new().eval("def f(socket): pass").run_async("f")
operation.add_done_callback(ran_cb)
operation.add_done_callback(lambda operation: print("called", flush=True))
GLib.MainLoop().run()
"""


class AwaitTest(OverrideTest):
    def test_run(self):
        async def main():
            process = new_process("echo").send("a")
            connection = await process.run_async("echo")
            connection.get_socket().shutdown(False, True)
            data = await AFork.Operation(connection.get_input_stream().read_bytes_async,
                                         connection.get_input_stream().read_bytes_finish,
                                         100, GLib.PRIORITY_DEFAULT)
            self.assertTrue(await process.wait_async())
            return data.get_data()

        self.assertEqual(AFork.run(main()), b"a")

    def test_static(self):
        """An asynchronous function that belongs to a class, and not to an object."""
        async def main():
            return await AFork.Sandbox.probe_async()

        expected = AFork.Sandbox.probe()
        self.assertEqual(AFork.run(main()), expected)
        loop = GLib.MainLoop()
        results = []

        def ready_cb(source, result, *data):
            results.append((AFork.Sandbox.probe_finish(result), data))
            loop.quit()

        self.assertIsNone(AFork.Sandbox.probe_async(None, ready_cb, 1, 2))
        loop.run()
        self.assertEqual(results, [(expected, (1, 2))])
        with self.assertRaisesRegex(TypeError, "cancellable"):
            AFork.Sandbox.probe_async("now")
        cancellable = Gio.Cancellable()
        operation = AFork.Sandbox.probe_async(cancellable)
        operation.cancel()
        self.assertFalse(cancellable.is_cancelled())

    def test_every_async(self):
        """Every asynchronous function of the typelib returns an operation without a callback."""
        n_functions = 0
        for name in AFork.__all__ if hasattr(AFork, "__all__") else dir(AFork):
            cls = getattr(AFork, name, None)
            base = getattr(cls, "__base__", None)
            if not hasattr(base, "__info__") or not hasattr(base.__info__, "get_methods"):
                continue
            for info in base.__info__.get_methods():
                if info.get_name().endswith("_async"):
                    n_functions += 1
                    self.assertIn(info.get_name(), vars(cls), name)
        self.assertGreater(n_functions, 10)

    def test_at_once(self):
        """Operations that were begun go on together."""
        async def main():
            rpc = new_rpc("calls_later", concurrent=True)
            operations = [rpc.call_async(args("after", 20 * (10 - i))) for i in range(10)]
            self.assertFalse(operations[0].done())
            results = [(await operation).unpack() for operation in operations]
            self.assertTrue(await rpc.close_async())
            return results

        self.assertEqual(AFork.run(main()), [20 * (10 - i) for i in range(10)])

    def test_errors(self):
        async def main():
            rpc = new_rpc()
            with self.assertRaises(GLib.Error) as context:
                await rpc.call_async(args("error", int(Gio.IOErrorEnum.BUSY)))
            self.assertTrue(context.exception.matches(Gio.io_error_quark(), Gio.IOErrorEnum.BUSY))
            with self.assertRaises(AFork.Error.Exited):
                await rpc.call_async(args("exit", 1))
            operation = new_process("echo").run_async("missing")
            lengths = set()
            for _ in range(3):
                try:
                    await operation
                except AFork.Error.Function as error:
                    lengths.add(len(traceback.extract_tb(error.__traceback__)))
            self.assertEqual(len(lengths), 1)
            self.assertIsInstance(operation.exception(), AFork.Error.Function)

        AFork.run(main())

    def test_cancel(self):
        async def main():
            rpc = new_rpc("calls_later", concurrent=True)
            operation = rpc.call_async(args("never"))
            operation.cancel()
            with self.assertRaises(GLib.Error) as context:
                await operation
            self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                      Gio.IOErrorEnum.CANCELLED))
            # The caller's cancellable cancels the operation, but not the other way round.
            cancellable = Gio.Cancellable.new()
            first = rpc.call_async(args("never"), cancellable)
            second = rpc.call_async(args("never"), cancellable)
            first.cancel()
            with self.assertRaises(GLib.Error):
                await first
            self.assertFalse(second.done())
            self.assertFalse(cancellable.is_cancelled())
            cancellable.cancel()
            with self.assertRaises(GLib.Error):
                await second
            with self.assertRaises(GLib.Error):
                await rpc.call_async(args("now"), cancellable)

        AFork.run(main())

    def test_unfinished(self):
        operation = new_process("lifecycle").run_async("done")
        for call in (operation.result, operation.exception):
            with self.assertRaises(RuntimeError):
                call()
        called = []
        operation.add_done_callback(called.append)
        while not operation.done():
            GLib.MainContext.default().iteration(True)
        operation.add_done_callback(called.append)
        self.assertEqual(called, [operation, operation])
        self.assertIsInstance(operation.result(), Gio.SocketConnection)
        self.assertIsNone(operation.exception())

    def test_callbacks_that_fail(self):
        """The others are called, and what awaits the operation goes on, whatever one raises."""
        for error, is_printed in ((ValueError, True), (KeyboardInterrupt, False),
                                  (GeneratorExit, False)):
            with self.subTest(error=error):
                called = []
                operation = new_process("lifecycle").run_async("done")

                def fail(operation):
                    called.append(1)
                    raise error

                async def wait():
                    await operation
                    called.append(3)

                loop = GLib.MainLoop()
                operation.add_done_callback(fail)
                operation.add_done_callback(lambda operation: called.append(2))
                task = AFork.spawn(wait())
                operation.add_done_callback(lambda operation: loop.quit())
                hook = mock.patch.object(sys, "excepthook")
                with hook as hook, mock.patch.object(sys, "stderr"):
                    loop.run()
                self.assertEqual(called, [1, 2, 3])
                self.assertIsNone(task.result())
                if is_printed:
                    hook.assert_called_once()

    def test_callback_raises_system_exit(self):
        """As in other callbacks of a main loop, the program ends, after all callbacks."""
        done = subprocess.run([sys.executable, "-c", EXITING], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.stdout, "called\n")
        self.assertEqual(done.returncode, 7)

    def test_events_with_callbacks_that_fail(self):
        """All that wait for an event go on, also after one that raises."""
        async def wait(events):
            async for event in events:
                pass

        rpc = new_rpc()
        events = rpc.events()
        tasks = [AFork.spawn(wait(events)) for i in range(3)]
        called = []

        def fail(task):
            called.append(task)
            raise KeyboardInterrupt

        for task in tasks:
            task.add_done_callback(fail)
        with mock.patch.object(sys, "stderr"), self.assertRaises(KeyboardInterrupt):
            events.close()
        self.assertEqual(called, tasks)
        rpc.close()

    def test_spawn(self):
        loop = GLib.MainLoop()

        async def call(number):
            async with new_rpc("calls_echo") as rpc:
                return (await rpc.call_async(GLib.Variant("u", number))).unpack()

        async def main():
            tasks = [AFork.spawn(call(number)) for number in range(5)]
            results = [await task for task in tasks]
            loop.quit()
            return results

        task = AFork.spawn(main())
        loop.run()
        self.assertEqual(task.result(), list(range(5)))

    def test_spawn_cancelled(self):
        async def wait():
            rpc = new_rpc("calls_later", concurrent=True)
            await rpc.call_async(args("never"))

        async def main():
            task = AFork.spawn(wait())
            task.cancel()
            with self.assertRaises(GLib.Error) as context:
                await task
            self.assertTrue(context.exception.matches(Gio.io_error_quark(),
                                                      Gio.IOErrorEnum.CANCELLED))

        AFork.run(main())

    def test_error_not_retrieved(self):
        printed = []

        async def fail():
            raise ValueError("nobody looks")

        hook, sys.excepthook = sys.excepthook, lambda *info: printed.append(info[1])
        try:
            AFork.spawn(fail())
            gc.collect()
            self.assertEqual([str(error) for error in printed], ["nobody looks"])
            with self.assertRaises(ValueError):
                AFork.spawn(fail()).result()
            gc.collect()
            self.assertEqual(len(printed), 1)
        finally:
            sys.excepthook = hook

    def test_other_awaitables(self):
        class Other:
            def __await__(self):
                yield "something else"

        async def main():
            with self.assertRaisesRegex(RuntimeError, "something else"):
                await Other()
            return "went on"

        self.assertEqual(AFork.run(main()), "went on")
        with self.assertRaises(TypeError):
            AFork.run(main)

    def test_no_coroutine(self):
        """What is no coroutine is refused at once, and the error says what it is."""
        def generate():
            yield 1

        async def generate_async():
            yield 1

        async def work():
            return 1

        operation = new_process("lifecycle").run_async("done")
        for value, text in ((generate(), "generator"), (generate, "function"),
                            (generate_async(), "async_generator"), (work, r".*\.work: call it"),
                            (operation, "await the Operation"), (None, "NoneType"), (1, "int")):
            for call in (AFork.run, AFork.spawn):
                with self.subTest(text), self.assertRaisesRegex(TypeError, f"coroutine.* {text}"):
                    call(value)
        with self.assertRaisesRegex(TypeError, "begin"):
            AFork.Operation(None, print)
        with self.assertRaisesRegex(TypeError, "finish"):
            AFork.Operation(print, work())
        for value in (None, 1):
            with self.assertRaisesRegex(TypeError, "callback"):
                operation.add_done_callback(value)

        @types.coroutine
        def wait():
            return (yield from operation.__await__())

        self.assertIsInstance(AFork.run(wait()), Gio.SocketConnection)
        self.assertIsInstance(AFork.spawn(wait()).result(), Gio.SocketConnection)

    def test_events_after_shutdown(self):
        async def collect(events):
            return [event async for event in events]

        pool = new_pool()
        pool.shutdown(AFork.ShutdownMode.DRAIN)
        self.assertEqual(AFork.run(collect(pool.events())), [])

    def test_events_after_cancelled_shutdown(self):
        """Cancelling the wait for the shutdown does not cancel the shutdown, which ends events."""
        async def collect(events):
            return [event async for event in events]

        async def shut_down(pool, cancellable, blocks):
            if blocks:
                pool.shutdown(AFork.ShutdownMode.DRAIN, cancellable)
            else:
                await pool.shutdown_async(AFork.ShutdownMode.DRAIN, cancellable)

        for blocks in True, False:
            pool = new_pool()
            events = pool.events()
            cancellable = Gio.Cancellable.new()
            cancellable.cancel()
            with self.assertRaises(GLib.Error):
                AFork.run(shut_down(pool, cancellable, blocks))
            self.assertEqual(AFork.run(collect(events)), [])

    def test_stock_asyncio(self):
        """Its loop does not iterate a main context: an error, and not a hang."""
        import asyncio

        async def main():
            operation = new_process("lifecycle").run_async("done")
            with self.assertRaisesRegex(RuntimeError, "gi.events"):
                await operation
            coroutine = main()
            with self.assertRaisesRegex(RuntimeError, "asyncio"):
                AFork.run(coroutine)

        asyncio.run(main())

    def test_thread(self):
        results = []

        def in_thread():
            context = GLib.MainContext.new()
            context.push_thread_default()

            async def main():
                async with new_rpc("calls_echo") as rpc:
                    return (await rpc.call_async(GLib.Variant("s", "there"))).unpack()

            results.append(AFork.run(main()))
            results.append(new_rpc("calls_echo").call(GLib.Variant("s", "blocking")).unpack())
            context.pop_thread_default()

        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        self.assertEqual(results, ["there", "blocking"])

    def test_freed(self):
        async def main():
            operation = new_process("lifecycle").run_async("done")
            await operation
            return weakref.ref(operation)

        self.assertIsNone(AFork.run(main())())


class ContextTest(OverrideTest):
    def test_process(self):
        with new_process("lifecycle").send("4") as process:
            process.run("exit_with")
        self.assertEqual(process.get_exit_status(), (True, 4))
        with self.assertRaises(KeyError), new_process("lifecycle") as process:
            process.run("forever")
            raise KeyError
        self.assertEqual(process.get_term_signal(), (True, signal.SIGKILL))
        with new_process("lifecycle") as template:
            with template.fork() as process:
                process.run("done")
        self.assertEqual(template.props.state, AFork.ProcessState.EXITED)

    def test_rpc(self):
        with new_rpc() as rpc:
            rpc.call(args("unit"))
        with self.assertRaises(AFork.Error.Closed):
            rpc.call(args("unit"))
        # The error of the block is the one that is raised.
        with self.assertRaises(KeyError), new_rpc() as rpc:
            with self.assertRaises(AFork.Error.Exited):
                rpc.call(args("exit", 1))
            raise KeyError

    def test_pool(self):
        async def main():
            async with new_pool(max_workers=2) as pool:
                jobs = [AFork.Job.new(args("echo", i)) for i in range(5)]
                operations = [pool.run_job_async(job) for job in jobs]
            # Shut down means that all jobs were run.
            self.assertEqual([job.unpack() for job in jobs], list(range(5)))
            self.assertTrue(all([(await operation).unpack() == i
                                 for i, operation in enumerate(operations)]))
            with self.assertRaises(AFork.Error.Closed):
                await pool.call_async(args("echo"))

            with self.assertRaises(KeyError):
                async with new_pool(max_workers=1) as pool:
                    operation = pool.call_async(args("stuck"))
                    raise KeyError
            with self.assertRaises(AFork.Error.Closed):
                await operation

        AFork.run(main())


class IteratorTest(OverrideTest):
    def test_map(self):
        items = GLib.Variant("a(su)", [("echo", i) for i in range(20)])
        with new_pool(max_workers=2) as pool:
            self.assertEqual([job.unpack() for job in pool.map(items)], list(range(20)))
            with pool.map(items, AFork.MapFlags.UNORDERED) as jobs:
                self.assertEqual(sorted(job.get_index() for job in jobs), list(range(20)))

            async def main():
                values = []
                async for job in pool.map(items):
                    values.append(job.unpack())
                    if len(values) == 15:
                        break
                return values

            self.assertEqual(AFork.run(main()), list(range(15)))

    def test_map_errors(self):
        items = GLib.Variant("a(su)", [("echo", 1), ("error", int(Gio.IOErrorEnum.BUSY))])
        with new_pool() as pool:
            first, second = pool.map(items)
        self.assertEqual(first.unpack(), 1)
        with self.assertRaises(GLib.Error):
            second.unpack()

    def test_events(self):
        async def main():
            async with new_rpc() as rpc:
                events = rpc.events()
                job = AFork.Job.new(args("report", 3))
                reports = job.reports()
                await rpc.run_job_async(job)
                self.assertEqual([value async for value in reports], [0, 1, 2])
                with self.assertRaises(RuntimeError):
                    AFork.Job.new(args("unit")).unpack()
            self.assertEqual([value async for value in events], [0, 1, 2])

        AFork.run(main())

    def test_events_as_they_come(self):
        async def collect(events):
            return [value async for value in events]

        async def main():
            async with new_rpc(init_function="calls_init", done_function="calls_done") as rpc:
                task = AFork.spawn(collect(rpc.events()))
                await rpc.call_async(args("unit"))
            return await task

        self.assertEqual(AFork.run(main()), ["init", "done"])

    def test_events_closed(self):
        async def main():
            async with new_rpc() as rpc:
                events = rpc.events()
                task = AFork.spawn(events.__anext__())
                events.close()
                with self.assertRaises(StopAsyncIteration):
                    await task
                forgotten = weakref.ref(rpc.events())
                self.assertIsNone(forgotten())
                await rpc.call_async(args("report", 1))

        AFork.run(main())

    def test_events_cancelled(self):
        """Waiting for an event is cancelled, and an event comes later."""
        async def main():
            async with new_rpc() as rpc:
                events = rpc.events()
                task = AFork.spawn(events.__anext__())
                task.cancel()
                with self.assertRaises(GLib.Error):
                    await task
                await rpc.call_async(args("report", 2))
                return [await events.__anext__(), await events.__anext__()]

        self.assertEqual(AFork.run(main()), [0, 1])

    def test_events_of_pool(self):
        async def main():
            async with new_pool() as pool:
                events = pool.events()
                await pool.call_async(args("emit", 5))
            return [value async for value in events]

        self.assertEqual(len(AFork.run(main())), 1)


VALUES = [None, True, False, 0, -2**63, 2**64 - 1, 1.5, "", "t\u00ebxt", b"", b"a\0b", [], [1, 2],
          ["a", "b"], [1, "a", None, [b"x"]], ("a", 1), {}, {"a": 1, "b": [1.5, {"c": (None,)}]}]


@unittest.skipUnless(hasattr(sys.modules["gi.overrides"], "_afork"), "no extension module")
class ValuesTest(OverrideTest):
    def test_call(self):
        with new_rpc("calls_echo") as rpc:
            for value in VALUES:
                result = rpc.call(value)
                self.assertEqual((type(result), result), (type(value), value))
            # A GLib.Variant as a whole: the result is one, too.
            self.assertEqual(rpc.call(GLib.Variant("u", 3)).get_type_string(), "u")
            self.assertEqual(rpc.call([GLib.Variant("u", 3), "a"])[0].get_type_string(), "u")

    def test_call_async(self):
        async def main():
            async with new_rpc("calls_echo") as rpc:
                operations = [rpc.call_async(value) for value in VALUES]
                return [await operation for operation in operations]

        self.assertEqual(AFork.run(main()), VALUES)

    def test_callback(self):
        results = []
        rpc = new_rpc("calls_echo")
        rpc.call_async(["a"], None, lambda rpc, result: results.append(rpc.call_finish(result)))
        while not results:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(results[0].get_type_string(), "as")
        rpc.close()

    def test_jobs(self):
        with new_rpc("calls_echo") as rpc:
            job = AFork.Job.new({"a": 1}, key="key", timeout=10000)
            self.assertEqual(rpc.run_job(job), {"a": 1})
            self.assertEqual((job.unpack(), job.props.key, job.get_timeout()),
                             ({"a": 1}, "key", 10000))
            self.assertEqual(job.unpack_async().result(), {"a": 1})
            job = AFork.Job.new(GLib.Variant("i", 1))
            self.assertEqual(rpc.run_job(job).get_type_string(), "i")

    def test_descriptors_and_blobs(self):
        with new_rpc() as rpc, tempfile.TemporaryFile() as file:
            file.write(b"abc")
            file.flush()
            fds = [file, file.fileno(), file]
            job = AFork.Job.new(args("read-fds"), fds=fds)
            self.assertEqual(rpc.run_job(job).unpack(), "abc")
            job = AFork.Job.new(args("reverse-blobs"), blobs=[b"ab", bytearray(b"c"),
                                                              GLib.Bytes.new(b"def")])
            self.assertEqual(rpc.run_job(job).unpack(), 6)
            self.assertEqual([bytes(view) for view in job.view_blobs()], [b"def", b"c", b"ab"])
            self.assertEqual(AFork.Job.new(args("unit")).view_blobs(), [])

    def test_blobs_are_not_copied(self):
        size = 1 << 20
        with new_rpc() as rpc:
            for byte in (b"a", b"b"):
                job = AFork.Job.new(args("reverse-blobs"), blobs=[byte * size])
                rpc.run_job(job)
                view, = job.view_blobs()
                self.assertEqual((view.nbytes, view[0], view[-1]), (size, *byte, *byte))
                # What is written is seen through this blob only.
                view[0] = ord("x")
                self.assertEqual(job.view_blobs()[0][0], ord("x"))
                del job
                self.assertEqual(bytes(view[1:]), byte * (size - 1))

    def test_objects_without_properties(self):
        """What a program makes without any property is freed, of each class that can be made so."""
        made = []
        for name in dir(AFork):
            cls = getattr(AFork, name)
            if (isinstance(cls, type) and issubclass(cls, GObject.Object)
                    and cls not in (AFork.Rpc, AFork.Pool) and not cls.__gtype__.is_abstract()):
                GObject.new(cls.__gtype__)
                made.append(name)
        self.assertIn("Call", made)
        call = GObject.new(AFork.Call)
        self.assertFalse(call.get_cancellable().is_cancelled())
        self.assertIsNone(call.get_fds())
        AFork.Call.report(call, GLib.Variant("u", 1))

    def test_descriptors_of_results(self):
        before = len(os.listdir("/proc/self/fd"))
        with new_rpc() as rpc:
            job = AFork.Job.new(args("fds"))
            index, = rpc.run_job(job).unpack()
            with job.open_fds()[index] as file:
                self.assertEqual(file.read(100), b"from the worker")
                self.assertRaises(OSError, file.write, b"read only")
            self.assertEqual(AFork.Job.new().open_fds(), [])
        del job
        rpc.get_process().wait()
        del rpc
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 4)

    def test_map(self):
        process = new_process("calls")
        with AFork.Pool(process=process, function="calls_echo", max_workers=2) as pool:
            for items in (["a", "b"], (1, 2.5), [], range(3), ["a", None, {"b": 1}], iter("ab")):
                expected = list("ab") if hasattr(items, "__next__") else list(items)
                with self.subTest(items=items):
                    self.assertEqual([job.unpack() for job in pool.map(items)], expected)

    def test_refused(self):
        rpc = new_rpc("calls_echo")
        for value in ({1}, object(), [1, {2}], {"a": {1: 2}}, 2**64, "\ud800", "a\0", print):
            for call in (rpc.call, rpc.call_async, AFork.Job.new,
                         lambda value: new_pool().call(value)):
                with self.subTest(value=value), self.assertRaisesRegex(TypeError, "^args"):
                    call(value)
        with self.assertRaisesRegex(TypeError, r"items\[1\]\[0\]"):
            new_pool().map([1, [{2}]])

    def test_large(self):
        """A large result is converted in steps, and the main loop goes on: between two of its
        iterations, this thread never uses the processor for 20 ms more than one that is idle."""
        value = [(i, str(i), float(i)) for i in range(60000)]
        times = []
        # What this test has would take the garbage collector long.
        gc.freeze()
        self.addCleanup(gc.unfreeze)

        async def main():
            async with new_rpc("calls_echo") as rpc:
                source = GLib.timeout_add(1, lambda: times.append(time.thread_time()) or True)
                operations = [rpc.call_async(value)]
                job = AFork.Job.new(value)
                operations.append(rpc.run_job_async(job))
                times.clear()
                results = []
                for operation in operations:
                    results.append(await operation)
                results.append(await job.unpack_async())
                GLib.source_remove(source)
            return results

        for result in AFork.run(main()):
            self.assertEqual(result, value)
        self.assertGreater(len(times), 10)
        self.assertLess(max(b - a for a, b in zip(times, times[1:])), 0.02)


PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
import gi
gi.require_version("AFork", "1")
from gi.repository import AFork

CODE = '''
import sys

def describe(socket):
    flags = sys.flags
    socket.sendall(repr((sys.executable, flags.no_user_site, flags.dev_mode, sys.warnoptions,
                         sys.path)).encode())
'''
sys.path.append("/added/later")
connection = AFork.Process.new().eval(CODE).run("describe")
print(connection.get_input_stream().read_bytes(10000, None).get_data().decode())
"""


class RuntimeTest(OverrideTest):
    def test_default(self):
        self.assertEqual(AFork.Runtime.get_default(), AFork.Runtime.get_python())
        process = AFork.Process.new()
        self.assertEqual(process.props.runtime, AFork.Runtime.get_python())
        code = "def shout(socket, *items): socket.sendall(repr(items).encode())"
        connection = process.eval(code).send("text", b"bytes").run("shout")
        self.assertEqual(read_all(connection), b"('text', b'bytes')")

    def test_interpreter(self):
        """Workers have the interpreter of the program, its options and its path."""
        folders = os.environ["PYTHONPATH"].split(os.pathsep)
        done = subprocess.run([sys.executable, "-B", "-s", "-X", "dev", "-W", "ignore", "-c",
                               PROGRAM, *folders], stdout=subprocess.PIPE, text=True, check=True)
        executable, has_no_user_site, is_dev, warnings, path = ast.literal_eval(done.stdout)
        self.assertEqual((executable, has_no_user_site, is_dev), (sys.executable, 1, True))
        self.assertIn("ignore", warnings)
        self.assertEqual(path[:len(folders)], folders)
        self.assertIn("/added/later", path)

    def test_embedded(self):
        """A program that is no interpreter is not executed, and keeps its default runtime."""
        python = AFork.Runtime.get_python()
        self.assertFalse(python.set_interpreter("/bin/sh", None, None))
        self.assertFalse(python.set_interpreter(None, None, None))

    def test_python_calls(self):
        """What the function returns and raises, as the server of the runtime has it."""
        code = ("from gi.repository import GLib\n"
                "def divide(call, args): return GLib.Variant('d', args[0] / args[1])\n")
        with AFork.Rpc.new(AFork.Process.new().eval(code), "divide") as rpc:
            self.assertEqual(rpc.call((3, 2)), 1.5)
            with self.assertRaises(AFork.Error.Exception) as context:
                rpc.call((3, 0))
        self.assertIn("ZeroDivisionError: division by zero", context.exception.message)


class HelpTest(OverrideTest):
    def test_texts(self):
        """Each class, and each function that the override defines by itself, has a text."""
        import pydoc
        for name in ("Error", "Events", "Job", "Map", "Operation", "Pool", "PoolWorker", "Process",
                     "Rpc", "Runtime", "Sandbox", "run", "spawn"):
            self.assertTrue(getattr(AFork, name).__doc__, name)
            self.assertIn(name, pydoc.render_doc(getattr(AFork, name)))
        for call in (AFork.Process.send, AFork.Rpc.call, AFork.Rpc.call_async, AFork.Pool.map,
                     AFork.Job.new, AFork.Job.unpack, AFork.Rpc.events, AFork.Operation.cancel):
            self.assertGreater(len(call.__doc__.split()), 5, call)
        self.assertIn("require", pydoc.render_doc(AFork.Process.require))
        self.assertIn("module", AFork.Process.require.__doc__)


if __name__ == "__main__":
    unittest.main()
