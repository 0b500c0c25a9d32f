#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# spdx.sh SOURCE-ROOT BUILD-ROOT
#
# Checks that each source file, apart from prose and data, names its licence in its first lines.

set -eu

cd "$1"
build_root=$2

# A release has no .git. Then this script leaves out the build folders, as git does.
if [ ! -e .git ] ||
   ! files=$(git -c safe.directory='*' ls-files --cached --others --exclude-standard 2> /dev/null)
then
  files=$(find . \( -path './build*' -o -path "./${build_root#"$PWD/"}" \) -prune \
    -o -type f -print | sed 's,^\./,,')
fi

n_files=0
failed=0
while IFS= read -r file; do
  case $file in
    *.c | *.h | *.h.in | *.py | *.js | *.vala | *.pl | *.sh | *.supp | *.toml.in) ;;
    meson.build | */meson.build | meson_options.txt | dev | .ci/run) ;;
    *) continue ;;
  esac
  [ -f "$file" ] || continue

  n_files=$((n_files + 1))
  if ! head -n 5 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later'; then
    echo "$file: no SPDX line" >&2
    failed=1
  fi
done <<END
$files
END

[ "$n_files" -gt 0 ]
exit $failed
