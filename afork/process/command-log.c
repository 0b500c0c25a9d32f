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

typedef struct
{
  GBytes  *bytes;               /* a frame, or the bytes of an item */
  gboolean is_item;
  int      fd;                  /* owned, or -1 */
} Command;

struct _AForkCommandLog
{
  AForkAtforkHook atfork_hook;  /* closes the descriptors */
  GArray         *commands;
  GError         *failure;      /* of a command that is missing, or NULL */
};

static void
clear_command (gpointer data)
{
  Command *command = data;

  g_bytes_unref (command->bytes);
  _afork_fd_clear (&command->fd);
}

static void
atfork_child_cb (gpointer data)
{
  AForkCommandLog *self = data;

  for (guint i = 0; i < self->commands->len; i++)
    _afork_fd_clear (&g_array_index (self->commands, Command, i).fd);
}

AForkCommandLog *
_afork_command_log_new (void)
{
  AForkCommandLog *self = g_new0 (AForkCommandLog, 1);

  self->commands = g_array_new (FALSE, FALSE, sizeof (Command));
  g_array_set_clear_func (self->commands, clear_command);
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  return self;
}

void
_afork_command_log_free (AForkCommandLog *self)
{
  _afork_atfork_remove_hook (&self->atfork_hook);
  g_array_unref (self->commands);
  g_clear_error (&self->failure);
  g_free (self);
}

/* Returns -1 for -1. */
static int
copy_fd (int fd)
{
  return fd >= 0 ? _afork_fd_register (_afork_fd_dup (fd)) : -1;
}

AForkCommandLog *
_afork_command_log_copy (AForkCommandLog *self)
{
  AForkCommandLog *copy = _afork_command_log_new ();

  for (guint i = 0; i < self->commands->len; i++)
    {
      Command command = g_array_index (self->commands, Command, i);

      g_bytes_ref (command.bytes);
      command.fd = copy_fd (command.fd);
      g_array_append_val (copy->commands, command);
    }
  if (self->failure != NULL)
    copy->failure = g_error_copy (self->failure);

  return copy;
}

gboolean
_afork_command_log_add (AForkCommandLog  *self,
                        const AForkFrame *frame,
                        int               fd)
{
  gsize size = afork_frame_size (frame);
  Command command = { .fd = copy_fd (fd) };
  guint8 *bytes;

  if (fd >= 0 && command.fd < 0)
    return FALSE;

  bytes = g_malloc (size);
  afork_frame_write (frame, bytes);
  command.bytes = g_bytes_new_take (bytes, size);
  g_array_append_val (self->commands, command);
  return TRUE;
}

void
_afork_command_log_add_item (AForkCommandLog *self,
                             GBytes          *bytes)
{
  Command command = { .bytes = g_bytes_ref (bytes), .is_item = TRUE, .fd = -1 };

  g_array_append_val (self->commands, command);
}

void
_afork_command_log_fail (AForkCommandLog *self,
                         const GError    *error)
{
  if (self->failure == NULL)
    self->failure = g_error_copy (error);
}

static void
replay_command (const Command *command,
                AForkClient   *client)
{
  g_autoptr(GError) error = NULL;
  const guint8 *bytes;
  const char *why;
  AForkFrame frame;
  gsize n_bytes, size;
  int fd;

  if (command->is_item)
    {
      _afork_client_send_item (client, command->bytes);
      return;
    }

  bytes = g_bytes_get_data (command->bytes, &n_bytes);
  if (afork_frame_parse (bytes, n_bytes, &frame, &size, &why) != AFORK_FRAME_OK)
    g_assert_not_reached ();

  fd = copy_fd (command->fd);
  if (frame.n_fds > 0 && fd < 0)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                           _("A descriptor could not be kept for a process: %s"),
                           g_strerror (command->fd < 0 ? EMFILE : errno));
      _afork_client_kill_with_error (client, error);
      return;
    }

  _afork_client_send (client, &frame, fd);
}

void
_afork_command_log_replay (AForkCommandLog *self,
                           AForkClient     *client)
{
  for (guint i = 0; i < self->commands->len; i++)
    replay_command (&g_array_index (self->commands, Command, i), client);
  if (self->failure != NULL)
    _afork_client_kill_with_error (client, self->failure);
}
