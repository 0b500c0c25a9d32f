/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Another host, as one connection reaches it. All processes there share it. */
typedef struct _AForkHost AForkHost;

AForkHost    *_afork_host_new      (const char   *name);
AForkHost    *_afork_host_ref      (AForkHost    *self);
void          _afork_host_unref    (AForkHost    *self);

const char   *_afork_host_get_name (AForkHost    *self);

/* Notes that the connection has ended because of ERROR. Only the first time counts. */
void          _afork_host_set_lost (AForkHost    *self,
                                    const GError *error);
/* Returns the error of a process there whose exit nothing reports any more, or NULL if the
 * connection has not ended. */
GError       *_afork_host_new_lost_error (AForkHost *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkHost, _afork_host_unref)

G_END_DECLS
