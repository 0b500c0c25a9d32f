// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What the declarations for TypeScript refuse throws a TypeError at run time, too.

import {assertThrows, run} from './harness.js';
import {uses} from './types-wrong.js';

run({
    uses() {
        if (uses.length < 30)
            throw new Error(`only ${uses.length} uses`);
        for (const use of uses) {
            try {
                assertThrows(TypeError, use);
            } catch (error) {
                throw new Error(`${use}: ${error}`);
            }
        }
    },
});
