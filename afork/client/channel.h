/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* The caller's end of a command socket, without any blocking call. Frames are queued, and sent when
 * the main context is iterated, as many in one message as fit. Received bytes are divided into
 * frames, and each frame is handed to a callback. The main context keeps the channel while the
 * socket is open. */
typedef struct _AForkChannel AForkChannel;

typedef struct
{
  /* A frame has come from process PID, which is 0 if it is unknown. The channel then closes those
   * of its descriptors FDS that the function has not replaced by -1. If the frame is not allowed,
   * the function sets ERROR and returns false, and the channel closes. */
  gboolean (*frame)  (AForkChannel      *channel,
                      const AForkFrame  *frame,
                      int               *fds,
                      GPid               pid,
                      gpointer           data,
                      GError           **error);
  /* The channel is closed. ERROR is NULL if the other side has closed it. Called once, and after
   * that nothing is called. Not called after _afork_channel_steal_socket(). */
  void     (*closed) (AForkChannel      *channel,
                      const GError      *error,
                      gpointer           data);
  /* What had to be drained has been read. Only called if it did not fit into the turn in which that
   * was asked for. */
  void     (*drained) (AForkChannel     *channel,
                       gpointer          data);
} AForkChannelEvents;

typedef enum
{
  AFORK_CHANNEL_SOCKET_NEW,       /* of a socket pair that was just made for the channel */
  AFORK_CHANNEL_SOCKET_RECEIVED   /* another process has made it, and it may be no socket at all */
} AForkChannelSocket;

/* Takes FD, a connected stream socket. DATA must live until the channel is closed. */
AForkChannel *_afork_channel_new          (int                       fd,
                                           AForkChannelSocket        origin,
                                           GMainContext             *context,
                                           const AForkChannelEvents *events,
                                           gpointer                  data,
                                           GError                  **error);
AForkChannel *_afork_channel_ref          (AForkChannel             *self);
void          _afork_channel_unref        (AForkChannel             *self);

/* Queues FRAME and takes FD, its descriptor, or -1. Returns false if the frame is too large. */
gboolean      _afork_channel_send         (AForkChannel             *self,
                                           const AForkFrame         *frame,
                                           int                       fd);
/* Queues an item of bytes, of any size, without a copy. */
void          _afork_channel_send_item    (AForkChannel             *self,
                                           GBytes                   *bytes);

/* Makes OTHER send what it has queued before this channel sends what it queues from now on. */
void          _afork_channel_send_first   (AForkChannel             *self,
                                           AForkChannel             *other);

/* Whether the kernel reports which process has sent a frame. It does so at first. This takes some
 * time for each message. */
void          _afork_channel_ask_sender   (AForkChannel             *self,
                                           gboolean                  ask);

/* Keeps room for N_FDS more descriptors, which will come. Returns false and sets errno if there is
 * no room. */
gboolean      _afork_channel_reserve_fds  (AForkChannel             *self,
                                           guint                     n_fds);

/* From now on nothing is read after the next frame, because it belongs to the program. */
void          _afork_channel_read_exactly (AForkChannel             *self);

/* Whether the other side may still receive what is sent. */
gboolean      _afork_channel_is_open      (AForkChannel             *self);

/* Sends what can be sent without waiting, now. */
void          _afork_channel_push         (AForkChannel             *self);

/* Whether everything was sent. */
gboolean      _afork_channel_is_sent      (AForkChannel             *self);

/* Reads what has arrived. False if there was no time for all of it: then the channel goes on, and
 * calls DRAINED, or CLOSED, unless its socket is stolen. */
gboolean      _afork_channel_drain        (AForkChannel             *self);

/* Reads what has arrived, and shuts the socket down for reading: if a process sends more, that
 * fails. After this the socket cannot be handed to another caller. Returns as the function above
 * does. */
gboolean      _afork_channel_refuse       (AForkChannel             *self);

/* Sends what is queued, and then shuts the socket down for writing. */
void          _afork_channel_finish       (AForkChannel             *self);

/* Closes the channel now, and calls closed() with ERROR. */
void          _afork_channel_close        (AForkChannel             *self,
                                           const GError             *error);

/* Returns the socket, and ends the channel, which must be open. */
GSocket      *_afork_channel_steal_socket (AForkChannel             *self);

void          _afork_channel_set_context  (AForkChannel             *self,
                                           GMainContext             *context);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkChannel, _afork_channel_unref)

G_END_DECLS
