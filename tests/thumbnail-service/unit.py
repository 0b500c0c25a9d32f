#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The unit of the thumbnail service for systemd.

unit.py UNIT SERVICE THUMBNAILER-TESTS

systemd must understand all of it. Where the user has a manager, the service is also run with the
limits of the unit, and answers a request.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

UNIT, SERVICE = pathlib.Path(sys.argv[1]), os.path.realpath(sys.argv[2])
sys.path[:0] = [sys.argv[3]]

import tap
from bus import Bus
from pictures import png

LIMITS = ("MemoryHigh", "MemoryMax", "MemorySwapMax", "TasksMax", "CPUWeight", "Nice",
          "NoNewPrivileges", "LimitCORE", "IOSchedulingClass")


def read_unit():
    return re.sub(r"^ExecStart=.*$", f"ExecStart={SERVICE}", UNIT.read_text(), flags=re.M)


def verify(text):
    """What systemd says of a unit: nothing if all is right."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, UNIT.name)
        path.write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", "--user", "--man=no", path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=os.environ | {"XDG_RUNTIME_DIR": folder})
    # Of other units of the system, it may say anything.
    return [line for line in done.stdout.splitlines() if UNIT.name in line]


def need(program):
    if not shutil.which(program):
        raise tap.Skip(f"{program} is not installed")


def test_unit():
    need("systemd-analyze")
    assert verify(read_unit()) == []
    wrong = verify(read_unit().replace("TasksMax=64", "TasksMax=many"))
    assert wrong, "a unit that is wrong is accepted"
    missing = verify(re.sub(r"^ExecStart=.*$", "ExecStart=/nonexistent/x", UNIT.read_text(),
                            flags=re.M))
    assert missing, "a program that is missing is accepted"


def test_limits():
    text = read_unit()
    for name in LIMITS:
        assert re.search(rf"^{name}=\S+$", text, flags=re.M), name


def test_run():
    """The service, which the bus starts in a scope with the limits."""
    need("systemd-run")
    manager = subprocess.run(["systemctl", "--user", "show-environment"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if manager.returncode != 0:
        raise tap.Skip("this user has no manager of systemd")
    text = read_unit()
    options = [f"--property={line}" for line in text.splitlines()
               if line.partition("=")[0] in ("MemoryHigh", "MemoryMax", "MemorySwapMax",
                                             "TasksMax", "CPUWeight")]
    with Bus("systemd-run", "--user", "--scope", "--quiet", *options, SERVICE) as bus:
        client = Client()
        uris = [bus.add(f"{i}.png", png(300, 200)) for i in range(20)]
        request = client.queue(uris, ["image/png"] * len(uris))
        client.wait(request)
        assert request.ready() == set(uris), request.messages()


try:
    from client import Client
except ImportError as error:
    print(f"1..0 # SKIP {error}")
else:
    tap.main(globals())
