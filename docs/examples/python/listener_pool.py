#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Prefork: ten forks of a template accept connections from one port.

Prints the address of the port, and serves until its standard input ends.
"""

import socket
import sys

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork

CODE = """
import os
import socket

def serve(owner, fd, number):
    listener = socket.socket(fileno=fd)
    while True:
        connection, address = listener.accept()
        with connection:
            connection.sendall(f"worker {number} is process {os.getpid()}\\n".encode())
"""


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        template = AFork.Process.new().eval(CODE).send(listener)
        print(*listener.getsockname(), flush=True)
        workers = [template.fork().send(str(number)) for number in range(10)]
        connections = [worker.run("serve") for worker in workers]

    sys.stdin.read()
    for worker in workers:
        worker.force_exit()
        worker.wait()
    del connections


main()
