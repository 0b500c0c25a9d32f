/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-lifeline-private.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>

#include "afork-belonging-private.h"
#include "afork-context-private.h"
#include "afork-fd-private.h"

struct _AForkLifeline
{
  AForkBelonging  belonging;    /* the pipe */
  gatomicrefcount ref_count;
  int             fd;           /* nothing is ever written to it; -1 once forgotten */
  GSource        *source;       /* for what lives on when the references are gone, or NULL */
};

static void
lifeline_free (AForkLifeline *self)
{
  _afork_belonging_end (&self->belonging);
  _afork_source_clear (&self->source);
  _afork_fd_clear (&self->fd);
  g_free (self);
}

static void
forget (gpointer data)
{
  AForkLifeline *self = data;

  _afork_fd_clear (&self->fd);
  if (self->source != NULL)
    lifeline_free (self);
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
  theirs = _afork_fd_own (_afork_fd_avoid_standard (fds[0]));
  ours = _afork_fd_own (_afork_fd_avoid_standard (fds[1]));
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

/* Whether a process still has the other end: no reader is an error to a writer. */
static gboolean
is_held (AForkLifeline *self)
{
  struct pollfd unread = { .fd = self->fd };

  return self->fd >= 0 && poll (&unread, 1, 0) == 0;
}

static gboolean
released_cb (int          fd,
             GIOCondition condition,
             gpointer     data)
{
  lifeline_free (data);
  return G_SOURCE_REMOVE;
}

/* The default context is the one that most likely turns. If it does not, the pipe stays, and no
 * harm is done. */
static void
await_release (AForkLifeline *self)
{
  self->source = g_unix_fd_source_new (self->fd, G_IO_ERR);
  g_source_set_static_name (self->source, "[afork] lifeline");
  g_source_set_callback (self->source, G_SOURCE_FUNC (released_cb), self, NULL);
  g_source_attach (self->source, NULL);
}

/* Others may have forked a process that was given to them, and it may have children of its own:
 * then it is not the end of all when those that are known here have ended. */
void
_afork_lifeline_unref (AForkLifeline *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  if (is_held (self))
    await_release (self);
  else
    lifeline_free (self);
}
