// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// JavaScript's values become GVariants and come back, lossless or not at all. GLib itself is the
// reference: its text format for what is packed and for what is unpacked.

import GLib from 'gi://GLib';

import {assert, assertDeepEqual, assertEqual, assertThrows, Random, run} from './harness.js';

const {pack, unpack, unpackInSteps: unpackSteps} = imports.overrides._afork_values;

const N_RANDOM = 1500;
const seed = parseInt(GLib.getenv('AFORK_TEST_SEED') ?? `${GLib.random_int()}`);

function parse(text, type = null) {
    return GLib.Variant.parse(type === null ? null : new GLib.VariantType(type), text, null, null);
}

function quote(text) {
    return GLib.Variant.new_string(text).print(false);
}

// The same types and numbers, to the bit.
function isSame(left, right) {
    if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null)
        return Object.is(left, right);
    if (left instanceof GLib.Variant || right instanceof GLib.Variant)
        return left instanceof GLib.Variant && right instanceof GLib.Variant && left.equal(right);
    if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right))
        return false;
    if (left instanceof Uint8Array) {
        return left.length === right.length && (left.length > 1000
            ? imports.byteArray.toGBytes(left).equal(imports.byteArray.toGBytes(right))
            : left.every((byte, i) => byte === right[i]));
    }
    if (left instanceof Map)
        return isSame([...left], [...right]);
    if (Array.isArray(left))
        return left.length === right.length && left.every((item, i) => isSame(item, right[i]));
    const keys = Object.keys(left);
    const others = Object.keys(right);
    return keys.length === others.length && keys.every(
        (key, i) => key === others[i] && isSame(left[key], right[key]));
}

// The model: the text that GLib must parse to the same value.

function isInteger(value) {
    return Number.isSafeInteger(value) && !Object.is(value, -0);
}

function getItemType(items) {
    const kinds = new Set(items.map(item => {
        switch (typeof item) {
        case 'number':
            return isInteger(item) ? 'x' : 'd';
        case 'bigint':
            return item < 2n ** 63n ? 'x' : '';
        case 'string':
            return 's';
        default:
            return '';
        }
    }));
    return kinds.size === 1 ? [...kinds][0] : '';
}

function getText(value, isWhole = true) {
    switch (typeof value) {
    case 'boolean':
        return `${value}`;
    case 'number':
        return isInteger(value) ? `int64 ${value}` : GLib.Variant.new_double(value).print(true);
    case 'bigint':
        return `${value < 2n ** 63n ? 'int64' : 'uint64'} ${value}`;
    case 'string':
        return quote(value);
    }
    if (value === null)
        return isWhole ? '()' : '@mv nothing';
    if (value instanceof GLib.Variant)
        return `<${value.print(true)}>`;
    if (value instanceof ArrayBuffer)
        return getText(new Uint8Array(value));
    if (value instanceof Uint8Array)
        return `@ay [${[...value].map(byte => `0x${byte.toString(16)}`)}]`;
    if (Array.isArray(value)) {
        const kind = getItemType(value);
        if (kind !== '')
            return `@a${kind} [${value.map(item => getText(item, false))}]`;
        return `@av [${value.map(item => `<${getText(item, false)}>`)}]`;
    }
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    return `@a{sv} {${entries.map(([key, item]) => `${quote(key)}: <${getText(item, false)}>`)}}`;
}

// What arrives of a value.
function getArrived(value) {
    if (typeof value === 'bigint')
        return Number.isSafeInteger(Number(value)) ? Number(value) : value;
    if (typeof value !== 'object' || value === null || value instanceof GLib.Variant ||
        value instanceof Uint8Array)
        return value;
    if (value instanceof ArrayBuffer)
        return new Uint8Array(value);
    if (Array.isArray(value))
        return value.map(getArrived);
    const result = {};
    for (const [key, item] of value instanceof Map ? value : Object.entries(value)) {
        Object.defineProperty(result, key, {
            value: getArrived(item), configurable: true, enumerable: true, writable: true,
        });
    }
    return result;
}

const TEXTS = ['', 'a', 'text', 'ä€𝄞', '\x7f\n\t\'"\\', '0123456789'.repeat(6), '\ufeffb', 'é',
    '\u0080\u07ff\u0800\uffff'];
const NUMBERS = [0, 1, -1, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53,
    -(2 ** 53), 2 ** 63, 2 ** 64, -0, 1.5, -2.25e300, Math.PI];
const BIGINTS = [0n, -1n, 2n ** 53n - 1n, 2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n),
    2n ** 63n, 2n ** 64n - 1n, 2n ** 62n + 1n];
const VARIANTS = ['1', "'a'", '<<1>>', "(1, 'a', [<2>])", '@a{sv} {}', '(byte 1, int16 2, 3.5)',
    "{'k': <@mv nothing>}", '@mi just 5'];

function makeText(random) {
    return Array.from({length: random.below(4)}, () => random.choose(TEXTS)).join('');
}

function makeList(random, depth) {
    const makers = [
        () => random.choose(NUMBERS.filter(isInteger)),
        () => random.below(1000) + 0.5,
        () => makeText(random),
        () => random.choose([...NUMBERS, ...BIGINTS]),
        () => makeValue(random, depth - 1),
    ];
    const make = random.choose(makers);
    return Array.from({length: random.choose([0, 1, 2, 5, 60])}, make);
}

function makeValue(random, depth) {
    const makers = [
        () => null,
        () => random.below(2) === 0,
        () => random.choose(NUMBERS),
        () => random.choose(BIGINTS),
        () => random.below(2 ** 31) / 7,
        () => makeText(random),
        () => Uint8Array.from({length: random.choose([0, 1, 3, 300])}, () => random.below(256)),
        () => new Uint8Array([1, 0, 2]).buffer,
        () => parse(random.choose(VARIANTS)),
    ];
    if (depth > 0) {
        makers.push(...new Array(4).fill(() => makeList(random, depth)));
        makers.push(...new Array(2).fill(() => Object.fromEntries(makeEntries(random, depth))));
        makers.push(() => new Map(makeEntries(random, depth)));
    }
    return random.choose(makers)();
}

function makeEntries(random, depth) {
    return Array.from({length: random.below(5)},
        (_, i) => [`${makeText(random)}-${i}`, makeValue(random, depth - 1)]);
}

// Values of all types, by means of GLib.

function getChildren(variant) {
    return Array.from({length: variant.n_children()}, (_, i) => variant.get_child_value(i));
}

function toInteger(text) {
    const value = BigInt(text);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function getExpected(variant, inEnvelope = false) {
    const type = variant.get_type_string();
    switch (type[0]) {
    case 'v':
        return inEnvelope ? getExpected(variant.get_variant()) : variant.get_variant();
    case 'm':
        return variant.n_children() === 0 ? null : getExpected(variant.get_child_value(0), true);
    case 'a':
        if (type === 'ay')
            return Uint8Array.from(getChildren(variant).map(child => child.get_byte()));
        if (type[1] === '{') {
            const entries = getChildren(variant).map(getChildren).map(
                ([key, value]) => [getExpected(key), getExpected(value, true)]);
            return 'sog'.includes(type[2]) ? getArrivedEntries(entries) : new Map(entries);
        }
        return getChildren(variant).map(child => getExpected(child, true));
    case '(':
    case '{':
        return getChildren(variant).map(child => getExpected(child));
    case 'b':
        return variant.get_boolean();
    case 'd':
        return variant.get_double();
    case 'y':
        return variant.get_byte();
    case 's':
    case 'o':
    case 'g':
        return variant.get_string()[0];
    default:
        return toInteger(variant.print(false));
    }
}

function getArrivedEntries(entries) {
    return getArrived(new Map(entries.map(([key]) => [key, null]))) && entries.reduce(
        (result, [key, value]) => Object.defineProperty(result, key,
            {value, configurable: true, enumerable: true, writable: true}), {});
}

const BASIC = 'ybnqiuxtdsog';

function makeType(random, depth) {
    const kind = random.below(10);
    if (depth === 0 || kind < 4)
        return random.choose(`${BASIC}v`);
    if (kind === 4)
        return `m${makeType(random, depth - 1)}`;
    if (kind < 7)
        return `a${makeType(random, depth - 1)}`;
    if (kind === 7)
        return `a{${random.choose(BASIC)}${makeType(random, depth - 1)}}`;
    return `(${Array.from({length: random.below(4)}, () => makeType(random, depth - 1)).join('')})`;
}

function *splitTypes(types) {
    for (let start = 0, end = 1; end <= types.length; end++) {
        if (GLib.VariantType.string_is_valid(types.slice(start, end))) {
            yield types.slice(start, end);
            start = end;
        }
    }
}

function makeOfType(random, type, depth) {
    const ranges = {
        y: [0n, 8n], n: [15n, 16n], q: [0n, 16n], i: [31n, 32n], u: [0n, 32n], x: [63n, 64n],
        t: [0n, 64n],
    };
    if (type in ranges) {
        const [offset, bits] = ranges[type];
        const value = BigInt.asUintN(Number(bits), random.choose([0n, 1n, 2n ** 64n - 1n,
            BigInt(random.below(2 ** 32)) * BigInt(random.below(2 ** 32))]));
        return `${value - (offset > 0n ? 2n ** offset : 0n)}`;
    }
    switch (type[0]) {
    case 'b':
        return random.choose(['true', 'false']);
    case 'd':
        return random.choose(['1.5', '-0.0', '2.5e300', '3.0']);
    case 's':
        return quote(makeText(random));
    case 'o':
        return random.choose(["'/'", "'/a/b'"]);
    case 'g':
        return random.choose(["''", "'a{sv}'"]);
    case 'v': {
        const inner = makeType(random, Math.max(depth - 1, 0));
        return `<@${inner} ${makeOfType(random, inner, depth - 1)}>`;
    }
    case 'm':
        return random.below(2) === 0 ? 'nothing'
            : `just ${makeOfType(random, type.slice(1), depth)}`;
    case '(': {
        const members = [...splitTypes(type.slice(1, -1))].map(
            member => makeOfType(random, member, depth));
        return members.length === 1 ? `(${members[0]},)` : `(${members})`;
    }
    }
    const length = random.choose([0, 1, 3, 3, 40]);
    if (type[1] === '{') {
        // Equal keys would be one key.
        const entries = new Map(Array.from({length}, () => [makeOfType(random, type[2], depth),
            makeOfType(random, type.slice(3, -1), depth)]));
        return `{${[...entries].map(([key, value]) => `${key}: ${value}`)}}`;
    }
    return `[${Array.from({length}, () => makeOfType(random, type.slice(1), depth))}]`;
}

function describe(value) {
    return value instanceof GLib.Variant ? value.print(true)
        : JSON.stringify(value, (_, item) => typeof item === 'bigint' ? `${item}n` : item);
}

function unpackInSteps(variant) {
    let n = 0;
    const steps = unpackSteps(variant);
    for (;;) {
        const {value, done} = steps.next();
        if (done)
            return {value, n};
        n++;
    }
}

const tests = {};

function check(value, text = getText(value)) {
    const variant = pack(value);
    const reference = parse(text);
    assertEqual(variant.get_type_string(), reference.get_type_string());
    assert(variant.equal(reference), `${variant.print(true)} instead of ${text}`);
    assert(variant.get_normal_form().get_data_as_bytes().equal(
        reference.get_normal_form().get_data_as_bytes()), `other bytes for ${text}`);
    const arrived = unpack(variant);
    assert(isSame(arrived, getArrived(value)),
        `${describe(arrived)} instead of ${describe(value)}`);
    const inSteps = unpackInSteps(variant).value;
    assert(isSame(inSteps, arrived), `${describe(inSteps)} in steps of ${describe(value)}`);
}

function refuse(value, text, name) {
    const error = assertThrows(TypeError, () => pack(value, name));
    assertEqual(error.message, text);
}

tests['each'] = () => {
    const values = [
        [null, '()'], [[null], '[<@mv nothing>]'], [true, 'true'], [0, 'int64 0'],
        [2 ** 53 - 1, 'int64 9007199254740991'], [-0, '-0.0'], [1.5, '1.5'],
        [2 ** 53, '9007199254740992.0'], [2n ** 63n, 'uint64 9223372036854775808'],
        [-(2n ** 63n), 'int64 -9223372036854775808'], ['', "''"], ['ä€𝄞', "'ä€𝄞'"],
        [new Uint8Array(), '@ay []'], [new Uint8Array([0, 97, 0]), '@ay [0x00, 0x61, 0x00]'],
        [[], '@av []'], [[1, 2n], '@ax [1, 2]'], [[1.5, 2.5], '@ad [1.5, 2.5]'],
        [['a', ''], "@as ['a', '']"], [[1, true], '[<int64 1>, <true>]'],
        [[1, 2.5], '[<int64 1>, <2.5>]'], [[[1], ['a']], "[<@ax [1]>, <@as ['a']>]"],
        [[2n ** 63n], '[<uint64 9223372036854775808>]'], [[[]], '[<@av []>]'],
        [{}, '@a{sv} {}'], [{a: 1, '': null}, "{'a': <int64 1>, '': <@mv nothing>}"],
        [new Map([['b', 'c']]), "{'b': <'c'>}"], [Object.create(null), '@a{sv} {}'],
        [parse('int16 1'), '<int16 1>'], [[parse('<1>')], '[<<<1>>>]'],
        [{a: parse("'x'")}, "{'a': <<'x'>>}"],
        [JSON.parse('{"__proto__": {"a": 1}}'), "{'__proto__': <{'a': <int64 1>}>}"],
    ];
    for (const [value, text] of values)
        check(value, text);
    for (const value of [Infinity, -Infinity, NaN, 5e-324])
        assert(Object.is(unpack(pack(value)), value), `${value}`);
    const arrived = unpack(pack(JSON.parse('{"__proto__": 5}')));
    assertEqual(Object.getPrototypeOf(arrived), Object.prototype);
};

tests['random'] = () => {
    const random = new Random(seed);
    for (let i = 0; i < N_RANDOM; i++)
        check(makeValue(random, random.below(5)));
};

tests['others'] = () => {
    const random = new Random(seed);
    for (let i = 0; i < N_RANDOM; i++) {
        const type = makeType(random, random.below(4));
        if (type === '()')
            continue;
        const variant = parse(makeOfType(random, type, 3), type);
        const expected = getExpected(variant);
        for (const arrived of [unpack(variant), unpackInSteps(variant).value]) {
            assert(isSame(arrived, expected), `${describe(arrived)} instead of ${
                describe(expected)} for ${variant.print(true)}, seed ${seed}`);
        }
    }
};

tests['not-normal'] = () => {
    const random = new Random(seed);
    let nWrong = 0;
    for (let i = 0; i < N_RANDOM; i++) {
        const type = makeType(random, 1 + random.below(3));
        const bytes = parse(makeOfType(random, type, 3), type).get_data_as_bytes().toArray()
            .slice();
        if (bytes.length > 0)
            bytes[random.below(bytes.length)] = random.below(256);
        const variant = GLib.Variant.new_from_bytes(new GLib.VariantType(type),
            imports.byteArray.toGBytes(bytes), false);
        if (type === '()')
            continue;
        nWrong += variant.is_normal_form() ? 0 : 1;
        const expected = getExpected(variant.get_normal_form());
        assert(isSame(unpack(variant), expected), `${variant.print(true)}, seed ${seed}`);
    }
    assert(nWrong > 0, 'all were in normal form');
};

tests['large'] = () => {
    const values = [
        Array.from({length: 5000}, (_, i) => ({number: i, text: `${i}`, half: i + 0.5})),
        Object.fromEntries(Array.from({length: 5000}, (_, i) => [`k${i}`, [i]])),
        Array.from({length: 100000}, (_, i) => i),
        Array.from({length: 100000}, (_, i) => i + 0.25),
        Array.from({length: 70000}, (_, i) => `${i}`),
        [...Array.from({length: 70000}, (_, i) => i), null],
        'ä'.repeat(1000000), new Uint8Array(1 << 20).fill(7),
    ];
    for (const value of values) {
        const variant = pack(value);
        assert(isSame(unpack(variant), value), 'a large value');
        const {value: inSteps, n} = unpackInSteps(variant);
        assert(isSame(inSteps, value), 'a large value in steps');
        assert(n > 50 || !Array.isArray(value), `${n} steps`);
    }
};

// Objects within each other.
function makeObjects(n) {
    return n === 1 ? {} : {a: makeObjects(n - 1)};
}

tests['refused'] = () => {
    assertDeepEqual(unpack(pack(makeObjects(42))), makeObjects(42));
    const use = '; use null, boolean, number, bigint, string, Uint8Array, Array, Map, ' +
        'a plain object or GLib.Variant';
    class Point {}
    class List extends Array {}
    const cycle = [];
    cycle.push({a: [cycle]});
    const map = new Map();
    map.set('m', [map]);
    let deep = [];
    for (let i = 0; i < 64; i++)
        deep = [deep];
    let deepVariant = parse('1');
    for (let i = 0; i < 126; i++)
        deepVariant = GLib.Variant.new_variant(deepVariant);
    const nested = 'the value is nested too deeply: a GVariant has at most 128 levels, ' +
        'and an Array or object in another one adds at least two';
    const arrive = 'cannot be sent, because it would arrive as';
    const bigint = 'a bigint must be at least -(2n ** 63n) and less than 2n ** 64n';
    const values = [
        [undefined, 'value: undefined cannot be sent; use null'],
        [[1, {k: undefined}], 'value[1].k: undefined cannot be sent; use null'],
        [[1, , 2], 'value[1]: undefined cannot be sent; use null'],
        [new Array(2 ** 32 - 1), 'value[0]: undefined cannot be sent; use null'],
        [new Set(), `value: Set cannot be sent${use}`],
        [[new Date()], `value[0]: Date cannot be sent${use}`],
        [() => 1, `value: function cannot be sent${use}`],
        [[Symbol('a')], `value[0]: symbol cannot be sent${use}`],
        [{a: new Point()}, `value.a: Point cannot be sent${use}`],
        [new Number(1), `value: Number cannot be sent${use}`],
        [new Error('a'), `value: Error cannot be sent${use}`],
        [/a/, `value: RegExp cannot be sent${use}`],
        [Promise.resolve(), `value: Promise cannot be sent${use}`],
        [new GLib.Bytes([1]), `value: GLib_Bytes cannot be sent${use}`],
        [Object.create({}), `value: Object cannot be sent${use}`],
        [Math, `value: Object cannot be sent${use}`],
        [Object.create(Array.prototype),
            `value: Array ${arrive} an Array; convert it with Array.from()`],
        [List.of(1), `value: List ${arrive} an Array; convert it with Array.from()`],
        [new Int32Array(1), `value: Int32Array ${arrive} a Uint8Array; make one of its buffer`],
        [[new DataView(new ArrayBuffer(1))],
            `value[0]: DataView ${arrive} a Uint8Array; make one of its buffer`],
        [2n ** 64n, `value: ${bigint}`],
        [[0, -(2n ** 63n) - 1n], `value[1]: ${bigint}`],
        [{'a b': 10n ** 100n}, `value["a b"]: ${bigint}`],
        ['a\0b', 'value: a string must not have NUL characters'],
        [['a', '\0'], 'value[1]: a string must not have NUL characters'],
        [['\ud800'], 'value[0]: a string must not have lone surrogates'],
        [['a'.repeat(100), `${'b'.repeat(100)}\udc00`],
            'value[1]: a string must not have lone surrogates'],
        [{'\udc80': 1}, 'value: a key must not have lone surrogates'],
        [[{'a\0': 1}], 'value[0]: a key must not have NUL characters'],
        [{[Symbol('a')]: 1}, 'value: the keys of an object must be strings, not symbols'],
        [new Map([[1, 2]]), 'value: the keys of a Map must be strings, not number'],
        [cycle, 'value[0].a[0]: the value contains itself'],
        [map, 'value.m[0]: the value contains itself'],
        [deep, `value${'[0]'.repeat(64)}: ${nested}`],
        [makeObjects(43), `value${'.a'.repeat(42)}: ${nested}`],
        [{a: [deepVariant]}, `value.a[0]: ${nested}`],
        [{['k'.repeat(50)]: new Set()}, `value["${'k'.repeat(40)}"...]: Set cannot be sent${
            use}`],
    ];
    for (const [value, text] of values)
        refuse(value, text);
    refuse([null, 2n ** 64n], `args[1]: ${bigint}`, 'args');
};

tests['getters'] = () => {
    const object = {
        get a() {
            return 1;
        },
    };
    assert(isSame(unpack(pack(object)), {a: 1}), 'a getter');
    const failing = {
        get a() {
            throw new RangeError('no');
        },
    };
    assertEqual(assertThrows(RangeError, () => pack([failing])).message, 'no');
    const shrinking = [{
        get a() {
            shrinking.length = 1;
            return 1;
        },
    }, 2, 3];
    assert(isSame(unpack(pack(shrinking)), [{a: 1}]), 'a list that shrinks');
    const hidden = Object.defineProperty({b: 2}, 'a', {value: 1});
    assert(isSame(unpack(pack(hidden)), {b: 2}), 'a property that is not enumerable');
};

tests['copies'] = () => {
    const sent = new Uint8Array([1, 2, 3]);
    const variant = pack(sent);
    sent[0] = 9;
    const arrived = unpack(variant);
    arrived[1] = 9;
    assert(isSame(unpack(variant), new Uint8Array([1, 2, 3])), 'bytes are shared');
    assert(isSame(arrived, new Uint8Array([1, 9, 3])), 'bytes cannot be written');
    const part = new Uint8Array(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2);
    assert(isSame(unpack(pack(part)), new Uint8Array([2, 3])), 'a part of a buffer');
};

run(tests);
