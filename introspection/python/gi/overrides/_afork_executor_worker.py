# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The worker functions of AFork.Executor."""

import collections
import importlib
import multiprocessing.process
import pickle
import sys
import threading
import time

from gi.overrides import _afork
from gi.repository import AFork

_functions = {}         # by their names
_initialize_error = None

# The types of values that do not change.
_SCALARS = frozenset((bool, bytes, float, int, str, type(None)))


def initialize(setup):
    global _initialize_error
    sys.path[:], sys.argv[:], main, key, initializer = pickle.loads(setup)
    multiprocessing.process.current_process().authkey = key
    if main is not None:
        _defer_main(*main)
    if initializer is None:
        return
    try:
        function, args = pickle.loads(initializer)
        function(*args)
    except BaseException as error:
        _initialize_error = _format(error)


def _defer_main(kind, path, name):
    """Have the main module of the caller be imported when something in it is first looked up.

    Whatever looks it up, it is in __main__: code that unpickles, also within other pickles, and
    functions that import __main__. Attributes that each module has are no reason to import it, but
    `from __main__ import *` is, which looks up __all__ first.
    """
    main = sys.modules["__main__"]
    lock = threading.RLock()
    is_importing = False

    def look_up(attribute):
        nonlocal is_importing

        if attribute == "__all__" or not (attribute.startswith("__") and attribute.endswith("__")):
            with lock:
                if not is_importing and "__getattr__" in vars(main):
                    is_importing = True
                    try:
                        _import_main(main, kind, path)
                    finally:
                        is_importing = False
            # Now the module may have a __getattr__() of its own.
            if vars(main).get("__getattr__") is not look_up:
                return getattr(main, attribute)
        raise AttributeError(f"module {main.__name__!r} has no attribute {attribute!r}")

    main.__getattr__ = look_up
    if name == "__mp_main__":
        # The caller itself is a worker, whose main module was imported.
        sys.modules[name] = main


def _import_main(main, kind, path):
    """Import the main module of the caller, by the name that multiprocessing uses."""
    import runpy

    if kind == "module":
        content = runpy.run_module(path, run_name="__mp_main__", alter_sys=True)
    else:
        content = runpy.run_path(path, run_name="__mp_main__")
    del main.__getattr__
    vars(main).update(content)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


def _find(name):
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    _functions[name] = found
    return found


def _format(error):
    """Return the traceback of an exception, whatever its class does."""
    import traceback

    try:
        return _clean("".join(traceback.format_exception(error)))
    except BaseException:
        return f"{type(error).__name__}\n"


def _clean(text):
    """Return the text as it can be sent."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _fail(error):
    """Return the answer for an exception of a function."""
    # Without the frame of this file. The class of the exception may refuse that attributes are set.
    traceback = BaseException.__traceback__.__get__(error)
    BaseException.with_traceback(error, traceback and traceback.tb_next)
    text = _format(error)
    BaseException.with_traceback(error, None)
    try:
        pickled = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
    except BaseException:
        pickled = None
    return pickled, _describe(error), text


def _describe(error):
    try:
        return _clean(f"{type(error).__name__}: {error}")
    except BaseException:
        return type(error).__name__


def _take_job(job):
    """Return the function, its arguments, and whether these are those of many calls."""
    if type(job) is bytes:
        return pickle.loads(job)
    name = job[0]
    function = _functions.get(name) or _find(name)
    if len(job) == 2:
        return function, (job[1],), {}, True
    return function, job[1], job[2], False


def _run(job):
    """Return the answer for a job:

    (value,)                    the function has returned a value
    pickled value               the same, if the value can only be pickled
    (pickled, text, traceback)  the function has raised an exception, which is pickled, unless None
    (None, text)                the worker cannot run this job, and the executor is broken
    (False, text)               the same, because the initializer has failed
    """
    if _initialize_error is not None:
        return False, _initialize_error
    try:
        function, args, kwargs, is_chunk = _take_job(job)
    except BaseException as error:
        if type(job) is bytes:
            return None, f"The call cannot be unpickled:\n{_format(error)}"
        return _fail(error)
    try:
        if is_chunk:
            return ([function(*each) for each in args[0]],)
        return (function(*args, **kwargs),)
    except BaseException as error:
        return _fail(error)


def _pack(value):
    return AFork.bindings_take_variant(_afork.pack(value, exact=True))


def _pack_answers(answers):
    try:
        return _pack(answers)
    except TypeError:
        return _pack([_pickle_answer(answer) for answer in answers])


def _pickle_answer(answer):
    """Return the answer as it can be packed, in a list and in a tuple."""
    try:
        _pack(([answer], 0))
        return answer
    except TypeError:
        pass
    try:
        return pickle.dumps(answer[0], pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        return _fail(error)


def _freeze_answer(answer):
    """Return the answer as it can be packed beside others, and as no code can change it."""
    try:
        return pickle.dumps(answer[0], pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        # A value with a GLib.Variant can be packed only.
        try:
            variant = _pack(answer)
        except TypeError:
            return _fail(error)
        return _afork.unpack(AFork.bindings_get_variant_address(variant))


class _Batch:
    """Jobs that are run one after the other.

    If one of them takes long, the watcher, which is another thread, sends the answers that there
    are, and gives the jobs behind it back, for other workers.
    """

    def __init__(self, call, jobs):
        self._call = call
        self._jobs = collections.deque(jobs)
        self._answers = []
        self._lock = threading.Lock()
        self._is_split = False

    def run(self):
        """Return the answers that were not sent."""
        while True:
            self._run_all()
            with self._lock:
                # A split that failed has put jobs back.
                if not self._jobs:
                    self._is_split = True
                    return self._answers

    def _run_all(self):
        jobs, answers = self._jobs, self._answers
        while jobs:
            try:
                job = jobs.popleft()
            except IndexError:
                break
            answer = _run(job)
            # What the next jobs or other threads might change is converted before.
            if len(answer) == 1 and type(answer[0]) not in _SCALARS:
                answer = _freeze_answer(answer)
            answers.append(answer)

    def split(self):
        """Call this in the watcher. If it fails, the batch is as it was."""
        with self._lock:
            if self._is_split:
                return
            jobs = []
            while self._jobs:
                try:
                    jobs.append(self._jobs.pop())
                except IndexError:
                    break
            answers = self._answers[:]
            del self._answers[:len(answers)]
            try:
                if answers or jobs:
                    report = [_pickle_answer(answer) for answer in answers], len(jobs)
                    self._call.call.report(_pack(report))
            except BaseException:
                self._jobs.extend(reversed(jobs))
                self._answers[:0] = answers
                raise
            self._is_split = True


class _Watcher(threading.Thread):
    """Splits batches that take longer than TIME.

    It looks at the batch that runs, and sleeps while there is none: a batch takes a millisecond,
    so a timer for each would cost more than the batch.
    """

    TIME = 0.005

    def __init__(self):
        super().__init__(name="AFork.Executor-watcher", daemon=True)
        self.batch = None
        self._failed = None
        self._wakes = threading.Event()

    def watch(self, batch):
        self.batch = batch
        if not self._wakes.is_set():
            self._wakes.set()
            if not self.is_alive():
                self.start()

    def run(self):
        seen = None
        while True:
            time.sleep(self.TIME)
            batch = self.batch
            if batch is None and seen is None:
                self._wakes.clear()
                if self.batch is None:
                    self._wakes.wait()
            elif batch is not None and batch is seen:
                self._split(batch)
            seen = batch

    def _split(self, batch):
        """Split a batch, or do so later, if this fails now: the watch goes on."""
        try:
            batch.split()
        except BaseException as error:
            if batch is not self._failed:
                self._failed = batch
                sys.stderr.write(f"A batch of calls cannot be split yet:\n{_format(error)}")


_watcher = None


def run(call, jobs):
    """Run jobs, and return their answers."""
    global _watcher
    if len(jobs) == 1:
        return _pack_answers([_run(jobs[0])])
    if _watcher is None:
        _watcher = _Watcher()
    batch = _Batch(call, jobs)
    del jobs
    _watcher.watch(batch)
    try:
        answers = batch.run()
    finally:
        _watcher.batch = None
    return _pack_answers(answers)
