#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One process, and a dialogue with its function: synopsis.py NUMBER...

The function is in the module factors.py beside this file.
"""

import os
import socket
import sys

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork


def main(numbers: list[str]) -> None:
    process = AFork.Process.new().require("factors").send("the factors of ")
    connection = process.run("factors:serve")

    # What Python makes of a descriptor closes it. The connection closes its own.
    with socket.socket(fileno=os.dup(connection.get_socket().get_fd())) as worker:
        worker.setblocking(True)
        with worker.makefile("rw") as file:
            for number in numbers:
                print(number, file=file, flush=True)
                print(file.readline(), end="")
    connection.close()
    process.wait()


main(sys.argv[1:])
