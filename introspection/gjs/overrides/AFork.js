// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What AFork adds to its introspected API in JavaScript. GJS loads this file with the typelib.
//
// The API is that of the typelib, and its functions can be called as they are. In addition:
//
// * An asynchronous function without a callback returns a promise.
// * Arguments of wrong types are refused, and the TypeError names the parameter.
// * Calls and jobs take values of JavaScript and return values of JavaScript.
// * Maps and events are for `for await`.
// * All that holds processes has close() and close_async().
// * The default runtime is that of JavaScript.

/* exported _init */

'use strict';

// In a function, for the same reason as in _afork_values.js.
var _init = (function () {

const byteArray = imports.byteArray;
const {Gio, GLib, GObject} = imports.gi;
const Values = imports.overrides._afork_values;

// The types of arguments

function getTypeName(value) {
    if (value === null || typeof value !== 'object')
        return `${value === null ? null : typeof value}`;
    return value.constructor?.name ?? 'object';
}

function makeTypeError(name, expected, value) {
    return new TypeError(`${name} must be ${expected}, not ${getTypeName(value)}`);
}

function checkString(value, name) {
    if (typeof value !== 'string')
        throw makeTypeError(name, 'a string', value);
    if (value.includes('\0'))
        throw new TypeError(`${name} must not have NUL characters`);
    return value;
}

function checkStrings(value, name) {
    if (!Array.isArray(value))
        throw makeTypeError(name, 'an Array of strings', value);
    return Array.from(value, (item, i) => checkString(item, `${name}[${i}]`));
}

function checkInteger(value, name) {
    if (typeof value !== 'bigint' && !Number.isSafeInteger(value))
        throw makeTypeError(name, 'an integer', value);
    return value;
}

// What GJS would make a signed integer of 32 bits, with those above dropped.
function checkInt32(value, name) {
    checkInteger(value, name);
    if (value !== (value | 0))
        throw makeTypeError(name, 'an integer of 32 bits', value);
    return value;
}

function checkBoolean(value, name) {
    if (typeof value !== 'boolean')
        throw makeTypeError(name, 'a boolean', value);
    return value;
}

function isBytes(value) {
    return value instanceof Uint8Array || value instanceof GLib.Bytes ||
        value instanceof ArrayBuffer;
}

function checkBytes(value, name) {
    if (!isBytes(value))
        throw makeTypeError(name, 'a Uint8Array', value);
    if (value instanceof GLib.Bytes)
        return value;
    return byteArray.toGBytes(value instanceof ArrayBuffer ? new Uint8Array(value) : value);
}

function hasDescriptor(value) {
    return typeof value === 'object' && value !== null && typeof value.get_fd === 'function';
}

// The number of a descriptor. What is not one must not become descriptor 0.
function checkDescriptor(value, name) {
    const fd = hasDescriptor(value) ? value.get_fd() : value;
    if (!Number.isInteger(fd) || fd !== (fd | 0) || fd < 0)
        throw makeTypeError(name, 'a descriptor or an object with get_fd()', value);
    return fd;
}

function checkCancellable(value = null, name = 'cancellable') {
    if (value !== null && !(value instanceof Gio.Cancellable))
        throw makeTypeError(name, 'a Gio.Cancellable or null', value);
    return value;
}

function checkFile(value, name) {
    if (!(value instanceof Gio.File))
        throw makeTypeError(name, 'a Gio.File', value);
    return value;
}

const CHECKS = {
    b: checkBoolean,
    f: checkDescriptor,
    g: checkFile,
    i: checkInteger,
    n: checkInt32,
    o: value => value,
    s: checkString,
    S: checkStrings,
    y: checkBytes,
};

// The parameters of the functions, as NAME:KIND, of which those at the end with a question mark may
// be left out or null. The kinds are those above; `o` is what GJS checks. What can be cancelled has
// a cancellable behind them, and a function with the suffix _async, whose parameters are the same.
const FUNCTIONS = {
    Job: {
        add_blob: 'blob:y',
        set_coalesce: 'coalesce:b',
        set_key: 'key:s?',
        set_priority: 'priority:n',
        set_retries: 'retries:i',
        set_timeout: 'timeout:i',
    },
    Map: {
        set_look_ahead: 'look_ahead:i',
    },
    Pool: {
        add_template: 'process:o max_workers:i',
        map_jobs: 'jobs:o flags:i',
        set_adaptive: 'adaptive:b',
        set_grace: 'grace:i',
        set_load: 'load:i',
        set_max_age: 'max_age:i',
        set_max_calls: 'max_calls:i',
        set_max_memory: 'max_memory:i',
        set_max_workers: 'max_workers:i',
        set_min_idle: 'min_idle:i',
        set_quarantine_time: 'quarantine_time:i',
        set_queue_limit: 'queue_limit:i',
        set_start_delay: 'start_delay:i',
        set_stop_delay: 'stop_delay:i',
        set_timeout: 'timeout:i',
    },
    Process: {
        call: 'function:s args:S?',
        chdir: 'path:s',
        eval: 'code:s args:S?',
        map_fd: 'fd:f target:f',
        require: 'module:s',
        require_file: 'file:g',
        send_arg: 'arg:s',
        send_bytes: 'bytes:y',
        send_fd: 'fd:f',
        send_signal: 'signal:n',
        set_die_with_parent: 'die_with_parent:b',
        set_spare: 'spare:i',
        set_title: 'title:s?',
        setenv: 'name:s value:s?',
    },
    Rpc: {
        set_max_in_flight: 'max_in_flight:i',
    },
    Runtime: {
        set_argv: 'argv:S?',
        set_environ: 'environment:S?',
        set_executable: 'executable:s?',
        set_interpreter: 'executable:s? options:S? search_path:S?',
        set_keepalive: 'keepalive:i',
        set_module_path: 'module_path:S?',
        set_remote_runtime: 'name:s?',
        set_server_path: 'server_path:s?',
        set_ssh_options: 'ssh_options:S?',
        set_start_timeout: 'timeout:i',
        set_working_directory: 'working_directory:s?',
    },
    Sandbox: {
        set_best_effort: 'best_effort:b',
        set_core_size: 'core_size:i',
        set_cpu_time: 'cpu_time:i',
        set_file_size: 'file_size:i',
        set_idle_scheduling: 'idle_scheduling:b',
        set_memory: 'memory:i',
        set_network: 'network:b',
        set_nice: 'nice:n',
        set_oom_score_adj: 'oom_score_adj:n',
        set_open_files: 'open_files:i',
        set_processes: 'processes:i',
        set_read_paths: 'read_paths:S?',
        set_resident_memory: 'resident_memory:i',
        set_system_calls: 'system_calls:i',
        set_write_paths: 'write_paths:S?',
    },
};
const CONSTRUCTORS = {
    Pool: {new: 'process:o function:s'},
    Process: {new_from_fd: 'fd:f'},
    Rpc: {new: 'process:o function:s'},
    Runtime: {new_agent: 'name:s argv:S', new_command: 'name:s argv:S', new_ssh: 'destination:s'},
};
const CANCELLABLE = {
    Map: {next: ''},
    Pool: {call: null, run_job: null, shutdown: 'mode:i'},
    Process: {detach: '', exec: 'argv:S', run: 'function:s', wait: ''},
    Rpc: {call: null, close: '', run_job: null},
};

function parseParameters(text) {
    return text === '' ? [] : text.split(' ').map(parameter => {
        const [name, kind] = parameter.split(':');
        return {name, check: CHECKS[kind[0]], isOptional: kind.endsWith('?')};
    });
}

// The checked arguments for all parameters.
function bind(parameters, args) {
    return parameters.map(({name, check, isOptional}, i) => {
        const value = args[i];
        if (isOptional && (value === undefined || value === null))
            return null;
        return check(value, name);
    });
}

// Wrappers keep the length of the function, by which Gio._promisify() knows what a callback is.
function setFunction(object, name, wrapper) {
    const original = object[name];
    if (original !== undefined)
        Object.defineProperty(wrapper, 'length', {value: original.length});
    Object.defineProperty(wrapper, 'name', {value: name});
    object[name] = wrapper;
}

function wrapPlain(object, name, text) {
    const original = object[name];
    const parameters = parseParameters(text);
    setFunction(object, name, function (...args) {
        return original.call(this, ...bind(parameters, args), ...args.slice(parameters.length));
    });
}

function wrapBlocking(object, name, text) {
    const original = object[name];
    const parameters = parseParameters(text);
    setFunction(object, name, function (...args) {
        return original.call(this, ...bind(parameters, args),
            checkCancellable(args[parameters.length]));
    });
}

// The arguments of an asynchronous function, and its callback and what is behind that. Programs
// that make promises by Gio._promisify() give the callback in the place of arguments left out.
function splitCallback(args, first = 0) {
    const at = args.findIndex((arg, i) => typeof arg === 'function' && i >= first);
    return at < 0 ? [args, []] : [args.slice(0, at), args.slice(at)];
}

// Begins an operation. Returns a promise of its result, by way of CONVERT.
function beginOperation(source, begin, finish, args, convert = result => result) {
    const {stack} = new Error();
    return new Promise((resolve, reject) => {
        begin.call(source, ...args, (_, result) => {
            try {
                resolve(convert(finish.call(source, result)));
            } catch (error) {
                // Where the operation was begun; the callback comes from the main loop.
                if (error.stack)
                    error.stack += `### Promise created here: ###\n${stack}`;
                reject(error);
            }
        });
    });
}

function wrapAsync(object, stem, text) {
    const begin = object[`${stem}_async`];
    const finish = object[`${stem}_finish`];
    const parameters = parseParameters(text);
    const n = parameters.length;
    setFunction(object, `${stem}_async`, function (...all) {
        const [args, callback] = splitCallback(all);
        const bound = [...bind(parameters, args), checkCancellable(args[n])];
        if (callback.length > 0)
            return begin.call(this, ...bound, ...callback);
        return beginOperation(this, begin, finish, bound);
    });
}

// Values

function packValue(value, name) {
    return value instanceof GLib.Variant ? value : Values.pack(value, name);
}

function packArgs(value, name) {
    return value === undefined || value === null ? null : packValue(value, name);
}

// The value of a result, or a promise of it: a large one is converted in steps, so that the main
// loop goes on.
function unpackResult(variant) {
    if (variant.get_size() <= Values.MAX_SMALL)
        return Values.unpack(variant);
    const steps = Values.unpackInSteps(variant);
    return new Promise((resolve, reject) => {
        GLib.idle_add(GLib.PRIORITY_DEFAULT_IDLE, () => {
            const end = GLib.get_monotonic_time() + Values.STEP_TIME;
            try {
                do {
                    const {value, done} = steps.next();
                    if (done) {
                        resolve(value);
                        return GLib.SOURCE_REMOVE;
                    }
                } while (GLib.get_monotonic_time() < end);
            } catch (error) {
                reject(error);
                return GLib.SOURCE_REMOVE;
            }
            return GLib.SOURCE_CONTINUE;
        });
    });
}

// What is closed when a block ends, where the engine has `await using`.
function setDispose(prototype) {
    if (Symbol.asyncDispose !== undefined) {
        prototype[Symbol.asyncDispose] = async function () {
            await this.close_async();
        };
    }
}

// Events

// Those that a program waits for: nothing else may have a reference to them.
const awaited = new Set();

const collected = new FinalizationRegistry(({source, handlers}) => {
    for (const handler of handlers)
        GObject.signal_handler_disconnect(source, handler);
});

// The values that a signal of an object reports, for `for await`. They are collected from when this
// is made, and converted when they are taken. The iteration ends when no more can come.
class Events {
    constructor(source, signalName) {
        const weak = new WeakRef(this);
        this._values = [];
        this._waiting = [];
        this._isClosed = false;
        this._source = source;
        this._handlers = [];
        this._connect(signalName, (_, value) => weak.deref()?._add(value));
        collected.register(this, {source, handlers: this._handlers}, this);
    }

    _connect(signalName, handler) {
        this._handlers.push(GObject.signal_connect(this._source, signalName, handler));
    }

    // Ends the iteration when the signal is emitted and isLast() is true.
    _endWith(signalName, isLast = () => true) {
        const weak = new WeakRef(this);
        this._connect(signalName, source => {
            if (isLast(source))
                weak.deref()?.close();
        });
        return this;
    }

    _add(value) {
        this._values.push(value);
        this._answer();
    }

    // Answers those who wait, as far as there are values or there will be none.
    _answer() {
        while (this._waiting.length > 0 && (this._values.length > 0 || this._isClosed)) {
            const {resolve, reject} = this._waiting.shift();
            try {
                resolve(this._values.length > 0
                    ? {value: Values.unpack(this._values.shift()), done: false}
                    : {value: undefined, done: true});
            } catch (error) {
                reject(error);
            }
        }
        if (this._waiting.length === 0)
            awaited.delete(this);
    }

    // Ends the iteration, after the values that were collected.
    close() {
        if (this._isClosed)
            return;
        this._isClosed = true;
        collected.unregister(this);
        for (const handler of this._handlers)
            GObject.signal_handler_disconnect(this._source, handler);
        this._handlers = [];
        this._source = null;
        this._answer();
    }

    next() {
        return new Promise((resolve, reject) => {
            this._waiting.push({resolve, reject});
            awaited.add(this);
            this._answer();
        });
    }

    // When the program leaves the loop.
    return(value) {
        this._values = [];
        this.close();
        return Promise.resolve({value, done: true});
    }

    [Symbol.asyncIterator]() {
        return this;
    }
}

// Classes

function addCalls(prototype) {
    const {call, call_async: callAsync, call_finish: callFinish, run_job: runJob,
        run_job_async: runJobAsync, run_job_finish: runJobFinish} = prototype;

    setFunction(prototype, 'call', function (args, cancellable) {
        const result = call.call(this, packArgs(args, 'args'), checkCancellable(cancellable));
        return args instanceof GLib.Variant ? result : Values.unpack(result);
    });
    setFunction(prototype, 'call_async', function (...all) {
        const [[args, cancellable], callback] = splitCallback(all, 1);
        const bound = [packArgs(args, 'args'), checkCancellable(cancellable)];
        if (callback.length > 0)
            return callAsync.call(this, ...bound, ...callback);
        return beginOperation(this, callAsync, callFinish, bound,
            args instanceof GLib.Variant ? undefined : unpackResult);
    });
    setFunction(prototype, 'run_job', function (job, cancellable) {
        const result = runJob.call(this, job, checkCancellable(cancellable));
        return job._hasNativeArgs ? Values.unpack(result) : result;
    });
    setFunction(prototype, 'run_job_async', function (...all) {
        const [[job, cancellable], callback] = splitCallback(all);
        const bound = [job, checkCancellable(cancellable)];
        if (callback.length > 0)
            return runJobAsync.call(this, ...bound, ...callback);
        return beginOperation(this, runJobAsync, runJobFinish, bound,
            job._hasNativeArgs ? unpackResult : undefined);
    });
}

function extendProcess(AFork) {
    const {prototype} = AFork.Process;

    // Queues items for the function: strings, bytes, and descriptors of objects with get_fd().
    prototype.send = function (...items) {
        const steps = items.map((item, i) => {
            if (typeof item === 'string')
                return [this.send_arg, checkString(item, `items[${i}]`)];
            if (isBytes(item))
                return [this.send_bytes, checkBytes(item, `items[${i}]`)];
            if (hasDescriptor(item))
                return [this.send_fd, checkDescriptor(item, `items[${i}]`)];
            throw makeTypeError(`items[${i}]`, 'a string, a Uint8Array or an object with get_fd()',
                item);
        });
        for (const [step, item] of steps)
            step.call(this, item);
        return this;
    };
    // A process that was run may end by itself. Others are made to exit.
    prototype.close = function (cancellable) {
        if (this.get_state() !== AFork.ProcessState.RUNNING)
            this.force_exit();
        return this.wait(cancellable);
    };
    prototype.close_async = function (cancellable) {
        if (this.get_state() !== AFork.ProcessState.RUNNING)
            this.force_exit();
        return this.wait_async(cancellable);
    };
    setDispose(prototype);
}

function extendRpc(AFork) {
    const {prototype} = AFork.Rpc;

    addCalls(prototype);
    prototype.events = function () {
        const events = new Events(this, 'event')._endWith('closed');
        if (this.process.get_state() === AFork.ProcessState.EXITED)
            events.close();
        return events;
    };
    setDispose(prototype);
}

function extendPool(AFork) {
    const {prototype} = AFork.Pool;
    const {map, shutdown, shutdown_async: shutdownAsync} = prototype;

    const endEvents = pool => {
        pool._wasShutDown = true;
        for (const weak of pool._events ?? [])
            weak.deref()?.close();
        pool._events = [];
    };

    // Ends events when a shutdown that was begun has ended, even if no other code waits for it.
    const endEventsLater = pool => {
        shutdownAsync.call(pool, AFork.ShutdownMode.DRAIN, null).then(() => endEvents(pool),
            () => undefined);
    };

    // What is refused must not shut the pool down.
    const checkMode = mode => {
        if (mode !== AFork.ShutdownMode.DRAIN && mode !== AFork.ShutdownMode.ABORT)
            throw makeTypeError('mode', 'an AFork.ShutdownMode', mode);
        return mode;
    };

    addCalls(prototype);
    setFunction(prototype, 'map', function (items, flags = AFork.MapFlags.ORDERED) {
        let variant = items;
        if (!(items instanceof GLib.Variant)) {
            if (typeof items !== 'object' || items === null || ArrayBuffer.isView(items) ||
                items instanceof Map || items[Symbol.iterator] === undefined)
                throw makeTypeError('items', 'an Array or another iterable', items);
            variant = Values.pack(Array.from(items), 'items');
        }
        return map.call(this, variant, checkInteger(flags, 'flags'));
    });
    setFunction(prototype, 'shutdown', function (mode, ...args) {
        try {
            const result = shutdown.call(this, checkMode(mode), ...args);
            endEvents(this);
            return result;
        } catch (error) {
            if (!(error instanceof TypeError))
                endEventsLater(this);
            throw error;
        }
    });
    setFunction(prototype, 'shutdown_async', function (mode, ...args) {
        const promise = shutdownAsync.call(this, checkMode(mode), ...args);
        endEventsLater(this);
        return promise;
    });
    prototype.events = function () {
        const events = new Events(this, 'event');
        if (this._wasShutDown)
            events.close();
        this._events = [...(this._events ?? []).filter(weak => weak.deref() !== undefined),
            new WeakRef(events)];
        return events;
    };
    prototype.close = function (cancellable) {
        return this.shutdown(AFork.ShutdownMode.DRAIN, cancellable);
    };
    prototype.close_async = function (cancellable) {
        return this.shutdown_async(AFork.ShutdownMode.DRAIN, cancellable);
    };
    setDispose(prototype);
}

function extendMap(AFork) {
    const {prototype} = AFork.Map;

    prototype.close_async = async function () {
        await undefined;
        this.close();
    };
    prototype[Symbol.asyncIterator] = function () {
        return {
            next: async () => {
                const value = await this.next_async(null);
                return value === null ? {value: undefined, done: true} : {value, done: false};
            },
            return: value => {
                this.close();
                return Promise.resolve({value, done: true});
            },
            [Symbol.asyncIterator]() {
                return this;
            },
        };
    };
    prototype[Symbol.iterator] = function* () {
        try {
            for (let job = this.next(null); job !== null; job = this.next(null))
                yield job;
        } finally {
            this.close();
        }
    };
    setDispose(prototype);
}

function extendJob(AFork) {
    const {prototype} = AFork.Job;
    const setFds = prototype.set_fds;

    const hasEnded = job => job.get_state() >= AFork.JobState.SUCCEEDED;
    const getVariant = job => {
        const error = job.get_error();
        if (error !== null)
            throw error;
        const result = job.get_result();
        if (result === null)
            throw new Error('The job has not ended yet');
        return result;
    };

    // Makes a job of a value, or of a GLib.Variant. The result of the former is a value, too.
    AFork.Job.new = function (args, options = {}) {
        if (typeof options !== 'object' || options === null)
            throw makeTypeError('options', 'an object', options);
        const {fds = null, blobs = [], ...properties} = options;
        if (!Array.isArray(blobs))
            throw makeTypeError('blobs', 'an Array of bytes', blobs);
        const checked = Object.keys(properties).filter(name => `set_${name}` in FUNCTIONS.Job);
        const others = Object.fromEntries(Object.entries(properties)
            .filter(([name]) => !checked.includes(name)));
        const job = new AFork.Job({args: packArgs(args, 'args'), ...others});
        for (const name of checked)
            job[`set_${name}`](properties[name]);
        job.set_fds(fds);
        blobs.forEach((blob, i) => job.add_blob(checkBytes(blob, `blobs[${i}]`)));
        if (!(args instanceof GLib.Variant))
            job._hasNativeArgs = true;
        return job;
    };
    setFunction(prototype, 'set_fds', function (fds) {
        let list = fds ?? null;
        if (list !== null && !(list instanceof Gio.UnixFDList)) {
            if (!Array.isArray(list))
                throw makeTypeError('fds', 'an Array of descriptors', fds);
            const numbers = list.map((fd, i) => checkDescriptor(fd, `fds[${i}]`));
            list = Gio.UnixFDList.new();
            for (const fd of numbers)
                list.append(fd);
        }
        setFds.call(this, list);
    });
    // The result of a job that has ended. Throws the error of one that failed.
    prototype.unpack = function () {
        return Values.unpack(getVariant(this));
    };
    prototype.unpack_async = async function () {
        return unpackResult(await getVariant(this));
    };
    // The blobs that came with the result, without a copy if GJS allows it. The program may write
    // to them.
    prototype.view_blobs = function () {
        return (this.get_result_blobs() ?? []).map(blob => blob.toArray());
    };
    // The progress that the worker reports. To be called before the job is run.
    prototype.reports = function () {
        const events = new Events(this, 'progress')._endWith('notify::state', hasEnded);
        if (hasEnded(this))
            events.close();
        return events;
    };
}

// In a worker.
function extendCall(AFork) {
    const {prototype} = AFork.Call;
    const {report, return_value: returnValue} = prototype;
    const workerEmit = AFork.worker_emit;

    setFunction(prototype, 'report', function (progress) {
        report.call(this, packValue(progress, 'progress'));
    });
    setFunction(prototype, 'return_value', function (value, fds) {
        returnValue.call(this, packArgs(value, 'value'), fds ?? null);
    });
    setFunction(AFork, 'worker_emit', event => {
        workerEmit(packValue(event, 'event'));
    });
}

// The runtime of programs in JavaScript

function setDefaultRuntime({Runtime}) {
    if (Runtime.get_default() === Runtime.get_native())
        Runtime.get_gjs().set_default();
}

return function () {
    const AFork = this;

    for (const [className, functions] of Object.entries(FUNCTIONS)) {
        for (const [name, text] of Object.entries(functions))
            wrapPlain(AFork[className].prototype, name, text);
    }
    for (const [className, functions] of Object.entries(CONSTRUCTORS)) {
        for (const [name, text] of Object.entries(functions))
            wrapPlain(AFork[className], name, text);
    }
    for (const [className, functions] of Object.entries(CANCELLABLE)) {
        for (const [name, text] of Object.entries(functions)) {
            if (text !== null) {
                wrapBlocking(AFork[className].prototype, name, text);
                wrapAsync(AFork[className].prototype, name, text);
            }
        }
    }
    wrapBlocking(AFork.Sandbox, 'probe', '');
    wrapAsync(AFork.Sandbox, 'probe', '');

    AFork.Events = Events;
    extendProcess(AFork);
    extendRpc(AFork);
    extendPool(AFork);
    extendMap(AFork);
    extendJob(AFork);
    extendCall(AFork);
    setDefaultRuntime(AFork);
};
})();
