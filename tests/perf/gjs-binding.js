// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Where the cases in JavaScript find the library, the typelib and the override of this build, or
// the library of the one that is compared, and how they are called: as a case in C (case.h).

import GLib from 'gi://GLib';
import System from 'system';

export const FOLDER = GLib.path_get_dirname(GLib.filename_from_uri(import.meta.url)[0]);

const BUILD = GLib.build_filenamev([FOLDER, '..', '..']);
const LIBRARY = GLib.getenv('AFORK_LIBRARY_FOLDER') ?? GLib.build_filenamev([BUILD, 'afork']);

// Returns the module AFork, with its override.
export async function load() {
    const typelibs = GLib.build_filenamev([BUILD, 'introspection']);
    const repository = imports.gi.GIRepository.Repository;

    repository.prepend_search_path(typelibs);
    repository.prepend_library_path(LIBRARY);
    imports.searchPath.unshift(GLib.build_filenamev([typelibs, 'gjs', 'overrides']));
    imports.overrides.searchPath.unshift(GLib.build_filenamev([typelibs, 'gjs', 'overrides']));
    // Workers load them, too.
    GLib.setenv('GI_TYPELIB_PATH', typelibs, true);
    GLib.setenv('LD_LIBRARY_PATH', LIBRARY, true);
    return (await import('gi://AFork?version=1')).default;
}

// The options of case.h, and the variant. The caller has as much memory as `--resident-mb` says.
export function parseArguments(variant) {
    const options = {count: 20, 'warm-up': 3, 'in-flight': 1, 'resident-mb': 0, variant};

    for (const argument of System.programArgs) {
        const [, name, value] = /^--([a-z-]+)=?(.*)$/.exec(argument) ?? [];
        if (name === undefined)
            options.variant = argument;
        else
            options[name] = parseInt(value);
    }
    options.ballast = new Uint8Array(options['resident-mb'] << 20).fill(0x5a);
    return options;
}

// The monotonic clock, in nanoseconds.
export function now() {
    return GLib.get_monotonic_time() * 1000;
}

export function getMedian(times) {
    return [...times].sort((a, b) => a - b)[times.length >> 1];
}
