#!/usr/bin/gjs -m
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Calls from JavaScript to a process in JavaScript: 64 bytes go there, and come back. Called as a
// case in C is (case.h); the variants are WAY:WHAT, where WAY is `afork`, or `gdbus`, which is a
// connection without a bus to a GJS that is executed, and WHAT is `echo`, or `start`: a process is
// started, called once, and exits.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

import {FOLDER, getMedian, load, now, parseArguments} from './gjs-binding.js';
import {INTERFACE} from './gjs-jobs.js';

const MODULE = GLib.build_filenamev([FOLDER, 'gjs-jobs.js']);
const ECHOED = new Uint8Array(64).fill(0x5a);

Gio._promisify(Gio.DBusConnection.prototype, 'call');
Gio._promisify(Gio.Subprocess.prototype, 'wait_async');

function check(bytes) {
    if (bytes.length !== ECHOED.length || bytes[0] !== ECHOED[0])
        throw new Error('a wrong result');
}

class AForkCallees {
    constructor(AFork) {
        this._AFork = AFork;
        this._template = AFork.Process.new().require(MODULE);
    }

    async start() {
        const rpc = this._AFork.Rpc.new(this._template.fork(), `${MODULE}:echo`);
        return {
            call: async () => check(await rpc.call_async(ECHOED)),
            end: () => rpc.close_async(),
        };
    }

    close() {}
}

class DBusCallees {
    constructor() {
        this._name = 'org.afork.Peer';
        this._type = new GLib.VariantType('(ay)');
        this._server = Gio.DBusServer.new_sync(`unix:tmpdir=${GLib.get_tmp_dir()}`,
            Gio.DBusServerFlags.NONE, Gio.dbus_generate_guid(), null, null);
        this._server.connect('new-connection', (server, connection) => {
            this._connected(connection);
            return true;
        });
        this._server.start();
    }

    async start() {
        const arrived = new Promise(resolve => {
            this._connected = resolve;
        });
        const process = Gio.Subprocess.new(
            ['/usr/bin/gjs', '-m', MODULE, 'serve', this._server.get_client_address()],
            Gio.SubprocessFlags.STDOUT_PIPE);
        const connection = await arrived;
        // It has registered its object.
        process.get_stdout_pipe().read_bytes(ECHOED.length, null);
        return {
            call: async () => {
                const result = await connection.call(null, '/org/afork/Peer', this._name, 'Echo',
                    new GLib.Variant('(ay)', [ECHOED]), this._type, Gio.DBusCallFlags.NONE, -1,
                    null);
                check(result.deepUnpack()[0]);
            },
            end: async () => {
                connection.close_sync(null);
                await process.wait_async(null);
            },
        };
    }

    // This also removes the socket.
    close() {
        this._server.stop();
    }
}

// Returns how long all took, and how long each did. The next call is made where an answer came.
async function runCalls(peer, count, inFlight) {
    const latencies = [];
    let nBegun = 0;

    const chain = async () => {
        while (nBegun < count) {
            nBegun++;
            const began = now();
            await peer.call();
            latencies.push(now() - began);
        }
    };
    const start = now();
    await Promise.all(Array.from({length: inFlight}, chain));
    return {elapsed: now() - start, latencies};
}

async function runStarts(peers, count) {
    const latencies = [];
    const start = now();

    for (let i = 0; i < count; i++) {
        const began = now();
        const peer = await peers.start();
        await peer.call();
        latencies.push(now() - began);
        await peer.end();
    }
    return {elapsed: now() - start, latencies};
}

const options = parseArguments('afork:echo');
const [way, what] = options.variant.split(':');
const peers = way === 'afork' ? new AForkCallees(await load()) : new DBusCallees();
let series;

if (what === 'start') {
    await runStarts(peers, options['warm-up']);
    series = await runStarts(peers, options.count);
    print('first-answer-ns', getMedian(series.latencies));
} else {
    const peer = await peers.start();
    await runCalls(peer, options['warm-up'], options['in-flight']);
    series = await runCalls(peer, options.count, options['in-flight']);
    await peer.end();
}
peers.close();
print('elapsed-ns', series.elapsed);
print('latency-ns', series.latencies.join(' '));
