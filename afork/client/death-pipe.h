/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A pipe whose writing end only this process has, so that it closes when this process exits, for
 * whatever reason. A process that has the reading end exits then, and so do its forks. The pipe
 * stays open until all of them have exited: the pid watches here have references, and for processes
 * that are not known here, the pipe waits until no reading end is left. */
typedef struct _AForkDeathPipe AForkDeathPipe;

/* Sets *FD to the reading end. Returns NULL and sets errno on failure. */
AForkDeathPipe *_afork_death_pipe_new   (int            *fd);
AForkDeathPipe *_afork_death_pipe_ref   (AForkDeathPipe *self);
void            _afork_death_pipe_unref (AForkDeathPipe *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkDeathPipe, _afork_death_pipe_unref)

G_END_DECLS
