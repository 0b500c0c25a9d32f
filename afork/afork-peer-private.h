/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "afork-life-private.h"
#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* The other process as the protocol sees it: its channel, its life, its forks, and what became of
 * it. An AForkProcess is its face; when that is gone, the peer goes on until what was queued is
 * done and its forks have ended. */
typedef struct _AForkPeer AForkPeer;

/* OWNER is the object given to _afork_peer_new(). These are called in the main context. */
typedef struct
{
  /* Its pid is known, or another one than before. */
  void (*known)  (GObject      *owner);
  /* A function of it is about to be entered, and has the other end of SOCKET, which is given. */
  void (*ready)  (GObject      *owner,
                  GSocket      *socket);
  /* No function of it will be entered. */
  void (*failed) (GObject      *owner,
                  const GError *error);
  /* It has ended. Nothing is called after this. */
  void (*ended)  (GObject      *owner);
} AForkPeerEvents;

AForkPeer *_afork_peer_new         (GMainContext           *context,
                                    const AForkPeerEvents  *events,
                                    GObject                *owner);
AForkPeer *_afork_peer_ref         (AForkPeer              *self);
void       _afork_peer_unref       (AForkPeer              *self);

/* How it comes to be: executed with these arguments (see afork-spawn-private.h), or forked. Where
 * that fails at once, the peer has failed when the function returns, and no event tells of it. */
void       _afork_peer_spawn       (AForkPeer              *self,
                                    const char * const     *argv,
                                    const char * const     *environment,
                                    const char             *working_directory,
                                    gboolean                socket_is_standard);
void       _afork_peer_fork        (AForkPeer              *self,
                                    AForkPeer              *template);

/* Puts an array of strings, or NULL for none, in the form that a frame has them. They point into
 * the memory that is returned. */
guint8    *_afork_peer_pack_strings (const char * const     *strings,
                                     AForkStrings           *packed);

/* Queues a command; takes FD, unless it is -1. */
void       _afork_peer_send        (AForkPeer              *self,
                                    const AForkFrame       *frame,
                                    int                     fd);
/* Gives it up because FRAME is over the protocol's limit. */
void       _afork_peer_refuse_large (AForkPeer              *self,
                                     const AForkFrame       *frame);
void       _afork_peer_send_item   (AForkPeer              *self,
                                    GBytes                 *bytes);
/* Queues the last command. */
void       _afork_peer_run         (AForkPeer              *self,
                                    const char             *function,
                                    const char             *title);

/* Gives it up: kills it if it lives, and takes ERROR as the reason unless there is one. */
void       _afork_peer_abandon     (AForkPeer              *self,
                                    const GError           *error);
/* Its owner is gone: what was queued is still done. */
void       _afork_peer_release     (AForkPeer              *self);

/* Serves this peer, and those whose reports it depends on, in another context for a while. Returns
 * them, to be given back to where they were: an array of AForkBorrowedPeer. */
typedef struct
{
  AForkPeer    *peer;
  GMainContext *context;
} AForkBorrowedPeer;

GArray    *_afork_peer_borrow      (AForkPeer              *self,
                                    GMainContext           *context);
void       _afork_peer_give_back   (GArray                 *borrowed);

AForkLife *_afork_peer_get_life    (AForkPeer              *self);
/* NULL unless it has failed. */
GError    *_afork_peer_get_failure (AForkPeer              *self);
/* Whether it still takes commands. */
gboolean   _afork_peer_is_open     (AForkPeer              *self);
/* Whether there is something that its release ends. Any thread may ask. */
gboolean   _afork_peer_has_work    (AForkPeer              *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkPeer, _afork_peer_unref)

G_END_DECLS
