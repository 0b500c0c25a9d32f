#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# potfiles.sh SOURCE-ROOT
#
# Checks that po/POTFILES.in lists, sorted, the sources of the library that have text to translate.

set -eu
export LC_ALL=C

cd "$1"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

grep -v -e '^#' -e '^$' po/POTFILES.in > "$folder/listed" || true
grep -rlE '(^|[^[:alnum:]_])[NC]?_ ?\("' --include='*.c' afork | sort > "$folder/needed" || true

if ! diff -u --label po/POTFILES.in --label 'sources with _ ()' \
     "$folder/listed" "$folder/needed" >&2; then
  echo "po/POTFILES.in is not the sorted list of sources with text to translate." >&2
  exit 1
fi
