/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "call-status.h"
#include "wire/afork-call-frame.h"

G_BEGIN_DECLS

/* Frames of calls as they come out of the socket, with the descriptors that come with them. */
typedef struct _AForkCallReader AForkCallReader;

/* FD stays the caller's. */
AForkCallReader       *_afork_call_reader_new           (int                   fd);
void                   _afork_call_reader_free          (AForkCallReader      *self);

/* Reads once; WAIT: until something comes. */
AForkCallStreamStatus  _afork_call_reader_read          (AForkCallReader      *self,
                                                         gboolean              wait,
                                                         GError              **error);
/* Whether reading again at once may give more. If not, it is not certain that there is none. */
gboolean               _afork_call_reader_may_have_more (AForkCallReader      *self);

/* How many bytes have been read in all. */
guint64                _afork_call_reader_get_n_received (AForkCallReader     *self);
/* Of what is in the socket, these bytes are the last that count: N_BYTES more are read of it, then
 * REST, if there is any, and then comes the end. */
void                   _afork_call_reader_end_with      (AForkCallReader      *self,
                                                         guint64               n_bytes,
                                                         GBytes               *rest);
/* Whether then nothing comes but the end. */
gboolean               _afork_call_reader_is_at_end     (AForkCallReader      *self);
/* Whether what was read last is of the rest, or came behind it. */
gboolean               _afork_call_reader_is_in_rest    (AForkCallReader      *self);

/* The next frame of what has been read: OK, WOULD_BLOCK if it is not all there, or FAILED. It is
 * good until something is read; OWNER becomes what has its bytes for longer, or NULL. */
AForkCallStreamStatus  _afork_call_reader_next          (AForkCallReader      *self,
                                                         AForkCallFrame       *frame,
                                                         GBytes              **owner,
                                                         GError              **error);
/* Whether there is memory for so many descriptors, or an error. */
gboolean               _afork_call_reader_has_memory_for_fds (guint            n_fds,
                                                              GError         **error);
/* Hands out the N descriptors that have come first. False if there are not so many. */
gboolean               _afork_call_reader_take_fds      (AForkCallReader      *self,
                                                         int                  *fds,
                                                         guint                 n_fds);
/* Those that have come and were not handed out. */
const int             *_afork_call_reader_peek_fds      (AForkCallReader      *self,
                                                         guint                *n_fds);
/* Closes them. */
void                   _afork_call_reader_drop_fds      (AForkCallReader      *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallReader, _afork_call_reader_free)

G_END_DECLS
