/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Where a fresh process finds its command socket. */
typedef enum
{
  AFORK_SPAWN_SOCKET_NUMBERED,    /* at descriptor 3; --socket=3 is added to the arguments */
  AFORK_SPAWN_SOCKET_HIDDEN,      /* the same with --afork-socket=3, which is no program's own */
  AFORK_SPAWN_SOCKET_STANDARD     /* its standard input and output */
} AForkSpawnSocket;

enum { AFORK_SPAWN_SOCKET_NUMBER = 3 };

#define AFORK_SPAWN_HIDDEN_ARGUMENT "--afork-socket=3"

/* Executes ARGV, whose first string is looked up in PATH if it has no slash, as a child of this
 * process, without forking it. ENVIRONMENT is NULL for this process's own, WORKING_DIRECTORY for
 * its own. The child has the descriptors 0, 1 and 2 of this process and SOCKET, and no other; its
 * signals are unblocked and have their default actions.
 *
 * Takes SOCKET, which is close-on-exec. Returns the child's pid and a pidfd of it, which is -1
 * where it has been reaped already, or where there are no pidfds. Fails with AFORK_ERROR_SPAWN;
 * a child that cannot be watched is killed, and reaped in the thread-default main context. */
gboolean _afork_spawn (const char * const  *argv,
                       const char * const  *environment,
                       const char          *working_directory,
                       AForkSpawnSocket     how,
                       int                  socket,
                       GPid                *pid,
                       int                 *pidfd,
                       GError             **error);

G_END_DECLS
