#!/usr/bin/env -S gjs -m
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// A service on the session bus whose methods are answered by workers, until its standard input
// ends. It stays responsive, however long a call takes, and goes on if a call ends its worker.

import AFork from 'gi://AFork';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

Gio._promisify(Gio.InputStream.prototype, 'read_bytes_async');

const NAME = 'org.example.Calculator';
const PATH = '/org/example/Calculator';
const INTERFACE = `
<node>
  <interface name="${NAME}">
    <method name="Evaluate">
      <arg type="s" name="expression" direction="in"/>
      <arg type="d" name="result" direction="out"/>
    </method>
  </interface>
</node>`;

const CODE = `
function evaluate(call, expression) {
    return Number(eval(expression));
}`;

class Calculator {
    constructor(pool) {
        this._pool = pool;
    }

    // Called for the method Evaluate, which is answered later.
    async EvaluateAsync([expression], invocation) {
        try {
            const result = await this._pool.call_async(expression);
            invocation.return_value(new GLib.Variant('(d)', [result]));
        } catch (error) {
            invocation.return_dbus_error(`${NAME}.Error`, error.message.split('\n')[0]);
        }
    }
}

// No call waits behind a slow one in the same worker.
const pool = new AFork.Pool({
    process: AFork.Process.new().eval(CODE), function: 'evaluate', load: 1, maxWorkers: 4,
});
const object = Gio.DBusExportedObject.wrapJSObject(INTERFACE, new Calculator(pool));
object.export(Gio.DBus.session, PATH);
Gio.bus_own_name_on_connection(Gio.DBus.session, NAME, Gio.BusNameOwnerFlags.NONE,
    () => print(NAME), null);

const stdin = Gio.File.new_for_path('/dev/stdin').read(null);
await stdin.read_bytes_async(1, GLib.PRIORITY_DEFAULT, null);
object.unexport();
await pool.close_async();
