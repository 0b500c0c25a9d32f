/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "client/client.h"

G_BEGIN_DECLS

/* A log of the commands of a process, to be replayed to another process. */
typedef struct _AForkCommandLog AForkCommandLog;

AForkCommandLog *_afork_command_log_new      (void);
AForkCommandLog *_afork_command_log_copy     (AForkCommandLog  *self);
void             _afork_command_log_free     (AForkCommandLog  *self);

/* Adds FRAME, and a copy of FD unless that is -1. Returns false and sets errno if copying fails. */
gboolean         _afork_command_log_add      (AForkCommandLog  *self,
                                              const AForkFrame *frame,
                                              int               fd);
void             _afork_command_log_add_item (AForkCommandLog  *self,
                                              GBytes           *bytes);

/* Adds the failure of a command that could not be sent. */
void             _afork_command_log_fail     (AForkCommandLog  *self,
                                              const GError     *error);

/* Sends all commands to CLIENT. Fails CLIENT if a command is missing. */
void             _afork_command_log_replay   (AForkCommandLog  *self,
                                              AForkClient      *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCommandLog, _afork_command_log_free)

G_END_DECLS
