/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What tests have in common whose processes have the module `life`. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* One that is executed, and has the module. */
AForkProcess *new_executed (void);

/* The next line of what the worker says. */
void          assert_line  (GSocketConnection *connection,
                            const char        *expected);

/* Returns the number, which the process itself, running write_pid(), agrees with. */
GPid          assert_pid   (AForkProcess      *process,
                            GSocketConnection *connection);

/* A source that counts how often it is dispatched in the guint that it is given. */
gboolean      count_cb     (gpointer           data);

G_END_DECLS
