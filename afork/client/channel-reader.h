/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* The most received descriptors that wait for their frames, and the most for which room is kept. A
 * server sends at most two at once, and never some for which there is no frame. */
enum { AFORK_CHANNEL_READER_MAX_FDS = 4 };

/* The receiving half of a channel. It receives bytes and descriptors, divides the bytes into
 * frames, and gives each frame its descriptors, in the order in which they came. */
typedef struct
{
  gboolean  exact;          /* read nothing after the next frame */
  gboolean  unparsed;       /* the input has not been searched for a frame yet */
  GPid      sender;         /* of the last message; 0 if the kernel did not report it */

  guint8   *input;
  gsize     input_size;
  gsize     input_start;    /* where the bytes begin that no frame has used */
  gsize     input_end;      /* where the received bytes end */
  gsize     frame_size;     /* of the frame at input_start, as far as it is known */
  int       fds[AFORK_CHANNEL_READER_MAX_FDS];           /* that came and no frame has claimed */
  guint     n_fds;
  gboolean  has_too_many_fds;                            /* more came, and were closed */
  guint     n_fds_to_come;                               /* that must find room when they come */
  int       reserved_fds[AFORK_CHANNEL_READER_MAX_FDS];  /* keep this room, and are closed while a
                                                          * message is received */
  guint     n_reserved_fds;
} AForkChannelReader;

void             _afork_channel_reader_init        (AForkChannelReader  *self);
void             _afork_channel_reader_clear       (AForkChannelReader  *self);
/* Closes the descriptors that no frame has claimed, and the reserved ones. */
void             _afork_channel_reader_drop_fds    (AForkChannelReader  *self);

/* Keeps room for N_FDS more descriptors, which will come on SOCKET: for
 * AFORK_CHANNEL_READER_MAX_FDS in all. Returns false and sets errno if there is no room. */
gboolean         _afork_channel_reader_reserve_fds (AForkChannelReader  *self,
                                                    GSocket             *socket,
                                                    guint                n_fds);

/* Receives one message, and sets *N_BYTES to 0 if there is none. Returns false if no more will
 * come: the other side has closed the socket, or there is an error, which is set. */
gboolean         _afork_channel_reader_read        (AForkChannelReader  *self,
                                                    GSocket             *socket,
                                                    gsize               *n_bytes,
                                                    GError             **error);

/* Takes the next frame. FRAME is valid until the next read. FDS has room for the descriptors of any
 * frame. Sets ERROR if it returns AFORK_FRAME_INVALID. */
AForkFrameResult _afork_channel_reader_take        (AForkChannelReader  *self,
                                                    AForkFrame          *frame,
                                                    int                 *fds,
                                                    GError             **error);

/* Whether frames have used all bytes that were read. */
gboolean         _afork_channel_reader_is_empty    (AForkChannelReader  *self);

G_END_DECLS
