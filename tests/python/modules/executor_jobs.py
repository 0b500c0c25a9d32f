# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What workers of AFork.Executor run in the tests."""

import collections
import dataclasses
import enum
import os
import pickle
import tempfile
import threading
import time
import zlib

Point = collections.namedtuple("Point", "x y")


class Color(enum.IntEnum):
    RED = 1


class LoudError(Exception):
    """An exception that can be pickled, but not be unpickled."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class ReducedError(Exception):
    """An exception that is pickled as something else."""

    def __reduce__(self):
        return str, ("no exception",)


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """An exception that refuses attributes, and cannot be unpickled for this reason."""

    number: int


class StrictError(Exception):
    """An exception that refuses attributes."""

    def __setattr__(self, name, value):
        raise AttributeError(f"{name} cannot be set")


class SilentError(Exception):
    """An exception without a text."""

    def __str__(self):
        raise SystemExit("no text")


class Compressed:
    """What arrives as the value that it was made of."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return decompress, (zlib.compress(pickle.dumps(self.value)),)


def decompress(data):
    return pickle.loads(zlib.decompress(data))


class Counter:
    """What workers have in common is what initializers set."""

    value = None

    @classmethod
    def get(cls):
        return cls.value

    def twice(self, number):
        return 2 * number


def echo(*args, **options):
    return args[0] if len(args) == 1 and not options else (args, options)


def get_first(values):
    return values[0]


def are_same(first, second):
    return first is second


def add_to_value(number):
    """Changes what the calls before have returned."""
    Counter.value.append(number)
    return Counter.value


def set_value(value):
    Counter.value = value


def throw(error, *args):
    raise error(*args)


def raise_loud():
    raise LoudError("salt", "pepper")


def raise_local():
    class LocalError(Exception):
        pass

    raise LocalError("nobody can import me")


def raise_lone_surrogate():
    raise ValueError("\udc80 and \0")


def return_lock():
    return threading.Lock()


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def await_file(path, limit=60):
    """Waits until there is a file. Returns whether there is."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if os.path.exists(path):
            return True
        time.sleep(0.001)
    return False


def meet(folder, number, limit=60):
    """Waits until NUMBER processes are here. Returns the pid, or None if they do not come."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False):
        pass
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if len(os.listdir(folder)) == number:
            return os.getpid()
        time.sleep(0.001)
    return None


def log_and_await_file(log, path):
    with open(log, "a", encoding="ascii") as file:
        file.write(".")
    return await_file(path)


def fail_to_split(n_times):
    """Has the next splits of a batch fail, in this worker."""
    from gi.overrides import _afork_executor_worker as worker

    pack, failures = worker._pack, iter([MemoryError("no report")] * n_times)

    def fail_first(value):
        if threading.current_thread() is worker._watcher:
            for failure in failures:
                raise failure
        return pack(value)

    worker._pack = fail_first


def make_file(path):
    with open(path, "x"):
        pass
    return path


def exit_now(status):
    os._exit(status)
