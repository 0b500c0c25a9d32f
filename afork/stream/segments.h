/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/context.h"

G_BEGIN_DECLS

/* Blobs in shared memory.
 *
 * A segment is a memfd that the sender makes, fills, and announces once with its number, and that
 * the receiver maps (see blob-memory.h). A blob then only names it. When nobody has the blob any
 * more, the receiver gives the segment back, and the sender fills it again: memory that is used
 * again is several times as fast as fresh memory, however that travels.
 *
 * A segment has all its pages from the beginning, and is sealed so that it can neither shrink nor
 * grow, nor lose pages, nor be written to but by the mapping that its sender has. So the receiver,
 * which checks this, can read all of it whatever the sender does; but what it reads changes if the
 * sender does not keep to the protocol. Where that is not to be borne, a blob goes in a memfd of
 * its own that nobody can write to any more: a sealed blob.
 *
 * All functions may be called from any thread. */

enum
{
  /* Blobs from this size on, in bytes, go in a segment if there is one to be had. Measured with
   * results that the caller reads and drops, one after the other, on one CPU, against the socket
   * into memory that malloc() has again: the same at 16 KiB, 1.1 times as fast at 32 KiB, 1.5 at
   * 64 KiB, 2.1 at 1 MiB, 2.5 at 16 MiB, 7 where malloc() takes fresh memory, from 32 MiB. */
  AFORK_SEGMENT_MIN_BLOB = 32 * 1024,
  /* … or, where there are no segments, in a memfd of their own. That is fresh memory, too: about
   * 1500 MiB/s at all sizes, against more than 4000 of the socket up to 16 MiB, and 1400 from
   * 32 MiB. */
  AFORK_SEALED_MIN_BLOB = 32 * 1024 * 1024,
  /* … up to this, for the receiver has the kernel look at each page: about 5 ms. */
  AFORK_SEALED_MAX_BLOB = 256 * 1024 * 1024,

  /* What one side has at a time, in use or not. The other side sees to it, too. */
  AFORK_SEGMENTS_MAX = 64,
  AFORK_SEGMENTS_MAX_BYTES = 1024 * 1024 * 1024,
  /* Of those that are not in use, this many bytes are kept. A blob over that goes through the
   * socket: a segment for it alone would be fresh memory on both sides, 0.6 times as fast. */
  AFORK_SEGMENTS_MAX_IDLE_BYTES = 64 * 1024 * 1024,
  AFORK_SEGMENT_MAX_BLOB = AFORK_SEGMENTS_MAX_IDLE_BYTES,
};

/* The segments of one side, which it fills. */
typedef struct _AForkSegmentPool AForkSegmentPool;

AForkSegmentPool  *_afork_segment_pool_new         (void);
void               _afork_segment_pool_free        (AForkSegmentPool   *self);

/* Copies BLOB to a segment. Returns its number, or 0 if there is none to be had, which is no error.
 * If *FD becomes other than -1, the segment is new, has *CAPACITY bytes, and is to be announced;
 * the descriptor is the caller's. What _afork_segment_pool_take_ended() gives
 * has to be told first. */
guint32            _afork_segment_pool_fill        (AForkSegmentPool   *self,
                                                    GBytes             *blob,
                                                    int                *fd,
                                                    gsize              *capacity);
/* The receiver gives a segment back. */
gboolean           _afork_segment_pool_release     (AForkSegmentPool   *self,
                                                    guint32             number,
                                                    GError            **error);
/* The next segment whose end the receiver has to be told, or 0. */
guint32            _afork_segment_pool_take_ended  (AForkSegmentPool   *self);
guint              _afork_segment_pool_count_ended (AForkSegmentPool   *self);

/* The other side's segments, which this one reads. */
typedef struct _AForkSegmentTable AForkSegmentTable;

AForkSegmentTable *_afork_segment_table_new        (void);
/* Gives the table up. Blobs that somebody has stay what they are. */
void               _afork_segment_table_free       (AForkSegmentTable  *self);

/* The thread that gives a blob up wakes CONTEXT, if that is not NULL, and calls WAKE, if that is
 * not NULL, without any lock held. */
void               _afork_segment_table_set_wake   (AForkSegmentTable  *self,
                                                    AForkContext       *context,
                                                    void              (*wake) (gpointer data),
                                                    gpointer            data);

/* A segment is announced. FD stays the caller's, who may close it at once. */
gboolean           _afork_segment_table_add        (AForkSegmentTable  *self,
                                                    guint32             number,
                                                    guint64             size,
                                                    int                 fd,
                                                    GError            **error);
gboolean           _afork_segment_table_end        (AForkSegmentTable  *self,
                                                    guint32             number,
                                                    GError            **error);
/* A blob that is in a segment. */
GBytes            *_afork_segment_table_get        (AForkSegmentTable  *self,
                                                    guint32             number,
                                                    guint64             size,
                                                    GError            **error);
/* The next segment to be given back, or 0. */
guint32            _afork_segment_table_take_released (AForkSegmentTable *self);
guint              _afork_segment_table_count_released (AForkSegmentTable *self);

/* A descriptor of a memfd that has BLOB and cannot be changed any more, or -1 and errno. */
int                _afork_sealed_blob_new          (GBytes             *blob);
/* What the other side says is such a one. FD stays the caller's. */
GBytes            *_afork_sealed_blob_map          (int                 fd,
                                                    guint64             size,
                                                    GError            **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkSegmentPool, _afork_segment_pool_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkSegmentTable, _afork_segment_table_free)

G_END_DECLS
