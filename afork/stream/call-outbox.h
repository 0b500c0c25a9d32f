/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-call-outbox.h"

G_BEGIN_DECLS

/* The worker's half of an outbox (see wire/afork-call-outbox.h): bytes that are added and not
 * sent yet, in memory that outlives the worker. */
typedef struct _AForkCallOutbox AForkCallOutbox;

/* Maps FD, which stays the caller's. NULL if it cannot. */
AForkCallOutbox *_afork_call_outbox_new       (int                   fd);
void             _afork_call_outbox_free      (AForkCallOutbox      *self);

/* Adds SIZE bytes and returns where the caller writes them, or returns NULL if there is no room. If
 * the outbox was empty, they are the bytes of the stream from N_SENT on. */
guint8          *_afork_call_outbox_add       (AForkCallOutbox      *self,
                                               gsize                 size,
                                               guint64               n_sent);
/* What was added ends with a whole frame: all of it survives the worker from now on. */
void             _afork_call_outbox_publish   (AForkCallOutbox      *self);
/* The bytes to be sent next. Sets SIZE to their number. */
const guint8    *_afork_call_outbox_peek      (AForkCallOutbox      *self,
                                               gsize                *size);
/* SIZE of these bytes have been sent. */
void             _afork_call_outbox_remove    (AForkCallOutbox      *self,
                                               gsize                 size);
/* Removes all bytes. */
void             _afork_call_outbox_clear     (AForkCallOutbox      *self);
/* The worker's function is about to be called for the call NUMBER. */
void             _afork_call_outbox_set_begun (AForkCallOutbox      *self,
                                               guint32               number);

/* The caller's half. */

/* Makes an outbox of SIZE bytes. Returns -1 if there can be none, which is no error. */
int              _afork_call_outbox_make      (gsize                 size);
/* Reads FD, an outbox of SIZE bytes whose worker has ended, after N_RECEIVED bytes of the stream
 * were received. Returns the bytes that were not, or NULL if there are none. Sets IN_USE to whether
 * the worker used the outbox, and then BEGUN. Sets ERROR if the outbox is invalid. */
GBytes          *_afork_call_outbox_read      (int                   fd,
                                               gsize                 size,
                                               guint64               n_received,
                                               gboolean             *in_use,
                                               guint32              *begun,
                                               GError              **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallOutbox, _afork_call_outbox_free)

G_END_DECLS
