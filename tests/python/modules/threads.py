# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Starts a thread when it is imported."""

import threading


def pump(event):
    event.wait()


threading.Thread(target=pump, args=(threading.Event(),), name="the pump", daemon=True).start()
