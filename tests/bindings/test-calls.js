// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Calls from JavaScript: results, errors, jobs with progress, and blobs that are written to.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {assert as check, run} from '../gjs/harness.js';

// The workers are written in C, also where the override is loaded.
AFork.Runtime.get_native().set_default();

for (const name of ['call', 'run_job', 'close'])
    Gio._promisify(AFork.Rpc.prototype, `${name}_async`, `${name}_finish`);

async function test() {
    const process = AFork.Process.new().require('calls');
    const rpc = new AFork.Rpc({process, function: 'calls_do', forwardStderr: false});
    const events = [];
    const progress = [];
    rpc.connect('event', (_rpc, event) => events.push(event.deepUnpack()));

    const job = AFork.Job.new(new GLib.Variant('(su)', ['report', 3]));
    job.connect('progress', (_job, value) => progress.push(value.deepUnpack()));
    check((await rpc.run_job_async(job, null)).deepUnpack() === 3, 'result');
    check(`${progress}` === '0,1,2' && `${events}` === '0,1,2', 'order');
    check(job.state === AFork.JobState.SUCCEEDED, 'state');

    let caught = null;
    try {
        await rpc.call_async(new GLib.Variant('(su)', ['error', Gio.IOErrorEnum.NOT_FOUND]), null);
    } catch (error) {
        caught = error;
    }
    check(caught?.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND), `error ${caught}`);
    check(await rpc.close_async(null), 'close');

    await testWrittenBlobs(true, 1024 * 1024, 12);
    await testWrittenBlobs(false, 1024 * 1024, 2);
    await testWrittenBlobs(false, 33 * 1024 * 1024, 1);
}

function countSegments() {
    const [, maps] = GLib.file_get_contents('/proc/self/maps');
    return new TextDecoder().decode(maps).split('memfd:afork-blob').length - 1;
}

// Sends a blob there and back, and returns a view of what came, which can be written to.
async function fetchBlob(rpc, size, byte) {
    const job = AFork.Job.new(new GLib.Variant('(su)', ['reverse-blobs', 0]));
    job.add_blob(new GLib.Bytes(new Uint8Array(size).fill(byte)));
    await rpc.run_job_async(job, null);
    return job.get_result_blobs()[0].toArray();
}

// What JavaScript writes to a blob is lost with it: the next one comes in the same memory, and is
// what was sent.
async function testWrittenBlobs(trusted, size, rounds) {
    const process = AFork.Process.new().require('calls');
    const rpc = new AFork.Rpc({process, function: 'calls_do', forwardStderr: false, trusted});

    for (let i = 0; i < rounds; i++) {
        const bytes = await fetchBlob(rpc, size, i);
        check(bytes.length === size && bytes.every(byte => byte === i), `blob ${i} of ${size}`);
        bytes[0] = 255;
        bytes[size - 1] = 255;
        bytes.fill(254, size / 2, size / 2 + 100 * (i + 1));
        check(bytes[0] === 255 && bytes[size / 2] === 254, 'written');
        System.gc();
        check(countSegments() <= 8, `${countSegments()} segments`);
    }
    check(await rpc.close_async(null), 'close');
}

run({test});
