// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Functions that the tests of the GJS runtime run.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import System from 'system';

const encoder = new TextEncoder();

export const notAFunction = 17;
export let started = [];

export function send(connection, text) {
    const bytes = typeof text === 'string' ? encoder.encode(text) : text;
    connection.get_output_stream().write_all(bytes, null);
}

function show(item) {
    return item instanceof Uint8Array ? {bytes: [...item]} : item;
}

// Sends what the function got.
export function describe(connection, ...items) {
    const isConnection = connection instanceof Gio.SocketConnection;
    send(connection, JSON.stringify([isConnection, items.map(show)]));
}

export function echo(connection, ...items) {
    for (const item of items)
        send(connection, item);
    const input = connection.get_input_stream();
    for (;;) {
        const bytes = input.read_bytes(4096, null);
        if (bytes.get_size() === 0)
            return;
        send(connection, bytes.toArray());
    }
}

// Sends the values of expressions, a line each.
export function report(connection, ...expressions) {
    for (const expression of expressions) {
        // eslint-disable-next-line no-eval
        send(connection, `${JSON.stringify(eval(expression)) ?? 'null'}\n`);
    }
}

export function remember(...args) {
    started.push(args);
}

export function readFd(connection, fd) {
    const stream = new Gio.UnixInputStream({fd, close_fd: true});
    send(connection, stream.read_bytes(100, null).toArray());
}

export function exitWith(connection, status) {
    System.exit(Number(status));
}

export async function exitLater() {
    await null;
    System.exit(5);
}

export function exitInTimeout() {
    setTimeout(() => System.exit(6), 1);
    new GLib.MainLoop(null, false).run();
}

export function fail() {
    throw new RangeError('this function always fails');
}

export async function failLater() {
    await null;
    throw new RangeError('this promise always fails');
}

export async function serve(connection, text) {
    await new Promise(resolve => setTimeout(resolve, 1));
    send(connection, text);
}

// Leaves a promise that is rejected, and nobody handles that.
export function reject(connection) {
    Promise.reject(new RangeError('nobody handles this'));
    send(connection, 'returned');
}

// Leaves work to a promise.
export function leaveJob(connection) {
    Promise.resolve().then(() => send(connection, 'from the job'));
}

export class Namespace {
    static nested(connection) {
        send(connection, this.name);
    }
}

export default function (connection) {
    send(connection, 'the default');
}
