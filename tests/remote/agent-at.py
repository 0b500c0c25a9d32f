#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Connects pipes with an agent whose standard input and output are something else:
`agent-at.py terminal|socket SERVER`."""

import os
import pty
import select
import socket
import subprocess
import sys


def copy(source, sink):
    """Copies what has come. Returns whether more may come."""
    try:
        more = os.read(source, 65536)
    except OSError:         # of a terminal that nobody has any more
        return False
    left = more
    while left:
        left = left[os.write(sink, left):]
    return bool(more)


def main():
    kind, server = sys.argv[1:]
    if kind == "terminal":
        ours, theirs = pty.openpty()
    else:
        ours, theirs = (end.detach() for end in socket.socketpair())
    agent = subprocess.Popen([server, "--agent"], stdin=theirs, stdout=theirs,
                             start_new_session=True)
    os.close(theirs)
    inputs = [0, ours]
    while ours in inputs:
        for source in select.select(inputs, [], [])[0]:
            if not copy(source, ours if source == 0 else 1):
                inputs.remove(source)
                if source == 0:
                    # There is no other way to end a terminal.
                    if kind == "terminal":
                        inputs.clear()
                    else:
                        socket.socket(fileno=os.dup(ours)).shutdown(socket.SHUT_WR)
    os.close(ours)
    sys.exit(agent.wait())


try:
    main()
except BrokenPipeError:
    pass
