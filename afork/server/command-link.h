/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The server's end of its command socket: it receives and sends frames and descriptors. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "failure.h"
#include "fd-set.h"

/* The buffers are small, so that a fork touches one page of memory with all of this. A larger frame
 * is received in allocated memory. */
enum
{
  AFORK_LINK_INPUT_SIZE = 1024,
  AFORK_LINK_OUTPUT_SIZE = 512,
  AFORK_LINK_MAX_FDS = 4 * AFORK_FRAME_MAX_FDS,
};

typedef struct
{
  int      socket;

  uint8_t *input;             /* `initial_input`, or allocated after a larger frame has come */
  size_t   input_size;
  size_t   input_start;       /* the first byte that was not parsed */
  size_t   input_end;         /* the end of what was received */
  size_t   n_fds;             /* how many of `fds` were received and not taken */

  size_t   n_output;          /* bytes of `output` to be sent */
  int      error;             /* the errno value of the first failure to send, or 0 */
  bool     broken;            /* part of a frame was sent, so nothing more can be */
  bool     output_lost;       /* output was dropped because the other end is closed */

  struct
  {
    _Alignas (struct cmsghdr) uint8_t bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
  } control;                  /* for recvmsg() */

  uint8_t  output[AFORK_LINK_OUTPUT_SIZE];
  uint8_t  initial_input[AFORK_LINK_INPUT_SIZE];
  int      fds[AFORK_LINK_MAX_FDS];
} AForkLink;

typedef enum
{
  AFORK_LINK_OK,
  AFORK_LINK_EMPTY,           /* nothing to take for now */
  AFORK_LINK_END,             /* the other end was closed */
  AFORK_LINK_FAILED,          /* sets the failure */
} AForkLinkResult;

/* Initializes SELF with SOCKET, which it owns. Async-signal-safe. */
void            afork_link_init    (AForkLink        *self,
                                    int               socket);

/* Uses SOCKET instead, and drops what was received. Adds the descriptors to close to CLOSED. Not
 * async-signal-safe. */
void            afork_link_switch  (AForkLink        *self,
                                    int               socket,
                                    AForkFdSet       *closed);

/* Receives once. Returns AFORK_LINK_EMPTY if nothing has come and WAIT is false. Not
 * async-signal-safe. */
AForkLinkResult afork_link_receive (AForkLink        *self,
                                    bool              wait,
                                    AForkFailure     *failure);

/* Sets FRAME to the next whole frame that was received. It is valid until the next call of any of
 * these functions. All its descriptors have arrived, and the caller must take them. Not
 * async-signal-safe. */
AForkLinkResult afork_link_next    (AForkLink        *self,
                                    AForkFrame       *frame,
                                    AForkFailure     *failure);

/* Returns the first descriptor that was not taken, which the caller then owns. There must be one.
 * Async-signal-safe. */
int             afork_link_take_fd (AForkLink        *self);

/* Returns whether all bytes and descriptors that were received have been taken.
 * Async-signal-safe. */
bool            afork_link_is_idle (const AForkLink  *self);

/* Adds a frame without strings to the output, which is sent when it is full, or by the next flush.
 * Async-signal-safe. */
void            afork_link_put     (AForkLink        *self,
                                    const AForkFrame *frame);

/* Sends the output, and waits for room. Returns false and sets the link's error on failure. If
 * the caller has closed its end, the output is dropped and this returns true: receiving returns
 * AFORK_LINK_END then. Async-signal-safe. */
bool            afork_link_flush   (AForkLink        *self);

/* Sends the output, then FRAME with its descriptors FDS, two at most. Its strings are no longer
 * than a failure's text. Returns as afork_link_flush() does. Async-signal-safe. */
bool            afork_link_send    (AForkLink        *self,
                                    const AForkFrame *frame,
                                    const int        *fds);
