// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the override adds: promises, values, checks of arguments, iterations, and closing.

import AFork from 'gi://AFork?version=1';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

import {assert, assertDeepEqual, assertEqual, assertRejects, assertThrows, run}
    from './harness.js';

Gio._promisify(Gio.InputStream.prototype, 'read_bytes_async', 'read_bytes_finish');

const CANCELLED = [Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED];

function makeProcess(module) {
    return AFork.Process.new_for_runtime(AFork.Runtime.get_native()).require(module);
}

function makeRpc(func, module = 'values') {
    return AFork.Rpc.new(makeProcess(module), func);
}

function collectGarbage() {
    for (let i = 0; i < 3; i++)
        System.gc();
}

// Lets the main loop dispatch what is ready.
function iterate() {
    return new Promise(resolve => GLib.idle_add(GLib.PRIORITY_LOW, () => {
        resolve();
        return GLib.SOURCE_REMOVE;
    }));
}

async function readAll(connection) {
    let text = '';
    for (;;) {
        const bytes = await connection.get_input_stream().read_bytes_async(4096, 0, null);
        if (bytes.get_size() === 0)
            return text;
        text += new TextDecoder().decode(bytes.toArray());
    }
}

const tests = {};

tests['process/send'] = async () => {
    const process = makeProcess('echo');
    assertEqual(process.send('text', new Uint8Array([98, 0]), new GLib.Bytes([99])), process);
    const connection = await process.run_async('echo');
    connection.get_socket().shutdown(false, true);
    const text = await readAll(connection);
    assert(text.includes('text') && text.includes('b') && text.includes('c'), text);
    assertEqual(await process.close_async(), true);
    assertEqual(process.state, AFork.ProcessState.EXITED);
};

tests['process/refused'] = () => {
    const process = makeProcess('echo');
    const item = 'a string, a Uint8Array or an object with get_fd()';
    const fd = 'a descriptor or an object with get_fd()';
    for (const [call, text] of [
        [() => process.send('a', undefined), `items[1] must be ${item}, not undefined`],
        [() => process.send(3), `items[0] must be ${item}, not number`],
        [() => process.send(null), `items[0] must be ${item}, not null`],
        [() => process.send(['a']), `items[0] must be ${item}, not Array`],
        [() => process.send('a\0'), 'items[0] must not have NUL characters'],
        [() => process.send_fd(undefined), `fd must be ${fd}, not undefined`],
        [() => process.send_fd('x'), `fd must be ${fd}, not string`],
        [() => process.send_fd(1.7), `fd must be ${fd}, not number`],
        [() => process.send_fd(2 ** 40), `fd must be ${fd}, not number`],
        [() => process.send_fd(null), `fd must be ${fd}, not null`],
        [() => process.send_fd(true), `fd must be ${fd}, not boolean`],
        [() => process.map_fd(0, '1'), `target must be ${fd}, not string`],
        [() => process.send_arg('a\0b'), 'arg must not have NUL characters'],
        [() => process.send_arg(5), 'arg must be a string, not number'],
        [() => process.send_bytes('abc'), 'bytes must be a Uint8Array, not string'],
        [() => process.call('f', 'abc'), 'args must be an Array of strings, not string'],
        [() => process.call('f', ['a', 1]), 'args[1] must be a string, not number'],
        [() => process.require(), 'module must be a string, not undefined'],
        [() => process.setenv('A', 5), 'value must be a string, not number'],
        [() => process.send_signal('TERM'), 'signal must be an integer, not string'],
        [() => process.set_spare(1.5), 'spare must be an integer, not number'],
        [() => process.set_die_with_parent(1), 'die_with_parent must be a boolean, not number'],
        [() => process.run_async('f', 'now'),
            'cancellable must be a Gio.Cancellable or null, not string'],
        [() => process.run_async(), 'function must be a string, not undefined'],
        [() => process.exec('ls'), 'argv must be an Array of strings, not string'],
        [() => AFork.Runtime.new_command('a', 'ls'),
            'argv must be an Array of strings, not string'],
        [() => AFork.Process.new_from_fd('3'), `fd must be ${fd}, not string`],
    ])
        assertEqual(assertThrows(TypeError, call).message, text);
};

tests['process/errors'] = async () => {
    const error = await assertRejects(makeProcess('there-is-none').run_async('f'), AFork.Error,
        AFork.Error.MODULE);
    assert(error.message.includes('there-is-none'), error.message);
    assert(error.stack.includes('Promise created here'), error.stack);
    const cancellable = new Gio.Cancellable();
    const run = makeProcess('echo').run_async('echo', cancellable);
    cancellable.cancel();
    await assertRejects(run, ...CANCELLED);
    await assertRejects(makeProcess('echo').run_async('echo', cancellable), ...CANCELLED);
};

tests['calls/values'] = async () => {
    const rpc = makeRpc('values_echo');
    const value = {
        list: [1, 2, 3], mixed: [1, 'a', null, 1.5], bytes: new Uint8Array([1, 2]), flag: true,
        large: 2n ** 62n, nested: {a: [{b: 'ä'}]},
    };
    for (const result of [rpc.call(value), await rpc.call_async(value)]) {
        assertDeepEqual(result, value);
        assert(result.bytes instanceof Uint8Array);
    }
    assertEqual(await rpc.call_async(), null);
    assertEqual(rpc.call(null), null);
    const variant = new GLib.Variant('(is)', [1, 'a']);
    assert((await rpc.call_async(variant)).equal(variant));
    assert(rpc.call(variant, null).equal(variant));
    const text = 'args[1].k: undefined cannot be sent; use null';
    const wrong = [0, {k: undefined}];
    assertEqual(assertThrows(TypeError, () => rpc.call(wrong)).message, text);
    assertEqual(assertThrows(TypeError, () => rpc.call_async(wrong)).message, text);
    assertThrows(TypeError, () => rpc.call_async(() => 1));
    await rpc.close_async();
};

tests['calls/large'] = async () => {
    const rpc = makeRpc('values_echo');
    const value = Array.from({length: 50000}, (_, i) => [i, `${i}`]);
    let n = 0;
    const source = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
        n++;
        return GLib.SOURCE_CONTINUE;
    });
    assertDeepEqual(await rpc.call_async(value), value);
    assert(n > 1, `the main loop went on ${n} times`);
    GLib.source_remove(source);
    await rpc.close_async();
};

tests['calls/callback'] = async () => {
    const rpc = makeRpc('values_echo');
    const variant = await new Promise((resolve, reject) => {
        rpc.call_async([1, 2], null, (source, result) => {
            try {
                resolve(source.call_finish(result));
            } catch (error) {
                reject(error);
            }
        });
    });
    assertEqual(variant.print(false), '[1, 2]');
    // A program that makes promises itself goes on to work.
    Gio._promisify(AFork.Rpc.prototype, 'close_async', 'close_finish');
    assertEqual(await rpc.close_async(null), true);
    assertEqual(await makeRpc('values_echo').close_async(), true);
};

tests['calls/errors'] = async () => {
    const rpc = makeRpc('values_fail');
    const error = await assertRejects(rpc.call_async('dog'), Gio.IOErrorEnum,
        Gio.IOErrorEnum.NOT_FOUND);
    assertEqual(error.message, 'There is no dog');
    assertThrows(GLib.Error, () => rpc.call('dog'));
    const stuck = makeRpc('calls_do', 'calls');
    const cancellable = new Gio.Cancellable();
    const call = stuck.call_async(new GLib.Variant('(su)', ['stuck', 0]), cancellable);
    cancellable.cancel();
    await assertRejects(call, ...CANCELLED);
    await rpc.close_async();
};

tests['calls/collected'] = async () => {
    const calls = [];
    for (let i = 0; i < 20; i++)
        calls.push(makeRpc('values_echo').call_async({i}));
    collectGarbage();
    const results = [];
    for (const call of calls) {
        results.push(await call);
        collectGarbage();
    }
    assertDeepEqual(results, Array.from({length: 20}, (_, i) => ({i})));
};

tests['job'] = async () => {
    const rpc = makeRpc('values_count');
    const job = AFork.Job.new(50, {timeout: 20000, priority: 1});
    assertEqual(job.timeout, 20000);
    const reported = [];
    const emitted = [];
    const listen = async () => {
        for await (const event of rpc.events())
            emitted.push(event);
    };
    const listening = listen();
    const reading = (async () => {
        for await (const progress of job.reports())
            reported.push(progress);
    })();
    collectGarbage();
    assertEqual(await rpc.run_job_async(job), 50);
    await reading;
    assertEqual(job.unpack(), 50);
    assertEqual(await job.unpack_async(), 50);
    await rpc.close_async();
    await listening;
    const expected = Array.from({length: 50}, (_, i) => i);
    assertDeepEqual(reported, expected);
    assertDeepEqual(emitted, expected);
    assertThrows(Error, () => AFork.Job.new(1).unpack());
    assertEqual(assertThrows(TypeError, () => job.set_timeout('1')).message,
        'timeout must be an integer, not string');
    for (const [options, message] of [
        [{timeout: '1'}, 'timeout must be an integer, not string'],
        [{timeout: 1.5}, 'timeout must be an integer, not number'],
        [{retries: '3'}, 'retries must be an integer, not string'],
        [{priority: 2 ** 31}, 'priority must be an integer of 32 bits, not number'],
        [{coalesce: 'no'}, 'coalesce must be a boolean, not string'],
        [{key: 5}, 'key must be a string, not number'],
        [{fds: 5}, 'fds must be an Array of descriptors, not number'],
        [{fds: [-1]}, 'fds[0] must be a descriptor or an object with get_fd(), not number'],
        [{blobs: 'abc'}, 'blobs must be an Array of bytes, not string'],
        [null, 'options must be an object, not null'],
    ])
        assertEqual(assertThrows(TypeError, () => AFork.Job.new(1, options)).message, message);
    assertThrows(Error, () => AFork.Job.new(1, {timeout: -1}));
    assertThrows(Error, () => AFork.Job.new(1, {unknown: 1}));
    const list = Gio.UnixFDList.new();
    assertEqual(AFork.Job.new(1, {fds: list}).get_fds(), list);
    assertEqual(AFork.Job.new(1, {fds: null}).get_fds(), null);
    assertEqual(assertThrows(TypeError, () => AFork.Job.new([undefined])).message,
        'args[0]: undefined cannot be sent; use null');
};

tests['job/blobs'] = async () => {
    const rpc = makeRpc('values_echo');
    const large = new Uint8Array(4 << 20).fill(7);
    const file = Gio.File.new_for_path('/dev/null').read(null);
    const job = AFork.Job.new('x', {blobs: [large, new Uint8Array([1])], fds: [0, file]});
    assertEqual(await rpc.run_job_async(job), 'x');
    const [first, second] = job.view_blobs();
    assertEqual(first.length, large.length);
    assertEqual(first[1000], 7);
    first.fill(9);
    second[0] = 5;
    // With newer versions of GJS, each view is a copy of its own.
    assert([1, 5].includes(job.view_blobs()[1][0]), 'a wrong byte');
    assertEqual(job.get_result_fds().get_length(), 2);
    assertThrows(TypeError, () => AFork.Job.new(1, {fds: ['0']}));
    assertThrows(TypeError, () => AFork.Job.new(1, {blobs: ['abc']}));
    await rpc.close_async();
};

tests['events/collected'] = async () => {
    const rpc = makeRpc('values_count');
    rpc.events();
    rpc.events().close();
    collectGarbage();
    await iterate();
    assertEqual(await rpc.call_async(3), 3);
    const events = rpc.events();
    const waiting = [events.next(), events.next()];
    await rpc.call_async(1);
    assertDeepEqual(await waiting[0], {value: 0, done: false});
    events.close();
    assertEqual((await waiting[1]).done, true);
    assertEqual((await events.next()).done, true);
    await rpc.close_async();
    for await (const event of rpc.events())
        throw new Error(`an event after the end: ${event}`);
};

tests['pool/map'] = async () => {
    const pool = AFork.Pool.new(makeProcess('values'), 'values_echo');
    pool.max_workers = 2;
    const items = Array.from({length: 40}, (_, i) => ({i}));
    const results = [];
    for await (const job of pool.map(items))
        results.push(job.unpack());
    assertDeepEqual(results, items);

    results.length = 0;
    for (const job of pool.map(new Set(['a', 'b'])))
        results.push(job.unpack());
    assertDeepEqual(results, ['a', 'b']);

    const map = pool.map(items, AFork.MapFlags.UNORDERED);
    for await (const job of map) {
        assert(job.unpack().i < 40);
        break;
    }
    assertThrows(AFork.Error, () => map.next());

    for (const wrong of ['abc', new Uint8Array(1), 5, null, new Map(), {}])
        assertThrows(TypeError, () => pool.map(wrong));
    assertEqual(assertThrows(TypeError, () => pool.map([1, undefined])).message,
        'items[1]: undefined cannot be sent; use null');
    await pool.close_async();
    assertEqual(pool.n_workers, 0);
};

tests['pool/events'] = async () => {
    const pool = AFork.Pool.new(makeProcess('values'), 'values_count');
    const emitted = [];
    const reading = (async () => {
        for await (const event of pool.events())
            emitted.push(event);
    })();
    assertEqual(await pool.call_async(3), 3);
    collectGarbage();
    await pool.close_async();
    await reading;
    assertDeepEqual(emitted, [0, 1, 2]);
};

tests['pool/events/end'] = async () => {
    const collect = async events => {
        const emitted = [];
        for await (const event of events)
            emitted.push(event);
        return emitted;
    };
    const cancelled = new Gio.Cancellable();
    cancelled.cancel();
    const mode = AFork.ShutdownMode.DRAIN;

    // The shutdown goes on if the wait for it is cancelled, and then ends events.
    for (const shutDown of [
        pool => assertRejects(pool.shutdown_async(mode, cancelled), ...CANCELLED),
        pool => assertThrows(GLib.Error, () => pool.shutdown(mode, cancelled)),
        pool => new Promise(resolve => {
            pool.shutdown_async(mode, null, (_, result) => resolve(pool.shutdown_finish(result)));
        }),
        pool => pool.shutdown(mode),
    ]) {
        const pool = AFork.Pool.new(makeProcess('values'), 'values_count');
        const events = pool.events();
        assertEqual(await pool.call_async(2), 2);
        await shutDown(pool);
        assertDeepEqual(await collect(events), [0, 1]);
        assertDeepEqual(await collect(pool.events()), []);
    }
    const pool = AFork.Pool.new(makeProcess('values'), 'values_count');
    assertThrows(TypeError, () => pool.shutdown('drain'));
    assertThrows(TypeError, () => pool.shutdown_async('drain'));
    assertThrows(TypeError, () => pool.shutdown(7));
    assertThrows(TypeError, () => pool.shutdown_async(7));
    assertEqual(await pool.call_async(2), 2);
    await pool.close_async();
};

tests['sandbox'] = async () => {
    const effects = await AFork.Sandbox.probe_async();
    assert(effects.is_of_type(new GLib.VariantType('a{sv}')));
    assertThrows(TypeError, () => new AFork.Sandbox().set_memory('1 GB'));
    assertThrows(TypeError, () => new AFork.Sandbox().set_read_paths('/usr'));
};

tests['dispose'] = async () => {
    for (const cls of [AFork.Process, AFork.Rpc, AFork.Pool, AFork.Map]) {
        assertEqual(typeof cls.prototype.close, 'function');
        assertEqual(typeof cls.prototype.close_async, 'function');
        if (Symbol.asyncDispose !== undefined)
            assertEqual(typeof cls.prototype[Symbol.asyncDispose], 'function');
    }
    const process = makeProcess('echo');
    assertEqual(process.close(), true);
    assertEqual(process.state, AFork.ProcessState.EXITED);
};

tests['growth'] = async () => {
    const rpc = makeRpc('values_echo');
    const getSize = () => {
        const [, bytes] = GLib.file_get_contents('/proc/self/statm');
        return parseInt(new TextDecoder().decode(bytes).split(' ')[1]);
    };
    const callMany = async n => {
        for (let i = 0; i < n; i += 50)
            await Promise.all(Array.from({length: 50}, (_, j) => rpc.call_async([i, j, 'text'])));
        collectGarbage();
    };
    const grow = async () => {
        const before = getSize();
        for (let i = 0; i < 5; i++)
            await callMany(2000);
        return getSize() - before;
    };
    // First until the heap has the size that the collector lets it have.
    await grow();
    const grown = await grow();
    assert(grown < 2048, `grew by ${grown} pages`);
    await rpc.close_async();
};

run(tests);
