// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A template that has done much, and workers that do what a fork must not break.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import System from 'system';

import {send} from './workers.js';

Gio._promisify(Gio.File.prototype, 'load_contents_async', 'load_contents_finish');
Gio._promisify(Gio.DBusConnection, 'new', 'new_finish');
Gio._promisify(Gio.DBusConnection.prototype, 'call', 'call_finish');

class Node {
    constructor(other) {
        this.other = other;
        this.data = {key: Array.from({length: 10}, (_, i) => `${i}`)};
    }
}

// Leaves objects in cycles, and what the collector has moved.
function churn(size) {
    const nodes = [];
    for (let i = 0; i < size; i++) {
        nodes.push(new Node(i > 0 ? nodes[i >> 1] : null));
        nodes[i >> 1].other = nodes[i];
    }
    const kept = nodes.filter((_, i) => i % 3 !== 0);
    System.gc();
    return kept;
}

// What the compiler optimizes in another thread.
function compute() {
    let sum = 0;
    for (let i = 0; i < 300000; i++)
        sum = sum * 31 + (i ^ sum >>> 3) | 0;
    return sum;
}

const {random} = Math;
const kept = [churn(30000), churn(30000), churn(30000)];
for (let i = 0; i < 20; i++)
    compute();
const expected = compute();
for (let i = 0; i < 1000; i++)
    random();
GLib.random_int();
await Promise.resolve();

async function withPromises() {
    const values = await Promise.all(Array.from({length: 100}, async (_, i) => {
        await null;
        return i;
    }));
    if (values.reduce((sum, value) => sum + value) !== 4950)
        throw new Error('promises');
}

async function withTimers() {
    await new Promise(resolve => setTimeout(resolve, 1));
    await new Promise(resolve => {
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
            resolve();
            return GLib.SOURCE_REMOVE;
        });
    });
    await new Promise(resolve => {
        GLib.idle_add(GLib.PRIORITY_LOW, () => {
            resolve();
            return GLib.SOURCE_REMOVE;
        });
    });
}

async function withFiles() {
    const [file, stream] = Gio.File.new_tmp('afork-hot-XXXXXX');
    stream.get_output_stream().write_all(new TextEncoder().encode('contents'), null);
    stream.close(null);
    const [bytes] = await file.load_contents_async(null);
    file.delete(null);
    if (new TextDecoder().decode(bytes) !== 'contents')
        throw new Error('files');
}

async function withImport() {
    const module = await import('./imported.js');
    if (module.value !== 17)
        throw new Error('import');
}

const INTERFACE = Gio.DBusNodeInfo.new_for_xml(`
<node><interface name='test.Echo'><method name='Echo'>
  <arg type='s' direction='in'/><arg type='s' direction='out'/>
</method></interface></node>`).interfaces[0];

// A call over D-Bus between two connections of this process.
async function withDBus() {
    const [listener, client] = [new Gio.SocketListener(), new Gio.SocketClient()];
    const address = Gio.UnixSocketAddress.new_with_type(
        [...new TextEncoder().encode(`afork-hot-${GLib.uuid_string_random()}`)],
        Gio.UnixSocketAddressType.ABSTRACT);
    listener.add_address(address, Gio.SocketType.STREAM, Gio.SocketProtocol.DEFAULT, null);
    const ours = client.connect(address, null);
    const [theirs] = listener.accept(null);
    const [served, used] = await Promise.all([
        Gio.DBusConnection.new(theirs, Gio.dbus_generate_guid(),
            Gio.DBusConnectionFlags.AUTHENTICATION_SERVER, null, null),
        Gio.DBusConnection.new(ours, null, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, null,
            null),
    ]);
    served.register_object('/', INTERFACE,
        (connection, sender, path, name, method, args, invocation) =>
            invocation.return_value(args), null, null);
    const answer = await used.call(null, '/', 'test.Echo', 'Echo',
        new GLib.Variant('(s)', ['text']), null, Gio.DBusCallFlags.NONE, -1, null);
    if (answer.deepUnpack()[0] !== 'text')
        throw new Error('D-Bus');
}

const parts = [withPromises, withTimers, withFiles, withImport, withDBus];

// Does all parts, and sends a line after each. The parts begin with another one each time.
export async function work(connection, first) {
    for (let i = 0; i < parts.length; i++) {
        const part = parts[(Number(first) + i) % parts.length];
        await part();
        send(connection, `${part.name}\n`);
    }
    churn(3000);
    if (compute() !== expected || kept.length !== 3)
        throw new Error('the heap');
    send(connection, `${JSON.stringify([Math.random(), random(), GLib.random_int(),
        GLib.uuid_string_random()])}\n`);
}
