/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "call-status.h"
#include "wire/afork-call-frame.h"

G_BEGIN_DECLS

/* Reads the frames of calls, and the descriptors that come with them, from the socket. */
typedef struct _AForkCallReader AForkCallReader;

/* FD stays the caller's. */
AForkCallReader       *_afork_call_reader_new           (int                   fd);
void                   _afork_call_reader_free          (AForkCallReader      *self);

/* Reads once. WAIT: waits until there is something. */
AForkCallStreamStatus  _afork_call_reader_read          (AForkCallReader      *self,
                                                         gboolean              wait,
                                                         GError              **error);
/* Whether the last read filled its buffer, so that there may be more to read at once. */
gboolean               _afork_call_reader_may_have_more (AForkCallReader      *self);

/* How many bytes have been read in all. */
guint64                _afork_call_reader_get_n_received (AForkCallReader     *self);
/* From now on, reads N_BYTES more from the socket, then REST, unless that is NULL, and then the
 * end. */
void                   _afork_call_reader_end_with      (AForkCallReader      *self,
                                                         guint64               n_bytes,
                                                         GBytes               *rest);
/* After that: whether all has been read. */
gboolean               _afork_call_reader_is_at_end     (AForkCallReader      *self);
/* After that: whether what was read last is of REST, or the end. */
gboolean               _afork_call_reader_is_in_rest    (AForkCallReader      *self);

/* Takes the next frame of what has been read. Returns OK; WOULD_BLOCK if more has to be read first;
 * or FAILED. FRAME is valid until the next read. Sets OWNER to what keeps its bytes for longer, or
 * to NULL. */
AForkCallStreamStatus  _afork_call_reader_next          (AForkCallReader      *self,
                                                         AForkCallFrame       *frame,
                                                         GBytes              **owner,
                                                         GError              **error);
/* Whether there is memory for N_FDS descriptors; if not, sets ERROR. */
gboolean               _afork_call_reader_has_memory_for_fds (guint            n_fds,
                                                              GError         **error);
/* Passes the N_FDS oldest descriptors to the caller. Returns false if there are fewer. */
gboolean               _afork_call_reader_take_fds      (AForkCallReader      *self,
                                                         int                  *fds,
                                                         guint                 n_fds);
/* The descriptors that have come and were not passed on. */
const int             *_afork_call_reader_peek_fds      (AForkCallReader      *self,
                                                         guint                *n_fds);
/* Closes them. */
void                   _afork_call_reader_drop_fds      (AForkCallReader      *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallReader, _afork_call_reader_free)

G_END_DECLS
