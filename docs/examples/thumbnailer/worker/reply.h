/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* The one line that a worker says, on its socket. */

void reply_ok    (int           socket,
                  int           width,
                  int           height);
void reply_error (int           socket,
                  const GError *error);
