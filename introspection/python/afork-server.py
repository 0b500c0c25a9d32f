# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The server of AFork's Python runtime, which its processes execute.

afork-server.py [--protocol=VERSION] [--socket=NUMBER]

The command socket is descriptor NUMBER, or standard input. VERSION is that of the caller's
protocol, for the error if AFork cannot be loaded here.
"""

import atexit
import gc
import os
import signal
import sys

AFORK_ERROR = "afork-error-quark"

# A failure of a command has at most this many bytes. The rest is for what the C part adds.
MAX_FAILURE = 3800
# The failure of a call may be much longer. Of a message that has more bytes, both ends are kept.
MAX_CALL_FAILURE = 256 * 1024
MAX_MESSAGE = 1000


# Starting

def take_socket(number):
    """The command socket. Standard output, if that is the socket too, becomes standard error."""
    import fcntl

    if number != 0:
        return number
    moved = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return moved


def parse_arguments():
    options = {"--protocol": 0, "--socket": 0}
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        if name not in options or not value.isdecimal():
            sys.exit("afork-server.py is started by programs that use AFork, and serves them on a "
                     "socket: its standard input, or with --socket=N descriptor N.")
        options[name] = int(value)
    return options["--protocol"], options["--socket"]


def clean(text):
    """The text as messages can have it: without surrogates that are alone, and null characters."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def refuse(number, protocol, text):
    """Sends a caller, who waits for HELLO, why this process cannot serve, and exits.

    The layout of the two frames is described in wire/afork-frame.h.
    """
    HELLO, ERROR, SPAWN, EXIT_BASE = 64, 67, 8, 110

    def string(value):
        data = clean(value).encode()
        return len(data).to_bytes(4, "little") + data + b"\0"

    def frame(kind, payload):
        return len(payload).to_bytes(4, "little") + bytes([kind, 0, 0, 0]) + payload

    data = (frame(HELLO, string("AFork") + protocol.to_bytes(4, "little"))
            + frame(ERROR, SPAWN.to_bytes(4, "little") + string(text)))
    while data:
        data = data[os.write(number, data):]
    os._exit(EXIT_BASE + SPAWN)


def find_uninstalled():
    """In the build tree, AFork's modules for Python are in the folders of this file."""
    for path in os.path.abspath(__file__), os.path.realpath(__file__):
        folder = os.path.dirname(path)
        if os.path.isdir(os.path.join(folder, "gi", "overrides")) and folder not in sys.path[1:]:
            sys.path.append(folder)


def start():
    """Imports what this file needs of PyGObject. Returns it and the number of the socket."""
    protocol, number = parse_arguments()
    number = take_socket(number)
    find_uninstalled()
    try:
        import gi

        # Folders of overrides alone are a package, too.
        gi.require_version
    except (AttributeError, ImportError) as error:
        refuse(number, protocol,
               f"The Python of the worker, {sys.executable}, has no PyGObject: {error}. A virtual "
               "environment has that of the system if it was made with --system-site-packages")
    try:
        gi.require_version("AFork", "1")
        from gi.repository import AFork, GLib, GObject, Gio
        from gi.overrides import _afork
    except (ImportError, ValueError) as error:
        refuse(number, protocol,
               f"The Python of the worker, {sys.executable}, cannot load AFork: {error}")
    _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                             AFork.bindings_take_variant)
    return AFork, GLib, GObject, Gio, _afork, number


AFork, GLib, GObject, Gio, _afork, SOCKET = start()

# What all workers need, or what an error needs, is imported once, in the template.
import importlib
import linecache
import socket
import threading
import traceback
import types


def become_module():
    """What workers see as __main__ is a module of their own, and not this file."""
    this = sys.modules["__main__"]
    this.__name__ = "afork_server"
    sys.modules["afork_server"] = this
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    # The caller's program has no arguments here.
    sys.argv = [""]
    # The folder of this file is none of theirs, either.
    if sys.path and sys.path[0] == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]


# Errors

def shorten(text, most=MAX_MESSAGE):
    """The text with a gap in its middle, if it has more bytes than that."""
    data = clean(text).encode()
    if len(data) <= most:
        return data.decode()
    start = data[:most * 3 // 4].decode(errors="ignore")
    end = data[-most // 4:].decode(errors="ignore")
    return f"{start} […] {end}"


def strip(tb):
    """The traceback without the frames of this file and of importlib at its start."""
    while tb is not None and is_ours(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def is_ours(filename):
    return filename in (__file__, importlib.__file__) or filename.startswith("<frozen importlib")


def describe(error):
    """`Type: message`, without an end of line. Never fails, whatever the error does."""
    try:
        lines = traceback.format_exception_only(type(error), error)
        return shorten("".join(lines).rstrip("\n"))
    except BaseException:
        return f"{type(error).__name__}: its text cannot be shown"


def format_stack(error, most):
    """The frames of a traceback, without those of importlib. Of a long one, the end."""
    try:
        summary = traceback.extract_tb(strip(error.__traceback__))
        frames = [frame for frame in summary if not is_ours(frame.filename)]
        lines = traceback.StackSummary.from_list(frames).format()
    except BaseException:
        return "", most
    kept = []
    for line in reversed(lines):
        line = shorten(line)
        size = len(line.encode())
        if most < size:
            kept.append("  […]\n")
            break
        most -= size
        kept.append(line)
    return "".join(reversed(kept)), most


def format_error(error, most):
    """The text of an exception: `Type: message`, then its traceback, then those of its causes."""
    parts = []
    seen = set()
    introduction = ""
    while error is not None and id(error) not in seen and most > 0:
        seen.add(id(error))
        head = introduction + describe(error)
        most -= len(head.encode())
        stack, most = format_stack(error, most)
        parts.append(head)
        if stack:
            parts.append("Traceback (most recent call last):\n" + stack.rstrip("\n"))
        if error.__cause__ is not None:
            introduction, error = "It was caused by ", error.__cause__
        elif not error.__suppress_context__:
            introduction, error = "It was raised while another was handled: ", error.__context__
        else:
            error = None
    return "\n".join(parts)


def new_failure(what, error, code):
    """The error of a command that has raised ERROR."""
    what = shorten(what, 500)
    text = format_error(error, MAX_FAILURE - len(what.encode()))
    return GLib.Error(f"{what}: {text}", AFORK_ERROR, code)


def new_call_error(error):
    """The error of a call that has raised ERROR."""
    if isinstance(error, GLib.Error):
        return error
    return GLib.Error(format_error(error, MAX_CALL_FAILURE), AFORK_ERROR, AFork.Error.EXCEPTION)


def print_error(error):
    """Prints an error as the interpreter does if no code catches it."""
    try:
        error.__traceback__ = strip(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:
        sys.__excepthook__(type(error), error, error.__traceback__)


# Threads

# What starts the threads that libraries of GNOME give these names.
STARTERS = {
    "gmain": "GLib.unix_signal_add(), Gio.Subprocess, a file monitor, or an asynchronous function "
             "of Gio",
    "gdbus": "a D-Bus connection, for example by Gio.bus_get() or Gio.Application.register()",
    "dconf worker": "Gio.Settings",
    "pool-spawner": "an asynchronous function of Gio",
}


def list_threads():
    """The other threads of this process: number → name in the kernel."""
    threads = {}
    for number in os.listdir("/proc/self/task"):
        if int(number) == os.getpid():
            continue
        try:
            with open(f"/proc/self/task/{number}/comm", encoding="utf-8", errors="replace") as file:
                threads[int(number)] = file.read().rstrip("\n")
        except OSError:
            pass
    return threads


def describe_stack(thread):
    """What a thread of Python does: the function that it was started with."""
    frame = sys._current_frames().get(thread.ident)
    found = None
    while frame is not None:
        filename = frame.f_code.co_filename
        if os.path.basename(filename) != "threading.py":
            found = f" in {frame.f_code.co_name}() of {filename}, line {frame.f_lineno}"
        frame = frame.f_back
    return found or ""


def describe_thread(number, name, python_threads):
    thread = python_threads.get(number)
    if thread is not None:
        return f"Python's thread “{thread.name}”{describe_stack(thread)}"
    if name.startswith("pool-") and name not in STARTERS:
        starter = "an asynchronous function of Gio, such as Gio.File.load_contents_async()"
    else:
        starter = STARTERS.get(name)
    if starter is not None:
        return f"“{name}”, which was probably started by {starter}"
    return f"“{name}” of a library"


# Finding functions

class NotFound(Exception):
    pass


class Functions:
    """The functions that were found, by their numbers, and the modules that were required."""

    def __init__(self):
        self._modules = []          # the newest last
        self._found = [None]

    def add_module(self, module):
        if module in self._modules:
            self._modules.remove(module)
        self._modules.append(module)

    def find(self, name):
        module_name, colon, path = name.rpartition(":")
        if colon:
            modules = [importlib.import_module(module_name or "__main__")]
        else:
            modules = reversed(self._modules)
        for module in modules:
            try:
                found = get_attribute(module, path)
            except AttributeError:
                continue
            if not callable(found):
                raise NotFound(f"“{name}” is not a function, but of type "
                               f"{type(found).__name__}")
            return found
        if colon:
            where = f"module “{module_name or '__main__'}”"
        elif self._modules:
            where = "the modules that have been loaded, nor in the code that was evaluated"
        else:
            raise NotFound(f"There is no function “{name}”, because no module has been loaded. "
                           "The name of a function in a module is package.module:function")
        raise NotFound(f"There is no function “{name}” in {where}")

    def number(self, function):
        self._found.append(function)
        return len(self._found) - 1

    def __getitem__(self, number):
        return self._found[number]

    def __iter__(self):
        return iter(self._found[1:])


def new_loader(path, name, is_copy):
    """The loader of a source file, or None to have importlib choose it by the suffix."""
    from importlib import machinery

    class CopyLoader(machinery.SourceFileLoader):
        """Neither reads nor writes bytecode: it would stay beside the copy, and not be checked."""

        def path_stats(self, path):
            raise OSError

    suffixes = set(machinery.all_suffixes()) - set(machinery.SOURCE_SUFFIXES)
    if path.endswith(tuple(suffixes)):
        return None
    return (CopyLoader if is_copy else machinery.SourceFileLoader)(name, path)


def import_file(path, name, is_copy):
    """Imports the file at a path as the module of that name, as `import` would."""
    from importlib import util

    loaded = sys.modules.get(name)
    if loaded is not None:
        if getattr(loaded, "__file__", None) == path:
            return loaded
        raise ImportError(f"there is already another module “{name}” in the process: {loaded!r}")
    if "." in name:
        raise ImportError(f"“{name}” cannot be the name of a module, because it has a point")

    spec = util.spec_from_file_location(name, path, loader=new_loader(path, name, is_copy))
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    # A module may replace itself.
    return sys.modules.get(name, module)


def get_attribute(module, path):
    found = module
    for name in path.split("."):
        found = getattr(found, name)
    return found


# Calls

def pack(value, name):
    """The GLib.Variant for a value of Python. NAME is for errors."""
    if isinstance(value, GLib.Variant):
        return value
    return AFork.bindings_take_variant(_afork.pack(value, name))


def unpack(variant):
    return _afork.unpack(AFork.bindings_get_variant_address(variant))


def view(blob):
    """The bytes of a blob that has come with a call, without a copy. They can be written to."""
    return _afork.view(AFork.bindings_get_bytes_address(blob), writable=True)


def open_fd(fd):
    """A file object for a copy of a descriptor, without a buffer."""
    import fcntl

    access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    mode = {os.O_RDONLY: "rb", os.O_WRONLY: "wb"}.get(access, "r+b")
    return open(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3), mode, buffering=0)


class Call:
    """A call, for the function that serves it, which gets it as its first argument."""

    __slots__ = ("_call", "_blobs", "_files", "_fds")

    def __init__(self, call):
        self._call = call
        self._blobs = None
        self._files = None
        self._fds = None            # those of the result

    @property
    def call(self):
        """The AFork.Call, for what is not here."""
        return self._call

    @property
    def cancelled(self):
        """Whether the caller does not want the result any more."""
        return self._call.get_cancellable().is_cancelled()

    @property
    def cancellable(self):
        """A Gio.Cancellable that is cancelled with the call, for functions of GIO."""
        return self._call.get_cancellable()

    def check(self):
        """Raises G_IO_ERROR_CANCELLED if the caller does not want the result any more."""
        self._call.get_cancellable().set_error_if_cancelled()

    def report(self, progress):
        """Reports progress to the caller. Raises G_IO_ERROR_CANCELLED as check() does."""
        self.check()
        self._call.report(pack(progress, "progress"))

    @property
    def blobs(self):
        """The blobs that came with the call, as a list of memoryviews, which can be written to."""
        if self._blobs is None:
            self._blobs = [view(blob) for blob in self._call.get_blobs() or []]
        return self._blobs

    @property
    def files(self):
        """The descriptors that came with the call, as a list of file objects without a buffer."""
        if self._files is None:
            fds = self._call.get_fds()
            self._files = [open_fd(fd) for fd in fds.peek_fds()] if fds is not None else []
        return self._files

    def add_blob(self, data):
        """Adds bytes to the result. Returns their index."""
        return self._call.add_result_blob(GLib.Bytes.new(bytes(data)))

    def add_file(self, file):
        """Adds a copy of a descriptor to the result: a number, or an object with fileno(). Returns
        its index."""
        if self._fds is None:
            self._fds = Gio.UnixFDList.new()
        return self._fds.append(file if isinstance(file, int) else file.fileno())

    def _return(self, value):
        self._call.return_value(pack(value, "result"), self._fds)


async def guard(coroutine):
    """What a coroutine returns, and what it raises. A loop would end because of SystemExit."""
    try:
        return await coroutine, None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return None, error


def is_coroutine(value):
    """A generator has send() and throw(), too, but cannot be awaited."""
    return all(hasattr(value, name) for name in ("send", "throw", "__await__"))


def get_loop():
    """The event loop of asyncio that iterates the default main context, or None."""
    try:
        from gi.events import GLibEventLoopPolicy
    except ImportError:
        return None
    import asyncio

    policy = asyncio.get_event_loop_policy()
    if not isinstance(policy, GLibEventLoopPolicy):
        policy = GLibEventLoopPolicy()
        asyncio.set_event_loop_policy(policy)
    return policy.get_event_loop()


class ConcurrentCall:
    """A call that is served by a coroutine, while others are."""

    _all = set()

    def __init__(self, call, coroutine):
        self._call = call
        self._cancellable = call.cancellable
        self._handler = GObject.Object.connect(self._cancellable, "cancelled",
                                               lambda cancellable: self._cancel())
        self._all.add(self)
        loop = get_loop()
        if loop is not None:
            self._task = loop.create_task(guard(coroutine))
        else:
            self._task = AFork.spawn(guard(coroutine))
        self._task.add_done_callback(self._done_cb)
        if self._cancellable.is_cancelled():
            self._cancel()

    def _cancel(self):
        self._task.cancel()

    def _done_cb(self, task):
        GObject.Object.disconnect(self._cancellable, self._handler)
        self._all.discard(self)
        try:
            value, error = task.result()
        except KeyboardInterrupt:
            raise
        except BaseException as failure:
            value, error = None, failure
        answer(self._call, value, error)


def answer(call, value, error):
    if error is None:
        try:
            call._return(value)
            return
        except BaseException as failure:
            error = failure
    call.call.return_error(new_call_error(error))


# The server

def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def get_exit_status(error):
    """The exit status for SystemExit, as the interpreter has it."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xff
    print(error.code, file=sys.stderr)
    return 1


class Server(AFork.Server):
    """What AForkServer leaves to the language."""

    __gtype_name__ = "AForkPythonServer"

    def __init__(self):
        super().__init__()
        self._functions = Functions()
        self._n_evals = 0
        self._threads = {}          # number → the command after which it was first there
        self._was_run = False
        self._interrupted = False
        self._can_interrupt = None

    # Commands

    def do_set_module_path(self, directories):
        sys.path[:] = directories + [path for path in sys.path if path not in directories]
        return True

    def _import(self, name, function, *args):
        try:
            self._functions.add_module(function(*args))
        except BaseException as error:
            raise new_failure(f"Module “{name}” could not be imported", error,
                              AFork.Error.MODULE) from None
        finally:
            self._end_command(f"module “{name}” was imported")
        return True

    def do_require(self, name):
        return self._import(name, importlib.import_module, name)

    def do_require_file(self, path, name):
        # The copy of a file of another host is named by its content.
        is_copy = os.path.basename(path) != name
        return self._import(name, import_file, path, name.removesuffix(".py"), is_copy)

    def do_eval(self, code, args):
        main = sys.modules["__main__"]
        self._n_evals += 1
        filename = f"<eval {self._n_evals}>"
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        main.args = args
        try:
            exec(compile(code, filename, "exec", dont_inherit=True), main.__dict__)
            self._functions.add_module(main)
        except BaseException as error:
            raise new_failure("The code could not be run", error, AFork.Error.EVAL) from None
        finally:
            self._end_command("code was evaluated")
        return True

    def do_call(self, name, args):
        try:
            function = self._functions.find(name)
        except NotFound as error:
            raise GLib.Error(shorten(str(error)), AFORK_ERROR, AFork.Error.FUNCTION) from None
        except BaseException as error:
            raise new_failure(f"“{name}” could not be found", error,
                              AFork.Error.FUNCTION) from None
        try:
            function(*args)
        except BaseException as error:
            raise new_failure(f"“{name}” has failed", error, AFork.Error.FUNCTION) from None
        finally:
            self._end_command(f"“{name}” was called")
        return True

    def do_set_variable(self, name, value):
        if value is None:
            os.environb.pop(name.get_data(), None)
        else:
            os.environb[name.get_data()] = value.get_data()
        return True

    def _end_command(self, what):
        """Writes what the code has printed, or each fork would write it again. Notes what the code
        was if it has left a thread: the process cannot be forked any more."""
        flush()
        if os.stat("/proc/self/task").st_nlink > 3:
            for number in list_threads():
                self._threads.setdefault(number, what)

    # Forks

    def do_describe_threads(self):
        python_threads = {thread.native_id: thread for thread in threading.enumerate()}
        sentences = []
        for number, name in list_threads().items():
            sentence = describe_thread(number, name, python_threads)
            if number in self._threads:
                sentence += f"; it was there after {self._threads[number]}"
            sentences.append(sentence)
        return shorten("; ".join(sentences), 2000)

    def do_fork(self):
        # What is frozen is not touched by the collector, so that forks share its memory.
        gc.freeze()
        try:
            return os.fork()
        except OSError as error:
            return -error.errno

    def do_forked(self):
        # Handlers that are registered from now on run when this process exits. Those of the
        # template would undo what the template has set up.
        atexit._clear()
        if "multiprocessing.util" in sys.modules:
            atexit.register(sys.modules["multiprocessing.util"]._exit_function)
        if "logging" in sys.modules:
            atexit.register(sys.modules["logging"].shutdown)
        # The interpreter reseeds `random`, and it does not know this one.
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()
        # In Python 3.11, this is the number of the template.
        if hasattr(threading.Thread, "_set_native_id"):
            threading.main_thread()._set_native_id()
        self._threads = {}

    # Running

    def do_find(self, name):
        try:
            return self._functions.number(self._functions.find(name))
        except NotFound as error:
            raise GLib.Error(shorten(str(error)), AFORK_ERROR, AFork.Error.FUNCTION) from None
        except BaseException as error:
            raise new_failure(f"The module of “{name}” could not be imported", error,
                              AFork.Error.FUNCTION) from None

    def _get_items(self):
        items = []
        for i in range(self.get_n_items()):
            item = self.dup_item(i)
            if item is None:
                items.append(self.get_item_fd(i))
            elif self.get_item_is_string(i):
                items.append(os.fsdecode(item.get_data()))
            else:
                items.append(item.get_data())
        return items

    def _run(self, function, *args):
        """Calls a function as the interpreter runs a program. Returns the exit status."""
        self._was_run = True
        try:
            restore_signals()
            result = function(*args)
            if is_coroutine(result):
                import asyncio

                asyncio.run(result)
            return 0
        except SystemExit as error:
            return get_exit_status(error)
        except KeyboardInterrupt as error:
            self._interrupted = True
            print_error(error)
        except BaseException as error:
            print_error(error)
        return 1

    def do_enter(self, number, fd):
        return self._run(self._functions[number], socket.socket(fileno=fd), *self._get_items())

    def do_before_exec(self):
        # The interpreter ignores these, and a program would, too.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        flush()

    def do_leave(self, status):
        try:
            # Threads of a template may go on for ever.
            if self._was_run:
                threading._shutdown()
        except KeyboardInterrupt as error:
            self._interrupted = True
            print_error(error)
        except BaseException as error:
            print_error(error)
        try:
            atexit._run_exitfuncs()
        except BaseException as error:
            print_error(error)
        flush()
        if self._interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)

    # Calls

    def do_init_calls(self, number):
        self._was_run = True
        restore_signals()
        try:
            self._accept_interrupt()
            self._functions[number](*self._get_items())
        except BaseException as error:
            raise new_call_error(error) from None
        finally:
            self._refuse_interrupt()
            flush()
        return True

    def do_serve(self, number, call, args):
        self._was_run = True
        wrapped = Call(call)
        try:
            self._accept_interrupt()
            try:
                value = self._functions[number](wrapped, unpack(args))
                if is_coroutine(value):
                    value = run_coroutine(value)
                if wrapped._fds is None:
                    return pack(value, "result")
                wrapped._return(value)
                return None
            finally:
                self._refuse_interrupt()
        except KeyboardInterrupt as error:
            self._interrupt(error)
        except BaseException as error:
            raise new_call_error(error) from None

    # Between calls, SIGINT ends the process at once: the interpreter would raise KeyboardInterrupt
    # only in the next call.

    def _accept_interrupt(self):
        if self._can_interrupt is None:
            self._can_interrupt = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._can_interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _refuse_interrupt(self):
        if self._can_interrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def do_serve_concurrently(self, number, call, args):
        self._was_run = True
        wrapped = Call(call)
        try:
            value = self._functions[number](wrapped, unpack(args))
            if is_coroutine(value):
                ConcurrentCall(wrapped, value)
                return
        except KeyboardInterrupt as error:
            self._interrupt(error)
            return
        except BaseException as error:
            answer(wrapped, None, error)
            return
        answer(wrapped, value, None)

    def _interrupt(self, error):
        """Ends the process after KeyboardInterrupt."""
        print_error(error)
        self._interrupted = True
        self.do_leave(1)

    def do_run_loop(self, loop):
        restore_signals()
        try:
            if any(is_coroutine_function(function) for function in self._functions):
                get_loop()
            # This is PyGObject's function, which handles SIGINT, and has asyncio know of the loop.
            loop.run()
        except KeyboardInterrupt as error:
            self._interrupt(error)

    def do_done_calls(self, number):
        return self._run(self._functions[number])


def is_coroutine_function(function):
    import inspect

    return (inspect.iscoroutinefunction(function)
            or inspect.iscoroutinefunction(getattr(type(function), "__call__", None)))


def restore_signals():
    """The server ignores SIGINT and SIGTERM, which the interpreter does not know."""
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if handler is not None:
            signal.signal(number, handler)


def run_coroutine(coroutine):
    """Runs a coroutine to its end, and returns its result."""
    loop = get_loop()
    if loop is not None:
        return loop.run_until_complete(coroutine)
    return AFork.run(coroutine)


if __name__ == "__main__":
    become_module()
    gc.collect()
    Server().run(SOCKET)
