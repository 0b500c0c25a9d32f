# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

class Point:
    def init(self, x: float, y: float) -> Point: ...

class Rect:
    def init(self, x: float, y: float, width: float, height: float) -> Rect: ...
