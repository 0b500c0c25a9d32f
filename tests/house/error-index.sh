#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# error-index.sh SOURCE-ROOT
#
# Checks that the index of errors in the manual has one row for each code of the header, sorted.

set -eu
export LC_ALL=C

cd "$1"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

sed -n 's/^ \* @\(AFORK_ERROR_[A-Z_]*\):.*/\1/p' afork/afork-error.h | sort > "$folder/codes"
sed -n 's/^| `\(AFORK_ERROR_[A-Z_]*\)` |.*/\1/p' docs/errors.md > "$folder/rows"

[ -s "$folder/codes" ]
if ! diff -u --label docs/errors.md --label afork/afork-error.h "$folder/rows" "$folder/codes" >&2
then
  echo "docs/errors.md does not have one row for each error code, sorted." >&2
  exit 1
fi
