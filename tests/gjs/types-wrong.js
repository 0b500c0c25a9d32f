// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Wrong uses, each with the error that a type checker must find in its line, and no others. At run
// time, each throws a TypeError: test-wrong-uses.js calls them.

import AFork from 'gi://AFork?version=1';

const native = AFork.Runtime.get_native();
const process = AFork.Process.new_for_runtime(native);
const rpc = AFork.Rpc.new(AFork.Process.new_for_runtime(native), 'function');
const pool = AFork.Pool.new(AFork.Process.new_for_runtime(native), 'function');
const job = AFork.Job.new();

/** @type {(() => unknown)[]} */
export const uses = [
    () => process.send(undefined),  // TS2345
    () => process.send(null),  // TS2345
    () => process.send(3),  // TS2345
    () => process.send(true),  // TS2345
    () => process.send(['text']),  // TS2322
    () => process.send_fd('0'),  // TS2345
    () => process.send_fd(undefined),  // TS2345
    () => process.send_fd(null),  // TS2345
    () => process.map_fd(0, '1'),  // TS2345
    () => process.send_arg(5),  // TS2345
    () => process.send_bytes('abc'),  // TS2345
    () => process.call('f', 'abc'),  // TS2345
    () => process.require(),  // TS2554
    () => process.require_file('module.js'),  // TS2345
    () => process.setenv('A', 5),  // TS2345
    () => process.send_signal('TERM'),  // TS2345
    () => process.set_spare('1'),  // TS2345
    () => process.set_die_with_parent(1),  // TS2345
    () => process.run_async('f', 'now'),  // TS2345
    () => process.run_async(),  // TS2554
    () => process.exec('ls'),  // TS2345
    () => AFork.Runtime.new_command('a', 'ls'),  // TS2345
    () => AFork.Runtime.new_agent('a', 'ls'),  // TS2345
    () => AFork.Runtime.new_ssh(null),  // TS2345
    () => native.set_ssh_options('-p22'),  // TS2345
    () => native.set_keepalive('1'),  // TS2345
    () => native.set_remote_runtime(1),  // TS2345
    () => AFork.Process.new_from_fd('3'),  // TS2345
    () => rpc.call([undefined]),  // TS2769
    () => rpc.call(() => 1),  // TS2769
    () => rpc.call({when: new Date()}),  // TS2769
    () => rpc.call_async(Symbol('a')),  // TS2769
    () => rpc.call_async([new Set()]),  // TS2769
    () => rpc.set_max_in_flight('1'),  // TS2345
    () => pool.map('abc'),  // TS2345
    () => pool.map(5),  // TS2345
    () => pool.map([1, undefined]),  // TS2322
    () => pool.set_timeout('1'),  // TS2345
    () => pool.shutdown('drain'),  // TS2345
    () => job.set_timeout(null),  // TS2345
    () => job.set_coalesce(1),  // TS2345
    () => job.set_fds(['0']),  // TS2322
    () => job.add_blob('abc'),  // TS2345
    () => AFork.Job.new(1, {fds: ['0']}),  // TS2322
    () => new AFork.Sandbox().set_read_paths('/usr'),  // TS2345
    () => new AFork.Sandbox().set_memory('1 GB'),  // TS2345
    () => AFork.Sandbox.probe('now'),  // TS2345
    () => process.start(),  // TS2551
];
