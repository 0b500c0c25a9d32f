// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the workers of the cases in JavaScript do.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

const ANSWER = new Uint8Array(64).fill(0x5a);

// A fresh worker: answers, and is done.
export function answer(connection) {
    connection.get_output_stream().write_all(ANSWER, null);
}

// Answers, and sleeps until the caller is done with it.
export function wait(connection) {
    System.gc();
    answer(connection);
    connection.get_input_stream().read_bytes(1, null);
}

// A call.
export function echo(call, bytes) {
    return bytes;
}

// The methods of a D-Bus service that does what a call does.
export const INTERFACE = `
<node>
  <interface name="org.afork.Peer">
    <method name="Echo">
      <arg type="ay" direction="in"/>
      <arg type="ay" direction="out"/>
    </method>
  </interface>
</node>`;

export class Peer {
    Echo(bytes) {
        return bytes;
    }
}

// GLib 2.80 has the streams of descriptors in a library of their own, and warns of the old names.
function getStreams() {
    try {
        return imports.gi.GioUnix;
    } catch {
        return {InputStream: Gio.UnixInputStream, OutputStream: Gio.UnixOutputStream};
    }
}

// The same as a program of its own, with the input and output streams of the caller: `answer`,
// `wait`, or `serve ADDRESS`, a connection of D-Bus without a bus.
function main([what, address]) {
    const {InputStream, OutputStream} = getStreams();
    const streams = {
        get_input_stream: () => InputStream.new(0, false),
        get_output_stream: () => OutputStream.new(1, false),
    };
    const jobs = {
        answer: () => answer(streams),
        wait: () => wait(streams),
        serve() {
            const connection = Gio.DBusConnection.new_for_address_sync(address,
                Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, null, null);
            const loop = new GLib.MainLoop(null, false);
            Gio.DBusExportedObject.wrapJSObject(INTERFACE, new Peer())
                .export(connection, '/org/afork/Peer');
            connection.connect('closed', () => loop.quit());
            answer(streams);
            loop.run();
        },
    };
    jobs[what]();
}

if (System.programArgs.length > 0 && System.programInvocationName.endsWith('gjs-jobs.js'))
    main(System.programArgs);
