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
  gint64          resident_memory;  /* in bytes */
  gint64          cpu_time;     /* in seconds */
  gint64          open_files;
  gint64          file_size;    /* in bytes */
  gboolean        has_filter;   /* some system calls end the process */
} AForkLimits;

/* Returns limits without any. */
AForkLimits *_afork_limits_new   (void);
AForkLimits *_afork_limits_ref   (AForkLimits       *self);
void         _afork_limits_unref (AForkLimits       *self);
/* How a process has ended. */
typedef struct
{
  int             signal;       /* that has ended it, or 0 */
  guint64         cpu_usec;     /* processor time, in microseconds, or 0 if it is not known */
  guint64         answer_usec;  /* how much of it was used when the last call was answered, or 0 */
  const char     *system_call;  /* that ended it, or NULL if it is not known */
  const char     *text;         /* the end of its standard error output */
} AForkLimitsEnd;

/* Returns an error if the process NAME has ended because of its limits, or NULL. */
GError      *_afork_limits_explain (const AForkLimits    *self,
                                    const char           *name,
                                    const AForkLimitsEnd *end);

/* Replaces ERROR, which a function of the process has returned, if a limit was the reason. */
void         _afork_limits_name     (const AForkLimits    *self,
                                     GError              **error);

/* Returns the stricter of both, of which one may be NULL. */
AForkLimits *_afork_limits_merge (const AForkLimits *self,
                                  const AForkLimits *other);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkLimits, _afork_limits_unref)

G_END_DECLS
