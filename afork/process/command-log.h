/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "client/client.h"

G_BEGIN_DECLS

/* The commands of a process in their order, to be replayed to another process. A log does not
 * change: adding a command makes a log that is longer by one. So a fork shares the log of its
 * template. NULL is the empty log.
 *
 * The functions that make a longer log take SELF. They may be called in any thread. */
typedef struct _AForkCommandLog AForkCommandLog;

AForkCommandLog *_afork_command_log_ref         (AForkCommandLog  *self);
void             _afork_command_log_unref       (AForkCommandLog  *self);

/* Adds FRAME, and a copy of FD unless that is -1. Returns false and sets errno if copying fails. */
gboolean         _afork_command_log_add         (AForkCommandLog **self,
                                                 const AForkFrame *frame,
                                                 int               fd);
void             _afork_command_log_add_item    (AForkCommandLog **self,
                                                 GBytes           *bytes);
/* Adds the failure of a command that could not be sent. Replaying it fails the process. */
void             _afork_command_log_add_failure (AForkCommandLog **self,
                                                 const GError     *error);

/* Why a log cannot be replayed, because it does not have all commands. */
typedef enum
{
  AFORK_COMMAND_LOG_COMPLETE,
  AFORK_COMMAND_LOG_TAKEN_OVER,         /* the first commands came from another program */
  AFORK_COMMAND_LOG_TOO_LARGE,          /* see _afork_command_log_limit() */
  AFORK_COMMAND_LOG_HAD_FD,             /* a descriptor was sent, which was not kept */
} AForkCommandLogLoss;

/* Removes all commands. The log cannot be replayed, and no commands are added to it from now on. */
void             _afork_command_log_lose        (AForkCommandLog    **self,
                                                 AForkCommandLogLoss  loss);
/* The same with AFORK_COMMAND_LOG_TOO_LARGE, if the commands take more than 1 MiB. */
void             _afork_command_log_limit       (AForkCommandLog    **self);
AForkCommandLogLoss _afork_command_log_get_loss (AForkCommandLog     *self);

/* Returns the modules that the commands load, or NULL if there are commands of other kinds. A file
 * is an absolute path. */
GStrv            _afork_command_log_dup_modules (AForkCommandLog     *self);

/* Sends all commands to CLIENT. The log must be complete. */
void             _afork_command_log_replay      (AForkCommandLog     *self,
                                                 AForkClient         *client);
/* The same without the commands of BASE, with which SELF begins. */
void             _afork_command_log_replay_after (AForkCommandLog    *self,
                                                 AForkCommandLog     *base,
                                                 AForkClient         *client);

G_END_DECLS
