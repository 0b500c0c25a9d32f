#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# library-constructors.sh LIBRARY COMPILER...
#
# Checks that loading or unloading the library runs no code of AFork: the library has as many
# constructors and destructors as the compiler gives an empty library.

set -eu

library=$1
shift

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

echo 'int afork_nothing;' | "$@" -shared -fPIC -x c -o "$folder/empty.so" -

# Prints the sizes of the tables of functions that the dynamic linker calls.
tables ()
{
  readelf --wide --sections "$1" |
    sed -n 's/^ *\[ *[0-9]*\] \(\.\(pre\)\{0,1\}\(init\|fini\)_array\|\.[cd]tors\) /\1 /p' |
    awk '{ print $1, $5 }'
}

expected=$(tables "$folder/empty.so")
found=$(tables "$library")

if [ "$found" != "$expected" ]; then
  echo "$library has constructors or destructors." >&2
  printf 'An empty library:\n%s\nThis one:\n%s\n' "$expected" "$found" >&2
  exit 1
fi
