# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The functions of values.c, in Python."""

import os

from gi.repository import AFork, Gio, GLib


def values_echo(call, args):
    for blob in call.blobs:
        call.add_blob(blob)
    for file in call.files:
        call.add_file(file)
    return args


def values_count(call, args):
    for i in range(args):
        call.report(i)
        AFork.worker_emit(GLib.Variant("x", i))
    return args


def values_fail(call, args):
    raise GLib.Error.new_literal(Gio.io_error_quark(), f"There is no {args}",
                                 Gio.IOErrorEnum.NOT_FOUND)


def values_wait(call, args):
    call.report("begun")
    while True:
        call.check()
        os.sched_yield()
