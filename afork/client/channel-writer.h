/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* What leaves in one message: frames, and the descriptors that they name. */
typedef struct _AForkBatch AForkBatch;

AForkBatch *_afork_batch_new     (void);
void        _afork_batch_free    (AForkBatch        *self);

/* Adds FRAME, whose size is SIZE, with FD, which is then taken, or -1. False if it does not fit. */
gboolean    _afork_batch_add     (AForkBatch        *self,
                                  const AForkFrame  *frame,
                                  gsize              size,
                                  int                fd);
/* Adds a piece of an item, which is not copied. It must be the last that is added. */
void        _afork_batch_end     (AForkBatch        *self,
                                  GBytes            *bytes,
                                  gsize              offset,
                                  gsize              size,
                                  gboolean           more);

/* Sends what is left, or a part of it, without waiting. Returns how many bytes that was, or -1 and
 * errno. */
gssize      _afork_batch_send    (AForkBatch        *self,
                                  int                socket);
gboolean    _afork_batch_is_sent (AForkBatch        *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkBatch, _afork_batch_free)

G_END_DECLS
