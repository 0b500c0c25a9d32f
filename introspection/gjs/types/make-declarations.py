#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes the declarations of AFork for TypeScript, to be used with the packages of @girs.

make-declarations.py AFork-1.gir AFork.d.ts.in

The GIR has all classes and functions of the library. The second file has what the override adds or
changes: what its classes declare takes the place of what the GIR has.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

CORE = '{http://www.gtk.org/introspection/core/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'

NUMBERS = ('GLib.Pid', 'GLib.Quark', 'gdouble', 'gint', 'gint64', 'gsize', 'guint', 'guint32',
           'guint64')
TYPES = {**dict.fromkeys(NUMBERS, 'number'), 'filename': 'string', 'gboolean': 'boolean',
         'gpointer': 'unknown', 'none': 'void', 'utf8': 'string'}
PARAMETER_TYPES = {'GLib.Bytes': 'Bytes'}
# Words of JavaScript that are names of parameters.
RESERVED = {'function': 'func', 'eval': 'code'}
DESCRIPTORS = ('fd', 'target')

WIDTH = 100


def kind_of(element):
    return element.tag.removeprefix(CORE).removeprefix(GLIB)


def is_public(element):
    return element.get('introspectable') != '0'


def type_of(element, is_parameter=False):
    array = element.find(CORE + 'array')
    name = (element if array is None else array).find(CORE + 'type').get('name')
    text = TYPES.get(name, name)
    if array is not None:
        return f'readonly {text}[]' if is_parameter else f'{text}[]'
    return PARAMETER_TYPES.get(name, text) if is_parameter else text


def nullable(text, element):
    return f'{text} | null' if element.get('nullable') == '1' else text


class Function:
    def __init__(self, element):
        self.name = element.get('name')
        self.kind = kind_of(element)
        listed = element.find(CORE + 'parameters')
        elements = [] if listed is None else listed.findall(CORE + 'parameter')
        returned = element.find(CORE + 'return-value')
        hidden = set()
        for given in [*elements, returned]:
            array = given.find(CORE + 'array')
            for text in (array.get('length') if array is not None else None, given.get('destroy'),
                         given.get('closure')):
                if text is not None:
                    hidden.add(int(text))

        self.parameters = []        # (name, type, whether it may be left out)
        results = [] if type_of(returned) == 'void' else [nullable(type_of(returned), returned)]
        for i, given in enumerate(elements):
            if i in hidden:
                continue
            name = RESERVED.get(given.get('name'), given.get('name'))
            if given.get('direction') == 'out':
                results.append(type_of(given))
            elif name in DESCRIPTORS:
                self.parameters.append((name, 'Descriptor', False))
            else:
                self.parameters.append((name, nullable(type_of(given, True), given),
                                        given.get('nullable') == '1'))
        self.result = 'void' if not results else results[0] if len(results) == 1 \
            else f'[{", ".join(results)}]'

    def format(self, container=None, finish=None):
        prefix = '' if self.kind in ('method', 'callback') or container is None else 'static '
        if self.kind == 'virtual-method':
            return [f'vfunc_{self.name}({format_parameters(self.parameters)}): {self.result};']
        result = container if self.kind == 'constructor' else self.result
        if finish is None:
            return [f'{prefix}{self.name}({format_parameters(self.parameters)}): {result};']
        *parameters, _ = self.parameters
        source = 'unknown' if prefix else 'this'
        called = [(name, text, False) for name, text, _ in parameters]
        called.append(('callback', f'AsyncCallback<{source}>', False))
        return [
            f'{prefix}{self.name}({format_parameters(parameters)}): Promise<{finish.result}>;',
            f'{prefix}{self.name}({format_parameters(called)}): void;',
        ]


def format_parameters(parameters):
    n_required = len(parameters)
    while n_required > 0 and parameters[n_required - 1][2]:
        n_required -= 1
    return ', '.join(f'{name}{"?" if i >= n_required else ""}: {text}'
                     for i, (name, text, _) in enumerate(parameters))


def camel_case(name):
    first, *rest = name.split('-')
    return first + ''.join(part.capitalize() for part in rest)


def names_of(element):
    """GJS has both."""
    name = element.get('name')
    return dict.fromkeys([name.replace('-', '_'), camel_case(name)])


def property_type(element, functions, is_parameter=False):
    text = type_of(element, is_parameter)
    getter = functions.get(f'get_{element.get("name").replace("-", "_")}')
    is_object = text not in ('boolean', 'number')
    if is_object and (is_parameter or getter is None or getter.result.endswith('| null')):
        text += ' | null'
    return text


def format_class(element):
    """The members of a class, {name: lines}, and its properties for the constructor."""
    functions = {}
    for child in element:
        if kind_of(child) in ('constructor', 'function', 'method') and is_public(child):
            functions[child.get('name')] = Function(child)
    name = element.get('name')
    members = {}
    construct = []
    for child in element.findall(CORE + 'property'):
        is_writable = child.get('writable') == '1'
        readonly = '' if is_writable and child.get('construct-only') != '1' else 'readonly '
        for each in names_of(child):
            members[each] = [f'{readonly}{each}: {property_type(child, functions)};']
            if is_writable:
                construct.append(f'{each}: {property_type(child, functions, True)};')
    for function in functions.values():
        finish = functions.get(function.name.removesuffix('_async') + '_finish') \
            if function.name.endswith('_async') else None
        members[function.name] = function.format(name, finish)
    for child in element.findall(CORE + 'virtual-method'):
        if is_public(child):
            members[f'vfunc_{child.get("name")}'] = Function(child).format(name)
    signals = []
    for child in element.findall(GLIB + 'signal'):
        parameters = ''.join(f', {parameter}: {text}'
                             for parameter, text, _ in Function(child).parameters)
        signals.append(f"connect(signal: '{child.get('name')}', "
                       f'callback: (source: this{parameters}) => void): number;')
    if signals:
        members['connect'] = [*signals, 'connect(signal: string, '
                              'callback: (source: this, ...args: any[]) => void): number;']
    return members, construct


def read_template(path):
    """The lines before the classes, and {class: {member: lines}}."""
    head, classes, current = [], {}, None
    lines = pathlib.Path(path).read_text().splitlines()
    for line in lines:
        if line.startswith('class ') and line.split()[1] in KNOWN:
            current = classes.setdefault(line.split()[1], {})
        elif current is None:
            head.append(line)
        elif line == '}':
            current = None
        elif line.strip():
            match = re.match(r'    (?:static )?(?:readonly )?(\[Symbol\.\w+\]|\w+)', line)
            if match and not line.startswith('     '):
                name = match[1]
                current.setdefault(name, [])
            current[name].append(line[4:])
    return head, classes


KNOWN = set()


def format_body(element, template):
    members, construct = format_class(element)
    name = element.get('name')
    body = [f'class {name} extends GObject.Object {{',
            f'    constructor(properties?: Partial<{name}.ConstructorProps>);']
    for lines in {**members, **template}.values():
        body += [f'    {line}' for line in lines]
    body += ['}', f'namespace {name} {{',
             '    interface ConstructorProps extends GObject.Object.ConstructorProps {']
    body += [f'        {line}' for line in construct]
    return [*body, '    }', '}']


def format_enumeration(element):
    return [f'enum {element.get("name")} {{',
            *(f'    {member.get("name").upper()} = {member.get("value")},'
              for member in element.findall(CORE + 'member')), '}']


def format_error(element):
    return [f'class {element.get("name")} extends GLib.Error {{',
            *(f'    static {member.get("name").upper()}: number;'
              for member in element.findall(CORE + 'member')), '}']


def format_callback(element):
    function = Function(element)
    return [f'type {element.get("name")} = ({format_parameters(function.parameters)}) => '
            f'{function.result};']


def format_element(element, templates):
    kind = kind_of(element)
    if kind == 'enumeration' and element.get(GLIB + 'error-domain') is not None:
        return format_error(element)
    if kind in ('enumeration', 'bitfield'):
        return format_enumeration(element)
    if kind == 'class':
        return format_body(element, templates.get(element.get('name'), {}))
    if kind == 'function':
        return [f'function {line}' for line in templates.get('functions', {}).get(
            element.get('name'), Function(element).format())]
    if kind == 'callback':
        return format_callback(element)
    if kind == 'constant':
        return [f'const {element.get("name")}: {type_of(element)};']
    return []


def wrap(line):
    """Breaks a line that is too long behind commas."""
    lines = []
    indent = len(line) - len(line.lstrip())
    while len(line) > WIDTH:
        at = max(line.rfind(', ', 0, WIDTH), line.rfind('): ', 0, WIDTH - 1))
        if at < 0:
            break
        lines.append(line[:at + 1])
        line = ' ' * (indent + 4) + line[at + 1:].lstrip()
    return [*lines, line]


def main():
    gir, template = sys.argv[1:]
    namespace = ElementTree.parse(gir).getroot().find(CORE + 'namespace')
    KNOWN.update(element.get('name') for element in namespace.findall(CORE + 'class'))
    KNOWN.add('functions')
    head, templates = read_template(template)
    body = [line for element in namespace if is_public(element)
            for line in format_element(element, templates)]
    for line in head:
        if line.strip() == '@BODY@':
            for inner in body:
                print('\n'.join(wrap(f'        {inner}')))
        else:
            print(line)


main()
