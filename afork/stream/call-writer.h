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

/* The write buffer of frames of calls: many frames are sent in one message. */
typedef struct _AForkCallWriter AForkCallWriter;

/* Data of at least this size, in bytes, are not copied if they have an owner. */
enum { AFORK_CALL_WRITER_LONG_DATA = 16 * 1024 };

/* FD stays the caller's. */
AForkCallWriter       *_afork_call_writer_new          (int                    fd);
void                   _afork_call_writer_free         (AForkCallWriter       *self);

/* Adds FRAME to the buffer. OWNER keeps its data, or is NULL: then the data are copied. Its
 * descriptors are those of FDS from FIRST_FD on. Returns the bytes of the frame, which are valid
 * until the next one is added. */
guint8                *_afork_call_writer_gather       (AForkCallWriter       *self,
                                                        const AForkCallFrame  *frame,
                                                        GBytes                *owner,
                                                        GUnixFDList           *fds,
                                                        guint                  first_fd);
/* Adds frames to OUTBOX, which is taken, from now on, if they fit and have no descriptors. */
void                   _afork_call_writer_set_outbox   (AForkCallWriter       *self,
                                                        AForkCallOutbox       *outbox);
/* This process is a fork: drops the outbox, and does not send what is in it. Async-signal-safe. */
void                   _afork_call_writer_forget_outbox (AForkCallWriter      *self);
AForkCallOutbox       *_afork_call_writer_get_outbox   (AForkCallWriter       *self);
/* The buffer ends with a whole message. Moves as much as fits to the outbox. Returns whether all
 * that is not sent is there, and so survives this process. */
gboolean               _afork_call_writer_keep         (AForkCallWriter       *self);
/* Sends as much of the buffer as the socket takes without waiting. WAIT: sends all of it. */
AForkCallStreamStatus  _afork_call_writer_flush        (AForkCallWriter       *self,
                                                        gboolean               wait,
                                                        GError               **error);
/* How many bytes are in the buffer. */
gsize                  _afork_call_writer_get_unsent   (AForkCallWriter       *self);
/* How many bytes have been sent, and how many will have been once the buffer is. */
guint64                _afork_call_writer_get_n_sent   (AForkCallWriter       *self);
guint64                _afork_call_writer_get_n_gathered (AForkCallWriter     *self);
/* Empties the buffer. */
void                   _afork_call_writer_drop_unsent  (AForkCallWriter       *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallWriter, _afork_call_writer_free)

G_END_DECLS
