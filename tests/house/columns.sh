#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# columns.sh SOURCE-ROOT BUILD-ROOT
#
# Checks that no line of a source file is wider than 100 columns. Tables, programs and their output
# in pages of prose may be wider. Programs in pages of the manual have at most 80 columns, which fit
# into their box there.

set -eu

# A column is a character, not a byte.
export LC_ALL=C.UTF-8

cd "$1"
build_root=$2
too_wide='.{101}'

# A release has no .git. Then this script leaves out the build folders, as git does.
if [ ! -e .git ] ||
   ! files=$(git -c safe.directory='*' ls-files --cached --others --exclude-standard 2> /dev/null)
then
  files=$(find . \( -path './build*' -o -path "./${build_root#"$PWD/"}" \) -prune \
    -o -type f -print | sed 's,^\./,,')
fi

# Replaces lines that are not prose by empty lines, so that the other lines keep their numbers.
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
