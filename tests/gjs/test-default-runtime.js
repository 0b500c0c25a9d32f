// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The runtime of processes that name none: in a program in JavaScript, that of JavaScript.

import AFork from 'gi://AFork?version=1';
import GLib from 'gi://GLib';

import {assert, assertEqual, assertRejects, run} from './harness.js';

const FOLDER = GLib.path_get_dirname(GLib.filename_from_uri(import.meta.url)[0]);
const SERVER = GLib.getenv('AFORK_GJS_SERVER');
const gjs = AFork.Runtime.get_gjs();

function readAll(connection) {
    const bytes = connection.get_input_stream().read_bytes(4096, null);
    return new TextDecoder().decode(bytes.toArray());
}

const tests = {};

// First, because the template is started with the first process.
tests['not-built'] = async () => {
    GLib.setenv('AFORK_GJS_SERVER', '/nonexistent/afork-gjs', true);
    const error = await assertRejects(
        AFork.Process.new().require('workers.js').run_async('workers.js:describe'), AFork.Error,
        AFork.Error.SPAWN);
    assert(error.message.includes('There is no “/nonexistent/afork-gjs”: AFork was built without'),
        error.message);
    if (SERVER === null)
        GLib.unsetenv('AFORK_GJS_SERVER');
    else
        GLib.setenv('AFORK_GJS_SERVER', SERVER, true);
    gjs.set_template(null);
};

tests['default'] = () => {
    assertEqual(AFork.Runtime.get_default(), gjs);
    assertEqual(AFork.Process.new().runtime, gjs);
    assertEqual(new AFork.Process().runtime, gjs);
};

if (SERVER !== null) {
    gjs.set_module_path([`${FOLDER}/modules`]);
    // GJS warns about code that fails.
    gjs.set_environ(GLib.get_environ().filter(text => !text.startsWith('G_DEBUG=')));

    tests['module'] = async () => {
        for (const process of [AFork.Process.new().require('workers.js'), AFork.Process.new()]) {
            const connection = await process.send('text').run_async('workers.js:describe');
            assertEqual(readAll(connection), '[true,["text"]]');
            await process.close_async();
        }
    };

    tests['eval'] = async () => {
        const process = AFork.Process.new().eval('function twice(call, n) { return 2 * n; }');
        const rpc = AFork.Rpc.new(process, 'twice');
        assertEqual(await rpc.call_async(21), 42);
        await rpc.close_async();
    };

    // A module in C is none of this runtime, and the error says so.
    tests['native-module'] = async () => {
        const error = await assertRejects(
            AFork.Process.new().require('values').run_async('values_echo'), AFork.Error,
            AFork.Error.MODULE);
        assert(error.message.includes('values'), error.message);
    };

    tests['pool'] = async () => {
        const process = AFork.Process.new().eval('function twice(call, n) { return 2 * n; }');
        const pool = AFork.Pool.new(process, 'twice');
        const found = [];
        for await (const job of pool.map([1, 2, 3]))
            found.push(job.unpack());
        assertEqual(`${found}`, '2,4,6');
        await pool.close_async();
    };
}

// The program can choose another one, as in other languages.
tests['set'] = async () => {
    AFork.Runtime.get_native().set_default();
    const rpc = AFork.Rpc.new(AFork.Process.new().require('values'), 'values_echo');
    assertEqual(await rpc.call_async('text'), 'text');
    await rpc.close_async();
    gjs.set_default();
    assertEqual(AFork.Process.new().runtime, gjs);
};

run(tests);
