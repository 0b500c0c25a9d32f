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

/* One end of the socket of calls, of the caller or of the worker. Sends and receives messages. A
 * message is a frame together with its value, descriptors and blobs, checked. What is sent stays in
 * a write buffer until it is flushed. Sending and receiving share no state, so one thread may send
 * while another one receives. */
typedef struct _AForkCallStream AForkCallStream;

/* A message that was received. Free its contents with _afork_call_message_clear(). */
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

/* Takes FD, a connected stream socket. A function of the stream may drop GBytes of the program,
 * whose free functions are code of the program. If such code may drop the stream, hold a reference
 * while the function is called. */
AForkCallStream      *_afork_call_stream_new                 (int fd);
AForkCallStream      *_afork_call_stream_ref                 (AForkCallStream *self);
void                  _afork_call_stream_unref               (AForkCallStream *self);
int                   _afork_call_stream_get_fd              (AForkCallStream *self);

/* Large blobs are sent in shared memory (see segments.h). By default, a stream accepts no segments
 * and sends segments. The first function has it accept segments, if the other side is trusted. The
 * second has it send sealed memfds instead, if the other side does not trust this one. To be called
 * before anything is received, or sent. */
void                  _afork_call_stream_accept_segments     (AForkCallStream *self);
void                  _afork_call_stream_send_sealed         (AForkCallStream *self);
/* The first function has the stream send no shared memory at all; the second has it refuse any that
 * the other side sends. */
void                  _afork_call_stream_send_inline         (AForkCallStream *self);
void                  _afork_call_stream_refuse_memory       (AForkCallStream *self);
/* The socket passes no descriptors: blobs are sent in the stream, and sending a value that has
 * descriptors fails. To be called before anything is sent. */
void                  _afork_call_stream_send_no_fds         (AForkCallStream *self);
/* Limits the descriptors that the other side may send ahead of their value, because they stay open
 * here for as long as the other side wants: receiving fails if they take too many of those that
 * this process may have. To be called before anything is received. */
void                  _afork_call_stream_limit_fds           (AForkCallStream *self);
/* When the last reference to a blob in a segment is dropped, in any thread, wakes CONTEXT, calls
 * WAKE, or both; either may be NULL. The next flush then sends a segment notice to the other
 * side. */
void                  _afork_call_stream_set_wake            (AForkCallStream *self,
                                                              AForkContext    *context,
                                                              void           (*wake) (gpointer),
                                                              gpointer         data);
/* Whether there are segment notices to be sent. May be called from any thread. */
gboolean              _afork_call_stream_has_segment_notices (AForkCallStream *self);

/* Adds a frame without a value to the write buffer. */
void                  _afork_call_stream_send                (AForkCallStream      *self,
                                                              const AForkCallFrame *frame);
/* Adds a value with its descriptors and blobs to the write buffer. FDS may be NULL, and must not be
 * changed any more. Over a documented limit, fails with G_IO_ERROR_MESSAGE_TOO_LARGE and adds
 * nothing. */
gboolean              _afork_call_stream_send_value          (AForkCallStream     *self,
                                                              AForkCallFrameKind   kind,
                                                              guint8               flags,
                                                              guint32              number,
                                                              GVariant            *value,
                                                              GUnixFDList         *fds,
                                                              GPtrArray           *blobs,
                                                              GError             **error);
/* Copies some of BLOBS, those of the next value, to shared memory, which takes half a millisecond
 * at most. Returns false if there is more to copy: then call it again after the next flush. If the
 * value is not sent after all, call the second function. BLOBS may be NULL. */
gboolean              _afork_call_stream_prepare_blobs       (AForkCallStream *self,
                                                              GPtrArray       *blobs);
void                  _afork_call_stream_drop_blobs          (AForkCallStream *self,
                                                              GPtrArray       *blobs);
/* Whether the first function has returned false since the last flush. */
gboolean              _afork_call_stream_is_copying          (AForkCallStream *self);
/* Sends the write buffer: about 1 MiB at most, and only what the socket takes without waiting.
 * WAIT: sends all of it. */
AForkCallStreamStatus _afork_call_stream_flush               (AForkCallStream  *self,
                                                              gboolean          wait,
                                                              GError          **error);
/* How many bytes are still to be sent, with those of segment notices that are not in the write
 * buffer yet. */
gsize                 _afork_call_stream_get_unsent          (AForkCallStream *self);
/* How many bytes of blobs have been copied to shared memory since the last flush. */
gsize                 _afork_call_stream_get_n_copied        (AForkCallStream *self);
/* How many bytes have been sent, and how many will have been once the write buffer is. */
guint64               _afork_call_stream_get_n_sent          (AForkCallStream *self);
guint64               _afork_call_stream_get_n_gathered      (AForkCallStream *self);
/* Empties the write buffer. */
void                  _afork_call_stream_drop_unsent         (AForkCallStream *self);

/* The worker's outbox: see wire/afork-call-outbox.h. */

/* Makes an outbox of SIZE bytes for the other side, and adds it to the write buffer. Does nothing
 * if there can be none. */
void                  _afork_call_stream_send_outbox         (AForkCallStream *self,
                                                              gsize            size);
/* Accepts one outbox. To be called before anything is received. */
void                  _afork_call_stream_accept_outbox       (AForkCallStream *self);
/* Whether an outbox has come that is not used yet. May be called from any thread. */
gboolean              _afork_call_stream_has_new_outbox      (AForkCallStream *self);
/* Uses it as write buffer from now on. */
void                  _afork_call_stream_use_outbox          (AForkCallStream *self);
/* The write buffer ends with a whole message. Returns whether all of it is in the outbox, and so
 * reaches the other side even if this process crashes. */
gboolean              _afork_call_stream_keep                (AForkCallStream *self);
/* Notes in the outbox that the call has begun, which the other side then knows even if this process
 * crashes. Returns false if there is no outbox. */
gboolean              _afork_call_stream_note_begun          (AForkCallStream *self,
                                                              guint32          number);
/* This process is a fork, and the outbox belongs to its parent. Async-signal-safe. */
void                  _afork_call_stream_forget_outbox       (AForkCallStream *self);

/* The worker has ended. From now on, reads what is in the socket now, then what is in the worker's
 * outbox and was not sent, and then the end. If it is known which call the worker began last, sets
 * IS_KNOWN, and sets BEGUN to its number, or to 0 for none. If the outbox is invalid, fails and
 * reads nothing of it. */
gboolean              _afork_call_stream_end_with_outbox     (AForkCallStream  *self,
                                                              gboolean         *is_known,
                                                              guint32          *begun,
                                                              GError          **error);
/* After that: whether all has been read. */
gboolean              _afork_call_stream_is_at_end           (AForkCallStream *self);
/* After that: whether what was read last is from the outbox. */
gboolean              _afork_call_stream_is_in_outbox        (AForkCallStream *self);

/* Reads once. WAIT: waits until there is something. */
AForkCallStreamStatus _afork_call_stream_read                (AForkCallStream  *self,
                                                              gboolean          wait,
                                                              GError          **error);
/* Whether the last read filled its buffer, so that there may be more to read at once. */
gboolean              _afork_call_stream_may_have_more       (AForkCallStream *self);
/* How many bytes of the socket have been read, and how many have arrived. */
guint64               _afork_call_stream_get_n_received      (AForkCallStream *self);
guint64               _afork_call_stream_get_n_arrived       (AForkCallStream *self);
/* Takes the next message of what has been read. Returns OK; BUSY if the message is not finished and
 * the function has to be called again; WOULD_BLOCK if more has to be read first; or FAILED with
 * AFORK_ERROR_PROTOCOL. Read only after WOULD_BLOCK. */
AForkCallStreamStatus _afork_call_stream_next                (AForkCallStream   *self,
                                                              AForkCallMessage  *message,
                                                              GError           **error);
void                  _afork_call_message_clear              (AForkCallMessage *message);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkCallStream, _afork_call_stream_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AForkCallMessage, _afork_call_message_clear)

G_END_DECLS
