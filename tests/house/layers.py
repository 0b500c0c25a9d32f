#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Checks that no two files of afork/ depend on each other, directly or through other files, and
that no file uses a file of a higher layer. The table defines the layers.

layers.py [--edges | --figures] [--nm PROGRAM] [--linked LIBRARY]... TABLE SOURCE-ROOT BUILD-ROOT
          BINARY...

A .c file and its headers count as one file. The headers of NAME.c are NAME.h, NAME-private.h,
NAME-parts.h and, in a folder, afork-NAME.h. A file depends on another file if it includes a header
of that file, or if its object file needs a symbol that the other file defines. The object files are
those from which the binaries are linked: their own, and those of each static library that is given
by --linked.

The result is the same for every compiler and optimization. A file must declare the symbols that
other files use in its own header. So if a compiler removes a use of a symbol, the header is still
included.

--edges prints each dependency. --figures prints the circular dependencies by symbols, by includes
and by both. With one of these options, nothing is checked.
"""

import argparse
import functools
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.DOTALL)
WORD = re.compile(r'\w+')

# The headers and symbols that no file of a layer without GLib includes or needs.
GLIB_HEADER = re.compile(r'(glib|gobject|gio|gmodule)(/.*|-object\.h|-unix\.h|\.h)')
GLIB_SYMBOL = re.compile(r'g_[a-z]\w*')


# The table


@dataclass
class Layer:
    name: str
    patterns: list
    rank: int = None    # 0 is the highest one, None is beside the others
    uses: list = field(default_factory=list)
    used_by: list = field(default_factory=list)


@dataclass
class Callback:
    lower: str
    name: str
    higher: str
    reason: str = ''


@dataclass
class Exemption:
    user: str
    used: str
    reason: str = ''


class TableError(Exception):
    pass


class Table:
    """Sections of lines in columns. Lines of layers, callbacks and known exceptions may continue in
    indented lines."""

    def __init__(self, text):
        self.layers = {}
        self.without_glib = []
        self.interfaces = []
        self.callbacks = []
        self.exemptions = []

        section = None
        for number, line in enumerate(text.splitlines(), 1):
            line = line.partition('#')[0].rstrip()
            try:
                if line.startswith('['):
                    section = {
                        '[layers]': self._add_layer,
                        '[beside]': self._add_beside,
                        '[without GLib]': self._add_without_glib,
                        '[interfaces]': self._add_interface,
                        '[callbacks]': self._add_callback,
                        '[known exceptions]': self._add_exemption,
                    }[line]
                elif line:
                    section(line)
            except (IndexError, KeyError, TypeError, ValueError):
                raise TableError(f'line {number} of the table cannot be read: {line}') from None

    def _add(self, layer):
        if layer.name in self.layers:
            raise TableError(f'there are two layers {layer.name}')
        self.layers[layer.name] = layer

    def _add_layer(self, line):
        if line.startswith(' '):
            list(self.layers.values())[-1].patterns.extend(line.split())
        else:
            name, *patterns = line.split()
            self._add(Layer(name, patterns, rank=len(self.layers)))

    def _add_beside(self, line):
        if line.startswith('  uses '):
            list(self.layers.values())[-1].uses.extend(line.split()[1:])
        elif line.startswith('  used by '):
            list(self.layers.values())[-1].used_by.extend(line.split()[2:])
        elif line.startswith(' '):
            raise ValueError
        else:
            name, *patterns = line.split()
            self._add(Layer(name, patterns))

    def _add_without_glib(self, line):
        self.without_glib.extend(line.split())

    def _add_interface(self, line):
        self.interfaces.extend(line.split())

    def _add_callback(self, line):
        if line.startswith(' '):
            self.callbacks[-1].reason += ' ' + line.strip()
        else:
            self.callbacks.append(Callback(*line.split(None, 3)))

    def _add_exemption(self, line):
        if line.startswith(' '):
            self.exemptions[-1].reason += ' ' + line.strip()
        else:
            self.exemptions.append(Exemption(*line.split(None, 2)))

    @functools.lru_cache(maxsize=None)
    def find_layers(self, unit):
        """Returns the layers that name a file or, if there are none, those that name its folder."""
        folder = unit.rpartition('/')[0] + '/*'
        for pattern in (unit, folder):
            found = [layer for layer in self.layers.values() if pattern in layer.patterns]
            if found:
                return found
        return []

    def find_layer(self, unit):
        """Returns the layer of a file, or None if there is not exactly one."""
        found = self.find_layers(unit)
        return found[0] if len(found) == 1 else None

    def may_use(self, user, used):
        """Returns whether the layers allow a file to use another file. True if one has no layer."""
        upper, lower = self.find_layer(user), self.find_layer(used)
        if upper is None or lower is None or upper is lower:
            return True
        if upper.rank is None:
            return bool({lower.name, used}.intersection(upper.uses))
        if lower.rank is None:
            return bool({upper.name, user}.intersection(lower.used_by))
        return upper.rank < lower.rank


# The tree


@dataclass
class Edge:
    symbols: set = field(default_factory=set)
    includes: dict = field(default_factory=dict)    # what is included -> where

    def describe(self):
        includes = [f'{where} includes {name}' for name, where in sorted(self.includes.items())]
        return '; '.join(includes + ([shorten(sorted(self.symbols))] if self.symbols else []))


def shorten(names, most=6):
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


@functools.lru_cache(maxsize=None)
def resolve_folder(path):
    return path.resolve()


class Tree:
    def __init__(self, source_root, build_root, binaries, linked, nm, interfaces):
        self.wrong = []
        self.paths = {}      # relative to afork/ -> Path
        self.texts = {}      # the same -> the text without comments
        self.edges = {}      # (user, used) -> Edge
        self.glib = {}       # file -> what it includes or needs of GLib
        self.undeclared = {} # (the file that defines it, symbol) -> headers that declare it
        self.source_root = source_root
        self.build_root = build_root
        self.interfaces = interfaces

        self._find_files()
        for path in self.paths:
            self._read_includes(path)
        self._read_symbols(binaries, linked, nm)

    @functools.lru_cache(maxsize=None)
    def get_unit(self, path):
        """Returns the file that a .c file or a header belongs to. Names are relative to afork/."""
        unit = re.sub(r'(-parts)?(-private)?\.[ch]$', '', path)
        source = unit.replace('/afork-', '/')
        return source if source + '.c' in self.paths else unit

    def get_code(self, unit):
        """Returns the text of a file and of its headers, without comments."""
        return '\n'.join(text for path, text in self.texts.items() if self.get_unit(path) == unit)

    def _find_files(self):
        # A link in the build folder stands for a file of the source tree.
        for root in (self.build_root / 'afork', self.source_root / 'afork'):
            for path in root.rglob('*.[ch]'):
                name = path.relative_to(root).as_posix()
                if not path.is_symlink() and '.p/' not in name:
                    self.paths[name] = path
        for name, path in self.paths.items():
            self.texts[name] = COMMENT.sub(lambda match: '\n' * match[0].count('\n'),
                                           path.read_text())
        self.units = sorted({self.get_unit(path) for path in self.paths})
        self.headers = {name: set(WORD.findall(text))
                        for name, text in self.texts.items() if name.endswith('.h')}

    def _add_edge(self, user, used):
        return self.edges.setdefault((user, used), Edge())

    def _resolve(self, path, name):
        """Returns the file that PATH includes by NAME, as the compiler finds it."""
        beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
        for candidate in (beside, name.removeprefix('afork/')):
            if candidate in self.paths:
                return candidate
        return None

    def _read_includes(self, path):
        unit = self.get_unit(path)
        for number, line in enumerate(self.texts[path].splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            name = match[1] or match[2]
            found = self._resolve(path, name)
            where = f'afork/{path}:{number}'
            if found is None:
                if GLIB_HEADER.fullmatch(name):
                    self.glib.setdefault(unit, set()).add(f'{where} includes <{name}>')
                elif (match[1] or name.startswith('afork/')) and name != 'config.h':
                    self.wrong.append(f'{where} includes {name}, which is not in afork/')
            elif self.get_unit(found) != unit:
                self._add_edge(unit, self.get_unit(found)).includes.setdefault(found, where)

    def _read_symbols(self, binaries, linked, nm):
        units = {}
        for command in json.loads((self.build_root / 'compile_commands.json').read_text()):
            units[command['output']] = self._find_unit(Path(command['directory'], command['file']))

        def find_objects(binary):
            folder = os.path.relpath(binary, self.build_root) + '.p/'
            objects = {output: unit for output, unit in units.items() if output.startswith(folder)}
            if not objects:
                self.wrong.append(f'{binary} is linked from no known object file')
            return objects

        shared = {}
        for library in linked:
            shared.update(find_objects(library))
        seen = set()
        for binary in binaries:
            objects = find_objects(binary)
            if not objects:
                continue
            objects.update(shared)
            seen.update(objects.values())
            self._read_objects(objects, nm)

        for unit in sorted(set(units.values()) - seen - {None}):
            self.wrong.append(f'afork/{unit}.c is compiled, but is in none of the binaries')

    def _find_unit(self, file):
        folder = resolve_folder(file.parent)
        for root in (self.build_root / 'afork', self.source_root / 'afork'):
            if folder.is_relative_to(root):
                return self.get_unit((folder / file.name).relative_to(root).as_posix())
        return None

    def _read_objects(self, objects, nm):
        done = subprocess.run([nm, '-A', '--format=posix', *objects], cwd=self.build_root,
                              stdout=subprocess.PIPE, text=True, check=True)
        definers = {}
        needed = {}
        silent = set(objects)
        for line in done.stdout.splitlines():
            output, _, rest = line.partition(': ')
            name, kind = rest.split()[:2]
            silent.discard(output)
            if objects[output] is None:
                self.wrong.append(f'{output} is compiled from a file outside of afork/')
                break
            if kind in ('U', 'v', 'w'):
                needed.setdefault(name, set()).add(objects[output])
            elif kind.isupper():
                definers.setdefault(name, set()).add(objects[output])
        for output in sorted(silent):
            self.wrong.append(f'{output} has no symbols')

        for name, users in needed.items():
            if GLIB_SYMBOL.fullmatch(name):
                for user in users:
                    self.glib.setdefault(user, set()).add(f'afork/{user}.c uses {name}')
            # Names with two underscores belong to the compiler or to a sanitizer.
            if not name.startswith('__'):
                for definer in definers.get(name, ()):
                    self._add_symbol(name, users - {definer}, definer)

    def _add_symbol(self, name, users, definer):
        declaring = {path for path, words in self.headers.items() if name in words}
        interface = {self.get_unit(path) for path in declaring}.intersection(self.interfaces)
        used = interface.pop() if interface else definer
        for user in users - {used}:
            self._add_edge(user, used).symbols.add(name)

        # The first file of a class, such as afork-process, declares what its second file, such as
        # afork-process-run, defines.
        own = {path for path in declaring if f'{definer}-'.startswith(f'{self.get_unit(path)}-')}
        if users and not own and used == definer:
            self.undeclared[definer, name] = sorted(declaring)


# Circular dependencies


def find_circles(edges):
    """Finds strongly connected components of more than one file by Tarjan's algorithm, without
    recursion."""
    targets = {}
    for user, used in sorted(edges):
        targets.setdefault(user, []).append(used)

    index, low = {}, {}
    stack, on_stack = [], set()
    circles = []
    for start in targets:
        if start in index:
            continue
        path = [(start, iter(targets[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while path:
            unit, rest = path[-1]
            used = next(rest, None)
            if used is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[unit])
                if low[unit] == index[unit]:
                    at = stack.index(unit)
                    circle = stack[at:]
                    del stack[at:]
                    on_stack.difference_update(circle)
                    if len(circle) > 1:
                        circles.append(sorted(circle))
            elif used not in index:
                index[used] = low[used] = len(index)
                stack.append(used)
                on_stack.add(used)
                path.append((used, iter(targets.get(used, ()))))
            elif used in on_stack:
                low[unit] = min(low[unit], index[used])
    return sorted(circles, key=lambda circle: (-len(circle), circle))


# Checks


def check_table(table, tree):
    def is_named(pattern, unit):
        return pattern in (unit, unit.rpartition('/')[0] + '/*')

    def is_of(name, unit):
        layer = table.find_layer(unit)
        return name == unit or layer is not None and name == layer.name

    for layer in table.layers.values():
        for pattern in layer.patterns:
            if not any(layer in table.find_layers(unit) and is_named(pattern, unit)
                       for unit in tree.units):
                yield f'the table: {pattern} of the layer {layer.name} matches no file'
        for name in layer.uses:
            if not any(is_of(layer.name, user) and is_of(name, used) for user, used in tree.edges):
                yield f'the table: {layer.name} uses nothing of {name}'
        for name in layer.used_by:
            if not any(is_of(name, user) and is_of(layer.name, used) for user, used in tree.edges):
                yield f'the table: {layer.name} is not used by {name}'
    for name in table.without_glib:
        if name not in table.layers:
            yield f'the table: {name}, without GLib, is no layer'
    for name in table.interfaces:
        if not any(used == name and edge.symbols for (_, used), edge in tree.edges.items()):
            yield f'the table: no function of the interface {name} is used'
    for unit in tree.units:
        names = [layer.name for layer in table.find_layers(unit)]
        if len(names) != 1:
            yield f'afork/{unit} is in {"the layers " + ", ".join(names) if names else "no layer"}'


def check_callbacks(table, tree):
    for callback in table.callbacks:
        here = f'the table: callback {callback.name}'
        if not callback.reason:
            yield f'{here} has no reason'
        missing = [unit for unit in (callback.lower, callback.higher) if unit not in tree.units]
        for unit in missing:
            yield f'{here}: there is no file {unit}'
        if missing:
            continue
        for unit in (callback.lower, callback.higher):
            if callback.name not in WORD.findall(tree.get_code(unit)):
                yield f'{here}: afork/{unit} does not have it'
        if not (callback.lower, callback.higher) in tree.edges and \
                not (callback.higher, callback.lower) in tree.edges:
            yield f'{here}: afork/{callback.higher} does not use afork/{callback.lower}'
        lower, higher = table.find_layer(callback.lower), table.find_layer(callback.higher)
        if lower and higher and table.may_use(callback.lower, callback.higher) and \
                lower is not higher:
            yield (f'{here}: it avoids no dependency, for {callback.lower} ({lower.name}) may use '
                   f'{callback.higher} ({higher.name})')


def get_checked(table, tree):
    """Returns the edges that no known exception names."""
    exempt = {(exemption.user, exemption.used) for exemption in table.exemptions}
    return {key: edge for key, edge in tree.edges.items() if key not in exempt}


def check_exemptions(table, tree):
    checked = get_checked(table, tree)
    for exemption in table.exemptions:
        key = (exemption.user, exemption.used)
        here = f'the table: the exception {exemption.user} {exemption.used}'
        if not exemption.reason:
            yield f'{here} has no reason'
        is_wrong = key in tree.edges and (
            not table.may_use(*key)
            or any(set(key) <= set(circle) for circle in find_circles({*checked, key})))
        is_undeclared = any(unit == exemption.user and is_declared_in(tree, headers, exemption.used)
                            for (unit, _), headers in tree.undeclared.items())
        if not is_wrong and not is_undeclared:
            yield f'{here} is not needed'


def is_declared_in(tree, headers, unit):
    return any(tree.get_unit(header) == unit for header in headers)


def check_direction(table, tree):
    for (user, used), edge in sorted(get_checked(table, tree).items()):
        if table.may_use(user, used):
            continue
        layers = f'{table.find_layer(user).name} may not use {table.find_layer(used).name}'
        for name, where in sorted(edge.includes.items()):
            yield f'{where} includes {name}: {layers}'
        for symbol in sorted(edge.symbols):
            yield f'afork/{user} uses {symbol} of {used}: {layers}'


def check_declarations(table, tree):
    for (unit, symbol), headers in sorted(tree.undeclared.items()):
        if any(unit == exemption.user and is_declared_in(tree, headers, exemption.used)
               for exemption in table.exemptions):
            continue
        yield (f'afork/{unit}.c defines {symbol} for others, which is not declared in its own '
               f'header, but in {", ".join(headers) or "none"}')


def check_glib(table, tree):
    for unit, found in sorted(tree.glib.items()):
        layer = table.find_layer(unit)
        if layer and layer.name in table.without_glib:
            for text in sorted(found):
                yield f'{text}: {layer.name} is without GLib'


def check_circles(table, tree):
    edges = get_checked(table, tree)
    for circle in find_circles(edges):
        yield f'circular dependency of {len(circle)} files: {", ".join(circle)}'
        for (user, used), edge in sorted(edges.items()):
            if user in circle and used in circle:
                layers = [table.find_layer(unit) for unit in (user, used)]
                names = ' on '.join(layer.name if layer else 'no layer' for layer in layers)
                yield f'  {user} depends on {used} ({names}): {edge.describe()}'


# Output of --edges and --figures


def print_edges(tree):
    for (user, used), edge in sorted(tree.edges.items()):
        print(user, used, ','.join(sorted(edge.symbols)) or '-',
              ','.join(sorted(edge.includes)) or '-')


def print_figures(tree):
    for title, is_wanted in {
        'symbols': lambda edge: edge.symbols,
        'includes': lambda edge: edge.includes,
        'both': lambda edge: True,
    }.items():
        circles = find_circles({key for key, edge in tree.edges.items() if is_wanted(edge)})
        print(f'by {title}: {len(circles)}')
        for circle in circles:
            print(f'  {len(circle)}: {" ".join(circle)}')


def find_wrong(text, source_root, build_root, binaries, linked, nm):
    """Returns all faults of a tree, according to the text of a table."""
    try:
        table = Table(text)
    except TableError as error:
        return [str(error)]

    tree = Tree(source_root, build_root, binaries, linked, nm, table.interfaces)
    wrong = tree.wrong
    for check in (check_table, check_callbacks, check_exemptions, check_direction,
                  check_declarations, check_glib, check_circles):
        wrong.extend(check(table, tree))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0])
    parser.add_argument('--edges', action='store_true')
    parser.add_argument('--figures', action='store_true')
    parser.add_argument('--nm', default='nm')
    parser.add_argument('--linked', action='append', default=[])
    parser.add_argument('table', type=Path)
    parser.add_argument('source_root', type=Path)
    parser.add_argument('build_root', type=Path)
    parser.add_argument('binaries', nargs='+')
    args = parser.parse_args()

    text = args.table.read_text()
    place = (args.source_root.resolve(), args.build_root.resolve(), args.binaries, args.linked,
             args.nm)
    if args.edges or args.figures:
        tree = Tree(*place, Table(text).interfaces)
        if args.edges:
            print_edges(tree)
        if args.figures:
            print_figures(tree)
        return

    wrong = find_wrong(text, *place)
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == '__main__':
    main()
