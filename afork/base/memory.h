/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Memory whose size another process decides. GLib's own functions end the program where there is
 * none; these return NULL, and leave some for what is small and of a fixed size. */

/* Frees with _afork_memory_free(). */
gpointer  _afork_memory_new       (gsize           size);
void      _afork_memory_free      (gpointer        data,
                                   gsize           size);
/* Takes DATA, which is of _afork_memory_new(). */
GBytes   *_afork_memory_to_bytes  (gpointer        data,
                                   gsize           size);

/* Makes memory of SIZE bytes larger. NULL, and the old is as it was, if there is none. */
gpointer  _afork_memory_grow      (gpointer        data,
                                   gsize           size,
                                   gsize           new_size);

GBytes   *_afork_memory_dup_bytes (gconstpointer   data,
                                   gsize           size);

/* Whether there is memory of SIZE bytes, which is about to be allocated by functions that end the
 * program otherwise. */
gboolean  _afork_memory_is_left   (gsize           size);

/* Returns false. */
gboolean  _afork_memory_set_error (GError        **error,
                                   gsize           size);

/* Unmaps memory, in pieces if it is large: the kernel takes about 0.1 ms for each MiB that was
 * touched. Where a main context dispatches the caller, an idle source of that context unmaps what
 * is left over; so does the end of the context. */
void      _afork_memory_unmap     (gpointer        data,
                                   gsize           size);

G_END_DECLS
