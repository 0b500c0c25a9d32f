/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A pipe that ends with this process, however that ends. The process that has the reading end, and
 * its forks, end then as well. So it is kept until all of them have ended: those that are known
 * here by references, and others by themselves. */
typedef struct _AForkDeathPipe AForkDeathPipe;

/* *FD becomes the reading end. NULL and errno on failure. */
AForkDeathPipe *_afork_death_pipe_new   (int            *fd);
AForkDeathPipe *_afork_death_pipe_ref   (AForkDeathPipe *self);
void            _afork_death_pipe_unref (AForkDeathPipe *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkDeathPipe, _afork_death_pipe_unref)

G_END_DECLS
