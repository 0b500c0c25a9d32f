/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-call-frame.h"

G_BEGIN_DECLS

/* Values as they travel: in normal form, little-endian. */

/* VALUE so, which has *SIZE bytes then; or NULL and G_IO_ERROR_MESSAGE_TOO_LARGE if it is nested
 * more deeply than GLib reads values, or a type of it is too complex. */
GVariant *_afork_call_value_export (GVariant              *value,
                                    gsize                 *size,
                                    GError               **error);

/* The value of FRAME, or NULL and an error. OWNER has the frame's bytes, or is NULL if they will be
 * overwritten. SAMPLE, NULL at first, becomes a value of the same type: the next one most often is,
 * and then the type need not be checked again, nor GLib forget and learn it. IS_CHECKED becomes
 * whether it is known that the value is in normal form; if not, that takes long, and is to be
 * checked in steps. */
GVariant *_afork_call_value_import (const AForkCallFrame  *frame,
                                    GBytes                *owner,
                                    GVariant             **sample,
                                    gboolean              *is_checked,
                                    GError               **error);

/* It is not in normal form. Returns false. */
gboolean  _afork_call_value_refuse (GError               **error);

/* SIZE bytes at DATA, without copying them if OWNER has them. NULL and an error if there is no
 * memory. */
GBytes   *_afork_call_value_get_bytes (const guint8       *data,
                                       gsize               size,
                                       GBytes             *owner,
                                       GError            **error);

G_END_DECLS
