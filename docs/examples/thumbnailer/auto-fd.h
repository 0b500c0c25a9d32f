/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>
#include <unistd.h>

/* A descriptor that is closed when it goes out of scope; -1 is none. */
typedef int AutoFd;

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (AutoFd, close, -1)
