/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-job.h"

G_BEGIN_DECLS

/* The identity of a job: its key, its arguments and its blobs. Jobs with equal identities do the
 * same work.
 *
 * Identities are compared byte by byte: values are equal if they have the same type and the same
 * serialized data. So values that differ never count as equal. A value that is not in normal form
 * may count as different from the same value in normal form, which does no harm.
 *
 * A job with descriptors has no identity, because two descriptors cannot be compared. Neither has a
 * job whose key, arguments and blobs have more than AFORK_JOB_IDENTITY_MAX_SIZE bytes. So it takes
 * less than a millisecond to hash an identity, or to compare two. */
enum
{
  AFORK_JOB_IDENTITY_MAX_SIZE = 1024 * 1024,
};

typedef struct
{
  const char *key;              /* or NULL */
  GVariant   *args;
  GPtrArray  *blobs;            /* of GBytes; NULL if there are none */
  gsize       size;             /* of all of these, in bytes */
  guint       hash;
} AForkJobIdentity;

/* Sets SELF to the identity of a job with ARGS. JOB is NULL for a plain call. The fields belong to
 * JOB and the caller. Returns false if the job has no identity. */
gboolean          _afork_job_identity_init  (AForkJobIdentity *self,
                                             GVariant         *args,
                                             AForkJob         *job);

/* Returns a copy that shares no memory with the original. */
AForkJobIdentity *_afork_job_identity_copy  (const AForkJobIdentity *self);
void              _afork_job_identity_free  (AForkJobIdentity       *self);

/* For GHashTable. */
guint             _afork_job_identity_hash  (gconstpointer self);
gboolean          _afork_job_identity_equal (gconstpointer a,
                                             gconstpointer b);

G_END_DECLS
