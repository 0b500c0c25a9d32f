# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A template that has done much, and workers that do what a fork must not break."""

import asyncio
import concurrent.futures
import gc
import json
import logging
import os
import queue
import random
import secrets
import signal
import ssl
import subprocess
import tempfile
import threading
import uuid

from gi.repository import Gio, GLib


class Node:
    def __init__(self, other):
        self.other = other
        self.data = {"key": [str(id(other))] * 10}


def churn(size):
    """Leaves objects in cycles, and what the collector has moved."""
    nodes = []
    for i in range(size):
        nodes.append(Node(nodes[i // 2] if nodes else None))
        nodes[i // 2].other = nodes[i]
    del nodes[::3]
    gc.collect()
    return nodes


def use_random_numbers():
    """What a template must not hand on to its forks."""
    return (random.random(), GLib.random_int(), GLib.uuid_string_random(), secrets.token_hex(8),
            uuid.uuid4().hex)


logging.getLogger("hot").warning("The template is about to become hot")
kept = churn(30_000)
used = use_random_numbers()
context = ssl.create_default_context()
GLib.MainContext.default().iteration(False)


def with_threads():
    numbers = queue.Queue()
    threads = [threading.Thread(target=numbers.put, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    assert sorted(numbers.get() for _ in threads) == [0, 1, 2, 3]
    for thread in threads:
        thread.join()
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        assert sum(executor.map(abs, range(-10, 0))) == 55


def with_asyncio():
    async def work():
        process = await asyncio.create_subprocess_exec("true")
        results = await asyncio.gather(process.wait(), asyncio.sleep(0.001, "slept"),
                                       asyncio.to_thread(os.getpid))
        assert results == [0, "slept", os.getpid()]

    asyncio.run(work())


def with_subprocess():
    assert subprocess.run(["echo", "text"], stdout=subprocess.PIPE).stdout == b"text\n"
    logging.getLogger("hot").info("A program has run")


def run_loop(*starts):
    """Runs a main loop until each of the functions has called back."""
    loop = GLib.MainLoop()
    missing = set(starts)

    def done(start):
        missing.discard(start)
        if not missing:
            loop.quit()
        return False

    for start in starts:
        start(lambda start=start: done(start))
    loop.run()


def with_main_loop():
    def wake(done):
        threading.Thread(target=GLib.idle_add, args=(done,)).start()

    def on_signal(done):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, done)
        os.kill(os.getpid(), signal.SIGUSR1)

    def load(done):
        def loaded(file, result):
            assert file.load_contents_finish(result)[1] == b"contents"
            os.unlink(path)
            done()

        fd, path = tempfile.mkstemp()
        os.write(fd, b"contents")
        os.close(fd)
        Gio.File.new_for_path(path).load_contents_async(None, loaded)

    def execute(done):
        def waited(process, result):
            assert process.wait_check_finish(result)
            done()

        Gio.Subprocess.new(["true"], Gio.SubprocessFlags.NONE).wait_check_async(None, waited)

    run_loop(wake, on_signal, load, execute, lambda done: GLib.timeout_add(1, done))


INTERFACE = Gio.DBusNodeInfo.new_for_xml("""
<node><interface name='test.Echo'><method name='Echo'>
  <arg type='s' direction='in'/><arg type='s' direction='out'/>
</method></interface></node>""").interfaces[0]


def with_dbus():
    """A call over D-Bus between two ends of a pair of sockets."""
    import socket

    sockets = [Gio.Socket.new_from_fd(end.detach()) for end in socket.socketpair()]
    streams = [each.connection_factory_create_connection() for each in sockets]
    connections = {}
    loop = GLib.MainLoop()

    def echo(connection, sender, path, interface, method, arguments, invocation):
        invocation.return_value(arguments)

    def answered(connection, result):
        assert connection.call_finish(result).unpack() == ("text",)
        loop.quit()

    def connected(source, result, name):
        connections[name] = Gio.DBusConnection.new_finish(result)
        if len(connections) == 2:
            connections["server"].register_object("/", INTERFACE, echo)
            connections["client"].call(None, "/", "test.Echo", "Echo",
                                       GLib.Variant("(s)", ("text",)), None,
                                       Gio.DBusCallFlags.NONE, -1, None, answered)

    Gio.DBusConnection.new(streams[0], Gio.dbus_generate_guid(),
                           Gio.DBusConnectionFlags.AUTHENTICATION_SERVER, None, None, connected,
                           "server")
    Gio.DBusConnection.new(streams[1], None, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, None,
                           None, connected, "client")
    loop.run()


PARTS = [with_threads, with_asyncio, with_subprocess, with_main_loop, with_dbus]


def work(socket, first):
    """Does all parts, and sends a line after each. The parts begin with another one each time."""
    for i in range(len(PARTS)):
        part = PARTS[(int(first) + i) % len(PARTS)]
        part()
        socket.sendall(f"{part.__name__}\n".encode())
    churn(3_000)
    # Without certificates, which take long to load.
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    socket.sendall(json.dumps(use_random_numbers()).encode() + b"\n")
