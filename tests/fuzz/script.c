/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../util/send-fds.h"

bool
script_next (Script   *self,
             unsigned  n_ops,
             Step     *step)
{
  size_t n_args;

  if (self->n_bytes == 0)
    return false;

  step->op = (uint8_t) (self->bytes[0] % n_ops);
  n_args = self->n_bytes > 1 ? self->bytes[1] % (SCRIPT_MAX_ARGS + 1) : 0;
  if (self->n_bytes <= 2)
    n_args = 0;
  else if (n_args > self->n_bytes - 2)
    n_args = self->n_bytes - 2;

  step->args = self->bytes + 2;
  step->n_args = n_args;
  if (self->n_bytes <= 2)
    {
      self->n_bytes = 0;
      return true;
    }

  self->bytes += 2 + n_args;
  self->n_bytes -= 2 + n_args;
  return true;
}

uint8_t
step_take (Step *self)
{
  if (self->n_args == 0)
    return 0;

  self->n_args--;
  return *self->args++;
}

uint32_t
step_take_number (Step *self)
{
  uint32_t number = step_take (self);
  size_t n_more = number < 0xf0 ? 0 : number < 0xf8 ? 1 : 4;

  if (number == 0xff)
    return UINT32_MAX;

  for (size_t i = 0; i < n_more; i++)
    number = number << 8 | step_take (self);
  return number;
}

/* A word; or as many arguments as one says; or the same character very many times. */
static const char *
take_string (Step   *self,
             char   *buffer,
             size_t  size)
{
  size_t n_words = 0;
  uint8_t first = step_take (self);
  size_t length;

  while (script_words[n_words] != NULL)
    n_words++;
  if (first < 0xc0)
    return script_words[first % n_words];

  if (first < 0xf0)
    {
      length = first & 0xf;
      for (size_t i = 0; i < length; i++)
        buffer[i] = (char) step_take (self);
    }
  else
    {
      length = ((size_t) step_take (self) << 4 | (first & 0xf)) % size;
      if (first >= 0xfe)
        length = size - 1;
      memset (buffer, 'x', length);
    }

  buffer[length] = '\0';
  return buffer;
}

static void
reserve (Outbox *self,
         size_t  n_bytes)
{
  if (self->n_bytes + n_bytes <= self->capacity)
    return;

  self->capacity = 2 * (self->n_bytes + n_bytes);
  self->bytes = realloc (self->bytes, self->capacity);
  if (self->bytes == NULL)
    abort ();
}

void
outbox_add_bytes (Outbox     *self,
                  const void *bytes,
                  size_t      n_bytes)
{
  reserve (self, n_bytes);
  if (n_bytes > 0)
    memcpy (self->bytes + self->n_bytes, bytes, n_bytes);
  self->n_bytes += n_bytes;
}

void
outbox_add_whole_frame (Outbox           *self,
                        const AForkFrame *frame)
{
  size_t size = afork_frame_size (frame);

  if (size == 0)
    return;
  reserve (self, size);
  afork_frame_write (frame, self->bytes + self->n_bytes);
  self->n_bytes += size;
}

void
outbox_add_frame (Outbox     *self,
                  AForkFrame *frame,
                  Step       *step)
{
  static char string[2][AFORK_FRAME_PIECE_SIZE];
  static char word[8][64];
  static uint8_t array[8 * 80];
  const char *words[9] = { NULL };
  size_t n_words;

  for (size_t i = 0; i < 2; i++)
    if (frame->string[i] == NULL)
      frame->string[i] = take_string (step, string[i], sizeof string[i]);

  /* The remaining arguments make an array, and bytes. */
  frame->bytes = step->args;
  frame->n_bytes = step->n_args;
  n_words = step_take (step) % 8;
  for (size_t i = 0; i < n_words; i++)
    words[i] = take_string (step, word[i], sizeof word[i]);
  frame->strings.bytes = array;
  frame->strings.n_bytes = afork_strings_size (words, &frame->strings.n_strings);
  afork_strings_write (words, array);
  if (frame->n_bytes > 0 && frame->bytes[0] == 0xff)
    {
      frame->bytes = (const uint8_t *) string[0];
      frame->n_bytes = sizeof string[0];
    }

  outbox_add_whole_frame (self, frame);
}

bool
outbox_add_fd (Outbox *self,
               int     fd)
{
  if (fd < 0 || self->n_fds == sizeof self->fds / sizeof self->fds[0])
    return false;

  self->fds[self->n_fds++] = fd;
  return true;
}

/* Sends once. Returns the number of bytes, or 0. */
static size_t
send_once (Outbox *self,
           int     socket,
           size_t  n_bytes)
{
  size_t n_fds = self->n_fds < AFORK_FRAME_MAX_FDS ? self->n_fds : AFORK_FRAME_MAX_FDS;
  ssize_t n_sent;

  if (n_fds < self->n_fds)
    n_bytes = 1;
  n_sent = send_with_fds (socket, self->bytes, n_bytes, self->fds, n_fds,
                          MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n_sent <= 0)
    return 0;

  self->n_fds -= n_fds;
  memmove (self->fds, self->fds + n_fds, self->n_fds * sizeof (int));
  self->n_bytes -= (size_t) n_sent;
  memmove (self->bytes, self->bytes + n_sent, self->n_bytes);
  return (size_t) n_sent;
}

void
outbox_send (Outbox *self,
             int     socket,
             size_t  n_bytes)
{
  size_t n_left = n_bytes < self->n_bytes ? n_bytes : self->n_bytes;
  size_t n_sent;

  while (n_left > 0 && (n_sent = send_once (self, socket, n_left)) > 0)
    n_left -= n_sent;
}

void
outbox_clear (Outbox *self)
{
  self->n_bytes = 0;
  self->n_fds = 0;
}
