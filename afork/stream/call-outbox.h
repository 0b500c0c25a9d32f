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

/* Adds SIZE bytes, which are to be written to what is returned, or returns NULL if there is no room
 * for them. If there was nothing left to be sent, they are the stream's from N_SENT on. */
guint8          *_afork_call_outbox_add       (AForkCallOutbox      *self,
                                               gsize                 size,
                                               guint64               n_sent);
/* All that was added is of whole frames: from now on it survives the worker. */
void             _afork_call_outbox_publish   (AForkCallOutbox      *self);
/* What is to be sent next, and how much there is of it. */
const guint8    *_afork_call_outbox_peek      (AForkCallOutbox      *self,
                                               gsize                *size);
/* So much of that has been sent. */
void             _afork_call_outbox_remove    (AForkCallOutbox      *self,
                                               gsize                 size);
/* Nothing of it is to be sent any more. */
void             _afork_call_outbox_clear     (AForkCallOutbox      *self);
/* The function is about to be entered for that call. */
void             _afork_call_outbox_set_begun (AForkCallOutbox      *self,
                                               guint32               number);

/* The caller's half. */

/* Makes one of SIZE bytes. -1 if there can be none, which is no failure. */
int              _afork_call_outbox_make      (gsize                 size);
/* Reads from FD, an outbox of SIZE bytes whose worker has ended, when N_RECEIVED bytes of the
 * stream have come. BEGUN is set if IN_USE becomes true, and what is returned is what did not come,
 * NULL if that is nothing. ERROR is set if the outbox is not right. */
GBytes          *_afork_call_outbox_read      (int                   fd,
                                               gsize                 size,
                                               guint64               n_received,
                                               gboolean             *in_use,
                                               guint32              *begun,
                                               GError              **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallOutbox, _afork_call_outbox_free)

G_END_DECLS
