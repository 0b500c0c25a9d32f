# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Python's values as GVariants, and the bytes of blobs.

This is the interface between the parts of AFork in Python. Programs do not use it. The module is
in the folder of the override: `from gi.overrides import _afork`. Objects of GLib pass as addresses,
which are ints: see AFork.bindings_get_variant_address(), bindings_take_variant() and
bindings_get_bytes_address().

    Python                              GVariant                 arrives as
    None                                (), mv inside others     the same
    bool                                b                        the same
    int from -2**63 to 2**63 - 1        x                        the same
    int from 2**63 to 2**64 - 1         t                        the same
    float                               d                        the same
    str without NUL and surrogates      s                        the same
    bytes                               ay                       the same
    bytearray, memoryview               ay                       bytes
    list of ints below 2**63            ax                       the same
    list of floats                      ad                       the same
    list of strs                        as                       the same
    any other list                      av                       the same
    tuple                               (...), m() if empty      the same
    dict with keys that are str         a{sv}                    the same
    GLib.Variant                        v                        the same

A value is of exactly one of these types. An instance of a subclass, such as a member of an IntEnum
or a namedtuple, would arrive as an instance of its base, so it is refused. A memoryview must be
contiguous, of one dimension and of format 'B'. A list, tuple or dict that is in a value twice
arrives as two equal ones.

Values of all other GVariant types can arrive, too: all integers are int, object paths and
signatures are str, ay is bytes, other arrays are lists, arrays of dictionary entries are dicts, and
a maybe is None or the value inside. A variant is a GLib.Variant, except as an element of av, as the
value of an entry of a dictionary, and inside a maybe: there it is the value inside.
"""

from collections.abc import Callable
from typing import Any, final

def set_variant_class(cls: type, get_address: Callable[[Any], int],
                      take: Callable[[int], Any], /) -> None:
    """Tells the module about GLib.Variant. To be called once, before values are converted:

        _afork.set_variant_class(GLib.Variant, AFork.bindings_get_variant_address,
                                 AFork.bindings_take_variant)

    Without it, a GLib.Variant cannot be packed, and unpacking one raises RuntimeError.
    """

def pack(value: object, /, name: str = "value", *, exact: bool = False) -> int:
    """Converts a value to a GVariant in normal form, which is not floating.

    Returns the address of a new reference, which AFork.bindings_take_variant() must take. Raises
    TypeError for a value that cannot arrive as it is. Its text begins with `name` and the path of
    the value in it: "args[2]['k']: set cannot be sent; ...". With `exact`, a bytearray and a
    memoryview are refused, too, and a list, tuple or dict that the value has twice.
    """

def unpack(address: int, /) -> Any:
    """Returns the value of the GVariant at `address`, which may be of any type.

    The caller keeps a reference to the GVariant meanwhile.

    Raises TypeError if it is nested in more than 128 levels. Values that have come from another
    process never are.
    """

@final
class Unpacker:
    """Converts a large GVariant in steps, so that a main loop can go on meanwhile.

        unpacker = _afork.Unpacker(address)
        while not unpacker.step(2000):
            ...                     # the main loop
        value = unpacker.take()

    It has a reference to the GVariant.
    """

    def __new__(cls, address: int, /) -> Unpacker: ...

    def step(self, microseconds: int, /) -> bool:
        """Goes on for about this time. Returns whether the whole value was converted.

        Each step makes some progress. It may take longer, because a bytes object, a str and a
        GLib.Variant are made at once. Raises the exceptions of unpack().
        """

    def take(self) -> Any:
        """Returns the value, once. Raises RuntimeError if there is none, or not yet."""

def view(address: int, /, *, writable: bool = False) -> memoryview:
    """Returns a memoryview of the bytes of the GBytes at `address`, without a copy.

    The memoryview, and each that is made of it, keeps a reference to the GBytes. `writable` must
    not be true unless the memory is: it is for all blobs that came from another process. What is
    written to such a blob is seen in this process only, and only through this GBytes.
    """
