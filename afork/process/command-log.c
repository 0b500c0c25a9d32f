/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "command-log.h"

#include <fcntl.h>

#include "afork-error.h"
#include "base/atfork.h"
#include "base/fd.h"
#include "base/i18n.h"

/* The largest size of a log that is limited, in bytes. */
enum { MAX_SIZE = 1024 * 1024 };

/* A copy of a descriptor. */
typedef struct
{
  AForkAtforkHook atfork_hook;  /* closes it */
  int             fd;           /* -1 in a fork of the program */
} KeptFd;

/* The last command of a log. */
struct _AForkCommandLog
{
  gatomicrefcount     n_refs;
  AForkCommandLog    *before;   /* the commands before this one, or NULL */
  gsize               size;     /* of all commands, in bytes */
  AForkCommandLogLoss loss;     /* if this is not COMPLETE, the command has nothing else */
  GError             *failure;  /* of a command that could not be sent; or NULL */
  GBytes             *item;     /* or NULL */
  KeptFd             *kept;     /* the descriptor of the frame; or NULL */
  gsize               n_frame;
  guint8              frame[];
};

static void
atfork_child_cb (gpointer data)
{
  _afork_fd_clear (&((KeptFd *) data)->fd);
}

/* Returns NULL and sets errno if FD cannot be copied. */
static KeptFd *
kept_fd_new (int fd)
{
  int copy = _afork_fd_register (_afork_fd_dup (fd));
  KeptFd *self;

  if (copy < 0)
    return NULL;

  self = g_new0 (KeptFd, 1);
  self->fd = copy;
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  return self;
}

static void
kept_fd_free (KeptFd *self)
{
  _afork_atfork_remove_hook (&self->atfork_hook);
  _afork_fd_clear (&self->fd);
  g_free (self);
}

AForkCommandLog *
_afork_command_log_ref (AForkCommandLog *self)
{
  if (self != NULL)
    g_atomic_ref_count_inc (&self->n_refs);
  return self;
}

void
_afork_command_log_unref (AForkCommandLog *self)
{
  while (self != NULL && g_atomic_ref_count_dec (&self->n_refs))
    {
      AForkCommandLog *before = self->before;

      g_clear_error (&self->failure);
      g_clear_pointer (&self->item, g_bytes_unref);
      g_clear_pointer (&self->kept, kept_fd_free);
      g_free (self);
      self = before;
    }
}

/* Makes *SELF longer by a command of SIZE bytes, with a frame of N_FRAME bytes. Returns the
 * command, or NULL if the log is not complete. */
static AForkCommandLog *
add (AForkCommandLog **self,
     gsize             size,
     gsize             n_frame)
{
  AForkCommandLog *last;

  if (_afork_command_log_get_loss (*self) != AFORK_COMMAND_LOG_COMPLETE)
    return NULL;

  last = g_malloc0 (sizeof (AForkCommandLog) + n_frame);
  g_atomic_ref_count_init (&last->n_refs);
  last->size = (*self != NULL ? (*self)->size : 0) + size;
  last->n_frame = n_frame;
  last->before = *self;
  *self = last;
  return last;
}

gboolean
_afork_command_log_add (AForkCommandLog  **self,
                        const AForkFrame  *frame,
                        int                fd)
{
  const gsize size = afork_frame_size (frame);
  KeptFd *kept = fd >= 0 ? kept_fd_new (fd) : NULL;
  AForkCommandLog *last;

  if (fd >= 0 && kept == NULL)
    return FALSE;

  last = add (self, size, size);
  if (last != NULL)
    {
      afork_frame_write (frame, last->frame);
      last->kept = g_steal_pointer (&kept);
    }
  g_clear_pointer (&kept, kept_fd_free);
  return TRUE;
}

void
_afork_command_log_add_item (AForkCommandLog **self,
                             GBytes           *bytes)
{
  AForkCommandLog *last = add (self, g_bytes_get_size (bytes), 0);

  if (last != NULL)
    last->item = g_bytes_ref (bytes);
}

void
_afork_command_log_add_failure (AForkCommandLog **self,
                                const GError     *error)
{
  AForkCommandLog *last = add (self, 0, 0);

  if (last != NULL)
    last->failure = g_error_copy (error);
}

void
_afork_command_log_lose (AForkCommandLog     **self,
                         AForkCommandLogLoss   loss)
{
  AForkCommandLog *last = add (self, 0, 0);

  if (last == NULL)
    return;

  last->loss = loss;
  g_clear_pointer (&last->before, _afork_command_log_unref);
}

void
_afork_command_log_limit (AForkCommandLog **self)
{
  if (*self != NULL && (*self)->size > MAX_SIZE)
    _afork_command_log_lose (self, AFORK_COMMAND_LOG_TOO_LARGE);
}

AForkCommandLogLoss
_afork_command_log_get_loss (AForkCommandLog *self)
{
  return self != NULL ? self->loss : AFORK_COMMAND_LOG_COMPLETE;
}

static void
replay_frame (AForkCommandLog *command,
              AForkClient     *client)
{
  g_autoptr(GError) error = NULL;
  const char *why;
  AForkFrame frame;
  gsize size;
  int fd = -1;

  if (afork_frame_parse (command->frame, command->n_frame, &frame, &size, &why) != AFORK_FRAME_OK)
    g_assert_not_reached ();

  if (command->kept != NULL)
    {
      errno = EMFILE;
      if (command->kept->fd >= 0)
        fd = _afork_fd_register (_afork_fd_dup (command->kept->fd));
      if (fd < 0)
        {
          error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                               _("A descriptor could not be kept for a process: %s"),
                               g_strerror (errno));
          _afork_client_kill_with_error (client, error);
          return;
        }
    }

  _afork_client_send (client, &frame, fd);
}

void
_afork_command_log_replay (AForkCommandLog *self,
                           AForkClient     *client)
{
  _afork_command_log_replay_after (self, NULL, client);
}

void
_afork_command_log_replay_after (AForkCommandLog *self,
                                 AForkCommandLog *base,
                                 AForkClient     *client)
{
  g_autoptr(GPtrArray) commands = g_ptr_array_new ();

  g_assert (_afork_command_log_get_loss (self) == AFORK_COMMAND_LOG_COMPLETE);

  for (AForkCommandLog *command = self; command != base; command = command->before)
    g_ptr_array_add (commands, command);
  for (guint i = commands->len; i > 0; i--)
    {
      AForkCommandLog *command = g_ptr_array_index (commands, i - 1);

      if (command->failure != NULL)
        _afork_client_kill_with_error (client, command->failure);
      else if (command->item != NULL)
        _afork_client_send_item (client, command->item);
      else
        replay_frame (command, client);
    }
}

/* Returns the module that COMMAND loads, or NULL. */
static char *
dup_module (AForkCommandLog *command)
{
  AForkFrame frame;
  const char *why;
  gsize size;

  if (command->n_frame == 0)
    return NULL;
  if (afork_frame_parse (command->frame, command->n_frame, &frame, &size, &why) != AFORK_FRAME_OK)
    g_assert_not_reached ();

  return frame.kind == AFORK_FRAME_REQUIRE || frame.kind == AFORK_FRAME_REQUIRE_FILE
    ? g_strdup (frame.string[0]) : NULL;
}

GStrv
_afork_command_log_dup_modules (AForkCommandLog *self)
{
  g_autoptr(GPtrArray) modules = g_ptr_array_new_with_free_func (g_free);

  for (AForkCommandLog *command = self; command != NULL; command = command->before)
    {
      char *module = dup_module (command);

      if (module == NULL)
        return NULL;
      g_ptr_array_insert (modules, 0, module);
    }

  g_ptr_array_add (modules, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&modules), FALSE);
}
