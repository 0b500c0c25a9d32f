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
# Those in other languages than C have commands and output of their own, which are left out where
# the language is missing. Several languages may have the same output:
#
#     <!-- commands: python -->   <!-- output: python javascript -->
#
# Further commands, which must succeed, may stand in a comment that begins with a line `<!-- check`.
# An AFork that is not installed is found as the set-up of README says, and by nothing else. In the
# environment are the languages that the build has, AFORK_PAGE_LANGUAGES, and the Python that has
# PyGObject, AFORK_PAGE_PYTHON.

set -eu

readme=$1
build_root=$2
page=$3
shift 3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# block PAGE MARK [LANGUAGE]: the text of the block below <!-- MARK --> or, with a language, below
# <!-- MARK: LANGUAGE... -->
block ()
{
  awk -v mark="$2" -v language="${3-}" '
    BEGIN { start = "<!-- " mark (language == "" ? " " : ": ") }
    index ($0, start) == 1 && (language == "" || index ($0, " " language " ")) { marked = 1; next }
    marked && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }
  ' "$1"
}

for name in $(sed -n 's/^<!-- file: \(.*\) -->$/\1/p' "$page"); do
  block "$page" file "$name" > "$folder/$name"
done
block "$readme" set-up > "$folder/set-up"
sed -n '/^<!-- check$/,/^-->$/p' "$page" | sed '1d;$d' > "$folder/check"

if [ ! -s "$folder/set-up" ] || ! grep -q '^<!-- commands' "$page"; then
  echo "$readme has no set-up, or $page no commands." >&2
  exit 1
fi

# The page's `cc` is the compiler of this build, and its build/gcc is this build. What the
# environment says of where things are does not count.
cd "$folder"
mkdir build
ln -s "$build_root" build/gcc
unset AFORK_EVAL AFORK_MODULE_PATH AFORK_SERVER GI_TYPELIB_PATH LD_LIBRARY_PATH PKG_CONFIG_PATH
{
  printf 'set -eu\n'
  printf 'cc () { command %s -Wall -Wextra -Wno-unused-parameter -Werror "$@"; }\n' "$*"
  printf 'python3 () { command "%s" -B "$@"; }\n' "${AFORK_PAGE_PYTHON-python3}"
  printf 'valac () { command valac --vapidir=build/gcc/introspection -X -w "$@"; }\n'
  cat set-up
} > before

# is_there LANGUAGE
is_there ()
{
  case " ${AFORK_PAGE_LANGUAGES-} " in
    *" $1 "*) ;;
    *) return 1 ;;
  esac
  case $1 in
    python) "$AFORK_PAGE_PYTHON" -c 'import gi' ;;
    javascript) command -v gjs ;;
    vala) command -v valac ;;
  esac > /dev/null 2>&1
}

# try [LANGUAGE]: its commands, which print its output
try ()
{
  block "$page" commands "$@" > commands
  block "$page" output "$@" > expected
  cat before commands > script
  sh script > output
  diff -u expected output
}

grep -q '^<!-- commands -->$' "$page" && try
for language in $(sed -n 's/^<!-- commands: \(.*\) -->$/\1/p' "$page"); do
  if is_there "$language"; then
    try "$language"
  else
    echo "The programs in $language are left out, because something for that language is missing."
  fi
done

cat before check > check-script
sh check-script || {
  echo "One of these commands of $page failed:" >&2
  cat check >&2
  exit 1
}
