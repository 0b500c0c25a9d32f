#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# suppressions.sh FILE
#
# Checks that FILE, the suppressions of the thread sanitizer, names nothing of AFork: what is
# reported in its functions is its own fault. A pattern without a name would match everything.

set -eu

if grep -v '^#' "$1" | grep -i -e afork -e ':\**$'; then
  echo "$1 suppresses reports in functions of AFork" >&2
  exit 1
fi
grep -q '^[a-z_]*:' "$1"
