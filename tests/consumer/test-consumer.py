# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""test-consumer.py pkg-config|subproject|release SOURCE-ROOT BUILD-ROOT COMPILER...

Builds a program and a worker module outside of the tree, with AFork from a staged installation by
pkg-config, or with AFork as a wrapped subproject, and runs the program. Or makes a release, and
configures it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

SOURCES = pathlib.Path(__file__).parent
sys.path.insert(0, str(SOURCES.parent / 'house'))

import tree

WRAP = '[wrap-file]\ndirectory = afork\n\n[provide]\ndependency_names = afork-1\n'
OPTIONS = ['-Dtests=false', '-Dexamples=disabled', '-Dintrospection=disabled', '-Dvapi=disabled',
           '-Ddocs=disabled', '-Deval=disabled']
SKIPPED = 77


def run(*command, cwd=None, **environment):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True,
                          env=os.environ | environment)
    if done.returncode != 0:
        sys.exit(f'{command} ended with status {done.returncode}:\n{done.stdout}\n{done.stderr}')
    return done.stdout


def by_pkg_config(folder, source, build, compiler):
    stage = folder / 'stage'
    if (build / 'introspection' / 'afork-1.deps').exists():
        run('meson', 'compile', '-C', build, 'afork-1.vapi')
    run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', stage,
        '--tags', 'runtime,devel')

    pkg_config = os.environ.get('PKG_CONFIG', 'pkg-config')
    found = next(stage.rglob('afork-1.pc'))
    text = found.read_text()
    prefix = re.search(r'^prefix=(.*)$', text, re.M)[1]
    found.write_text(text.replace(f'prefix={prefix}\n', f'prefix={stage}{prefix}\n', 1))
    paths = {'PKG_CONFIG_PATH': str(found.parent)}
    flags = run(pkg_config, '--cflags', '--libs', 'afork-1', **paths).split()
    server = run(pkg_config, '--variable=serverpath', 'afork-1', **paths).strip()
    library = run(pkg_config, '--variable=libdir', 'afork-1', **paths).strip()
    if not os.access(server, os.X_OK):
        sys.exit(f'the variable serverpath is {server}, which cannot be executed')

    run(*compiler, '-Wall', '-Werror', SOURCES / 'consumer.c', '-o', 'consumer', *flags,
        cwd=folder)
    run(*compiler, '-Wall', '-Werror', '-shared', '-fPIC', SOURCES / 'greet.c', '-o', 'greet.so',
        *[flag for flag in flags if flag.startswith('-I')], cwd=folder)
    return run(folder / 'consumer', folder / 'greet.so', LD_LIBRARY_PATH=library,
               AFORK_SERVER=server)


def by_subproject(folder, source, build, compiler):
    subproject = folder / 'subprojects' / 'afork'
    for name in tree.list_files(source, build):
        (subproject / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, subproject / name)
    (folder / 'subprojects' / 'afork.wrap').write_text(WRAP)
    shutil.copy(SOURCES / 'subproject.meson.build.in', folder / 'meson.build')
    for name in ('consumer.c', 'greet.c'):
        shutil.copy(SOURCES / name, folder)

    run('meson', 'setup', 'build', '--wrap-mode=forcefallback', '--buildtype=plain',
        *[option.replace('-D', '-Dafork:', 1) for option in OPTIONS], cwd=folder)
    run('meson', 'compile', '-C', 'build', cwd=folder)
    return run('build/consumer', folder / 'build' / 'greet.so', cwd=folder)


def make_release(folder, source, build):
    """The release has all files of the newest commit, and can be configured."""
    git = ['git', '-C', source, 'ls-tree', '-r', '-z', '--name-only', 'HEAD']
    listed = None
    if (source / '.git').exists() and shutil.which('git'):
        listed = subprocess.run(git, capture_output=True, text=True)
    if listed is None or listed.returncode != 0:
        print('skipped: this is no checkout of git')
        sys.exit(SKIPPED)

    run('meson', 'dist', '-C', build, '--no-tests', '--allow-dirty', '--formats', 'xztar')
    archive = next((build / 'meson-dist').glob('*.tar.xz'))
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    top = folder / archive.name.removesuffix('.tar.xz')
    files = {str(path.relative_to(top)) for path in top.rglob('*') if not path.is_dir()}
    different = files ^ set(filter(None, listed.stdout.split('\0')))
    if different:
        sys.exit(f'only in the release or only in the commit: {sorted(different)}')
    run('meson', 'setup', *OPTIONS, 'build', top, cwd=folder)


def main():
    kind, source, build, *compiler = sys.argv[1:]
    source, build = pathlib.Path(source), pathlib.Path(build)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if kind == 'release':
            make_release(folder, source, build)
            return
        build_consumer = {'pkg-config': by_pkg_config, 'subproject': by_subproject}[kind]
        printed = build_consumer(folder, source, build, compiler)
    print(printed, end='')
    if not printed.startswith('Hello, consumer with AFork '):
        sys.exit('the program printed something else')


if __name__ == '__main__':
    main()
