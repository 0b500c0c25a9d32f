/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Returns an error that says how a process exited: AFORK_ERROR_EXITED or AFORK_ERROR_SIGNALED for a
 * WAIT_STATUS as from waitpid(), and AFORK_ERROR_LOST for -1, which is unknown. NAME begins the
 * message. The second function is for a process that exited before its function was entered. */
GError *_afork_exit_error_new       (const char *name,
                                     int         wait_status);
GError *_afork_exit_error_new_early (const char *name,
                                     int         wait_status);

G_END_DECLS
