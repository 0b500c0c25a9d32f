/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Memory whose size another process decides. If there is no memory, g_malloc() ends the program;
 * these functions return NULL. They also leave a reserve for small allocations of fixed size. */

/* Free it with _afork_memory_free(). */
gpointer  _afork_memory_new       (gsize           size);
void      _afork_memory_free      (gpointer        data,
                                   gsize           size);
/* Takes DATA, which _afork_memory_new() has returned. */
GBytes   *_afork_memory_to_bytes  (gpointer        data,
                                   gsize           size);

/* Enlarges DATA, of SIZE bytes. If there is no memory, returns NULL and leaves DATA as it was. */
gpointer  _afork_memory_grow      (gpointer        data,
                                   gsize           size,
                                   gsize           new_size);

GBytes   *_afork_memory_dup_bytes (gconstpointer   data,
                                   gsize           size);

/* Whether SIZE bytes can be allocated. Call it before functions that allocate them, and end the
 * program if they cannot. */
gboolean  _afork_memory_is_left   (gsize           size);

/* Sets an error for a message of SIZE bytes, and returns false. */
gboolean  _afork_memory_set_error (GError        **error,
                                   gsize           size);

/* Unmaps memory. The kernel takes about 0.1 ms for each MiB that was used. If the memory is large
 * and a main context dispatches the caller, an idle source of that context unmaps the memory, piece
 * by piece. If the context is freed before, the rest is unmapped then. */
void      _afork_memory_unmap     (gpointer        data,
                                   gsize           size);

G_END_DECLS
