// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Makes a thumbnail of a file. A module of window.js.

import GdkPixbuf from 'gi://GdkPixbuf';

export const SIZE = 128;

// Returns what describes the pixels, which are the first blob of the result.
export function make(call, path) {
    const pixbuf = GdkPixbuf.Pixbuf.new_from_file_at_scale(path, SIZE, SIZE, true);
    call.addBlob(pixbuf.read_pixel_bytes());
    const {width, height, rowstride, hasAlpha} = pixbuf;
    return {width, height, rowstride, hasAlpha};
}
