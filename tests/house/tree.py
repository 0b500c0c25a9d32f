# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The files of this tree, for the programs in this folder that look at all of them."""

import shutil
import subprocess


def list_files(source, build):
    """Names relative to SOURCE. A release has no .git. Then the build folders are left out here, as
    git does."""
    git = ['git', '-c', 'safe.directory=*', 'ls-files', '--cached', '--others',
           '--exclude-standard']
    if (source / '.git').exists() and shutil.which('git'):
        listed = subprocess.run(git, cwd=source, capture_output=True, text=True)
        if listed.returncode == 0:
            return [name for name in listed.stdout.splitlines() if (source / name).is_file()]

    found = (path.relative_to(source) for path in source.rglob('*')
             if path.is_file() and not path.is_relative_to(build))
    return [str(path) for path in found if not path.parts[0].startswith('build')]
