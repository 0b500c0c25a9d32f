/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* What comes on a channel's socket: bytes that are taken apart into frames, and descriptors that
 * these claim, in the order in which they came. */
typedef struct
{
  gboolean  exact;          /* nothing may be read beyond the frame that is awaited */
  gboolean  unparsed;       /* whether the input begins with a frame is not known yet */
  GPid      sender;         /* of the last message; 0 if the kernel did not tell it */

  guint8   *input;
  gsize     input_size;
  gsize     input_start;    /* taken up to here … */
  gsize     input_end;      /* … and received up to here */
  gsize     frame_size;     /* of the frame that it begins with, as far as known */
  GArray   *fds;            /* of int: received, and claimed by no frame yet */
  guint     n_expected;     /* descriptors that are to come … */
  GArray   *reserved_fds;   /* … and of int: some that keep room for these */
} AForkChannelReader;

void             _afork_channel_reader_init     (AForkChannelReader  *self);
void             _afork_channel_reader_clear    (AForkChannelReader  *self);
/* Closes the descriptors that no frame has claimed, and expects no more. */
void             _afork_channel_reader_drop_fds (AForkChannelReader  *self);

/* Sees to it that N_FDS more descriptors, which will come on SOCKET, will find room. False and
 * errno if there is none. */
gboolean         _afork_channel_reader_expect   (AForkChannelReader  *self,
                                                 GSocket             *socket,
                                                 guint                n_fds);

/* Reads once. False, and an error unless the other side has merely closed, if no more will come.
 * *N_BYTES is 0 where nothing has come. */
gboolean         _afork_channel_reader_read     (AForkChannelReader  *self,
                                                 GSocket             *socket,
                                                 gsize               *n_bytes,
                                                 GError             **error);

/* Takes the next frame, and its descriptors, for which FDS has room; FRAME is good until the next
 * reading. An error with AFORK_FRAME_INVALID. */
AForkFrameResult _afork_channel_reader_take     (AForkChannelReader  *self,
                                                 AForkFrame          *frame,
                                                 int                 *fds,
                                                 GError             **error);

/* Whether all that was read has been taken. */
gboolean         _afork_channel_reader_is_empty (AForkChannelReader  *self);

G_END_DECLS
