/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "spare-forks.h"

#include "base/context.h"

enum
{
  /* How long a template has to be left alone. */
  QUIET_MS = 100,
  /* How often that doubles, at most, while spares are lost: to more than a minute and a half. */
  MAX_LOSSES = 10,
};

struct _AForkSpares
{
  GObject       parent_instance;        /* for peers want an owner who is one */
  AForkPeer    *template;
  AForkContext *context;
  GQueue        peers;          /* of AForkPeer, the oldest first; some may have died */
  guint         number;         /* that there should be */
  gboolean      lost;           /* one has, since they were last made */
  guint         n_losses;       /* how often that was so lately */
  GSource      *timer;          /* until they are made, or NULL */
};

G_DEFINE_FINAL_TYPE (AForkSpares, _afork_spares, G_TYPE_OBJECT)

static void await_quiet (AForkSpares *self);

static void
give_up (gpointer data)
{
  g_autoptr(AForkPeer) peer = data;

  _afork_peer_set_owner (peer, NULL, NULL);
  _afork_peer_release (peer);
}

static void
give_up_dead (AForkSpares *self)
{
  for (GList *link = self->peers.head, *next; link != NULL; link = next)
    {
      next = link->next;
      if (!_afork_peer_is_open (link->data))
        {
          give_up (link->data);
          g_queue_delete_link (&self->peers, link);
        }
    }
}

static void
note_loss (AForkSpares *self)
{
  self->lost = TRUE;
  await_quiet (self);
}

/* What the peers tell. */

static void
known_cb (GObject *owner)
{
}

static void
ready_cb (GObject *owner,
          GSocket *socket)
{
  /* None of them is told to run. */
  g_assert_not_reached ();
}

static void
failed_cb (GObject      *owner,
           const GError *error)
{
  g_debug ("A spare process is lost: %s", error->message);
  note_loss (AFORK_SPARES (owner));
}

static void
ended_cb (GObject *owner)
{
}

static const AForkPeerEvents peer_events = {
  .known = known_cb,
  .ready = ready_cb,
  .failed = failed_cb,
  .ended = ended_cb,
};

/* Making them. */

static void start_timer (AForkSpares *self,
                         guint        ms);

/* Makes one, so that many of them do not hold up what else is to be done in the context. */
static gboolean
quiet_cb (gpointer data)
{
  AForkSpares *self = data;
  AForkPeer *peer;

  _afork_source_clear (&self->timer);
  if (_afork_context_is_gone (self->context))
    return G_SOURCE_REMOVE;
  if (self->lost)
    give_up_dead (self);
  if (self->lost && self->n_losses < MAX_LOSSES)
    self->n_losses++;
  self->lost = FALSE;
  if (self->peers.length >= self->number || !_afork_peer_is_open (self->template))
    return G_SOURCE_REMOVE;

  peer = _afork_peer_new (self->context, &peer_events, G_OBJECT (self));
  _afork_peer_fork (peer, self->template);
  g_queue_push_tail (&self->peers, peer);
  _afork_peer_set_begun (peer);
  /* If it has failed at once, so would the next one. */
  if (!_afork_peer_is_open (peer))
    note_loss (self);
  else if (self->peers.length < self->number)
    start_timer (self, 0);
  return G_SOURCE_REMOVE;
}

static void
start_timer (AForkSpares *self,
             guint        ms)
{
  GMainContext *context = _afork_context_peek (self->context);

  if (context == NULL)
    return;

  self->timer = g_timeout_source_new (ms);
  g_source_set_static_name (self->timer, "[afork] spares");
  g_source_set_priority (self->timer, G_PRIORITY_LOW);
  g_source_set_callback (self->timer, quiet_cb, self, NULL);
  g_source_attach (self->timer, context);
}

/* Waits, from now on, until it is time to make those that are missing. */
static void
await_quiet (AForkSpares *self)
{
  const guint ms = (guint) QUIET_MS << self->n_losses;

  if (self->number == 0)
    _afork_source_clear (&self->timer);
  else if (self->timer != NULL)
    g_source_set_ready_time (self->timer, g_get_monotonic_time () + ms * G_GINT64_CONSTANT (1000));
  else
    start_timer (self, ms);
}

/* GObject. */

static void
_afork_spares_finalize (GObject *object)
{
  AForkSpares *self = AFORK_SPARES (object);

  _afork_source_clear (&self->timer);
  g_queue_clear_full (&self->peers, give_up);
  _afork_peer_unref (self->template);
  _afork_context_unref (self->context);

  G_OBJECT_CLASS (_afork_spares_parent_class)->finalize (object);
}

static void
_afork_spares_class_init (AForkSparesClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = _afork_spares_finalize;
}

static void
_afork_spares_init (AForkSpares *self)
{
  g_queue_init (&self->peers);
}

/* For the library. */

AForkSpares *
_afork_spares_new (AForkPeer *template)
{
  AForkSpares *self = g_object_new (AFORK_TYPE_SPARES, NULL);

  self->template = _afork_peer_ref (template);
  self->context = _afork_context_ref (_afork_peer_get_home (template));
  return self;
}

void
_afork_spares_free (AForkSpares *self)
{
  /* Somebody may be about to tell it of a peer. */
  self->number = 0;
  _afork_source_clear (&self->timer);
  g_queue_clear_full (&self->peers, give_up);
  g_object_unref (self);
}

void
_afork_spares_set_number (AForkSpares *self,
                          guint        number)
{
  self->number = number;
  self->n_losses = 0;
  while (self->peers.length > number)
    give_up (g_queue_pop_tail (&self->peers));
  await_quiet (self);
}

void
_afork_spares_discard (AForkSpares *self)
{
  g_queue_clear_full (&self->peers, give_up);
  self->n_losses = 0;
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

  if (taken != NULL)
    self->n_losses = 0;
  await_quiet (self);
  return taken;
}
