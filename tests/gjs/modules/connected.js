// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Reads a file asynchronously, as many modules do.

import Gio from 'gi://Gio';

export const contents = await new Promise((resolve, reject) => {
    Gio.File.new_for_uri(import.meta.url).load_contents_async(null, (file, result) => {
        try {
            resolve(file.load_contents_finish(result)[1]);
        } catch (error) {
            reject(error);
        }
    });
});
