/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-call-frame.h"

G_BEGIN_DECLS

/* Values are sent in normal form, little-endian. */

/* Returns VALUE in that form, and sets SIZE to its size in bytes. Returns NULL and
 * G_IO_ERROR_MESSAGE_TOO_LARGE if the value is nested more deeply than GLib reads values, or has a
 * type that is too complex. */
GVariant *_afork_call_value_export (GVariant              *value,
                                    gsize                 *size,
                                    GError               **error);

/* Returns the value of FRAME, or NULL and an error. OWNER keeps the bytes of the frame, or is NULL:
 * then they are copied. SAMPLE, NULL at first, keeps a value of the same type: most often the next
 * value has the same type, which is then not checked again, and stays in GLib's cache. Sets
 * IS_CHECKED to whether the value is known to be in normal form. If it is not, the check takes
 * long, and the caller does it in steps. */
GVariant *_afork_call_value_import (const AForkCallFrame  *frame,
                                    GBytes                *owner,
                                    GVariant             **sample,
                                    gboolean              *is_checked,
                                    GError               **error);

/* Sets the error for a value that is not in normal form. Returns false. */
gboolean  _afork_call_value_refuse (GError               **error);

/* Returns SIZE bytes at DATA: a part of OWNER, or a copy if that is NULL. Returns NULL and an error
 * if there is no memory. */
GBytes   *_afork_call_value_get_bytes (const guint8       *data,
                                       gsize               size,
                                       GBytes             *owner,
                                       GError            **error);

G_END_DECLS
