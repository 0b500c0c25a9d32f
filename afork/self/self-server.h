/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "base/context-wakeup.h"

G_BEGIN_DECLS

/* The calling program as a server of its own functions: forked as it is, or executed again. */

/* False, and an error that names them, if this process has more threads than one. */
gboolean _afork_self_server_check_threads (GError                    **error);

/* Forks this process, which was just found to have one thread, into a template that serves SOCKET;
 * returns its pid and a pidfd of it, as _afork_spawn() does. Takes SOCKET. Fails with
 * AFORK_ERROR_SPAWN. */
gboolean _afork_self_server_fork          (int                         socket,
                                           GPid                       *pid,
                                           int                        *pidfd,
                                           GError                    **error);

/* Serves SOCKET with the native runtime and the program's own functions. WAKEUPS are this
 * process's; FORKED says whether it was. */
void     _afork_self_server_serve         (int                         socket,
                                           gboolean                    forked,
                                           const AForkContextWakeups  *wakeups) G_GNUC_NORETURN;

G_END_DECLS
