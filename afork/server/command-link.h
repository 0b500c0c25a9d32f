/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The server's end of its command socket: frames and descriptors in, frames and descriptors out. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "failure.h"
#include "fd-set.h"

/* The buffers are small, so that a fork, which rarely needs more, touches one page of memory with
 * all of this; a larger frame gets memory of its own. */
enum
{
  AFORK_LINK_INPUT_SIZE = 1024,
  AFORK_LINK_OUTPUT_SIZE = 512,
  AFORK_LINK_MAX_FDS = 4 * AFORK_FRAME_MAX_FDS,
};

typedef struct
{
  int      socket;

  uint8_t *input;             /* INITIAL_INPUT, or allocated while frames are larger than that */
  size_t   input_size;
  size_t   input_start;       /* taken up to here … */
  size_t   input_end;         /* … and received up to here */
  size_t   n_fds;             /* received, and claimed by no frame yet: the first of FDS */

  size_t   n_output;          /* bytes put, and not sent yet */
  int      error;             /* why something was lost that should have been sent; or 0 */
  bool     broken;            /* … and half of a frame has left, so nothing can come behind it */
  bool     output_lost;       /* something was lost because nobody is there to be told */

  struct
  {
    _Alignas (struct cmsghdr) uint8_t bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
  } control;                  /* what recvmsg() finds descriptors in */

  uint8_t  output[AFORK_LINK_OUTPUT_SIZE];
  uint8_t  initial_input[AFORK_LINK_INPUT_SIZE];
  int      fds[AFORK_LINK_MAX_FDS];
} AForkLink;

typedef enum
{
  AFORK_LINK_OK,
  AFORK_LINK_EMPTY,           /* there is nothing more for now */
  AFORK_LINK_END,             /* the other side has closed */
  AFORK_LINK_FAILED,          /* FAILURE says why */
} AForkLinkResult;

void            afork_link_init    (AForkLink        *self,
                                    int               socket);

/* Becomes another end, giving up what was received. What is to be closed is added to CLOSED. */
void            afork_link_switch  (AForkLink        *self,
                                    int               socket,
                                    AForkFdSet       *closed);

/* Receives once. Without WAIT, AFORK_LINK_EMPTY where it would have to wait. */
AForkLinkResult afork_link_receive (AForkLink        *self,
                                    bool              wait,
                                    AForkFailure     *failure);

/* The next whole frame of what was received; it is good until the next call of any of these. The
 * descriptors that it names have arrived, and must be taken. */
AForkLinkResult afork_link_next    (AForkLink        *self,
                                    AForkFrame       *frame,
                                    AForkFailure     *failure);

/* Takes the first descriptor that no frame has claimed. */
int             afork_link_take_fd (AForkLink        *self);

/* Whether bytes or descriptors have come that no frame has claimed. */
bool            afork_link_is_idle (const AForkLink  *self);

/* Puts a short frame up for sending, one without strings; it leaves when there is no more room, or
 * with the next flush. */
void            afork_link_put     (AForkLink        *self,
                                    const AForkFrame *frame);

/* Sends what was put. Waits for room. False, and an error from then on, if it is lost. A caller
 * that is gone is no error here: receiving will tell. */
bool            afork_link_flush   (AForkLink        *self);

/* Sends what was put, and FRAME with its descriptors, of which it may have two. Its strings are no
 * longer than a failure's text. False, as before, if it is lost. */
bool            afork_link_send    (AForkLink        *self,
                                    const AForkFrame *frame,
                                    const int        *fds);
