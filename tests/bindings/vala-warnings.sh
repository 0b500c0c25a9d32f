#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# vala-warnings.sh BUILD-FOLDER FILE.vala... -- COMPILER...
#
# Neither valac nor the C compiler may warn about programs in Vala. There are two exceptions: the
# vapi of GLib does not declare all constant pointers, and valac has no arrays of constant strings.

set -eu

build_root=$1
shift
files=
while [ "$1" != -- ]; do
  files="$files $1"
  shift
done
shift

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PKG_CONFIG_PATH="$build_root/meson-uninstalled"
flags="$(pkg-config --cflags afork-1 gio-unix-2.0) -Wno-discarded-qualifiers"
flags="$flags -Wno-incompatible-pointer-types"
n=0
for file in $files; do
  n=$((n + 1))
  cp "$file" "$folder/program$n.vala"
  # Warnings of the compiler are about the file in C, and so are its lines.
  (cd "$folder" && valac -C --fatal-warnings --vapidir="$build_root/introspection" --pkg afork-1 \
    --pkg gio-unix-2.0 --pkg posix "program$n.vala")
  # shellcheck disable=SC2086
  "$@" -fsyntax-only -Werror $flags "$folder/program$n.c" || {
    echo "The C of $file has warnings." >&2
    exit 1
  }
done
