// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The functions of calls.ini, in JavaScript. See tests/modules/values.c for those in C.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

export function echo(call, args) {
    for (const blob of call.blobs)
        call.addBlob(blob);
    for (const fd of call.fds)
        call.addFd(fd);
    return args;
}

export function count(call, args) {
    for (let i = 0; i < args; i++) {
        call.report(i);
        call.emit(i);
    }
    return args;
}

export function fail(call, args) {
    throw new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND, `There is no ${args}`);
}

function throwError(call, args) {
    throw new RangeError(args);
}
export {throwError as throw};

export function wait(call) {
    call.report('begun');
    for (;;)
        call.check();
}

export function exit(call, args) {
    System.exit(args);
}
