/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Ends TEXT before the character that would make it longer than MAX_SIZE bytes. */
void    _afork_remote_text_cut  (char       *text,
                                 gsize       max_size);

/* What another process says has gone wrong: an AForkWireError and a text, as an AForkError. */
GError *_afork_remote_error_new (guint32     wire_error,
                                 const char *text);

G_END_DECLS
