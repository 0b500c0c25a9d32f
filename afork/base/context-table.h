/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/* One value for each main context. Any thread that has a reference to the owner may use the table.
 * It gets and sets the value of its own thread-default context. A value is removed when its context
 * is gone. */
typedef struct _AForkContextTable AForkContextTable;

/* Copies VALUE to *COPIED. Called with the table locked. */
typedef void (*AForkContextTableCopyFunc) (gpointer value,
                                           gpointer copied);

/* OWNER clears the table when it is disposed of, and frees it when it is finalized. It may get new
 * references while the table is cleared. */
AForkContextTable *_afork_context_table_new   (GObject                   *owner);
void               _afork_context_table_free  (AForkContextTable         *self);

/* Removes the values of all contexts. */
void               _afork_context_table_clear (AForkContextTable         *self);

/* Has COPY copy the value to *COPIED, or returns false if there is none. */
gboolean           _afork_context_table_get   (AForkContextTable         *self,
                                               AForkContextTableCopyFunc  copy,
                                               gpointer                   copied);
/* Replaces the value by VALUE, which is NULL for none. Calls REMOVED with VALUE when it is removed,
 * in whichever thread removes it, without a lock, and while the owner is not finalized. */
void               _afork_context_table_set   (AForkContextTable         *self,
                                               gpointer                   value,
                                               GDestroyNotify             removed);

G_END_DECLS
