# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Functions that the tests of the Python runtime run."""

import os
import sys

STARTED = []


def describe(socket, *items):
    """Sends what the function got."""
    socket.sendall(repr((type(socket).__name__, items)).encode())


def echo(socket, *items):
    for item in items:
        socket.sendall(item.encode() if isinstance(item, str) else item)
    while data := socket.recv(4096):
        socket.sendall(data)


def report(socket, *expressions):
    """Sends the values of expressions, a line each."""
    for expression in expressions:
        socket.sendall(f"{eval(expression)!r}\n".encode())


def remember(*args):
    STARTED.append(args)


def read_fd(socket, fd):
    socket.sendall(os.read(fd, 100))


def exit_with(socket, text):
    sys.exit(eval(text))


def fail(socket, *items):
    raise ValueError("this function always fails")


def fail_in_command(*args):
    raise ValueError("this call always fails")


async def serve(socket, text):
    import asyncio

    await asyncio.sleep(0)
    socket.sendall(text.encode())


class Namespace:
    @staticmethod
    def nested(socket):
        socket.sendall(b"nested")


not_a_function = 17
