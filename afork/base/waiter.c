/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "waiter.h"

#include "atfork.h"
#include "context.h"
#include "turn.h"

/* How many waiters become due at a time, in one iteration. It takes about 0.1 ms. */
enum { MAX_COLLECTED = 256 };

/* The waiters of one context. */
typedef struct
{
  AForkAtforkHook  atfork_hook;
  gatomicrefcount  ref_count;     /* each waiter, each group and the source have a reference */
  guint            n_waiters;     /* protected by `table_lock` */

  AForkMutex       lock;          /* protects the fields below, the groups and the waiters */
  gboolean         is_broken;     /* this is a fork of the program, and these may be inconsistent;
                                   * then they are neither used nor freed */
  GMainContext    *context;       /* not a reference; NULL once it is gone */
  GSource         *source;        /* NULL once it is destroyed */
  AForkTurnState   turn_state;    /* of the source */
  GHashTable      *groups;        /* GCancellable → Group, for those that are not due */
  GSequence       *times;         /* of AForkWaiter, by time */
  GQueue           due;           /* of AForkWaiter */
} Hub;

/* The waiters of one cancellable. When it is cancelled, they are due. The program may reset the
 * cancellable, so later waiters get a new group. */
typedef struct
{
  gatomicrefcount  ref_count;     /* each waiter and the signal handler have a reference */
  Hub             *hub;
  GCancellable    *cancellable;
  gulong           handler_id;    /* 0 before it is connected, and from group_end() on */
  gboolean         is_over;       /* its waiters have been moved */
  GQueue           waiters;       /* of AForkWaiter */
} Group;

typedef enum { NOWHERE, IN_GROUP, IN_TIMES, IN_DUE } Place;

struct _AForkWaiter
{
  guint            ref_count;     /* the owner and the call of FUNC have a reference */
  gboolean         is_unowned;    /* it has no owner, so the hub ends it */
  Hub             *hub;
  Group           *group;         /* or NULL */
  gint64           time;
  Place            place;         /* if it is IN_GROUP and the group is over, it is due */
  GList            link;          /* in the queue of its place */
  GSequenceIter   *time_iter;     /* in `times` */
  AForkWaiterFunc  func;
  gpointer         data;
  GDestroyNotify   free_data;     /* or NULL */
};

typedef struct
{
  GSource  parent;
  Hub     *hub;
} HubSource;

/* GMainContext → Hub. */
static AForkMutex table_lock;
static GHashTable *table;

/* In a fork of the program, new waiters get new hubs. */
static void
lock_table (void)
{
  if (!_afork_mutex_lock (&table_lock))
    table = NULL;
}

/* In a fork of the program, if another thread had locked the hub at the fork, its waiters are never
 * called. */
static void
hub_lock (Hub *self)
{
  if (!_afork_mutex_lock_intact (&self->lock))
    self->is_broken = TRUE;
}

static void
hub_unref (gpointer data)
{
  Hub *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _afork_atfork_remove_hook (&self->atfork_hook);
  if (self->is_broken)
    return;

  g_hash_table_unref (self->groups);
  g_sequence_free (self->times);
  g_free (self);
}

static Hub *
hub_ref (Hub *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/* Groups. */

static Group *
group_ref (Group *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
group_unref (gpointer data)
{
  Group *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_object_unref (self->cancellable);
  hub_unref (self->hub);
  g_free (self);
}

static void
closure_gone_cb (gpointer  data,
                 GClosure *closure)
{
  group_unref (data);
}

/* Ends a group after its waiters were moved. Returns its signal handler, which the caller must
 * disconnect once the hub is unlocked, or 0. */
static gulong
group_end (Group *self)
{
  gulong handler_id = self->handler_id;

  if (!self->is_over)
    g_hash_table_remove (self->hub->groups, self->cancellable);
  self->is_over = TRUE;
  self->handler_id = 0;
  g_queue_init (&self->waiters);
  return handler_id;
}

/* Moves all of APPENDED to the end of QUEUE. */
static void
queue_append_all (GQueue *queue,
                  GQueue *appended)
{
  if (queue->tail == NULL)
    {
      *queue = *appended;
      return;
    }
  if (appended->head == NULL)
    return;

  queue->tail->next = appended->head;
  appended->head->prev = queue->tail;
  queue->tail = appended->tail;
  queue->length += appended->length;
}

static void
hub_wake (Hub *self)
{
  if (self->context != NULL)
    g_main_context_wakeup (self->context);
}

/* Called in the thread that cancels. */
static void
cancelled_cb (GCancellable *cancellable,
              Group        *self)
{
  gulong handler_id;

  hub_lock (self->hub);
  if (self->hub->is_broken)
    {
      _afork_mutex_unlock (&self->hub->lock);
      return;
    }
  queue_append_all (&self->hub->due, &self->waiters);
  handler_id = group_end (self);
  hub_wake (self->hub);
  _afork_mutex_unlock (&self->hub->lock);

  if (handler_id != 0)
    g_signal_handler_disconnect (cancellable, handler_id);
}

static void
group_connect (Group *self)
{
  gulong handler_id;

  handler_id = g_signal_connect_data (self->cancellable, "cancelled", G_CALLBACK (cancelled_cb),
                                      group_ref (self), closure_gone_cb, 0);
  if (g_cancellable_is_cancelled (self->cancellable))
    cancelled_cb (self->cancellable, self);

  hub_lock (self->hub);
  if (!self->is_over)
    {
      self->handler_id = handler_id;
      handler_id = 0;
    }
  _afork_mutex_unlock (&self->hub->lock);

  if (handler_id != 0)
    g_signal_handler_disconnect (self->cancellable, handler_id);
}

/* Waiters. */

/* Removes the waiter from its place. Returns a signal handler as group_end() does. Call it with the
 * hub locked. */
static gulong
waiter_unlink (AForkWaiter *self)
{
  Place place = self->place;

  if (self->hub->is_broken)
    return 0;

  self->place = NOWHERE;
  switch (place)
    {
    case IN_GROUP:
      if (self->group->is_over)
        {
          g_queue_unlink (&self->hub->due, &self->link);
          return 0;
        }
      g_queue_unlink (&self->group->waiters, &self->link);
      return self->group->waiters.length == 0 ? group_end (self->group) : 0;
    case IN_TIMES:
      g_sequence_remove (self->time_iter);
      return 0;
    case IN_DUE:
      g_queue_unlink (&self->hub->due, &self->link);
      return 0;
    case NOWHERE:
    default:
      return 0;
    }
}

/* Detaches the hub from the context: later waiters of the context get another hub. Returns the
 * source, or NULL if it was detached before. Call it with the table locked. */
static GSource *
hub_detach (Hub *self)
{
  GSource *source;

  hub_lock (self);
  source = g_steal_pointer (&self->source);
  if (source != NULL && table != NULL && g_hash_table_lookup (table, self->context) == self)
    g_hash_table_remove (table, self->context);
  self->context = NULL;
  _afork_mutex_unlock (&self->lock);
  return source;
}

/* Destroys the source with the last waiter. */
static void
hub_remove_waiter (Hub *self)
{
  GSource *source = NULL;

  lock_table ();
  if (--self->n_waiters == 0)
    source = hub_detach (self);
  _afork_mutex_unlock (&table_lock);

  _afork_source_clear (&source);
}

static void
waiter_unref (AForkWaiter *self)
{
  Hub *hub = self->hub;
  gboolean is_last;

  hub_lock (hub);
  is_last = --self->ref_count == 0;
  _afork_mutex_unlock (&hub->lock);
  if (!is_last)
    return;

  if (self->free_data != NULL)
    self->free_data (self->data);
  g_clear_pointer (&self->group, group_unref);
  g_free (self);
  hub_remove_waiter (hub);
  hub_unref (hub);
}

/* The source. */

static int
compare_times (gconstpointer a,
               gconstpointer b,
               gpointer      data)
{
  const AForkWaiter *first = a;
  const AForkWaiter *second = b;

  return first->time < second->time ? -1 : first->time > second->time;
}

static AForkWaiter *
get_next_in_time (Hub *self)
{
  GSequenceIter *iter = g_sequence_get_begin_iter (self->times);

  return g_sequence_iter_is_end (iter) ? NULL : g_sequence_get (iter);
}

/* Whether a waiter is due at TIME. If not, sets *TIMEOUT to the milliseconds until one is due, or
 * to -1. */
static gboolean
hub_is_due (Hub    *self,
            gint64  time,
            int    *timeout)
{
  AForkWaiter *next;
  gboolean is_due;

  hub_lock (self);
  next = self->is_broken ? NULL : get_next_in_time (self);
  is_due = (self->due.length > 0 && !self->is_broken) || (next != NULL && next->time <= time);
  *timeout = next != NULL && !is_due ? (int) MIN ((next->time - time + 999) / 1000, G_MAXINT) : -1;
  _afork_mutex_unlock (&self->lock);
  return is_due;
}

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  Hub *self = ((HubSource *) source)->hub;

  return hub_is_due (self, g_source_get_time (source), timeout)
    || _afork_turn_prepare (&self->turn_state, timeout);
}

static gboolean
source_check (GSource *source)
{
  int timeout;

  return hub_is_due (((HubSource *) source)->hub, g_source_get_time (source), &timeout);
}

/* Makes some waiters due whose time has come: many may have the same time. Returns how many waiters
 * are due. */
static guint
collect_due (Hub    *self,
             gint64  time)
{
  AForkWaiter *next;
  guint n_collected = 0;
  guint n_due;

  hub_lock (self);
  while (!self->is_broken && n_collected < MAX_COLLECTED
         && (next = get_next_in_time (self)) != NULL && next->time <= time)
    {
      n_collected++;
      (void) waiter_unlink (next);
      next->place = IN_DUE;
      g_queue_push_tail_link (&self->due, &next->link);
    }
  n_due = self->is_broken ? 0 : self->due.length;
  _afork_mutex_unlock (&self->lock);
  return n_due;
}

static AForkWaiter *
take_due (Hub *self)
{
  AForkWaiter *waiter;

  hub_lock (self);
  waiter = self->is_broken ? NULL : g_queue_peek_head (&self->due);
  if (waiter != NULL)
    {
      (void) waiter_unlink (waiter);
      waiter->ref_count++;
    }
  _afork_mutex_unlock (&self->lock);
  return waiter;
}

/* A function may iterate the context, which calls other waiters meanwhile. Functions that become
 * due during this dispatch are called in the next iteration. */
static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  Hub *self = hub_ref (((HubSource *) source)->hub);
  AForkWaiter *waiter;
  AForkTurn turn;

  if (_afork_turn_begin (&turn, source))
    {
      guint n_left = collect_due (self, g_get_monotonic_time ());

      while (n_left > 0 && _afork_turn_goes_on (&turn) && (waiter = take_due (self)) != NULL)
        {
          n_left--;
          waiter->func (waiter->data);
          if (waiter->is_unowned)
            waiter_unref (waiter);
          waiter_unref (waiter);
        }
      _afork_turn_end (&turn, &self->turn_state, self->source, n_left == 0);
    }

  hub_unref (self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {
  .prepare = source_prepare,
  .check = source_check,
  .dispatch = source_dispatch,
};

/* The end of the context. */

static void
clear_groups (Hub *self)
{
  GHashTableIter iter;
  gpointer group;

  hub_lock (self);
  while (!self->is_broken)
    {
      g_autoptr(GCancellable) cancellable = NULL;
      gulong handler_id;

      g_hash_table_iter_init (&iter, self->groups);
      if (!g_hash_table_iter_next (&iter, NULL, &group))
        break;

      cancellable = g_object_ref (((Group *) group)->cancellable);
      queue_append_all (&self->due, &((Group *) group)->waiters);
      handler_id = group_end (group);
      _afork_mutex_unlock (&self->lock);
      if (handler_id != 0)
        g_signal_handler_disconnect (cancellable, handler_id);
      hub_lock (self);
    }
  _afork_mutex_unlock (&self->lock);
}

/* Removes one of the remaining waiters from its place, and takes its data. */
static AForkWaiter *
take_left (Hub             *self,
           GDestroyNotify  *free_data,
           gpointer        *data)
{
  AForkWaiter *waiter;

  hub_lock (self);
  waiter = self->is_broken ? NULL : get_next_in_time (self);
  if (waiter == NULL && !self->is_broken)
    waiter = g_queue_peek_head (&self->due);
  if (waiter != NULL)
    {
      (void) waiter_unlink (waiter);
      *free_data = g_steal_pointer (&waiter->free_data);
      *data = waiter->data;
    }
  _afork_mutex_unlock (&self->lock);
  return waiter;
}

static GSource *
detach (Hub *self)
{
  GSource *source;

  lock_table ();
  source = hub_detach (self);
  _afork_mutex_unlock (&table_lock);
  return source;
}

/* The source is being destroyed, because this file has detached it or because its context is being
 * freed. */
static void
source_gone_cb (gpointer data)
{
  Hub *self = data;
  g_autoptr(GSource) source = detach (self);
  AForkWaiter *left;

  if (source != NULL)
    {
      GDestroyNotify free_data;
      gpointer left_data;

      clear_groups (self);
      while ((left = take_left (self, &free_data, &left_data)) != NULL)
        {
          if (left->is_unowned)
            waiter_unref (left);
          /* This may end other waiters, and this one. */
          if (free_data != NULL)
            free_data (left_data);
        }
    }
  hub_unref (self);
}

/* In a fork of the program, which calls no waiter. */
static void
atfork_child_cb (gpointer data)
{
  GSource *source = detach (data);

  _afork_source_clear (&source);
}

/* Making waiters. */

static Hub *
hub_new (GMainContext *context)
{
  Hub *self = g_new0 (Hub, 1);

  g_atomic_ref_count_init (&self->ref_count);
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  self->context = context;
  self->groups = g_hash_table_new (NULL, NULL);
  self->times = g_sequence_new (NULL);
  g_queue_init (&self->due);

  self->source = g_source_new (&source_funcs, sizeof (HubSource));
  ((HubSource *) self->source)->hub = self;
  g_source_set_static_name (self->source, "[afork] waiters");
  /* A function that iterates the context may wait for another waiter. */
  g_source_set_can_recurse (self->source, TRUE);
  g_source_set_callback (self->source, NULL, self, source_gone_cb);
  g_source_attach (self->source, context);
  return self;
}

/* Returns a reference to the hub of CONTEXT, and counts one more waiter in it. */
static Hub *
get_hub (GMainContext *context)
{
  Hub *hub;

  lock_table ();
  if (table == NULL)
    table = g_hash_table_new (NULL, NULL);
  hub = g_hash_table_lookup (table, context);
  if (hub == NULL)
    {
      hub = hub_new (context);
      g_hash_table_insert (table, context, hub);
    }
  hub_ref (hub);
  hub->n_waiters++;
  _afork_mutex_unlock (&table_lock);
  return hub;
}

static AForkWaiter *
waiter_new (GMainContext    *context,
            AForkWaiterFunc  func,
            gpointer         data,
            GDestroyNotify   free_data)
{
  AForkWaiter *self = g_new0 (AForkWaiter, 1);

  self->ref_count = 1;
  self->hub = get_hub (context);
  self->link.data = self;
  self->func = func;
  self->data = data;
  self->free_data = free_data;
  return self;
}

/* Returns the group of CANCELLABLE. If *IS_NEW is true, the caller has to connect it. Call this
 * with the hub locked. */
static Group *
get_group (Hub          *self,
           GCancellable *cancellable,
           gboolean     *is_new)
{
  Group *group = g_hash_table_lookup (self->groups, cancellable);

  *is_new = group == NULL;
  if (group != NULL)
    return group_ref (group);

  group = g_new0 (Group, 1);
  g_atomic_ref_count_init (&group->ref_count);
  group->hub = hub_ref (self);
  group->cancellable = g_object_ref (cancellable);
  g_queue_init (&group->waiters);
  g_hash_table_insert (self->groups, cancellable, group);
  return group;
}

AForkWaiter *
_afork_waiter_new_for_cancellable (GMainContext    *context,
                                   GCancellable    *cancellable,
                                   AForkWaiterFunc  func,
                                   gpointer         data,
                                   GDestroyNotify   free_data)
{
  AForkWaiter *self = waiter_new (context, func, data, free_data);
  gboolean is_new;

  hub_lock (self->hub);
  self->group = get_group (self->hub, cancellable, &is_new);
  self->place = IN_GROUP;
  g_queue_push_tail_link (&self->group->waiters, &self->link);
  _afork_mutex_unlock (&self->hub->lock);

  if (is_new)
    group_connect (self->group);
  return self;
}

AForkWaiter *
_afork_waiter_new_for_time (GMainContext    *context,
                            gint64           time,
                            AForkWaiterFunc  func,
                            gpointer         data,
                            GDestroyNotify   free_data)
{
  AForkWaiter *self = waiter_new (context, func, data, free_data);

  self->time = time;
  hub_lock (self->hub);
  self->place = IN_TIMES;
  self->time_iter = g_sequence_insert_sorted (self->hub->times, self, compare_times, NULL);
  hub_wake (self->hub);
  _afork_mutex_unlock (&self->hub->lock);
  return self;
}

AForkWaiter *
_afork_waiter_new_for_iteration (GMainContext    *context,
                                 AForkWaiterFunc  func,
                                 gpointer         data,
                                 GDestroyNotify   free_data)
{
  AForkWaiter *self = waiter_new (context, func, data, free_data);

  hub_lock (self->hub);
  self->place = IN_DUE;
  g_queue_push_tail_link (&self->hub->due, &self->link);
  hub_wake (self->hub);
  _afork_mutex_unlock (&self->hub->lock);
  return self;
}

void
_afork_waiter_run_later (GMainContext    *context,
                         AForkWaiterFunc  func,
                         gpointer         data,
                         GDestroyNotify   free_data)
{
  _afork_waiter_new_for_iteration (context, func, data, free_data)->is_unowned = TRUE;
}

void
_afork_waiter_end (AForkWaiter *self)
{
  GCancellable *cancellable = self->group != NULL ? self->group->cancellable : NULL;
  gulong handler_id;

  hub_lock (self->hub);
  handler_id = waiter_unlink (self);
  _afork_mutex_unlock (&self->hub->lock);

  if (handler_id != 0)
    g_signal_handler_disconnect (cancellable, handler_id);
  waiter_unref (self);
}
