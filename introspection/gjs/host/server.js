// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The part of the server of AFork's GJS runtime that is written in JavaScript. gjs-server.c makes
// one object of the class Script, and calls its functions for what concerns the language.

import AFork from 'gi://AFork?version=1';
import GLib from 'gi://GLib?version=2.0';
import GObject from 'gi://GObject?version=2.0';
import Gio from 'gi://Gio?version=2.0';

// Not by `import`, because the module `system` copies its functions when it is first loaded.
const System = imports.system;

const THIS = import.meta.url;

// A failure of a command has at most this many bytes. The rest is for what the C part adds.
const MAX_FAILURE = 3800;
// The failure of a call may be much longer. Of a message that has more bytes, both ends are kept.
const MAX_CALL_FAILURE = 256 * 1024;
const MAX_MESSAGE = 1000;

// Blobs that are not used any more are freed by the collector, which does not know their sizes. It
// is called when calls have brought this many bytes.
const MAX_BLOB_BYTES = 64 * 1024 * 1024;

const encoder = new TextEncoder();


// Errors

// The text as messages can have it: without surrogates that are alone, and null characters.
function clean(text) {
    return `${text}`.replace(/\p{Surrogate}/gu, code =>
        `\\u${code.charCodeAt(0).toString(16)}`).replace(/\0/g, '\\0');
}

function countBytes(text) {
    return encoder.encode(text).length;
}

// The text with a gap in its middle, if it has more bytes than that.
function shorten(text, most = MAX_MESSAGE) {
    text = clean(text.length > 2 * most ? `${text.slice(0, most)}${text.slice(-most)}` : text);
    if (countBytes(text) <= most)
        return text;

    const decoder = new TextDecoder();
    const bytes = encoder.encode(text);
    const [start, end] = [bytes.slice(0, most * 3 / 4), bytes.slice(-most / 4)].map(part =>
        decoder.decode(part).replace(/\uFFFD/g, ''));
    return `${start} […] ${end}`;
}

function getTypeName(error) {
    if (error instanceof GLib.Error)
        return error.constructor.name;
    if (error === null || error === undefined)
        return `${error}`;
    return typeof error.name === 'string' && error.name !== ''
        ? error.name : Object(error).constructor.name;
}

// `Type: message`. Never fails, whatever the error does.
function describe(error) {
    let name = 'Error';
    try {
        name = getTypeName(error);
        const isError = typeof error === 'object' && error !== null && 'message' in error;
        const message = `${isError ? error.message : error}`;
        return shorten(message === '' || message === name ? name : `${name}: ${message}`);
    } catch {
        return `${name}: its text cannot be shown`;
    }
}

function isOurs(line) {
    return line.includes(`@${THIS}:`) || line.includes('@resource:///org/gnome/gjs/')
        || line.startsWith('@file:///proc/self/fd/');
}

// The lines of the stack of an error. Of a long one, the start: it has the newest frames.
function formatStack(error, most) {
    let stack = '';
    try {
        stack = typeof error.stack === 'string' ? error.stack : '';
        // That of a syntax error does not say where the error is.
        if (error instanceof SyntaxError && error.fileName)
            stack = `@${error.fileName}:${error.lineNumber}:${error.columnNumber}\n${stack}`;
    } catch {
        return '';
    }

    const lines = [];
    for (const line of clean(stack).split('\n')) {
        if (line === '' || isOurs(line))
            continue;
        const short = shorten(line);
        most -= countBytes(short) + 1;
        if (most < 0) {
            lines.push('[…]');
            break;
        }
        lines.push(short);
    }
    return lines.join('\n');
}

// The text of what was thrown: `Type: message`, then its stack, then those of its causes.
function formatError(error, most) {
    const parts = [];
    const seen = new Set();
    let introduction = '';
    while (!seen.has(error) && most > 0) {
        seen.add(error);
        const head = `${introduction}${describe(error)}`;
        most -= countBytes(head);
        parts.push(head);
        const stack = formatStack(error, most);
        if (stack !== '') {
            parts.push(stack);
            most -= countBytes(stack);
        }

        introduction = 'It was caused by ';
        try {
            if (!(error instanceof Error) || error.cause === undefined)
                break;
            error = error.cause;
        } catch {
            break;
        }
    }
    return parts.join('\n');
}

// The error of a command. ERROR is what the code has thrown.
function newFailure(code, what, error) {
    const start = what === '' ? '' : `${shorten(what, 500)}: `;
    return new GLib.Error(AFork.error_quark(), code,
        `${start}${formatError(error, MAX_FAILURE - countBytes(start))}`);
}

function newCallError(error) {
    try {
        if (error instanceof GLib.Error)
            return error;
    } catch {
        // It is a proxy that was revoked.
    }
    return new GLib.Error(AFork.error_quark(), AFork.Error.EXCEPTION,
        formatError(error, MAX_CALL_FAILURE));
}

class NotFound extends Error {
}


// Promises

function isPromise(value) {
    return value instanceof Promise
        || (typeof value === 'object' && value !== null && typeof value.then === 'function');
}

// The result of a promise, or of an object with then(). Iterates the main context until there is
// one.
function wait(promise) {
    const context = GLib.MainContext.default();
    let settled = false, failed = false, result;
    Promise.resolve(promise).then(value => {
        settled = true;
        result = value;
    }, error => {
        settled = failed = true;
        result = error;
    });
    while (!settled)
        context.iteration(true);
    if (failed)
        throw result;
    return result;
}

function complete(value) {
    return isPromise(value) ? wait(value) : value;
}

// Runs what promises have left to do. After that, GJS prints those that were rejected; it does so
// only if there was something to do.
function runJobs() {
    Promise.resolve().then(() => {});
    GLib.MainContext.default().iteration(false);
}


// Random numbers

// The engine's generator cannot be given a seed, so that all forks of a template which has used it
// would get the same numbers. This one, xoshiro128**, gets a new seed in each fork.
const seed = new Uint32Array(4);

function renewSeed() {
    for (let i = 0; i < seed.length; i++)
        seed[i] = GLib.random_int();
    seed[0] |= 1;
}

function next() {
    const product = Math.imul(seed[1], 5);
    const number = Math.imul(product << 7 | product >>> 25, 9) >>> 0;
    const shifted = seed[1] << 9;
    seed[2] ^= seed[0];
    seed[3] ^= seed[1];
    seed[1] ^= seed[2];
    seed[0] ^= seed[3];
    seed[2] ^= shifted;
    seed[3] = seed[3] << 11 | seed[3] >>> 21;
    return number;
}

const {random} = {
    random() {
        return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
    },
};

renewSeed();
Object.defineProperty(Math, 'random', {
    configurable: true,
    enumerable: false,
    value: random,
    writable: true,
});


// Modules and functions

const modules = [];             // what was loaded, the newest last: {name, namespace}
const found = [warmUp];         // functions, by the numbers that were given to them
let nEvals = 0;

function putModule(name, namespace) {
    const i = modules.findIndex(module => module.name === name);
    if (i >= 0)
        modules.splice(i, 1);
    modules.push({name, namespace});
}

// Called by the modules that gjs-server.c generates.
export function addModule(name, namespace) {
    putModule(name, namespace);
}

// The function of a path, such as `Class.method`, or undefined.
function getAttribute(namespace, path) {
    let owner, value = namespace;
    for (const name of path.split('.')) {
        if (value === null || value === undefined || !(name in Object(value)))
            return undefined;
        owner = value;
        value = value[name];
    }
    return typeof value === 'function' && owner !== namespace ? value.bind(owner) : value;
}

function find(name) {
    const colon = name.lastIndexOf(':');
    const [moduleName, path] = [name.slice(0, Math.max(colon, 0)), name.slice(colon + 1)];
    const candidates = moduleName === ''
        ? [...modules].reverse() : modules.filter(module => module.name === moduleName);
    for (const {namespace} of candidates) {
        const value = getAttribute(namespace, path);
        if (value === undefined)
            continue;
        if (typeof value !== 'function')
            throw new NotFound(`“${name}” is not a function, but of type ${typeof value}`);
        return value;
    }

    if (moduleName !== '')
        throw new NotFound(`There is no function “${name}” in module “${moduleName}”`);
    if (modules.length > 0)
        throw new NotFound(`There is no function “${name}” in the modules that have been loaded, `
            + 'nor in the code that was evaluated');
    throw new NotFound(`There is no function “${name}”, because no module has been loaded. `
        + 'The name of a function in a module is file.js:function');
}

// The function of that name. Otherwise throws the error of a command.
function findOrFail(name) {
    try {
        return find(name);
    } catch (error) {
        if (error instanceof NotFound)
            throw new GLib.Error(AFork.error_quark(), AFork.Error.FUNCTION, shorten(error.message));
        throw newFailure(AFork.Error.FUNCTION, `“${name}” could not be found`, error);
    }
}


// The converters of callers, too, which do not lose or change values as those of GJS do.
const {pack, unpack} = imports.overrides._afork_values;

// A function that returns nothing has the result null.
function packResult(value) {
    return pack(value === undefined ? null : value, 'result');
}


// Calls

let nBlobBytes = 0;

// A call, for the function that serves it, which gets it as its first argument.
class Call {
    #call;
    #blobs = null;
    #fds = null;
    #resultFds = null;

    constructor(call) {
        this.#call = call;
    }

    // The AFork.Call, for what is not here.
    get call() {
        return this.#call;
    }

    // A Gio.Cancellable that is cancelled with the call, for functions of GIO.
    get cancellable() {
        return this.#call.get_cancellable();
    }

    // Whether the caller does not want the result any more.
    get cancelled() {
        return this.cancellable.is_cancelled();
    }

    // Throws Gio.IOErrorEnum.CANCELLED if the caller does not want the result any more.
    check() {
        this.cancellable.set_error_if_cancelled();
    }

    // Reports progress to the caller. Throws Gio.IOErrorEnum.CANCELLED as check() does.
    report(progress) {
        this.check();
        this.#call.report(pack(progress, 'progress'));
    }

    // Sends an event of the worker to the caller.
    emit(event) {
        AFork.worker_emit(pack(event, 'event'));
    }

    // The blobs that came with the call, as an array of Uint8Array, which can be written to.
    get blobs() {
        if (this.#blobs === null) {
            this.#blobs = (this.#call.get_blobs() ?? []).map(blob => {
                const array = blob.toArray();
                nBlobBytes += array.length;
                return array;
            });
        }
        return this.#blobs;
    }

    // The descriptors that came with the call, as an array of numbers. They belong to the function.
    get fds() {
        if (this.#fds === null) {
            const list = this.#call.get_fds();
            this.#fds = Array.from({length: list?.get_length() ?? 0}, (_, i) => list.get(i));
        }
        return this.#fds;
    }

    // Adds bytes to the result. Returns their index.
    addBlob(data) {
        if (data instanceof ArrayBuffer)
            data = new Uint8Array(data);
        if (!(data instanceof Uint8Array) && !(data instanceof GLib.Bytes))
            throw new TypeError('A blob is a Uint8Array, an ArrayBuffer or a GLib.Bytes');
        return this.#call.add_result_blob(data);
    }

    // Adds a copy of a descriptor to the result. Returns its index.
    addFd(fd) {
        if (!Number.isInteger(fd) || fd < 0)
            throw new TypeError('A descriptor is an integer that is not negative');
        this.#resultFds ??= new Gio.UnixFDList();
        return this.#resultFds.append(fd);
    }

    // The result as serve() returns it: null if it was sent already.
    _return(value) {
        const variant = packResult(value);
        if (this.#resultFds === null)
            return variant;
        this.#call.return_value(variant, this.#resultFds);
        return null;
    }

    _answer(value) {
        let variant;
        try {
            variant = packResult(value);
        } catch (error) {
            this._fail(error);
            return;
        }
        this.#call.return_value(variant, this.#resultFds);
        collect();
    }

    _fail(error) {
        this.#call.return_error(newCallError(error));
        collect();
    }
}

// Frees blobs that are not used any more, if calls have brought many bytes.
function collect() {
    if (nBlobBytes < MAX_BLOB_BYTES)
        return;
    nBlobBytes = 0;
    System.gc();
}


// The server

const Script = GObject.registerClass({
    GTypeName: 'AForkGjsScript',
}, class Script extends AFork.Server {
    _init() {
        super._init();
        // That of GJS ends the process only where GJS itself has called the code, and otherwise
        // stops all promises.
        System.exit = status => this.exit(Number(status) & 0xff);
    }

    // Commands

    // Only for modules that could not be loaded: see load_module() in gjs-server.c.
    vfunc_require(uri) {
        try {
            wait(import(uri));
        } catch (error) {
            throw newFailure(AFork.Error.MODULE, '', error);
        }
        return true;
    }

    vfunc_eval(code, args) {
        const name = `<eval-${++nEvals}>`;
        globalThis.args = args;
        try {
            (0, eval)(`${code}\n//# sourceURL=${name}`);
            putModule('', globalThis);
            runJobs();
        } catch (error) {
            // The line of a syntax error is that in the code, but the file is the one that calls.
            if (error instanceof SyntaxError && error.fileName === THIS)
                error.fileName = name;
            throw newFailure(AFork.Error.EVAL, 'The code could not be run', error);
        }
        return true;
    }

    vfunc_call(name, args) {
        const func = findOrFail(name);
        try {
            complete(func(...args));
            runJobs();
        } catch (error) {
            throw newFailure(AFork.Error.FUNCTION, `“${name}” has failed`, error);
        }
        return true;
    }

    vfunc_forked() {
        renewSeed();
    }

    // Running

    vfunc_find(name) {
        return found.push(findOrFail(name)) - 1;
    }

    #getItems() {
        const items = [];
        for (let i = 0; i < this.get_n_items(); i++) {
            const bytes = this.dup_item(i);
            if (bytes === null)
                items.push(this.get_item_fd(i));
            else
                items.push(getItem(bytes, this.get_item_is_string(i)));
        }
        return items;
    }

    // Calls a function as a program is run. Returns the exit status.
    #run(func, ...args) {
        let status = 0;
        try {
            complete(func(...args));
        } catch (error) {
            printerr(formatError(error, MAX_CALL_FAILURE));
            status = 1;
        }
        runJobs();
        return status;
    }

    vfunc_enter(number, fd) {
        const socket = Gio.Socket.new_from_fd(fd);
        return this.#run(found[number], socket.connection_factory_create_connection(),
            ...this.#getItems());
    }

    // Calls

    vfunc_init_calls(number) {
        try {
            complete(found[number](...this.#getItems()));
        } catch (error) {
            throw newCallError(error);
        }
        return true;
    }

    vfunc_serve(number, call, args) {
        const wrapped = new Call(call);
        try {
            return wrapped._return(complete(found[number](wrapped, unpack(args))));
        } catch (error) {
            throw newCallError(error);
        } finally {
            collect();
        }
    }

    vfunc_serve_concurrently(number, call, args) {
        const wrapped = new Call(call);
        let value, promise = null;
        try {
            value = found[number](wrapped, unpack(args));
            // The then() of what is no Promise may throw, settle twice, or give a promise.
            if (isPromise(value))
                promise = Promise.resolve(value);
        } catch (error) {
            wrapped._fail(error);
            return;
        }
        if (promise === null)
            wrapped._answer(value);
        else
            promise.then(result => wrapped._answer(result), error => wrapped._fail(error));
    }

    vfunc_done_calls(number) {
        return this.#run(found[number]);
    }
});

// What a worker uses of GJS for the first time, GJS makes for it. A template runs this function
// once, as a worker would, so that its forks share what was made.
function warmUp(connection) {
    const bytes = connection.get_input_stream().read_bytes(1, null);
    connection.get_output_stream().write_all(bytes.toArray(), null);
    connection.close(null);
}

// An item of bytes. A string that is not UTF-8 remains bytes.
function getItem(bytes, isString) {
    const array = bytes.toArray();
    if (!isString)
        return array;
    try {
        return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(array);
    } catch {
        return array;
    }
}
