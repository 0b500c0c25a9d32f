/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "stderr-capture.h"

#include <errno.h>
#include <glib-unix.h>
#include <limits.h>
#include <string.h>

#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/write.h"

enum
{
  CHUNK_SIZE = PIPE_BUF,
  MAX_KEPT = 2048,
  MAX_LINES = 10,
  /* The most that is read after the worker has ended, because its children may go on writing. */
  MAX_REST = 1024 * 1024,
  /* How many bytes wait here while this program's output has no room. A worker that writes more
   * waits, too, for at most MAX_STALL (in microseconds) after the output took something last. */
  MAX_UNWRITTEN = 64 * 1024,
  MAX_STALL = G_USEC_PER_SEC,
  /* The time, in microseconds, after which to try an output again that polls as writable but takes
   * nothing: a terminal that has room for less than a character, or to which another process
   * writes. */
  RETRY_TIME = G_USEC_PER_SEC / 20,
};

/* Text is read from the worker's pipe into `unwritten`, and written from there to this program's
 * standard error output. The program never waits for that. There are three states:
 *
 * - the output takes all text;
 * - the output has no room: text waits in `unwritten`, and when that is full, in the pipe;
 * - the output has had no room for MAX_STALL: text is dropped until the output takes some again.
 *   A line then says how much is missing.
 *
 * After the worker's end, text that waits is still written, for at most MAX_STALL. */
struct _AForkStderrCapture
{
  AForkAtforkHook  atfork_hook;
  gatomicrefcount  ref_count;     /* held by the owner and by the source */
  int              fd;            /* the reading end of the pipe, or -1 */
  gboolean         forward;
  GString         *kept;          /* the end of the text, for errors */

  GByteArray      *unwritten;
  gboolean         dropping;      /* text after `unwritten` is dropped */
  guint64          n_dropped;     /* bytes that were dropped */
  gint64           stalled_since; /* 0 unless the output has no room */

  GSource         *source;        /* or NULL */
  gpointer         pipe_tag;      /* NULL unless the pipe is polled */
  gpointer         output_tag;    /* NULL unless the output is polled */
  gboolean         retries;       /* polling the output does not help: writes after a time */
};

static void
stderr_unref (gpointer data)
{
  AForkStderrCapture *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _afork_atfork_remove_hook (&self->atfork_hook);
  _afork_fd_clear (&self->fd);
  g_byte_array_unref (self->unwritten);
  g_string_free (self->kept, TRUE);
  g_free (self);
}

static void
stop (AForkStderrCapture *self)
{
  _afork_source_clear (&self->source);
  _afork_fd_clear (&self->fd);
}

static void
keep (AForkStderrCapture *self,
      const char         *bytes,
      gsize               n_bytes)
{
  g_string_append_len (self->kept, bytes, (gssize) n_bytes);
  if (self->kept->len > MAX_KEPT)
    g_string_erase (self->kept, 0, (gssize) (self->kept->len - MAX_KEPT));
}

/* Forwarding. */

static gboolean
has_room (AForkStderrCapture *self)
{
  return self->unwritten->len + CHUNK_SIZE <= MAX_UNWRITTEN;
}

static void
forward (AForkStderrCapture *self,
         const char         *bytes,
         gsize               n_bytes)
{
  if (!self->dropping && has_room (self))
    {
      g_byte_array_append (self->unwritten, (const guint8 *) bytes, (guint) n_bytes);
      return;
    }

  self->dropping = TRUE;
  self->n_dropped += n_bytes;
}

static void
append_text (AForkStderrCapture *self,
             const char         *text)
{
  g_byte_array_append (self->unwritten, (const guint8 *) text, (guint) strlen (text));
}

/* The output takes text again, the one that is still in `unwritten`. */
static void
stop_dropping (AForkStderrCapture *self)
{
  g_autofree char *notice = NULL;

  notice = g_strdup_printf (_("[%llu bytes of a worker’s standard error output were dropped]"),
                            (unsigned long long) self->n_dropped);
  if (self->unwritten->data[self->unwritten->len - 1] != '\n')
    append_text (self, "\n");
  append_text (self, notice);
  append_text (self, "\n");
  self->dropping = FALSE;
  self->n_dropped = 0;
}

/* Drops all text: the output will not take it. */
static void
discard (AForkStderrCapture *self)
{
  g_byte_array_set_size (self->unwritten, 0);
  self->dropping = FALSE;
  self->n_dropped = 0;
  self->stalled_since = 0;
}

/* Writes as much as the output takes. Returns false if there is text, and it took none. */
static gboolean
flush (AForkStderrCapture *self)
{
  gboolean written = FALSE;

  while (self->unwritten->len > 0)
    {
      gsize size = MIN (self->unwritten->len, CHUNK_SIZE);
      gssize n_written = _afork_write_now (STDERR_FILENO, self->unwritten->data, size);

      if (n_written < 0 && errno != EAGAIN)
        discard (self);
      if (n_written <= 0)
        break;

      written = TRUE;
      if (self->dropping)
        stop_dropping (self);
      g_byte_array_remove_range (self->unwritten, 0, (guint) n_written);
    }

  if (self->unwritten->len == 0)
    self->stalled_since = 0;
  else if (written || self->stalled_since == 0)
    self->stalled_since = g_get_monotonic_time ();
  return written || self->unwritten->len == 0;
}

/* Reads once. Returns 0 or less if nothing was read. */
static gssize
transfer (AForkStderrCapture *self)
{
  char chunk[CHUNK_SIZE];
  gssize n_bytes;

  do
    n_bytes = read (self->fd, chunk, sizeof chunk);
  while (n_bytes < 0 && errno == EINTR);
  if (n_bytes <= 0)
    return n_bytes;

  keep (self, chunk, (gsize) n_bytes);
  if (self->forward)
    forward (self, chunk, (gsize) n_bytes);
  return n_bytes;
}

/* The source. It has the priority of idle sources, so that a worker that never stops writing does
 * not delay other sources. */

static void
poll_fd (AForkStderrCapture *self,
         gpointer           *tag,
         int                 fd,
         GIOCondition        condition,
         gboolean            poll)
{
  if (poll && *tag == NULL)
    *tag = g_source_add_unix_fd (self->source, fd, condition);
  else if (!poll && *tag != NULL)
    g_source_remove_unix_fd (self->source, g_steal_pointer (tag));
}

/* Has the source wait for what can be done next, or destroys it if nothing can. */
static void
wait_for_next (AForkStderrCapture *self)
{
  const gboolean is_stalled = self->unwritten->len > 0;
  const gint64 now = g_get_monotonic_time ();
  gint64 time = -1;

  if (self->source == NULL)
    return;
  if (self->fd < 0 && (!is_stalled || now - self->stalled_since >= MAX_STALL))
    {
      stop (self);
      return;
    }

  if (is_stalled && !has_room (self) && now - self->stalled_since >= MAX_STALL)
    self->dropping = TRUE;
  poll_fd (self, &self->pipe_tag, self->fd, G_IO_IN,
           self->fd >= 0 && (self->dropping || has_room (self)));
  poll_fd (self, &self->output_tag, STDERR_FILENO, G_IO_OUT, is_stalled && !self->retries);

  if (is_stalled && (self->fd < 0 || (!self->dropping && !has_room (self))))
    time = self->stalled_since + MAX_STALL;
  if (is_stalled && self->retries)
    time = time >= 0 ? MIN (time, now + RETRY_TIME) : now + RETRY_TIME;
  g_source_set_ready_time (self->source, time);
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkStderrCapture *self = data;
  gboolean was_polled;

  if (self->source != source)
    return G_SOURCE_REMOVE;

  if (self->pipe_tag != NULL && g_source_query_unix_fd (source, self->pipe_tag) != 0)
    {
      gssize n_bytes = transfer (self);

      if (n_bytes == 0 || (n_bytes < 0 && errno != EAGAIN))
        {
          poll_fd (self, &self->pipe_tag, -1, 0, FALSE);
          _afork_fd_clear (&self->fd);
        }
    }
  was_polled = self->output_tag != NULL && g_source_query_unix_fd (source, self->output_tag) != 0;
  self->retries = !flush (self) && (self->retries || was_polled);
  wait_for_next (self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .dispatch = source_dispatch };

static AForkStderrCapture *
stderr_ref (AForkStderrCapture *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
attach (AForkStderrCapture *self,
        GMainContext       *context)
{
  self->source = g_source_new (&source_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "[afork] worker's standard error output");
  g_source_set_priority (self->source, G_PRIORITY_DEFAULT_IDLE);
  self->pipe_tag = self->output_tag = NULL;
  g_source_set_callback (self->source, NULL, stderr_ref (self), stderr_unref);
  wait_for_next (self);
  if (self->source != NULL)
    g_source_attach (self->source, context);
}

void
_afork_stderr_capture_set_context (AForkStderrCapture *self,
                                   GMainContext       *context)
{
  if (self->source == NULL)
    return;

  _afork_source_clear (&self->source);
  attach (self, context);
}

/* Making and freeing. */

static void
atfork_child_cb (gpointer data)
{
  AForkStderrCapture *self = stderr_ref (data);

  stop (self);
  stderr_unref (self);
}

AForkStderrCapture *
_afork_stderr_capture_new (AForkProcess *process,
                           GMainContext *context,
                           gboolean      forward)
{
  AForkStderrCapture *self;
  int fds[2];

  if (!afork_runtime_get_can_pass_fds (afork_process_get_runtime (process))
      || !g_unix_open_pipe (fds, FD_CLOEXEC, NULL))
    return NULL;

  self = g_new0 (AForkStderrCapture, 1);
  g_atomic_ref_count_init (&self->ref_count);
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  self->fd = _afork_fd_register (_afork_fd_avoid_standard (fds[0]));
  _afork_fd_register (fds[1]);
  self->forward = forward;
  self->kept = g_string_new (NULL);
  self->unwritten = g_byte_array_new ();
  afork_process_map_fd (process, fds[1], STDERR_FILENO);
  _afork_fd_close (fds[1]);
  if (self->fd < 0)
    return self;

  g_unix_set_fd_nonblocking (self->fd, TRUE, NULL);
  attach (self, context);
  return self;
}

/* The worker has ended: reads what is left. */
static void
read_rest (AForkStderrCapture *self)
{
  gsize n_left = MAX_REST;

  while (self->fd >= 0 && n_left >= CHUNK_SIZE && transfer (self) > 0)
    {
      n_left -= CHUNK_SIZE;
      flush (self);
    }

  if (self->source != NULL)
    poll_fd (self, &self->pipe_tag, -1, 0, FALSE);
  _afork_fd_clear (&self->fd);
  /* The output has MAX_STALL from now on. */
  if (self->unwritten->len > 0)
    self->stalled_since = g_get_monotonic_time ();
  wait_for_next (self);
}

void
_afork_stderr_capture_free (AForkStderrCapture *self)
{
  if (self->fd >= 0)
    read_rest (self);
  stderr_unref (self);
}

/* Cuts what was kept to its last lines, and makes it valid UTF-8. */
static void
cut_to_last_lines (GString *text)
{
  g_autofree char *valid = NULL;
  const char *start;
  int n_lines = 0;

  while (text->len > 0 && g_ascii_isspace (text->str[text->len - 1]))
    g_string_truncate (text, text->len - 1);
  for (start = text->str + text->len; start > text->str; start--)
    if (start[-1] == '\n' && ++n_lines == MAX_LINES)
      break;
  g_string_erase (text, 0, start - text->str);

  valid = g_utf8_make_valid (text->str, (gssize) text->len);
  g_string_assign (text, valid);
}

const char *
_afork_stderr_capture_finish (AForkStderrCapture *self)
{
  if (self->fd >= 0)
    read_rest (self);
  cut_to_last_lines (self->kept);
  return self->kept->str;
}
