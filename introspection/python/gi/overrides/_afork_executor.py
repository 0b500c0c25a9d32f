# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""AFork.Executor: an executor of concurrent.futures whose workers are processes of AFork.

The parts:

* A pool, in a main context of its own, and a call queue, by which all threads use the pool.
* Two threads. One serves the pool: it is in the C code of the call queue all the time, and never
  waits for the interpreter. The other one takes the results, converts them, and finishes the
  futures. So the workers go on while the program is busy, and result(), wait() and as_completed()
  work whether or not a main loop runs.
* Callbacks of futures are called by the main loop of the thread that made the executor, if that
  main loop runs. Otherwise, the second thread calls them.
"""

import collections
import itertools
import multiprocessing.process
import os
import pickle
import sys
import threading
import time
import types
import weakref
from concurrent.futures import _base
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback

from gi.overrides import _afork
from gi.overrides.AFork import _call_all
from gi.repository import AFork, GLib

WORKER = "gi.overrides._afork_executor_worker"

# How long the main loop calls callbacks before it does other work, in seconds.
CALLBACK_TIME = 0.004
# How long a worker has to exit, in milliseconds, if the executor is broken.
GRACE = 100
# How many short calls a worker gets at a time.
MAX_BATCH = 64
# How many functions are remembered that can be found by their names.
MAX_NAMES = 256

BROKEN = "A worker process ended abruptly, and the executor cannot be used any more"
BROKEN_CALL = (
    "A worker process ended abruptly while the future was running or pending"
)

_exiting = False
_all_calls = weakref.WeakSet()


def _exit():
    """Finish what executors have, when the interpreter exits."""
    global _exiting
    _exiting = True
    for calls in list(_all_calls):
        calls.close()
    for calls in list(_all_calls):
        calls.join()


# Before the interpreter waits for threads: see the module concurrent.futures.thread.
threading._register_atexit(_exit)


# Functions and arguments


class _Names:
    """The names of functions that the workers can find."""

    TYPES = (types.FunctionType, types.BuiltinFunctionType, type)

    def __init__(self):
        self._names = {}

    def find(self, function):
        """Return MODULE:QUALNAME, or None if FUNCTION cannot be found by this name."""
        if type(function) not in self.TYPES:
            return None
        name = self._names.get(function)
        if name is not None:
            return name
        module = function.__module__
        found = sys.modules.get(module)
        for part in function.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not function:
            return None
        if module == "__main__" and _find_main() is None:
            raise pickle.PicklingError(
                f"{function} is in __main__, which is not a file that workers can import")
        name = f"{module}:{function.__qualname__}"
        if len(self._names) >= MAX_NAMES:
            self._names.clear()
        self._names[function] = name
        return name


_names = _Names()


class _Chunk:
    """A function that is called for many tuples of arguments in one call of a worker."""

    def __init__(self, function):
        self.function = function


def _pack_call(function, args, kwargs):
    """Return the address of a value for the worker function."""
    is_chunk = type(function) is _Chunk
    if is_chunk:
        function = function.function
    name = _names.find(function)
    if name is not None:
        try:
            value = (name, args[0]) if is_chunk else (name, args, kwargs)
            return _afork.pack(value, exact=True)
        except TypeError:
            pass
    return _afork.pack(pickle.dumps((function, args, kwargs, is_chunk), pickle.HIGHEST_PROTOCOL))


def _find_main():
    """Return how a worker imports the main module: a kind, a path, and the name that the module has
    here. Return None if it cannot."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    path = getattr(main, "__file__", None)
    if spec is not None and spec.name != "__main__":
        return "module", spec.name, main.__name__
    if path is None or path.startswith("<"):
        return None
    path = os.path.abspath(path)
    # A folder or an archive that is executed has a file __main__.py.
    return "path", os.path.dirname(path) if spec is not None else path, main.__name__


# Futures


class _Future(_base.Future):
    """A future whose call may wait in a call queue."""

    def __init__(self, calls, number):
        super().__init__()
        self._calls = calls
        self._number = number

    def cancel(self):
        if self.done():
            return super().cancel()
        if not self._calls.remove(self._number):
            return self.cancelled()
        try:
            super().cancel()
        finally:
            self.set_running_or_notify_cancel()
        self._calls.futures.pop(self._number, None)
        return True

    cancel.__doc__ = _base.Future.cancel.__doc__

    def running(self):
        return not self.done() and not self._calls.contains(self._number)

    running.__doc__ = _base.Future.running.__doc__

    def add_done_callback(self, fn):
        """Has FN called with the future when the future is done.

        FN is called by the main loop of the thread that made the executor, if the main loop runs.
        Otherwise, a thread of the executor calls it. If the future is done already, or is
        cancelled, FN is called by this thread, at once.
        """
        super().add_done_callback(fn if self.done() else _Callback(self._calls, fn))

    def _invoke_callbacks(self):
        """Call all callbacks, also after one that raises what is no Exception."""
        if self._done_callbacks:
            _call_all(self._invoke_callback, self._done_callbacks)

    def _invoke_callback(self, callback):
        try:
            callback(self)
        except Exception:
            _log("exception calling callback for %r", self)


class _Callback:
    """A function that is called when a future is done."""

    __slots__ = ("_calls", "_function")

    def __init__(self, calls, function):
        self._calls = calls
        self._function = function

    def __call__(self, future):
        self._calls.call_back(self._function, future)


def _call(function, future):
    """Call a callback in the thread that takes the results, which goes on whatever it raises."""
    try:
        function(future)
    except BaseException:
        _log("exception calling callback for %r", future)


def _log(text, future):
    """Log the exception that is handled. The program may have added handlers, which may fail."""
    try:
        _base.LOGGER.exception(text, future)
    except BaseException:
        pass


# Workers, as other code knows them


class _Worker:
    """A worker process of the executor, with some of the methods of multiprocessing.Process.

    It exists when a call was added for which the executor needs one more process. The process may
    start later, and is replaced by another one if the executor has max_tasks_per_child.
    """

    def __init__(self, calls):
        self._calls = calls
        self._process = None
        self._signal = None

    @property
    def pid(self):
        """The process ID, or None while there is no process. It is never 0: os.kill() would take
        that for a process group."""
        process = self._process
        return (process.get_pid() or None) if process is not None else None

    def is_alive(self):
        return not self._calls.ended.is_set()

    def join(self, timeout=None):
        self._calls.join(timeout)

    def terminate(self):
        """End the process, and with it the executor."""
        self._send(15)

    def kill(self):
        """End the process at once, and with it the executor."""
        self._send(9)

    def _send(self, number):
        self._signal = number
        self._calls.call_in_context(self._send_now)

    def _send_now(self, *args):
        if self._process is not None and self._signal is not None:
            self._process.send_signal(self._signal)
        return GLib.SOURCE_REMOVE

    def set_process(self, process):
        """Call this in the main context of the pool."""
        self._process = process
        if process is not None:
            self._send_now()

    def has_process(self, process):
        return self._process is process


# The engine


class _Calls:
    """What an executor and its threads share. It does not know the executor, which may be dropped.

    Each number in `futures` is a call that the queue has accepted and that has no result yet.

    A signal handler may raise an exception at any time in the main thread: KeyboardInterrupt, for
    example. What was interrupted may then be done again.
    """

    def __init__(self, max_workers, max_calls):
        self.pid = os.getpid()
        self.max_workers = max_workers
        self.max_calls = max_calls
        self.lock = threading.Lock()
        self.futures = {}
        self.numbers = itertools.count(1)
        self.broken = False
        self.cause = None
        self.workers = []
        self.n_idle = 0
        self.was_started = False
        self.queue = None
        self.context = None
        self.server = None
        self.deliverer = None
        self.ended = threading.Event()
        self.loop = GLib.MainContext.ref_thread_default()
        self.loop_is_iterated = None
        self.callbacks = collections.deque()
        self.callbacks_source = None

    # Starting and ending

    def start(self, setup):
        """Start the threads. The lock is held."""
        self.context = GLib.MainContext.new()
        self.context.push_thread_default()
        try:
            self.runtime = AFork.Runtime.get_python()
            self.process = AFork.Process.new_for_runtime(self.runtime)
            self.process.require(WORKER)
            self.process.send_bytes(GLib.Bytes.new(setup))
            pool = AFork.Pool(
                process=self.process,
                function=f"{WORKER}:run",
                init_function=f"{WORKER}:initialize",
                max_workers=self.max_workers,
                max_calls=self.max_calls,
                load=1,
                start_delay=0,
                stop_delay=GLib.MAXUINT,
                grace=GRACE,
                quarantine_time=0,
            )
            self.handlers = [pool.connect("worker-started", self._worker_started),
                             pool.connect("worker-exited", self._worker_exited)]
            # A worker that is replaced after some calls gets them one by one.
            self.queue = AFork.CallQueue(pool=pool, max_batch=1 if self.max_calls else MAX_BATCH)
        finally:
            self.context.pop_thread_default()
        self.server = threading.Thread(target=self._serve, name="AFork.Executor-pool")
        self.deliverer = threading.Thread(target=self._deliver, name="AFork.Executor-results")
        _all_calls.add(self)
        self.was_started = True
        try:
            self.server.start()
            self.deliverer.start()
        except BaseException as error:
            # No more threads can be started, because the interpreter exits, for example. Or a
            # signal handler has raised an exception.
            self.broken = BROKEN
            self.cause = _describe(error)
            if self.deliverer.ident is None:
                # What waits for results to be delivered waits for the thread that serves, if there
                # is one.
                self.deliverer = self.server
                if self.server.ident is None:
                    self.ended.set()
            self.close(AFork.ShutdownMode.ABORT)
            if not isinstance(error, RuntimeError):
                raise

    def close(self, mode=AFork.ShutdownMode.DRAIN):
        queue = self.queue
        if queue is not None:
            queue.close(mode)

    def join(self, timeout=None):
        """Wait for the threads, unless this is one of them.

        If a signal handler raises an exception during Thread.join(), Python before 3.13 takes the
        thread for one that has ended. So this waits for the event first.
        """
        thread = self.deliverer
        if (thread is None or threading.current_thread() in (thread, self.server)
                or os.getpid() != self.pid):
            return
        if self.ended.wait(timeout) and thread.ident is not None:
            thread.join()

    def break_off(self, cause):
        """Make the executor unusable: a worker ended abruptly."""
        with self.lock:
            if not self.broken:
                self.cause = cause
                self.broken = BROKEN
        self.close(AFork.ShutdownMode.ABORT)

    def call_in_context(self, function):
        """Have the thread that serves the pool call a function, if it still does."""
        context = self.context
        if context is not None:
            source = GLib.Idle(priority=GLib.PRIORITY_DEFAULT)
            source.set_callback(function)
            source.attach(context)

    # Calls

    def add(self, number, address):
        queue = self.queue
        if queue is None:
            AFork.bindings_take_variant(address)
            return False
        return queue.add(number, address)

    def remove(self, number):
        queue = self.queue
        return queue is not None and queue.remove(number)

    def contains(self, number):
        queue = self.queue
        return queue is not None and queue.contains(number)

    def note_worker(self):
        """Note that there may be one more worker for a call. The lock is held."""
        if self.n_idle > 0:
            self.n_idle -= 1
        elif len(self.workers) < self.max_workers:
            self.workers.append(_Worker(self))

    # The thread that serves the pool

    def _serve(self):
        self.context.push_thread_default()
        try:
            self.queue.run()
            self._end()
        finally:
            self.context.pop_thread_default()
            self.context = None
            if self.deliverer is self.server:
                self.ended.set()

    def _end(self):
        """End the processes that are left, and drop what refers to this object."""
        pool = self.queue.get_pool()
        for handler in self.handlers:
            pool.disconnect(handler)
        template = self.runtime.get_template()
        self.runtime.set_template(None)
        for process in self.process, template:
            process.force_exit()
            try:
                process.wait(None)
            except GLib.Error:
                pass            # it could not start
        self.process = self.runtime = None

    def _worker_started(self, pool, process):
        worker = next((worker for worker in self.workers if worker.has_process(None)), None)
        if worker is not None:
            worker.set_process(process)

    def _worker_exited(self, pool, process, error):
        for worker in self.workers:
            if worker.has_process(process):
                worker.set_process(None)
        if error is not None:
            self.break_off(error.message)

    # The thread that takes the results

    def _deliver(self):
        queue = self.queue
        while queue.wait():
            try:
                self._finish_all(queue.take())
            except BaseException as error:
                # It is not known which results are lost.
                self._fail_all(f"The results of calls cannot be taken: {_describe(error)}")
        self.server.join()
        self._cancel_lost()
        self.loop_is_iterated = None
        if self.callbacks and not self._has_loop():
            self._call_back_all()
        self.ended.set()
        self.server = self.deliverer = self.queue = None

    def _finish_all(self, numbers):
        self.loop_is_iterated = None
        with self.lock:
            self.n_idle = min(self.n_idle + len(numbers) // 3, len(self.workers))
        for i in range(0, len(numbers), 3):
            self._finish_one(*numbers[i:i + 3])

    def _finish_one(self, number, failed, address):
        """Finish a future. What fails here, also in code of the program, fails that future only."""
        future = self.futures.pop(number, None)
        if future is None:
            return
        try:
            self._finish(future, failed, _afork.unpack(address))
        except _base.InvalidStateError:
            pass
        except BaseException as error:
            if future.done():
                _log("exception after %r was done", future)
            else:
                future.set_exception(error)

    def _cancel_lost(self):
        """Cancel the futures whose cancel() was interrupted: their calls are not in the queue."""
        while self.futures:
            number, future = self.futures.popitem()
            try:
                if not future.done():
                    _base.Future.cancel(future)
                    future.set_running_or_notify_cancel()
            except BaseException:
                _log("exception after %r was cancelled", future)

    def _fail_all(self, cause):
        self.break_off(cause)
        while self.futures:
            number, future = self.futures.popitem()
            try:
                future.set_exception(self.new_error())
            except BaseException:
                _log("exception after %r failed", future)

    def _finish(self, future, failed, answer):
        if failed:
            self._finish_failed(future, *answer)
        elif type(answer) is bytes:
            self._finish_pickled(future, answer)
        elif len(answer) == 1:
            future.set_result(answer[0])
        elif len(answer) == 2:
            if answer[0] is False and not self.broken:
                _base.LOGGER.critical("Exception in initializer:\n%s", answer[1])
            self.break_off(answer[1])
            future.set_exception(self.new_error())
        else:
            future.set_exception(_unpickle_error(*answer))

    def _finish_pickled(self, future, answer):
        try:
            value = pickle.loads(answer)
        except BaseException as error:
            self.break_off(f"The result of a call cannot be unpickled: {_describe(error)}")
            future.set_exception(self.new_error())
        else:
            future.set_result(value)

    def _finish_failed(self, future, domain, code, message):
        error = GLib.Error(message, domain, code)
        if domain == "g-io-error-quark":
            future.set_exception(error)
            return
        self.break_off(message)
        future.set_exception(self.new_error())

    def new_error(self):
        error = BrokenProcessPool(BROKEN_CALL)
        error.__cause__ = _RemoteTraceback(f"\n'''\n{self.cause}'''")
        return error

    # Callbacks

    def _has_loop(self):
        if self.loop_is_iterated is None:
            self.loop_is_iterated = self.queue.is_iterated(self.loop)
        return self.loop_is_iterated

    def call_back(self, function, future):
        if threading.current_thread() is not self.deliverer:
            function(future)
            return
        if not self._has_loop():
            if self.callbacks:
                self._call_back_all()
            _call(function, future)
            return
        with self.lock:
            self.callbacks.append((function, future))
            if self.callbacks_source is None:
                self._attach_callbacks()

    def _attach_callbacks(self):
        """Have the main loop call the callbacks. The lock is held."""
        self.callbacks_source = GLib.Idle(priority=GLib.PRIORITY_DEFAULT)
        self.callbacks_source.set_callback(self._call_back_some)
        self.callbacks_source.attach(self.loop)

    def _take_callback(self):
        with self.lock:
            if self.callbacks:
                return self.callbacks.popleft()
            self.callbacks_source = None
            return None

    def _call_back_some(self, *args):
        end = time.monotonic() + CALLBACK_TIME
        while time.monotonic() < end:
            taken = self._take_callback()
            if taken is None:
                return GLib.SOURCE_REMOVE
            self._call_in_loop(*taken)
            del taken
        return GLib.SOURCE_CONTINUE

    def _call_in_loop(self, function, future):
        try:
            function(future)
        except Exception:
            _log("exception calling callback for %r", future)
        except BaseException:
            # As in other callbacks of a main loop, SystemExit ends the program, and the main loop
            # prints other exceptions. It also removes the source.
            with self.lock:
                self._attach_callbacks()
            raise

    def _call_back_all(self):
        """Call what the main loop has not called."""
        with self.lock:
            taken, self.callbacks = self.callbacks, collections.deque()
        for function, future in taken:
            _call(function, future)


def _describe(error):
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return type(error).__name__


def _unpickle_error(pickled, text, traceback):
    """Return the exception of a worker's function."""
    try:
        error = pickle.loads(pickled) if pickled is not None else None
    except BaseException:
        error = None
    if not isinstance(error, BaseException):
        error = RuntimeError(text)
    # The class of the exception may refuse that attributes are set.
    BaseException.__cause__.__set__(error, _RemoteTraceback(f'\n"""\n{traceback}"""'))
    return error


# The executor


class Executor(_base.Executor):
    """Calls functions in worker processes.

    It is used like concurrent.futures.ProcessPoolExecutor, and can replace it. The workers are
    forks of a clean Python process, and never of this program. See the page about Python for the
    differences.

    max_workers is the largest number of worker processes; the default is the number of processors
    that the program may use. Each worker calls initializer(*initargs) before it does anything
    else. A worker is replaced after max_tasks_per_child calls, unless this is None. mp_context is
    accepted and ignored.
    """

    def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=(), *,
                 max_tasks_per_child=None):
        if max_workers is None:
            max_workers = len(os.sched_getaffinity(0))
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._max_workers = max_workers
        self._initializer = initializer
        self._initargs = initargs
        self._is_shut_down = False
        self._calls = _Calls(max_workers, max_tasks_per_child or 0)
        weakref.finalize(self, self._calls.close).atexit = False

    @property
    def _broken(self):
        return self._calls.broken

    @property
    def _processes(self):
        """The workers by their pids. A worker without a process is not among them."""
        workers = {worker.pid: worker for worker in list(self._calls.workers)}
        workers.pop(None, None)
        return workers

    @property
    def _executor_manager_thread(self):
        return self._calls.deliverer

    def submit(self, fn, /, *args, **kwargs):
        calls = self._calls
        with calls.lock:
            if calls.broken:
                raise BrokenProcessPool(calls.broken)
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _exiting:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            if not calls.was_started:
                calls.start(self._pack_setup())
                if calls.broken:
                    raise BrokenProcessPool(f"{calls.broken} {calls.cause}")
            calls.note_worker()
        number = next(calls.numbers)
        future = _Future(calls, number)
        try:
            address = _pack_call(fn, args, kwargs)
        except Exception as error:
            future.set_running_or_notify_cancel()
            future.set_exception(error)
            return future
        calls.futures[number] = future
        if not calls.add(number, address):
            calls.futures.pop(number, None)
            if calls.broken:
                raise BrokenProcessPool(calls.broken)
            raise RuntimeError("cannot schedule new futures after shutdown")
        return future

    submit.__doc__ = _base.Executor.submit.__doc__

    def _pack_setup(self):
        initializer = None
        if self._initializer is not None:
            initializer = pickle.dumps((self._initializer, self._initargs))
        # Proxies of multiprocessing.managers can be used only with this key.
        key = bytes(multiprocessing.process.current_process().authkey)
        path = [folder or os.getcwd() for folder in sys.path]
        return pickle.dumps((path, sys.argv, _find_main(), key, initializer))

    def map(self, fn, *iterables, timeout=None, chunksize=1, **options):
        """Return an iterator over the results of fn for the items of the iterables.

        With a chunksize of more than 1, one call of a worker calls fn for so many items. Raises
        TimeoutError if not all results were there after timeout seconds, and what fn raises. What
        has not begun is cancelled if the iterator is dropped.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout, **options)
        chunks = _chunks(zip(*iterables), chunksize)
        return _chain(super().map(_Chunk(fn), chunks, timeout=timeout, **options))

    def shutdown(self, wait=True, *, cancel_futures=False):
        calls = self._calls
        with calls.lock:
            self._is_shut_down = True
        try:
            if cancel_futures:
                _call_all(_Future.cancel, list(calls.futures.values()))
        finally:
            calls.close()
        if wait:
            calls.join()

    shutdown.__doc__ = _base.Executor.shutdown.__doc__

    def terminate_workers(self):
        """End all workers. Futures that are not done fail with BrokenProcessPool."""
        self._end_workers("terminate_workers() was called")

    def kill_workers(self):
        """End all workers at once. Futures that are not done fail with BrokenProcessPool."""
        for worker in list(self._calls.workers):
            worker.kill()
        self._end_workers("kill_workers() was called")

    def _end_workers(self, cause):
        with self._calls.lock:
            self._is_shut_down = True
        self._calls.break_off(cause)
        self._calls.join()


# What help() and error messages say.
Executor.__module__ = AFork.__name__


def _chunks(items, size):
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _chain(lists):
    """Yield the items of the lists, without keeping a reference to them."""
    for items in lists:
        items.reverse()
        while items:
            yield items.pop()
