/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "notifier.h"

#include "base/context.h"
#include "base/main-context.h"
#include "base/turn.h"

typedef struct
{
  AForkNotifyFunc  func;
  GObject         *data;        /* or NULL */
  gboolean         at_once;     /* in the same iteration as the one before */
} Notification;

static Notification *
notification_new (AForkNotifyFunc func,
                  gpointer        data,
                  gboolean        at_once)
{
  Notification *notification = g_new0 (Notification, 1);

  notification->func = func;
  notification->data = data != NULL ? g_object_ref (data) : NULL;
  notification->at_once = at_once;
  return notification;
}

static void
notification_free (gpointer data)
{
  Notification *notification = data;

  g_clear_object (&notification->data);
  g_free (notification);
}

static void
unref_object (gpointer data)
{
  AForkNotifier *self = data;

  self->funcs->unref (self->object);
}

/* Whether no main context will be iterated for the object any more. */
static gboolean
is_context_lost (AForkNotifier *self)
{
  return self->is_context_lost || self->funcs->is_context_lost (self->object);
}

static void schedule (AForkNotifier *self);

/* Calls the first function. If it iterates the main context, that calls the others. */
static void
notify_first (AForkNotifier *self)
{
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);
  Notification *notification = g_queue_pop_head (&self->notifications);

  if (!g_queue_is_empty (&self->notifications) && self->source == NULL && !is_context_lost (self))
    schedule (self);
  self->last_inserted = NULL;
  if (owner != NULL)
    notification->func (self->object, owner, notification->data);
  notification_free (notification);
}

static gboolean
is_next_at_once (AForkNotifier *self)
{
  const Notification *next = g_queue_peek_head (&self->notifications);

  return next != NULL && next->at_once;
}

/* Calls functions until TURN is over. The rest is left to later iterations. */
static void
notify_for_turn (AForkNotifier *self,
                 AForkTurn     *turn)
{
  gboolean goes_on = TRUE;

  self->funcs->ref (self->object);
  while (goes_on && !g_queue_is_empty (&self->notifications))
    {
      notify_first (self);
      goes_on = is_next_at_once (self) || _afork_turn_goes_on (turn);
    }

  if (g_queue_is_empty (&self->notifications))
    _afork_source_clear (&self->source);
  else if (self->source == NULL && !is_context_lost (self))
    schedule (self);
  _afork_turn_end (turn, &self->turn_state, self->source, self->source == NULL);
  self->funcs->unref (self->object);
}

static void
notify_all (AForkNotifier *self)
{
  self->funcs->ref (self->object);
  while (!g_queue_is_empty (&self->notifications))
    notify_first (self);
  _afork_source_clear (&self->source);
  self->funcs->unref (self->object);
}

static gboolean
notify_cb (gpointer data)
{
  AForkNotifier *self = data;
  AForkTurn turn;

  if (_afork_turn_begin (&turn, NULL))
    notify_for_turn (self, &turn);
  return G_SOURCE_CONTINUE;
}

/* The source was destroyed with its main context, so this is the last opportunity. */
static void
context_gone_cb (gpointer data)
{
  AForkNotifier *self = data;

  self->is_context_lost = TRUE;
  notify_all (self);
}

static void
schedule (AForkNotifier *self)
{
  _afork_source_clear (&self->source);
  self->source = g_idle_source_new ();
  g_source_set_static_name (self->source, "[afork] process notifications");
  g_source_set_priority (self->source, G_PRIORITY_DEFAULT);
  g_source_set_can_recurse (self->source, TRUE);
  self->turn_state = (AForkTurnState) { 0 };
  self->funcs->ref (self->object);
  _afork_source_set_callback (&self->source, notify_cb, context_gone_cb, self, unref_object);
  g_source_attach (self->source, self->context);
}

/* A blocking call for one object also sees what happens to others that have the same template.
 * Their functions are called when their own context is iterated. */
static gboolean
may_notify (AForkNotifier *self)
{
  GMainContext *blocking = _afork_main_context_get_blocking ();

  return blocking == NULL || blocking == self->context || is_context_lost (self);
}

void
_afork_notifier_freeze (AForkNotifier *self)
{
  self->n_freezes++;
}

void
_afork_notifier_thaw (AForkNotifier *self,
                      gboolean       later)
{
  AForkTurn turn;

  if (--self->n_freezes > 0 || g_queue_is_empty (&self->notifications) || self->source != NULL)
    return;

  if (is_context_lost (self))
    notify_all (self);
  else if (later || !may_notify (self) || !_afork_turn_begin (&turn, NULL))
    schedule (self);
  else
    notify_for_turn (self, &turn);
}

void
_afork_notifier_notify (AForkNotifier   *self,
                        AForkNotifyFunc  func,
                        gpointer         data)
{
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);

  if (owner == NULL)
    return;

  _afork_notifier_freeze (self);
  g_queue_push_tail (&self->notifications, notification_new (func, data, FALSE));
  _afork_notifier_thaw (self, FALSE);
}

void
_afork_notifier_insert (AForkNotifier   *self,
                        AForkNotifyFunc  func,
                        gpointer         data,
                        gboolean         at_once)
{
  GList *link = g_list_alloc ();

  link->data = notification_new (func, data, at_once);
  if (self->last_inserted != NULL)
    g_queue_insert_after_link (&self->notifications, self->last_inserted, link);
  else
    g_queue_push_head_link (&self->notifications, link);
  self->last_inserted = link;
  /* If the current function iterates the main context, that goes on with this one. */
  if (self->source == NULL && !is_context_lost (self))
    schedule (self);
}

void
_afork_notifier_set_context (AForkNotifier *self,
                             GMainContext  *context)
{
  self->context = context;
  if (self->source != NULL)
    schedule (self);
}

void
_afork_notifier_lose_context (AForkNotifier *self)
{
  self->is_context_lost = TRUE;
}

void
_afork_notifier_clear (AForkNotifier *self)
{
  _afork_source_clear (&self->source);
  g_queue_clear_full (&self->notifications, notification_free);
  self->last_inserted = NULL;
}

void
_afork_notifier_set_owner (AForkNotifier *self,
                           GObject       *owner)
{
  g_weak_ref_set (&self->owner, owner);
}

void
_afork_notifier_init (AForkNotifier            *self,
                      const AForkNotifierFuncs *funcs,
                      gpointer                  object,
                      GMainContext             *context,
                      GObject                  *owner)
{
  *self = (AForkNotifier) { .funcs = funcs, .object = object, .context = context };
  g_weak_ref_init (&self->owner, owner);
  g_queue_init (&self->notifications);
}

void
_afork_notifier_destroy (AForkNotifier *self)
{
  g_assert (self->source == NULL);

  _afork_notifier_clear (self);
  g_weak_ref_clear (&self->owner);
}
