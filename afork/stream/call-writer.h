/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "call-outbox.h"
#include "call-status.h"
#include "wire/afork-call-frame.h"

G_BEGIN_DECLS

/* Frames of calls on their way to the socket: gathered, so that many leave in one message. */
typedef struct _AForkCallWriter AForkCallWriter;

/* Data from this size on, in bytes, are not copied, if they have an owner. */
enum { AFORK_CALL_WRITER_LONG_DATA = 16 * 1024 };

/* FD stays the caller's. */
AForkCallWriter       *_afork_call_writer_new          (int                    fd);
void                   _afork_call_writer_free         (AForkCallWriter       *self);

/* Gathers FRAME; OWNER has its data, or is NULL. Its descriptors are those of FDS from FIRST_FD on.
 * Returns where the frame lies, until the next one is gathered. */
guint8                *_afork_call_writer_gather       (AForkCallWriter       *self,
                                                        const AForkCallFrame  *frame,
                                                        GBytes                *owner,
                                                        GUnixFDList           *fds,
                                                        guint                  first_fd);
/* Has frames gathered in OUTBOX, which is taken, as far as they fit and have no descriptors. */
void                   _afork_call_writer_set_outbox   (AForkCallWriter       *self,
                                                        AForkCallOutbox       *outbox);
/* Without an outbox from now on. What is in it is not sent by this process any more, which has been
 * forked. Async-signal-safe. */
void                   _afork_call_writer_forget_outbox (AForkCallWriter      *self);
AForkCallOutbox       *_afork_call_writer_get_outbox   (AForkCallWriter       *self);
/* What has been gathered is of whole messages: puts as much of it in the outbox as fits there.
 * Returns whether all that is not sent is there, and so survives this process. */
gboolean               _afork_call_writer_keep         (AForkCallWriter       *self);
/* Sends what has been gathered, or as much of it as is taken without waiting. WAIT: all of it. */
AForkCallStreamStatus  _afork_call_writer_flush        (AForkCallWriter       *self,
                                                        gboolean               wait,
                                                        GError               **error);
/* How many bytes have been gathered, and not been sent. */
gsize                  _afork_call_writer_get_unsent   (AForkCallWriter       *self);
/* How many bytes have been sent, and how many will have been when all that is gathered is. */
guint64                _afork_call_writer_get_n_sent   (AForkCallWriter       *self);
guint64                _afork_call_writer_get_n_gathered (AForkCallWriter     *self);
/* Forgets them. */
void                   _afork_call_writer_drop_unsent  (AForkCallWriter       *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallWriter, _afork_call_writer_free)

G_END_DECLS
