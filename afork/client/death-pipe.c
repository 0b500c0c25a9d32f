/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "death-pipe.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/atfork.h"
#include "base/context.h"
#include "base/fd.h"

struct _AForkDeathPipe
{
  AForkAtforkHook atfork_hook;  /* for the pipe */
  guint           ref_count;
  int             fd;           /* the writing end; nothing is ever written to it; -1 in a child */
  GSource        *source;       /* waits for the last reader if there are no references, or NULL */
};

static AForkMutex mutex;        /* for COMMON, and for the fields of all death pipes */
/* The one pipe of this program. Each process gets a reading end that is opened for it, so the
 * program needs one descriptor for all of them. NULL if there is none, and if a pipe cannot be
 * opened again. */
static AForkDeathPipe *common;

static void
lock (void)
{
  /* A fork of the program makes its own pipe. */
  if (!_afork_mutex_lock (&mutex))
    common = NULL;
}

static void
death_pipe_free (AForkDeathPipe *self)
{
  if (self == common)
    common = NULL;
  _afork_atfork_remove_hook (&self->atfork_hook);
  _afork_source_clear (&self->source);
  _afork_fd_clear (&self->fd);
  g_free (self);
}

/* Called in a fork of the program, which has one thread. */
static void
atfork_child_cb (gpointer data)
{
  AForkDeathPipe *self = data;

  if (self == common)
    common = NULL;
  _afork_fd_clear (&self->fd);
  if (self->ref_count == 0)
    death_pipe_free (self);
}

/* Returns another reading end, or -1. It has its own file status flags. */
static int
open_end (AForkDeathPipe *self)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", self->fd);
  g_auto(AForkFd) fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

  return fd >= 0 ? _afork_fd_register (_afork_fd_avoid_standard (g_steal_fd (&fd))) : -1;
}

static AForkDeathPipe *
open_new (int *fd)
{
  g_auto(AForkFd) theirs = -1;
  g_auto(AForkFd) ours = -1;
  AForkDeathPipe *self;
  int fds[2];

  if (pipe2 (fds, O_CLOEXEC) < 0)
    return NULL;
  theirs = _afork_fd_register (_afork_fd_avoid_standard (fds[0]));
  ours = _afork_fd_register (_afork_fd_avoid_standard (fds[1]));
  if (theirs < 0 || ours < 0)
    return NULL;

  /* A process that has changed its user must be able to open the reading end again for its forks.
   * No process can open the pipe for writing by mistake. */
  fchmod (ours, S_IRUSR | S_IRGRP | S_IROTH);
  self = g_new0 (AForkDeathPipe, 1);
  self->ref_count = 1;
  self->fd = g_steal_fd (&ours);
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  *fd = g_steal_fd (&theirs);
  return self;
}

AForkDeathPipe *
_afork_death_pipe_new (int *fd)
{
  AForkDeathPipe *self = NULL;
  int another;

  lock ();
  if (common != NULL && (another = open_end (common)) >= 0)
    {
      self = common;
      _afork_source_clear (&self->source);
      self->ref_count++;
      *fd = another;
    }
  else if ((self = open_new (fd)) != NULL && common == NULL && (another = open_end (self)) >= 0)
    {
      _afork_fd_close (another);
      common = self;
    }
  _afork_mutex_unlock (&mutex);
  return self;
}

AForkDeathPipe *
_afork_death_pipe_ref (AForkDeathPipe *self)
{
  lock ();
  self->ref_count++;
  _afork_mutex_unlock (&mutex);
  return self;
}

/* Whether a process still has a reading end: without a reader, poll() reports POLLERR to the
 * writer. */
static gboolean
is_held (AForkDeathPipe *self)
{
  struct pollfd unread = { .fd = self->fd };

  return self->fd >= 0 && poll (&unread, 1, 0) == 0;
}

/* Another thread may have taken a reference meanwhile, or freed the death pipe. Then it has
 * destroyed the source. */
static gboolean
released_cb (int          fd,
             GIOCondition condition,
             gpointer     data)
{
  lock ();
  if (!g_source_is_destroyed (g_main_current_source ()))
    death_pipe_free (data);
  _afork_mutex_unlock (&mutex);
  return G_SOURCE_REMOVE;
}

/* The default context is the one that is most likely iterated. If it is not, the pipe stays open,
 * which does no harm. */
static void
await_release (AForkDeathPipe *self)
{
  self->source = g_unix_fd_source_new (self->fd, G_IO_ERR);
  g_source_set_static_name (self->source, "[afork] death pipe");
  g_source_set_callback (self->source, G_SOURCE_FUNC (released_cb), self, NULL);
  g_source_attach (self->source, NULL);
}

/* Another caller may have got a process by detaching it, and may have forked it. So some readers
 * may live when all processes that are known here have exited. */
void
_afork_death_pipe_unref (AForkDeathPipe *self)
{
  lock ();
  if (--self->ref_count == 0)
    {
      if (!_afork_atfork_is_inherited (&self->atfork_hook) && is_held (self))
        await_release (self);
      else
        death_pipe_free (self);
    }
  _afork_mutex_unlock (&mutex);
}
