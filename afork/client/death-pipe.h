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
typedef struct _AForkLifeline AForkLifeline;

/* *FD becomes the reading end. NULL and errno on failure. */
AForkLifeline *_afork_lifeline_new   (int           *fd);
AForkLifeline *_afork_lifeline_ref   (AForkLifeline *self);
void           _afork_lifeline_unref (AForkLifeline *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkLifeline, _afork_lifeline_unref)

G_END_DECLS
