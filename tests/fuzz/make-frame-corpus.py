#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes corpus/frame.tar: an example for each kind of frame, and some that are wrong in one way
each.

Run it when a frame changes. What it knows of the format it has from the comments in
afork/wire/afork-frame.h, not from the code that they describe.
"""

import struct

import corpora

MORE = 1


def u32(value):
    return struct.pack("<I", value)


def string(text):
    return u32(len(text)) + text + b"\0"


def strings(*texts):
    return u32(len(texts)) + b"".join(map(string, texts))


def frame(kind, payload=b"", flags=0, n_fds=0, size=None):
    size = len(payload) if size is None else size
    return struct.pack("<IBBH", size, kind, flags, n_fds) + payload


MODULE_PATH, TITLE, SETENV, UNSETENV, CHDIR, MAP_FD = range(1, 7)
REQUIRE, EVAL, CALL, ITEM_BYTES, ITEM_FDS, FORK, RUN, LOOK_UP = range(7, 15)
EXEC, DEATH_PIPE, DETACH, IDENTIFY, RUN_FUNC, LIBRARY = range(15, 21)
SIGNAL, DISOWN, LEAVE, MEASURE, RESTRICT = range(21, 26)
REQUIRE_FILE, FILE, FILE_BYTES, FAIL = range(26, 30)
HELLO, FORKED, READY, ERROR, FORK_FAILED, EXITED = range(64, 70)
SIGNALED, NO_PIDFD, MEASURED, CONFINED, REFUSED, REMOTE, FILE_WANTED = range(70, 77)

valid = {
    "module-path": frame(MODULE_PATH, strings(b"/usr/lib/a", b"", b"b")),
    "module-path-none": frame(MODULE_PATH, strings()),
    "title": frame(TITLE, string(b"thumbnails")),
    "setenv": frame(SETENV, string(b"LANG") + string(b"C.UTF-8")),
    "unsetenv": frame(UNSETENV, string(b"DISPLAY")),
    "chdir": frame(CHDIR, string(b"/")),
    "map-fd": frame(MAP_FD, u32(7), n_fds=1),
    "require": frame(REQUIRE, string(b"echo")),
    "eval": frame(EVAL, string(b"return 1;") + strings(b"an argument")),
    "call": frame(CALL, string(b"init") + strings(b"", b"--fast", b"3")),
    "item-bytes": frame(ITEM_BYTES, b"bytes\0with NULs\0"),
    "item-bytes-empty": frame(ITEM_BYTES),
    "item-bytes-more": frame(ITEM_BYTES, b"a first piece", MORE) + frame(ITEM_BYTES, b", the last"),
    "item-fds": frame(ITEM_FDS, n_fds=1),
    "item-fds-most": frame(ITEM_FDS, n_fds=253),
    "fork": frame(FORK, u32(1), n_fds=1),
    "run": frame(RUN, string(b"echo:echo") + string(b"afork: echo")),
    "expect": frame(LOOK_UP, string(b"echo")),
    "exec": frame(EXEC, strings(b"sh", b"-c", b"exit 3"), n_fds=1),
    "death-pipe": frame(DEATH_PIPE, n_fds=1),
    "detach": frame(DETACH),
    "identify": frame(IDENTIFY, u32(1)),
    "run-func": frame(RUN_FUNC, string(b"0123456789abcdef") + u32(0x1234) + u32(0)
                      + string(b"program+0x1234")),
    "library": frame(LIBRARY, string(b"/usr/lib/libafork-1.so.0")),
    "signal": frame(SIGNAL, u32(7) + u32(9)),
    "disown": frame(DISOWN, u32(7)),
    "leave": frame(LEAVE),
    "measure": frame(MEASURE, u32(7)),
    "restrict": frame(RESTRICT, u32(1) + u32(0) + u32(0)),
    "require-file": frame(REQUIRE_FILE, string(b"/home/user/echo.so") + string(b"echo.so")),
    "file": frame(FILE, string(b"echo.so") + string(b"0123456789abcdef" * 4) + u32(3) + u32(0))
    + frame(FILE_BYTES, b"ab") + frame(FILE_BYTES, b"c"),
    "fail": frame(FAIL, u32(2) + string(b"there is no such file")),
    "file-wanted": frame(FILE_WANTED, u32(1)),
    "hello": frame(HELLO, string(b"AFork") + u32(1)),
    "forked": frame(FORKED, n_fds=1),
    "ready": frame(READY, n_fds=1),
    "ready-forks": frame(READY, n_fds=2),
    "error": frame(ERROR, u32(2) + string(b"no.so: cannot open shared object file")),
    "fork-failed": frame(FORK_FAILED, u32(3) + u32(5) + string(b"it has 2 threads")),
    "exited": frame(EXITED, u32(3) + struct.pack("<IIQQQ", 4711, 9, 1500, 2500, 2048)),
    "signaled": frame(SIGNALED, u32(7) + u32(3)),
    "no-pidfd": frame(NO_PIDFD),
    "measured": frame(MEASURED, u32(7) + u32(70000)),
    "confined": frame(CONFINED, u32(0) + u32(0)),
    "refused": frame(REFUSED, u32(7) + u32(101)),
    "remote": frame(REMOTE, u32(4711)),
    "session": frame(MODULE_PATH, strings(b"/m")) + frame(REQUIRE, string(b"echo"))
    + frame(ITEM_BYTES, b"x") + frame(ITEM_FDS, n_fds=2) + frame(FORK, u32(0), n_fds=1)
    + frame(RUN, string(b"echo") + string(b"")),
}

invalid = {
    "empty": b"",
    "header-truncated": frame(TITLE, string(b"echo"))[:7],
    "payload-truncated": frame(TITLE, string(b"echo"))[:-1],
    "kind-0": frame(0),
    "kind-gap": frame(33),
    "kind-255": frame(255),
    "too-long": frame(ITEM_BYTES, size=1024 * 1024 + 1),
    "longest-header": frame(ITEM_BYTES, size=1024 * 1024),
    "size-wraps": frame(ITEM_BYTES, size=0xFFFFFFFF),
    "flags": frame(TITLE, string(b"echo"), MORE),
    "flags-unknown": frame(ITEM_BYTES, b"x", 0x80),
    "fds-missing": frame(FORK, u32(1)),
    "fds-too-many": frame(ITEM_FDS, n_fds=254),
    "fds-unwanted": frame(TITLE, string(b"x"), n_fds=1),
    "number-short": frame(MAP_FD, b"\1\0\0", n_fds=1),
    "left-over": frame(TITLE, string(b"x") + b"!"),
    "string-too-long": frame(TITLE, u32(9) + b"short\0"),
    "string-wraps": frame(TITLE, u32(0xFFFFFFFF) + b"x\0"),
    "string-no-nul": frame(TITLE, u32(3) + b"abcd"),
    "string-inner-nul": frame(TITLE, string(b"a\0b")),
    "strings-too-few": frame(MODULE_PATH, u32(3) + string(b"a") + string(b"b")),
    "strings-count-wraps": frame(MODULE_PATH, u32(0xFFFFFFFF) + string(b"a")),
    "exit-report-short": frame(EXITED, u32(3) + b"\0" * 31),
}

corpora.pack("frame", {
    **valid,
    **{"invalid-" + name: content for name, content in invalid.items()},
})
