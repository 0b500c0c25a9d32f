# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# As much of PyGObject and GLib as the declarations of AFork and the checked programs use. To check
# other programs, install PyGObject-stubs, beside which those of AFork are installed.

def require_version(namespace: str, version: str) -> None: ...
