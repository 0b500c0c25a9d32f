/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-lifeline-private.h"

#include <fcntl.h>

#include "afork-belonging-private.h"
#include "afork-fd-private.h"

struct _AForkLifeline
{
  AForkBelonging  belonging;    /* the pipe */
  gatomicrefcount ref_count;
  int             fd;           /* nothing is ever written to it */
};

static void
forget (gpointer data)
{
  AForkLifeline *self = data;

  _afork_fd_clear (&self->fd);
}

AForkLifeline *
_afork_lifeline_new (int *fd)
{
  g_auto(AForkFd) theirs = -1;
  g_auto(AForkFd) ours = -1;
  AForkLifeline *self;
  int fds[2];

  if (pipe2 (fds, O_CLOEXEC) < 0)
    return NULL;
  theirs = _afork_fd_avoid_standard (fds[0]);
  ours = _afork_fd_avoid_standard (fds[1]);
  if (theirs < 0 || ours < 0)
    return NULL;

  self = g_new0 (AForkLifeline, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->fd = g_steal_fd (&ours);
  _afork_belonging_begin (&self->belonging, forget, self);
  *fd = g_steal_fd (&theirs);
  return self;
}

AForkLifeline *
_afork_lifeline_ref (AForkLifeline *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_lifeline_unref (AForkLifeline *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _afork_belonging_end (&self->belonging);
  _afork_fd_clear (&self->fd);
  g_free (self);
}
