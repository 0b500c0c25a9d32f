/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "client/client.h"

G_BEGIN_DECLS

/* What a process was told, kept so that another one can be told the same. */
typedef struct _AForkCommandLog AForkCommandLog;

AForkCommandLog *_afork_command_log_new      (void);
AForkCommandLog *_afork_command_log_copy     (AForkCommandLog  *self);
void             _afork_command_log_free     (AForkCommandLog  *self);

/* Keeps FRAME, and a copy of FD unless that is -1. False and errno if the copy fails. */
gboolean         _afork_command_log_add      (AForkCommandLog  *self,
                                              const AForkFrame *frame,
                                              int               fd);
void             _afork_command_log_add_item (AForkCommandLog  *self,
                                              GBytes           *bytes);

/* There was something that could not be told, and ERROR is why. */
void             _afork_command_log_fail     (AForkCommandLog  *self,
                                              const GError     *error);

/* Tells CLIENT all of it; makes it fail where that is not all there was. */
void             _afork_command_log_replay   (AForkCommandLog  *self,
                                              AForkClient      *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCommandLog, _afork_command_log_free)

G_END_DECLS
