# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

import asyncio

class GLibEventLoopPolicy(asyncio.DefaultEventLoopPolicy): ...
