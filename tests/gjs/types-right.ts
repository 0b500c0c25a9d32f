// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Right uses, in which a type checker must find no error.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';

interface Size { width: number; height: number; }

export async function useProcess(stream: Gio.Socket, file: Gio.File): Promise<string> {
    const process = AFork.Process.new().require('module').setenv('A', null).send('text',
        new Uint8Array([1]), new GLib.Bytes(new Uint8Array()), stream);
    process.require_file(file);
    process.send_fd(0).send_fd(stream).map_fd(0, 1).call('init').call('init', ['a']);
    process.connect('exited', (source, waitStatus) => source.pid + waitStatus);
    process.connect('notify::state', source => print(source.state, source.dieWithParent,
        source.die_with_parent));
    process.title = 'name';
    process.spare = 2;
    const connection: Gio.SocketConnection = await process.run_async('function', null);
    const other: Gio.SocketConnection = process.fork().run('function');
    process.wait_async(null, (source, result) => source.wait_finish(result));
    const exited: boolean = await process.wait_async();
    await process.close_async();
    return `${connection.get_socket()} ${other} ${exited} ${AFork.ProcessState.RUNNING}`;
}

export async function useCalls(): Promise<number> {
    const rpc = new AFork.Rpc({process: AFork.Process.new(), function: 'f', forwardStderr: false});
    const size: Size = await rpc.call_async<Size>({path: 'a', list: [1, 2n, null, true]});
    const variant: GLib.Variant = await rpc.call_async(new GLib.Variant('i', 1));
    const any = rpc.call(new Map([['a', new Uint8Array()]]));
    const job = AFork.Job.new(['a'], {fds: [0], blobs: [new Uint8Array()], timeout: 1000});
    for await (const progress of job.reports<number>())
        print(progress + 1);
    for await (const event of rpc.events())
        print(event);
    const blobs: Uint8Array[] = job.view_blobs();
    const cancellable = new Gio.Cancellable();
    await rpc.run_job_async(job, cancellable);
    await rpc.close_async();
    return size.width + blobs.length + any.length + variant.print(true).length;
}

export async function usePool(): Promise<string[]> {
    const pool = AFork.Pool.new(AFork.Process.new(), 'function');
    pool.max_workers = 4;
    pool.maxWorkers = 4;
    pool.connect('worker-exited', (source, process, error) => print(source, process.pid,
        error?.message));
    const texts: string[] = [];
    for await (const job of pool.map(['a', 'b'], AFork.MapFlags.UNORDERED))
        texts.push(job.unpack<string>());
    for (const job of pool.map(new Set([1])))
        print(job.get_error()?.message);
    await pool.shutdown_async(AFork.ShutdownMode.ABORT);
    return texts;
}

export async function useOthers(): Promise<boolean> {
    const sandbox = new AFork.Sandbox({network: false, readPaths: ['/usr'], memory: 1 << 30});
    sandbox.set_write_paths([]);
    const effects: GLib.Variant = await AFork.Sandbox.probe_async();
    const runtime = AFork.Runtime.new_command('name', ['program']);
    AFork.Process.new_for_runtime(runtime).restrict(sandbox);
    try {
        await AFork.Process.new_exec().run_async('f');
    } catch (error) {
        return error instanceof GLib.Error && error.matches(AFork.Error, AFork.Error.MODULE);
    }
    return effects.print(true) === '';
}
