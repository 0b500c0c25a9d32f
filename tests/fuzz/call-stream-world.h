/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Included before each source file of the stream in fuzz-call-stream. Memory for a message of up to
 * a gigabyte, most of which never comes, takes a sanitizer long, so here there is only a limited
 * amount. Everything else is real. */

#pragma once

#include "config.h"

#include <glib.h>

enum { WORLD_MAX_MESSAGE = 512 * 1024 };

gpointer world_try_malloc (gsize size);

#define g_try_malloc(size) world_try_malloc (size)
