#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""An agent that lies: `hostile-agent.py SERVER LIE`.

It passes the frames of an agent on, and when it sees the arguments of a call that contain “stuck”,
it adds frames of its own. What it knows of the format it has from the comments in
afork/wire/afork-mux-frame.h and afork/wire/afork-frame.h, not from the code that they describe.
"""

import os
import select
import struct
import subprocess
import sys
import time

HELLO, START, PING, OPEN, DATA, END, CREDIT, STOP = range(1, 9)
MAGIC = b"[AFork agent ready]\n"
AGENT_CHANNEL = 0x80000000
(SERVER_HELLO, FORKED, READY, ERROR, FORK_FAILED, EXITED, SIGNALED, NO_PIDFD, MEASURED, CONFINED,
 REFUSED, REMOTE, FILE_WANTED) = range(64, 77)


def mux(kind, payload=b"", channel=0):
    return struct.pack("<IHBB", channel, len(payload), kind, 0) + payload


def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


def string(text):
    return u32(len(text)) + text + b"\0"


def reply(kind, payload=b"", n_fds=0):
    return struct.pack("<IBBH", len(payload), kind, 0, n_fds) + payload


def exited(number, pid, status):
    return reply(EXITED, u32(number, pid, status) + struct.pack("<QQQ", 2**64 - 1, 2**64 - 1, 1))


def data(channel, payload):
    return mux(DATA, payload, channel)


# What is sent, for the channel of the worker and that of the server that was executed.
LIES = {
    "data-of-no-channel": lambda w, t: data(999, b"x"),
    "end-of-no-channel": lambda w, t: mux(END, b"", 999),
    "end-of-0": lambda w, t: mux(END, b"", 0),
    "stop-of-0": lambda w, t: mux(STOP, b"", 0),
    "end-twice": lambda w, t: mux(END, b"", w) * 2,
    "data-after-end": lambda w, t: mux(END, b"", w) + data(w, b"x"),
    "end": lambda w, t: mux(END, b"", w),
    "end-of-server": lambda w, t: mux(END, b"", t),
    "credit": lambda w, t: mux(CREDIT, u32(1 << 20), w),
    "credit-most": lambda w, t: mux(CREDIT, u32(2**32 - 1), w),
    "flood": lambda w, t: data(t, b"\0" * 16000) * 64,
    "flood-of-worker": lambda w, t: data(w, b"\xff" * 16000) * 64,
    "hello-twice": lambda w, t: mux(HELLO, u32(2, 6, 8, 1) + string(b"m") + string(b"h")),
    "start": lambda w, t: mux(START, u32(2, 1000) + string(b"native") + string(b"")),
    "open-at-0": lambda w, t: mux(OPEN, u32(0, 0), AGENT_CHANNEL + 7),
    "open-at-worker": lambda w, t: mux(OPEN, u32(w, 0), AGENT_CHANNEL + 7),
    "open-known": lambda w, t: mux(OPEN, u32(t, 0), w),
    "open-low": lambda w, t: mux(OPEN, u32(t, 0), 77),
    "open-unasked": lambda w, t: mux(OPEN, u32(t, 0), AGENT_CHANNEL + 7) + data(t, reply(MEASURED,
                                                                                    u32(1, 1))),
    "nonsense": lambda w, t: bytes(range(256)),
    "unknown-kind": lambda w, t: mux(9),
    "nonsense-on-0": lambda w, t: data(0, bytes(range(256)) * 4),
    "exit-of-no-server": lambda w, t: data(0, exited(99, 1, 0)),
    "exit-of-server": lambda w, t: data(0, exited(1, 2**32 - 1, 2**32 - 1)),
    "exit-twice": lambda w, t: data(0, exited(1, 1, 0) * 2),
    "exit-of-no-fork": lambda w, t: data(t, exited(99, 1, 0)),
    "exit-of-worker": lambda w, t: data(t, exited(1, 2**31, 2**31)),
    "failed-fork": lambda w, t: data(0, reply(FORK_FAILED, u32(1, 3) + string(b"no"))),
    "failed-fork-of-none": lambda w, t: data(0, reply(FORK_FAILED, u32(99, 99) + string(b"no"))),
    "signaled": lambda w, t: data(0, reply(SIGNALED, u32(1, 0))),
    "measured": lambda w, t: data(t, reply(MEASURED, u32(1, 5))),
    "remote-on-0": lambda w, t: data(0, reply(REMOTE, u32(1))),
    "remote-0": lambda w, t: data(t, reply(REMOTE, u32(0))),
    "remote-most": lambda w, t: data(t, reply(REMOTE, u32(2**32 - 1))),
    "remote-twice": lambda w, t: data(t, reply(REMOTE, u32(1)) * 2),
    "forked-twice": lambda w, t: data(t, reply(REMOTE, u32(1)) + reply(FORKED)),
    "server-hello": lambda w, t: data(0, reply(SERVER_HELLO, string(b"AFork") + u32(5))),
    "ready-on-0": lambda w, t: data(0, reply(READY)),
    "ready-with-fds": lambda w, t: data(t, reply(READY, n_fds=2)),
    "error-on-0": lambda w, t: data(0, reply(ERROR, u32(99) + string(b"It \xff\xfe failed"))),
    "cut-on-0": lambda w, t: data(0, reply(ERROR, u32(1) + string(b"cut"))[:9]) + mux(END),
    "huge-on-0": lambda w, t: data(0, u32(2**32 - 1) + bytes((EXITED, 0, 0, 0))),
    "file-wanted": lambda w, t: data(t, reply(FILE_WANTED, u32(1))) * 3,
    "file-wanted-on-0": lambda w, t: data(0, reply(FILE_WANTED, u32(1))),
    "answer-of-none": lambda w, t: data(w, b"\x01\0\0\0\x05\0\0\0\0\0\0\0\x7f\xff\xff\xff"),
    "pings": lambda w, t: mux(PING) * 200000 + mux(CREDIT, u32(1), 999) * 100000 + mux(DATA),
}


class Frames:
    """Frames of one direction, as they become complete."""

    def __init__(self):
        self.bytes = b""

    def take(self, more):
        self.bytes += more
        while len(self.bytes) >= 8:
            channel, size, kind, _ = struct.unpack_from("<IHBB", self.bytes)
            if len(self.bytes) < 8 + size:
                break
            yield channel, kind, self.bytes[8:8 + size]
            self.bytes = self.bytes[8 + size:]


def write_all(fd, text):
    while text:
        text = text[os.write(fd, text):]


def be_mute():
    """Answers as an agent does, and then only lives."""
    write_all(1, MAGIC + mux(HELLO, u32(2, int(sys.argv[3]), 8, 1) + string(b"m") + string(b"h")))
    while True:
        readable = select.select([0], [], [], 0.1)[0]
        if readable and not os.read(0, 65536):
            return
        write_all(1, mux(PING))


def main():
    server, lie = sys.argv[1:3]
    if lie == "mute":
        be_mute()
        return

    # With “machine” and “byte-order”, the agent only claims to be on another machine.
    with subprocess.Popen([server, "--agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          bufsize=0) as agent:
        down, up = Frames(), Frames()
        n_magic = len(MAGIC)
        worker = None
        while True:
            for fd in select.select([0, agent.stdout], [], [])[0]:
                more = os.read(fd if fd == 0 else agent.stdout.fileno(), 65536)
                if not more:
                    agent.stdin.close()
                    return
                if fd != 0:
                    write_all(1, more[:n_magic])
                    more, n_magic = more[n_magic:], max(0, n_magic - len(more))
                    for channel, kind, payload in up.take(more):
                        if kind == HELLO and lie == "machine":
                            payload = payload[:16] + string(b"s390x") + string(b"h")
                        if kind == HELLO and lie == "byte-order":
                            payload = payload[:12] + u32(2 if sys.byteorder == "little" else 1) \
                                + string(b"strange") + string(b"h")
                        write_all(1, mux(kind, payload, channel))
                    continue
                write_all(agent.stdin.fileno(), more)
                for channel, kind, payload in down.take(more):
                    if kind == DATA and b"stuck" in payload and worker is None:
                        worker = channel
                        write_all(1, LIES[lie](worker, 1))


try:
    main()
except BrokenPipeError:
    pass
