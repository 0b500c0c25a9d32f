// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What else becomes of processes, from JavaScript: programs, other callers, spares, templates.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {assert, assertEqual, run} from '../gjs/harness.js';
import {echo, readAll} from './connections.js';

// The workers are written in C, also where the override is loaded.
AFork.Runtime.get_native().set_default();

for (const call of ['run', 'exec', 'detach', 'wait'])
    Gio._promisify(AFork.Process.prototype, `${call}_async`, `${call}_finish`);

function assertCode(error, code) {
    assert(error instanceof AFork.Error, `${error} is of another domain`);
    assert(error.matches(AFork.Error, code), `${error} has another code`);
    return error.message;
}

function assertThrows(call, code) {
    try {
        call();
    } catch (error) {
        return assertCode(error, code);
    }
    throw new Error('there was no error');
}

async function assertRejects(promise, code) {
    try {
        await promise;
    } catch (error) {
        return assertCode(error, code);
    }
    throw new Error('there was no error');
}

// Waits for something of which nothing tells.
function until(isDone) {
    return new Promise(resolve => GLib.timeout_add(GLib.PRIORITY_DEFAULT, 5, () => {
        if (!isDone())
            return GLib.SOURCE_CONTINUE;
        resolve();
        return GLib.SOURCE_REMOVE;
    }));
}

function children(process) {
    const [, text] = GLib.file_get_contents(`/proc/${process.pid}/task/${process.pid}/children`);
    return new TextDecoder().decode(text).split(' ').filter(pid => pid !== '');
}

// Whether a process has not ended; one that has, and that nobody has reaped yet, is there still.
function lives(pid) {
    try {
        const [, text] = GLib.file_get_contents(`/proc/${pid}/stat`);
        return !/\) [ZX] /.test(new TextDecoder().decode(text));
    } catch {
        return false;
    }
}

// What this program does if it is executed as a caller, which is going to be killed. Its worker
// does not read its socket.
function beCaller() {
    const process = AFork.Process.new().require('lifecycle');
    process.die_with_parent = true;
    const connection = process.run('forever', null);
    print(process.pid);
    new GLib.MainLoop(null, false).run();
    connection.close(null);
}

const tests = {
    async program() {
        const process = AFork.Process.new().setenv('GREETING', 'hello');
        const script = 'read x; echo $GREETING $x; exit 4';
        const connection = await process.exec_async(['sh', '-c', script], null);
        connection.get_output_stream().write_all('world\n', null);
        assertEqual(await readAll(connection), 'hello world\n');
        assertEqual(await process.wait_async(null), true);
        assertEqual(process.get_exit_status().join(), 'true,4');
    },

    async program_blocking() {
        const connection = AFork.Process.new().exec(['echo', 'blocking'], null);
        assertEqual(await readAll(connection), 'blocking\n');
    },

    async program_missing() {
        const process = AFork.Process.new();
        const message = await assertRejects(process.exec_async(['/nowhere/program'], null),
            AFork.Error.SPAWN);
        assert(message.includes('/nowhere/program'), message);
    },

    async taken_over() {
        const given = AFork.Process.new().require('echo').send_arg('prepared here ');
        const fd = await given.detach_async(null);
        assert(fd > 2, `${fd} is no descriptor of its own`);

        // The descriptor is the new object's from here on.
        const taken = AFork.Process.new_from_fd(fd).send_arg('and there');
        assertEqual(await echo(taken), 'prepared here and there');
        assertEqual(await given.wait_async(null), true);
        assertEqual(given.get_exit_status().join(), 'true,0');
        assertEqual(taken.pid, given.pid);
        await assertRejects(given.detach_async(null), AFork.Error.CLOSED);
    },

    async taken_over_blocking() {
        const given = AFork.Process.new().require('echo').send_arg('at once');
        assertEqual(await echo(AFork.Process.new_from_fd(given.detach(null))), 'at once');
    },

    async spare() {
        const template = AFork.Process.new().require('echo');
        template.spare = 1;
        assertEqual(template.get_spare(), 1);
        await until(() => template.pid !== 0 && children(template).length === 1);
        const [ready] = children(template);

        const process = template.fork().send_arg('spared');
        assertEqual(await echo(process), 'spared');
        assertEqual(`${process.pid}`, ready);
        template.spare = 0;
    },

    async die_with_parent() {
        const process = AFork.Process.new().require('echo').send_arg('tied');
        assertEqual(process.die_with_parent, false);
        process.die_with_parent = true;
        assertEqual(process.get_die_with_parent(), true);
        assertEqual(await echo(process), 'tied');
    },

    async die_with_parent_killed() {
        const [program] = GLib.filename_from_uri(import.meta.url);
        const caller = Gio.Subprocess.new(['gjs', '-m', program, 'caller'],
            Gio.SubprocessFlags.STDOUT_PIPE);
        const output = Gio.DataInputStream.new(caller.get_stdout_pipe());
        const worker = Number(output.read_line_utf8(null)[0]);
        assert(worker > 0 && lives(worker), `${worker} is no worker`);
        caller.force_exit();
        await until(() => !lives(worker));
        caller.wait(null);
    },

    // JavaScript always has threads, so it is not forked.
    async template_refused() {
        const message = assertThrows(() => AFork.Process.new_template(), AFork.Error.THREADS);
        assert(message.includes('JS Helper'), message);
        assertThrows(() => AFork.early(), AFork.Error.THREADS);
    },

    async self_refused() {
        const process = AFork.Process.new_for_runtime(AFork.Runtime.get_self());
        const message = await assertRejects(process.run_async('anything', null),
            AFork.Error.SPAWN);
        assert(message.includes('afork_init()'), message);
    },

    // A function's address means nothing here, and the interpreter is no server.
    async only_for_c() {
        assertEqual(AFork.Process.prototype.run_func_async, undefined);
        assertEqual(AFork.Process.prototype.run_func_finish, undefined);
        assertEqual(AFork.init, undefined);
    },
};

if (System.programArgs.includes('caller'))
    beCaller();
else
    run(tests);
