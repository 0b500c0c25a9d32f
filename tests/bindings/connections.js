// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Connections to workers, for tests.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

Gio._promisify(Gio.InputStream.prototype, 'read_bytes_async', 'read_bytes_finish');

// What comes until the other side has closed, as text.
export async function readAll(connection) {
    const decoder = new TextDecoder();
    const stream = connection.get_input_stream();
    let text = '';
    for (;;) {
        // One after the other: the next bytes come behind these.
        // eslint-disable-next-line no-await-in-loop
        const bytes = await stream.read_bytes_async(4096, GLib.PRIORITY_DEFAULT, null);
        if (bytes.get_size() === 0)
            return text;
        text += decoder.decode(bytes.toArray());
    }
}

// Runs a function that echoes its items, and returns them. run_async() gives a promise.
export async function echo(process) {
    const connection = await process.run_async('echo', null);
    connection.get_socket().shutdown(false, true);
    return readAll(connection);
}
