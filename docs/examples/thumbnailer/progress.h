/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"

/*
 * How far the work is: a bar that is drawn over and over on a terminal, a line for each picture
 * elsewhere. Freed, it takes the bar away.
 */
typedef struct _Progress Progress;

Progress *progress_new     (guint          n_pictures);
void      progress_free    (Progress      *self);

void      progress_advance (Progress      *self,
                            const Picture *picture);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Progress, progress_free)
