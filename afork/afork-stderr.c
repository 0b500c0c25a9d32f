/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-stderr-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>

#include "afork-belonging-private.h"
#include "afork-context-private.h"
#include "afork-fd-private.h"
#include "afork-runtime.h"

enum
{
  /* A pipe that poll() calls writable takes as much without blocking. */
  CHUNK_SIZE = PIPE_BUF,
  MAX_KEPT = 2048,
  MAX_LINES = 10,
  /* Of a worker that ended while its children go on writing, no more than this is read. */
  MAX_REST = 1024 * 1024,
};

struct _AForkStderr
{
  AForkBelonging belonging;
  int            fd;            /* the pipe's end, or -1 */
  gboolean       forward;
  GString       *kept;
  GSource       *source;        /* or NULL */
  gpointer       pipe_tag;
  gpointer       output_tag;    /* NULL unless our output has no room */
};

/* A pipe that nobody reads has none: who wrote to it would be ended by a signal. */
static gboolean
has_output_room (void)
{
  struct pollfd entry = { .fd = STDERR_FILENO, .events = POLLOUT };

  return poll (&entry, 1, 0) > 0 && (entry.revents & (POLLOUT | POLLERR)) == POLLOUT;
}

static void
keep (AForkStderr *self,
      const char  *bytes,
      gsize        n_bytes)
{
  g_string_append_len (self->kept, bytes, (gssize) n_bytes);
  if (self->kept->len > MAX_KEPT)
    g_string_erase (self->kept, 0, (gssize) (self->kept->len - MAX_KEPT));
}

/* Reads once, and passes on. 0 or less if there was nothing. */
static gssize
transfer (AForkStderr *self,
          gboolean     forward)
{
  char chunk[CHUNK_SIZE];
  gssize n_bytes;

  do
    n_bytes = read (self->fd, chunk, sizeof chunk);
  while (n_bytes < 0 && errno == EINTR);
  if (n_bytes <= 0)
    return n_bytes;

  keep (self, chunk, (gsize) n_bytes);
  /* Nothing can be done where it fails. */
  if (forward)
    (void) !write (STDERR_FILENO, chunk, (gsize) n_bytes);
  return n_bytes;
}

static void
stop (AForkStderr *self)
{
  _afork_source_clear (&self->source);
  _afork_fd_clear (&self->fd);
}

/* While our own output has no room, the worker's waits in the pipe. */
static void
wait_for_output (AForkStderr *self,
                 gboolean     wait)
{
  if (wait == (self->output_tag != NULL))
    return;

  g_source_modify_unix_fd (self->source, self->pipe_tag, wait ? 0 : G_IO_IN);
  if (wait)
    self->output_tag = g_source_add_unix_fd (self->source, STDERR_FILENO, G_IO_OUT);
  else
    g_source_remove_unix_fd (self->source, g_steal_pointer (&self->output_tag));
}

static gboolean
ready_cb (gpointer data)
{
  AForkStderr *self = data;
  gssize n_bytes;

  if (self->forward && self->output_tag != NULL
      && (g_source_query_unix_fd (self->source, self->output_tag) & (G_IO_ERR | G_IO_NVAL)) != 0)
    self->forward = FALSE;
  if (self->forward && !has_output_room ())
    {
      wait_for_output (self, TRUE);
      return G_SOURCE_CONTINUE;
    }

  wait_for_output (self, FALSE);
  n_bytes = transfer (self, self->forward);
  if (n_bytes == 0 || (n_bytes < 0 && errno != EAGAIN))
    stop (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  return callback (data);
}

static GSourceFuncs source_funcs = { .dispatch = source_dispatch };

static void
forget_copy (gpointer data)
{
  stop (data);
}

static void
attach (AForkStderr  *self,
        GMainContext *context)
{
  self->source = g_source_new (&source_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "[afork] worker's standard error output");
  self->pipe_tag = g_source_add_unix_fd (self->source, self->fd, G_IO_IN);
  self->output_tag = NULL;
  g_source_set_callback (self->source, ready_cb, self, NULL);
  g_source_attach (self->source, context);
}

AForkStderr *
_afork_stderr_new (AForkProcess *process,
                   GMainContext *context,
                   gboolean      forward)
{
  AForkStderr *self;
  int fds[2];

  if (!afork_runtime_get_can_pass_fds (afork_process_get_runtime (process))
      || !g_unix_open_pipe (fds, FD_CLOEXEC, NULL))
    return NULL;

  self = g_new0 (AForkStderr, 1);
  _afork_belonging_begin (&self->belonging, forget_copy, self);
  self->fd = _afork_fd_avoid_standard (fds[0]);
  self->forward = forward;
  self->kept = g_string_new (NULL);
  afork_process_map_fd (process, fds[1], STDERR_FILENO);
  _afork_fd_close (fds[1]);
  if (self->fd < 0)
    return self;

  g_unix_set_fd_nonblocking (self->fd, TRUE, NULL);
  attach (self, context);
  return self;
}

void
_afork_stderr_set_context (AForkStderr  *self,
                           GMainContext *context)
{
  if (self->source == NULL)
    return;

  _afork_source_clear (&self->source);
  attach (self, context);
}

void
_afork_stderr_free (AForkStderr *self)
{
  stop (self);
  _afork_belonging_end (&self->belonging);
  g_string_free (self->kept, TRUE);
  g_free (self);
}

const char *
_afork_stderr_finish (AForkStderr *self)
{
  gsize n_left = MAX_REST;
  const char *start;
  int n_lines = 0;

  while (self->fd >= 0 && n_left >= CHUNK_SIZE
         && transfer (self, self->forward && has_output_room ()) > 0)
    n_left -= CHUNK_SIZE;
  stop (self);

  while (self->kept->len > 0 && g_ascii_isspace (self->kept->str[self->kept->len - 1]))
    g_string_truncate (self->kept, self->kept->len - 1);
  for (start = self->kept->str + self->kept->len; start > self->kept->str; start--)
    if (start[-1] == '\n' && ++n_lines == MAX_LINES)
      break;
  g_string_erase (self->kept, 0, start - self->kept->str);

  /* A message is UTF-8, whatever the worker wrote. */
  {
    char *valid = g_utf8_make_valid (self->kept->str, (gssize) self->kept->len);

    g_string_assign (self->kept, valid);
    g_free (valid);
  }
  return self->kept->str;
}
