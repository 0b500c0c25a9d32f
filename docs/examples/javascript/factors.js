// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Answers each line, which is a number, by a line with its prime factors. A module of synopsis.js.

import Gio from 'gi://Gio';

function* factorize(number) {
    for (let factor = 2; factor * factor <= number; factor++) {
        for (; number % factor === 0; number /= factor)
            yield factor;
    }
    if (number > 1)
        yield number;
}

export function serve(connection, introduction) {
    const input = new Gio.DataInputStream({base_stream: connection.get_input_stream()});
    const output = connection.get_output_stream();
    for (;;) {
        const [line] = input.read_line_utf8(null);
        if (line === null)
            return;
        const answer = [`${introduction}${line}:`, ...factorize(Number(line))].join(' ');
        output.write_all(new TextEncoder().encode(`${answer}\n`), null);
    }
}
