/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "channel-reader.h"

#include <errno.h>
#include <gio/gunixcredentialsmessage.h>
#include <gio/gunixfdmessage.h>
#include <string.h>
#include <sys/socket.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/memory.h"

enum { BULK_INPUT_SIZE = 4096 };

void
_afork_channel_reader_init (AForkChannelReader *self)
{
  *self = (AForkChannelReader) { .frame_size = AFORK_FRAME_HEADER_SIZE };
}

static void
close_all (int   *fds,
           guint *n_fds)
{
  for (guint i = 0; i < *n_fds; i++)
    _afork_fd_close (fds[i]);
  *n_fds = 0;
}

void
_afork_channel_reader_drop_fds (AForkChannelReader *self)
{
  close_all (self->fds, &self->n_fds);
  close_all (self->reserved_fds, &self->n_reserved_fds);
  self->n_fds_to_come = 0;
}

void
_afork_channel_reader_clear (AForkChannelReader *self)
{
  _afork_channel_reader_drop_fds (self);
  g_free (self->input);
}

/* Reserved descriptors are copies of that of the socket. */
static gboolean
fill_reserved_fds (AForkChannelReader *self,
                   GSocket            *socket)
{
  while (self->n_reserved_fds < self->n_fds_to_come)
    {
      int fd = _afork_fd_dup (g_socket_get_fd (socket));

      if (fd < 0)
        return FALSE;
      self->reserved_fds[self->n_reserved_fds++] = _afork_fd_register (fd);
    }

  return TRUE;
}

gboolean
_afork_channel_reader_reserve_fds (AForkChannelReader *self,
                                   GSocket            *socket,
                                   guint               n_fds)
{
  g_assert (self->n_fds_to_come + n_fds <= G_N_ELEMENTS (self->reserved_fds));

  self->n_fds_to_come += n_fds;
  return fill_reserved_fds (self, socket);
}

/* Takes the descriptors of MESSAGE. Closes those for which there is no room. */
static void
take_fds (AForkChannelReader *self,
          GUnixFDMessage     *message)
{
  int n_fds;
  g_autofree int *fds = g_unix_fd_message_steal_fds (message, &n_fds);

  for (int i = 0; i < n_fds; i++)
    {
      _afork_fd_register (fds[i]);
      if (self->n_fds < G_N_ELEMENTS (self->fds))
        {
          self->fds[self->n_fds++] = fds[i];
          continue;
        }
      _afork_fd_close (fds[i]);
      self->has_too_many_fds = TRUE;
    }
  self->n_fds_to_come -= MIN ((guint) n_fds, self->n_fds_to_come);
}

static void
take_credentials (AForkChannelReader      *self,
                  GUnixCredentialsMessage *message)
{
  GCredentials *credentials = g_unix_credentials_message_get_credentials (message);

  self->sender = MAX (0, g_credentials_get_unix_pid (credentials, NULL));
}

/* Takes the control messages of a message, and frees MESSAGES. */
static void
take_control_messages (AForkChannelReader     *self,
                       GSocketControlMessage **messages,
                       int                     n_messages)
{
  /* GLib drops credentials without a pid. The pid is 0 if the sender is outside of this PID
   * namespace. */
  self->sender = 0;
  for (int i = 0; i < n_messages; i++)
    {
      if (G_IS_UNIX_FD_MESSAGE (messages[i]))
        take_fds (self, G_UNIX_FD_MESSAGE (messages[i]));
      else if (G_IS_UNIX_CREDENTIALS_MESSAGE (messages[i]))
        take_credentials (self, G_UNIX_CREDENTIALS_MESSAGE (messages[i]));
      g_object_unref (messages[i]);
    }
  g_free (messages);
}

/* Moves the bytes that were not taken to the front of the input, and makes the input SIZE bytes
 * large at least. Fails if there is no memory. */
static gboolean
make_room (AForkChannelReader  *self,
           gsize                size,
           GError             **error)
{
  guint8 *more;

  if (self->input_start > 0)
    memmove (self->input, self->input + self->input_start, self->input_end - self->input_start);
  self->input_end -= self->input_start;
  self->input_start = 0;

  if (size <= self->input_size)
    return TRUE;
  more = size <= BULK_INPUT_SIZE || _afork_memory_is_left (size) ? g_try_realloc (self->input, size)
                                                                 : NULL;
  if (more == NULL)
    return _afork_memory_set_error (error, size);

  self->input = more;
  self->input_size = size;
  return TRUE;
}

/* Receives one message of at most SIZE bytes into the input. Returns as g_socket_receive_message()
 * does. Closes the reserved descriptors, to make room for received ones. */
static gssize
receive_message (AForkChannelReader  *self,
                 GSocket             *socket,
                 gsize                size,
                 int                 *flags,
                 GError             **error)
{
  GInputVector vector = { self->input + self->input_end, size };
  GSocketControlMessage **messages = NULL;
  int n_messages = 0;
  gssize n_bytes;

  *flags = 0;
  close_all (self->reserved_fds, &self->n_reserved_fds);
  n_bytes = g_socket_receive_message (socket, NULL, &vector, 1, &messages, &n_messages, flags, NULL,
                                      error);
  if (n_bytes >= 0)
    take_control_messages (self, messages, n_messages);
  return n_bytes;
}

/* Checks the control messages of a message. */
static gboolean
check_control_messages (AForkChannelReader  *self,
                        int                  flags,
                        GError             **error)
{
  if (self->has_too_many_fds)
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

  return TRUE;
}

gboolean
_afork_channel_reader_read (AForkChannelReader  *self,
                            GSocket             *socket,
                            gsize               *n_bytes,
                            GError             **error)
{
  const gsize wanted = self->exact ? self->frame_size : MAX (self->frame_size, BULK_INPUT_SIZE);
  g_autoptr(GError) cause = NULL;
  gssize result;
  gsize size;
  int flags;

  *n_bytes = 0;
  if (!make_room (self, wanted, error))
    return FALSE;

  size = (self->exact ? self->frame_size : self->input_size) - self->input_end;
  result = receive_message (self, socket, size, &flags, &cause);
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    {
      fill_reserved_fds (self, socket);
      return TRUE;
    }
  if (result < 0)
    {
      /* If a process exits before it has read everything, the kernel resets the connection. */
      if (!g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
        g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                     _("Nothing could be received from the process: %s"), cause->message);
      return FALSE;
    }

  *n_bytes = (gsize) result;
  self->input_end += (gsize) result;
  self->unparsed = result > 0;
  if (!check_control_messages (self, flags, error))
    return FALSE;

  /* If another thread has taken the room meanwhile, receiving the next descriptor fails, and this
   * is reported then. */
  fill_reserved_fds (self, socket);
  return result > 0;
}

static gboolean
claim_fds (AForkChannelReader  *self,
           const AForkFrame    *frame,
           int                 *fds,
           GError             **error)
{
  if (frame->n_fds > self->n_fds)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("%s came without the descriptors that it names"),
                   afork_frame_kind_name (frame->kind));
      return FALSE;
    }

  memcpy (fds, self->fds, frame->n_fds * sizeof *fds);
  self->n_fds -= frame->n_fds;
  memmove (self->fds, self->fds + frame->n_fds, self->n_fds * sizeof *fds);
  return TRUE;
}

AForkFrameResult
_afork_channel_reader_take (AForkChannelReader  *self,
                            AForkFrame          *frame,
                            int                 *fds,
                            GError             **error)
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
_afork_channel_reader_is_empty (AForkChannelReader *self)
{
  return self->input_start == self->input_end;
}
