# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Functions that the tests of calls have workers serve."""

import os
import sys

from gi.repository import AFork, Gio, GLib

items = None


def init(*given):
    global items
    items = given


def init_badly(*given):
    raise RuntimeError("there is no database")


def done():
    print("done was called", file=sys.stderr)


def echo(call, args):
    return args


def show(call, args):
    return repr(args)


def evaluate(call, args):
    """The value of an expression, which is the argument."""
    return eval(args)


def fail(call, args):
    raise KeyError(args)


def deeper(call, args):
    try:
        fail(call, args)
    except KeyError as error:
        raise RuntimeError("outer") from error


def fail_as_glib(call, args):
    Gio.File.new_for_path(args).read(None)


def count(call, args):
    for i in range(args):
        call.report({"i": i})
    return args


def wait_until_cancelled(call, args):
    call.report("begun")
    try:
        while True:
            call.check()
            os.sched_yield()
    except GLib.Error as error:
        AFork.worker_emit(GLib.Variant("s", f"{error.domain} {error.code}"))
        raise


def blobs(call, args):
    for blob in call.blobs:
        blob[0] = ord("X")
        call.add_blob(blob)
    return [type(blob).__name__ for blob in call.blobs]


def files(call, args):
    call.files[1].write(b"written by the worker")
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    index = call.add_file(reader)
    os.close(reader)
    return call.files[0].read(100), [file.mode for file in call.files], index


def emit(call, args):
    AFork.worker_emit(GLib.Variant("s", "an event"))


def plain(call, args):
    return args * 2


async def do_something():
    file = Gio.File.new_for_path("/")
    await AFork.Operation(file.query_info_async, file.query_info_finish, "standard::type",
                          Gio.FileQueryInfoFlags.NONE, GLib.PRIORITY_DEFAULT)


async def double_later(call, args):
    await do_something()
    await do_something()
    return args * 2


n_begun = 0


async def meet(call, args):
    """Waits until so many calls have begun."""
    global n_begun
    n_begun += 1
    while n_begun < args:
        await do_something()


async def await_cancelled(call, args):
    call.report("begun")
    reader, writer = os.pipe()
    stream = Gio.UnixInputStream.new(reader, True)
    try:
        await AFork.Operation(stream.read_bytes_async, stream.read_bytes_finish, 1,
                              GLib.PRIORITY_DEFAULT)
    except BaseException as error:
        AFork.worker_emit(GLib.Variant("s", type(error).__name__))
        raise
    finally:
        os.close(writer)


async def use_asyncio(call, args):
    import asyncio

    slept, size = await asyncio.gather(asyncio.sleep(0.01, "slept"),
                                       asyncio.to_thread(len, args))
    return slept, size


async def fail_later(call, args):
    await double_later(call, 1)
    raise args_error(args)


def args_error(args):
    return SystemExit(args) if isinstance(args, int) else ValueError(args)
