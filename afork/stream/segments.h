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
 * A segment is a memfd. The sender makes and fills it, and announces it once, with a number; the
 * receiver maps it (see blob-memory.h). The frame of a blob then only has the number. When the last
 * reference to the blob is dropped, the receiver gives the segment back, and the sender fills it
 * again. Memory that is used again is several times as fast as fresh memory, however that is sent.
 *
 * A segment has all its pages from the beginning. It is sealed so that it cannot shrink, grow or
 * lose pages, and that only the mapping of its sender can write to it. The receiver checks this,
 * and so can read all of the segment whatever the sender does. But what it reads changes if the
 * sender breaks the protocol. A receiver that does not trust the sender therefore gets each large
 * blob in a memfd of its own, to which no process can write any more: a sealed blob.
 *
 * One thread sends: it fills segments, and takes those that have ended or were released, to
 * announce them. One thread receives: it releases, adds, ends and gets segments. They may be the
 * same. The last reference to a blob may be dropped in any thread. */

enum
{
  /* Blobs of at least this size, in bytes, are sent in a segment if there is one. Measured with
   * results that the caller reads and drops, one after the other, on one CPU, against the socket
   * into memory that malloc() has again: the same at 16 KiB, 1.1 times as fast at 32 KiB, 1.5 at
   * 64 KiB, 2.1 at 1 MiB, 2.5 at 16 MiB, 7 where malloc() takes fresh memory, from 32 MiB. */
  AFORK_SEGMENT_MIN_BLOB = 32 * 1024,
  /* Where segments are not accepted, blobs of at least this size are sent sealed. A sealed blob is
   * fresh memory: about 1500 MiB/s at all sizes, against more than 4000 of the socket up to 16 MiB,
   * and 1400 from 32 MiB. */
  AFORK_SEALED_MIN_BLOB = 32 * 1024 * 1024,
  /* Larger blobs are not sent sealed, because the receiver has the kernel look at each page: about
   * 5 ms for this size. */
  AFORK_SEALED_MAX_BLOB = 256 * 1024 * 1024,

  /* The most that one side has at a time, in use or not. The other side checks it, too. */
  AFORK_SEGMENTS_MAX = 64,
  AFORK_SEGMENTS_MAX_BYTES = 1024 * 1024 * 1024,
  /* Segments that are not in use are kept up to this size together. A larger blob is sent through
   * the socket, to huge pages where the system has them: a segment for it alone would be fresh
   * memory with small pages on both sides, 0.3 times as fast. */
  AFORK_SEGMENTS_MAX_IDLE_BYTES = 64 * 1024 * 1024,
  AFORK_SEGMENT_MAX_BLOB = AFORK_SEGMENTS_MAX_IDLE_BYTES,
};

/* The segments of one side, which it fills. */
typedef struct _AForkSegmentPool AForkSegmentPool;

AForkSegmentPool  *_afork_segment_pool_new         (void);
void               _afork_segment_pool_free        (AForkSegmentPool   *self);

/* Copies BLOB to a segment: about *N_BYTES of it, from which it subtracts what it has done. This
 * takes up to half a millisecond for each MiB. Returns false if some of the blob is left: then call
 * it again with the same blob, or drop what was done.
 *
 * When the blob is copied, sets *NUMBER to the number of its segment, or to 0 if there can be none,
 * which is no error. If the segment is new, sets *FD to a descriptor that the caller owns, and
 * *CAPACITY to its size: then it has to be announced. Otherwise sets *FD to -1. The segments that
 * _afork_segment_pool_take_ended() returns have to be announced as ended first. */
gboolean           _afork_segment_pool_fill        (AForkSegmentPool   *self,
                                                    GBytes             *blob,
                                                    gsize              *n_bytes,
                                                    guint32            *number,
                                                    int                *fd,
                                                    gsize              *capacity);
/* Drops what was done of a blob, if anything was. */
void               _afork_segment_pool_drop_fill   (AForkSegmentPool   *self);

/* Gives back a segment whose blob is not sent. Returns false if it is not in use. */
gboolean           _afork_segment_pool_give_back   (AForkSegmentPool   *self,
                                                    guint32             number);

/* The receiver gives a segment back. */
gboolean           _afork_segment_pool_release     (AForkSegmentPool   *self,
                                                    guint32             number,
                                                    GError            **error);
/* The next segment that has to be announced as ended, or 0. */
guint32            _afork_segment_pool_take_ended  (AForkSegmentPool   *self);
guint              _afork_segment_pool_count_ended (AForkSegmentPool   *self);

/* The segments of the other side, which this side reads. */
typedef struct _AForkSegmentTable AForkSegmentTable;

AForkSegmentTable *_afork_segment_table_new        (void);
/* Frees the table. Blobs that are still referenced stay valid. */
void               _afork_segment_table_free       (AForkSegmentTable  *self);

/* The thread that drops the last reference to a blob wakes CONTEXT and calls WAKE, without holding
 * a lock. Either may be NULL. */
void               _afork_segment_table_set_wake   (AForkSegmentTable  *self,
                                                    AForkContext       *context,
                                                    void              (*wake) (gpointer data),
                                                    gpointer            data);

/* Adds a segment that was announced. FD stays the caller's, who may close it at once. */
gboolean           _afork_segment_table_add        (AForkSegmentTable  *self,
                                                    guint32             number,
                                                    guint64             size,
                                                    int                 fd,
                                                    GError            **error);
gboolean           _afork_segment_table_end        (AForkSegmentTable  *self,
                                                    guint32             number,
                                                    GError            **error);
/* Returns a blob in a segment, or NULL and an error. */
GBytes            *_afork_segment_table_get        (AForkSegmentTable  *self,
                                                    guint32             number,
                                                    guint64             size,
                                                    GError            **error);
/* The next segment to be given back, or 0. */
guint32            _afork_segment_table_take_released (AForkSegmentTable *self);
guint              _afork_segment_table_count_released (AForkSegmentTable *self);

/* Returns a memfd that has BLOB and cannot be changed any more, or -1 and errno. */
int                _afork_sealed_blob_new          (GBytes             *blob);
/* Maps a memfd of the other side, after a check that it cannot be changed any more. FD stays the
 * caller's. */
GBytes            *_afork_sealed_blob_map          (int                 fd,
                                                    guint64             size,
                                                    GError            **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkSegmentPool, _afork_segment_pool_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkSegmentTable, _afork_segment_table_free)

G_END_DECLS
