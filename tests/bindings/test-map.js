// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Maps from JavaScript: arrays, lists of jobs, errors, and the end.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {assert as check, run} from '../gjs/harness.js';

// The workers are written in C, also where the override is loaded.
AFork.Runtime.get_native().set_default();

Gio._promisify(AFork.Map.prototype, 'next_async', 'next_finish');
Gio._promisify(AFork.Pool.prototype, 'shutdown_async', 'shutdown_finish');

async function takeAll(map) {
    const jobs = [];
    for (;;) {
        // One after the other: the next call waits for the next job.
        // eslint-disable-next-line no-await-in-loop
        const job = await map.next_async(null);
        if (job === null)
            return jobs;
        jobs.push(job);
    }
}

async function testArray(pool) {
    const items = [];
    for (let i = 0; i < 50; i++)
        items.push(['echo', i]);
    const map = pool.map(new GLib.Variant('a(su)', items), AFork.MapFlags.ORDERED);
    map.lookAhead = 5;
    const jobs = await takeAll(map);
    check(jobs.length === 50, 'number of jobs');
    check(jobs.every((job, i) => job.index === i && job.result.deepUnpack() === i), 'results');
}

async function testList(pool) {
    const list = Gio.ListStore.new(AFork.Job.$gtype);
    const map = pool.map_jobs(list, AFork.MapFlags.UNORDERED);
    list.append(AFork.Job.new(new GLib.Variant('(su)', ['error', Gio.IOErrorEnum.BUSY])));
    const [job] = await takeAll(map);
    check(job === list.get_item(0), 'job of the list');
    check(job.error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.BUSY), 'error of the job');
    check(job.state === AFork.JobState.FAILED, 'state');
    list.append(AFork.Job.new(new GLib.Variant('(su)', ['echo', 3])));
    check((await map.next_async(null)).index === 1, 'job that was appended');
}

async function testErrors(pool) {
    const map = pool.map(new GLib.Variant('s', 'echo'), AFork.MapFlags.ORDERED);
    let caught = null;
    try {
        await map.next_async(null);
    } catch (error) {
        caught = error;
    }
    check(caught?.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT), `error ${caught}`);
    caught = null;
    try {
        map.next(null);
    } catch (error) {
        caught = error;
    }
    check(caught?.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.INVALID_ARGUMENT), `error ${caught}`);
}

async function test() {
    const process = AFork.Process.new().require('pool');
    const pool = new AFork.Pool({process, function: 'pool_do', forwardStderr: false});
    await testArray(pool);
    await testList(pool);
    await testErrors(pool);
    check(await pool.shutdown_async(AFork.ShutdownMode.DRAIN, null), 'shutdown');
}

run({test});
