# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The functions of calls.ini, in Python. See tests/modules/values.c for those in C."""

import os

from gi.repository import AFork, Gio, GLib


def echo(call, args):
    for blob in call.blobs:
        call.add_blob(blob)
    for file in call.files:
        call.add_file(file)
    return args


def count(call, args):
    for i in range(args):
        call.report(i)
        AFork.worker_emit(GLib.Variant("x", i))
    return args


def fail(call, args):
    raise GLib.Error.new_literal(Gio.io_error_quark(), f"There is no {args}",
                                 Gio.IOErrorEnum.NOT_FOUND)


def throw(call, args):
    raise ValueError(args)


def wait(call, args):
    call.report("begun")
    while True:
        call.check()
        os.sched_yield()


def exit(call, args):
    os._exit(args)
