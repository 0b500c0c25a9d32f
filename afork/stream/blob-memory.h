/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The memory of blobs: memfds that the sender fills and the receiver maps.
 *
 * The receiver's mapping is private and writable, because some languages give a program the bytes
 * of a GBytes for writing, and a write to read-only memory ends the process. A page that is
 * written to becomes a copy, which only this process sees. Until then a page shows what is in the
 * memfd.
 *
 * All functions may be called from any thread. */

/* Returns an empty memfd, or -1 and sets errno. */
int       _afork_blob_memory_new          (void);

/* These two give a memfd its size: the first allocates the pages of SIZE bytes from OFFSET on, and
 * the second writes DATA. They return false and set errno on failure, also if the memfd would
 * exceed RLIMIT_FSIZE. */
gboolean  _afork_blob_memory_reserve      (int            fd,
                                           gsize          offset,
                                           gsize          size);
gboolean  _afork_blob_memory_write        (int            fd,
                                           gconstpointer  data,
                                           gsize          size);

/* Whether all SIZE bytes of FD have pages. */
gboolean  _afork_blob_memory_is_complete  (int            fd,
                                           guint64        size);

/* Whether this process can read seals. In some sandboxes it cannot. Then it must not accept memory
 * from a process that it does not trust, because _afork_blob_memory_check() checks no seals. */
gboolean  _afork_blob_memory_can_check    (void);

/* Checks that FD is a memfd of SIZE bytes that has all its pages and at least SEALS. These must
 * include F_SEAL_SHRINK and F_SEAL_GROW, so that all of it can be read, now and later. */
gboolean  _afork_blob_memory_check        (int            fd,
                                           guint64        size,
                                           int            seals,
                                           GError       **error);

/* Maps memory that was checked. Unmap it with _afork_memory_unmap(). Returns NULL on failure. */
void     *_afork_blob_memory_map          (int            fd,
                                           guint64        size,
                                           GError       **error);

/* Drops the copied pages of the first SIZE bytes at DATA, so that they show the memfd again.
 * Returns false if copies may be left. Set *N_FAULTS to 0 at first, and pass the same variable
 * again: it keeps the number of page faults of this process at the last time that there were no
 * copies. */
gboolean  _afork_blob_memory_drop_copies  (void          *data,
                                           gsize          size,
                                           guint64       *n_faults);

G_END_DECLS
