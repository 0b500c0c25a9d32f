/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The calling program as a server of its own functions: forked as it is, or executed again. */

/* Returns false and an error that names the threads if this process has more than one. */
gboolean _afork_self_server_check_threads (GError                    **error);

/* Forks this process, which must have one thread, into a template that serves SOCKET. Returns its
 * pid and a pidfd of it, see _afork_pidfd_open_child(). Takes SOCKET. Fails with AFORK_ERROR_SPAWN:
 * *PID is 0 if there is no child, else the child cannot be watched and the caller has to kill and
 * reap it. */
gboolean _afork_self_server_fork          (int                         socket,
                                           GPid                       *pid,
                                           int                        *pidfd,
                                           GError                    **error);

/* Serves SOCKET in this process, which has executed the program and has the arguments of main().
 * Returns only if SOCKET is not a stream socket. */
void     _afork_self_server_main          (int                         argc,
                                           char                      **argv,
                                           int                         socket);

G_END_DECLS
