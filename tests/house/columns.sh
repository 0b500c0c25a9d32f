#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# columns.sh SOURCE-ROOT BUILD-ROOT
#
# No line that a person wrote is wider than 100 columns, except tables, programs and their output in
# pages of prose. Programs in pages of the manual have 80 columns, which fit into their box there.

set -eu

# A column is a character, not a byte.
export LC_ALL=C.UTF-8

cd "$1"
build_root=$2
too_wide='.{101}'

# A release has no .git. Then what git would leave out, folders to build in, is left out here.
if [ ! -e .git ] ||
   ! files=$(git -c safe.directory='*' ls-files --cached --others --exclude-standard 2> /dev/null)
then
  files=$(find . \( -path './build*' -o -path "./${build_root#"$PWD/"}" \) -prune \
    -o -type f -print | sed 's,^\./,,')
fi

# What is not prose becomes empty, so that the lines keep their numbers.
prose ()
{
  sed -e '/^```/,/^```/s/.*//' -e 's/^|.*//' "$1"
}

code ()
{
  sed -e '/^```/,/^```/!s/.*//' "$1"
}

n_files=0
failed=0
while IFS= read -r file; do
  [ -f "$file" ] || continue
  case $file in
    docs/*.md)
      found=$({ prose "$file" | grep -nE "$too_wide"; code "$file" | grep -nE '.{81}'; } || true)
      ;;
    *.md) found=$(prose "$file" | grep -nE "$too_wide" || true) ;;
    *.c | *.h | *.h.in | *.py | *.js | *.vala | *.pl | *.sh | *.supp | *.toml.in | \
      meson.build | */meson.build | meson_options.txt | dev | .ci/run)
      found=$(grep -nE "$too_wide" "$file" || true)
      ;;
    *) continue ;;
  esac

  n_files=$((n_files + 1))
  if [ -n "$found" ]; then
    printf '%s\n' "$found" | sed "s,^,$file:," >&2
    failed=1
  fi
done <<END
$files
END

[ "$n_files" -gt 0 ]
exit $failed
