/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-spares-private.h"

#include "afork-context-private.h"

/* How long a template has to be left alone. */
enum { QUIET_MS = 100 };

struct _AForkSpares
{
  AForkPeer    *template;
  GMainContext *context;        /* not a reference */
  GQueue        peers;          /* of AForkPeer, the oldest first */
  guint         number;         /* that there should be */
  GSource      *timer;          /* until they are made, or NULL */
};

static void
give_up (gpointer data)
{
  g_autoptr(AForkPeer) peer = data;

  _afork_peer_release (peer);
}

static gboolean
quiet_cb (gpointer data)
{
  AForkSpares *self = data;

  _afork_source_clear (&self->timer);
  while (self->peers.length < self->number && _afork_peer_is_open (self->template))
    {
      AForkPeer *peer = _afork_peer_new (self->context, NULL, NULL);

      g_queue_push_tail (&self->peers, peer);
      _afork_peer_fork (peer, self->template);
      _afork_peer_set_begun (peer);
    }

  return G_SOURCE_REMOVE;
}

/* Waits, from now on, until it is time to make those that are missing. */
static void
await_quiet (AForkSpares *self)
{
  if (self->peers.length >= self->number)
    {
      _afork_source_clear (&self->timer);
    }
  else if (self->timer != NULL)
    {
      g_source_set_ready_time (self->timer, g_get_monotonic_time () + QUIET_MS * 1000);
    }
  else
    {
      self->timer = g_timeout_source_new (QUIET_MS);
      g_source_set_static_name (self->timer, "[afork] spares");
      g_source_set_priority (self->timer, G_PRIORITY_LOW);
      g_source_set_callback (self->timer, quiet_cb, self, NULL);
      g_source_attach (self->timer, self->context);
    }
}

AForkSpares *
_afork_spares_new (AForkPeer    *template,
                   GMainContext *context)
{
  AForkSpares *self = g_new0 (AForkSpares, 1);

  self->template = _afork_peer_ref (template);
  self->context = context;
  g_queue_init (&self->peers);
  return self;
}

void
_afork_spares_free (AForkSpares *self)
{
  _afork_source_clear (&self->timer);
  g_queue_clear_full (&self->peers, give_up);
  _afork_peer_unref (self->template);
  g_free (self);
}

void
_afork_spares_set_number (AForkSpares *self,
                          guint        number)
{
  self->number = number;
  while (self->peers.length > number)
    give_up (g_queue_pop_tail (&self->peers));
  await_quiet (self);
}

void
_afork_spares_discard (AForkSpares *self)
{
  g_queue_clear_full (&self->peers, give_up);
  await_quiet (self);
}

AForkPeer *
_afork_spares_take (AForkSpares *self)
{
  gboolean template_lives = _afork_peer_is_open (self->template);
  AForkPeer *taken = NULL;

  while (taken == NULL && !g_queue_is_empty (&self->peers))
    {
      AForkPeer *peer = g_queue_pop_head (&self->peers);

      /* What has befallen a spare is no business of whoever wants a fork. */
      if (template_lives && _afork_peer_is_open (peer))
        taken = peer;
      else
        give_up (peer);
    }

  await_quiet (self);
  return taken;
}
