#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# server-links.sh BINARY
#
# Checks that a binary links only the C library. This holds for the native server and its plugin,
# because each further mapping would make every fork slower.

set -eu

allowed='^(linux-(vdso|gate)\.so\.1|libc\.so\.6|libdl\.so\.2|/.*/ld-linux.*\.so\.[0-9]+)$'
others=$(ldd "$1" | awk '{ print $1 }' | grep -Ev "$allowed" || true)

if [ -n "$others" ]; then
  echo "$1 links more than the C library:" $others >&2
  exit 1
fi
