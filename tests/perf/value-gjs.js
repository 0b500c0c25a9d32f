#!/usr/bin/gjs -m
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Converts a value of JavaScript, and converts it back. Called as a case in C (case.h); the
// variants are WAY:VALUE, where WAY is `afork`, `json`, `copy` or `slice`, and VALUE is `bytes`,
// `integers` or `dictionaries`.

import GLib from 'gi://GLib';
import System from 'system';

const [FILE] = GLib.filename_from_uri(import.meta.url);
const BUILD = GLib.build_filenamev([GLib.path_get_dirname(FILE), '..', '..']);

const VALUES = {
    bytes: () => new Uint8Array(16 << 20).fill(0x5a),
    integers: () => Array.from({length: 100000}, (_, i) => i),
    dictionaries: () => Array.from({length: 10000},
        (_, i) => ({number: i, name: `${i}`, size: i / 3})),
};

function loadAFork() {
    const repository = imports.gi.GIRepository.Repository;

    repository.prepend_search_path(GLib.build_filenamev([BUILD, 'introspection']));
    repository.prepend_library_path(GLib.build_filenamev([BUILD, 'afork']));
    imports.searchPath.unshift(GLib.build_filenamev([BUILD, 'introspection', 'gjs', 'overrides']));
    return imports._afork_values;
}

const WAYS = {
    afork() {
        const {pack, unpack} = loadAFork();
        return [pack, unpack];
    },
    json() {
        return [JSON.stringify, JSON.parse];
    },
    // Copies bytes to memory that is mapped already.
    copy(value) {
        const copied = new Uint8Array(value.length).fill(1);
        const copy = bytes => {
            copied.set(bytes);
            return bytes;
        };
        return [copy, copy];
    },
    // Copies bytes to memory of their own, as a program in GJS that receives bytes must.
    slice() {
        const slice = bytes => bytes.slice();
        return [slice, slice];
    },
};

// The processor time of this thread, in nanoseconds. The kernel counts it when the thread sleeps.
function getTime() {
    GLib.usleep(1);
    const [, bytes] = GLib.file_get_contents('/proc/thread-self/schedstat');
    return parseInt(new TextDecoder().decode(bytes));
}

function timeEach(call, value, count) {
    const times = [];
    for (let i = 0; i < count; i++) {
        const began = getTime();
        call(value);
        times.push(getTime() - began);
    }
    return times;
}

// The processor time of each conversion, there and back. One process converts there and another one
// back, so each is repeated by itself.
function measure([there, back], value, count) {
    const converted = there(value);
    const arrived = back(converted);
    if (arrived.length !== value.length)
        throw new Error('a wrong value');
    const times = timeEach(there, value, count);
    return timeEach(back, converted, count).map((time, i) => time + times[i]);
}

function main(args) {
    const options = {count: '100', 'warm-up': '10'};
    let variant = 'json:integers';
    for (const arg of args) {
        const [, name, value] = /^--([a-z-]+)=?(.*)$/.exec(arg) ?? [];
        if (name === undefined)
            variant = arg;
        else
            options[name] = value;
    }
    if ('check' in options) {
        loadAFork();
        return;
    }

    const [way, kind] = variant.split(':');
    const value = VALUES[kind]();
    const conversions = WAYS[way](value);
    const count = parseInt(options.count);
    measure(conversions, value, parseInt(options['warm-up']));
    const times = measure(conversions, value, count);
    print('elapsed-ns', times.reduce((sum, time) => sum + time, 0));
    print('latency-ns', times.join(' '));
    print('conversion-ns', times.sort((a, b) => a - b)[count >> 1]);
}

main(System.programArgs);
