# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The functions of from_multiprocessing.py."""

from collections import Counter
from typing import Any


def find_most_frequent(text: str) -> tuple[str, int]:
    return Counter(text).most_common(1)[0] if text else ("", 0)


def serve(call: Any, text: str) -> tuple[str, int]:
    return find_most_frequent(text)
