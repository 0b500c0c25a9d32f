// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Functions that the tests of calls have workers serve.

import AFork from 'gi://AFork';
import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import System from 'system';

let items = null;

export function init(...given) {
    items = given;
}

export async function initLater(...given) {
    await null;
    items = given;
}

export function initBadly() {
    throw new RangeError('there is no database');
}

export function initExits() {
    System.exit(9);
}

export function done() {
    printerr('done was called');
}

export function echo(call, args) {
    return args;
}

// The value of an expression, which is the argument.
export function evaluate(call, args) {
    // eslint-disable-next-line no-eval
    return eval(args);
}

export function getItems() {
    return items.map(item => item instanceof Uint8Array ? [...item] : item);
}

export function fail(call, args) {
    throw new RangeError(args);
}

export function deeper(call, args) {
    try {
        fail(call, args);
    } catch (error) {
        throw new TypeError('outer', {cause: error});
    }
}

export function failAsGLib(call, args) {
    Gio.File.new_for_path(args).read(null);
}

export function exit(call, args) {
    System.exit(args);
}

export function count(call, args) {
    for (let i = 0; i < args; i++)
        call.report({i});
    return args;
}

export function waitUntilCancelled(call) {
    call.report('begun');
    try {
        for (;;)
            call.check();
    } catch (error) {
        const isCancelled = error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED);
        call.emit(`${isCancelled} ${call.cancelled}`);
        throw error;
    }
}

// Writes to each page of each blob, and sends it back.
export function scribble(call) {
    for (const blob of call.blobs) {
        for (let i = 0; i < blob.length; i += 1000)
            blob[i] = 88;
        if (blob.length > 0)
            blob[blob.length - 1] = 89;
        call.addBlob(blob);
    }
    return call.blobs.map(blob => `${blob.constructor.name} ${blob.length}`);
}

export function sizes(call) {
    return call.blobs.reduce((sum, blob) => sum + blob.length, 0);
}

export function files(call) {
    const [read, write] = call.fds;
    const input = new Gio.UnixInputStream({fd: read, close_fd: true});
    const output = new Gio.UnixOutputStream({fd: write, close_fd: true});
    const text = new TextDecoder().decode(input.read_bytes(100, null).toArray());
    output.write_all(new TextEncoder().encode('written by the worker'), null);
    output.close(null);
    const index = call.addFd(2);
    return [text, index];
}

export function emit(call) {
    AFork.worker_emit(new GLib.Variant('s', 'a variant'));
    call.emit({native: [1, 2]});
}

export function variant() {
    return new GLib.Variant('(qas)', [7, ['a']]);
}

function doSomething() {
    return new Promise((resolve, reject) => {
        const file = Gio.File.new_for_path('/');
        file.query_info_async('standard::type', Gio.FileQueryInfoFlags.NONE,
            GLib.PRIORITY_DEFAULT, null, (source, result) => {
                try {
                    resolve(file.query_info_finish(result));
                } catch (error) {
                    reject(error);
                }
            });
    });
}

export async function doubleLater(call, args) {
    await doSomething();
    await doSomething();
    return args * 2;
}

let nBegun = 0;

// Waits until so many calls have begun.
export async function meet(call, args) {
    nBegun++;
    while (nBegun < args)
        await doSomething();
}

export async function awaitCancelled(call) {
    call.report('begun');
    await new Promise(resolve => call.cancellable.connect(resolve));
    call.emit(`cancelled: ${call.cancelled}`);
    call.check();
}

export async function failLater(call, args) {
    await doSomething();
    throw new RangeError(args);
}

// Answers, and fails after that.
export function failAfterwards(call, args) {
    setTimeout(() => {
        throw new RangeError('after the answer');
    }, 0);
    Promise.reject(new RangeError('rejected after the answer'));
    return args;
}

export async function failAfterwardsLater(call, args) {
    await doSomething();
    return failAfterwards(call, args);
}

// Is never answered.
export function forget() {
    return new Promise(() => {});
}

// The size of what the collector finds in use, in bytes.
export function measure() {
    System.gc();
    System.gc();
    const [file] = Gio.File.new_tmp('afork-memory-XXXXXX');
    System.dumpMemoryInfo(file.get_path());
    const [, contents] = file.load_contents(null);
    file.delete(null);
    return Number(/"gcBytes": (\d+)/.exec(new TextDecoder().decode(contents))[1]);
}

// What a function may throw or return that is no ordinary error or promise.

function makeRevoked() {
    const {proxy, revoke} = Proxy.revocable({}, {});
    revoke();
    return proxy;
}

const ODD = {
    revoked: () => {
        throw makeRevoked();
    },
    revokedResult: makeRevoked,
    getter: () => ({
        get then() {
            throw new RangeError('from the getter');
        },
    }),
    method: () => ({
        then() {
            throw new RangeError('from then()');
        },
    }),
    twice: () => ({
        then(resolve, reject) {
            resolve(1);
            resolve(2);
            reject(new Error('third'));
        },
    }),
    promise: () => ({
        then(resolve) {
            resolve(Promise.resolve(7));
        },
    }),
    noMethod: () => ({then: 5}),
    // GJS looks for a module `then` in it, and throws.
    imports: () => imports,
};

export function returnOdd(call, name) {
    return ODD[name]();
}
