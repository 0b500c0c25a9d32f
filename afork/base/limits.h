/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The limits of a process, for messages about its exit. -1 is no limit. NULL has none at all. */
typedef struct
{
  gatomicrefcount ref_count;
  gint64          memory;       /* in bytes */
  gint64          cpu_time;     /* in seconds */
  gint64          open_files;
  gint64          file_size;    /* in bytes */
  gboolean        has_filter;   /* some system calls end the process */
} AForkLimits;

/* Returns limits without any. */
AForkLimits *_afork_limits_new   (void);
AForkLimits *_afork_limits_ref   (AForkLimits       *self);
void         _afork_limits_unref (AForkLimits       *self);
/* Returns the stricter of both, of which one may be NULL. */
AForkLimits *_afork_limits_merge (const AForkLimits *self,
                                  const AForkLimits *other);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkLimits, _afork_limits_unref)

G_END_DECLS
