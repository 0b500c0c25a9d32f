# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Uses of the API that a type checker must accept, with the types that it must find."""

import pathlib
import socket
import sys
from typing import Any

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib


def prepare() -> AFork.Process:
    process = AFork.Process.new().require("module").require(pathlib.Path("module.so"))
    process.send("text", b"bytes", bytearray(b"bytes"), sys.stdin, GLib.Bytes.new(b"bytes"))
    with socket.socket() as other:
        process.send(other).send_fd(other).send_fd(0).map_fd(sys.stdout, 1)
    process.call("function", ["a", b"b", pathlib.Path("c")]).call("function", ("a", "b"))
    process.eval("code", sys.argv[1:]).setenv("NAME", None).chdir("/")
    process.props.title = "title"
    process.connect("exited", lambda process, status: print(status))
    return process


def run(process: AFork.Process) -> tuple[bytes, int]:
    connection: Gio.SocketConnection = process.run("function")
    data: bytes = connection.get_input_stream().read_bytes(100).get_data()
    try:
        process.wait()
    except AFork.Error.TimedOut as error:
        print(error.message, error.code == AFork.Error.TIMED_OUT)
    except AFork.Error as error:
        print(error.matches(AFork.error_quark(), AFork.Error.EXITED))
    except GLib.Error:
        pass
    has_exited, status = process.get_exit_status()
    return data, status if has_exited else -1


async def call(process: AFork.Process) -> Any:
    connection: Gio.SocketConnection = await process.fork().run_async("function")
    connection.close()
    async with AFork.Rpc.new(process, "function") as rpc:
        operation: AFork.Operation[Any] = rpc.call_async({"a": [1, 2.5, None, ("b", b"c")]})
        events = rpc.events()
        variant: GLib.Variant = await rpc.call_async(GLib.Variant("u", 1))
        print(variant.unpack(), [event async for event in events])
        return await operation


def ready_cb(rpc: AFork.Rpc, result: Gio.AsyncResult, text: str) -> None:
    print(text, rpc.call_finish(result).unpack())


def with_callback(rpc: AFork.Rpc) -> None:
    rpc.call_async(1, None, ready_cb, "text")


async def use_pool() -> list[int]:
    process = AFork.Process.new_for_runtime(AFork.Runtime.get_native())
    values: list[int] = []
    async with AFork.Pool(process=process, function="function", max_workers=2) as pool:
        async for job in pool.map(["a", "b"], AFork.MapFlags.UNORDERED):
            values.append(job.unpack())
        async for job in pool.map(range(3)):
            values.append(job.get_index())
        async for job in pool.map(number for number in (1, 2)):
            error: GLib.Error | None = job.get_error()
            print(error, job.props.state == AFork.JobState.FAILED)
        given = AFork.Job.new({"size": 3}, fds=[0, sys.stdin], blobs=[b"blob"], timeout=1000)
        await pool.run_job_async(given)
        views: list[memoryview] = given.view_blobs()
        for file in given.open_fds():
            print(file.read(), views)
    return values


def main() -> None:
    data, status = run(prepare())
    numbers: list[int] = AFork.run(use_pool())
    AFork.spawn(call(prepare())).add_done_callback(lambda operation: operation.cancel())
    for job in AFork.Pool.new(prepare(), "function").map([1, 2, 3]):
        print(data, status, numbers, job.unpack())
