// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A caller in JavaScript, of workers in each language: test-across.js WORKER. The calls are those
// of calls.ini.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {assert, assertEqual, run} from '../gjs/harness.js';

const PAGE = 4096;
const FOLDER = GLib.path_get_dirname(GLib.filename_from_uri(import.meta.url)[0]);
const [WORKER] = System.programArgs;
const makeName = {
    native: name => `values_${name}`,
    python: name => `values:${name}`,
    gjs: name => `values.js:${name}`,
}[WORKER];

// The calls as {group: {key: text}}.
function readTable() {
    const file = new GLib.KeyFile();
    file.load_from_file(`${FOLDER}/calls.ini`, GLib.KeyFileFlags.NONE);
    const table = {};
    for (const group of file.get_groups()[0]) {
        table[group] = {};
        for (const key of file.get_keys(group)[0])
            table[group][key] = file.get_value(group, key);
    }
    return table;
}

function getRuntime() {
    if (WORKER === 'native')
        return AFork.Runtime.get_native();
    let runtime;
    if (WORKER === 'python') {
        runtime = AFork.Runtime.get_python();
        runtime.set_executable(GLib.getenv('AFORK_TEST_PYTHON'));
    } else {
        runtime = AFork.Runtime.get_gjs();
        // GJS warns about code that fails.
        runtime.set_environ(GLib.get_environ().filter(text => !text.startsWith('G_DEBUG=')));
    }
    runtime.set_module_path([`${FOLDER}/modules`]);
    return runtime;
}

// What JSON has not.
function revive(_, value) {
    if (typeof value !== 'object' || value === null)
        return value;
    if (value.$bytes !== undefined)
        return new Uint8Array(value.$bytes);
    if (value.$integer !== undefined)
        return BigInt(value.$integer);
    return value.$float !== undefined ? Number(value.$float) : value;
}

function makeNative(call) {
    const value = JSON.parse(call.json, revive);
    return call.repeat === undefined ? value : new Array(Number(call.repeat)).fill(value);
}

function makeVariant(call, text) {
    const all = call.repeat === undefined
        ? text : `[${new Array(Number(call.repeat)).fill(text).join(', ')}]`;
    return GLib.Variant.parse(null, all, null, null);
}

function makeResult(call) {
    return makeVariant(call, call[`result-${WORKER}`] ?? call.result ?? call.args);
}

function show(value) {
    return JSON.stringify(value, (_, item) => {
        if (typeof item === 'bigint')
            return `integer ${item}`;
        if (item instanceof Uint8Array)
            return `bytes ${item}`;
        if (typeof item === 'number' && (Object.is(item, -0) || !Number.isFinite(item)))
            return Object.is(item, -0) ? 'number -0' : `number ${item}`;
        return item;
    });
}

function assertSame(found, expected) {
    if (show(found) !== show(expected)) {
        throw new Error(
            `found ${show(found).slice(0, 500)} instead of ${show(expected).slice(0, 500)}`);
    }
}

function makeBlob(size) {
    const blob = new Uint8Array(size);
    for (let i = 0; i < size; i += PAGE)
        blob[i] = i / PAGE % 251;
    return blob;
}

// A file with an input stream, which has a descriptor.
function makeFile(text) {
    const [file, stream] = Gio.File.new_tmp('afork-XXXXXX');
    stream.get_output_stream().write_all(new TextEncoder().encode(text), null);
    const reader = file.read(null);
    file.delete(null);
    return reader;
}

function readDescriptor(fd) {
    const [, contents] = GLib.file_get_contents(`/proc/self/fd/${fd}`);
    return new TextDecoder().decode(contents);
}

async function collect(events) {
    const values = [];
    for await (const value of events)
        values.push(value);
    return values;
}

const calls = readTable();
const template = AFork.Process.new_for_runtime(getRuntime());
template.require(WORKER === 'gjs' ? 'values.js' : 'values');
const rpcs = new Map();

function getRpc(name) {
    if (!rpcs.has(name)) {
        rpcs.set(name, new AFork.Rpc({
            process: template.fork(), function: makeName(name), forwardStderr: false,
        }));
    }
    return rpcs.get(name);
}

// See “Collections of GJS” in docs/javascript.md.
function finishCollection() {
    System.gc();
}

// Makes one call of the table, with a value or a GLib.Variant. Returns the result, or undefined if
// it failed as it must.
async function makeCall(call, args) {
    const rpc = getRpc(call.function ?? 'echo');
    const sizes = (call.blobs ?? '').split(';').filter(size => size !== '').map(Number);
    const isLarge = sizes.length > 0 || call.repeat !== undefined;
    const fds = Array.from({length: Number(call.fds ?? 0)}, (_, i) => makeFile(`descriptor ${i}`));
    const job = AFork.Job.new(args, {fds, blobs: sizes.map(makeBlob)});
    const cancellable = new Gio.Cancellable();
    const numbers = Array.from({length: Number(call.reports ?? 0)}, (_, i) => i);
    const reports = [];
    const events = [];

    job.connect('progress', (_, value) => {
        reports.push(value.deepUnpack());
        if (reports[0] === call.cancel)
            cancellable.cancel();
    });
    const handler = rpc.connect('event', (_, value) => events.push(value.deepUnpack()));
    const iterated = collect(job.reports());
    if (isLarge)
        finishCollection();
    let result, error = null;
    try {
        result = await rpc.run_job_async(job, cancellable);
    } catch (caught) {
        error = caught;
    }
    rpc.disconnect(handler);
    assertSame(reports, call.cancel === undefined ? numbers : [call.cancel]);
    assertSame(await iterated, reports);
    assertSame(events, numbers);

    if (call.error !== undefined) {
        assert(error instanceof GLib.Error, `${error}`);
        assertEqual(`${GLib.quark_to_string(error.domain)} ${error.code}`, call.error);
        const message = call[`message-${WORKER}`] ?? call.message ?? '';
        assert(error.message.startsWith(message), error.message);
        return undefined;
    }
    if (error !== null)
        throw error;
    const list = job.get_result_fds();
    assertEqual(list?.get_length() ?? 0, fds.length);
    for (let i = 0; i < fds.length; i++)
        assertEqual(readDescriptor(list.peek_fds()[i]), `descriptor ${i}`);
    const blobs = job.view_blobs();
    assertSame(blobs.map(blob => blob.length), sizes);
    for (const blob of blobs) {
        for (let i = 0; i < blob.length; i += PAGE) {
            if (blob[i] !== i / PAGE % 251)
                throw new Error(`byte ${i} is ${blob[i]}`);
        }
        if (blob.length > 0)
            blob[blob.length - 1] = 5;      // the program's own copy of this page
    }
    if (isLarge)
        finishCollection();
    return result;
}

const tests = {};
for (const [name, call] of Object.entries(calls)) {
    if (!(call.workers ?? WORKER).split(';').includes(WORKER))
        continue;

    tests[`${WORKER}/${name}/variant`] = async () => {
        const result = await makeCall(call, makeVariant(call, call.args));
        if (call.error === undefined) {
            const expected = makeResult(call);
            if (!result.equal(expected))
                assertSame(result.print(true), expected.print(true));
        }
        if (['exit', 'there_is_none', 'wait'].includes(call.function))
            rpcs.delete(call.function);
    };

    if (call.json !== undefined) {
        tests[`${WORKER}/${name}`] = async () => {
            const value = makeNative(call);
            const result = await makeCall(call, value);
            if (call.error === undefined)
                assertSame(result, value);
            if (WORKER === 'native') {
                assertEqual(await getRpc('print').call_async(value),
                    makeVariant(call, call.args).print(true));
            }
        };
    }
}

tests[`${WORKER}/at-once`] = async () => {
    const values = Object.values(calls).filter(call => call.json !== undefined).map(makeNative);
    const rpc = getRpc('echo');
    const results = values.map(value => rpc.call_async(value));
    finishCollection();
    assertSame(await Promise.all(results), values);
    finishCollection();
};

// Each worker that is left exits when it is closed.
tests[`${WORKER}/close`] = async () => {
    for (const rpc of rpcs.values()) {
        assertEqual(await rpc.close_async(), true);
        assertSame(rpc.process.get_exit_status(), [true, 0]);
    }
};

run(tests);
