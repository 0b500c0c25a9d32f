// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Calls from JavaScript: results, errors, jobs with progress.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

for (const name of ['call', 'run_job', 'close'])
    Gio._promisify(AFork.Rpc.prototype, `${name}_async`, `${name}_finish`);

const LIMIT = 50;       // seconds, after which something hangs

function check(condition, what) {
    if (!condition)
        throw new Error(what);
}

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
}

const loop = new GLib.MainLoop(null, false);
let status = 1;
GLib.timeout_add_seconds(GLib.PRIORITY_DEFAULT, LIMIT, () => System.exit(1));
test().then(() => (status = 0), error => printerr(`${error}\n${error.stack}`))
    .finally(() => loop.quit());
loop.run();
System.exit(status);
