#!/usr/bin/env python3
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The examples of the fuzz targets: an archive for each target, corpus/TARGET.tar.

corpora.py list TARGET                the names of its examples
corpora.py add TARGET FILE [NAME]     adds FILE, or replaces the example of that name
corpora.py remove TARGET NAME...      removes examples
corpora.py pack TARGET FOLDER         replaces all examples by the files of FOLDER
corpora.py unpack ARCHIVE FOLDER      makes FOLDER have the files of ARCHIVE, and no others
corpora.py check ARCHIVE...           whether the archives are as this program writes them

The same examples always give the same archive: they are sorted by name, and nothing tells whose
they were and when. The build unpacks the archives into its folder.
"""

import io
import sys
import tarfile
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / 'corpus'


def archive_of(target):
    return CORPUS / f'{target}.tar'


def is_name(name):
    return name != '' and '/' not in name and not name.startswith('.')


def read(archive):
    """The contents of the examples in ARCHIVE, by name."""
    examples = {}
    with tarfile.open(archive, 'r:') as tar:
        for member in tar:
            if not member.isreg() or not is_name(member.name):
                raise ValueError(f'{archive}: {member.name} is not a file in no folder')
            examples[member.name] = tar.extractfile(member).read()
    return examples


def write(archive, examples):
    with tarfile.open(archive, 'w:', format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(examples.items()):
            if not is_name(name):
                raise ValueError(f'{name} cannot be the name of an example')
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def add(target, examples):
    archive = archive_of(target)
    write(archive, {**(read(archive) if archive.exists() else {}), **examples})


def remove(target, names):
    examples = read(archive_of(target))
    for name in names:
        del examples[name]
    write(archive_of(target), examples)


def pack(target, examples):
    write(archive_of(target), examples)


def unpack(archive, folder):
    examples = read(archive)
    if not examples:
        raise ValueError(f'{archive} is empty')
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in examples:
            path.unlink()
    for name, content in examples.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def check(archive):
    with tarfile.open(archive, 'r:') as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    if names == [] or names != sorted(set(names)):
        raise ValueError(f'{archive}: the examples are not sorted by name')
    for member in members:
        told = (member.mode, member.mtime, member.uid, member.gid, member.uname, member.gname)
        if told != (0o644, 0, 0, 0, '', ''):
            raise ValueError(f'{archive}: {member.name} tells its owner, time or mode')
    read(archive)


def main(command='', *arguments):
    if command == 'list' and len(arguments) == 1:
        print('\n'.join(read(archive_of(arguments[0]))))
    elif command == 'add' and len(arguments) in (2, 3):
        path = Path(arguments[1])
        name = arguments[2] if len(arguments) == 3 else path.name
        add(arguments[0], {name: path.read_bytes()})
    elif command == 'remove' and len(arguments) >= 2:
        remove(arguments[0], arguments[1:])
    elif command == 'pack' and len(arguments) == 2:
        pack(arguments[0], {path.name: path.read_bytes() for path in Path(arguments[1]).iterdir()})
    elif command == 'unpack' and len(arguments) == 2:
        unpack(Path(arguments[0]), Path(arguments[1]))
    elif command == 'check' and arguments:
        for archive in arguments:
            check(archive)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
