/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Telling the owner of a peer: at once, or later, when its own context turns. A handler may turn
 * that as well, and wait there for what is to be told next. */

#include "config.h"

#include "client-parts.h"

#include "base/context.h"
#include "base/turn.h"
#include "process/blocking-call.h"

static void
tell_known_now (AForkPeer *self,
                GObject   *owner,
                gpointer   data)
{
  self->events->known (owner);
}

static void
tell_ready_now (AForkPeer *self,
                GObject   *owner,
                gpointer   data)
{
  self->events->ready (owner, data);
}

static void
tell_failed_now (AForkPeer *self,
                 GObject   *owner,
                 gpointer   data)
{
  self->events->failed (owner, self->failure);
}

static void
tell_killed_now (AForkPeer *self,
                 GObject   *owner,
                 gpointer   data)
{
  if (self->events->killed != NULL)
    self->events->killed (owner, _afork_life_get_kill_error (self->life));
}

static void
tell_ended_now (AForkPeer *self,
                GObject   *owner,
                gpointer   data)
{
  self->events->ended (owner);
}

/* Something to be told, in order with the rest. */
typedef struct
{
  AForkPeerTellFunc func;
  GObject          *data;       /* or NULL */
  gboolean          at_once;    /* with the one before */
} Tale;

static Tale *
tale_new (AForkPeerTellFunc func,
          gpointer          data)
{
  Tale *tale = g_new0 (Tale, 1);

  tale->func = func;
  tale->data = data != NULL ? g_object_ref (data) : NULL;
  return tale;
}

static void
tale_free (gpointer data)
{
  Tale *tale = data;

  g_clear_object (&tale->data);
  g_free (tale);
}

/* What tells the rest, should a handler turn the main context, is given. */
typedef struct
{
  AForkPeer *peer;
  GSource   *source;            /* for comparison */
} Teller;

static void
forget_tales_source (AForkPeer *self)
{
  _afork_source_clear (&self->tales_source);
}

static void teller_free (gpointer data);
static void tell_tales  (AForkPeer *self);

/* Whether no main context will turn for it any more. */
static gboolean
is_adrift (AForkPeer *self)
{
  return self->context_gone || _afork_life_is_stranded (self->life)
    || _afork_context_is_gone (self->home);
}

static gboolean
tell_tales_cb (gpointer data)
{
  AForkPeer *self = ((Teller *) data)->peer;

  forget_tales_source (self);
  tell_tales (self);
  return G_SOURCE_REMOVE;
}

static void
schedule_tales (AForkPeer *self,
                int        priority)
{
  Teller *teller = g_new0 (Teller, 1);

  forget_tales_source (self);
  self->tales_source = g_idle_source_new ();
  g_source_set_static_name (self->tales_source, "[afork] process told later");
  g_source_set_priority (self->tales_source, priority);
  teller->peer = _afork_peer_ref (self);
  teller->source = self->tales_source;
  g_source_set_callback (self->tales_source, tell_tales_cb, teller, teller_free);
  g_source_attach (self->tales_source, self->context);
}

/* Tells the first thing there is. Meanwhile the main context is to tell what would come later. */
static void
tell_tale (AForkPeer *self)
{
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);
  Tale *tale = g_queue_pop_head (&self->tales);

  if (!g_queue_is_empty (&self->tales) && self->tales_source == NULL && !is_adrift (self))
    schedule_tales (self, G_PRIORITY_DEFAULT);
  self->tales_next = NULL;
  if (owner != NULL)
    tale->func (self, owner, tale->data);
  tale_free (tale);
}

static gboolean
is_next_at_once (AForkPeer *self)
{
  const Tale *next = g_queue_peek_head (&self->tales);

  return next != NULL && next->at_once;
}

/* Tells everything there is; what there is no time for, in later iterations of the context. */
static void
tell_tales (AForkPeer *self)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  AForkTurn turn;
  gboolean has_time = _afork_turn_begin (&turn, NULL);
  gboolean goes_on = TRUE;

  while (goes_on && !g_queue_is_empty (&self->tales))
    {
      tell_tale (self);
      goes_on = is_next_at_once (self) || is_adrift (self)
        || (has_time && _afork_turn_goes_on (&turn));
    }
  if (has_time)
    _afork_turn_end (&turn, NULL, NULL, FALSE);

  forget_tales_source (self);
  if (!g_queue_is_empty (&self->tales))
    schedule_tales (self, AFORK_TURN_PRIORITY_BEHIND);
}

/* A source is being destroyed: by us, who have forgotten it already, or with its context. Then it
 * is now or never. */
static void
teller_free (gpointer data)
{
  Teller *teller = data;
  g_autoptr(AForkPeer) self = teller->peer;
  gboolean context_gone = self->tales_source == teller->source;

  g_free (teller);
  if (!context_gone)
    return;

  self->context_gone = TRUE;
  forget_tales_source (self);
  tell_tales (self);
}

/* A blocking call for one process sees what becomes of others, too, by the template that they have
 * in common. That is kept until their own context turns. */
static gboolean
may_tell (AForkPeer *self)
{
  GMainContext *blocking = _afork_blocking_get_context ();

  return blocking == NULL || blocking == self->context || is_adrift (self);
}

void
_afork_peer_hold_tales (AForkPeer *self)
{
  self->n_holds++;
}

void
_afork_peer_let_tales_go (AForkPeer *self,
                          gboolean   later)
{
  if (--self->n_holds > 0 || g_queue_is_empty (&self->tales) || self->tales_source != NULL)
    return;

  if (!may_tell (self) || (later && !is_adrift (self)))
    schedule_tales (self, G_PRIORITY_DEFAULT);
  else
    tell_tales (self);
}

static void
tell (AForkPeer         *self,
      AForkPeerTellFunc  func,
      gpointer           data)
{
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);

  if (owner == NULL)
    return;

  _afork_peer_hold_tales (self);
  g_queue_push_tail (&self->tales, tale_new (func, data));
  _afork_peer_let_tales_go (self, FALSE);
}

/* Takes TALE. */
static void
tell_next (AForkPeer *self,
           Tale      *tale)
{
  GList *link = g_list_alloc ();

  link->data = tale;
  if (self->tales_next != NULL)
    g_queue_insert_after_link (&self->tales, self->tales_next, link);
  else
    g_queue_push_head_link (&self->tales, link);
  self->tales_next = link;
}

void
_afork_peer_tell_next (AForkPeer         *self,
                       AForkPeerTellFunc  func,
                       gpointer           data)
{
  tell_next (self, tale_new (func, data));
}

void
_afork_peer_tell_next_at_once (AForkPeer         *self,
                               AForkPeerTellFunc  func)
{
  Tale *tale = tale_new (func, NULL);

  tale->at_once = TRUE;
  tell_next (self, tale);
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
_afork_peer_tell_killed (AForkPeer *self)
{
  tell (self, tell_killed_now, NULL);
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
    schedule_tales (self, G_PRIORITY_DEFAULT);
}

void
_afork_peer_forget_tales (AForkPeer *self)
{
  forget_tales_source (self);
  g_queue_clear_full (&self->tales, tale_free);
  self->tales_next = NULL;
}
