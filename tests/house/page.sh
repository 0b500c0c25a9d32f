#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# page.sh README BUILD-ROOT PAGE COMPILER...
#
# Checks the programs in a page of prose: compiles them from the text of the page, with the commands
# of the page, and compares their output with the page. Each program, list of commands and output is
# a block between ``` below one of
#
#     <!-- file: NAME -->   <!-- commands -->   <!-- output -->
#
# Programs in other languages than C have commands and output of their own, which are left out if
# the language is missing. Several languages may have the same output:
#
#     <!-- commands: python -->   <!-- output: python javascript -->
#
# Commands that need gdb, valgrind, AnyEvent::Fork for Perl, or GTK and a display are marked `gdb`,
# `valgrind`, `perl` or `gtk` in the same way.
#
# A comment that begins with a line `<!-- check` may have further commands, which must succeed. The
# variable source_root is the source tree there.
#
# An AFork that is not installed is found only through the set-up in README. In the environment,
# AFORK_PAGE_LANGUAGES lists the languages of the build, and AFORK_PAGE_PYTHON is the Python that
# has PyGObject. If BUILD-ROOT is `installed`, the programs use the installed AFork, without the
# set-up.

set -eu

readme=$1
build_root=$2
page=$3
shift 3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# block PAGE MARK [LANGUAGE]: prints the text of the block below <!-- MARK --> or, with a language,
# below <!-- MARK: LANGUAGE... -->
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

# The `cc` of the page is the compiler of this build, and the build/gcc of the page is this build.
# Variables in the environment that name places of files are not used.
cd "$folder"
vapi=''
if [ "$build_root" = installed ]; then
  : > set-up
else
  mkdir build
  ln -s "$build_root" build/gcc
  vapi=--vapidir=build/gcc/introspection
fi
# Each host of a page is this machine: instead of ssh, a shell here executes the remote command.
mkdir bin
cat > bin/ssh << EOF
#!/bin/sh
for word; do :; done
PATH="$build_root/afork/server:\$PATH" exec sh -c "\$word"
EOF
chmod +x bin/ssh
export PATH="$folder/bin:$PATH"
unset AFORK_EVAL AFORK_MODULE_PATH AFORK_SERVER GI_TYPELIB_PATH GJS_PATH LD_LIBRARY_PATH \
  PKG_CONFIG_PATH PYTHONPATH
# The vapi of GLib does not declare all that is constant. What valac writes is meant for gcc.
case $* in
  *clang*) vala_warnings='-X -w' ;;
  *) vala_warnings='-X -Werror -X -Wno-discarded-qualifiers' ;;
esac
{
  printf 'set -eu\n'
  printf "source_root='%s'\n" "${readme%/*}"
  printf 'cc () { command %s -Wall -Wextra -Wno-unused-parameter -Werror "$@"; }\n' "$*"
  printf 'python3 () { command "%s" -B "$@"; }\n' "${AFORK_PAGE_PYTHON-python3}"
  printf 'valac () { command valac --fatal-warnings %s %s "$@"; }\n' "$vala_warnings" "$vapi"
  cat set-up
} > before

# is_there LANGUAGE: succeeds if programs in the language, or a tool of that name, can run here
is_there ()
{
  case $1 in
    gdb | valgrind) command -v "$1" > /dev/null; return ;;
    perl) perl -MAnyEvent::Fork -e 1 2> /dev/null; return ;;
    gtk) [ -n "${DISPLAY-}" ] && pkg-config --exists gtk4; return ;;
  esac
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

# try [LANGUAGE]: runs the commands of the language, and compares their output with the page
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
    echo "The commands for $language are left out, because something for them is missing."
  fi
done

cat before check > check-script
sh check-script || {
  echo "One of these commands of $page failed:" >&2
  cat check >&2
  exit 1
}
