/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "base/context.h"
#include "call-status.h"
#include "wire/afork-call-frame.h"
#include "wire/afork-call-outbox.h"

G_BEGIN_DECLS

/* One end of the socket over which calls go, the caller's as the worker's: messages in, messages
 * out. Messages are frames, with the values, descriptors and blobs that belong to them put together
 * and checked. What is sent is gathered until it is flushed. Sending and receiving have nothing in
 * common, so one thread may do the one while another does the other. */
typedef struct _AForkCallStream AForkCallStream;

/* What has come. Clear it. */
typedef struct
{
  AForkCallFrameKind  kind;
  guint8              flags;
  guint32             number;
  GVariant           *value;        /* in normal form; NULL if the kind has none */
  GUnixFDList        *fds;          /* NULL if there are none */
  GPtrArray          *blobs;        /* of GBytes; NULL if there are none */
  char               *string[3];    /* those of FAILED are UTF-8 */
  gint32              code;
} AForkCallMessage;

/* Takes FD, a connected stream socket. A function of the stream may run code of the program, which
 * frees its bytes by functions of its own. If that code may give the stream up, the caller keeps a
 * reference meanwhile. */
AForkCallStream      *_afork_call_stream_new                 (int fd);
AForkCallStream      *_afork_call_stream_ref                 (AForkCallStream *self);
void                  _afork_call_stream_unref               (AForkCallStream *self);
int                   _afork_call_stream_get_fd              (AForkCallStream *self);

/* Large blobs come and go in shared memory (see segments.h). The two things that one side does not
 * do unless it is told: it accepts segments of the other one, where that is trusted; and it sends
 * sealed memfds in place of segments, where it is itself not trusted. To be called before anything
 * is received or sent, respectively. */
void                  _afork_call_stream_accept_segments     (AForkCallStream *self);
void                  _afork_call_stream_send_sealed         (AForkCallStream *self);
/* … or not in shared memory at all; and the other side is not to send any. */
void                  _afork_call_stream_send_inline         (AForkCallStream *self);
void                  _afork_call_stream_refuse_memory       (AForkCallStream *self);
/* Descriptors do not reach the other side: blobs go in the stream, and a value that has descriptors
 * cannot be sent. To be called before anything is sent. */
void                  _afork_call_stream_send_no_fds         (AForkCallStream *self);
/* Has the other side send no more descriptors ahead of their value than this process has room for,
 * beside its other uses. What is ahead of its value waits here for as long as the other side wants.
 * To be called before anything is received. */
void                  _afork_call_stream_limit_fds           (AForkCallStream *self);
/* When a blob that came in a segment is not needed any more, in whatever thread, the other side has
 * to be told: wakes CONTEXT, or calls WAKE, or both; either may be NULL. Flushing tells it. */
void                  _afork_call_stream_set_wake            (AForkCallStream *self,
                                                              AForkContext    *context,
                                                              void           (*wake) (gpointer),
                                                              gpointer         data);
/* Whether there is something to be told on that account. From any thread. */
gboolean              _afork_call_stream_has_segment_notices (AForkCallStream *self);

/* Gathers a frame that carries no value. */
void                  _afork_call_stream_send                (AForkCallStream      *self,
                                                              const AForkCallFrame *frame);
/* Gathers a value with what belongs to it; FDS may be NULL, and is not to be changed any more.
 * Fails, and gathers nothing, with G_IO_ERROR_MESSAGE_TOO_LARGE over a documented bound. */
gboolean              _afork_call_stream_send_value          (AForkCallStream     *self,
                                                              AForkCallFrameKind   kind,
                                                              guint8               flags,
                                                              guint32              number,
                                                              GVariant            *value,
                                                              GUnixFDList         *fds,
                                                              GPtrArray           *blobs,
                                                              GError             **error);
/* Sends what has been gathered: about 1 MiB at most, or as much of it as is taken without waiting.
 * WAIT: all of it. */
AForkCallStreamStatus _afork_call_stream_flush               (AForkCallStream  *self,
                                                              gboolean          wait,
                                                              GError          **error);
/* How many bytes have been gathered, or are still to be, and not been sent. */
gsize                 _afork_call_stream_get_unsent          (AForkCallStream *self);
/* How many bytes have been sent, and how many will have been when all that is gathered is. */
guint64               _afork_call_stream_get_n_sent          (AForkCallStream *self);
guint64               _afork_call_stream_get_n_gathered      (AForkCallStream *self);
/* Forgets what has been gathered and not been sent. */
void                  _afork_call_stream_drop_unsent         (AForkCallStream *self);

/* The worker's outbox: see wire/afork-call-outbox.h. */

/* Makes one of SIZE bytes for the other side, and gathers it. None if there can be none. */
void                  _afork_call_stream_send_outbox         (AForkCallStream *self,
                                                              gsize            size);
/* An outbox may come. To be called before anything is received. */
void                  _afork_call_stream_accept_outbox       (AForkCallStream *self);
/* Whether one has come that is not used yet. From any thread. */
gboolean              _afork_call_stream_has_new_outbox      (AForkCallStream *self);
/* Has what is sent gathered in it. */
void                  _afork_call_stream_use_outbox          (AForkCallStream *self);
/* Whether all that was gathered and not sent, whole messages, survives this process. */
gboolean              _afork_call_stream_keep                (AForkCallStream *self);
/* The other side will know, should this process crash, that the call was begun. False if not. */
gboolean              _afork_call_stream_note_begun          (AForkCallStream *self,
                                                              guint32          number);
/* This process has been forked: what is in the outbox is its parent's. Async-signal-safe. */
void                  _afork_call_stream_forget_outbox       (AForkCallStream *self);

/* The worker has ended: what is in the socket is the last that is read of it, then comes what is in
 * the worker's outbox and was not sent, and then the end. Sets BEGUN to the number of the last call
 * that the worker has begun, 0 for none, if that is known, and then IS_KNOWN. Fails if the outbox
 * is not right; then nothing comes out of it. */
gboolean              _afork_call_stream_end_with_outbox     (AForkCallStream  *self,
                                                              gboolean         *is_known,
                                                              guint32          *begun,
                                                              GError          **error);
/* Whether then nothing comes but the end. */
gboolean              _afork_call_stream_is_at_end           (AForkCallStream *self);
/* Whether what is read comes out of the outbox. */
gboolean              _afork_call_stream_is_in_outbox        (AForkCallStream *self);

/* Reads once; WAIT: until something comes. */
AForkCallStreamStatus _afork_call_stream_read                (AForkCallStream  *self,
                                                              gboolean          wait,
                                                              GError          **error);
/* Whether reading again at once may give more. If not, it is not certain that there is none. */
gboolean              _afork_call_stream_may_have_more       (AForkCallStream *self);
/* How many bytes of the socket have been read, and how many have arrived. */
guint64               _afork_call_stream_get_n_received      (AForkCallStream *self);
guint64               _afork_call_stream_get_n_arrived       (AForkCallStream *self);
/* The next message of what has been read: OK, BUSY if there is more to do until there is one, so
 * that it is to be called again, WOULD_BLOCK if it is not all there, or FAILED with
 * AFORK_ERROR_PROTOCOL. Nothing may be read as long as it is OK or BUSY. */
AForkCallStreamStatus _afork_call_stream_next                (AForkCallStream   *self,
                                                              AForkCallMessage  *message,
                                                              GError           **error);
void                  _afork_call_message_clear              (AForkCallMessage *message);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallStream, _afork_call_stream_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AForkCallMessage, _afork_call_message_clear)

G_END_DECLS
