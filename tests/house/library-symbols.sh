#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# library-symbols.sh LIBRARY
#
# Checks that the library exports only symbols that start with afork_.

set -eu

symbols=$(nm --dynamic --defined-only --format=posix "$1" | awk '{ print $1 }')
others=$(echo "$symbols" | grep -v '^afork_' || true)

if [ -n "$others" ]; then
  echo "$1 exports more than its API:" $others >&2
  exit 1
fi

# An empty list would prove nothing.
echo "$symbols" | grep -qx afork_process_get_type
