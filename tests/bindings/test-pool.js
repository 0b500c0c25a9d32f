// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Pools from JavaScript: calls, jobs, errors, and the end.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {assert as check, run} from '../gjs/harness.js';

// The workers are written in C, also where the override is loaded.
AFork.Runtime.get_native().set_default();

for (const name of ['call', 'run_job', 'shutdown'])
    Gio._promisify(AFork.Pool.prototype, `${name}_async`, `${name}_finish`);

function args(what, number) {
    return new GLib.Variant('(su)', [what, number]);
}

async function test() {
    const process = AFork.Process.new().require('pool');
    const pool = new AFork.Pool({process, function: 'pool_do', forwardStderr: false});
    pool.maxWorkers = 2;
    pool.maxMemory = 2 ** 32;
    pool.memoryMonitor = null;
    pool.set_power_monitor(null);
    check(pool.powerMonitor === null && !pool.adaptive, 'monitors');
    check(pool.get_max_memory() === 2 ** 32, 'memory');
    pool.add_template(process.fork(), 1);
    let exited = 0;
    pool.connect('worker-exited', (_pool, _process, error) => {
        exited++;
        check(error === null || error.matches(AFork.Error, AFork.Error.SIGNALED), `${error}`);
    });

    const calls = [];
    for (let i = 0; i < 20; i++)
        calls.push(pool.call_async(args('echo', i), null));
    const answers = await Promise.all(calls);
    check(answers.every((answer, i) => answer.deepUnpack() === i), 'answers');

    const job = AFork.Job.new(args('signal', 9));
    let caught = null;
    try {
        await pool.run_job_async(job, null);
    } catch (error) {
        caught = error;
    }
    check(caught?.matches(AFork.Error, AFork.Error.SIGNALED), `error ${caught}`);
    check(job.error.matches(AFork.Error, AFork.Error.SIGNALED), 'error of the job');
    check(pool.lastError.matches(AFork.Error, AFork.Error.SIGNALED), 'last error');

    const workers = pool.get_workers();
    check(workers.get_n_items() === pool.nWorkers, 'list of workers');
    for (let i = 0; i < workers.get_n_items(); i++)
        check(workers.get_item(i).host === null, 'worker');

    const stats = pool.get_stats().recursiveUnpack();
    check(stats['accepted'] === 21 && stats['results'] === 20 && stats['errors'] === 1, 'jobs');
    check(stats['workers-exited']['signaled'] === 1, 'workers that have exited');
    check(stats['workers'].every(worker => worker['host'] === ''), 'workers');
    const events = [];
    const id = pool.connect('event', (_pool, event) => events.push(event.deepUnpack()));
    const shared = [];
    for (let i = 0; i < 3; i++) {
        const equal = new AFork.Job({args: args('emit', 7), coalesce: true});
        shared.push(pool.run_job_async(equal, null));
    }
    const same = (await Promise.all(shared)).map(answer => answer.deepUnpack());
    check(same.every(answer => answer === same[0]) && events.length === 1, 'coalesce');
    pool.disconnect(id);

    check(pool.quarantineTime === 60000, 'quarantine time');
    for (const code of [AFork.Error.SIGNALED, AFork.Error.QUARANTINED]) {
        caught = null;
        try {
            await pool.call_async(args('signal', 9), null);
        } catch (error) {
            caught = error;
        }
        check(caught?.matches(AFork.Error, code), `error ${caught}`);
    }

    check(await pool.shutdown_async(AFork.ShutdownMode.DRAIN, null), 'shutdown');
    check(pool.nWorkers === 0 && exited >= 1, 'workers');
}

run({test});
