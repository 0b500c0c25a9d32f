/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "call-reader.h"
#include "call-stream.h"
#include "call-writer.h"
#include "normal-check.h"
#include "segments.h"

G_BEGIN_DECLS

/* For the parts of AForkCallStream only. They are: itself in call-stream.c, making frames of
 * messages in call-stream-send.c and messages of frames in call-stream-receive.c, and the blobs of
 * both in call-stream-blobs.c. */

/* Does something for a frame that takes long, about a millisecond at most. Sets the stream's `step`
 * to what is to be done next, or to NULL. */
typedef gboolean (*AForkCallStep) (AForkCallStream  *self,
                                   GError          **error);

struct _AForkCallStream
{
  gatomicrefcount    ref_count;
  int                fd;

  /* Sending. */
  AForkCallWriter   *writer;
  AForkSegmentPool  *pool;            /* for blobs that are sent */
  gboolean           send_sealed;     /* … but in sealed memfds, for the other side does not trust
                                       * us … */
  gboolean           send_no_fds;     /* descriptors do not arrive */
  gboolean           send_inline;     /* … or in no memory, for it cannot look at seals */
  GUnixFDList       *outbox;          /* of the other side: its descriptor; or NULL */
  gsize              outbox_size;

  /* Receiving. */
  AForkCallReader   *reader;
  GVariant          *sample;          /* see _afork_call_value_import() */
  AForkSegmentTable *table;           /* for blobs that come */
  gboolean           accept_segments; /* the other side is trusted … */
  gboolean           refuse_sealed;   /* … or is not to send any memory */
  gboolean           limits_fds;      /* that wait for their value */
  gboolean           accept_outbox;   /* it may still send one */
  AForkCallOutbox   *new_outbox;      /* that came, for sending; atomic; or NULL */

  /* What has come of the next value. */
  GArray            *fds;             /* of int */
  GPtrArray         *inline_blobs;    /* of GBytes; or NULL */
  gsize              n_inline_bytes;  /* in these */
  guint8            *open_blob;       /* to which more pieces will come, or NULL */
  gsize              open_size;       /* of it … */
  gsize              open_capacity;   /* … and how much there is room for */

  /* The frame that is being taken. */
  AForkCallStep      step;            /* what is to be done next, or NULL */
  AForkCallFrame     frame;
  GBytes            *owner;           /* has its bytes, or NULL */
  AForkCallMessage   message;         /* what there is of it, if it is one */
  gboolean           is_message;
  AForkNormalCheck  *check;           /* of its value; NULL until one is large */
  guint              n_sealed;        /* sealed blobs of it that have not been taken */
  guint64            n_blob_bytes;    /* in the blobs that have */
  guint              n_strings;       /* strings of it that have been taken */
  gsize              string_size;     /* bytes of the next one … */
  gsize              n_taken;         /* … of which these have … */
  gsize              n_written;       /* … and what they have become */
};

/* Gathers what the other side is to be told about segments of either side. */
void       _afork_call_stream_gather_news  (AForkCallStream       *self);

/* Sends BLOB ahead of its value, unless it goes with it. Returns how it goes; N_FDS is how many
 * descriptors the value has by now, and SEALED, of int, gets one more if it is one. */
guint32    _afork_call_stream_send_blob    (AForkCallStream       *self,
                                            GBytes                *blob,
                                            guint                  n_fds,
                                            GArray                *sealed);

/* Closes all descriptors that wait for their value. Nothing more will be taken, and the other side
 * may live on for a while. */
void       _afork_call_stream_drop_fds     (AForkCallStream       *self);

/* Takes the frame, which is a blob of the next value, or a piece of one. */
gboolean   _afork_call_stream_take_blob    (AForkCallStream       *self,
                                            GError               **error);
/* Forgets those that have come. */
void       _afork_call_stream_drop_blobs   (AForkCallStream       *self);
/* Takes a segment of the other side's. */
gboolean   _afork_call_stream_take_segment (AForkCallStream       *self,
                                            const AForkCallFrame  *frame,
                                            GError               **error);

/* Forgets the frame that is being taken. */
void       _afork_call_stream_drop_frame   (AForkCallStream       *self);

/* Begins to take the blobs of the frame's value, all of which have come. */
gboolean   _afork_call_stream_take_blobs   (AForkCallStream       *self,
                                            GError               **error);

G_END_DECLS
