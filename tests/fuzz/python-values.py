# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# The part of fuzz-python that is written in Python. `_afork` is the extension module, and `fuzz`
# has functions of fuzz-python.c.

import struct

import _afork
import fuzz


class Variant:
    """A GVariant, of which it has a reference. `hook` is called when the module wants its address.
    """

    def __init__(self, address, hook=None):
        self.address = address
        self.hook = hook

    def __del__(self):
        fuzz.unref(self.address)

    def __repr__(self):
        return "Variant"


def get_address(variant):
    if variant.hook is not None:
        variant.hook()
    return variant.address


_afork.set_variant_class(Variant, get_address, Variant)


def check(condition, *what):
    if not condition:
        raise AssertionError(*what)


def is_same(a, b):
    """Whether two values are the same in all parts, with their types."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, Variant):
        return fuzz.is_same(a.address, b.address)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(is_same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(is_same, a.values(), b.values()))
    return a == b


def unpack(address):
    return _afork.unpack(address)


def unpack_in_steps(address):
    unpacker = _afork.Unpacker(address)
    while not unpacker.step(0):
        pass
    return unpacker.take()


def pack(value, **options):
    """The packed value, or None if it was refused with the only exception that there is."""
    try:
        return Variant(_afork.pack(value, **options))
    except TypeError as error:
        text = str(error)
        check(text.startswith(options.get("name", "value")), text)
        return None


# GVariants of any type and any bytes.

def try_variant(address):
    try:
        value = unpack(address)
    except (TypeError, ValueError) as error:
        try:
            unpack_in_steps(address)
        except type(error):
            return
        raise AssertionError("it can be unpacked in steps") from error

    check(is_same(value, unpack_in_steps(address)), "it is another one in steps")
    packed = pack(value)
    if packed is None:
        return
    check(fuzz.is_normal(packed.address), "it is not in normal form")
    check(is_same(value, unpack(packed.address)), "it is another one when it was packed")


# Values of any kind, which are made of bytes.

class Int(int):
    pass


class Str(str):
    def __eq__(self, other):
        return self is other

    __hash__ = str.__hash__


class List(list):
    def __len__(self):
        return 1 << 62


class Dict(dict):
    def __iter__(self):
        raise ZeroDivisionError


class Meta(type):
    @property
    def __module__(cls):
        if Meta.hook is not None:
            Meta.hook()
        raise ZeroDivisionError

    hook = None


class Strange(metaclass=Meta):
    @property
    def __class__(self):
        return int

    def __index__(self):
        raise ZeroDivisionError

    def __repr__(self):
        raise ZeroDivisionError


class Maker:
    def __init__(self, data):
        self.data = iter(data)
        self.containers = []
        self.is_changed = False
        # A container that is in a value twice arrives as two, so a few can make many.
        self.n_again = 4
        self.n_left = 300

    def take(self):
        return next(self.data, 0)

    def take_bytes(self):
        return bytes(self.take() for _ in range(self.take() % 16))

    def take_str(self):
        return "".join(chr(self.take() | (0xdc00 if self.take() % 8 == 7 else 0))
                       for _ in range(self.take() % 8))

    def change(self):
        """Changes a list or a dictionary that is just packed."""
        self.is_changed = True
        if not self.containers:
            return
        container = self.containers[self.take() % len(self.containers)]
        how = self.take() % 4
        if how == 0:
            container.clear()
        elif isinstance(container, list):
            container[:0] = [None] * how
        else:
            container.pop(next(iter(container), ""), None)
            container[f"new {how}"] = how

    def make_number(self):
        number = int.from_bytes(self.take_bytes(), "little", signed=True)
        return number if self.take() % 2 == 0 else (1 << self.take()) - number

    def make_list(self):
        made = []
        self.containers.append(made)
        if self.take() % 4 == 0:
            item = self.make()
            is_small = not isinstance(item, (list, tuple, dict))
            made.extend([item] * (self.take() % 64 if is_small else 1))
        for _ in range(self.take() % 6):
            made.append(self.make())
        return made

    def make_dict(self):
        made = {}
        self.containers.append(made)
        for _ in range(self.take() % 6):
            key = self.take_str() if self.take() % 8 != 7 else self.make_key()
            made[key] = self.make()
        return made

    def make_key(self):
        return [1, Str("key"), None, b"key", ("a",)][self.take() % 5]

    def make_deep(self):
        made = self.make()
        for _ in range(self.take()):
            made = [made] if self.take() % 2 == 0 else (made,)
        return made

    def make_variant(self):
        hook = self.change if self.take() % 4 == 0 else None
        return Variant(fuzz.new_variant(self.take_bytes()), hook)

    def make_subclass(self):
        return [Int(1), Str("x"), List(), Dict(), Strange(), Meta, object(), set(), 1j, range(3)][
            self.take() % 10]

    def make_buffer(self):
        data = self.take_bytes()
        views = [bytearray(data), memoryview(data), memoryview(data)[::2],
                 memoryview(data + bytes(-len(data) % 4)).cast("i")]
        view = views[self.take() % 4]
        if self.take() % 8 == 7 and isinstance(view, memoryview):
            view.release()
        return view

    def make(self):
        self.n_left -= 1
        if self.n_left <= 0:
            return None
        kind = self.take() % 16
        if kind == 0 and self.containers and self.n_again > 0:
            # One that may contain this.
            self.n_again -= 1
            return self.containers[self.take() % len(self.containers)]
        makers = [lambda: None, self.make_number, self.take_str, self.take_bytes, self.make_list,
                  self.make_dict, lambda: tuple(self.make_list()), self.make_deep,
                  self.make_variant, self.make_subclass, self.make_buffer,
                  lambda: self.take() % 2 == 0,
                  lambda: struct.unpack("d", self.take_bytes().ljust(8, b"\0")[:8])[0]]
        return makers[kind % len(makers)]()


def arrives_as(value):
    """The value as it arrives."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(arrives_as, value))
    if isinstance(value, dict):
        return {key: arrives_as(item) for key, item in value.items()}
    return value


def try_value(data):
    maker = Maker(data)
    is_exact = maker.take() % 2 == 0
    Meta.hook = maker.change if maker.take() % 4 == 0 else None
    value = maker.make()
    packed = pack(value, exact=is_exact, name="args")
    if packed is None:
        return
    check(fuzz.is_normal(packed.address), "it is not in normal form")
    arrived = unpack(packed.address)
    if not maker.is_changed:
        check(is_same(arrived, arrives_as(value)), "it arrives as another one")
