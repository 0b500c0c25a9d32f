# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the workers of python-workers.py do, with a socket of AFork or a connection of
multiprocessing."""

import gc

import gi
from gi.repository import Gio, GLib

DATA = b'\x5a' * 64


def answer(socket):
    socket.sendall(DATA)


def wait(socket):
    gc.collect()
    socket.sendall(DATA)
    socket.recv(1)


def answer_peer(connection):
    connection.send_bytes(DATA)


def wait_peer(connection):
    gc.collect()
    connection.send_bytes(DATA)
    connection.poll(None)
