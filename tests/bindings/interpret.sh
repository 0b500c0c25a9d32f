#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# interpret.sh INTERPRETER FILE [ARGUMENT...]
#
# Runs a test written in Python or JavaScript. 77 is how a test says that it was skipped.

set -eu

skip ()
{
  echo "skipped: $1"
  exit 77
}

command -v "$1" > /dev/null || skip "$1 is not installed"

interpreter=$1
shift
case $1 in
  *.py)
    "$interpreter" -c 'import gi' 2> /dev/null || skip "$interpreter has no PyGObject"
    exec "$interpreter" -B "$@"
    ;;
  *.js)
    exec "$interpreter" -m "$@"
    ;;
esac
