// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// The values of JavaScript as GVariants, without loss or not at all:
//
//   null                        (), and mv inside other values
//   boolean                     b
//   number: safe integer, but not -0    x
//   any other number            d
//   bigint from -2^63           x, or t from 2^63 to 2^64 - 1
//   string                      s
//   Uint8Array, ArrayBuffer     ay
//   Array of integers below 2^63, of other numbers, or of strings    ax, ad or as
//   any other Array             av; the empty one, too
//   plain object, Map with strings as keys    a{sv}
//   GLib.Variant                v, untouched
//
// All of it arrives as it was, except that a bigint that is a safe integer arrives as a number, an
// ArrayBuffer as a Uint8Array, and a Map as an object. Values of other types arrive as the closest
// of these: tuples as an Array, and a dictionary whose keys are not strings as a Map.
//
// A caller and a worker both use this module: imports.overrides._afork_values. It writes and reads
// serialized GVariants itself, because those of GJS lose and change values.

/* exported MAX_SMALL, STEP_TIME, pack, unpack, unpackInSteps */

'use strict';

// In the scope of a module of this kind, GJS looks each name up anew, in compiled code, too. In a
// function, it does not, which makes this a hundred times faster.
var {MAX_SMALL, STEP_TIME, pack, unpack, unpackInSteps} = (function () {

const byteArray = imports.byteArray;
const {GLib} = imports.gi;

const {
    Array, ArrayBuffer, BigInt, DataView, Float64Array, Int32Array, JSON, Map, Math, Number, Object,
    String, Symbol, TextDecoder, TextEncoder, TypeError, Uint16Array, Uint32Array, Uint8Array,
} = globalThis;
const {ceil, floor, max, min} = Math;
const {isSafeInteger} = Number;

// Up to this size in bytes, a value is converted at once, and larger ones in steps of this time in
// microseconds, so that the main loop goes on.
const MAX_SMALL = 16384;
const STEP_TIME = 2000;

const MAX_DEPTH = 128;
const MAX_TYPE = 65534;
const MAX_TYPE_COMPLEXITY = 256 * 1024;
// Of a key in the text of an error, in characters.
const MAX_KEY = 40;
// Shorter strings are converted here, if they are of ASCII only.
const SHORT_TEXT = 48;

const TWO_32 = 2 ** 32;
const IS_LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const LOW = IS_LITTLE ? 0 : 1;
const HIGH = 1 - LOW;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const DROPS_BOM = decoder.decode(new Uint8Array([0xef, 0xbb, 0xbf])) === '';

const arrayPrototype = Array.prototype;
const bufferPrototype = ArrayBuffer.prototype;
const bytesPrototype = Uint8Array.prototype;
const mapPrototype = Map.prototype;
const objectPrototype = Object.prototype;
const getTypedArrayName = Object.getOwnPropertyDescriptor(
    Object.getPrototypeOf(bytesPrototype), Symbol.toStringTag).get;
const getBufferSize = Object.getOwnPropertyDescriptor(bufferPrototype, 'byteLength').get;
const getMapSize = Object.getOwnPropertyDescriptor(mapPrototype, 'size').get;
const mapEntries = mapPrototype.entries;

// Places: where a value stands, from the inside to the outside.

function getPath(place) {
    let path = '';
    for (; place !== null; place = place.outer) {
        const {key} = place;
        if (typeof key === 'number')
            path = `[${key}]${path}`;
        else if (/^[A-Za-z_$][\w$]*$/.test(key) && key.length <= MAX_KEY)
            path = `.${key}${path}`;
        else if (key.length <= MAX_KEY)
            path = `[${JSON.stringify(key)}]${path}`;
        else
            path = `[${JSON.stringify(key.slice(0, MAX_KEY))}...]${path}`;
    }
    return path;
}

function getTypeName(value) {
    if (typeof value !== 'object')
        return typeof value;
    try {
        const {name} = Object.getPrototypeOf(value).constructor;
        if (typeof name === 'string' && name !== '')
            return name;
    } catch (error) {
    }
    return 'object';
}

// What instances of a subclass would arrive as, and how they are converted.
const BASES = [
    [Array, 'an Array', 'convert it with Array.from()'],
    [Map, 'a plain object', 'convert it with new Map()'],
    [ArrayBuffer, 'a Uint8Array', 'convert it with new Uint8Array()'],
    [Uint8Array, 'a Uint8Array', 'convert it with Uint8Array.from()'],
];

function getReason(value) {
    if (value === undefined)
        return 'undefined cannot be sent; use null';
    const name = getTypeName(value);
    if (typeof value === 'object') {
        for (const [base, article, advice] of BASES) {
            if (value instanceof base)
                return `${name} cannot be sent, because it would arrive as ${article}; ${advice}`;
        }
        if (ArrayBuffer.isView(value)) {
            return `${name} cannot be sent, because it would arrive as a Uint8Array; make one of ` +
                'its buffer';
        }
    }
    return `${name} cannot be sent; use null, boolean, number, bigint, string, Uint8Array, ` +
        'Array, Map, a plain object or GLib.Variant';
}

// Writing

function getOffsetSize(size) {
    return size > 0xffffffff ? 8 : size > 0xffff ? 4 : size > 0xff ? 2 : size > 0 ? 1 : 0;
}

// The size of framing offsets in a container with SIZE bytes of children and N offsets.
function chooseOffsetSize(size, n) {
    return size + n <= 0xff ? 1 : size + n * 2 <= 0xffff ? 2 : size + n * 4 <= 0xffffffff ? 4 : 8;
}

function isInteger(value) {
    return isSafeInteger(value) && (value !== 0 || 1 / value > 0);
}

function isInt64(value) {
    return BigInt.asIntN(64, value) === value;
}

class Writer {
    constructor(name) {
        this.name = name;
        this.at = 0;
        this._setBuffer(new ArrayBuffer(256));
    }

    _setBuffer(buffer) {
        this.bytes = new Uint8Array(buffer);
        this.words = new Int32Array(buffer);
        this.doubles = new Float64Array(buffer);
    }

    // Makes room for SIZE bytes. What was not written is 0.
    reserve(size) {
        const needed = this.at + size;
        if (needed <= this.bytes.length)
            return;
        const larger = new ArrayBuffer(max(ceil(needed / 8) * 8,
            this.bytes.length * 2));
        new Uint8Array(larger).set(this.bytes.subarray(0, this.at));
        this._setBuffer(larger);
    }

    refuse(place, reason) {
        return new TypeError(`${this.name}${getPath(place)}: ${reason}`);
    }

    checkDepth(place, depth) {
        if (depth > MAX_DEPTH) {
            throw this.refuse(place, 'the value is nested too deeply: a GVariant has at most 128 ' +
                'levels, and an Array or object in another one adds at least two');
        }
    }

    checkCycle(value, place) {
        for (let outer = place; outer !== null; outer = outer.outer) {
            if (outer.container === value)
                throw this.refuse(place, 'the value contains itself');
        }
    }

    align() {
        this.reserve(7);
        while (this.at % 8 !== 0)
            this.bytes[this.at++] = 0;
    }

    // Writes text and the NUL after it.
    addText(text, place, what) {
        const {length} = text;
        this.reserve(length * 3 + 1);
        if (length <= SHORT_TEXT) {
            const {bytes, at} = this;
            let i = 0;
            for (; i < length; i++) {
                const code = text.charCodeAt(i);
                if (code === 0 || code > 0x7f)
                    break;
                bytes[at + i] = code;
            }
            if (i === length) {
                bytes[at + i] = 0;
                this.at = at + length + 1;
                return;
            }
        }
        if (text.includes('\0'))
            throw this.refuse(place, `${what} must not have NUL characters`);
        if (/[\ud800-\udfff]/u.test(text))
            throw this.refuse(place, `${what} must not have lone surrogates`);
        this.at += encoder.encodeInto(text, this.bytes.subarray(this.at)).written;
        this.bytes[this.at++] = 0;
    }

    addBytes(bytes) {
        this.reserve(bytes.length);
        this.bytes.set(bytes, this.at);
        this.at += bytes.length;
    }

    addWord(low, high) {
        this.reserve(8);
        const i = this.at / 4;
        this.words[i + LOW] = low;
        this.words[i + HIGH] = high;
        this.at += 8;
    }

    addInteger(value) {
        if (typeof value === 'number')
            this.addWord(value | 0, floor(value / TWO_32));
        else
            this.addWord(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    }

    addDouble(value) {
        this.reserve(8);
        this.doubles[this.at / 8] = value;
        this.at += 8;
    }

    // Writes the framing offsets of a container: where its children end.
    addOffsets(start, ends) {
        const size = chooseOffsetSize(this.at - start, ends.length);
        this.reserve(ends.length * size);
        for (const end of ends)
            this.addOffset(end - start, size);
    }

    addOffset(offset, size) {
        for (let rest = offset, i = 0; i < size; i++) {
            this.bytes[this.at++] = rest % 256;
            rest = floor(rest / 256);
        }
    }

    // Writes a value, and returns its type. DEPTH is how many levels of nesting are around it.
    addValue(value, place, depth) {
        switch (typeof value) {
        case 'boolean':
            this.checkDepth(place, depth + 1);
            this.reserve(1);
            this.bytes[this.at++] = value ? 1 : 0;
            return 'b';
        case 'number':
            this.checkDepth(place, depth + 1);
            if (isInteger(value)) {
                this.addInteger(value);
                return 'x';
            }
            this.addDouble(value);
            return 'd';
        case 'bigint':
            this.checkDepth(place, depth + 1);
            if (!isInt64(value) && BigInt.asUintN(64, value) !== value) {
                throw this.refuse(place, 'a bigint must be at least -(2n ** 63n) and less than ' +
                    '2n ** 64n');
            }
            this.addInteger(value);
            return isInt64(value) ? 'x' : 't';
        case 'string':
            this.checkDepth(place, depth + 1);
            this.addText(value, place, 'a string');
            return 's';
        case 'object':
            return this.addObject(value, place, depth);
        default:
            throw this.refuse(place, getReason(value));
        }
    }

    addObject(value, place, depth) {
        if (value === null) {
            this.checkDepth(place, depth + 2);
            if (place !== null)
                return 'mv';
            this.bytes[this.at++] = 0;
            return '()';
        }
        // Before its prototype, which objects of GLib do not all have.
        if (value instanceof GLib.Variant)
            return this.addVariant(value, place, depth);
        switch (Object.getPrototypeOf(value)) {
        case arrayPrototype:
            if (Array.isArray(value))
                return this.addList(value, place, depth);
            break;
        case objectPrototype:
        case null:
            return this.addDictionary(value, place, depth);
        case mapPrototype:
            return this.addMap(value, place, depth);
        case bytesPrototype:
            if (getTypedArrayName.call(value) === 'Uint8Array')
                return this.addArray(value, place, depth);
            break;
        case bufferPrototype:
            return this.addBuffer(value, place, depth);
        }
        throw this.refuse(place, getReason(value));
    }

    addArray(value, place, depth) {
        this.checkDepth(place, depth + 2);
        if (isShared(value))
            throw this.refuse(place, 'shared memory cannot be sent, because it may change');
        this.addBytes(value);
        return 'ay';
    }

    addBuffer(value, place, depth) {
        try {
            getBufferSize.call(value);
        } catch (error) {
            throw this.refuse(place, getReason(value));
        }
        this.checkDepth(place, depth + 2);
        this.addBytes(new Uint8Array(value));
        return 'ay';
    }

    addVariant(value, place, depth) {
        const normal = value.get_normal_form();
        const type = normal.get_type_string();

        this.checkDepth(place, depth + 1 + getDepth(normal));
        if (type.length > MAX_TYPE || type.length * getNode(type).depth > MAX_TYPE_COMPLEXITY)
            throw this.refuse(place, 'the type of a GLib.Variant is too complex');
        this.addBytes(toArray(normal));
        this.addType(type);
        return 'v';
    }

    // Writes what stands behind the value in a variant.
    addType(type) {
        this.reserve(type.length + 1);
        this.bytes[this.at++] = 0;
        for (let i = 0; i < type.length; i++)
            this.bytes[this.at++] = type.charCodeAt(i);
    }

    addList(list, place, depth) {
        const start = this.at;
        this.checkCycle(list, place);
        this.checkDepth(place, depth + 2);
        switch (typeof list[0]) {
        case 'number':
        case 'bigint':
            if (this.addIntegers(list))
                return 'ax';
            this.at = start;
            if (this.addDoubles(list))
                return 'ad';
            this.at = start;
            break;
        case 'string':
            if (this.addTexts(list, place))
                return 'as';
            this.at = start;
            break;
        }
        this.addItems(list, place, depth);
        return 'av';
    }

    addIntegers(list) {
        const {length} = list;
        this.reserve(length * 8);
        for (let i = 0; i < length; i++) {
            const value = list[i];
            if (typeof value === 'number' ? !isInteger(value)
                : typeof value !== 'bigint' || !isInt64(value))
                return false;
            this.addInteger(value);
        }
        return true;
    }

    addDoubles(list) {
        const {length} = list;
        this.reserve(length * 8);
        for (let i = 0; i < length; i++) {
            const value = list[i];
            if (typeof value !== 'number' || isInteger(value))
                return false;
            this.addDouble(value);
        }
        return true;
    }

    addTexts(list, place) {
        const start = this.at;
        const ends = [];
        for (let key = 0; key < list.length; key++) {
            const value = list[key];
            if (typeof value !== 'string')
                return false;
            this.addText(value, {outer: place, container: list, key}, 'a string');
            ends.push(this.at);
        }
        this.addOffsets(start, ends);
        return true;
    }

    addItems(list, place, depth) {
        const start = this.at;
        const ends = [];
        for (let key = 0; key < list.length; key++) {
            this.align();
            this.addType(this.addValue(list[key], {outer: place, container: list, key}, depth + 2));
            ends.push(this.at);
        }
        this.addOffsets(start, ends);
    }

    addDictionary(object, place, depth) {
        const symbol = Object.getOwnPropertySymbols(object).find(
            key => objectPrototype.propertyIsEnumerable.call(object, key));
        if (symbol !== undefined)
            throw this.refuse(place, 'the keys of an object must be strings, not symbols');
        if (objectPrototype.toString.call(object) !== '[object Object]')
            throw this.refuse(place, getReason(object));
        const start = this.beginEntries(object, place, depth);
        const ends = [];
        for (const key of Object.keys(object))
            this.addEntry(object, key, object[key], place, depth, ends);
        this.addOffsets(start, ends);
        return 'a{sv}';
    }

    addMap(map, place, depth) {
        try {
            getMapSize.call(map);
        } catch (error) {
            throw this.refuse(place, getReason(map));
        }
        const start = this.beginEntries(map, place, depth);
        const ends = [];
        for (const [key, value] of mapEntries.call(map)) {
            if (typeof key !== 'string') {
                throw this.refuse(place, 'the keys of a Map must be strings, not ' +
                    getTypeName(key));
            }
            this.addEntry(map, key, value, place, depth, ends);
        }
        this.addOffsets(start, ends);
        return 'a{sv}';
    }

    beginEntries(container, place, depth) {
        this.checkCycle(container, place);
        this.checkDepth(place, depth + 3);
        return this.at;
    }

    addEntry(container, key, value, place, depth, ends) {
        this.align();
        const start = this.at;
        this.addText(key, place, 'a key');
        const keySize = this.at - start;
        this.align();
        this.addType(this.addValue(value, {outer: place, container, key}, depth + 3));
        const offsetSize = chooseOffsetSize(this.at - start, 1);
        this.reserve(offsetSize);
        this.addOffset(keySize, offsetSize);
        ends.push(this.at);
    }

    finish(type) {
        return newVariant(type, this.bytes.subarray(0, this.at));
    }
}

// Types

// Nodes of types: {kind, alignment (1, 2, 4 or 8), size (0 if it is not fixed), type, depth (levels
// of nesting), children}.
const nodes = new Map();

const BASIC = {
    y: [1, 1], b: [1, 1], n: [2, 2], q: [2, 2], i: [4, 4], u: [4, 4], h: [4, 4], x: [8, 8],
    t: [8, 8], d: [8, 8], s: [1, 0], o: [1, 0], g: [1, 0], v: [8, 0],
};

function parseNode(text, at) {
    const kind = text[at];
    if (kind in BASIC) {
        const [alignment, size] = BASIC[kind];
        return {kind, alignment, size, type: kind, depth: 1, children: []};
    }
    const children = [];
    let end = at + 1;
    if (kind === 'a' || kind === 'm') {
        children.push(parseNode(text, end));
        end += children[0].type.length;
    } else {
        while (!')}'.includes(text[end])) {
            const child = parseNode(text, end);
            children.push(child);
            end += child.type.length;
        }
        end++;
    }
    const node = {kind, alignment: 1, size: 0, type: text.slice(at, end), depth: 1, children};
    for (const child of children) {
        node.alignment = max(node.alignment, child.alignment);
        node.depth = max(node.depth, child.depth + 1);
    }
    if (kind === '(' || kind === '{') {
        let size = 0;
        for (const child of children)
            size = child.size === 0 ? NaN : alignUp(size, child.alignment) + child.size;
        if (!Number.isNaN(size))
            node.size = children.length === 0 ? 1 : alignUp(size, node.alignment);
    }
    return node;
}

// By the codes of their characters.
const basicNodes = [];
for (const kind of Object.keys(BASIC))
    basicNodes[kind.charCodeAt(0)] = parseNode(kind, 0);

function getNode(type) {
    let node = nodes.get(type);
    if (node === undefined) {
        node = parseNode(type, 0);
        if (type.length < 100 && nodes.size < 1000)
            nodes.set(type, node);
    }
    return node;
}

function alignUp(offset, alignment) {
    const rest = offset % alignment;
    return rest === 0 ? offset : offset + alignment - rest;
}

// How many levels of nesting a GLib.Variant has, with those inside its variants.
function getDepth(variant) {
    const type = variant.get_type_string();
    let {depth} = getNode(type);
    if (type.includes('v')) {
        for (let i = 0; i < variant.n_children(); i++)
            depth = max(depth, 1 + getDepth(variant.get_child_value(i)));
    }
    return depth;
}

// Reading

function toArray(variant) {
    return variant.get_data_as_bytes().toArray();
}

function define(object, key, value) {
    if (key === '__proto__') {
        Object.defineProperty(object, key,
            {value, configurable: true, enumerable: true, writable: true});
    } else {
        object[key] = value;
    }
}

// Reads a value in normal form. Functions get the START and END of a value in bytes. IN_ENVELOPE: a
// variant there is what is inside, and not a GLib.Variant.
class Reader {
    constructor(variant) {
        const normal = variant.get_normal_form();
        this.type = normal.get_type_string();
        let bytes = toArray(normal);
        if (bytes.byteOffset % 8 !== 0)
            bytes = bytes.slice();
        // The GVariant keeps the memory.
        this.variant = normal;
        this.bytes = bytes;
        this.size = bytes.length;
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }

    readOffset(at, size) {
        let offset = 0;
        for (let i = size - 1; i >= 0; i--)
            offset = offset * 256 + this.bytes[at + i];
        return offset;
    }

    readText(start, end) {
        const {bytes} = this;
        if (end - start <= SHORT_TEXT) {
            let text = '';
            let i = start;
            for (; i < end && bytes[i] < 0x80; i++)
                text += String.fromCharCode(bytes[i]);
            if (i === end)
                return text;
        }
        const text = decoder.decode(bytes.subarray(start, end));
        const hasBom = bytes[start] === 0xef && bytes[start + 1] === 0xbb &&
            bytes[start + 2] === 0xbf;
        return hasBom && DROPS_BOM ? `\ufeff${text}` : text;
    }

    readInt64(at) {
        const high = this.view.getInt32(at + 4 * HIGH, IS_LITTLE);
        const low = this.view.getUint32(at + 4 * LOW, IS_LITTLE);
        const value = high * TWO_32 + low;
        return isSafeInteger(value) ? value : this.view.getBigInt64(at, IS_LITTLE);
    }

    readUint64(at) {
        const value = this.view.getBigUint64(at, IS_LITTLE);
        return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
    }

    // Where the type of the value in a variant begins.
    findType(start, end) {
        let at = end;
        while (at > start && this.bytes[at - 1] !== 0)
            at--;
        return at;
    }

    readInside(start, end, inEnvelope) {
        const at = this.findType(start, end);
        return this.read(this.readNode(at, end), start, at - 1, inEnvelope);
    }

    readNode(at, end) {
        if (end - at === 1)
            return basicNodes[this.bytes[at]];
        return getNode(this.readText(at, end));
    }

    readVariant(start, end) {
        const at = this.findType(start, end);
        return newVariant(this.readText(at, end), this.bytes.subarray(start, at - 1));
    }

    read(node, start, end, inEnvelope) {
        const {view} = this;
        switch (node.kind) {
        case 'b':
            return this.bytes[start] !== 0;
        case 'y':
            return this.bytes[start];
        case 'n':
            return view.getInt16(start, IS_LITTLE);
        case 'q':
            return view.getUint16(start, IS_LITTLE);
        case 'i':
        case 'h':
            return view.getInt32(start, IS_LITTLE);
        case 'u':
            return view.getUint32(start, IS_LITTLE);
        case 'x':
            return this.readInt64(start);
        case 't':
            return this.readUint64(start);
        case 'd':
            return view.getFloat64(start, IS_LITTLE);
        case 's':
        case 'o':
        case 'g':
            return this.readText(start, end - 1);
        case 'v':
            return inEnvelope ? this.readInside(start, end, false) : this.readVariant(start, end);
        case 'm':
            if (start === end)
                return null;
            return this.read(node.children[0], start, node.children[0].size !== 0 ? end : end - 1,
                true);
        case 'a':
            return this.readArray(node, start, end);
        default:
            return this.readTuple(node, start, end);
        }
    }

    readArray(node, start, end) {
        const [item] = node.children;
        if (item.kind === 'y')
            return this.bytes.slice(start, end);
        const result = this.begin(item, this.countItems(item, start, end));
        if (item.kind === 'x' || item.kind === 'd') {
            this.readNumbers(item, start, end, result, 0);
            return result.value;
        }
        for (let i = 0, at = start; i < result.n; i++)
            at = this.readItem(item, start, end, result, i, at);
        return result.value;
    }

    // An Array that is not complete, or an object or Map for the entries of a dictionary.
    begin(item, n) {
        if (item.kind !== '{')
            return {n, value: new Array(n)};
        return {n, value: 'sog'.includes(item.children[0].kind) ? {} : new Map()};
    }

    countItems(item, start, end) {
        if (item.size !== 0)
            return (end - start) / item.size;
        if (start === end)
            return 0;
        const offsetSize = getOffsetSize(end - start);
        return (end - start - this.readOffset(end - offsetSize, offsetSize)) / offsetSize;
    }

    // Reads the I-th item of a container, which stands at AT or behind. Returns its end.
    readItem(item, start, end, result, i, at) {
        const itemStart = alignUp(at, item.alignment);
        let itemEnd = itemStart + item.size;
        if (item.size === 0) {
            const offsetSize = getOffsetSize(end - start);
            itemEnd = start + this.readOffset(end - (result.n - i) * offsetSize, offsetSize);
        }
        if (item.kind !== '{')
            result.value[i] = this.read(item, itemStart, itemEnd, true);
        else if (item.children[0].size === 0)
            this.readEntry(item, itemStart, itemEnd, result);
        else
            this.addEntry(result, ...this.readMembers(item, itemStart, itemEnd, true));
        return itemEnd;
    }

    // Reads an entry whose key is text.
    readEntry({children: [, value]}, start, end, result) {
        const offsetSize = getOffsetSize(end - start);
        const keyEnd = start + this.readOffset(end - offsetSize, offsetSize);
        const valueStart = alignUp(keyEnd, value.alignment);
        const valueEnd = value.size !== 0 ? valueStart + value.size : end - offsetSize;
        define(result.value, this.readText(start, keyEnd - 1),
            this.read(value, valueStart, valueEnd, true));
    }

    addEntry(result, key, value) {
        if (result.value instanceof Map)
            result.value.set(key, value);
        else
            define(result.value, key, value);
    }

    // Reads numbers from the I-th on. Returns the index of the first that was not read.
    readNumbers(item, start, end, result, i, limit = result.n) {
        const {value} = result;
        const offset = this.bytes.byteOffset + start;
        const last = min(limit, result.n);
        if (item.kind === 'd') {
            const doubles = new Float64Array(this.bytes.buffer, offset, result.n);
            for (; i < last; i++)
                value[i] = doubles[i];
            return i;
        }
        const low = new Uint32Array(this.bytes.buffer, offset, result.n * 2);
        const high = new Int32Array(this.bytes.buffer, offset, result.n * 2);
        for (; i < last; i++) {
            const number = high[2 * i + HIGH] * TWO_32 + low[2 * i + LOW];
            value[i] = isSafeInteger(number) ? number
                : this.view.getBigInt64(start + i * 8, IS_LITTLE);
        }
        return i;
    }

    readTuple(node, start, end) {
        return this.readMembers(node, start, end, false);
    }

    // The values of the members. IN_ENVELOPE is for the last one, the value of an entry.
    readMembers(node, start, end, inEnvelope) {
        const bounds = this.findMembers(node, start, end);
        return node.children.map((child, i) => this.read(child, bounds[2 * i], bounds[2 * i + 1],
            inEnvelope && i === 1));
    }

    // Where the members of a tuple or an entry start and end.
    findMembers(node, start, end) {
        const offsetSize = getOffsetSize(end - start);
        const bounds = [];
        let frame = end;
        let at = start;
        node.children.forEach((child, i) => {
            at = alignUp(at, child.alignment);
            bounds.push(at);
            if (child.size !== 0) {
                at += child.size;
            } else if (i === node.children.length - 1) {
                at = frame;
            } else {
                frame -= offsetSize;
                at = start + this.readOffset(frame, offsetSize);
            }
            bounds.push(at);
        });
        return bounds;
    }

    // The same, but yields again and again while it goes on. Only what is large is read so.
    *readSteps(node, start, end, inEnvelope) {
        if (end - start <= MAX_SMALL || node.type === 'ay' || node.kind === 's') {
            yield;
            return this.read(node, start, end, inEnvelope);
        }
        switch (node.kind) {
        case 'v':
            return inEnvelope ? yield* this.readInsideSteps(start, end)
                : this.readVariant(start, end);
        case 'm':
            return yield* this.readSteps(node.children[0], start,
                node.children[0].size !== 0 ? end : end - 1, true);
        case 'a':
            return yield* this.readArraySteps(node.children[0], start, end);
        default:
            return yield* this.readMembersSteps(node, start, end, false);
        }
    }

    *readInsideSteps(start, end) {
        const at = this.findType(start, end);
        return yield* this.readSteps(this.readNode(at, end), start, at - 1, false);
    }

    *readArraySteps(item, start, end) {
        const result = this.begin(item, this.countItems(item, start, end));
        const isOfNumbers = item.kind === 'x' || item.kind === 'd';
        const offsetSize = getOffsetSize(end - start);
        let read = 0;
        for (let i = 0, at = start; i < result.n;) {
            if (isOfNumbers) {
                i = this.readNumbers(item, start, end, result, i, i + 1024);
                yield;
                continue;
            }
            const itemStart = alignUp(at, item.alignment);
            const itemEnd = item.size !== 0 ? itemStart + item.size
                : start + this.readOffset(end - (result.n - i) * offsetSize, offsetSize);
            if (itemEnd - itemStart <= MAX_SMALL)
                this.readItem(item, start, end, result, i, at);
            else
                yield* this.readItemSteps(item, itemStart, itemEnd, result, i);
            read += itemEnd - at + 1;
            at = itemEnd;
            i++;
            if (read > 1024) {
                read = 0;
                yield;
            }
        }
        return result.value;
    }

    *readItemSteps(item, start, end, result, i) {
        if (item.kind !== '{')
            result.value[i] = yield* this.readSteps(item, start, end, true);
        else
            this.addEntry(result, ...yield* this.readMembersSteps(item, start, end, true));
    }

    *readMembersSteps(node, start, end, inEnvelope) {
        const bounds = this.findMembers(node, start, end);
        const values = [];
        for (const [i, child] of node.children.entries()) {
            values.push(yield* this.readSteps(child, bounds[2 * i], bounds[2 * i + 1],
                inEnvelope && i === 1));
        }
        return values;
    }
}

// Functions

// The bytes are copied, and are in normal form.
function newVariant(type, bytes) {
    return imports.gi.AFork.bindings_new_variant(type, byteArray.toGBytes(bytes));
}

// Bytes are copied once only.
function isWholeArray(value) {
    return value instanceof Uint8Array && Object.getPrototypeOf(value) === bytesPrototype &&
        getTypedArrayName.call(value) === 'Uint8Array' && !isShared(value);
}

function isShared(bytes) {
    return objectPrototype.toString.call(bytes.buffer) === '[object SharedArrayBuffer]';
}

function isNothing(variant) {
    return variant.get_type_string() === '()';
}

// The GVariant for a value. Throws a TypeError that says which part of the value is refused; the
// text begins with NAME.
function pack(value, name = 'value') {
    if (isWholeArray(value))
        return newVariant('ay', value);
    const writer = new Writer(name);
    return writer.finish(writer.addValue(value, null, 0));
}

// The value of a GVariant of any type.
function unpack(variant) {
    if (isNothing(variant))
        return null;
    const reader = new Reader(variant);
    return reader.read(getNode(reader.type), 0, reader.size, false);
}

// The value of a GVariant as a generator, which yields again and again while it goes on.
function* unpackInSteps(variant) {
    if (isNothing(variant))
        return null;
    const reader = new Reader(variant);
    return yield* reader.readSteps(getNode(reader.type), 0, reader.size, false);
}

return {MAX_SMALL, STEP_TIME, pack, unpack, unpackInSteps};
})();
