#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes the type declarations of AFork (PEP 484), for type checkers and editors.

make-declarations.py AFork-1.gir AFork.pyi.in

The GIR has all classes and functions of the library. The second file declares what the
override adds or changes: what it defines takes the place of what the GIR has.
"""

import ast
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

CORE = '{http://www.gtk.org/introspection/core/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'

# The types that are called otherwise in Python, and those that parameters have, where a function
# takes more than it returns.
TYPES = {
    'GLib.Pid': 'int', 'GLib.Quark': 'int', 'filename': 'str', 'gboolean': 'bool',
    'gdouble': 'float', 'gint': 'int', 'gint64': 'int', 'gpointer': 'int', 'gsize': 'int',
    'guint': 'int', 'guint32': 'int', 'guint64': 'int', 'none': 'None', 'utf8': 'str',
}
PARAMETER_TYPES = {'GLib.Bytes': '_Bytes', 'filename': '_Path'}
STRINGS = ('filename', 'utf8')
SCALARS = ('bool', 'float', 'int')

WIDTH = 100


def kind_of(element):
    return element.tag.removeprefix(CORE).removeprefix(GLIB)


def is_public(element):
    return element.get('introspectable') != '0'


def attribute_of(element):
    return element.get('name').replace('-', '_')


def type_of(element, is_parameter=False):
    array = element.find(CORE + 'array')
    named = (element if array is None else array).find(CORE + 'type')
    name = named.get('name')
    if array is not None and is_parameter and name in STRINGS:
        return '_Strings'
    if array is not None:
        return f'list[{TYPES.get(name, name)}]'
    if is_parameter and name in PARAMETER_TYPES:
        return PARAMETER_TYPES[name]
    return TYPES.get(name, name)


def optional(text, element):
    return f'{text} | None' if element.get('nullable') == '1' else text


def parameters_of(function):
    """The parameters that Python passes, as (name, type, whether it may be None); and the results
    that Python gets beside the first, as (name, type)."""
    listed = function.find(CORE + 'parameters')
    elements = [] if listed is None else listed.findall(CORE + 'parameter')
    hidden = set()
    for element in [*elements, function.find(CORE + 'return-value')]:
        array = element.find(CORE + 'array')
        if array is not None and array.get('length') is not None:
            hidden.add(int(array.get('length')))
        if element.get('destroy') is not None:
            hidden.add(int(element.get('destroy')))

    parameters = []
    results = []
    for i, element in enumerate(elements):
        if i in hidden:
            continue
        name = element.get('name')
        if element.get('direction') == 'out':
            results.append((name, type_of(element)))
        elif name in ('fd', 'target'):
            parameters.append((name, '_Descriptor', False))
        else:
            parameters.append((name, type_of(element, True), element.get('nullable') == '1'))
    return parameters, results


def format_parameters(parameters, n_required=None):
    """Parameters at the end that may be None need not be given."""
    if n_required is None:
        n_required = len(parameters)
        while n_required > 0 and parameters[n_required - 1][2]:
            n_required -= 1
    return [f'{name}: {text}' + (' | None' if is_optional else '')
            + (' = None' if i >= n_required else '')
            for i, (name, text, is_optional) in enumerate(parameters)]


def format_function(name, parameters, result, indent='    ', decorator=None):
    lines = [] if decorator is None else [f'{indent}@{decorator}']
    line = f'{indent}def {name}('
    aligned = ' ' * len(line)
    for i, parameter in enumerate(parameters or ['']):
        is_last = i >= len(parameters) - 1
        piece = parameter + (f') -> {result}: ...' if is_last else ', ')
        if len((line + piece).rstrip()) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = aligned
        line += piece
    return [*lines, line]


def result_of(function):
    value = function.find(CORE + 'return-value')
    return optional(type_of(value), value)


def format_async(name, parameters, result, is_method):
    """Without a callback, it returns an awaitable."""
    *parameters, _, _ = parameters
    awaited = format_parameters(parameters) + ['callback: None = None']
    called = format_parameters(parameters, len(parameters)) + ['callback: _Callback',
                                                               '*user_data: Any']
    first = ['self'] if is_method else []
    decorators = ['    @overload', *([] if is_method else ['    @staticmethod'])]
    return [*decorators, *format_function(name, [*first, *awaited], f'Operation[{result}]'),
            *decorators, *format_function(name, [*first, *called], 'None')]


def format_method(function, functions):
    name = function.get('name')
    kind = kind_of(function)
    parameters, results = parameters_of(function)
    result = result_of(function)

    if name.endswith('_async'):
        return format_async(name, parameters, result_of(functions[f'{name[:-6]}_finish']),
                            kind == 'method')
    if results:
        result = f'tuple[{", ".join([result, *(text for _, text in results)])}]'
    if kind == 'constructor':
        container = functions[None]
        return format_function(name, ['cls', *format_parameters(parameters)], container,
                               decorator='classmethod')
    if kind == 'function':
        return format_function(name, format_parameters(parameters), result,
                               decorator='staticmethod')
    return format_function(name, ['self', *format_parameters(parameters)], result)


def format_property(element, functions):
    """What can be read, and what can be written later than in the constructor."""
    getter = functions.get(f'get_{attribute_of(element)}')
    text = type_of(element)
    if getter is not None and getter.find(CORE + 'return-value').get('nullable') == '1':
        text += ' | None'
    name = attribute_of(element)
    if element.get('writable') == '1' and element.get('construct-only') != '1':
        return [f'        {name}: {text}']
    return ['        @property', f'        def {name}(self) -> {text}: ...']


def format_init(properties):
    named = []
    for element in properties:
        text = type_of(element, True)
        if element.get('writable') == '1':
            named.append(f'{attribute_of(element)}: {text}'
                         + (' = ...' if text in SCALARS else ' | None = ...'))
    return format_function('__init__', ['self', *(['*', *named] if named else [])], 'None')


def format_class(element):
    """The blocks of a class by the names that they define."""
    functions = {None: element.get('name')}
    properties = element.findall(CORE + 'property')
    for child in element:
        if kind_of(child) in ('constructor', 'function', 'method') and is_public(child):
            functions[child.get('name')] = child

    blocks = {}
    if properties:
        blocks['Props'] = ['    class Props(GObject.Object.Props):']
        for child in properties:
            blocks['Props'] += format_property(child, functions)
        blocks['props'] = ['    @property', '    def props(self) -> Props: ...']
    blocks['__init__'] = format_init(properties)
    for name, child in functions.items():
        if name is not None:
            blocks[name] = format_method(child, functions)
    return blocks


def format_enumeration(element):
    name = element.get('name')
    return {member.get('name').upper(): [f'    {member.get("name").upper()}: {name}']
            for member in element.findall(CORE + 'member')}


BASES = {'bitfield': 'GObject.GFlags', 'class': 'GObject.Object', 'enumeration': 'GObject.GEnum'}


def error_class_name(member):
    return ''.join(part.capitalize() for part in member.get('name').split('_'))


def format_error(element):
    """The override makes the enumeration a class of exceptions with one more for each code."""
    blocks = {}
    for member in element.findall(CORE + 'member'):
        name = member.get('name').upper()
        blocks[name] = [f'    {name}: ClassVar[int]']
    for member in element.findall(CORE + 'member'):
        name = error_class_name(member)
        blocks[name] = [f'    class {name}(Error): ...']
    return blocks


def read_gir(path):
    """The classes as {name: (base, blocks)}, and the other definitions as {name: lines}."""
    namespace = ElementTree.parse(path).getroot().find(CORE + 'namespace')
    classes = {}
    others = {}
    for element in namespace.findall(CORE + 'callback'):
        PARAMETER_TYPES[element.get('name')] = '_Callback'
    for element in namespace:
        name = element.get('name')
        kind = kind_of(element)
        if not is_public(element):
            continue
        if kind == 'enumeration' and element.get(GLIB + 'error-domain') is not None:
            classes[name] = ('GLib.Error', format_error(element))
        elif kind in ('enumeration', 'bitfield'):
            classes[name] = (BASES[kind], format_enumeration(element))
        elif kind == 'class':
            classes[name] = (BASES[kind], format_class(element))
        elif kind == 'function':
            parameters, _ = parameters_of(element)
            others[name] = format_function(name, format_parameters(parameters), result_of(element),
                                           indent='')
        elif kind == 'constant':
            text = TYPES[element.find(CORE + 'type').get('name')]
            others[name] = [f'{name}: Final[{text}]']
    return classes, others


def name_of(node):
    if isinstance(node, ast.AnnAssign):
        return node.target.id
    if isinstance(node, ast.Assign):
        return node.targets[0].id
    return getattr(node, 'name', None)


def read_blocks(body, lines, end):
    """The lines behind END of a part of a declaration file, by the names that they define.
    Overloads are one block."""
    blocks = {}
    for node in body:
        blocks.setdefault(name_of(node), []).extend(
            line for line in lines[end:node.end_lineno] if line.strip())
        end = node.end_lineno
    blocks.pop(None, None)      # a docstring, or `...`
    return blocks


def merge_class(name, base, blocks, node=None, lines=()):
    if node is not None:
        if node.bases:
            base = ', '.join(ast.unparse(given) for given in node.bases)
        blocks = {**blocks, **read_blocks(node.body, lines, node.lineno)}
    body = [line for block in blocks.values() for line in block]
    return ['', f'class {name}({base}):', *(body or ['    ...'])]


def main():
    gir, template = sys.argv[1:]
    classes, others = read_gir(gir)
    text = pathlib.Path(template).read_text()
    lines = text.splitlines()
    given = ast.parse(text).body
    output = []
    end = 0

    for node in given:
        block = lines[end:node.end_lineno]
        end = node.end_lineno
        if isinstance(node, ast.ClassDef) and node.name in classes:
            output += merge_class(node.name, *classes.pop(node.name), node, lines)
        else:
            others.pop(name_of(node), None)
            output += block
    for name, (base, blocks) in classes.items():
        output += merge_class(name, base, blocks)
    output.append('')
    for block in others.values():
        output += block
    sys.stdout.write('\n'.join(output) + '\n')


main()
