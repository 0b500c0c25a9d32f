# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The extension module: Python's values become GVariants and come back, lossless or not at all.

GLib itself is the reference: its text format for what is packed and for what is unpacked.
"""

import array
import collections
import enum
import gc
import math
import os
import random
import struct
import sys
import threading
import time
import tracemalloc
import unittest

import gi

gi.require_version("AFork", "1")
from gi.overrides import _afork
from gi.repository import AFork, GLib

_afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                         AFork.bindings_take_variant)

SEED = int(os.environ.get("AFORK_TEST_SEED", random.randrange(2**32)))
N_RANDOM = 4000


def pack(value, **options):
    return AFork.bindings_take_variant(_afork.pack(value, **options))


def unpack(variant):
    return _afork.unpack(AFork.bindings_get_variant_address(variant))


def new_unpacker(variant):
    # The address is valid because the argument is a reference.
    return _afork.Unpacker(AFork.bindings_get_variant_address(variant))


def unpack_in_steps(variant, microseconds=0):
    unpacker = new_unpacker(variant)
    n_steps = 1
    while not unpacker.step(microseconds):
        n_steps += 1
    return unpacker.take(), n_steps


def parse(text, type_string=None):
    type_ = GLib.VariantType(type_string) if type_string else None
    return GLib.Variant.parse(type_, text, None, None)


def is_same(left, right):
    """Whether both are of the same types, with the same numbers to the bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, dict):
        return is_same(list(left.items()), list(right.items()))
    if isinstance(left, GLib.Variant):
        return left.print_(True) == right.print_(True)
    return left == right


# The model: the text that GLib must parse to the same value.

def quote(text):
    return GLib.Variant("s", text).print_(False)


def item_type(items):
    types = {type(item) for item in items}
    if types == {int} and all(item < 2**63 for item in items):
        return "x"
    return {float: "d", str: "s"}.get(*types) if len(types) == 1 else None


def model_text(value, is_whole=True):
    """The value in GLib's text format, with all types."""
    match value:
        case None:
            return "()" if is_whole else "@mv nothing"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{'int64' if value < 2**63 else 'uint64'} {value}"
        case float():
            return GLib.Variant("d", value).print_(True)
        case str():
            return quote(value)
        case bytes():
            return "@ay [" + ", ".join(f"0x{byte:02x}" for byte in value) + "]"
        case tuple() if not value:
            return "@m() just ()" if is_whole else "()"
        case tuple():
            inner = [model_text(item, False) for item in value]
            return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
        case list():
            if kind := item_type(value):
                return f"@a{kind} [" + ", ".join(model_text(item, False) for item in value) + "]"
            return "@av [" + ", ".join(f"<{model_text(item, False)}>" for item in value) + "]"
        case dict():
            return "@a{sv} {" + ", ".join(f"{quote(key)}: <{model_text(item, False)}>"
                                          for key, item in value.items()) + "}"
        case GLib.Variant():
            return f"<{value.print_(True)}>"


TEXTS = ("", "a", "text", "ä€𝄞", "\x7f\n\t'\"\\", "0123456789" * 3)
NUMBERS = (0, 1, -1, 2**31, -2**31, 2**32, 2**53 + 1, 2**63 - 1, -2**63, 2**63, 2**64 - 1)
FLOATS = (0.0, -0.0, 1.5, -2.25e300, math.pi)    # GLib does not parse the smallest ones
VARIANTS = ("1", "'a'", "<<1>>", "(1, 'a', [<2>])", "@a{sv} {}", "(byte 1, int16 2, 3.5)",
            "{'k': <@mv nothing>}", "@mi just 5")


def random_text(rand):
    return "".join(rand.choice(TEXTS) for _ in range(rand.randrange(4)))


def random_value(rand, depth):
    kinds = ["none", "bool", "int", "float", "str", "bytes", "variant"]
    if depth > 0:
        kinds += ["list", "list", "uniform", "tuple", "tuple", "dict", "dict"]
    match rand.choice(kinds):
        case "none":
            return None
        case "bool":
            return rand.random() < 0.5
        case "int":
            return rand.choice(NUMBERS) if rand.random() < 0.5 else rand.randrange(-2**63, 2**64)
        case "float":
            return rand.choice(FLOATS) if rand.random() < 0.5 else rand.gauss(0, 1e6)
        case "str":
            return random_text(rand)
        case "bytes":
            return rand.randbytes(rand.choice((0, 1, 3, 300)))
        case "variant":
            return parse(rand.choice(VARIANTS))
        case "uniform":
            make = rand.choice((lambda: rand.randrange(-2**63, 2**63), lambda: rand.gauss(0, 1),
                                lambda: random_text(rand)))
            return [make() for _ in range(rand.choice((1, 2, 5, 100)))]
        case "list":
            return [random_value(rand, depth - 1) for _ in range(rand.randrange(6))]
        case "tuple":
            return tuple(random_value(rand, depth - 1) for _ in range(rand.randrange(5)))
        case "dict":
            return {random_text(rand) + str(i): random_value(rand, depth - 1)
                    for i in range(rand.randrange(5))}


# Values of all types, as GLib's own printing and Python must agree on them.

def expected(variant, in_envelope=False):
    """What a GVariant of any type must arrive as, by PyGObject's means."""
    kind = variant.get_type_string()
    children = [variant.get_child_value(i) for i in range(variant.n_children())] \
        if variant.is_container() else []
    if kind == "v":
        return expected(children[0]) if in_envelope else children[0]
    if kind[0] == "m":
        return expected(children[0], True) if children else None
    if kind == "ay":
        return bytes(child.get_byte() for child in children)
    if kind.startswith("a{"):
        return {expected(child.get_child_value(0)): expected(child.get_child_value(1), True)
                for child in children}
    if kind[0] == "a":
        return [expected(child, True) for child in children]
    if kind[0] in "({":
        return tuple(expected(child) for child in children)
    if kind == "y":
        return variant.get_byte()
    return variant.unpack()


FOREIGN_BASIC = "ybnqiuxtdsog"


def random_type(rand, depth):
    kind = rand.randrange(10)
    if depth == 0 or kind < 4:
        return rand.choice(FOREIGN_BASIC + "v")
    if kind == 4:
        return "m" + random_type(rand, depth - 1)
    if kind < 7:
        return "a" + random_type(rand, depth - 1)
    if kind == 7:
        return f"a{{{rand.choice(FOREIGN_BASIC)}{random_type(rand, depth - 1)}}}"
    return "(" + "".join(random_type(rand, depth - 1) for _ in range(rand.randrange(1, 4))) + ")"


def split_types(types):
    while types:
        for length in range(1, len(types) + 1):
            if GLib.VariantType.string_is_valid(types[:length]):
                yield types[:length]
                types = types[length:]
                break


def random_of_type(rand, kind, depth):
    """A value of a type in GLib's text format."""
    ranges = {"y": (0, 255), "n": (-2**15, 2**15 - 1), "q": (0, 2**16 - 1),
              "i": (-2**31, 2**31 - 1), "u": (0, 2**32 - 1), "x": (-2**63, 2**63 - 1),
              "t": (0, 2**64 - 1)}
    if kind in ranges:
        return str(rand.randint(*ranges[kind]))
    if kind == "b":
        return rand.choice(("true", "false"))
    if kind == "d":
        return repr(rand.choice(FLOATS))
    if kind == "s":
        return quote(random_text(rand))
    if kind == "o":
        return rand.choice(("'/'", "'/a/b'"))
    if kind == "g":
        return rand.choice(("''", "'a{sv}'"))
    if kind == "v":
        inner = random_type(rand, max(depth - 1, 0))
        return f"<@{inner} {random_of_type(rand, inner, depth - 1)}>"
    if kind[0] == "m":
        return f"just {random_of_type(rand, kind[1:], depth)}" if rand.random() < 0.6 else "nothing"
    n_items = rand.randrange(4)
    if kind.startswith("a{"):
        # Equal keys would be one key.
        entries = {random_of_type(rand, kind[2], depth): random_of_type(rand, kind[3:-1], depth)
                   for _ in range(n_items)}
        return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
    if kind[0] == "a":
        return "[" + ", ".join(random_of_type(rand, kind[1:], depth)
                               for _ in range(n_items)) + "]"
    members = [random_of_type(rand, member, depth) for member in split_types(kind[1:-1])]
    return f"({members[0]},)" if len(members) == 1 else f"({', '.join(members)})"


class Number(enum.IntEnum):
    ONE = 1


Point = collections.namedtuple("Point", "x y")


class Text(str):
    pass


class ValuesTest(unittest.TestCase):
    def assert_arrives(self, value, text=None):
        variant = pack(value)
        reference = parse(text or model_text(value))
        self.assertEqual(variant.get_type_string(), reference.get_type_string())
        self.assertTrue(variant.equal(reference), variant.print_(True))
        self.assertEqual(variant.get_data_as_bytes().get_data(),
                         reference.get_normal_form().get_data_as_bytes().get_data())
        arrived = unpack(variant)
        self.assertTrue(is_same(arrived, value), (arrived, value))
        in_steps, _ = unpack_in_steps(variant)
        self.assertTrue(is_same(in_steps, value), (in_steps, value))

    # What arrives as it is

    def test_each(self):
        for value, text in (
                (None, "()"),
                ((), "@m() just ()"),
                (((),), "((),)"),
                ((None,), "(@mv nothing,)"),
                ([None], "[<@mv nothing>]"),
                (True, "true"),
                (False, "false"),
                (0, "int64 0"),
                (2**63 - 1, "int64 9223372036854775807"),
                (-2**63, "int64 -9223372036854775808"),
                (2**63, "uint64 9223372036854775808"),
                (2**64 - 1, "uint64 18446744073709551615"),
                (1.0, "1.0"),
                (-0.0, "-0.0"),
                ("", "''"),
                ("ä€𝄞", "'ä€𝄞'"),
                (b"", "@ay []"),
                (b"\0a\0", "@ay [0x00, 0x61, 0x00]"),
                ([], "@av []"),
                ([1, 2], "@ax [1, 2]"),
                ([1.0, 2.0], "@ad [1.0, 2.0]"),
                (["a", ""], "@as ['a', '']"),
                ([1, True], "[<int64 1>, <true>]"),
                ([1, 2.0], "[<int64 1>, <2.0>]"),
                (["a", 1], "[<'a'>, <int64 1>]"),
                ([1, 2**63], "[<int64 1>, <uint64 9223372036854775808>]"),
                ([2**63], "[<uint64 9223372036854775808>]"),
                ([True], "[<true>]"),
                ([b"a"], "[<@ay [0x61]>]"),
                ([[]], "[<@av []>]"),
                ([[1], ["a"]], "[<@ax [1]>, <@as ['a']>]"),
                ((1, "a"), "(int64 1, 'a')"),
                (("a", (True, ("b", 1.5))), "('a', (true, ('b', 1.5)))"),
                (("a", [], ["b"], [1]), "('a', @av [], @as ['b'], @ax [1])"),
                ({}, "@a{sv} {}"),
                ({"a": 1, "": None}, "{'a': <int64 1>, '': <@mv nothing>}"),
                (parse("int16 1"), "<int16 1>"),
                ([parse("<1>")], "[<<<1>>>]"),
                ((parse("1"), 2), "(<1>, int64 2)"),
                ({"a": parse("'x'")}, "{'a': <<'x'>>}")):
            with self.subTest(value=value):
                self.assert_arrives(value, text)
        for value in (math.inf, -math.inf, 5e-324):
            self.assertEqual(unpack(pack(value)), value)
        nan = struct.unpack("d", struct.pack("Q", 0x7ff8_0000_dead_beef))[0]
        self.assertTrue(is_same(unpack(pack(nan)), nan))

    def test_random(self):
        rand = random.Random(SEED)
        for i in range(N_RANDOM):
            value = random_value(rand, rand.randrange(5))
            with self.subTest(seed=SEED, i=i):
                self.assert_arrives(value)

    def test_buffers(self):
        data = bytearray(b"abc\0def")
        for value in (data, memoryview(data), memoryview(data)[1:4], memoryview(b"xyz"),
                      memoryview(array.array("i", [1, 2])).cast("B"), bytearray(), memoryview(b"")):
            self.assertTrue(is_same(unpack(pack(value)), bytes(value)))
            self.assertTrue(is_same(unpack(pack([value, (value,)])), [bytes(value),
                                                                      (bytes(value),)]))
        # Nothing is held.
        data.append(1)

    def test_identity(self):
        """Equal lists arrive, and no cycle is seen where there is none."""
        inner = [1, "a"]
        arrived = unpack(pack([inner, inner, (inner, inner)]))
        self.assertEqual(arrived, [inner, inner, (inner, inner)])
        self.assertIsNot(arrived[0], arrived[1])

    def test_large(self):
        for value in ([(i, str(i), i / 2) for i in range(20000)],
                      {str(i): [i] for i in range(20000)},
                      list(range(100000)),
                      [str(i) for i in range(70000)] + [1],
                      list(range(70000)) + [None],
                      "ä" * 1000000, bytes(range(256)) * 5000,
                      tuple(range(60000))):
            arrived = unpack(pack(value))
            self.assertTrue(is_same(arrived, value))

    def test_same_keys(self):
        first, second = unpack(pack([{"a long key": 1}, {"a long key": 2}]))
        self.assertIs(next(iter(first)), next(iter(second)))

    # What is refused

    def assert_refused(self, value, text, **options):
        with self.assertRaises(TypeError) as context:
            _afork.pack(value, **options)
        self.assertEqual(str(context.exception), text)

    def test_refused(self):
        other = "; use None, bool, int, float, str, bytes, list, tuple, dict or GLib.Variant"
        arrive = "cannot be sent, because it would arrive as"
        cycle = []
        cycle.append({"a": (cycle,)})
        deep = []
        for _ in range(64):
            deep = [deep]
        released = memoryview(b"abc")
        released.release()
        name = f"{__name__}."
        for value, text in (
                ({1}, "value: set cannot be sent" + other),
                ([1, {"k": {1}}], "value[1]['k']: set cannot be sent" + other),
                ((1, (x for x in ())), "value[1]: generator cannot be sent" + other),
                ([range(3)], "value[0]: range cannot be sent" + other),
                ([print], "value[0]: builtin_function_or_method cannot be sent" + other),
                (object, "value: type cannot be sent" + other),
                (1j, "value: complex cannot be sent" + other),
                (array.array("i"), "value: array.array cannot be sent" + other),
                (collections.deque(), "value: collections.deque cannot be sent" + other),
                (GLib.VariantType("s"), "value: gi.repository.GLib.VariantType cannot be sent"
                 + other),
                (2**64, "value: an int must be at least -2**63 and less than 2**64"),
                ([0, -2**63 - 1], "value[1]: an int must be at least -2**63 and less than 2**64"),
                ({"k": 10**100}, "value['k']: an int must be at least -2**63 and less than 2**64"),
                ("a\0b", "value: a str must not have NUL characters"),
                (["a", "\0"], "value[1]: a str must not have NUL characters"),
                (("\ud800",), "value[0]: a str must not have surrogates"),
                ({"\udc80": 1}, "value: the key of a dict must not have surrogates"),
                ([{"a\0": 1}], "value[0]: the key of a dict must not have NUL characters"),
                ({1: 2}, "value: the keys of a dict must be str, not int"),
                ({"a": {None: 2}}, "value['a']: the keys of a dict must be str, not NoneType"),
                ({Text("a"): 1}, f"value: the keys of a dict must be str, not {name}Text"),
                (Number.ONE, f"value: {name}Number {arrive} int; convert it with int()"),
                (Point(1, 2), f"value: {name}Point {arrive} tuple; convert it with tuple()"),
                ([Text("a")], f"value[0]: {name}Text {arrive} str; convert it with str()"),
                (collections.OrderedDict(),
                 f"value: collections.OrderedDict {arrive} dict; convert it with dict()"),
                (collections.Counter("a"),
                 f"value: collections.Counter {arrive} dict; convert it with dict()"),
                (type("F", (float,), {})(1),
                 f"value: {name}F {arrive} float; convert it with float()"),
                (type("B", (bytes,), {})(b""),
                 f"value: {name}B {arrive} bytes; convert it with bytes()"),
                (type("L", (list,), {})(),
                 f"value: {name}L {arrive} list; convert it with list()"),
                (type("A", (bytearray,), {})(),
                 f"value: {name}A {arrive} bytearray; convert it with bytearray()"),
                (cycle, "value[0]['a'][0]: the value contains itself"),
                (deep, "value" + "[0]" * 64 + ": the value is nested too deeply: a GVariant has at "
                 "most 128 levels, and a list or dict in another one adds at least two"),
                ((0,) * 70000, "value[65533]: a tuple has too many items; use a list"),
                (memoryview(b"abcd").cast("H"), "value: a memoryview must be contiguous, of one "
                 "dimension and of format 'B'; see memoryview.cast()"),
                ([memoryview(b"abcd")[::2]], "value[0]: a memoryview must be contiguous, of one "
                 "dimension and of format 'B'; see memoryview.cast()"),
                (memoryview(b"abcd").cast("B", (2, 2)), "value: a memoryview must be contiguous, "
                 "of one dimension and of format 'B'; see memoryview.cast()"),
                (released, "value: the memoryview has been released"),
                ({"k" * 50: {1}}, "value['" + "k" * 40 + "'...]: set cannot be sent" + other),
                ({"'\n": {1}}, "value[\"'\\n\"]: set cannot be sent" + other)):
            with self.subTest(text=text):
                self.assert_refused(value, text)

    def test_sanitized(self):
        """Where the sanitizers should be, the module that is tested has them."""
        folder = os.path.join("sanitized", "gi", "overrides")
        self.assertEqual(folder in _afork.__file__, "AFORK_TEST_SANITIZED" in os.environ)

    def test_name(self):
        self.assert_refused([None, 2**64], "args[1]: an int must be at least -2**63 and less than "
                            "2**64", name="args")

    def test_exact(self):
        for value, kind in ((bytearray(), "bytearray"), (memoryview(b""), "memoryview")):
            self.assert_refused([value], f"value[0]: {kind} cannot be sent, because it would "
                                "arrive as bytes; convert it with bytes()", exact=True)
        self.assertEqual(unpack(pack([1, b"a"], exact=True)), [1, b"a"])

    def test_exact_and_there_twice(self):
        """What is there twice would arrive as two, and takes exponential time if it is nested."""
        for shared in [1], (1,), {"a": 1}, []:
            for value, path in (([shared, shared], "[1]"), ((shared, 1, shared), "[2]"),
                                ({"a": [shared], "b": shared}, "['b']")):
                self.assert_refused(value, f"value{path}: the value is there twice", exact=True)
                self.assertEqual(unpack(pack(value)), value)
        nested = []
        for i in range(60):
            nested = [nested, nested]
        with self.assertRaises(TypeError):
            pack(nested, exact=True)
        empty = ()
        apart = [[1], [1], (1, [2]), {"a": {}, "b": {}}, empty, empty, "a", "a"]
        for held in apart, [list(range(3)) for i in range(100)]:
            references = list(held)
            self.assertEqual(unpack(pack(held, exact=True)), references)

    def test_arguments(self):
        for call in (lambda: _afork.pack(), lambda: _afork.pack(1, 2),
                     lambda: _afork.pack(1, "a", 1),
                     lambda: _afork.unpack("x"), lambda: _afork.unpack(1.5),
                     lambda: _afork.unpack(True), lambda: _afork.Unpacker(),
                     lambda: _afork.Unpacker(None), lambda: _afork.view(None),
                     lambda: _afork.set_variant_class(1, 2, 3)):
            self.assertRaises(TypeError, call)
        for function in (_afork.unpack, _afork.Unpacker, _afork.view):
            self.assertRaises(ValueError, function, 0)
            self.assertRaises(OverflowError, function, 2**64)

    def test_variant_fails(self):
        """An exception of the functions that convert GVariants is raised as it is."""
        def fail(value):
            raise KeyError("no")

        variant = parse("(<1>, 2)")
        try:
            _afork.set_variant_class(GLib.Variant, fail, fail)
            self.assertRaises(KeyError, _afork.pack, [variant])
            self.assertRaises(KeyError, unpack, variant)
            _afork.set_variant_class(GLib.Variant, lambda value: "x", fail)
            self.assertRaises(TypeError, _afork.pack, [variant])
        finally:
            _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                                     AFork.bindings_take_variant)

    def test_changed_meanwhile(self):
        """What changes while code in Python runs is refused, or is what it was or is."""
        victims = []

        def get_address(variant):
            for victim in victims:
                victim.clear()
            gc.collect()
            return AFork.bindings_get_variant_address(variant)

        variant = parse("1")
        try:
            _afork.set_variant_class(GLib.Variant, get_address, AFork.bindings_take_variant)
            values = ["a", variant, "x"]
            victims[:] = [values]
            arrived = unpack(pack(values))
            self.assertEqual(arrived[0], "a")
            values = {"a": 1, "b": variant, "c": 2}
            victims[:] = [values]
            self.assert_refused(values, "value: the dict has changed meanwhile")
        finally:
            _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                                     AFork.bindings_take_variant)

    # What others send

    def test_others(self):
        rand = random.Random(SEED)
        for i in range(N_RANDOM):
            kind = random_type(rand, rand.randrange(4))
            variant = parse(random_of_type(rand, kind, 3), kind)
            with self.subTest(seed=SEED, i=i, variant=variant.print_(True)):
                if kind == "()":
                    continue
                self.assertTrue(is_same(unpack(variant), expected(variant)))
                self.assertTrue(is_same(unpack_in_steps(variant)[0], expected(variant)))

    def test_not_normal(self):
        """Bytes that are not in normal form are the value that GLib has for them."""
        rand = random.Random(SEED)
        n_wrong = 0
        for i in range(N_RANDOM):
            kind = random_type(rand, rand.randrange(1, 4))
            data = bytearray(parse(random_of_type(rand, kind, 3), kind)
                             .get_data_as_bytes().get_data())
            if data:
                data[rand.randrange(len(data))] = rand.randrange(256)
            variant = GLib.Variant.new_from_bytes(GLib.VariantType(kind), GLib.Bytes.new(data),
                                                  False)
            n_wrong += not variant.is_normal_form()
            variant = GLib.Variant.new_from_bytes(GLib.VariantType(kind), GLib.Bytes.new(data),
                                                  False)
            with self.subTest(seed=SEED, i=i, kind=kind, data=data):
                arrived = unpack(variant)
                normal = variant.get_normal_form()
                self.assertTrue(is_same(arrived, expected(normal)), normal.print_(True))
        self.assertGreater(n_wrong, 50)

    def test_too_deep(self):
        variant = GLib.Variant("i", 1)
        for _ in range(130):
            variant = GLib.Variant("v", variant)
        # One level at a time.
        self.assertEqual(unpack(variant).get_type_string(), "v")
        variant = GLib.Variant("(v)", (variant,))
        self.assertRaisesRegex(TypeError, "^value: the value is nested too deeply", _afork.pack,
                               variant)

    # Steps

    def test_steps(self):
        value = [(i, str(i), float(i), {"k": [i]}) for i in range(3000)]
        variant = pack(value)
        arrived, n_steps = unpack_in_steps(variant)
        self.assertEqual(arrived, value)
        self.assertGreater(n_steps, 100)
        arrived, n_steps = unpack_in_steps(variant, 10**9)
        self.assertEqual((arrived, n_steps), (value, 1))

    def test_short_steps(self):
        """No step of the conversion of a large value takes long, with what the garbage collector
        takes. Time is the processor's, because other programs may run meanwhile."""
        variant = pack([(i, str(i), i / 3) for i in range(60000)])
        unpacker = new_unpacker(variant)
        longest, is_ready = 0, False
        while not is_ready:
            began = time.thread_time()
            is_ready = unpacker.step(2000)
            longest = max(longest, time.thread_time() - began)
        self.assertLess(longest, 0.02)
        self.assertEqual(len(unpacker.take()), 60000)

    def test_take(self):
        unpacker = new_unpacker(pack(list(range(1000))))
        self.assertRaises(RuntimeError, unpacker.take)
        self.assertFalse(unpacker.step(0))
        self.assertRaises(RuntimeError, unpacker.take)
        while not unpacker.step(0):
            pass
        self.assertTrue(unpacker.step(0))
        self.assertEqual(unpacker.take(), list(range(1000)))
        self.assertRaises(RuntimeError, unpacker.take)
        self.assertTrue(unpacker.step(5))
        self.assertRaises(ValueError, unpacker.step, -1)
        self.assertRaises(TypeError, unpacker.step, None)

    def test_hidden(self):
        """No code finds a list or tuple that is not complete."""
        marker = [7] * 999
        unpacker = new_unpacker(pack([tuple(marker), marker, "x"] * 10))
        while not unpacker.step(0):
            for found in gc.get_objects():
                if type(found) in (list, tuple) and len(found) in (30, 999):
                    repr(found)
            gc.collect()
        self.assertEqual(unpacker.take(), [tuple(marker), marker, "x"] * 10)

    def test_dropped(self):
        """An unpacker that is dropped half-way drops what it has."""
        variant = pack([{"k": [(i, [i])]} for i in range(1000)])
        gc.collect()
        before = len(gc.get_objects())
        for n in range(0, 30):
            unpacker = new_unpacker(variant)
            for _ in range(n):
                unpacker.step(0)
        del unpacker
        gc.collect()
        self.assertLess(len(gc.get_objects()) - before, 20)

    def test_within(self):
        """Code that converts a GVariant inside may not go on with the same unpacker."""
        variant = parse("(<1>, <2>)")
        results = []

        def take(address):
            try:
                unpacker.step(0)
            except RuntimeError as error:
                results.append(str(error))
            return AFork.bindings_take_variant(address)

        try:
            _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address, take)
            unpacker = new_unpacker(variant)
            while not unpacker.step(0):
                pass
        finally:
            _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                                     AFork.bindings_take_variant)
        self.assertEqual(results, ["another step is running"] * 2)
        self.assertTrue(is_same(unpacker.take(), (parse("1"), parse("2"))))

    def test_variant_outlives(self):
        inner = unpack(pack((parse(quote("x" * 10000)), parse("1"))))
        gc.collect()
        self.assertEqual(inner[0].get_string(), "x" * 10000)
        self.assertEqual(inner[1].get_int32(), 1)

    # References

    def test_references(self):
        leaf, key, text = object(), "some key", "some text " * 3
        bad = {key: [text, (1.25, leaf)]}
        good = {key: [text, (1.25, None, parse("'v'"))], "b": b"bytes", "n": 2**70 % 2**64}
        watched = (leaf, key, text, None, good["b"], good[key][1][2], good["n"])
        variant = pack(good)

        def once():
            self.assertRaises(TypeError, _afork.pack, bad)
            pack(good)
            unpack(variant)
            new_unpacker(variant).step(0)

        once()
        gc.collect()
        before = [sys.getrefcount(item) for item in watched[:3] + watched[4:]]
        for _ in range(1000):
            once()
        gc.collect()
        self.assertEqual([sys.getrefcount(item) for item in watched[:3] + watched[4:]], before)

    def test_memory(self):
        good = {"key": ["text", (1.25, None, parse("'v'")), list(range(50))], "b": b"bytes" * 100}
        bad = [good, {1}]
        variant = pack(good)

        def rounds(n):
            for _ in range(n):
                address = _afork.pack(good)
                _afork.unpack(address)
                AFork.bindings_take_variant(address)
                unpack_in_steps(variant)
                try:
                    _afork.pack(bad)
                except TypeError:
                    pass
            gc.collect()

        def resident():
            with open("/proc/self/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        rounds(200)
        tracemalloc.start()
        try:
            # Where the sanitizers replace the allocator, the interpreter still grows a while.
            rounds(2000 if "AFORK_TEST_SANITIZED" in os.environ else 10)
            before = tracemalloc.get_traced_memory()[0]
            rounds(1000)
            # An object each would be 50000.
            self.assertLess(tracemalloc.get_traced_memory()[0] - before, 25000)
        finally:
            tracemalloc.stop()
        if "AFORK_TEST_SANITIZED" in os.environ:
            return      # the sanitizer keeps what was freed for a while
        # What GLib allocates, tracemalloc does not see.
        before = resident()
        rounds(10000)
        self.assertLess(resident() - before, 1024 * 1024)

    # Views

    def test_view(self):
        data = GLib.Bytes.new(b"some bytes")
        address = AFork.bindings_get_bytes_address(data)
        view = _afork.view(address)
        self.assertEqual((bytes(view), view.readonly, view.format, view.ndim, view.itemsize),
                         (b"some bytes", True, "B", 1, 1))
        with self.assertRaises(TypeError):
            view[0] = 1
        writable = _afork.view(address, writable=True)
        writable[0:4] = b"more"
        self.assertEqual(data.get_data(), b"more bytes")
        self.assertEqual(bytes(view), b"more bytes")

    def test_view_outlives(self):
        data = GLib.Bytes.new(b"x" * 100000)
        view = _afork.view(AFork.bindings_get_bytes_address(data))
        part = view[10:20]
        del data, view
        gc.collect()
        GLib.Bytes.new(b"y" * 100000)
        self.assertEqual(part, b"x" * 10)
        part.release()

    def test_view_empty(self):
        for data in (GLib.Bytes.new(b""), GLib.Bytes.new(None)):
            view = _afork.view(AFork.bindings_get_bytes_address(data), writable=True)
            self.assertEqual((bytes(view), len(view)), (b"", 0))

    @unittest.skipIf("AFORK_TEST_SANITIZED" in os.environ, "the sanitizer keeps what was freed")
    def test_view_references(self):
        def resident():
            with open("/proc/self/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        def rounds(n):
            for _ in range(n):
                data = GLib.Bytes.new(b"x" * 100000)
                memoryview(_afork.view(AFork.bindings_get_bytes_address(data)))[5:]

        rounds(100)
        before = resident()
        rounds(1000)
        self.assertLess(resident() - before, 10 * 1024 * 1024)

    # Threads

    def test_threads(self):
        value = [{"k": (i, str(i), [i])} for i in range(200)]
        results = []

        def convert():
            results.extend(is_same(unpack_in_steps(pack(value), 10)[0], value) for _ in range(20))

        threads = [threading.Thread(target=convert) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * 80)


if __name__ == "__main__":
    print(f"AFORK_TEST_SEED={SEED}")
    unittest.main()
