#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# interpret.sh INTERPRETER FILE
#
# Runs a test written in Python or JavaScript. 77 is how a test says that it was skipped.

set -eu

skip ()
{
  echo "skipped: $1"
  exit 77
}

command -v "$1" > /dev/null || skip "$1 is not installed"

case $2 in
  *.py)
    "$1" -c 'import gi' 2> /dev/null || skip "$1 has no PyGObject"
    exec "$1" -B "$2"
    ;;
  *.js)
    exec "$1" -m "$2"
    ;;
esac
