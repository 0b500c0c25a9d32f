// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// Prints the names that AFork and each of its classes have themselves, as JSON.

import AFork from 'gi://AFork?version=1';
import GObject from 'gi://GObject';

function namesOf(...objects) {
    const names = new Set();
    for (const key of objects.flatMap(object => Reflect.ownKeys(object))) {
        if (key === Symbol.iterator || key === Symbol.asyncIterator)
            names.add(`[${key.description}]`);
        else if (typeof key === 'symbol')
            continue;
        else if (!key.startsWith('_'))
            names.add(key);
    }
    return [...names];
}

const found = {namespace: namesOf(AFork).filter(name => AFork[name] !== undefined), classes: {}};
for (const name of found.namespace) {
    if (AFork[name].prototype instanceof GObject.Object) {
        const {length, name: unused, prototype, $gtype, ...statics} =
            Object.getOwnPropertyDescriptors(AFork[name]);
        found.classes[name] = namesOf(statics, prototype.value).filter(
            key => key !== 'constructor');
    }
}
print(JSON.stringify(found));
