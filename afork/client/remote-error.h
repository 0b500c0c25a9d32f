/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Cuts TEXT to at most MAX_SIZE bytes, at the start of a character. */
void    _afork_remote_text_cut  (char       *text,
                                 gsize       max_size);

/* An AForkError for an AForkWireError and a text that another process has sent. */
GError *_afork_remote_error_new (guint32     wire_error,
                                 const char *text);

G_END_DECLS
