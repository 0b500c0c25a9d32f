# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

from gi.repository import GObject

class FrameClock(GObject.Object):
    def get_frame_time(self) -> int: ...

class RGBA:
    def parse(self, spec: str) -> bool: ...
