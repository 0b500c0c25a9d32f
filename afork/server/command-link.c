/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "command-link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/attach-fds.h"

enum
{
  RETRY_TIME = 10,      /* milliseconds */
  MAX_RETRIES = 3000,   /* half a minute */
};

void
afork_link_init (AForkLink *self,
                 int        socket)
{
  self->socket = socket;
  self->input = self->initial_input;
  self->input_size = sizeof self->initial_input;
  self->input_start = 0;
  self->input_end = 0;
  self->n_fds = 0;
  self->n_output = 0;
  self->error = 0;
  self->broken = false;
}

void
afork_link_switch (AForkLink  *self,
                   int         socket,
                   AForkFdSet *closed)
{
  for (size_t i = 0; i < self->n_fds; i++)
    afork_fd_set_add (closed, self->fds[i]);
  afork_fd_set_add (closed, self->socket);

  if (self->input != self->initial_input)
    free (self->input);
  afork_link_init (self, socket);
}

/* Moves the input to the front of the buffer, and makes room for SIZE bytes. Returns false if there
 * is no memory. Not async-signal-safe. */
static bool
make_room (AForkLink *self,
           size_t     size)
{
  size_t n_bytes = self->input_end - self->input_start;
  uint8_t *larger;

  if (size > self->input_size)
    {
      larger = malloc (size);
      if (larger == NULL)
        return false;

      memcpy (larger, self->input + self->input_start, n_bytes);
      if (self->input != self->initial_input)
        free (self->input);
      self->input = larger;
      self->input_size = size;
    }
  else if (self->input_start > 0)
    {
      memmove (self->input, self->input + self->input_start, n_bytes);
    }

  self->input_start = 0;
  self->input_end = n_bytes;
  return true;
}

/* Adds the descriptors that came with MESSAGE. Closes those for which there is no room, and then
 * returns false. Async-signal-safe. */
static bool
queue_fds (AForkLink     *self,
           struct msghdr *message)
{
  bool fits = true;

  for (struct cmsghdr *control = CMSG_FIRSTHDR (message);
       control != NULL;
       control = CMSG_NXTHDR (message, control))
    {
      size_t n_fds = (control->cmsg_len - CMSG_LEN (0)) / sizeof (int);

      if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
        continue;

      for (size_t i = 0; i < n_fds; i++)
        {
          int fd;

          memcpy (&fd, CMSG_DATA (control) + i * sizeof fd, sizeof fd);
          if (self->n_fds < AFORK_LINK_MAX_FDS)
            {
              self->fds[self->n_fds++] = fd;
              continue;
            }
          close (fd);
          fits = false;
        }
    }

  return fits;
}

AForkLinkResult
afork_link_receive (AForkLink    *self,
                    bool          wait,
                    AForkFailure *failure)
{
  struct iovec vector;
  struct msghdr message;
  ssize_t n_bytes;

  do
    {
      vector.iov_base = self->input + self->input_end;
      vector.iov_len = self->input_size - self->input_end;
      message = (struct msghdr) {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &self->control,
        .msg_controllen = sizeof self->control,
      };
      n_bytes = recvmsg (self->socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    }
  while (n_bytes < 0 && errno == EINTR);

  if (n_bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return AFORK_LINK_EMPTY;
  /* A caller that exits before it has read all output resets the connection. */
  if (n_bytes == 0 || (n_bytes < 0 && errno == ECONNRESET))
    return AFORK_LINK_END;
  if (n_bytes < 0)
    {
      const bool used_up = errno == ENOMEM || errno == ENOBUFS;

      afork_failure_set (failure, used_up ? AFORK_WIRE_ERROR_SPAWN : AFORK_WIRE_ERROR_FAILED,
                         "Commands could not be received: %s", strerror (errno));
      return AFORK_LINK_FAILED;
    }

  self->input_end += (size_t) n_bytes;
  if (!queue_fds (self, &message))
    {
      afork_failure_set (failure, AFORK_WIRE_ERROR_PROTOCOL,
                         "More descriptors came than frames that name them");
      return AFORK_LINK_FAILED;
    }
  /* The kernel drops descriptors when the process can have no more. Those that came no longer match
   * the frames, so no later frame can be trusted. */
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    {
      afork_failure_set (failure, AFORK_WIRE_ERROR_SPAWN,
                         "Descriptors that were sent could not be received: %s", strerror (EMFILE));
      return AFORK_LINK_FAILED;
    }

  return AFORK_LINK_OK;
}

AForkLinkResult
afork_link_next (AForkLink    *self,
                 AForkFrame   *frame,
                 AForkFailure *failure)
{
  const char *why;
  size_t size;

  switch (afork_frame_parse (self->input + self->input_start, self->input_end - self->input_start,
                             frame, &size, &why))
    {
    case AFORK_FRAME_OK:
      if (frame->n_fds > self->n_fds)
        {
          afork_failure_set (failure, AFORK_WIRE_ERROR_PROTOCOL,
                             "%s came without the descriptors that it names",
                             afork_frame_kind_name (frame->kind));
          return AFORK_LINK_FAILED;
        }
      self->input_start += size;
      return AFORK_LINK_OK;

    case AFORK_FRAME_TRUNCATED:
      if (make_room (self, size))
        return AFORK_LINK_EMPTY;
      afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "A command could not be received: %s",
                         strerror (ENOMEM));
      return AFORK_LINK_FAILED;

    default:
      afork_failure_set (failure, AFORK_WIRE_ERROR_PROTOCOL,
                         "The caller sent an invalid message: %s", why);
      return AFORK_LINK_FAILED;
    }
}

int
afork_link_take_fd (AForkLink *self)
{
  int fd = self->fds[0];

  self->n_fds--;
  memmove (&self->fds[0], &self->fds[1], self->n_fds * sizeof self->fds[0]);
  return fd;
}

bool
afork_link_is_idle (const AForkLink *self)
{
  return self->input_start == self->input_end && self->n_fds == 0;
}

/* Waits until the socket takes more. Async-signal-safe. */
static void
wait_for_room (AForkLink *self)
{
  struct pollfd room = { .fd = self->socket, .events = POLLOUT };

  poll (&room, 1, -1);
}

/* Waits after the Nth time that too many descriptors of this user were in flight, on any socket.
 * The kernel does not report when some of them have arrived. Returns false if it takes too long.
 * Async-signal-safe. */
static bool
wait_for_arrivals (AForkLink *self,
                   unsigned   n)
{
  struct pollfd hang_up = { .fd = self->socket };

  if (n >= MAX_RETRIES)
    return false;

  poll (&hang_up, 1, RETRY_TIME);
  return true;
}

/* Notes that output could not be sent, because of ERROR. STARTED says whether part of a frame was
 * sent. Returns true if the other end is closed, which is not an error. Async-signal-safe. */
static bool
note_send_error (AForkLink *self,
                 int        error,
                 bool       started)
{
  if (error == EPIPE || error == ECONNRESET)
    {
      self->output_lost = true;
      return true;
    }

  self->error = error;
  self->broken = started;
  return false;
}

/* Sends all of BYTES, with FDS on the first byte. Async-signal-safe. */
static bool
send_bytes (AForkLink     *self,
            const uint8_t *bytes,
            size_t         n_bytes,
            const int     *fds,
            size_t         n_fds)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (2 * sizeof (int))];
  } control;
  struct iovec vector = { .iov_base = (uint8_t *) bytes, .iov_len = n_bytes };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
  unsigned n_retries = 0;

  if (n_fds > 0)
    {
      memset (&control, 0, sizeof control);
      afork_attach_fds (&message, &control, fds, n_fds);
    }

  while (vector.iov_len > 0 && !self->broken)
    {
      ssize_t n_sent = sendmsg (self->socket, &message, MSG_NOSIGNAL);

      if (n_sent < 0 && errno == EINTR)
        continue;
      /* The socket blocks, unless another process that has it has changed that. */
      if (n_sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        {
          wait_for_room (self);
          continue;
        }
      if (n_sent < 0 && errno == ETOOMANYREFS && wait_for_arrivals (self, n_retries++))
        continue;
      if (n_sent < 0)
        return note_send_error (self, errno, vector.iov_len < n_bytes);

      vector.iov_base = (uint8_t *) vector.iov_base + n_sent;
      vector.iov_len -= (size_t) n_sent;
      message.msg_control = NULL;
      message.msg_controllen = 0;
    }

  return vector.iov_len == 0;
}

void
afork_link_put (AForkLink        *self,
                const AForkFrame *frame)
{
  size_t size = afork_frame_size (frame);

  if (self->n_output + size > sizeof self->output)
    afork_link_flush (self);

  afork_frame_write (frame, self->output + self->n_output);
  self->n_output += size;
}

bool
afork_link_flush (AForkLink *self)
{
  bool sent = send_bytes (self, self->output, self->n_output, NULL, 0);

  self->n_output = 0;
  return sent;
}

/* Sends a frame with a long text. It has its own buffer, which a fork without errors never touches.
 * Async-signal-safe. */
static bool
send_large (AForkLink        *self,
            const AForkFrame *frame,
            const int        *fds)
{
  uint8_t bytes[AFORK_FRAME_HEADER_SIZE + AFORK_FAILURE_TEXT_SIZE + 64];

  afork_frame_write (frame, bytes);
  return send_bytes (self, bytes, afork_frame_size (frame), fds, frame->n_fds);
}

bool
afork_link_send (AForkLink        *self,
                 const AForkFrame *frame,
                 const int        *fds)
{
  bool sent;

  if (!afork_link_flush (self))
    return false;
  if (afork_frame_size (frame) > sizeof self->output)
    return send_large (self, frame, fds);

  afork_link_put (self, frame);
  sent = send_bytes (self, self->output, self->n_output, fds, frame->n_fds);
  self->n_output = 0;
  return sent;
}
