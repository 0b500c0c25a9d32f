// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The same calls to workers of each runtime: values of every type, errors, progress, events,
// cancellation, descriptors and large blobs. The functions are those of modules/values.c, and of
// modules/values.py here.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {assert, assertDeepEqual, assertEqual, assertRejects, run} from './harness.js';

const FOLDER = GLib.path_get_dirname(GLib.filename_from_uri(import.meta.url)[0]);
const LARGE = 32 << 20;

const VALUES = [
    null, true, false, 0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 62n, -(2n ** 63n), 2n ** 64n - 1n,
    1.5, -0, Infinity, '', 'text', 'ä€𝄞', 'x'.repeat(100000), [], [1, 2, 3], [1.5, 2.5], ['a', ''],
    [1, 'a', null, [true]], {}, {a: 1, b: {c: [null, {}]}}, [{a: [1]}, {a: [2]}],
    Array.from({length: 20000}, (_, i) => ({i, text: `${i}`})),
];

function makeRpc(runtime, name) {
    const process = AFork.Process.new_for_runtime(runtime).require('values');
    return AFork.Rpc.new(process, `values:${name}`);
}

// Large arrays start a collection in steps. Between two steps of its sweep, GJS 1.74 drops all
// callbacks from C and complains.
function finishCollection() {
    System.gc();
}

async function collect(events) {
    const values = [];
    for await (const value of events)
        values.push(value);
    return values;
}

function addTests(tests, name, runtime) {
    tests[`${name}/values`] = async () => {
        const rpc = makeRpc(runtime, 'values_echo');
        for (const value of VALUES)
            assertDeepEqual(await rpc.call_async(value), value);
        assert(Object.is(await rpc.call_async(-0), -0), 'the sign of a zero');
        assert(Number.isNaN(await rpc.call_async(NaN)), 'NaN');
        const bytes = await rpc.call_async(new Uint8Array([0, 255, 0]));
        assert(bytes instanceof Uint8Array && `${bytes}` === '0,255,0', 'bytes');
        const variant = new GLib.Variant('(si)', ['a', 1]);
        const [inside] = await rpc.call_async([variant]);
        assert(inside.equal(variant), 'a GLib.Variant');
        const all = await Promise.all(VALUES.map(value => rpc.call_async(value)));
        assertDeepEqual(all, VALUES);
        await rpc.close_async();
    };

    tests[`${name}/errors`] = async () => {
        const rpc = makeRpc(runtime, 'values_fail');
        for (let i = 0; i < 2; i++) {
            const error = await assertRejects(rpc.call_async('dog'), Gio.IOErrorEnum,
                Gio.IOErrorEnum.NOT_FOUND);
            assertEqual(error.message, 'There is no dog');
        }
        await rpc.close_async();
        await assertRejects(makeRpc(runtime, 'there_is_none').call_async(1), AFork.Error,
            AFork.Error.FUNCTION);
    };

    tests[`${name}/progress`] = async () => {
        const rpc = makeRpc(runtime, 'values_count');
        const job = AFork.Job.new(100);
        const reports = collect(job.reports());
        const events = collect(rpc.events());
        assertEqual(await rpc.run_job_async(job), 100);
        await rpc.close_async();
        const expected = Array.from({length: 100}, (_, i) => i);
        assertDeepEqual(await reports, expected);
        assertDeepEqual(await events, expected);
    };

    tests[`${name}/cancelled`] = async () => {
        const rpc = makeRpc(runtime, 'values_wait');
        const cancellable = new Gio.Cancellable();
        const job = AFork.Job.new(null);
        const reports = job.reports();
        const result = rpc.run_job_async(job, cancellable);
        assertDeepEqual(await reports.next(), {value: 'begun', done: false});
        cancellable.cancel();
        await assertRejects(result, Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED);
        await rpc.close_async();
    };

    tests[`${name}/fds`] = async () => {
        const rpc = makeRpc(runtime, 'values_echo');
        const [file, stream] = Gio.File.new_tmp('afork-XXXXXX');
        const path = file.get_path();
        stream.get_output_stream().write_all(new TextEncoder().encode('written'), null);
        const reader = Gio.File.new_for_path(path).read(null);
        const job = AFork.Job.new('x', {fds: [reader]});
        assertEqual(await rpc.run_job_async(job), 'x');
        const fds = job.get_result_fds();
        assertEqual(fds.get_length(), 1);
        const [, contents] = GLib.file_get_contents(`/proc/self/fd/${fds.get(0)}`);
        assertEqual(new TextDecoder().decode(contents), 'written');
        file.delete(null);
        await rpc.close_async();
    };

    tests[`${name}/blobs`] = async () => {
        const rpc = makeRpc(runtime, 'values_echo');
        const blob = new Uint8Array(LARGE);
        for (let i = 0; i < LARGE; i += 4096)
            blob[i] = i >> 12;
        for (let round = 0; round < 2; round++) {
            const job = AFork.Job.new(round, {blobs: [blob, new Uint8Array([1])]});
            finishCollection();
            assertEqual(await rpc.run_job_async(job), round);
            const [large, small] = job.view_blobs();
            assertEqual(large.length, LARGE);
            for (let i = 0; i < LARGE; i += 4096) {
                if (large[i] !== (i >> 12) % 256)
                    throw new Error(`byte ${i} is ${large[i]}`);
            }
            large[1] = 5;
            assertEqual(small[0], 1);
        }
        finishCollection();
        await rpc.close_async();
    };
}

const tests = {};
addTests(tests, 'native', AFork.Runtime.get_native());
const python = GLib.getenv('AFORK_TEST_PYTHON');
if (python !== null) {
    const runtime = AFork.Runtime.get_python();
    runtime.set_executable(python);
    runtime.set_module_path([`${FOLDER}/modules`]);
    addTests(tests, 'python', runtime);
}
run(tests);
