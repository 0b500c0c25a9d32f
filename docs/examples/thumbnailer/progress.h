/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"

/* Shows the progress: a bar that is drawn again and again on a terminal, a line for each picture
 * elsewhere. When it is freed, it removes the bar. */
typedef struct _Progress Progress;

/* If IS_QUIET is true, only failures are printed. */
Progress *progress_new     (guint          n_pictures,
                            gboolean       is_quiet);
void      progress_free    (Progress      *self);

void      progress_advance (Progress      *self,
                            const Picture *picture);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Progress, progress_free)
