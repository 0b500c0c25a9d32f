// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the worker processes of the extension do. It is also for a program of any kind.

// Returns how many prime numbers are less than a number.
export function countPrimes(call, end) {
    const isComposite = new Uint8Array(end);
    let n = 0;

    for (let i = 2; i < end; i++) {
        if (isComposite[i])
            continue;
        n++;
        for (let j = i * i; j < end; j += i)
            isComposite[j] = 1;
    }
    return n;
}
