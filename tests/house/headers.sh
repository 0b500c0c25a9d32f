#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# headers.sh c|c++ SOURCE-ROOT BUILD-ROOT COMPILER...
#
# Checks that each header compiles on its own, without a warning, in the given language: the
# installed headers, the headers of the wire, and for C also the private headers. The headers that
# <afork/afork.h> includes must refuse to be included without it.

set -eu

language=$1
source_root=$2
build_root=$3
shift 3

failed=0

# compile PREPROCESSOR-TEXT FLAGS...
compile ()
{
  text=$1
  shift
  printf '%s\n' "$text" |
    "$compiler" "$@" -x "$language" -fsyntax-only -Wall -Wextra -Wundef -Werror -
}

fail ()
{
  echo "$1" >&2
  failed=1
}

# The compiler may be several words, for example `ccache gcc`.
compiler=env

compile '#include <afork/worker/afork-worker.h>' "$@" -I"$source_root" ||
  fail "afork-worker.h does not compile without GLib"

set -- "$@" -I"$source_root" -I"$source_root/afork" -I"$build_root" \
  $("$PKG_CONFIG" --cflags gio-unix-2.0)
compile '#include <afork/afork.h>' "$@" ||
  fail "afork.h does not compile"

for path in "$source_root"/afork/*.h "$build_root"/afork/*.h \
            "$source_root"/afork/*/*.h "$source_root"/afork/*/*/*.h; do
  header=afork/${path##*/afork/}
  public=
  case $header in
    afork/afork.h | afork/worker/afork-worker.h) continue ;;
    afork/wire/*) ;;
    *-private.h) [ "$language" = c ] || continue ;;
    afork/worker/afork-call.h) public=yes ;;
    afork/*/*) [ "$language" = c ] || continue ;;
    *) public=yes ;;
  esac

  compile "#include <$header>" "$@" -D_GNU_SOURCE -DAFORK_COMPILATION ||
    fail "$header does not compile"

  [ -n "$public" ] || continue
  ! compile "#include <$header>" "$@" 2>/dev/null ||
    fail "$header can be included without afork.h"
done

exit $failed
