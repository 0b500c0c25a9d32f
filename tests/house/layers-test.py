#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks that layers.py finds each fault in a small tree, and no fault in a correct tree.

layers-test.py NM COMPILER...
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import layers

NM, *COMPILER = sys.argv[1:]

# The result must not depend on how the compiler translates the same source.
FLAGS = (
    ['-O0', '-g'],
    ['-O2'],
    ['-O2', '-fno-inline', '-fsanitize=address,undefined'],
)

TABLE = '''
[layers]
top       top
middle    middle/*      # a comment
low       low/base
          low/other
words     words
wire      wire/*

[beside]
server    server/*
  uses    wire low/base
  used by middle

[without GLib]
server

[interfaces]
words

[callbacks]
low/base  base_func  middle/a  The file below does not know
                               the one above.
'''

# Each file uses only files that it may use. One file calls another through a function that a
# compiler inlines.
TREE = {
    'top.c': '#include "top.h"\n#include "middle/a.h"\nint top (void) { return middle_a (); }',
    'top.h': 'int top (void);',
    'middle/a.h': 'int middle_a (void);',
    'middle/a.c': '''
        #include "a.h"
        #include "b.h"
        #include "low/base.h"
        #include "server/server.h"
        #include "words.h"
        static int call (base_func func) { return base (func) + server () + say (); }
        int middle_a (void) { return call (middle_b); }''',
    'middle/b-private.h': '/*\n#include "a.h"\n*/',
    'middle/b-parts.h': '',
    'middle/b.h': 'int middle_b (void);',
    'middle/b.c': '''
        #include <afork/middle/b.h>
        #include "b-parts.h"
        #include "b-private.h"
        int middle_b (void) { return 1; }''',
    'low/base.h': 'typedef int (*base_func) (void);\nint base (base_func func);',
    'low/base.c': '#include "base.h"\nint base (base_func func) { return func (); }',
    'low/other.h': 'static inline int other (int (*func) (void)) { return func (); }',
    'words.h': 'int say (void);',
    'wire/frame.h': 'extern const int frames;',
    'wire/frame.c': '#include "frame.h"\nconst int frames = 2;',
    'server/server.h': 'int server (void);',
    'server/server.c': '''
        #include "server.h"
        #include "low/base.h"
        #include "wire/frame.h"
        #include "words-of-mine.h"
        int say (void) { return 2; }
        int server (void) { return say () + frames + base (say); }''',
    'server/words-of-mine.h': 'int say (void);',
}

# The name of a case, the changed files of the tree, the replaced text of the table, and the
# expected messages.
CASES = (
    ('nothing', {}, {}, []),

    ('cycle by symbols', {
        'middle/b.c': '''
            int middle_a (void);
            int middle_b (void);
            static int twice (void) { return 2 * middle_a (); }
            int middle_b (void) { return twice (); }''',
    }, {}, [
        'circular dependency of 2 files: middle/a, middle/b\n',
        'middle/a depends on middle/b (middle on middle): ',
        'middle/b depends on middle/a (middle on middle): middle_a\n',
    ]),
    ('cycle by includes', {'middle/b.h': '#include "a.h"\nint middle_b (void);'}, {}, [
        'circular dependency of 2 files: middle/a, middle/b\n',
        'middle/b depends on middle/a (middle on middle): '
        'afork/middle/b.h:2 includes middle/a.h\n',
    ]),
    ('cycle by a header of parts', {'middle/b-parts.h': '\n#include "middle/a.h"'}, {}, [
        'circular dependency of 2 files: middle/a, middle/b\n',
        'afork/middle/b-parts.h:3 includes middle/a.h\n',
    ]),
    ('cycle by a symbol and an include', {
        'low/base.h': '#include "other.h"\ntypedef int (*base_func) (void);\n'
                      'int base (base_func func);',
        'low/other.h': '',
        'low/other.c': 'int base (int (*) (void));\nint other (void);\n'
                       'int other (void) { return base (other); }',
    }, {}, [
        'circular dependency of 2 files: low/base, low/other\n',
        'low/base depends on low/other (low on low): afork/low/base.h:2 includes low/other.h\n',
        'low/other depends on low/base (low on low): base\n',
    ]),
    ('two cycles, one of three files', {
        'middle/b.h': '#include "c.h"\nint middle_b (void);',
        'middle/c.h': '#include <afork/middle/a.h>',
        'low/base.h': '#include "other.h"\ntypedef int (*base_func) (void);\n'
                      'int base (base_func func);',
        'low/other.h': '#include "low/base.h"',
    }, {}, [
        'circular dependency of 3 files: middle/a, middle/b, middle/c\n',
        'circular dependency of 2 files: low/base, low/other\n',
    ]),

    ('upward include', {'low/other.h': '#include "middle/b.h"'}, {}, [
        'afork/low/other.h:2 includes middle/b.h: low may not use middle\n',
    ]),
    ('upward use of a symbol', {
        'low/other.c': '''
            int middle_b (void);
            int other (void);
            static int twice (void) { return 2 * middle_b (); }
            int other (void) { return twice (); }''',
    }, {}, ['afork/low/other uses middle_b of middle/b: low may not use middle\n']),
    ('upward use of an address', {
        'low/other.c': '''
            int middle_b (void);
            int (*other_func) (void) = middle_b;''',
    }, {}, ['afork/low/other uses middle_b of middle/b: low may not use middle\n']),

    ('a file in no layer', {'extra.h': ''}, {}, ['afork/extra is in no layer\n']),
    ('a folder in no layer', {'more/extra.h': ''}, {}, ['afork/more/extra is in no layer\n']),
    ('a folder below one of a layer', {'middle/more/extra.h': ''}, {}, [
        'afork/middle/more/extra is in no layer\n']),
    ('a file in two layers', {}, {'wire/*': 'wire/* low/base'}, [
        'afork/low/base is in the layers low, wire\n']),

    ('the server includes what it may not', {'server/more.h': '#include "low/other.h"'}, {}, [
        'afork/server/more.h:2 includes low/other.h: server may not use low\n']),
    ('the server uses what it may not', {
        'server/more.c': 'int middle_b (void);\nint more (void);\n'
                         'int more (void) { return middle_b (); }',
    }, {}, ['afork/server/more uses middle_b of middle/b: server may not use middle\n']),
    ('the server is used by who may not', {'top.h': '#include "server/server.h"\nint top (void);'},
     {}, ['afork/top.h:2 includes server/server.h: top may not use server\n']),
    ('the server includes GLib', {'server/more.h': '#include <gio/gio.h>'}, {}, [
        'afork/server/more.h:2 includes <gio/gio.h>: server is without GLib\n']),
    ('the server uses GLib', {
        'server/more.c': 'void g_free (void *);\nvoid more (void);\n'
                         'void more (void) { g_free (0); }',
    }, {}, ['afork/server/more.c uses g_free: server is without GLib\n']),

    ('declared in the header of another file', {
        'low/other.c': '#include "other.h"\nint borrowed (void) { return 2; }',
        'low/other.h': '',
        'low/base.h': 'typedef int (*base_func) (void);\nint base (base_func func);\n'
                      'int borrowed (void);',
        'low/base.c': '#include "base.h"\nint base (base_func func) { return borrowed (); }',
    }, {}, ['afork/low/other.c defines borrowed for others, which is not declared in its own '
            'header, but in low/base.h\n']),
    ('declared in no header', {
        'low/other.c': 'int borrowed (void);\nint borrowed (void) { return 2; }',
        'low/base.c': '#include "base.h"\nint borrowed (void);\n'
                      'int base (base_func func) { return borrowed (); }',
    }, {}, ['afork/low/other.c defines borrowed for others, which is not declared in its own '
            'header, but in none\n']),
    ('a file of a class that declares it', {
        'middle/b.h': 'int middle_b (void);\nint middle_more (void);',
        'middle/b-more.c': '#include "b.h"\nint middle_more (void) { return middle_b (); }',
        'middle/a.h': '#include "b.h"\nint middle_a (void);',
        'top.c': '#include "top.h"\n#include "middle/a.h"\n'
                 'int top (void) { return middle_a () + middle_more (); }',
    }, {}, []),

    ('an include of nothing', {
        'middle/b-parts.h': '#ifdef NEVER\n#include "nothing.h"\n#endif',
    }, {}, ['afork/middle/b-parts.h:3 includes nothing.h, which is not in afork/\n']),

    ('a layer of nothing', {}, {'wire/*': 'wire/* wire/none'}, [
        'the table: wire/none of the layer wire matches no file\n']),
    ('a folder of nothing', {}, {'wire/*': 'wire/* none/*'}, [
        'the table: none/* of the layer wire matches no file\n']),
    ('a use of nothing', {}, {'wire low/base': 'wire low/base low/other none'}, [
        'the table: server uses nothing of low/other\n',
        'the table: server uses nothing of none\n']),
    ('no use', {}, {'used by middle': 'used by middle top'}, [
        'the table: server is not used by top\n']),
    ('no layer', {}, {'GLib]\nserver': 'GLib]\nserver none'}, [
        'the table: none, without GLib, is no layer\n']),
    ('no interface', {}, {'faces]\nwords': 'faces]\nwords middle/b none'}, [
        'the table: no function of the interface none is used\n']),
    ('two layers of one name', {}, {'words     words': 'words     words\nlow words'}, [
        'there are two layers low\n']),
    ('no table', {}, {'[layers]': 'layers'}, ['line 2 of the table cannot be read: layers\n']),

    ('a callback of no name', {}, {'base_func': 'none_func'}, [
        'the table: callback none_func: afork/low/base does not have it\n',
        'the table: callback none_func: afork/middle/a does not have it\n']),
    ('a callback that is mentioned only', {'middle/a.h': '/* base_func */ int middle_a (void);'},
     {'base_func  middle/a': 'base_func  middle/b'}, [
        'the table: callback base_func: afork/middle/b does not have it\n',
        'the table: callback base_func: afork/middle/b does not use afork/low/base\n']),
    ('a callback of no file', {}, {'base_func  middle/a': 'base_func  middle/none'}, [
        'the table: callback base_func: there is no file middle/none\n']),
    ('a known exception', {'low/base.h': '#include "middle/b.h"\n'
                                         'typedef int (*base_func) (void);\n'
                                         'int base (base_func func);'},
     {'[callbacks]': '[known exceptions]\nlow/base middle/b  for now\n[callbacks]'}, []),
    ('a known exception without need', {}, {
        '[callbacks]': '[known exceptions]\nlow/base middle/b\n[callbacks]',
    }, [
        'the table: the exception low/base middle/b has no reason\n',
        'the table: the exception low/base middle/b is not needed\n']),

    ('a callback without a reason', {}, {
        '  The file below does not know\n                               the one above.': '',
    }, ['the table: callback base_func has no reason\n']),
    ('a callback that avoids nothing', {}, {
        'low/base  base_func  middle/a': 'middle/a call low/base',
    }, ['the table: callback call: it avoids no dependency, for middle/a (middle) may use low/base '
      '(low)\n']),
)


class Failure(Exception):
    pass


def compile_file(build, name, flags):
    """Compiles as meson does. Returns the path of the object file, relative to the build folder."""
    output = f'afork/binary.p/{name.replace("/", "_")}.o'
    (build / output).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*COMPILER, *flags, '-w', '-I../source', '-I../source/afork', '-c',
                    f'../source/afork/{name}', '-o', output], cwd=build, check=True)
    return output


def build_tree(folder, changes, flags, unchanged):
    """Writes TREE with changes, and compiles it for a binary that is not linked. For sources that
    do not change, uses the object files of UNCHANGED, or makes them if UNCHANGED is None."""
    source, build = folder / 'source' / 'afork', folder / 'build'
    tree = {**TREE, **changes}
    for name, text in tree.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        once = '#pragma once\n' if name.endswith('.h') else ''
        (source / name).write_text(f'{once}{text}\n')

    commands = []
    build.mkdir()
    for name in tree:
        if name.endswith('.c'):
            if unchanged and name not in changes:
                output = f'afork/binary.p/{name.replace("/", "_")}.o'
                (build / output).parent.mkdir(parents=True, exist_ok=True)
                (build / output).symlink_to(unchanged / 'build' / output)
            else:
                output = compile_file(build, name, flags)
            commands.append({'directory': str(build), 'file': f'../source/afork/{name}',
                             'output': output})
    write_commands(folder, commands)
    return commands


def write_commands(folder, commands):
    (folder / 'build' / 'compile_commands.json').write_text(json.dumps(commands))


def run(folder, table):
    wrong = layers.find_wrong(table, folder / 'source', folder / 'build',
                              [folder / 'build' / 'afork' / 'binary'],
                              [], NM)
    return ''.join(f'{line}\n' for line in wrong)


def run_program(folder, table):
    (folder / 'table').write_text(table)
    done = subprocess.run(
        [sys.executable, '-B', layers.__file__, '--nm', NM, folder / 'table', folder / 'source',
         folder / 'build', folder / 'build' / 'afork' / 'binary'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def check(folder, changes, replacements, expected, flags, unchanged):
    table = TABLE
    for old, new in replacements.items():
        if table.count(old) != 1:
            raise Failure(f'{old} is not once in the table')
        table = table.replace(old, new)

    build_tree(folder, changes, flags, unchanged)
    said = run(folder, table)
    missing = [text for text in expected if text not in said]
    if missing or (said and not expected):
        raise Failure(f'without {missing}:\n{said}')


def check_commands(folder, commands, expected):
    """Checks the same tree with other compiler commands, for example for another binary."""
    write_commands(folder, commands)
    said = run(folder, TABLE)
    if expected not in said:
        raise Failure(f'without {expected}:\n{said}')


def read_symbols(folder, commands, linked):
    write_commands(folder, commands)
    build = folder / 'build'
    tree = layers.Tree(folder / 'source', build, [build / 'afork' / 'binary'],
                       [build / 'afork' / name for name in linked], NM, [])
    return {key: edge.symbols for key, edge in tree.edges.items()}, tree.wrong


def check_linked(folder, commands):
    """Moves one object file after the other into a library that is linked. The files depend on each
    other as before."""
    expected, _ = read_symbols(folder, commands, [])
    for command in commands:
        moved = command['output'].replace('afork/binary.p/', 'afork/library.a.p/')
        path = folder / 'build' / moved
        path.parent.mkdir(exist_ok=True)
        path.symlink_to((folder / 'build' / command['output']).resolve())
        others = [{**other, 'output': moved} if other is command else other for other in commands]
        found, wrong = read_symbols(folder, others, ['library.a'])
        if found != expected or wrong:
            raise Failure(f'{moved}: {found} instead of {expected}, {wrong}')

    _, wrong = read_symbols(folder, commands, ['missing.a'])
    if not wrong or not wrong[0].endswith('missing.a is linked from no known object file'):
        raise Failure(f'a missing library: {wrong}')


def check_status(folder):
    """Runs the program on a correct tree, with a correct table and with a wrong table."""
    status, said = run_program(folder, TABLE)
    if status != 0 or said:
        raise Failure(f'status {status}:\n{said}')
    status, said = run_program(folder, TABLE.replace('wire/*', 'wire/* wire/none'))
    if status != 1 or said != 'the table: wire/none of the layer wire matches no file\n':
        raise Failure(f'status {status}:\n{said}')


def check_all(folder):
    unchanged = []
    for flags in FLAGS:
        unchanged.append(folder / f'unchanged-{len(unchanged)}')
        unchanged[-1].mkdir()
        commands = build_tree(unchanged[-1], {}, flags, None)

    number = 0
    for name, changes, replacements, expected in CASES:
        is_compiled = any(path.endswith('.c') for path in changes)
        for index, flags in enumerate(FLAGS):
            if index > 0 and not is_compiled and expected:
                break
            number += 1
            case = folder / str(number)
            case.mkdir()
            try:
                check(case, changes, replacements, expected, flags, unchanged[index])
            except Failure as failure:
                yield f'{name}, {" ".join(flags)}: {failure}'

    try:
        check_status(unchanged[-1])
    except Failure as failure:
        yield f'the program: {failure}'

    try:
        check_linked(unchanged[-1], commands)
    except Failure as failure:
        yield f'a library: {failure}'

    *others, last = commands
    for name, commands, expected in (
        ('another binary', [*others, {**last, 'output': 'afork/other.p/server.o'}],
         'afork/server/server.c is compiled, but is in none of the binaries\n'),
        ('no binary', [], 'binary is linked from no known object file\n'),
        ('a foreign source', [*others, last, {**last, 'file': '../source/foreign.c'}],
         'is compiled from a file outside of afork/\n'),
    ):
        try:
            check_commands(unchanged[-1], commands, expected)
        except Failure as failure:
            yield f'{name}: {failure}'


def main():
    with tempfile.TemporaryDirectory() as folder:
        failures = list(check_all(Path(folder)))
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if failures else 0)


main()
