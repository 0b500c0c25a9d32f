/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Where a new process finds its command socket. */
typedef enum
{
  AFORK_SPAWN_SOCKET_NUMBERED,    /* at descriptor 3; --socket=3 is added to the arguments */
  AFORK_SPAWN_SOCKET_HIDDEN,      /* the same with --afork-socket=3, which no program uses */
  AFORK_SPAWN_SOCKET_STANDARD     /* as standard input and output */
} AForkSpawnSocket;

enum { AFORK_SPAWN_SOCKET_NUMBER = 3 };

#define AFORK_SPAWN_HIDDEN_ARGUMENT "--afork-socket=3"

/* Executes ARGV, whose first string is looked up in PATH if it has no slash, as a child of this
 * process. If ENVIRONMENT or WORKING_DIRECTORY is NULL, it is that of this process. The child has
 * the descriptors 0, 1 and 2 of this process and SOCKET, and no other; its signals are unblocked
 * and have their default actions.
 *
 * Takes SOCKET, which is close-on-exec. Returns the child's pid and its pidfd, see
 * _afork_pidfd_open_child(). Fails with AFORK_ERROR_SPAWN; a child that cannot be watched is
 * killed, and reaped in the thread-default main context. */
gboolean _afork_spawn (const char * const  *argv,
                       const char * const  *environment,
                       const char          *working_directory,
                       AForkSpawnSocket     how,
                       int                  socket,
                       GPid                *pid,
                       int                 *pidfd,
                       GError             **error);

G_END_DECLS
