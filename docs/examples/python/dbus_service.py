#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A service on the session bus whose methods are answered by workers, until its standard input
ends. It stays responsive, however long a call takes, and goes on if a call crashes its worker.

With PyGObject 3.50 or later, asyncio runs it, and otherwise AFork.run().
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, Gio, GLib

try:
    from gi.events import GLibEventLoopPolicy
except ImportError:
    GLibEventLoopPolicy = None  # type: ignore[misc, assignment]

NAME = "org.example.Calculator"
PATH = "/org/example/Calculator"
INTERFACE = f"""
<node>
  <interface name="{NAME}">
    <method name="Evaluate">
      <arg type="s" name="expression" direction="in"/>
      <arg type="d" name="result" direction="out"/>
    </method>
  </interface>
</node>
"""

CODE = """
import os

def evaluate(call, expression):
    return float(eval(expression))
"""

tasks = set()


def start(coroutine: Coroutine[Any, Any, None]) -> None:
    if GLibEventLoopPolicy is None:
        AFork.spawn(coroutine)
    else:
        task = asyncio.create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def answer(pool: AFork.Pool, parameters: GLib.Variant,
                 invocation: Gio.DBusMethodInvocation) -> None:
    expression, = parameters.unpack()
    try:
        result = await pool.call_async(expression)
    except GLib.Error as error:
        invocation.return_dbus_error(f"{NAME}.Error", error.message.partition("\n")[0])
    else:
        invocation.return_value(GLib.Variant("(d)", (result,)))


async def main() -> None:
    connection = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    interface = Gio.DBusNodeInfo.new_for_xml(INTERFACE).interfaces[0]
    stdin = Gio.File.new_for_path("/dev/stdin").read(None)

    async with AFork.Pool.new(AFork.Process.new().eval(CODE), "evaluate") as pool:
        connection.register_object(
            PATH, interface,
            lambda connection, sender, path, interface, method, parameters, invocation:
                start(answer(pool, parameters, invocation)),
            None, None)
        Gio.bus_own_name_on_connection(connection, NAME, Gio.BusNameOwnerFlags.NONE,
                                       lambda connection, name: print(name, flush=True), None)
        await AFork.Operation(stdin.read_bytes_async, stdin.read_bytes_finish,
                              1, GLib.PRIORITY_DEFAULT)


if GLibEventLoopPolicy is None:
    AFork.run(main())
else:
    policy = GLibEventLoopPolicy()
    asyncio.set_event_loop_policy(policy)
    policy.get_event_loop().run_until_complete(main())
