/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-reader-private.h"

#include <gio/gunixcredentialsmessage.h>
#include <gio/gunixfdmessage.h>
#include <string.h>
#include <sys/socket.h>

#include "afork-error.h"
#include "afork-fd-private.h"
#include "afork-i18n-private.h"

enum
{
  BULK_INPUT_SIZE = 4096,
  /* A server sends at most two at once, and never some for which there is no frame. */
  MAX_AWAITED_FDS = 4,
};

void
_afork_reader_init (AForkReader *self)
{
  *self = (AForkReader) {
    .frame_size = AFORK_FRAME_HEADER_SIZE,
    .fds = g_array_new (FALSE, FALSE, sizeof (int)),
  };
}

void
_afork_reader_drop_fds (AForkReader *self)
{
  for (guint i = 0; i < self->fds->len; i++)
    _afork_fd_close (g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
}

void
_afork_reader_clear (AForkReader *self)
{
  _afork_reader_drop_fds (self);
  g_array_unref (self->fds);
  g_free (self->input);
}

static gboolean
take_fds (AForkReader *self,
          GUnixFDList *list)
{
  int n_fds;
  g_autofree int *fds = g_unix_fd_list_steal_fds (list, &n_fds);

  g_array_append_vals (self->fds, fds, (guint) n_fds);
  return self->fds->len <= MAX_AWAITED_FDS;
}

static gboolean
take_messages (AForkReader            *self,
               GSocketControlMessage **messages,
               int                     n_messages)
{
  gboolean fits = TRUE;

  for (int i = 0; i < n_messages; i++)
    {
      if (G_IS_UNIX_FD_MESSAGE (messages[i]))
        fits &= take_fds (self, g_unix_fd_message_get_fd_list (G_UNIX_FD_MESSAGE (messages[i])));
      else if (G_IS_UNIX_CREDENTIALS_MESSAGE (messages[i]))
        self->sender = g_credentials_get_unix_pid (
          g_unix_credentials_message_get_credentials (G_UNIX_CREDENTIALS_MESSAGE (messages[i])),
          NULL);
      g_object_unref (messages[i]);
    }

  g_free (messages);
  return fits;
}

/* Moves what has not been taken to the front, and makes room for SIZE bytes in all. */
static void
make_room (AForkReader *self,
           gsize        size)
{
  if (self->input_start > 0)
    memmove (self->input, self->input + self->input_start, self->input_end - self->input_start);
  self->input_end -= self->input_start;
  self->input_start = 0;

  if (size > self->input_size)
    {
      self->input = g_realloc (self->input, size);
      self->input_size = size;
    }
}

gboolean
_afork_reader_read (AForkReader  *self,
                    GSocket      *socket,
                    gsize        *n_bytes,
                    GError      **error)
{
  GSocketControlMessage **messages = NULL;
  g_autoptr(GError) local_error = NULL;
  GInputVector vector;
  int n_messages = 0;
  /* A socket that a worker sent is perhaps its own as well, and so not surely non-blocking. */
  int flags = MSG_DONTWAIT;
  gssize result;

  *n_bytes = 0;
  make_room (self, self->exact ? self->frame_size : MAX (self->frame_size, BULK_INPUT_SIZE));
  vector.buffer = self->input + self->input_end;
  vector.size = (self->exact ? self->frame_size : self->input_size) - self->input_end;
  result = g_socket_receive_message (socket, NULL, &vector, 1, &messages, &n_messages,
                                     &flags, NULL, &local_error);
  if (result < 0)
    {
      if (g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return TRUE;
      /* A process that ends before it has read everything resets the connection. */
      if (!g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
        g_set_error (error, AFORK_ERROR, AFORK_ERROR_FAILED,
                     _("Nothing could be received from the process: %s"), local_error->message);
      return FALSE;
    }

  *n_bytes = (gsize) result;
  self->input_end += (gsize) result;
  if (!take_messages (self, messages, n_messages))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("More descriptors came than frames that name them"));
      return FALSE;
    }
  if ((flags & MSG_CTRUNC) != 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A descriptor could not be received from the process: %s"),
                   g_strerror (EMFILE));
      return FALSE;
    }

  return result > 0;
}

static gboolean
claim_fds (AForkReader       *self,
           const AForkFrame  *frame,
           int               *fds,
           GError           **error)
{
  if (frame->n_fds > self->fds->len)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("%s came without the descriptors that it names"),
                   afork_frame_kind_name (frame->kind));
      return FALSE;
    }

  for (guint i = 0; i < frame->n_fds; i++)
    fds[i] = g_array_index (self->fds, int, i);
  if (frame->n_fds > 0)
    g_array_remove_range (self->fds, 0, frame->n_fds);
  return TRUE;
}

AForkFrameResult
_afork_reader_take (AForkReader  *self,
                    AForkFrame   *frame,
                    int          *fds,
                    GError      **error)
{
  AForkFrameResult result;
  const char *why;

  result = afork_frame_parse (self->input + self->input_start,
                              self->input_end - self->input_start,
                              frame, &self->frame_size, &why);
  if (result == AFORK_FRAME_INVALID)
    g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                 _("The process does not keep to the protocol: %s"), why);
  self->unparsed = result == AFORK_FRAME_OK;
  if (result == AFORK_FRAME_OK)
    {
      self->input_start += self->frame_size;
      self->frame_size = AFORK_FRAME_HEADER_SIZE;
      if (!claim_fds (self, frame, fds, error))
        return AFORK_FRAME_INVALID;
    }

  return result;
}

gboolean
_afork_reader_is_empty (AForkReader *self)
{
  return self->input_start == self->input_end;
}
