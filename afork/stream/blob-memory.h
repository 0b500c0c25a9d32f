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

/* Returns an empty memfd, or -1 and errno. */
int       _afork_blob_memory_new          (void);

/* These two give a memfd its size. They return false and errno where that is not possible, which
 * includes a size beyond RLIMIT_FSIZE. */
gboolean  _afork_blob_memory_reserve      (int            fd,
                                           gsize          size);
gboolean  _afork_blob_memory_write        (int            fd,
                                           gconstpointer  data,
                                           gsize          size);

/* Whether all SIZE bytes of FD have pages. */
gboolean  _afork_blob_memory_is_complete  (int            fd,
                                           guint64        size);

/* Whether this process can look at seals. Where it cannot, as in some sandboxes, it must not
 * accept memory from a process that it does not trust, because _afork_blob_memory_check() then
 * checks no seals. */
gboolean  _afork_blob_memory_can_check    (void);

/* Checks that FD is a memfd of SIZE bytes that has all its pages and at least SEALS, which
 * include those against a change of the size: then all of it can be read, now and later. */
gboolean  _afork_blob_memory_check        (int            fd,
                                           guint64        size,
                                           int            seals,
                                           GError       **error);

/* Maps memory that was checked. Unmap it with _afork_memory_unmap(). */
void     *_afork_blob_memory_map          (int            fd,
                                           guint64        size,
                                           GError       **error);

/* Drops the copies of pages among the first SIZE bytes at DATA, so that they show what is in the
 * memfd. Returns false if copies may be left. *N_FAULTS is how many page faults this process had
 * had when there were last no copies. It is 0 at first, and kept for the next time. */
gboolean  _afork_blob_memory_drop_copies  (void          *data,
                                           gsize          size,
                                           guint64       *n_faults);

G_END_DECLS
