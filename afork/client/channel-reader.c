/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "channel-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/memory.h"

enum
{
  BULK_INPUT_SIZE = 4096,
  /* A server sends at most two at once, and never some for which there is no frame. */
  MAX_AWAITED_FDS = 4,
};

void
_afork_channel_reader_init (AForkChannelReader *self)
{
  *self = (AForkChannelReader) {
    .frame_size = AFORK_FRAME_HEADER_SIZE,
    .fds = g_array_new (FALSE, FALSE, sizeof (int)),
    .reserved_fds = g_array_new (FALSE, FALSE, sizeof (int)),
  };
}

static void
close_all (GArray *fds)
{
  for (guint i = 0; i < fds->len; i++)
    _afork_fd_close (g_array_index (fds, int, i));
  g_array_set_size (fds, 0);
}

void
_afork_channel_reader_drop_fds (AForkChannelReader *self)
{
  close_all (self->fds);
  close_all (self->reserved_fds);
  self->n_expected = 0;
}

void
_afork_channel_reader_clear (AForkChannelReader *self)
{
  _afork_channel_reader_drop_fds (self);
  g_array_unref (self->fds);
  g_array_unref (self->reserved_fds);
  g_free (self->input);
}

/* Which file it is that keeps a place does not matter, as long as it is there already. */
static gboolean
reserve_fds (AForkChannelReader *self,
             int                 socket)
{
  while (self->reserved_fds->len < self->n_expected)
    {
      int fd = _afork_fd_own (fcntl (socket, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));

      if (fd < 0)
        return FALSE;
      g_array_append_val (self->reserved_fds, fd);
    }

  return TRUE;
}

gboolean
_afork_channel_reader_expect (AForkChannelReader *self,
                              int                 socket,
                              guint               n_fds)
{
  self->n_expected += n_fds;
  return reserve_fds (self, socket);
}

/* What came beside the bytes of a message. */
static gboolean
take_control (AForkChannelReader *self,
              struct msghdr      *message)
{
  for (struct cmsghdr *control = CMSG_FIRSTHDR (message);
       control != NULL;
       control = CMSG_NXTHDR (message, control))
    {
      gsize size = control->cmsg_len - CMSG_LEN (0);
      struct ucred sender;

      if (control->cmsg_level != SOL_SOCKET)
        continue;

      if (control->cmsg_type == SCM_RIGHTS)
        {
          guint n_fds = (guint) (size / sizeof (int));

          g_array_append_vals (self->fds, CMSG_DATA (control), n_fds);
          for (guint i = 0; i < n_fds; i++)
            _afork_fd_own (g_array_index (self->fds, int, self->fds->len - n_fds + i));
          self->n_expected -= MIN (n_fds, self->n_expected);
        }
      else if (control->cmsg_type == SCM_CREDENTIALS && size == sizeof sender)
        {
          memcpy (&sender, CMSG_DATA (control), sizeof sender);
          self->sender = sender.pid;
        }
    }

  return self->fds->len <= MAX_AWAITED_FDS;
}

/* Moves what has not been taken to the front, and makes room for SIZE bytes in all. False and an
 * error if there is none. */
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
  more = _afork_memory_is_left (size) ? g_try_realloc (self->input, size) : NULL;
  if (more == NULL)
    return _afork_memory_set_error (error, size);

  self->input = more;
  self->input_size = size;
  return TRUE;
}

/* What comes takes the places that were kept for it. */
static gssize
receive_message (AForkChannelReader *self,
                 int                 socket,
                 struct msghdr      *message)
{
  gssize result;

  close_all (self->reserved_fds);
  do
    result = recvmsg (socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (result < 0 && errno == EINTR);

  return result;
}

/* Not by GSocket, which makes several objects for each message. */
gboolean
_afork_channel_reader_read (AForkChannelReader  *self,
                            int                  socket,
                            gsize               *n_bytes,
                            GError             **error)
{
  union
  {
    struct cmsghdr align;
    /* With room for one too many, so that this is noticed; the kernel closes the rest. */
    char           bytes[CMSG_SPACE (sizeof (struct ucred))
                         + CMSG_SPACE ((MAX_AWAITED_FDS + 1) * sizeof (int))];
  } control;
  struct iovec vector;
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  gssize result;

  *n_bytes = 0;
  if (!make_room (self, self->exact ? self->frame_size : MAX (self->frame_size, BULK_INPUT_SIZE),
                  error))
    return FALSE;

  vector.iov_base = self->input + self->input_end;
  vector.iov_len = (self->exact ? self->frame_size : self->input_size) - self->input_end;
  result = receive_message (self, socket, &message);
  if (result < 0)
    {
      if (errno == EAGAIN)
        {
          reserve_fds (self, socket);
          return TRUE;
        }
      /* A process that ends before it has read everything resets the connection. */
      if (errno != ECONNRESET)
        g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                     _("Nothing could be received from the process: %s"), g_strerror (errno));
      return FALSE;
    }

  *n_bytes = (gsize) result;
  self->input_end += (gsize) result;
  if (!take_control (self, &message))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("More descriptors came than frames that name them"));
      return FALSE;
    }
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A descriptor could not be received from the process: %s"),
                   g_strerror (EMFILE));
      return FALSE;
    }

  /* Those that others have taken meanwhile are missed when something comes for them. */
  reserve_fds (self, socket);
  return result > 0;
}

static gboolean
claim_fds (AForkChannelReader  *self,
           const AForkFrame    *frame,
           int                 *fds,
           GError             **error)
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
