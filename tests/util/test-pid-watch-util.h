/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests whose processes have the module `lifecycle`. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* A new process that is executed and has the module. */
AForkProcess *new_executed (void);

/* Reads a line that the worker sends, which must be EXPECTED. */
void          assert_line  (GSocketConnection *connection,
                            const char        *expected);

/* Reads the pid that the worker, which runs write_pid(), sends. It must be the pid that the object
 * has. Returns it. */
GPid          assert_pid   (AForkProcess      *process,
                            GSocketConnection *connection);

/* A GSourceFunc whose data is a guint: counts how often the source is dispatched. */
gboolean      count_cb     (gpointer           data);

G_END_DECLS
