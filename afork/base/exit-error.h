/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How a process exited, as an error: AFORK_ERROR_EXITED, AFORK_ERROR_SIGNALED, or AFORK_ERROR_LOST
 * for a WAIT_STATUS of -1, which is unknown; else it is as from waitpid(). NAME begins the message.
 * The second says that this was before the function of the process was entered. */
GError *_afork_exit_error_new       (const char *name,
                                     int         wait_status);
GError *_afork_exit_error_new_early (const char *name,
                                     int         wait_status);

G_END_DECLS
