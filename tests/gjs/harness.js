// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the tests in JavaScript share.

import GLib from 'gi://GLib';
import System from 'system';

export function assert(condition, message) {
    if (!condition)
        throw new Error(message ?? 'a condition is false');
}

export function assertEqual(found, expected) {
    if (!Object.is(found, expected))
        throw new Error(`found ${String(found)} instead of ${String(expected)}`);
}

// Values of plain types, by their text.
export function assertDeepEqual(found, expected) {
    const print = value => JSON.stringify(value,
        (_, item) => typeof item === 'bigint' ? `${item}n` : item);
    assertEqual(print(found), print(expected));
}

export function assertThrows(type, call) {
    try {
        call();
    } catch (error) {
        if (!(error instanceof type))
            throw error;
        return error;
    }
    throw new Error(`there was no ${type.name}`);
}

export async function assertRejects(promise, type, code) {
    try {
        await promise;
    } catch (error) {
        if (!(error instanceof type) || (code !== undefined && !error.matches(type, code)))
            throw error;
        return error;
    }
    throw new Error(`there was no ${type.name ?? type}`);
}

// Numbers that are the same for the same seed.
export class Random {
    constructor(seed) {
        this._state = seed >>> 0;
    }

    below(n) {
        this._state = (this._state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(this._state ^ (this._state >>> 15), 1 | this._state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * n);
    }

    choose(items) {
        return items[this.below(items.length)];
    }
}

// Runs the tests, functions that may be async, one after the other. Exits with 1 if any fails.
// LIMIT is in seconds, for each; something hangs then.
export function run(tests, limit = 50) {
    const loop = new GLib.MainLoop(null, false);
    let status = 0;

    const runAll = async () => {
        for (const [name, test] of Object.entries(tests)) {
            const timeout = GLib.timeout_add_seconds(GLib.PRIORITY_HIGH, limit, () => {
                printerr(`${name}: still running after ${limit} s`);
                System.exit(1);
            });
            try {
                await test();
                print(`ok ${name}`);
            } catch (error) {
                status = 1;
                print(`not ok ${name}: ${error}\n${error.stack ?? ''}`);
            }
            GLib.source_remove(timeout);
        }
    };
    runAll().finally(() => loop.quit());
    loop.run();
    System.exit(status);
}
