# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""translations.py PO-FOLDER SOURCE-ROOT

Checks that each language of LINGUAS translates all text of the files in POTFILES.in, and no other,
and that each translation has the placeholders of the original, in the same order. Text is found by
xgettext, as in the build."""

import pathlib
import re
import subprocess
import sys
import tempfile

# As meson's preset for GLib has them, except those that only mark a text as a format.
XGETTEXT = ['xgettext', '--from-code=UTF-8', '--language=C', '--keyword=_', '--keyword=N_',
            '--keyword=C_:1c,2', '--keyword=NC_:1c,2', '--no-wrap', '--no-location', '--output=-',
            '--flag=_:1:pass-c-format', '--flag=g_error_new:3:c-format',
            '--flag=g_set_error:4:c-format', '--flag=g_strdup_printf:1:c-format']
PLACEHOLDER = re.compile(r'%(?:\d+\$)?[-+ #0]*[\d.*]*(?:hh|h|ll|l|j|z|t|L)?[a-zA-Z%]')
ESCAPES = {'n': '\n', 't': '\t', '"': '"', '\\': '\\'}


def read_lines(path):
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith('#')]


def unquote(quoted):
    return re.sub(r'\\(.)', lambda match: ESCAPES[match[1]], quoted[1:-1])


def read_catalogue(text):
    """The messages of a .po or .pot, as {msgid: msgstr}, and the msgids that are marked fuzzy."""
    messages, fuzzy = {}, set()
    for block in re.split(r'\n\s*\n', text):
        lines = [line for line in block.splitlines() if not line.startswith('#~')]
        fields, field = {}, None
        for line in lines:
            start = re.match(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?) (".*")$', line)
            if start:
                field = start[1]
                fields[field] = unquote(start[2])
            elif line.startswith('"'):
                fields[field] += unquote(line)
        if fields.get('msgid'):
            messages[fields['msgid']] = fields.get('msgstr', '')
            if any(re.match('#,.*fuzzy', line) for line in lines):
                fuzzy.add(fields['msgid'])
    return messages, fuzzy


def find_text(folder, source):
    """The messages of the sources, and what is wrong with how they are written."""
    names = read_lines(folder / 'POTFILES.in')
    found = subprocess.run([*XGETTEXT, *names], cwd=source, capture_output=True, text=True)
    if found.returncode != 0:
        return {}, found.stderr.splitlines()

    # Text is cut off before a macro such as G_GSIZE_FORMAT, and is then never translated.
    return read_catalogue(found.stdout)[0], found.stderr.splitlines()


def check_language(path, wanted):
    messages, fuzzy = read_catalogue(path.read_text(encoding='utf-8'))
    for text in wanted:
        translation = messages.get(text, '')
        if not translation:
            yield f'“{text}” is not translated'
        elif text in fuzzy:
            yield f'“{text}” is marked fuzzy'
        elif PLACEHOLDER.findall(text) != PLACEHOLDER.findall(translation):
            yield f'“{text}” has other placeholders than “{translation}”'
        elif text.endswith('\n') != translation.endswith('\n'):
            yield f'“{text}” and “{translation}” do not both end with a line break'
    for text in messages.keys() - wanted.keys():
        yield f'“{text}” is in no source'

    with tempfile.NamedTemporaryFile() as output:
        compiled = subprocess.run(['msgfmt', '--check', f'--output-file={output.name}', path],
                                  capture_output=True, text=True)
    if compiled.returncode != 0:
        yield from compiled.stderr.splitlines()


def main():
    folder, source = map(pathlib.Path, sys.argv[1:])
    languages = read_lines(folder / 'LINGUAS')
    wanted, faults = find_text(folder, source)

    if not wanted:
        faults.append('there is no text in the sources')
    listed = sorted(path.stem for path in folder.glob('*.po'))
    if languages != listed:
        faults.append(f'LINGUAS has {languages}, and there are files of {listed}')
    for language in listed:
        path = folder / f'{language}.po'
        faults += (f'{path.name}: {fault}' for fault in check_language(path, wanted))

    for fault in faults:
        print(fault, file=sys.stderr)
    print(f'{len(wanted)} messages in {len(languages)} languages')
    sys.exit(1 if faults else 0)


if __name__ == '__main__':
    main()
