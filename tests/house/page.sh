#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# page.sh README BUILD-ROOT PAGE COMPILER...
#
# The programs in a page of prose are compiled from the page's own text, by the page's own commands,
# and print what the page says they print. Each is a block between ``` that stands below one of
#
#     <!-- file: NAME -->   <!-- commands -->   <!-- output -->
#
# Further commands, which must succeed, may stand in a comment that begins with a line `<!-- check`.
# An AFork that is not installed is found as the set-up of README says, and by nothing else.

set -eu

readme=$1
build_root=$2
page=$3
shift 3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# block PAGE MARK: the text of the block below <!-- MARK -->
block ()
{
  awk -v mark="<!-- $2 -->" '
    $0 == mark { marked = 1; next }
    marked && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }
  ' "$1"
}

for name in $(sed -n 's/^<!-- file: \(.*\) -->$/\1/p' "$page"); do
  block "$page" "file: $name" > "$folder/$name"
done
block "$readme" set-up > "$folder/set-up"
block "$page" commands > "$folder/commands"
block "$page" output > "$folder/expected"
sed -n '/^<!-- check$/,/^-->$/p' "$page" | sed '1d;$d' > "$folder/check"

if [ ! -s "$folder/set-up" ] || [ ! -s "$folder/commands" ]; then
  echo "$readme has no set-up, or $page no commands." >&2
  exit 1
fi

# The page's `cc` is the compiler of this build, and its build/gcc is this build. What the
# environment says of where things are does not count.
cd "$folder"
mkdir build
ln -s "$build_root" build/gcc
unset AFORK_EVAL AFORK_MODULE_PATH AFORK_SERVER LD_LIBRARY_PATH PKG_CONFIG_PATH
{
  printf 'set -eu\n'
  printf 'cc () { command %s -Wall -Wextra -Wno-unused-parameter -Werror "$@"; }\n' "$*"
  cat set-up
} > before
cat before commands > script
cat before check > check-script

sh script > output
diff -u expected output
sh check-script || {
  echo "One of these commands of $page failed:" >&2
  cat check >&2
  exit 1
}
