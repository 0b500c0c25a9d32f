# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What AFork adds to its introspected API in Python.

The API is that of the typelib, and its methods can be called as they are. In addition:

* An asynchronous method without a callback returns an Operation, which can be awaited.
* A signal handler that raises an exception, such as KeyboardInterrupt, ends a blocking method.
* Errors are exceptions of a class for each code: see AFork.Error.
* Arguments of wrong types are refused, and the error names the parameter.
* Calls and jobs take Python values and return Python values.
* AFork.Executor is an executor of concurrent.futures.
"""

import fcntl
import os
import re
import signal
import socket
import sys
import threading
import weakref
from collections import deque
from collections.abc import Coroutine
from contextvars import copy_context
from functools import partial

from gi import _ossighelper
from gi.module import get_introspection_module
from gi.overrides import override
from gi.repository import Gio, GLib, GObject

AFork = get_introspection_module("AFork")

__all__ = ["Error", "Events", "Operation", "run", "spawn"]


# Errors

_DOMAIN = GLib.quark_to_string(AFork.error_quark())


class Error(GLib.Error):
    """An error of AFork: the base class of one class for each code of AForkError.

    `except AFork.Error` catches all of them, `except AFork.Error.TimedOut` those with the code
    AFork.Error.TIMED_OUT, and `except GLib.Error` all errors of GLib. The attribute `message` has
    the text. `error.matches(AFork.error_quark(), AFork.Error.TIMED_OUT)` works as well.

    Errors of other domains are GLib.Error: for example, if a call was cancelled, or if a worker
    function of C has set an error of GIO.
    """

    CODE = 0

    def __init__(self, message="", domain=_DOMAIN, code=None):
        super().__init__(message, domain, self.CODE if code is None else code)

    def __reduce__(self):
        return type(self), (self.message, self.domain, self.code)

    def copy(self):
        return type(self)(self.message, self.domain, self.code)


_error_classes = {}


def _add_error_classes():
    values = AFork.Error.__info__.get_values()
    for info in values:
        name = info.get_name()
        code = getattr(AFork.Error, name.upper())
        class_name = "".join(part.capitalize() for part in name.split("_"))
        added = type(class_name, (Error,), {
            "__doc__": f"An error with the code AFork.Error.{name.upper()}.",
            "__module__": Error.__module__,
            "__qualname__": f"Error.{class_name}",
            "CODE": int(code),
        })
        setattr(Error, name.upper(), code)
        setattr(Error, class_name, added)
        _error_classes[int(code)] = added
    Error.quark = staticmethod(AFork.error_quark)


_add_error_classes()


def _specific(error):
    """The same error, as an instance of the class for its code."""
    if error.domain != _DOMAIN or isinstance(error, Error):
        return error
    specific = _error_classes.get(error.code, Error)(error.message, _DOMAIN, error.code)
    return specific.with_traceback(error.__traceback__)


# Values: the module _afork says which, and how they are sent. A build without the headers of Python
# has no such module. Then arguments and results are GLib.Variants.

try:
    from gi.overrides import _afork
except ImportError:
    _afork = None
else:
    _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                             AFork.bindings_take_variant)

# Up to this size in bytes, a value is converted at once, and larger ones in steps of this time in
# microseconds, so that the main loop goes on.
MAX_SMALL = 16384
STEP_TIME = 2000


def _pack(value, name):
    """The GLib.Variant for a Python value; None if that is None."""
    if value is None or isinstance(value, GLib.Variant):
        return value
    if _afork is None:
        raise TypeError(f"{name} must be a GLib.Variant: this build has no extension for Python")
    return AFork.bindings_take_variant(_afork.pack(value, name))


def _pack_items(items):
    """The GLib.Variant for the items of a map. A worker gets each as the argument of a call."""
    if not any(isinstance(item, GLib.Variant) or (type(item) is tuple and not item)
               for item in items):
        return _pack(items, "items")
    # In a list, _pack() makes other variants of these values than of an argument. A GLib.Variant is
    # put into another one. An empty tuple becomes "()", which as an argument stands for None. So
    # each item is packed as an argument here.
    variants = [GLib.Variant("()", ()) if item is None else _pack(item, f"items[{i}]")
                for i, item in enumerate(items)]
    return GLib.Variant.new_array(GLib.VariantType.new("v"),
                                  [GLib.Variant.new_variant(variant) for variant in variants])


def _unpack(variant):
    if _afork is None:
        return variant.unpack()
    return _afork.unpack(AFork.bindings_get_variant_address(variant))


# The types of arguments

_NUMBERS = (GObject.TYPE_INT, GObject.TYPE_UINT, GObject.TYPE_INT64, GObject.TYPE_UINT64,
            GObject.TYPE_ENUM, GObject.TYPE_FLAGS)


def _wrong_type(name, expected, value):
    return TypeError(f"{name} must be {expected}, not {type(value).__name__}")


def _check_int(value, name):
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _wrong_type(name, "an int", value)
    return value


def _check_bool(value, name):
    if not isinstance(value, bool):
        raise _wrong_type(name, "a bool", value)
    return value


def _check_float(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type(name, "a float", value)
    return value


def _check_nul(text, name):
    if (b"\0" if isinstance(text, bytes) else "\0") in text:
        raise ValueError(f"{name} must not contain a null character")
    return text


def _check_str(value, name):
    if not isinstance(value, str):
        raise _wrong_type(name, "a str", value)
    return _check_nul(value, name)


def _check_optional_str(value, name):
    return None if value is None else _check_str(value, name)


def _check_filename(value, name):
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise _wrong_type(name, "a str or a path", value)
    return _check_nul(os.fspath(value), name)


def _check_filenames(value, name):
    """A str is a sequence, too, and would become the list of its characters."""
    if isinstance(value, (str, bytes, bytearray, os.PathLike)) or not hasattr(value, "__iter__"):
        raise _wrong_type(name, "a list of str", value)
    return [_check_filename(item, f"{name}[{i}]") for i, item in enumerate(value)]


def _check_cancellable(value, name):
    if value is not None and not isinstance(value, Gio.Cancellable):
        raise _wrong_type(name, "a Gio.Cancellable or None", value)
    return value


def _check_bytes(value, name):
    if isinstance(value, GLib.Bytes):
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _wrong_type(name, "bytes", value)
    return GLib.Bytes.new(bytes(value))


def _check_fd(value, name):
    """The number of a descriptor. What is not one must not become descriptor 0 or 1."""
    if hasattr(value, "fileno"):
        fd = value.fileno()
        if not isinstance(fd, int) or fd < 0:
            raise ValueError(f"{name} is not open")
        return fd
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(name, "a descriptor or an object with fileno()", value)
    return value


def _make_check(info):
    """The check for a parameter of the typelib, or None if PyGObject's own is good enough."""
    type_info = info.get_type_info() if hasattr(info, "get_type_info") else info.get_type()
    tag = type_info.get_tag_as_string()
    if info.get_name() in ("fd", "target"):
        return _check_fd
    if tag.startswith(("gint", "guint")):
        return _check_int
    if tag == "interface":
        kind = type_info.get_interface()
        if kind.get_name() == "Bytes":
            return _check_bytes
        if kind.get_name() == "Cancellable":
            return _check_cancellable
        return _check_int if hasattr(kind, "is_flags") else None
    return {"array": _check_filenames, "filename": _check_filename, "gboolean": _check_bool,
            "gdouble": _check_float, "utf8": _check_str}.get(tag)


class _Parameters:
    """The parameters of a function of the typelib, as Python passes them."""

    def __init__(self, info):
        self.function = info.get_name()
        self.names = []
        self.checks = []
        self.n_required = 0
        if info.is_constructor() or info.is_method():
            self._add("cls" if info.is_constructor() else "self", None, False)
        for parameter in info.get_arguments():
            if int(parameter.get_direction()) == 0:
                self._add(parameter.get_name(), _make_check(parameter), parameter.may_be_null())

    def _add(self, name, check, is_nullable):
        self.names.append(name)
        self.checks.append((check, is_nullable))
        if not is_nullable:
            self.n_required = len(self.names)

    def drop_callback(self):
        """For an asynchronous function, whose callback and data are passed on as they are."""
        del self.names[-2:], self.checks[-2:]

    def bind(self, args, kwargs):
        """The checked arguments in the order of the parameters."""
        names = self.names
        if len(args) > len(names):
            raise TypeError(f"{self.function}() takes at most {len(names)} arguments, "
                            f"not {len(args)}")
        values = list(args) + [None] * (len(names) - len(args))
        for name, value in kwargs.items():
            if name not in names:
                raise TypeError(f"{self.function}() has no parameter {name}")
            if names.index(name) < len(args):
                raise TypeError(f"{self.function}() got two values for {name}")
            values[names.index(name)] = value
        for i in range(len(args), self.n_required):
            if names[i] not in kwargs and not self.checks[i][1]:
                raise TypeError(f"{self.function}() needs a value for {names[i]}")
        for i, (check, is_nullable) in enumerate(self.checks):
            if check is not None and not (is_nullable and values[i] is None):
                values[i] = check(values[i], names[i])
        return values


# Signals during blocking calls

def _keep(results, function, *args):
    """Calls a function of C and adds its result to a list.

    Signal handlers run between two instructions of the interpreter, and may raise. Here, none runs
    between the call and the addition. So it is known what has to be undone.
    """
    results.extend(map(function, *([arg] for arg in args)))


class _Link:
    """A cancellable of ours that is cancelled with the caller's, but not the other way round."""

    def __init__(self, outer):
        self.cancellable = Gio.Cancellable()
        self._handlers = []
        if outer is not None:
            self.link(outer)

    def link(self, outer):
        cancel = self.cancellable.cancel
        self._outer = outer
        _keep(self._handlers, GObject.Object.connect, outer, "cancelled", lambda outer: cancel())
        if outer.is_cancelled():
            cancel()

    def unlink(self):
        for handler in self._handlers:
            GObject.Object.disconnect(self._outer, handler)
        self._handlers = []


class _SignalHandlers:
    """Runs Python's signal handlers while the main thread waits in a blocking call.

    The interpreter runs them between two instructions, so not during the call. Its handler in C
    writes to a socket; AFork sees this and resumes the generator below, which runs the handlers. An
    ordinary function could not catch what they raise: they run as it begins, before its `try`.
    """

    def __init__(self):
        self._pid = 0           # of the process that has opened the sockets
        self._calls = []        # those that wait, the innermost last

    def _open(self):
        """In a child by os.fork(), the sockets are those of the parent."""
        if self._pid != 0:
            self._calls = []
            self._reader.close()
            self._writer.close()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._steps = self._handle()
        next(self._steps)
        self._enable()
        self._pid = os.getpid()

    def _enable(self):
        AFork.bindings_set_interrupt_func(self._reader.fileno(), self._steps.__next__)

    def _handle(self):
        while True:
            try:
                while True:
                    yield
                    self._forward(self._reader.recv(4096))
            except BlockingIOError:
                pass
            except GeneratorExit:
                return
            except BaseException as error:
                # Without the frame of this generator, which others could clear and so end.
                error.__traceback__ = error.__traceback__.tb_next
                for call in self._calls[-1:]:
                    call.interrupt(error)

    def _forward(self, numbers):
        """Other code may wait for signals in the same way: asyncio does."""
        for call in self._calls[-1:]:
            for fd in call.previous:
                if fd not in (-1, self._writer.fileno()):
                    try:
                        os.write(fd, numbers)
                    except OSError:
                        pass

    def call(self, info, args, cancellable):
        if threading.current_thread() is not threading.main_thread():
            return info(*args, cancellable)
        if self._pid != os.getpid():
            self._open()
        elif self._steps.gi_running:
            return self._call_in_handler(info, args, cancellable)

        steps = self._watch_call(cancellable)
        try:
            return info(*args, next(steps))
        finally:
            steps.close()

    def _watch_call(self, cancellable):
        """Sets up what interrupts a call, yields the cancellable for the call, undoes all of this,
        and raises the error with which the call was interrupted.

        Signal handlers may raise at any time, so this is a generator, too. What has to be undone is
        undone whatever was raised before.
        """
        call = _InterruptibleCall()
        n_outer = len(self._calls)
        in_loop = None
        try:
            if cancellable is not None:
                call.link(cancellable)
            self._calls.append(call)
            _keep(call.previous, partial(signal.set_wakeup_fd, warn_on_full_buffer=False),
                  self._writer.fileno())
            # A main loop of PyGObject has a handler of its own for SIGINT, which quits the loop.
            if getattr(_ossighelper, "_callback_stack", None):
                in_loop = _ossighelper.register_sigint_fallback(
                    lambda: call.interrupt(KeyboardInterrupt())).gen
                next(in_loop)
            yield call.cancellable
        finally:
            try:
                if in_loop is not None:
                    in_loop.close()
            finally:
                try:
                    call.restored.extend(call.restore)
                except (OSError, ValueError):
                    # A signal handler may raise these, too.
                    if len(call.restored) == len(call.previous):
                        raise
                    signal.set_wakeup_fd(-1)
                finally:
                    del self._calls[n_outer:]
                    call.end()

    def _call_in_handler(self, info, args, cancellable):
        """A call by a signal handler, within another call. Other signals wait until it returns."""
        AFork.bindings_set_interrupt_func(-1, None)
        try:
            return info(*args, cancellable)
        finally:
            self._enable()


class _InterruptibleCall(_Link):
    def __init__(self):
        super().__init__(None)
        self.previous = []      # the descriptor that other code has set for signals
        # Sets that descriptor again when it is iterated over. Then `restored` is not empty.
        self.restore = map(signal.set_wakeup_fd, self.previous)
        self.restored = []
        self._error = None

    def interrupt(self, error):
        """Ends the call with an error that a signal handler has raised."""
        self._error = error
        self.cancellable.cancel()

    def end(self):
        try:
            self.unlink()
        finally:
            if self._error is not None:
                error, self._error = self._error, None
                raise error from None


_signal_handlers = _SignalHandlers()


def _call_blocking(info, args, cancellable):
    """Calls a blocking function of the typelib, whose last parameter is the cancellable."""
    _check_cancellable(cancellable, "cancellable")
    try:
        return _signal_handlers.call(info, args, cancellable)
    except GLib.Error as error:
        raise _specific(error) from None


# Awaiting

def _get_asyncio_loop():
    """The event loop of asyncio that runs in this thread, or None."""
    asyncio = sys.modules.get("asyncio")
    return asyncio._get_running_loop() if asyncio is not None else None


def _call_all(function, values):
    """Calls a function for each of the values, which may call code of the program. Then raises what
    the first call has raised that did: KeyboardInterrupt or SystemExit, for example."""
    first = None
    for value in values:
        try:
            function(value)
        except BaseException as error:
            if first is None:
                first = error
            else:
                sys.__excepthook__(type(error), error, error.__traceback__)
    if first is not None:
        try:
            raise first
        finally:
            # The traceback of the error has this frame.
            first = None


class Operation:
    """An asynchronous operation that was begun. It can be awaited, more than once.

    Asynchronous methods of AFork return an operation if they are called without a callback:

        result = await rpc.call_async(21)

    It begins at once. So several operations of which a list is made run at the same time, and an
    operation that is never awaited goes on.

    A coroutine that awaits operations is run by asyncio, if its event loop is one of GLib: that of
    gi.events, in PyGObject 3.50 and later. With any PyGObject, AFork.run() and AFork.spawn() run
    such a coroutine in the main context of the thread. Elsewhere, an operation cannot be awaited.

    Operation(begin, finish, *args) makes an operation of any asynchronous function of GIO:

        data = await AFork.Operation(stream.read_bytes_async, stream.read_bytes_finish,
                                     4096, GLib.PRIORITY_DEFAULT)

    calls begin(*args, cancellable, callback), and then finish(result). Operations belong to the
    thread and the main context in which they were begun.
    """

    def __init__(self, begin, finish, *args):
        _check_callable(begin, "begin")
        _check_callable(finish, "finish")
        self._prepare()
        self._begin(begin, finish, args)

    @classmethod
    def _of_function(cls, begin, finish, args, cancellable, unpacks=False):
        """Of a function that takes a cancellable of the caller, which may be None."""
        self = cls.__new__(cls)
        self._prepare(cancellable, unpacks)
        self._begin(begin, finish, args)
        return self

    @classmethod
    def _of_value(cls, get_variant):
        """Of the conversion of a value only."""
        self = cls.__new__(cls)
        self._prepare(unpacks=True)
        self._finish = lambda result: get_variant()
        self._ready_cb(None, None)
        return self

    def _prepare(self, cancellable=None, unpacks=False):
        self._link = _Link(cancellable)
        self._unpacks = unpacks
        self._is_done = False
        self._result = None
        self._error = None
        self._callbacks = []

    def _begin(self, begin, finish, args):
        self._finish = finish
        begin(*args, self._link.cancellable, self._ready_cb)

    def _ready_cb(self, source, result, *data):
        try:
            value = self._finish(result)
            if self._unpacks:
                value = self._unpack(value)
        except BaseException as error:
            self._fail(error)
        else:
            if value is not self:
                self._complete(value, None)

    def _unpack(self, variant):
        """The value; or, if it is large, this operation, which then completes itself."""
        if _afork is None or variant.get_size() <= MAX_SMALL:
            return _unpack(variant)
        unpacker = _afork.Unpacker(AFork.bindings_get_variant_address(variant))
        source = GLib.idle_source_new()
        source.set_callback(self._unpack_cb, unpacker)
        source.attach(GLib.MainContext.ref_thread_default())
        return self

    def _unpack_cb(self, unpacker):
        try:
            if not unpacker.step(STEP_TIME):
                return GLib.SOURCE_CONTINUE
            value = unpacker.take()
        except BaseException as error:
            self._fail(error)
        else:
            self._complete(value, None)
        return GLib.SOURCE_REMOVE

    def _fail(self, error):
        """Fails without the frame of the caller, which has a reference to this object."""
        error.__traceback__ = error.__traceback__.tb_next
        self._complete(None, _specific(error) if isinstance(error, GLib.Error) else error)

    def _complete(self, result, error):
        self._link.unlink()
        self._result = result
        self._error = error
        self._traceback = None if error is None else error.__traceback__
        self._is_done = True
        callbacks, self._callbacks = self._callbacks, None
        _call_all(self._call, callbacks)

    def _call(self, callback):
        try:
            callback(self)
        except Exception:
            sys.excepthook(*sys.exc_info())

    def done(self):
        """Whether the operation has ended, with a result or an error."""
        return self._is_done

    def result(self):
        """The result. Raises the error of an operation that failed, and RuntimeError if it goes on.
        """
        if not self._is_done:
            raise RuntimeError("The operation has not ended yet")
        if self._error is not None:
            # Each time with the same traceback: raising adds to it.
            raise self._error.with_traceback(self._traceback)
        return self._result

    def exception(self):
        """The error of an operation that failed, or None. Raises RuntimeError if it goes on."""
        if not self._is_done:
            raise RuntimeError("The operation has not ended yet")
        return self._error

    def cancel(self):
        """Cancels the operation. It then usually fails with G_IO_ERROR_CANCELLED."""
        self._link.cancellable.cancel()

    def add_done_callback(self, callback):
        """Has callback(operation) called when the operation ends, or at once if it has ended.

        An exception of a callback is printed. SystemExit ends the program, as in other callbacks of
        a main loop, after all callbacks of the operation were called.
        """
        _check_callable(callback, "callback")
        if self._is_done:
            self._call(callback)
        else:
            self._callbacks.append(callback)

    def __await__(self):
        if not self._is_done:
            loop = _get_asyncio_loop()
            if loop is None:
                yield self
            else:
                yield from self._wait_in_asyncio(loop)
        return self.result()

    def _wait_in_asyncio(self, loop):
        if not isinstance(getattr(loop, "_context", None), GLib.MainContext):
            raise RuntimeError("The event loop of asyncio does not iterate a main context of GLib: "
                               "use gi.events of PyGObject 3.50, or AFork.run()")
        future = loop.create_future()
        self.add_done_callback(lambda operation: future.done() or future.set_result(None))
        try:
            yield from future
        except BaseException:
            self.cancel()
            raise


class _Task(Operation):
    """A coroutine that awaits operations, as an operation."""

    def __init__(self, coroutine):
        self._prepare()
        self._coroutine = coroutine
        self._context = copy_context()
        self._awaited = None
        self._is_cancelled = False
        self._is_retrieved = False
        self._step()

    def _step(self, operation=None):
        self._awaited = None
        try:
            awaited = self._context.run(self._coroutine.send, None)
            while not isinstance(awaited, Operation):
                awaited = self._context.run(self._coroutine.throw, RuntimeError(
                    f"Only an AFork.Operation can be awaited here, not {awaited!r}"))
        except StopIteration as stop:
            self._complete(stop.value, None)
        except BaseException as error:
            self._fail(error)
        else:
            self._awaited = awaited
            awaited.add_done_callback(self._step)
            if self._is_cancelled:
                self.cancel()

    def cancel(self):
        """Cancels the operation that the coroutine awaits, or the next one that it awaits."""
        self._is_cancelled = self._awaited is None
        if self._awaited is not None:
            self._awaited.cancel()

    def result(self):
        self._is_retrieved = True
        return super().result()

    def exception(self):
        self._is_retrieved = True
        return super().exception()

    def __del__(self):
        if self._is_done and self._error is not None and not self._is_retrieved:
            sys.excepthook(type(self._error), self._error, self._error.__traceback__)


def _check_coroutine(coroutine):
    """A generator has send() and throw(), too, but cannot be awaited, unless types.coroutine() has
    made it of one that can."""
    if isinstance(coroutine, Coroutine):
        return
    # A program whose arguments are right does not need this module.
    import inspect

    if inspect.iscoroutinefunction(coroutine):
        name = getattr(coroutine, "__qualname__", repr(coroutine))
        raise TypeError(f"coroutine must be a coroutine, not the function {name}: call it")
    if not inspect.isawaitable(coroutine):
        raise _wrong_type("coroutine", "a coroutine", coroutine)
    if not inspect.isgenerator(coroutine):
        raise TypeError("coroutine must be a coroutine, not another awaitable: "
                        f"await the {type(coroutine).__name__} in a coroutine")


def _check_callable(value, name):
    if not callable(value):
        raise _wrong_type(name, "a function", value)


def spawn(coroutine):
    """Runs a coroutine in the main context of this thread, and returns it as an Operation.

    The coroutine may await operations of AFork and nothing else. It begins at once, and goes on
    while a main loop runs: that of the application, for example. An error that is not retrieved is
    printed. In a program that uses asyncio, create a task of asyncio instead.
    """
    _check_coroutine(coroutine)
    return _Task(coroutine)


def run(coroutine):
    """Runs a coroutine until it ends, and returns its result.

    Iterates the main context of this thread meanwhile. The coroutine may await operations of AFork
    and nothing else. After Ctrl+C, the operation that it awaits is cancelled, and KeyboardInterrupt
    is raised when the coroutine has ended. In a program that uses asyncio, await instead.
    """
    _check_coroutine(coroutine)
    if _get_asyncio_loop() is not None:
        coroutine.close()
        raise RuntimeError("asyncio runs in this thread: await the coroutine")

    loop = GLib.MainLoop.new(GLib.MainContext.get_thread_default(), False)
    task = _Task(coroutine)
    task.add_done_callback(lambda task: loop.quit())
    try:
        if not task.done():
            loop.run()
    except BaseException:
        task.cancel()
        if not task.done():
            loop.run()
        task.exception()
        raise
    return task.result()


class Events:
    """The values that a signal of an object reports, for `async for`.

    events() of AFork.Rpc and AFork.Pool, and reports() of AFork.Job, return one. Values are
    collected from then on, in the order in which the worker sent them. The iteration ends when no
    more values can come. close() ends it before.
    """

    def __init__(self, source, signal_name):
        this = weakref.ref(self)
        self._values = deque()
        self._waiting = []
        self._is_ended = False
        self._source = source
        self._handlers = [source.connect(signal_name, lambda source, value: this()._add(value))]

    def _end_with(self, signal_name, is_last=lambda source: True):
        """Ends the iteration when the signal is emitted and is_last(source) is true."""
        this = weakref.ref(self)
        self._handlers.append(self._source.connect(
            signal_name, lambda source, *args: is_last(source) and this().close()))
        return self

    def _add(self, value):
        self._values.append(value)
        self._wake()

    def _wake(self):
        waiting, self._waiting = self._waiting, []
        _call_all(lambda operation: operation.done() or operation._complete(None, None), waiting)

    def close(self):
        """Ends the iteration, after the values that were collected."""
        self._is_ended = True
        handlers, self._handlers = self._handlers, []
        for handler in handlers:
            self._source.disconnect(handler)
        self._wake()

    def __del__(self):
        self.close()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._values:
            if self._is_ended:
                raise StopAsyncIteration
            operation = _Wait()
            self._waiting.append(operation)
            await operation
        variant = self._values.popleft()
        return await Operation._of_value(lambda: variant)


class _Wait(Operation):
    """An operation that other code completes. When it is cancelled, it fails."""

    def __init__(self):
        self._prepare()

    def cancel(self):
        if not self._is_done:
            self._complete(None, GLib.Error.new_literal(
                Gio.io_error_quark(), "Operation was cancelled", Gio.IOErrorEnum.CANCELLED))


# The functions of the typelib

def _named(wrapper, info):
    wrapper.__name__ = info.__name__
    wrapper.__doc__ = info.__doc__
    return wrapper


def _wrap_plain(info, parameters):
    if info.can_throw_gerror():
        def wrapper(*args, **kwargs):
            try:
                return info(*parameters.bind(args, kwargs))
            except GLib.Error as error:
                raise _specific(error) from None
    else:
        def wrapper(*args, **kwargs):
            return info(*parameters.bind(args, kwargs))
    return wrapper


def _wrap_blocking(info, parameters):
    def wrapper(*args, **kwargs):
        *values, cancellable = parameters.bind(args, kwargs)
        return _call_blocking(info, values, cancellable)
    return wrapper


def _wrap_async(info, finish_name, parameters, source):
    """SOURCE is the class of a function that is no method."""
    parameters.drop_callback()
    n_parameters = len(parameters.names)

    def wrapper(*args, **kwargs):
        callback = args[n_parameters:] or (kwargs.pop("callback", None),)
        if "user_data" in kwargs:
            callback += (kwargs.pop("user_data"),)
        *values, cancellable = parameters.bind(args[:n_parameters], kwargs)
        if callback[0] is not None:
            return info(*values, cancellable, *callback)
        finish_source = values[0] if info.is_method() else source
        return Operation._of_function(info, getattr(finish_source, finish_name), values,
                                      cancellable)
    return wrapper


def _wrap_functions(raw):
    """The functions of a class of the typelib, with checks and awaitable: name → attribute."""
    infos = {info.__name__: info for info in raw.__info__.get_methods()}
    wrapped = {}
    for name, info in infos.items():
        parameters = _Parameters(info)
        if f"{name}_async" in infos:
            wrapper = _wrap_blocking(info, parameters)
        elif name.endswith("_async"):
            wrapper = _wrap_async(info, f"{name[:-6]}_finish", parameters, raw)
        elif info.can_throw_gerror() or any(check for check, _ in parameters.checks):
            wrapper = _wrap_plain(info, parameters)
        else:
            continue
        _named(wrapper, info)
        if info.is_constructor():
            wrapper = classmethod(wrapper)
        elif not info.is_method():
            wrapper = staticmethod(wrapper)
        wrapped[name] = wrapper
    return wrapped


def _wrap_module_function(info):
    return _named(_wrap_plain(info, _Parameters(info)), info)


def _make_init(cls):
    """A constructor that checks the properties it is given: PyGObject makes numbers of a bool."""
    checks = {}
    for spec in cls.list_properties():
        check = {"gboolean": _check_bool, "gchararray": _check_optional_str}.get(
            spec.value_type.name)
        if check is None and spec.value_type.fundamental in _NUMBERS:
            check = _check_int
        checks[spec.name.replace("-", "_")] = check

    def __init__(self, **properties):
        for name, value in properties.items():
            check = checks.get(name)
            if check is not None:
                check(value, name)
        super(cls, self).__init__(**properties)
    return __init__


def _override(cls):
    """A class of this file, with the functions of its base that it does not define itself."""
    override(cls)
    cls.__init__ = _make_init(cls)
    for name, attribute in _wrap_functions(cls.__base__).items():
        if name not in vars(cls):
            setattr(cls, name, attribute)
    __all__.append(cls.__name__)
    return cls


def _add_calls(cls):
    """The functions for calls and jobs, which AFork.Rpc and AFork.Pool both have."""
    raw = cls.__base__

    def call(self, args=None, cancellable=None):
        """Calls the function of the worker, waits, and returns its result.

        args is a Python value, and so is the result. If args is a GLib.Variant, the result is a
        GLib.Variant, too. A signal handler that raises an exception, such as KeyboardInterrupt,
        cancels the call.
        """
        result = _call_blocking(raw.call, (self, _pack(args, "args")), cancellable)
        return result if isinstance(args, GLib.Variant) else _unpack(result)

    def call_async(self, args=None, cancellable=None, callback=None, *user_data):
        """Calls the function of the worker. Returns an AFork.Operation, whose result is that of
        call().

        With a callback, returns None, and call_finish() returns a GLib.Variant.
        """
        variant = _pack(args, "args")
        _check_cancellable(cancellable, "cancellable")
        if callback is not None:
            return raw.call_async(self, variant, cancellable, callback, *user_data)
        return Operation._of_function(raw.call_async, self.call_finish, (self, variant),
                                      cancellable, unpacks=not isinstance(args, GLib.Variant))

    def run_job(self, job, cancellable=None):
        """Runs a job, waits, and returns its result.

        The result is a Python value if the job was made of one by AFork.Job.new(), and otherwise a
        GLib.Variant. A signal handler that raises an exception cancels the job.
        """
        _check_job(job)
        result = _call_blocking(raw.run_job, (self, job), cancellable)
        return _unpack(result) if job._has_python_args else result

    def run_job_async(self, job, cancellable=None, callback=None, *user_data):
        """Runs a job. Returns an AFork.Operation, whose result is that of run_job().

        With a callback, returns None, and run_job_finish() returns a GLib.Variant.
        """
        _check_job(job)
        _check_cancellable(cancellable, "cancellable")
        if callback is not None:
            return raw.run_job_async(self, job, cancellable, callback, *user_data)
        return Operation._of_function(raw.run_job_async, self.run_job_finish, (self, job),
                                      cancellable, unpacks=job._has_python_args)

    for function in (call, call_async, run_job, run_job_async):
        function.__qualname__ = f"{cls.__name__}.{function.__name__}"
        setattr(cls, function.__name__, function)
    return cls


def _check_job(job):
    if not isinstance(job, Job):
        raise _wrong_type("job", "an AFork.Job", job)


@_override
class Process(AFork.Process):
    """A process: it is prepared step by step, and then run. See AFork.Process in the manual.

    Preparation is queued and done in order, and each function returns the process:

        process = AFork.Process.new().require("module").send("text", b"bytes", file)
        connection = process.run("function")

    A process that is not run is a template: fork() makes another one that has been prepared so far.

    `with` and `async with` end the process and wait for its exit: a process that was run may end by
    itself, unless the block has raised an exception; others are made to exit.
    """

    def send(self, *items):
        """Queues items for the function of the process.

        A str arrives as a string; bytes, bytearray, memoryview and GLib.Bytes arrive as bytes; of
        an object with fileno(), such as a file or a socket, a duplicate of the descriptor arrives.
        Raises TypeError for anything else, and then queues none of the items. Use send_fd() for a
        descriptor that is a number. Returns the process.
        """
        steps = [self._get_step(item, i) for i, item in enumerate(items)]
        for step, item in steps:
            step(self, item)
        return self

    @staticmethod
    def _get_step(item, i):
        if isinstance(item, str):
            return AFork.Process.send_arg, _check_nul(item, f"items[{i}]")
        if isinstance(item, (bytes, bytearray, memoryview, GLib.Bytes)):
            return AFork.Process.send_bytes, _check_bytes(item, f"items[{i}]")
        if hasattr(item, "fileno"):
            return AFork.Process.send_fd, _check_fd(item, f"items[{i}]")
        raise _wrong_type(f"items[{i}]", "a str, bytes or an object with fileno()", item)

    def _begin_exit(self, has_failed):
        if has_failed or self.get_state() != AFork.ProcessState.RUNNING:
            self.force_exit()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self._begin_exit(exc_type is not None)
        self.wait()

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc_value, traceback):
        self._begin_exit(exc_type is not None)
        await self.wait_async()


@_override
@_add_calls
class Rpc(AFork.Rpc):
    """Calls to one worker. See AFork.Rpc in the manual.

        with AFork.Rpc.new(process, "module:function") as rpc:
            print(rpc.call({"size": 128, "names": ["a", "b"]}))

    `with` and `async with` close the object, which lets the worker exit when all calls have ended.
    """

    def events(self):
        """Returns an AFork.Events: the events that the worker emits, as Python values."""
        events = Events(self, "event")._end_with("closed")
        if self.get_process().get_state() == AFork.ProcessState.EXITED:
            events.close()
        return events

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        try:
            self.close()
        except GLib.Error:
            if exc_type is None:
                raise

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc_value, traceback):
        try:
            await self.close_async()
        except GLib.Error:
            if exc_type is None:
                raise


@_override
@_add_calls
class Pool(AFork.Pool):
    """Many workers and one queue of jobs. See AFork.Pool in the manual.

        async with AFork.Pool.new(process, "module:function") as pool:
            async for job in pool.map(["a", "b", "c"]):
                print(job.unpack())

    `with` and `async with` shut the pool down: all jobs are run, or aborted if the block has raised
    an exception.
    """

    _was_shut_down = False

    def map(self, items, flags=AFork.MapFlags.ORDERED):
        """Has the pool run a job for each of the items. Returns an AFork.Map: its jobs, as they
        end.

        items is a list or another iterable, of which a list is made, or a GLib.Variant of an array.
        """
        if not isinstance(items, GLib.Variant):
            if isinstance(items, (str, bytes, bytearray, dict)) or not hasattr(items, "__iter__"):
                raise _wrong_type("items", "a list or another iterable", items)
            items = _pack_items(list(items))
        return AFork.Pool.map(self, items, _check_int(flags, "flags"))

    def events(self):
        """Returns an AFork.Events: the events that the workers emit, as Python values. It ends when
        the pool was shut down, by shutdown() or shutdown_async()."""
        events = Events(self, "event")
        if self._was_shut_down:
            events.close()
        if not hasattr(self, "_events"):
            self._events = weakref.WeakSet()
        self._events.add(events)
        return events

    def shutdown(self, mode, cancellable=None):
        """Runs all jobs, or lets them fail, and waits until all workers have exited.

        A signal handler that raises an exception ends the wait, and the shutdown goes on.
        """
        _check_int(mode, "mode")
        _check_cancellable(cancellable, "cancellable")
        try:
            result = _call_blocking(AFork.Pool.shutdown, (self, mode), cancellable)
        except BaseException:
            self._end_events_later(mode)
            raise
        self._end_events()
        return result

    def shutdown_finish(self, result):
        """Ends an operation that shutdown_async() has begun."""
        try:
            finished = AFork.Pool.shutdown_finish(self, result)
        except GLib.Error as error:
            self._end_events_later(AFork.ShutdownMode.DRAIN)
            raise _specific(error) from None
        self._end_events()
        return finished

    def _end_events_later(self, mode):
        """A wait for the shutdown has ended, and the shutdown goes on."""
        AFork.Pool.shutdown_async(self, mode, None, lambda self, result: self._end_events())

    def _end_events(self):
        self._was_shut_down = True
        _call_all(Events.close, list(getattr(self, "_events", ())))

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.shutdown(_get_shutdown_mode(exc_type))

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc_value, traceback):
        await self.shutdown_async(_get_shutdown_mode(exc_type))


def _get_shutdown_mode(exc_type):
    return AFork.ShutdownMode.DRAIN if exc_type is None else AFork.ShutdownMode.ABORT


@_override
class Map(AFork.Map):
    """The jobs for many items, as they end: an iterator for `for`, which blocks, and `async for`.

    See AFork.Pool.map() and AFork.Job.unpack(). Close a map that is not needed any more: `with` and
    `async with` do so.
    """

    def __iter__(self):
        return self

    def __next__(self):
        job = self.next()
        if job is None:
            raise StopIteration
        return job

    def __aiter__(self):
        return self

    async def __anext__(self):
        job = await self.next_async()
        if job is None:
            raise StopAsyncIteration
        return job

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc_value, traceback):
        self.close()


def _view(blob, is_writable):
    if _afork is None:
        return memoryview(bytearray(blob.get_data()))
    return _afork.view(AFork.bindings_get_bytes_address(blob), writable=is_writable)


def _open(fds, index):
    fd = fds.get(index)
    try:
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        mode = {os.O_RDONLY: "rb", os.O_WRONLY: "wb"}.get(access, "r+b")
        return open(fd, mode, buffering=0)
    except BaseException:
        os.close(fd)
        raise


def _has_ended(job):
    return job.get_state() >= AFork.JobState.SUCCEEDED


@_override
class Job(AFork.Job):
    """A call with more features: a timeout, progress, descriptors, blobs. See AFork.Job in the
    manual."""

    _has_python_args = False

    @classmethod
    def new(cls, args=None, *, fds=(), blobs=(), **properties):
        """Makes a job.

        args is a Python value, or a GLib.Variant. In the first case, the result of running the job
        is a Python value, too. fds are descriptors that go with the job, or objects with fileno(),
        and blobs are bytes. They are given to the function apart from args. Other parameters are
        properties: timeout, priority, key, retries, coalesce.
        """
        is_native = not isinstance(args, GLib.Variant)
        job = cls(args=_pack(args, "args") if is_native else args, **properties)
        if fds:
            job.set_fds(fds)
        for i, blob in enumerate(blobs):
            AFork.Job.add_blob(job, _check_bytes(blob, f"blobs[{i}]"))
        if is_native:
            job._has_python_args = True
        return job

    def set_fds(self, fds):
        """Sets the descriptors that go with the job: a list of descriptors or of objects with
        fileno(), which are duplicated; a Gio.UnixFDList; or None."""
        if fds is not None and not isinstance(fds, Gio.UnixFDList):
            if isinstance(fds, (str, bytes, bytearray)) or not hasattr(fds, "__iter__"):
                raise _wrong_type("fds", "a list of descriptors", fds)
            numbers = [_check_fd(fd, f"fds[{i}]") for i, fd in enumerate(fds)]
            fds = Gio.UnixFDList.new()
            for number in numbers:
                fds.append(number)
        AFork.Job.set_fds(self, fds)

    def unpack(self):
        """The result of a job that has ended, as a Python value. Raises its error if it failed, and
        RuntimeError if it has not ended."""
        return _unpack(self._get_variant())

    def unpack_async(self):
        """The same as an AFork.Operation: a large result is converted in steps, so that the main
        loop goes on."""
        return Operation._of_value(self._get_variant)

    def _get_variant(self):
        error = AFork.Job.get_error(self)
        if error is not None:
            raise _specific(error)
        result = AFork.Job.get_result(self)
        if result is None:
            raise RuntimeError("The job has not ended yet")
        return result

    def get_error(self):
        """The error of a job that failed, or None."""
        error = AFork.Job.get_error(self)
        return None if error is None else _specific(error)

    def view_blobs(self):
        """The blobs that came with the result, as a list of memoryviews, without a copy.

        The program may write to them, which no other process sees.
        """
        is_writable = "AFORK_INPROCESS" not in os.environ
        return [_view(blob, is_writable) for blob in self.get_result_blobs() or ()]

    def open_fds(self):
        """The descriptors that came with the result, as a list of file objects without a buffer,
        each for a duplicate. A handle in the result is an index into the list."""
        fds = self.get_result_fds()
        return [] if fds is None else [_open(fds, i) for i in range(fds.get_length())]

    def reports(self):
        """Returns an AFork.Events: the progress that the worker reports of this job, as Python
        values. Call this before the job is run."""
        events = Events(self, "progress")._end_with("notify::state", _has_ended)
        if _has_ended(self):
            events.close()
        return events


@_override
class PoolWorker(AFork.PoolWorker):
    """A worker of a pool. See AFork.PoolWorker in the manual."""


@_override
class Runtime(AFork.Runtime):
    """What a process executes. See AFork.Runtime in the manual."""


@_override
class Sandbox(AFork.Sandbox):
    """What a process may use and do. See AFork.Sandbox in the manual.

        sandbox = AFork.Sandbox(network=False, read_paths=[], write_paths=[], memory=1 << 30)
        process.restrict(sandbox)
    """


# The runtime of programs in Python

def _is_interpreter(executable):
    """Whether a file is an interpreter, by its name. In a program that embeds Python or was frozen,
    sys.executable may be the program itself, which must not be executed again."""
    return re.fullmatch(r"python(\d[\w.-]*)?", os.path.basename(os.path.realpath(executable)))


def _set_interpreter(runtime, has_options=True):
    """Has the runtime execute the interpreter of this program, with the same options, which then
    searches for modules where this program does. Returns whether this program is an interpreter,
    and not one that embeds Python."""
    if not sys.executable or not _is_interpreter(sys.executable):
        return False
    options = []
    if has_options:
        from subprocess import _args_from_interpreter_flags
        options = _args_from_interpreter_flags()
    path = [os.path.abspath(folder) for folder in sys.path if isinstance(folder, str)]
    return runtime.set_interpreter(sys.executable, options, path)


def _set_default_runtime():
    python = AFork.Runtime.get_python()
    if (_set_interpreter(python, False)
            and AFork.Runtime.get_default() == AFork.Runtime.get_native()):
        AFork.Runtime.set_default(python)
    python.connect("launching", _set_interpreter)


_set_default_runtime()


early = _wrap_module_function(AFork.early)
worker_emit = _wrap_module_function(AFork.worker_emit)
__all__ += ["early", "worker_emit"]


# The executor. Its module imports concurrent.futures and multiprocessing, which a worker, for
# example, does not need. So it is imported when the program uses the name AFork.Executor first.

class _Executor:
    def __get__(self, module, module_type):
        from gi.overrides._afork_executor import Executor

        if module is not None:
            module.__dict__["Executor"] = Executor
        return Executor


type(sys.modules["gi.repository.AFork"]).Executor = _Executor()
