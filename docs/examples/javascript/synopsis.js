#!/usr/bin/env -S gjs -m
// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// One process, and a dialogue with its function: synopsis.js NUMBER...
//
// The function is in the module factors.js beside this file.

import AFork from 'gi://AFork';
import Gio from 'gi://Gio';
import System from 'system';

const factors = import.meta.url.replace(/[^/]*$/, 'factors.js');
const process = AFork.Process.new();
process.require(factors);
process.send_arg('the factors of ');
const connection = process.run(`${factors}:serve`, null);

const input = new Gio.DataInputStream({base_stream: connection.get_input_stream()});
for (const number of System.programArgs) {
    connection.get_output_stream().write_all(new TextEncoder().encode(`${number}\n`), null);
    print(input.read_line_utf8(null)[0]);
}
connection.close(null);
process.wait(null);
