/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* A file that a worker reads or writes: by a descriptor, or in memory if the caller is on another
 * host. A file is read from its start, or it is empty and is written. */
typedef struct
{
  int         fd;             /* -1 for a file in memory */
  GBytes     *content;        /* of a file in memory */
  gsize       position;
  GByteArray *written;        /* or NULL if nothing was written */
} WorkFile;

#define WORK_FILE_FOR_FD(n) ((WorkFile) { .fd = (n) })

WorkFile work_file_for_bytes (GBytes     *content);
void     work_file_clear     (WorkFile   *self);

/* These return -1 or FALSE and set errno if they fail. */

/* Reads the next bytes. Returns how many, or 0 at the end. */
gssize   work_file_read      (WorkFile   *self,
                              void       *buffer,
                              gsize       size);
/* Reads the first bytes, and leaves the position as it is. */
gssize   work_file_peek      (WorkFile   *self,
                              gsize       offset,
                              void       *buffer,
                              gsize       size);
gboolean work_file_rewind    (WorkFile   *self);
gboolean work_file_write     (WorkFile   *self,
                              const void *bytes,
                              gsize       size);
