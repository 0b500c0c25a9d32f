/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* What leaves in one message: frames, and the descriptors that they name. */
typedef struct _AForkWriteBuffer AForkWriteBuffer;

AForkWriteBuffer *_afork_write_buffer_new     (void);
void              _afork_write_buffer_free    (AForkWriteBuffer *self);

/* Adds FRAME, whose size is SIZE, with FD, which is then taken, or -1. False if it does not fit. */
gboolean          _afork_write_buffer_add     (AForkWriteBuffer *self,
                                               const AForkFrame *frame,
                                               gsize             size,
                                               int               fd);
/* Adds a piece of an item, which is not copied. It must be the last that is added. */
void              _afork_write_buffer_end     (AForkWriteBuffer *self,
                                               GBytes           *bytes,
                                               gsize             offset,
                                               gsize             size,
                                               gboolean          more);

/* Sends what is left, or a part of it, without waiting. *N_BYTES is how many bytes were sent. */
GPollableReturn   _afork_write_buffer_send    (AForkWriteBuffer  *self,
                                               GSocket           *socket,
                                               gsize             *n_bytes,
                                               GError           **error);
gboolean          _afork_write_buffer_is_sent (AForkWriteBuffer  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkWriteBuffer, _afork_write_buffer_free)

G_END_DECLS
