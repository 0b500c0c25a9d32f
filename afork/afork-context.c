/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-context-private.h"

/* A context goes in two steps, each told by a source of ours in it:
 *
 * 1. GLib destroys the sources, one after the other. The context is still in memory until all of
 *    them are destroyed, ours too, so whoever has the mutex and finds `context` set can use it.
 * 2. GLib drops the sources. By then, each part of our objects has noticed that its own source is
 *    destroyed. Nobody but we had a source of the context's, so what is left can be done by any
 *    thread.
 *
 * Between the two, work is queued. It is done at the second step. */
struct _AForkContext
{
  gatomicrefcount  ref_count;   /* the source has one */
  GMutex           mutex;       /* for all below */
  GMainContext    *context;     /* not a reference; NULL from the first step on */
  GSource         *source;      /* nor is this */
  gboolean         gone;        /* the second step was made */
  guint            n_objects;   /* that belong to it */
  GThread         *home;        /* for comparison: that uses the global default one, or NULL */
  GQueue           work;        /* of Work, to be done */
  GQueue           watches;     /* of Work, for when it has gone */
};

typedef struct
{
  GSource       parent;
  AForkContext *context;        /* a reference */
} ContextSource;

typedef struct
{
  AForkContextFunc func;
  gpointer         data;
} Work;

/* A hold is its main context, which is acquired; or this, if there is none to be acquired. */
static char nothing;

/* All there are, by main context, as long as that has a source of ours. */
static GMutex table_mutex;
static GHashTable *table;

AForkContext *
_afork_context_ref (AForkContext *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_context_unref (AForkContext *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  /* The source had a reference, so it has gone, and its queues with it. */
  g_mutex_clear (&self->mutex);
  g_free (self);
}

/* Work. */

static Work *
work_new (AForkContextFunc func,
          gpointer         data)
{
  Work *work = g_new0 (Work, 1);

  work->func = func;
  work->data = data;
  return work;
}

static void
do_all (GQueue *queue)
{
  Work *work;

  while ((work = g_queue_pop_head (queue)) != NULL)
    {
      work->func (work->data);
      g_free (work);
    }
}

static void
take_queue (GQueue *queue,
            GQueue *taken)
{
  *taken = *queue;
  g_queue_init (queue);
}

/* The source. */

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkContext *self = ((ContextSource *) source)->context;
  GQueue work;

  g_mutex_lock (&self->mutex);
  g_source_set_ready_time (source, -1);
  take_queue (&self->work, &work);
  g_mutex_unlock (&self->mutex);

  do_all (&work);
  return G_SOURCE_CONTINUE;
}

/* The first step. */
static void
source_destroyed_cb (gpointer data)
{
  AForkContext *self = data;

  g_mutex_lock (&table_mutex);
  g_hash_table_remove (table, self->context);
  g_mutex_unlock (&table_mutex);

  g_mutex_lock (&self->mutex);
  self->context = NULL;
  self->source = NULL;
  g_mutex_unlock (&self->mutex);
}

/* The second step. */
static void
source_finalize (GSource *source)
{
  AForkContext *self = ((ContextSource *) source)->context;
  GQueue work, watches;

  g_mutex_lock (&self->mutex);
  self->gone = TRUE;
  take_queue (&self->work, &work);
  take_queue (&self->watches, &watches);
  g_mutex_unlock (&self->mutex);

  do_all (&work);
  do_all (&watches);
  _afork_context_unref (self);
}

static GSourceFuncs source_funcs = { .dispatch = source_dispatch, .finalize = source_finalize };

static AForkContext *
context_new (void)
{
  AForkContext *self = g_new0 (AForkContext, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->mutex);
  g_queue_init (&self->work);
  g_queue_init (&self->watches);
  return self;
}

/* The source takes the reference. */
static void
attach (AForkContext *self,
        GMainContext *context)
{
  self->context = context;
  self->source = g_source_new (&source_funcs, sizeof (ContextSource));
  ((ContextSource *) self->source)->context = self;
  g_source_set_static_name (self->source, "[afork] context");
  /* Handlers that iterate the main context may wait for what the work leads to. */
  g_source_set_can_recurse (self->source, TRUE);
  g_source_set_callback (self->source, NULL, self, source_destroyed_cb);
  g_source_attach (self->source, context);
  g_source_unref (self->source);
}

AForkContext *
_afork_context_ref_thread_default (void)
{
  GMainContext *context = _afork_get_thread_context ();
  AForkContext *self;

  g_mutex_lock (&table_mutex);
  if (table == NULL)
    table = g_hash_table_new (NULL, NULL);
  self = g_hash_table_lookup (table, context);
  if (self == NULL)
    {
      self = context_new ();
      attach (self, context);
      g_hash_table_insert (table, context, self);
    }
  _afork_context_ref (self);
  g_mutex_unlock (&table_mutex);

  return self;
}

AForkContext *
_afork_context_ref_nowhere (void)
{
  static gsize nowhere;

  if (g_once_init_enter (&nowhere))
    {
      AForkContext *made = context_new ();

      made->gone = TRUE;
      g_once_init_leave (&nowhere, (gsize) made);
    }

  return _afork_context_ref ((AForkContext *) nowhere);
}

GMainContext *
_afork_context_peek (AForkContext *self)
{
  GMainContext *context;

  g_mutex_lock (&self->mutex);
  context = self->context;
  g_mutex_unlock (&self->mutex);
  return context;
}

gboolean
_afork_context_is_thread_default (AForkContext *self)
{
  GMainContext *context = _afork_get_thread_context ();
  gboolean is_same;

  g_mutex_lock (&self->mutex);
  is_same = self->context == context;
  g_mutex_unlock (&self->mutex);
  return is_same;
}

/* Holding it. */

typedef struct
{
  AForkContext *context;        /* a reference */
  GThread      *thread;         /* for comparison */
} Home;

/* The thread ends. */
static void
home_gone_cb (gpointer data)
{
  Home *home = data;

  g_mutex_lock (&home->context->mutex);
  if (home->context->home == home->thread)
    home->context->home = NULL;
  g_mutex_unlock (&home->context->mutex);

  _afork_context_unref (home->context);
  g_free (home);
}

static GPrivate home_of_thread = G_PRIVATE_INIT (home_gone_cb);

/* To be called with the mutex locked. */
static void
make_home (AForkContext *self)
{
  GThread *thread = g_thread_self ();

  if (self->home != NULL)
    return;

  self->home = thread;
  if (g_private_get (&home_of_thread) == NULL)
    {
      Home *home = g_new0 (Home, 1);

      home->context = _afork_context_ref (self);
      home->thread = thread;
      g_private_set (&home_of_thread, home);
    }
}

/* To be called with the mutex locked. */
static gboolean
acquire (AForkContext *self)
{
  if (self->context == NULL)
    return FALSE;
  if (g_main_context_is_owner (self->context))
    return g_main_context_acquire (self->context);
  if (self->context != g_main_context_default ())
    return FALSE;

  return (self->home == NULL || self->home == g_thread_self ())
    && g_main_context_acquire (self->context);
}

/* To be called with the mutex locked. */
static AForkHold *
hold (AForkContext *self)
{
  if (self->gone)
    return (AForkHold *) &nothing;

  return acquire (self) ? (AForkHold *) self->context : NULL;
}

AForkHold *
_afork_context_hold_once (AForkContext *self)
{
  AForkHold *held;

  g_mutex_lock (&self->mutex);
  held = hold (self);
  g_mutex_unlock (&self->mutex);

  return held;
}

AForkHold *
_afork_context_hold (AForkContext *self)
{
  AForkHold *held;

  g_mutex_lock (&self->mutex);
  held = hold (self);
  if (held != NULL && self->n_objects > 0 && self->context == g_main_context_default ())
    make_home (self);
  g_mutex_unlock (&self->mutex);

  return held;
}

AForkHold *
_afork_context_add_object (AForkContext *self)
{
  AForkHold *held;

  g_mutex_lock (&self->mutex);
  self->n_objects++;
  g_mutex_unlock (&self->mutex);

  held = _afork_context_hold (self);
  if (held == NULL)
    _afork_context_remove_object (self);
  return held;
}

void
_afork_context_remove_object (AForkContext *self)
{
  g_mutex_lock (&self->mutex);
  if (--self->n_objects == 0)
    self->home = NULL;
  g_mutex_unlock (&self->mutex);
}

void
_afork_hold_release (AForkHold *held)
{
  if (held != (AForkHold *) &nothing)
    g_main_context_release ((GMainContext *) held);
}

void
_afork_context_run (AForkContext     *self,
                    AForkContextFunc  func,
                    gpointer          data)
{
  g_autoptr(AForkHold) held = NULL;

  g_mutex_lock (&self->mutex);
  held = hold (self);
  if (held == NULL)
    {
      g_queue_push_tail (&self->work, work_new (func, data));
      if (self->source != NULL)
        g_source_set_ready_time (self->source, 0);
    }
  g_mutex_unlock (&self->mutex);

  if (held != NULL)
    func (data);
}

/* Its end. */

gboolean
_afork_context_is_gone (AForkContext *self)
{
  return _afork_context_peek (self) == NULL;
}

gboolean
_afork_context_watch (AForkContext     *self,
                      AForkContextFunc  func,
                      gpointer          data)
{
  gboolean gone;

  g_mutex_lock (&self->mutex);
  gone = self->gone;
  if (!gone)
    g_queue_push_tail (&self->watches, work_new (func, data));
  g_mutex_unlock (&self->mutex);
  return !gone;
}

gboolean
_afork_context_unwatch (AForkContext     *self,
                        AForkContextFunc  func,
                        gpointer          data)
{
  gboolean found = FALSE;

  g_mutex_lock (&self->mutex);
  for (GList *link = self->watches.head; link != NULL && !found; link = link->next)
    {
      Work *work = link->data;

      found = work->func == func && work->data == data;
      if (found)
        {
          g_free (work);
          g_queue_delete_link (&self->watches, link);
        }
    }
  g_mutex_unlock (&self->mutex);
  return found;
}
