/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "mux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "system/attach-fds.h"

enum
{
  PIECE_SIZE = AFORK_MUX_MAX_PAYLOAD,       /* read from a socket at once */
  RECEIVED_SIZE = 128 * 1024,
  MAX_SENDING = 4 * AFORK_MUX_MAX_PAYLOAD,  /* no socket is read while more is to be sent */
  SAFE_WRITE = 4096,        /* poll() promises that a pipe takes so much without blocking */
  MAX_FDS = 4 * AFORK_FRAME_MAX_FDS,
  CREDIT_STEP = AFORK_MUX_WINDOW / 4,
  PINGS = 3,                /* in the time of `keepalive` */
};

static bool
fail_memory (AForkMux *self)
{
  return afork_failure_set (&self->failure, AFORK_WIRE_ERROR_SPAWN, "%s", strerror (ENOMEM));
}

/* The failure is one of the other side. */
static bool
refuse (AForkMux   *self,
        const char *why)
{
  return afork_failure_set (&self->failure, AFORK_WIRE_ERROR_PROTOCOL,
                            "The %s does not keep to the protocol: %s",
                            self->is_agent ? "caller" : "agent", why);
}

int64_t
afork_mux_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
afork_mux_raise_limit (void *old)
{
  struct rlimit *limit = old;
  struct rlimit raised;

  if (getrlimit (RLIMIT_NOFILE, limit) < 0)
    return;

  raised = *limit;
  raised.rlim_cur = raised.rlim_max;
  setrlimit (RLIMIT_NOFILE, &raised);
}

/* Makes FD non-blocking. This belongs to all processes that have it, so a file that others use,
 * such as a terminal, is opened again. Returns the descriptor to use. */
static int
make_non_blocking (int fd,
                   int mode)
{
  struct stat status;
  char path[32];
  int opened;

  if (fstat (fd, &status) == 0 && (S_ISFIFO (status.st_mode) || S_ISSOCK (status.st_mode)))
    {
      fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
      return fd;
    }

  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  opened = open (path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (opened < 0)
    return fd;

  close (fd);
  return opened;
}

bool
afork_mux_init (AForkMux            *self,
                const AForkMuxFuncs *funcs,
                void                *data,
                int                  input,
                int                  output)
{
  *self = (AForkMux) {
    .funcs = funcs,
    .data = data,
    .input = make_non_blocking (input, O_RDONLY),
    .output = make_non_blocking (output, O_WRONLY),
    .received = malloc (RECEIVED_SIZE),
    .last_data = SIZE_MAX,
    .last_heard = afork_mux_now (),
    .last_sent = afork_mux_now (),
  };
  return self->received != NULL || fail_memory (self);
}

/* Makes room for N_MORE bytes at the end of a queue. */
static bool
make_room (AForkMux  *self,
           uint8_t  **queue,
           size_t    *start,
           size_t    *end,
           size_t    *size,
           size_t     n_more)
{
  uint8_t *larger;
  size_t needed;

  if (*start == *end)
    *start = *end = 0;
  if (*end + n_more <= *size)
    return true;

  if (*start > 0)
    memmove (*queue, *queue + *start, *end - *start);
  *end -= *start;
  *start = 0;
  needed = *end + n_more;
  if (needed <= *size)
    return true;

  needed = needed < 4096 ? 4096 : needed + needed / 2;
  larger = realloc (*queue, needed);
  if (larger == NULL)
    return fail_memory (self);

  *queue = larger;
  *size = needed;
  return true;
}

/* Channels. */

AForkMuxChannel *
afork_mux_find (AForkMux *self,
                uint32_t  id)
{
  for (AForkMuxChannel *channel = self->channels; channel != NULL; channel = channel->next)
    if (channel->id == id)
      return channel;

  return NULL;
}

AForkMuxChannel *
afork_mux_find_fork (AForkMux *self,
                     uint32_t  family,
                     uint32_t  number)
{
  if (family == AFORK_MUX_NO_FORKS)
    return NULL;

  for (AForkMuxChannel *channel = self->channels; channel != NULL; channel = channel->next)
    if (channel->family == family && channel->number == number)
      return channel;

  return NULL;
}

AForkMuxChannel *
afork_mux_add (AForkMux *self,
               uint32_t  id,
               int       socket)
{
  AForkMuxChannel *channel = NULL;

  if (self->n_channels < AFORK_MUX_MAX_CHANNELS)
    channel = calloc (1, sizeof *channel);
  if (channel == NULL)
    {
      if (socket >= 0)
        close (socket);
      afork_failure_set (&self->failure, AFORK_WIRE_ERROR_SPAWN,
                         "There are more channels than one connection can have");
      return NULL;
    }

  channel->id = id;
  channel->family = AFORK_MUX_NO_FORKS;
  channel->forks = id;
  channel->socket = -1;
  channel->source = -1;
  channel->credit = AFORK_MUX_WINDOW;
  channel->allowance = AFORK_MUX_WINDOW + AFORK_MUX_SLACK;
  channel->next = self->channels;
  self->channels = channel;
  self->n_channels++;
  if (socket >= 0 && !afork_mux_set_socket (self, channel, socket))
    return NULL;
  return channel;
}

bool
afork_mux_set_socket (AForkMux        *self,
                      AForkMuxChannel *channel,
                      int              socket)
{
  const int on = 1;

  channel->socket = socket;
  fcntl (socket, F_SETFD, FD_CLOEXEC);
  if (self->asks_sender)
    setsockopt (socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  return true;
}

void
afork_mux_follow (AForkMuxChannel *channel,
                  AForkMuxChannel *reports)
{
  reports->family = channel->family;
  reports->number = channel->number;
  reports->forks = channel->forks;
  channel->family = channel->forks;
  channel->number = AFORK_WORKER_NUMBER;
  channel->forks = AFORK_MUX_NO_FORKS;
}

int
afork_mux_take_fd (AForkMuxChannel *channel)
{
  int fd;

  if (channel->n_fds == 0)
    return -1;

  fd = channel->fds[0];
  channel->n_fds--;
  memmove (&channel->fds[0], &channel->fds[1], channel->n_fds * sizeof channel->fds[0]);
  return fd;
}

/* Returns whether the source of CHANNEL had sent all, or there was none. */
static bool
close_source (AForkMux        *self,
              AForkMuxChannel *channel)
{
  if (channel->source < 0)
    return true;

  close (channel->source);
  channel->source = -1;
  return self->funcs->source_end (self, channel);
}

static void
close_socket (AForkMuxChannel *channel)
{
  if (channel->socket >= 0)
    close (channel->socket);
  channel->socket = -1;
  while (channel->n_fds > 0)
    close (afork_mux_take_fd (channel));
  for (size_t i = 0; i < channel->n_passed; i++)
    close (channel->passed[i].fd);
  channel->n_passed = 0;
}

static void
free_channel (AForkMux        *self,
              AForkMuxChannel *channel)
{
  AForkMuxChannel **place = &self->channels;

  while (*place != channel)
    place = &(*place)->next;
  *place = channel->next;
  self->n_channels--;
  close_source (self, channel);
  close_socket (channel);
  free (channel->waiting);
  free (channel->fds);
  free (channel->passed);
  free (channel->queue);
  free (channel);
}

void
afork_mux_close (AForkMux *self)
{
  while (self->channels != NULL)
    free_channel (self, self->channels);
}

/* To the connection. */

bool
afork_mux_put (AForkMux            *self,
               const AForkMuxFrame *frame)
{
  const size_t size = afork_mux_frame_size (frame);

  if (!make_room (self, &self->sending, &self->sending_start, &self->sending_end,
                  &self->sending_size, size))
    return false;

  afork_mux_frame_write (frame, self->sending + self->sending_end);
  self->last_data = SIZE_MAX;
  self->sending_end += size;
  return true;
}

/* Adds bytes to the last frame, if that is DATA of CHANNEL of which nothing was sent. Returns how
 * many. */
static size_t
extend_data (AForkMux        *self,
             AForkMuxChannel *channel,
             const uint8_t   *bytes,
             size_t           n_bytes)
{
  uint8_t *header;
  size_t n_before;

  if (self->last_data == SIZE_MAX || self->last_data < self->sending_start)
    return 0;

  header = self->sending + self->last_data;
  n_before = (size_t) (header[4] | header[5] << 8);
  if (afork_mux_read_u32 (header) != channel->id || n_before + n_bytes > AFORK_MUX_MAX_PAYLOAD
      || self->sending_end + n_bytes > self->sending_size)
    return 0;

  memcpy (self->sending + self->sending_end, bytes, n_bytes);
  self->sending_end += n_bytes;
  n_before += n_bytes;
  header[4] = (uint8_t) n_before;
  header[5] = (uint8_t) (n_before >> 8);
  return n_bytes;
}

bool
afork_mux_put_data (AForkMux        *self,
                    AForkMuxChannel *channel,
                    const uint8_t   *bytes,
                    size_t           n_bytes)
{
  if (channel->in_end)
    return true;

  channel->credit -= (int64_t) n_bytes;
  while (n_bytes > 0)
    {
      AForkMuxFrame frame = { .kind = AFORK_MUX_DATA, .channel = channel->id, .bytes = bytes };
      size_t n_done = extend_data (self, channel, bytes, n_bytes);

      if (n_done == 0)
        {
          n_done = frame.n_bytes = n_bytes < AFORK_MUX_MAX_PAYLOAD ? n_bytes
                                                                   : AFORK_MUX_MAX_PAYLOAD;
          if (!afork_mux_put (self, &frame))
            return false;
          self->last_data = self->sending_end - afork_mux_frame_size (&frame);
        }
      bytes += n_done;
      n_bytes -= n_done;
    }

  return true;
}

bool
afork_mux_put_frame (AForkMux         *self,
                     AForkMuxChannel  *channel,
                     const AForkFrame *frame)
{
  uint8_t bytes[AFORK_FRAME_HEADER_SIZE + AFORK_FAILURE_TEXT_SIZE + 64];

  afork_frame_write (frame, bytes);
  return afork_mux_put_data (self, channel, bytes, afork_frame_size (frame));
}

bool
afork_mux_put_end (AForkMux        *self,
                   AForkMuxChannel *channel)
{
  const AForkMuxFrame end = { .kind = AFORK_MUX_END, .channel = channel->id };

  if (channel->in_end)
    return true;

  channel->in_end = true;
  return afork_mux_put (self, &end);
}

bool
afork_mux_flush (AForkMux *self)
{
  while (self->sending_start < self->sending_end)
    {
      size_t size = self->sending_end - self->sending_start;
      ssize_t n_sent;

      if (size > SAFE_WRITE && (fcntl (self->output, F_GETFL) & O_NONBLOCK) == 0)
        size = SAFE_WRITE;
      n_sent = write (self->output, self->sending + self->sending_start, size);
      if (n_sent < 0 && errno == EINTR)
        continue;
      if (n_sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK;

      self->sending_start += (size_t) n_sent;
      self->last_sent = afork_mux_now ();
      /* A blocking descriptor may take no more. */
      if ((size_t) n_sent < size || size == SAFE_WRITE)
        break;
    }

  return true;
}

/* To a socket. */

bool
afork_mux_write (AForkMux        *self,
                 AForkMuxChannel *channel,
                 const uint8_t   *bytes,
                 size_t           n_bytes)
{
  if (channel->shut)
    return true;
  if (!make_room (self, &channel->queue, &channel->queue_start, &channel->queue_end,
                  &channel->queue_size, n_bytes))
    return false;

  memcpy (channel->queue + channel->queue_end, bytes, n_bytes);
  channel->queue_end += n_bytes;
  return true;
}

bool
afork_mux_write_frame (AForkMux         *self,
                       AForkMuxChannel  *channel,
                       const AForkFrame *frame)
{
  uint8_t bytes[AFORK_FRAME_HEADER_SIZE + AFORK_FAILURE_TEXT_SIZE + 64];

  if (channel->shut)
    return true;

  afork_frame_write (frame, bytes);
  channel->n_own += (uint32_t) afork_frame_size (frame);
  return afork_mux_write (self, channel, bytes, afork_frame_size (frame));
}

bool
afork_mux_pass_fd (AForkMux        *self,
                   AForkMuxChannel *channel,
                   int              fd)
{
  if (channel->n_passed == channel->passed_size)
    {
      const size_t size = 2 * channel->passed_size + 4;
      AForkMuxPassedFd *larger = realloc (channel->passed, size * sizeof *larger);

      if (larger == NULL)
        {
          close (fd);
          return fail_memory (self);
        }
      channel->passed = larger;
      channel->passed_size = size;
    }

  channel->passed[channel->n_passed++] = (AForkMuxPassedFd) {
    channel->n_written + (channel->queue_end - channel->queue_start), fd,
  };
  return true;
}

/* Sends SIZE bytes, with the first N_FDS descriptors that are to be passed on. */
static ssize_t
send_with_fds (AForkMuxChannel *channel,
               const uint8_t   *bytes,
               size_t           size,
               size_t           n_fds)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
  } control;
  struct iovec vector = { .iov_base = (uint8_t *) bytes, .iov_len = size };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
  int fds[AFORK_FRAME_MAX_FDS];

  if (n_fds > 0)
    {
      memset (&control, 0, sizeof control);
      for (size_t i = 0; i < n_fds; i++)
        fds[i] = channel->passed[i].fd;
      afork_attach_fds (&message, &control, fds, n_fds);
    }

  return sendmsg (channel->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* N_BYTES were written to the socket of CHANNEL, or dropped. */
static void
note_taken (AForkMuxChannel *channel,
            size_t           n_bytes)
{
  const size_t n_own = n_bytes < channel->n_own ? n_bytes : channel->n_own;

  channel->n_own -= (uint32_t) n_own;
  channel->uncredited += (uint32_t) (n_bytes - n_own);
}

/* What the other side sends is dropped from now on. */
static void
shut (AForkMuxChannel *channel)
{
  const size_t n_left = channel->queue_end - channel->queue_start;

  channel->shut = true;
  note_taken (channel, n_left);
  channel->queue_start = channel->queue_end = 0;
  for (size_t i = 0; i < channel->n_passed; i++)
    close (channel->passed[i].fd);
  channel->n_passed = 0;
  if (channel->socket >= 0)
    shutdown (channel->socket, SHUT_WR);
}

/* The process at the socket of CHANNEL has closed it. */
static bool
stop (AForkMux        *self,
      AForkMuxChannel *channel)
{
  const AForkMuxFrame frame = { .kind = AFORK_MUX_STOP, .channel = channel->id };

  if (channel->shut)
    return true;

  shut (channel);
  return channel->out_end || self->closed || afork_mux_put (self, &frame);
}

bool
afork_mux_write_queue (AForkMux        *self,
                       AForkMuxChannel *channel)
{
  while (channel->queue_start < channel->queue_end && channel->socket >= 0)
    {
      size_t size = channel->queue_end - channel->queue_start;
      size_t n_fds = 0;
      ssize_t n_sent;

      /* Up to the first descriptor, or from there to the next one. */
      if (channel->n_passed > 0 && channel->passed[0].offset > channel->n_written)
        {
          if (size > channel->passed[0].offset - channel->n_written)
            size = (size_t) (channel->passed[0].offset - channel->n_written);
        }
      else if (channel->n_passed > 0)
        {
          n_fds = 1;
          if (channel->n_passed > 1 && size > channel->passed[1].offset - channel->n_written)
            size = (size_t) (channel->passed[1].offset - channel->n_written);
        }

      n_sent = send_with_fds (channel, channel->queue + channel->queue_start, size, n_fds);
      if (n_sent < 0 && errno == EINTR)
        continue;
      if (n_sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS))
        break;
      if (n_sent < 0)
        return stop (self, channel);

      channel->queue_start += (size_t) n_sent;
      channel->n_written += (uint64_t) n_sent;
      note_taken (channel, (size_t) n_sent);
      if (n_fds > 0)
        {
          close (channel->passed[0].fd);
          channel->n_passed--;
          memmove (&channel->passed[0], &channel->passed[1],
                   channel->n_passed * sizeof channel->passed[0]);
        }
    }

  if (channel->queue_start == channel->queue_end && channel->out_end && !channel->shut)
    shut (channel);
  return true;
}

/* Gives the other side credit for what was written. */
static bool
put_credit (AForkMux        *self,
            AForkMuxChannel *channel)
{
  const AForkMuxFrame frame = {
    .kind = AFORK_MUX_CREDIT, .channel = channel->id, .number = { channel->uncredited },
  };

  if (channel->uncredited < CREDIT_STEP || self->closed)
    return true;

  channel->allowance += channel->uncredited;
  channel->uncredited = 0;
  return afork_mux_put (self, &frame);
}

/* Exits. */

bool
afork_mux_exited (AForkMux        *self,
                  uint32_t         family,
                  AForkMuxChannel *channel,
                  const uint8_t   *frame,
                  size_t           n_bytes)
{
  AForkMuxChannel *fork;

  fork = afork_mux_find_fork (self, family,
                              afork_mux_read_u32 (frame + AFORK_FRAME_HEADER_SIZE));
  if (fork == NULL || fork->n_held > 0 || fork->killed || self->funcs->is_drained (fork))
    return self->funcs->put_exited (self, channel, frame, n_bytes);

  memcpy (fork->held, frame, n_bytes);
  fork->n_held = n_bytes;
  fork->held_on = channel->id;
  return true;
}

bool
afork_mux_release (AForkMux        *self,
                   AForkMuxChannel *channel)
{
  AForkMuxChannel *reporter;
  const size_t n_held = channel->n_held;

  if (n_held == 0 || !(channel->killed || self->funcs->is_drained (channel)))
    return true;

  channel->n_held = 0;
  reporter = afork_mux_find (self, channel->held_on);
  return reporter == NULL || self->funcs->put_exited (self, reporter, channel->held, n_held);
}

/* Frames of command sockets that pass by. */

/* How many bytes of the payload of KIND are looked at. */
static size_t
get_extra (uint8_t kind)
{
  switch (kind)
    {
    case AFORK_FRAME_FORK:
    case AFORK_FRAME_FILE_WANTED:
      return 4;
    case AFORK_FRAME_SIGNAL:
      return 8;
    case AFORK_FRAME_EXITED:
    case AFORK_FRAME_HELLO:
      return AFORK_MUX_HEAD_SIZE - AFORK_FRAME_HEADER_SIZE;
    default:
      return 0;
    }
}

static size_t
get_head_size (const AForkMuxScanner *scanner)
{
  uint32_t n_payload;
  size_t extra;

  if (scanner->n_head < AFORK_FRAME_HEADER_SIZE)
    return AFORK_FRAME_HEADER_SIZE;

  n_payload = afork_mux_read_u32 (scanner->head);
  extra = get_extra (scanner->head[4]);
  return AFORK_FRAME_HEADER_SIZE + (extra < n_payload ? extra : n_payload);
}

typedef bool (*HeadFunc) (AForkMux        *mux,
                          AForkMuxChannel *channel,
                          uint8_t         *head,
                          size_t           n_head,
                          AForkMuxAction  *action);
typedef bool (*SinkFunc) (AForkMux        *mux,
                          AForkMuxChannel *channel,
                          const uint8_t   *bytes,
                          size_t           n_bytes);

/* Passes BYTES to the source of CHANNEL. Such a frame is so small that the socket has room. If the
 * source has ended, this is seen when it is read. */
static void
divert (AForkMuxChannel *channel,
        const uint8_t   *bytes,
        size_t           n_bytes)
{
  send (channel->source, bytes, n_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The head of a frame is complete. */
static bool
end_head (AForkMux        *self,
          AForkMuxChannel *channel,
          AForkMuxScanner *scanner,
          HeadFunc         look,
          SinkFunc         sink)
{
  const size_t n_head = scanner->n_head;
  AForkMuxAction action = AFORK_MUX_PASS;

  scanner->n_head = 0;
  scanner->n_rest = afork_mux_read_u32 (scanner->head)
    - (uint32_t) (n_head - AFORK_FRAME_HEADER_SIZE);
  if (!look (self, channel, scanner->head, n_head, &action))
    return false;

  scanner->drops = action == AFORK_MUX_DROP;
  scanner->diverts = action == AFORK_MUX_DIVERT;
  /* The last frame of a command socket is handled when all of it has passed. */
  scanner->raw = action == AFORK_MUX_PASS_RAW;
  if (scanner->diverts)
    divert (channel, scanner->head, n_head);
  return scanner->drops || scanner->diverts || sink (self, channel, scanner->head, n_head);
}

/* A frame has passed to the source of CHANNEL. What follows waits until the source has ended. */
static bool
end_diversion (AForkMux        *self,
               AForkMuxChannel *channel,
               const uint8_t   *bytes,
               size_t           n_bytes)
{
  channel->in.diverts = false;
  if (n_bytes == 0)
    return true;

  channel->waiting = malloc (n_bytes);
  if (channel->waiting == NULL)
    return fail_memory (self);

  memcpy (channel->waiting, bytes, n_bytes);
  channel->n_waiting = n_bytes;
  return true;
}

/* Passes BYTES on to SINK, and has LOOK look at each frame. */
static bool
scan (AForkMux        *self,
      AForkMuxChannel *channel,
      AForkMuxScanner *scanner,
      HeadFunc         look,
      SinkFunc         sink,
      const uint8_t   *bytes,
      size_t           n_bytes)
{
  while (n_bytes > 0 && !scanner->raw && look != NULL)
    {
      AForkFrame frame;
      const char *why;
      size_t n_taken, size;

      if (scanner->n_rest > 0)
        {
          n_taken = n_bytes < scanner->n_rest ? n_bytes : scanner->n_rest;
          if (scanner->diverts)
            divert (channel, bytes, n_taken);
          else if (!scanner->drops && !sink (self, channel, bytes, n_taken))
            return false;
          scanner->n_rest -= (uint32_t) n_taken;
        }
      else
        {
          n_taken = get_head_size (scanner) - scanner->n_head;
          n_taken = n_bytes < n_taken ? n_bytes : n_taken;
          memcpy (scanner->head + scanner->n_head, bytes, n_taken);
          scanner->n_head += n_taken;
          if (scanner == &channel->out && scanner->n_head == AFORK_FRAME_HEADER_SIZE
              && afork_frame_parse (scanner->head, AFORK_FRAME_HEADER_SIZE, &frame, &size, &why)
                   == AFORK_FRAME_INVALID)
            return refuse (self, why);
          if (scanner->n_head >= AFORK_FRAME_HEADER_SIZE
              && scanner->n_head == get_head_size (scanner)
              && !end_head (self, channel, scanner, look, sink))
            return false;
        }
      bytes += n_taken;
      n_bytes -= n_taken;
      if (scanner->diverts && scanner->n_rest == 0)
        return end_diversion (self, channel, bytes, n_bytes);
    }

  return n_bytes == 0 || sink (self, channel, bytes, n_bytes);
}

/* From a socket. */

/* Keeps the descriptors that came with MESSAGE, and the sender. Returns false if it cannot. */
static bool
take_control (AForkMux        *self,
              AForkMuxChannel *channel,
              struct msghdr   *message)
{
  bool fits = (message->msg_flags & MSG_CTRUNC) == 0;

  for (struct cmsghdr *control = CMSG_FIRSTHDR (message);
       control != NULL;
       control = CMSG_NXTHDR (message, control))
    {
      const size_t n_fds = (control->cmsg_len - CMSG_LEN (0)) / sizeof (int);
      struct ucred sender;

      if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS)
        {
          memcpy (&sender, CMSG_DATA (control), sizeof sender);
          channel->sender = sender.pid;
        }
      if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
        continue;

      for (size_t i = 0; i < n_fds; i++)
        {
          int fd;

          memcpy (&fd, CMSG_DATA (control) + i * sizeof fd, sizeof fd);
          if (fits && channel->n_fds == channel->fds_size)
            {
              const size_t size = channel->fds_size == 0 ? 4 : 2 * channel->fds_size;
              int *larger = size <= MAX_FDS * 2 ? realloc (channel->fds, size * sizeof *larger)
                                                : NULL;

              fits = larger != NULL;
              if (fits)
                {
                  channel->fds = larger;
                  channel->fds_size = size;
                }
            }
          if (fits)
            channel->fds[channel->n_fds++] = fd;
          else
            close (fd);
        }
    }

  return fits;
}

/* Whether the other end of the socket was closed, and not only shut down for writing. */
static bool
is_closed (AForkMuxChannel *channel)
{
  struct pollfd entry = { .fd = channel->socket };

  return poll (&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

/* Reads once from the socket of CHANNEL, and passes on what came. */
static bool
read_socket (AForkMux        *self,
             AForkMuxChannel *channel)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))
                         + CMSG_SPACE (sizeof (struct ucred))];
  } control;
  static uint8_t bytes[PIECE_SIZE];
  struct iovec vector = { .iov_base = bytes, .iov_len = sizeof bytes };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes;

  if (channel->credit < (int64_t) sizeof bytes)
    vector.iov_len = (size_t) channel->credit;
  n_bytes = recvmsg (channel->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n_bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    return true;
  if (n_bytes <= 0)
    return afork_mux_put_end (self, channel) && (!is_closed (channel) || stop (self, channel));

  if (!take_control (self, channel, &message))
    return afork_failure_set (&self->failure, AFORK_WIRE_ERROR_SPAWN,
                              "Descriptors could not be received: %s", strerror (EMFILE));
  return scan (self, channel, &channel->in, self->funcs->command, afork_mux_put_data,
               bytes, (size_t) n_bytes);
}

/* If the source of CHANNEL has ended, and there is credit for all that has waited, passes it on. */
static bool
resume (AForkMux        *self,
        AForkMuxChannel *channel)
{
  uint8_t *bytes = channel->waiting;
  bool done;

  if (bytes == NULL || channel->source >= 0 || channel->credit < (int64_t) channel->n_waiting)
    return true;

  channel->waiting = NULL;
  done = scan (self, channel, &channel->in, self->funcs->command, afork_mux_put_data, bytes,
               channel->n_waiting);
  free (bytes);
  return done;
}

/* Reads once from the source of CHANNEL, and passes on what came. */
static bool
read_source (AForkMux        *self,
             AForkMuxChannel *channel)
{
  uint8_t bytes[PIECE_SIZE];
  const size_t size = channel->credit < PIECE_SIZE ? (size_t) channel->credit : PIECE_SIZE;
  ssize_t n_bytes = recv (channel->source, bytes, size, MSG_DONTWAIT);

  if (n_bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    return true;
  if (n_bytes > 0)
    return afork_mux_put_data (self, channel, bytes, (size_t) n_bytes);

  return close_source (self, channel) || afork_mux_put_end (self, channel);
}

/* From the connection. */

static bool
data_came (AForkMux            *self,
           AForkMuxChannel     *channel,
           const AForkMuxFrame *frame)
{
  channel->allowance -= (int64_t) frame->n_bytes;
  if (channel->allowance < 0)
    return refuse (self, "more data came than there was credit for");
  if (channel->out_end)
    return refuse (self, "data came after its end");
  if (channel->shut)
    {
      channel->uncredited += (uint32_t) frame->n_bytes;
      return true;
    }

  return scan (self, channel, &channel->out, self->funcs->reply, afork_mux_write,
               frame->bytes, frame->n_bytes)
    && afork_mux_write_queue (self, channel);
}

static bool
credit_came (AForkMux        *self,
             AForkMuxChannel *channel,
             uint32_t         n_bytes)
{
  channel->credit += n_bytes;
  return channel->credit <= AFORK_MUX_WINDOW
    || refuse (self, "credit came for more than was sent");
}

static bool
end_came (AForkMux        *self,
          AForkMuxChannel *channel)
{
  if (channel->out_end)
    return refuse (self, "a channel ended twice");

  channel->out_end = true;
  if (channel->id == 0 && self->funcs->root_end != NULL)
    self->funcs->root_end (self);
  return afork_mux_write_queue (self, channel);
}

/* What the process at the socket of CHANNEL sends is not wanted. Its attempts to send fail. */
static bool
stop_came (AForkMux        *self,
           AForkMuxChannel *channel)
{
  if (channel->socket >= 0)
    shutdown (channel->socket, SHUT_RD);

  return afork_mux_put_end (self, channel);
}

static bool
frame_came (AForkMux            *self,
            const AForkMuxFrame *frame)
{
  AForkMuxChannel *channel;

  switch (frame->kind)
    {
    case AFORK_MUX_PING:
      return true;
    case AFORK_MUX_HELLO:
    case AFORK_MUX_START:
    case AFORK_MUX_OPEN:
      return self->funcs->frame (self, frame);
    default:
      break;
    }

  channel = afork_mux_find (self, frame->channel);
  if (channel == NULL)
    /* Both sides close a channel when it has ended in both directions, but what is on the way is
     * only credit or STOP then. */
    return frame->kind == AFORK_MUX_CREDIT || frame->kind == AFORK_MUX_STOP
      || refuse (self, "a frame names a channel that does not exist");

  switch (frame->kind)
    {
    case AFORK_MUX_DATA:
      if (channel->id == 0 && self->is_agent)
        {
          channel->allowance -= (int64_t) frame->n_bytes;
          channel->uncredited += (uint32_t) frame->n_bytes;
          return channel->allowance >= 0
            ? self->funcs->frame (self, frame)
            : refuse (self, "more data came than there was credit for");
        }
      return data_came (self, channel, frame);
    case AFORK_MUX_CREDIT:
      return credit_came (self, channel, frame->number[0]);
    case AFORK_MUX_STOP:
      if (channel->id == 0 && !self->is_agent)
        return refuse (self, "it wants no commands any more");
      return stop_came (self, channel);
    default:
      if (channel->id == 0 && !self->is_agent && !channel->shut)
        return refuse (self, "it sends no reports any more");
      return end_came (self, channel);
    }
}

/* Handles the frames that have come whole. */
static bool
take_frames (AForkMux *self)
{
  size_t start = 0;

  for (;;)
    {
      AForkMuxFrame frame;
      const char *why;
      size_t size;

      switch (afork_mux_frame_parse (self->received + start, self->n_received - start,
                                     &frame, &size, &why))
        {
        case AFORK_MUX_OK:
          start += size;
          if (!frame_came (self, &frame))
            return false;
          break;
        case AFORK_MUX_TRUNCATED:
          self->n_received -= start;
          memmove (self->received, self->received + start, self->n_received);
          return true;
        default:
          return refuse (self, why);
        }
    }
}

bool
afork_mux_receive (AForkMux      *self,
                   const uint8_t *bytes,
                   size_t         size)
{
  while (size > 0)
    {
      size_t n_taken = RECEIVED_SIZE - self->n_received;

      n_taken = size < n_taken ? size : n_taken;
      memcpy (self->received + self->n_received, bytes, n_taken);
      self->n_received += n_taken;
      if (!take_frames (self))
        return false;
      bytes += n_taken;
      size -= n_taken;
    }

  return true;
}

/* Reads the connection once. */
static AForkMuxState
read_connection (AForkMux *self)
{
  ssize_t n_bytes = read (self->input, self->received + self->n_received,
                          RECEIVED_SIZE - self->n_received);

  if (n_bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    return AFORK_MUX_OPEN_STILL;
  if (n_bytes <= 0)
    return AFORK_MUX_ENDED;

  self->last_heard = afork_mux_now ();
  self->n_received += (size_t) n_bytes;
  return take_frames (self) ? AFORK_MUX_OPEN_STILL : AFORK_MUX_FAILED;
}

/* Waiting. */

static size_t
get_n_unsent (AForkMux *self)
{
  return self->sending_end - self->sending_start;
}

/* Frees the channels that have ended. */
static void
free_ended (AForkMux *self)
{
  for (AForkMuxChannel *channel = self->channels, *next; channel != NULL; channel = next)
    {
      next = channel->next;
      if (channel->id != 0 && channel->in_end && channel->out_end && channel->n_held == 0
          && (channel->shut || channel->socket < 0))
        free_channel (self, channel);
    }
}

static bool
make_polls (AForkMux *self,
            size_t    n_extra)
{
  const size_t needed = 2 * self->n_channels + n_extra + 2;

  if (needed > self->n_polls)
    {
      const size_t size = 2 * needed;

      free (self->polls);
      free (self->polled);
      self->polls = calloc (size, sizeof *self->polls);
      self->polled = calloc (size, sizeof *self->polled);
      self->n_polls = self->polls != NULL && self->polled != NULL ? size : 0;
    }

  return self->n_polls > 0 || fail_memory (self);
}

/* The time until something has to be done, in milliseconds, or -1. */
static int
get_timeout (AForkMux *self,
             int       timeout)
{
  const int64_t now = afork_mux_now ();
  int64_t due;

  if (self->keepalive == 0 || self->closed)
    return timeout;

  due = self->last_heard + self->keepalive;
  if (self->last_sent + self->keepalive / PINGS < due)
    due = self->last_sent + self->keepalive / PINGS;
  due = due > now ? due - now : 0;
  return timeout < 0 || due < timeout ? (int) due : timeout;
}

/* Sends a heartbeat if it is time. Returns whether one of the other side has come in time. */
static AForkMuxState
check_time (AForkMux *self)
{
  const AForkMuxFrame ping = { .kind = AFORK_MUX_PING };
  const int64_t now = afork_mux_now ();

  if (self->keepalive == 0 || self->closed)
    return AFORK_MUX_OPEN_STILL;
  if (now - self->last_heard >= self->keepalive)
    return AFORK_MUX_SILENT;
  if (now - self->last_sent >= self->keepalive / PINGS)
    {
      /* If the last one was not sent, another one is of no use. */
      self->last_sent = now;
      if (get_n_unsent (self) == 0 && !afork_mux_put (self, &ping))
        return AFORK_MUX_FAILED;
    }

  return AFORK_MUX_OPEN_STILL;
}

/* Whether what comes on CHANNEL can be sent. */
static bool
can_send (AForkMux        *self,
          AForkMuxChannel *channel)
{
  return !channel->in_end && channel->credit > 0 && !self->closed
    && get_n_unsent (self) < MAX_SENDING;
}

static bool
reads_source (AForkMux        *self,
              AForkMuxChannel *channel)
{
  return channel->source >= 0 && !channel->in.diverts && can_send (self, channel);
}

static short
get_events (AForkMux        *self,
            AForkMuxChannel *channel)
{
  short events = 0;

  if ((channel->source < 0 || channel->in.diverts) && channel->waiting == NULL
      && can_send (self, channel))
    events |= POLLIN;
  if (channel->queue_start < channel->queue_end)
    events |= POLLOUT;
  return events;
}

/* FD is the socket of CHANNEL or its source. */
static bool
serve_channel (AForkMux        *self,
               AForkMuxChannel *channel,
               int              fd,
               short            revents)
{
  if (fd != channel->socket)
    return fd != channel->source || !reads_source (self, channel) || read_source (self, channel);

  if ((revents & (POLLOUT | POLLERR)) != 0 && !afork_mux_write_queue (self, channel))
    return false;
  /* Other channels may have filled the queue of the connection in this turn. */
  if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 && (get_events (self, channel) & POLLIN) != 0
      && !read_socket (self, channel))
    return false;

  return afork_mux_release (self, channel);
}

AForkMuxState
afork_mux_turn (AForkMux      *self,
                struct pollfd *extra,
                size_t         n_extra,
                int            timeout)
{
  AForkMuxState state;
  size_t n_polls = 2;
  size_t first, n_sockets;

  free_ended (self);
  if (!make_polls (self, n_extra))
    return AFORK_MUX_FAILED;

  self->polls[0] = (struct pollfd) { self->closed ? -1 : self->input, POLLIN, 0 };
  self->polls[1] = (struct pollfd) {
    !self->closed && get_n_unsent (self) > 0 ? self->output : -1, POLLOUT, 0,
  };
  for (size_t i = 0; i < n_extra; i++)
    self->polls[n_polls++] = extra[i];
  first = n_polls;
  for (AForkMuxChannel *channel = self->channels; channel != NULL; channel = channel->next)
    {
      const short events = channel->socket >= 0 ? get_events (self, channel) : 0;

      self->polled[n_polls] = channel;
      if (events != 0)
        self->polls[n_polls++] = (struct pollfd) { channel->socket, events, 0 };
      self->polled[n_polls] = channel;
      if (reads_source (self, channel))
        self->polls[n_polls++] = (struct pollfd) { channel->source, POLLIN, 0 };
    }

  if (poll (self->polls, n_polls, get_timeout (self, timeout)) < 0)
    for (size_t i = 0; i < n_polls; i++)
      self->polls[i].revents = 0;
  for (size_t i = 0; i < n_extra; i++)
    extra[i].revents = self->polls[2 + i].revents;

  /* What has come is read before the silence is judged. */
  if (self->polls[0].revents != 0 && (state = read_connection (self)) != AFORK_MUX_OPEN_STILL)
    return state;
  if ((state = check_time (self)) != AFORK_MUX_OPEN_STILL)
    return state;

  n_sockets = n_polls - first;
  self->first_polled++;
  for (size_t i = 0; i < n_sockets; i++)
    {
      const size_t polled = first + (i + self->first_polled) % n_sockets;

      if (self->polls[polled].revents != 0
          && !serve_channel (self, self->polled[polled], self->polls[polled].fd,
                             self->polls[polled].revents))
        return AFORK_MUX_FAILED;
    }
  for (AForkMuxChannel *channel = self->channels; channel != NULL; channel = channel->next)
    if (!resume (self, channel) || !put_credit (self, channel)
        || !afork_mux_release (self, channel))
      return AFORK_MUX_FAILED;

  return self->closed || afork_mux_flush (self) ? AFORK_MUX_OPEN_STILL : AFORK_MUX_ENDED;
}
