/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* The caller's end of a process's command socket. What is sent is queued, and leaves when the main
 * context is iterated, as much as fits in one message; what comes is taken apart and handed on.
 * Nothing here ever waits. As long as the socket is open, the main context keeps the channel. */
typedef struct _AForkChannel AForkChannel;

typedef struct
{
  /* A frame has come. FDS are its descriptors; those that the function does not replace by -1 are
   * closed after it. PID is of the process that sent it, or 0. False and an error: it breaks the
   * protocol, and the channel closes. */
  gboolean (*frame)  (AForkChannel      *channel,
                      const AForkFrame  *frame,
                      int               *fds,
                      GPid               pid,
                      gpointer           data,
                      GError           **error);
  /* Called once, last: the other side has closed (ERROR is NULL), or must not be listened to any
   * longer. Not called after _afork_channel_steal_socket(). */
  void     (*closed) (AForkChannel      *channel,
                      const GError      *error,
                      gpointer           data);
} AForkChannelEvents;

/* Takes FD, a connected stream socket. DATA must live until the channel is closed. */
AForkChannel *_afork_channel_new          (int                       fd,
                                           GMainContext             *context,
                                           const AForkChannelEvents *events,
                                           gpointer                  data,
                                           GError                  **error);
AForkChannel *_afork_channel_ref          (AForkChannel             *self);
void          _afork_channel_unref        (AForkChannel             *self);

/* Queues FRAME with FD, which is taken, or -1. False if the frame is over the protocol's limit. */
gboolean      _afork_channel_send         (AForkChannel             *self,
                                           const AForkFrame         *frame,
                                           int                       fd);
/* Queues an item of bytes of any size, without copying it. */
void          _afork_channel_send_item    (AForkChannel             *self,
                                           GBytes                   *bytes);

/* Makes OTHER send what it has queued before this one sends what is queued next. */
void          _afork_channel_send_first   (AForkChannel             *self,
                                           AForkChannel             *other);

/* Whether frames come with the pid of who sent them, as they do at first. It costs a little each
 * time. */
void          _afork_channel_ask_sender   (AForkChannel             *self,
                                           gboolean                  ask);

/* Sees to it that N_FDS more descriptors than those that were asked for before can be received.
 * False and errno if there is no room for them. */
gboolean      _afork_channel_expect_fds    (AForkChannel             *self,
                                           guint                     n_fds);

/* From now on nothing is read beyond the frame that is awaited: what follows is not for us. */
void          _afork_channel_read_exactly (AForkChannel             *self);

/* Whether what is sent can still arrive. */
gboolean      _afork_channel_is_open       (AForkChannel             *self);

/* Sends now what can be sent now. */
void          _afork_channel_push          (AForkChannel             *self);

/* Whether nothing is left to be sent. */
gboolean      _afork_channel_is_sent      (AForkChannel             *self);

/* Reads what has arrived, now. */
void          _afork_channel_drain        (AForkChannel             *self);

/* Reads what has arrived, and sees to it that nothing more can: who sends something from now on is
 * told. The socket is of no use to others then. */
void          _afork_channel_refuse       (AForkChannel             *self);

/* Sends what is queued, and then tells the other side that no more will come. */
void          _afork_channel_finish       (AForkChannel             *self);

/* Closes at once, and says so to CLOSED. */
void          _afork_channel_close        (AForkChannel             *self,
                                           const GError             *error);

/* Ends the channel, which must be open, but not its socket. */
GSocket      *_afork_channel_steal_socket (AForkChannel             *self);

void          _afork_channel_set_context  (AForkChannel             *self,
                                           GMainContext             *context);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkChannel, _afork_channel_unref)

G_END_DECLS
