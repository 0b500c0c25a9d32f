/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Telling the owner of a peer: at once, or later, when its own context turns. */

#include "config.h"

#include "afork-peer-parts-private.h"

#include "afork-blocking-private.h"
#include "afork-context-private.h"

static void
tell_known_now (AForkPeer *self,
                GObject   *owner,
                GSocket   *socket)
{
  self->events->known (owner);
}

static void
tell_ready_now (AForkPeer *self,
                GObject   *owner,
                GSocket   *socket)
{
  self->events->ready (owner, socket);
}

static void
tell_failed_now (AForkPeer *self,
                 GObject   *owner,
                 GSocket   *socket)
{
  self->events->failed (owner, self->failure);
}

static void
tell_ended_now (AForkPeer *self,
                GObject   *owner,
                GSocket   *socket)
{
  self->events->ended (owner);
}

typedef void (*TellFunc) (AForkPeer *self,
                          GObject   *owner,
                          GSocket   *socket);

/* What is told later, when the context in which the peer is served turns. */
typedef struct
{
  TellFunc  func;
  GSocket  *socket;             /* or NULL */
} Tale;

static void
tale_free (gpointer data)
{
  Tale *tale = data;

  g_clear_object (&tale->socket);
  g_free (tale);
}

static void
forget_tales_source (AForkPeer *self)
{
  _afork_source_clear (&self->tales_source);
}

static gboolean
tell_tales_cb (gpointer data)
{
  AForkPeer *self = data;

  forget_tales_source (self);
  while (!g_queue_is_empty (&self->tales) && self->tales_source == NULL)
    {
      g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);
      Tale *tale = g_queue_pop_head (&self->tales);

      if (owner != NULL)
        tale->func (self, owner, tale->socket);
      tale_free (tale);
    }

  return G_SOURCE_REMOVE;
}

static void
schedule_tales (AForkPeer *self)
{
  forget_tales_source (self);
  self->tales_source = g_idle_source_new ();
  g_source_set_static_name (self->tales_source, "[afork] process told later");
  g_source_set_priority (self->tales_source, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->tales_source, tell_tales_cb, _afork_peer_ref (self),
                         (GDestroyNotify) _afork_peer_unref);
  g_source_attach (self->tales_source, self->context);
}

static void
tell_later (AForkPeer *self,
            TellFunc   func,
            GSocket   *socket)
{
  Tale *tale = g_new0 (Tale, 1);

  tale->func = func;
  tale->socket = socket != NULL ? g_object_ref (socket) : NULL;
  g_queue_push_tail (&self->tales, tale);
  if (self->tales_source == NULL)
    schedule_tales (self);
}

/* A blocking call for one process sees what becomes of others, too, by the template that they have
 * in common. That is kept until their own context turns. So is what becomes of a process while its
 * owner is made, such as that it will not be: nobody could have asked to be told. */
static void
tell (AForkPeer *self,
      TellFunc   func,
      GSocket   *socket)
{
  GMainContext *blocking = _afork_blocking_get_context ();
  g_autoptr(GObject) owner = NULL;

  if ((blocking != NULL && blocking != self->context)
      || !self->begun
      || !g_queue_is_empty (&self->tales))
    {
      tell_later (self, func, socket);
      return;
    }

  owner = g_weak_ref_get (&self->owner);
  if (owner != NULL)
    func (self, owner, socket);
}

void
_afork_peer_tell_known (AForkPeer *self)
{
  tell (self, tell_known_now, NULL);
}

void
_afork_peer_tell_ready (AForkPeer *self,
                        GSocket   *socket)
{
  tell (self, tell_ready_now, socket);
}

void
_afork_peer_tell_failed (AForkPeer *self)
{
  tell (self, tell_failed_now, NULL);
}

void
_afork_peer_tell_ended (AForkPeer *self)
{
  tell (self, tell_ended_now, NULL);
}

void
_afork_peer_move_tales (AForkPeer *self)
{
  if (self->tales_source != NULL)
    schedule_tales (self);
}

void
_afork_peer_forget_tales (AForkPeer *self)
{
  forget_tales_source (self);
  g_queue_clear_full (&self->tales, tale_free);
}
