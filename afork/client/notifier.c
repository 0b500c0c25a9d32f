/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Telling the owner of a client: at once, or later, when its own context is iterated. A handler may
 * iterate that as well, and wait there for what is to be told next. */

#include "config.h"

#include "client-parts.h"

#include "base/context.h"
#include "base/main-context.h"
#include "base/turn.h"

static void
notify_known_now (AForkClient *self,
                  GObject     *owner,
                  gpointer     data)
{
  self->events->known (owner);
}

static void
notify_ready_now (AForkClient *self,
                  GObject     *owner,
                  gpointer     data)
{
  self->events->ready (owner, data);
}

static void
notify_failed_now (AForkClient *self,
                   GObject     *owner,
                   gpointer     data)
{
  self->events->failed (owner, self->failure);
}

static void
notify_killed_now (AForkClient *self,
                   GObject     *owner,
                   gpointer     data)
{
  if (self->events->killed != NULL)
    self->events->killed (owner, _afork_pid_watch_get_kill_error (self->pid_watch));
}

static void
notify_exited_now (AForkClient *self,
                   GObject     *owner,
                   gpointer     data)
{
  self->events->exited (owner);
}

/* Something to be told, in order with the rest. */
typedef struct
{
  AForkClientNotifyFunc func;
  GObject              *data;    /* or NULL */
  gboolean              at_once; /* with the one before */
} Notification;

static Notification *
notification_new (AForkClientNotifyFunc func,
                  gpointer              data)
{
  Notification *notification = g_new0 (Notification, 1);

  notification->func = func;
  notification->data = data != NULL ? g_object_ref (data) : NULL;
  return notification;
}

static void
notification_free (gpointer data)
{
  Notification *notification = data;

  g_clear_object (&notification->data);
  g_free (notification);
}

/* What tells the rest, should a handler iterate the main context, is given. */
typedef struct
{
  AForkClient *client;
  GSource     *source;          /* for comparison */
} ContextWatch;

static void
clear_notify_source (AForkClient *self)
{
  _afork_source_clear (&self->notify_source);
}

static void context_watch_free (gpointer     data);
static void notify_all         (AForkClient *self);

/* Whether no main context will be iterated for it any more. */
static gboolean
is_context_lost (AForkClient *self)
{
  return self->context_gone || _afork_pid_watch_is_context_lost (self->pid_watch)
    || _afork_context_is_gone (self->home);
}

static gboolean
notify_cb (gpointer data)
{
  AForkClient *self = ((ContextWatch *) data)->client;

  clear_notify_source (self);
  notify_all (self);
  return G_SOURCE_REMOVE;
}

static void
schedule_notify (AForkClient *self,
                 int          priority)
{
  ContextWatch *context_watch = g_new0 (ContextWatch, 1);

  clear_notify_source (self);
  self->notify_source = g_idle_source_new ();
  g_source_set_static_name (self->notify_source, "[afork] process notifications");
  g_source_set_priority (self->notify_source, priority);
  context_watch->client = _afork_client_ref (self);
  context_watch->source = self->notify_source;
  g_source_set_callback (self->notify_source, notify_cb, context_watch, context_watch_free);
  g_source_attach (self->notify_source, self->context);
}

/* Tells the first thing there is. Meanwhile the main context is to tell what would come later. */
static void
notify_one (AForkClient *self)
{
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);
  Notification *notification = g_queue_pop_head (&self->notifications);

  if (!g_queue_is_empty (&self->notifications) && self->notify_source == NULL
      && !is_context_lost (self))
    schedule_notify (self, G_PRIORITY_DEFAULT);
  self->notifications_next = NULL;
  if (owner != NULL)
    notification->func (self, owner, notification->data);
  notification_free (notification);
}

static gboolean
is_next_at_once (AForkClient *self)
{
  const Notification *next = g_queue_peek_head (&self->notifications);

  return next != NULL && next->at_once;
}

/* Tells everything there is; what there is no time for, in later iterations of the context. */
static void
notify_all (AForkClient *self)
{
  g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (self);
  AForkTurn turn;
  gboolean has_time = _afork_turn_begin (&turn, NULL);
  gboolean goes_on = TRUE;

  while (goes_on && !g_queue_is_empty (&self->notifications))
    {
      notify_one (self);
      goes_on = is_next_at_once (self) || is_context_lost (self)
        || (has_time && _afork_turn_goes_on (&turn));
    }
  if (has_time)
    _afork_turn_end (&turn, NULL, NULL, FALSE);

  clear_notify_source (self);
  if (!g_queue_is_empty (&self->notifications))
    schedule_notify (self, AFORK_TURN_PRIORITY_BEHIND);
}

/* A source is being destroyed: by us, who have forgotten it already, or with its context. Then it
 * is now or never. */
static void
context_watch_free (gpointer data)
{
  ContextWatch *context_watch = data;
  g_autoptr(AForkClient) self = context_watch->client;
  gboolean context_gone = self->notify_source == context_watch->source;

  g_free (context_watch);
  if (!context_gone)
    return;

  self->context_gone = TRUE;
  clear_notify_source (self);
  notify_all (self);
}

/* A blocking call for one process sees what becomes of others, too, by the template that they have
 * in common. That is kept until their own context is iterated. */
static gboolean
may_notify (AForkClient *self)
{
  GMainContext *blocking = _afork_main_context_get_blocking ();

  return blocking == NULL || blocking == self->context || is_context_lost (self);
}

void
_afork_client_freeze_notify (AForkClient *self)
{
  self->n_freezes++;
}

void
_afork_client_thaw_notify (AForkClient *self,
                           gboolean     later)
{
  if (--self->n_freezes > 0 || g_queue_is_empty (&self->notifications)
      || self->notify_source != NULL)
    return;

  if (!may_notify (self) || (later && !is_context_lost (self)))
    schedule_notify (self, G_PRIORITY_DEFAULT);
  else
    notify_all (self);
}

static void
notify (AForkClient           *self,
        AForkClientNotifyFunc  func,
        gpointer               data)
{
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);

  if (owner == NULL)
    return;

  _afork_client_freeze_notify (self);
  g_queue_push_tail (&self->notifications, notification_new (func, data));
  _afork_client_thaw_notify (self, FALSE);
}

/* Takes NOTIFICATION. */
static void
notify_next (AForkClient  *self,
             Notification *notification)
{
  GList *link = g_list_alloc ();

  link->data = notification;
  if (self->notifications_next != NULL)
    g_queue_insert_after_link (&self->notifications, self->notifications_next, link);
  else
    g_queue_push_head_link (&self->notifications, link);
  self->notifications_next = link;
}

void
_afork_client_notify_next (AForkClient           *self,
                           AForkClientNotifyFunc  func,
                           gpointer               data)
{
  notify_next (self, notification_new (func, data));
}

void
_afork_client_notify_next_at_once (AForkClient           *self,
                                   AForkClientNotifyFunc  func)
{
  Notification *notification = notification_new (func, NULL);

  notification->at_once = TRUE;
  notify_next (self, notification);
}

void
_afork_client_notify_known (AForkClient *self)
{
  notify (self, notify_known_now, NULL);
}

void
_afork_client_notify_ready (AForkClient *self,
                            GSocket     *socket)
{
  notify (self, notify_ready_now, socket);
}

void
_afork_client_notify_failed (AForkClient *self)
{
  notify (self, notify_failed_now, NULL);
}

void
_afork_client_notify_killed (AForkClient *self)
{
  notify (self, notify_killed_now, NULL);
}

void
_afork_client_notify_exited (AForkClient *self)
{
  notify (self, notify_exited_now, NULL);
}

void
_afork_client_move_notifications (AForkClient *self)
{
  if (self->notify_source != NULL)
    schedule_notify (self, G_PRIORITY_DEFAULT);
}

void
_afork_client_drop_notifications (AForkClient *self)
{
  clear_notify_source (self);
  g_queue_clear_full (&self->notifications, notification_free);
  self->notifications_next = NULL;
}
