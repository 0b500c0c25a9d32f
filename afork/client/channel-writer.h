/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* Frames that are sent in one message, with their descriptors. */
typedef struct _AForkWriteBuffer AForkWriteBuffer;

AForkWriteBuffer *_afork_write_buffer_new     (void);
void              _afork_write_buffer_free    (AForkWriteBuffer *self);

/* Adds FRAME of SIZE bytes and takes FD, its descriptor, or -1. Returns false, and takes nothing,
 * if the frame does not fit. */
gboolean          _afork_write_buffer_add     (AForkWriteBuffer *self,
                                               const AForkFrame *frame,
                                               gsize             size,
                                               int               fd);
/* Adds a piece of an item, without a copy. Nothing can be added after that. */
void              _afork_write_buffer_end     (AForkWriteBuffer *self,
                                               GBytes           *bytes,
                                               gsize             offset,
                                               gsize             size,
                                               gboolean          more);

/* Sends as much as possible without waiting. Sets *N_BYTES to the number of bytes that were sent.
 * Fails with G_IO_ERROR_BUSY if too many descriptors of this user are in flight, on any socket. */
GPollableReturn   _afork_write_buffer_send    (AForkWriteBuffer  *self,
                                               GSocket           *socket,
                                               gsize             *n_bytes,
                                               GError           **error);
gboolean          _afork_write_buffer_is_sent (AForkWriteBuffer  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkWriteBuffer, _afork_write_buffer_free)

G_END_DECLS
