// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What `await using` calls, in an engine that has it. Where the engine has no Symbol.asyncDispose,
// the override must add nothing, and this adds the symbol before another copy of it is loaded.

import GLib from 'gi://GLib';

import {assert, assertEqual, run} from './harness.js';

const hasSymbol = Symbol.asyncDispose !== undefined;
if (!hasSymbol) {
    Object.defineProperty(Symbol, 'asyncDispose', {value: Symbol('Symbol.asyncDispose')});
}
imports.gi.versions.AFork = '1';
const {AFork} = imports.gi;
const native = AFork.Runtime.get_native();

function makeProcess() {
    return AFork.Process.new_for_runtime(native).require('values');
}

const tests = {};

tests['with-symbol'] = async () => {
    const rpc = AFork.Rpc.new(makeProcess(), 'values_echo');
    assertEqual(await rpc.call_async(1), 1);
    const pool = AFork.Pool.new(makeProcess(), 'values_echo');
    const map = pool.map([1, 2]);
    for (const object of [rpc, map, pool, makeProcess()])
        assertEqual(await object[Symbol.asyncDispose](), undefined);
    assertEqual(rpc.process.state, AFork.ProcessState.EXITED);
    assertEqual(pool.n_workers, 0);
};

// In another program, whose engine is as it is.
tests['without-symbol'] = () => {
    const code = `
        const {AFork} = imports.gi;
        for (const name of ['Map', 'Pool', 'Process', 'Rpc']) {
            const {prototype} = AFork[name];
            const has = Symbol.asyncDispose !== undefined;
            if (prototype.hasOwnProperty('undefined') ||
                Object.getOwnPropertySymbols(prototype).some(symbol =>
                    symbol.description === 'Symbol.asyncDispose') !== has)
                throw new Error(name);
        }
        print('right');`;
    const [, output, errors, status] = GLib.spawn_sync(null, ['gjs', '-c', code], null,
        GLib.SpawnFlags.SEARCH_PATH, null);
    const decoder = new TextDecoder();
    assertEqual(status, 0);
    assertEqual(decoder.decode(output), 'right\n');
    assert(!decoder.decode(errors).includes('Error'), decoder.decode(errors));
};

run(tests);
