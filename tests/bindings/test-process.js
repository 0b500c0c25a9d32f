// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Processes from JavaScript: each call, its results, errors, signals and properties.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {assert, assertEqual, run} from '../gjs/harness.js';
import {echo, readAll} from './connections.js';

// The workers are written in C, also where the override is loaded.
AFork.Runtime.get_native().set_default();

const SIGTERM = 15;
const SIGKILL = 9;

const MAY_EVAL = GLib.getenv('AFORK_TEST_EVAL') !== null;
const CODE = `
#include <stdio.h>
#include <afork/worker/afork-worker.h>

static char greeting[100];

void
afork_eval_init (int argc, const char * const *argv)
{
  snprintf (greeting, sizeof greeting, "%s, %s", argv[0], argv[1]);
}

void
greet (int socket, const AForkItem *items, size_t n_items)
{
  dprintf (socket, "%s %s", greeting, items[0].data);
}
`;

Gio._promisify(AFork.Process.prototype, 'run_async', 'run_finish');
Gio._promisify(AFork.Process.prototype, 'wait_async', 'wait_finish');

async function assertRejects(promise, domain, code) {
    try {
        await promise;
    } catch (error) {
        assert(error instanceof domain, `${error} is of another domain`);
        assert(error.matches(domain, code), `${error} has another code`);
        return error.message;
    }
    throw new Error('there was no error');
}

function exited(process) {
    return new Promise(resolve => process.connect('exited', (_, status) => resolve(status)));
}

const tests = {
    async strings_and_bytes() {
        const process = AFork.Process.new();
        assertEqual(process.require('echo'), process);
        process.send_arg('ein ').send_arg('').send_bytes(new GLib.Bytes('zw\0ei'));

        const connection = await process.run_async('echo', null);
        connection.get_output_stream().write_all(' three', null);
        connection.get_socket().shutdown(false, true);

        assertEqual(await readAll(connection), 'ein zw\0ei three');
        assertEqual(await process.wait_async(null), true);
    },

    async descriptor() {
        const [file, stream] = Gio.File.new_tmp('afork-test-XXXXXX');
        stream.get_output_stream().write_all('twelve bytes', null);
        const inode = file.query_info('unix::inode', Gio.FileQueryInfoFlags.NONE, null)
            .get_attribute_uint64('unix::inode');

        const process = AFork.Process.new().require('describe');
        process.send_fd(stream.get_output_stream().get_fd());
        stream.close(null);
        file.delete(null);

        const connection = await process.run_async('describe', null);
        assertEqual(await readAll(connection), `fd ${inode} 12\n`);
    },

    async call() {
        const process = AFork.Process.new().require('describe').call('remember', ['one', 'two']);
        assertEqual(await readAll(await process.run_async('recall', null)), '2 6');
    },

    async call_without_arguments() {
        const process = AFork.Process.new().require('describe').call('remember', null);
        assertEqual(await readAll(await process.run_async('recall', null)), '0 0');
    },

    async eval() {
        if (!MAY_EVAL) {
            print('# This build does not evaluate code');
            return;
        }
        const template = AFork.Process.new();
        assertEqual(template.eval(CODE, ['Guten Tag', 'liebe']), template);

        for (const name of ['Ada', 'Grace']) {
            const process = template.fork().send_arg(name);
            const text = await readAll(await process.run_async('greet', null));
            assertEqual(text, `Guten Tag, liebe ${name}`);
        }

        const message = await assertRejects(
            AFork.Process.new().eval('int x = 1\nint y;', null).run_async('greet', null),
            AFork.Error, AFork.Error.EVAL);
        assert(message.includes('<string>:2: error: '), message);
    },

    async fork() {
        const template = AFork.Process.new().require('echo').send_arg('both ');
        const first = template.fork().send_arg('first');
        const second = template.fork().send_arg('second');

        const texts = await Promise.all([echo(second), echo(first)]);
        assertEqual(texts.join(), 'both second,both first');
        assertEqual(template.get_state(), AFork.ProcessState.PREPARING);
    },

    async run_blocking() {
        const process = AFork.Process.new_exec(null).require('lifecycle');
        process.run('done', null);
        assertEqual(process.wait(null), true);
    },

    async error_module() {
        const process = AFork.Process.new().require('no-such-module');
        const message = await assertRejects(process.run_async('anything', null),
            AFork.Error, AFork.Error.MODULE);
        assert(message.includes('no-such-module'), message);
        await process.wait_async(null);
        assert(process.get_exit_status()[1] > 0, 'it exited with status 0');
    },

    async error_function() {
        const process = AFork.Process.new().require('echo');
        const message = await assertRejects(process.run_async('no_such_function', null),
            AFork.Error, AFork.Error.FUNCTION);
        assert(message.includes('no_such_function'), message);
    },

    async error_run_twice() {
        const process = AFork.Process.new().require('lifecycle');
        await process.run_async('done', null);
        await assertRejects(process.run_async('done', null), AFork.Error, AFork.Error.CLOSED);
    },

    async cancelled() {
        const process = AFork.Process.new().require('lifecycle');
        const cancellable = new Gio.Cancellable();
        cancellable.cancel();
        await assertRejects(process.run_async('done', cancellable),
            Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED);
    },

    async exit_status() {
        const process = AFork.Process.new().require('lifecycle').send_arg('3');
        await process.run_async('exit_with', null);
        assertEqual(await process.wait_async(null), true);
        assertEqual(process.get_exit_status().join(), 'true,3');
        assertEqual(process.get_term_signal()[0], false);

        const [known, , , size] = process.get_usage();
        assertEqual(known, true);
        assert(size > 0, 'it took no memory');
    },

    async signal() {
        const process = AFork.Process.new().require('lifecycle');
        const connection = await process.run_async('forever', null);
        process.send_signal(SIGTERM);
        assertEqual(await process.wait_async(null), true);
        assertEqual(process.get_term_signal().join(), `true,${SIGTERM}`);
        assertEqual(process.get_exit_status()[0], false);
        assertEqual(await readAll(connection), '');
    },

    async force_exit() {
        const process = AFork.Process.new().require('lifecycle');
        const connection = await process.run_async('forever', null);
        process.force_exit();
        assertEqual(await process.wait_async(null), true);
        assertEqual(process.get_term_signal()[1], SIGKILL);
        assertEqual(await readAll(connection), '');
    },

    async exited() {
        const process = AFork.Process.new().require('lifecycle').send_arg('7');
        const end = exited(process);
        await process.run_async('exit_with', null);
        assertEqual(await end, 7 << 8);
        assertEqual(process.state, AFork.ProcessState.EXITED);
    },

    async properties() {
        const process = AFork.Process.new();
        const states = [];
        process.connect('notify::state', () => states.push(process.state));
        assertEqual(process.runtime, AFork.Runtime.get_native());
        assertEqual(process.pid, 0);
        assertEqual(process.function, null);
        process.title = 'from JavaScript';
        assertEqual(process.get_title(), 'from JavaScript');

        const connection = await process.require('lifecycle').run_async('until_closed', null);
        assertEqual(process.function, 'until_closed');
        assertEqual(process.state, AFork.ProcessState.RUNNING);
        assert(process.pid > 0, 'it has no pid');
        const [, line] = GLib.file_get_contents(`/proc/${process.pid}/cmdline`);
        assert(new TextDecoder().decode(line).includes('from JavaScript'), 'it has no title');

        const end = exited(process);
        connection.close(null);
        assertEqual(await end, 0);
        assertEqual(states.join(), [
            AFork.ProcessState.PREPARING,
            AFork.ProcessState.RUNNING,
            AFork.ProcessState.EXITED,
        ].join());
    },

    async runtime() {
        const server = GLib.getenv('AFORK_SERVER');
        const runtime = new AFork.Runtime({
            name: 'nice',
            argv: ['nice', server],
            can_fork: true,
            can_pass_fds: true,
            module_path: ['/nowhere'],
        });
        assertEqual(runtime.name, 'nice');
        assertEqual(runtime.dup_argv().join(), `nice,${server}`);
        assertEqual(runtime.module_path.join(), '/nowhere');

        const process = AFork.Process.new_for_runtime(runtime).require('echo').send_arg('nicely');
        assertEqual(await echo(process), 'nicely');
        runtime.set_template(null);
    },

    async default_template() {
        const runtime = AFork.Runtime.get_default();
        runtime.get_template().require('echo');
        assertEqual(await echo(AFork.Process.new().send_arg('already there')), 'already there');
        runtime.set_template(null);
    },

    async recreate() {
        const process = AFork.Process.new().require('echo').send_arg('again');
        assertEqual(await echo(process.recreate()), 'again');
        process.send_fd(0);
        await assertRejects((async () => process.recreate())(), AFork.Error,
            AFork.Error.NOT_SUPPORTED);
    },
};

run(tests);
