# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Wrong uses, each with the errors that a type checker must find in its line, and no others. At run
time, test-types.py runs each function, which must raise TypeError."""

import gi

gi.require_version("AFork", "1")
from gi.repository import AFork, GLib

process = AFork.Process.new_for_runtime(AFork.Runtime.get_native())
runtime = AFork.Runtime.new_command("name", ["program"])
rpc = AFork.Rpc.new(AFork.Process.new(), "function")
pool = AFork.Pool.new(AFork.Process.new(), "function")
job = AFork.Job.new()


def send_none() -> None:
    process.send(None)  # arg-type


def send_true() -> None:
    process.send(True)  # arg-type


def send_float() -> None:
    process.send(1.5)  # arg-type


def send_int() -> None:
    process.send(3)  # arg-type


def send_list() -> None:
    process.send(["text"])  # arg-type


def send_fd_str() -> None:
    process.send_fd("text")  # arg-type


def send_fd_none() -> None:
    process.send_fd(None)  # arg-type


def send_arg_int() -> None:
    process.send_arg(1)  # arg-type


def send_bytes_str() -> None:
    process.send_bytes("text")  # arg-type


def map_fd_float() -> None:
    process.map_fd(1.5, 2)  # arg-type


def require_none() -> None:
    process.require(None)  # arg-type


def call_str() -> None:
    process.call("function", "abc")  # arg-type


def call_numbers() -> None:
    process.call("function", [1, 2])  # list-item list-item


def eval_str() -> None:
    process.eval("code", "abc")  # arg-type


def exec_str() -> None:
    process.exec("ls -l")  # arg-type


def exec_async_str() -> None:
    process.exec_async("ls -l")  # call-overload


def run_without_function() -> None:
    process.run()  # call-arg


def run_two() -> None:
    process.run("function", "other")  # arg-type


def run_async_bytes() -> None:
    process.run_async(b"function")  # call-overload


def setenv_int() -> None:
    process.setenv("NAME", 1)  # arg-type


def send_signal_str() -> None:
    process.send_signal("SIGTERM")  # arg-type


def set_argv_str() -> None:
    runtime.set_argv("program")  # arg-type


def new_rpc_str() -> None:
    AFork.Rpc.new("process", "function")  # arg-type


def call_set() -> None:
    rpc.call({1, 2})  # call-overload


def call_cancellable() -> None:
    rpc.call(1, 2)  # call-overload


def run_args() -> None:
    pool.run_job(GLib.Variant("s", "args"))  # arg-type


def map_str() -> None:
    pool.map("abc")  # arg-type


def map_int() -> None:
    pool.map(3)  # arg-type


def set_max_workers_float() -> None:
    pool.set_max_workers(1.5)  # arg-type


def shutdown_str() -> None:
    pool.shutdown("drain")  # arg-type


def shutdown_nothing() -> None:
    pool.shutdown()  # call-arg


def job_fds() -> None:
    AFork.Job.new(fds=["file"])  # list-item


def job_blobs() -> None:
    AFork.Job.new(blobs="text")  # arg-type


def add_blob_str() -> None:
    job.add_blob("text")  # arg-type
