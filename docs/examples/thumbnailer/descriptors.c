/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "descriptors.h"

#include <errno.h>
#include <gio/gio.h>
#include <sys/resource.h>

#define PER_WORKER 8    /* a worker has three; while it is started, some more */
#define RESERVED   20   /* for the template, the main loop, and files that are open for a moment */

static guint
count_open (void)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Returns how many descriptors this program may have. */
static guint
raise_limit (guint wanted)
{
  struct rlimit limit;
  rlim_t before;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return wanted;

  before = limit.rlim_cur;
  limit.rlim_cur = MAX (before, MIN (limit.rlim_max, wanted));
  if (limit.rlim_cur != before && setrlimit (RLIMIT_NOFILE, &limit) < 0)
    limit.rlim_cur = before;
  return (guint) MIN (limit.rlim_cur, G_MAXINT);
}

/* The thumbnails of a sheet are opened when no picture is open any more. */
void
descriptor_plan_fit (DescriptorPlan *self,
                     guint           n_files)
{
  const guint used = count_open () + RESERVED;
  const guint wanted = used + self->n_workers * PER_WORKER
                       + MAX (self->n_pictures * n_files, self->n_shown + 1);
  const guint limit = raise_limit (wanted);
  guint n_free = limit > used ? limit - used : 0;

  if (limit >= wanted)
    return;

  self->n_workers = CLAMP (n_free / (PER_WORKER + n_files), 1, self->n_workers);
  n_free -= MIN (n_free, self->n_workers * PER_WORKER);
  self->n_pictures = CLAMP (n_free / n_files, 1, self->n_pictures);
  if (self->n_shown > 0)
    self->n_shown = CLAMP (n_free, 2, self->n_shown + 1) - 1;
}

gboolean
descriptors_are_used_up (int error_number)
{
  return error_number == EMFILE || error_number == ENFILE;
}

int
descriptors_error_code (int error_number)
{
  return descriptors_are_used_up (error_number) ? G_IO_ERROR_TOO_MANY_OPEN_FILES
                                                : (int) g_io_error_from_errno (error_number);
}
