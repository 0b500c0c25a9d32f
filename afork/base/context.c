/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "context.h"

#include "atfork.h"

/* The callback of a source. If the callback destroys its source, GLib drops the callback only after
 * it has returned. The owner may have another source by then. */
typedef struct
{
  gatomicrefcount ref_count;
  GSource       **field;        /* the owner's pointer to the source */
  GSource        *source;       /* for comparison */
  GSourceFunc     func;
  GDestroyNotify  context_gone;
  gpointer        data;
  GDestroyNotify  unref;
} Callback;

static void
callback_ref (gpointer data)
{
  g_atomic_ref_count_inc (&((Callback *) data)->ref_count);
}

static void
callback_unref (gpointer data)
{
  Callback *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  if (*self->field == self->source)
    {
      _afork_source_clear (self->field);
      self->context_gone (self->data);
    }
  self->unref (self->data);
  g_free (self);
}

static void
callback_get (gpointer     data,
              GSource     *source,
              GSourceFunc *func,
              gpointer    *func_data)
{
  const Callback *self = data;

  *func = self->func;
  *func_data = self->data;
}

void
_afork_source_set_callback (GSource       **source,
                            GSourceFunc     func,
                            GDestroyNotify  context_gone,
                            gpointer        data,
                            GDestroyNotify  unref)
{
  static GSourceCallbackFuncs callback_funcs = { callback_ref, callback_unref, callback_get };
  Callback *self = g_new0 (Callback, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->field = source;
  self->source = *source;
  self->func = func;
  self->context_gone = context_gone;
  self->data = data;
  self->unref = unref;
  g_source_set_callback_indirect (*source, self, &callback_funcs);
}

/* GLib frees a main context in steps, which the end source sees:
 *
 * 1. GLib takes the context from all sources. A source that is attached now is never dispatched.
 * 2. GLib destroys the sources, one after another. The main context stays in memory until all of
 *    them, including the end source, are destroyed. So a thread that has locked the mutex and finds
 *    `context` set can use it.
 * 3. GLib drops the sources. All objects of the context have seen by now that their own sources
 *    were destroyed. From now on any thread can do the remaining work.
 *
 * Until the third step, work is queued. That step does this work, and the work that is queued
 * meanwhile. The end source is the last one in the context, so GLib destroys it first, but this
 * code does not rely on that. */
struct _AForkContext
{
  gatomicrefcount  ref_count;   /* the end source has a reference */
  guint            generation;  /* of the program, see atfork.h */
  GMutex           mutex;       /* protects the fields below */
  GMainContext    *context;     /* not a reference; NULL from step 2 on */
  GSource         *end_source;  /* sees the end of the main context; not a reference */
  GSource         *work_source; /* does the work; not a reference */
  GThread         *destroyer;   /* frees the main context, from step 2 on; for comparison */
  gboolean         gone;        /* the third step is over, and all work is done */
  gboolean         is_nowhere;  /* there never was a main context */
  guint            n_objects;   /* that belong to it */
  GThread         *home;        /* the home thread, or NULL; for comparison */
  GQueue           work;        /* of Work: to be done */
  GQueue           watches;     /* of Work: to be done when the main context is gone */
};

typedef struct
{
  GSource       parent;
  AForkContext *context;        /* a reference, in the end source only */
} ContextSource;

typedef struct
{
  AForkContextFunc func;
  gpointer         data;
} Work;

/* A hold points to the main context, which was acquired. If there is none, it points to this. */
static char nothing;

/* main context → AForkContext, for those that have an end source. */
static AForkMutex table_mutex;
static GHashTable *table;

static void
lock_table (void)
{
  /* The contexts in it belong to the program that this one was forked from. */
  if (!_afork_mutex_lock (&table_mutex))
    table = NULL;
}

/* Whether this process is a fork of the program that made the context. A thread of that program may
 * have held the mutex at the fork, so it may stay locked for ever. */
static gboolean
is_inherited (AForkContext *self)
{
  return self->generation != _afork_atfork_get_generation () && !self->is_nowhere;
}

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

  /* The end source had a reference. It is gone, so the queues are empty. */
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
do_work (Work *work)
{
  work->func (work->data);
  g_free (work);
}

/* The sources. */

static gboolean
work_dispatch (GSource     *source,
               GSourceFunc  callback,
               gpointer     data)
{
  AForkContext *self = ((ContextSource *) source)->context;
  GQueue taken;
  Work *work;

  if (is_inherited (self))
    return G_SOURCE_REMOVE;

  g_mutex_lock (&self->mutex);
  g_source_set_ready_time (source, -1);
  taken = self->work;
  g_queue_init (&self->work);
  g_mutex_unlock (&self->mutex);

  while ((work = g_queue_pop_head (&taken)) != NULL)
    do_work (work);
  return G_SOURCE_CONTINUE;
}

/* The second step. */
static void
end_destroyed_cb (gpointer data)
{
  AForkContext *self = data;

  if (is_inherited (self))
    return;

  lock_table ();
  g_hash_table_remove (table, self->context);
  _afork_mutex_unlock (&table_mutex);

  g_mutex_lock (&self->mutex);
  self->context = NULL;
  self->end_source = NULL;
  self->work_source = NULL;
  self->destroyer = g_thread_self ();
  g_mutex_unlock (&self->mutex);
}

/* Takes what is to be done next: first the work, then the watches, one at a time, because each may
 * end others. Returns NULL if nothing is left: from then on, all threads may use the objects of the
 * context. */
static Work *
take_next (AForkContext *self)
{
  Work *next;

  g_mutex_lock (&self->mutex);
  next = g_queue_pop_head (&self->work);
  if (next == NULL)
    next = g_queue_pop_head (&self->watches);
  if (next == NULL)
    {
      self->gone = TRUE;
      self->destroyer = NULL;
    }
  g_mutex_unlock (&self->mutex);
  return next;
}

/* The third step. While this thread works with the objects, another thread that drops one of them
 * still queues its work, and this thread does it. */
static void
end_finalize (GSource *source)
{
  AForkContext *self = ((ContextSource *) source)->context;
  Work *next;

  if (is_inherited (self))
    return;

  while ((next = take_next (self)) != NULL)
    do_work (next);
  _afork_context_unref (self);
}

static GSourceFuncs end_funcs = { .finalize = end_finalize };
static GSourceFuncs work_funcs = { .dispatch = work_dispatch };

static AForkContext *
context_new (void)
{
  AForkContext *self = g_new0 (AForkContext, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->generation = _afork_atfork_get_generation ();
  g_mutex_init (&self->mutex);
  g_queue_init (&self->work);
  g_queue_init (&self->watches);
  return self;
}

static GSource *
attach_source (AForkContext *self,
               GSourceFuncs *funcs,
               const char   *name,
               int           priority)
{
  GSource *source = g_source_new (funcs, sizeof (ContextSource));

  ((ContextSource *) source)->context = self;
  g_source_set_static_name (source, name);
  g_source_set_priority (source, priority);
  /* A handler may iterate the main context and wait there for a result of the work. */
  g_source_set_can_recurse (source, TRUE);
  g_source_attach (source, self->context);
  g_source_unref (source);
  return source;
}

/* The end source takes the reference of the caller. */
static void
attach (AForkContext *self,
        GMainContext *context)
{
  self->context = context;
  self->work_source = attach_source (self, &work_funcs, "[afork] context: work",
                                     G_PRIORITY_DEFAULT);
  self->end_source = attach_source (self, &end_funcs, "[afork] context: end", G_MAXINT);
  g_source_set_callback (self->end_source, NULL, self, end_destroyed_cb);
}

AForkContext *
_afork_context_ref_thread_default (void)
{
  GMainContext *context = _afork_get_thread_context ();
  AForkContext *self;

  lock_table ();
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
  _afork_mutex_unlock (&table_mutex);

  return self;
}

AForkContext *
_afork_context_ref_nowhere (void)
{
  static AForkContext *nowhere; /* atomic */

  /* In a fork of the program, g_once_init_enter() would never return if another thread was making
   * it. */
  if (g_atomic_pointer_get (&nowhere) == NULL)
    {
      AForkContext *made = context_new ();

      made->gone = TRUE;
      made->is_nowhere = TRUE;
      if (!g_atomic_pointer_compare_and_exchange (&nowhere, NULL, made))
        _afork_context_unref (made);
    }

  return _afork_context_ref (g_atomic_pointer_get (&nowhere));
}

GMainContext *
_afork_context_peek (AForkContext *self)
{
  GMainContext *context = NULL;

  if (is_inherited (self))
    return NULL;

  g_mutex_lock (&self->mutex);
  if (self->end_source != NULL && !g_source_is_destroyed (self->end_source))
    context = g_source_get_context (self->end_source);
  g_mutex_unlock (&self->mutex);
  return context;
}

gboolean
_afork_context_is_thread_default (AForkContext *self)
{
  GMainContext *context = _afork_get_thread_context ();
  gboolean is_same;

  if (is_inherited (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  is_same = self->context == context;
  g_mutex_unlock (&self->mutex);
  return is_same;
}

gboolean
_afork_context_is_owned (GMainContext *context)
{
  AForkContext *self;
  gboolean is_free;

  lock_table ();
  self = table != NULL ? g_hash_table_lookup (table, context) : NULL;
  if (self != NULL)
    g_mutex_lock (&self->mutex);
  is_free = g_main_context_acquire (context);
  if (is_free)
    g_main_context_release (context);
  if (self != NULL)
    g_mutex_unlock (&self->mutex);
  _afork_mutex_unlock (&table_mutex);
  return !is_free;
}

/* Holding it. */

typedef struct
{
  AForkContext *context;        /* a reference */
  GThread      *thread;         /* for comparison */
} Home;

/* The thread exits. */
static void
home_gone_cb (gpointer data)
{
  Home *home = data;

  if (!is_inherited (home->context))
    {
      g_mutex_lock (&home->context->mutex);
      if (home->context->home == home->thread)
        home->context->home = NULL;
      g_mutex_unlock (&home->context->mutex);
    }

  _afork_context_unref (home->context);
  g_free (home);
}

static GPrivate home_of_thread = G_PRIVATE_INIT (home_gone_cb);

/* Makes this thread the home thread of a context that has none. Call it with the mutex locked. */
static void
make_home (AForkContext *self)
{
  GThread *thread = g_thread_self ();
  Home *home = g_private_get (&home_of_thread);

  self->home = thread;
  if (home == NULL || home->context != self)
    {
      home = g_new0 (Home, 1);

      home->context = _afork_context_ref (self);
      home->thread = thread;
      g_private_replace (&home_of_thread, home);
    }
}

/* Call it with the mutex locked. */
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

/* Call it with the mutex locked. */
static AForkHold *
hold (AForkContext *self)
{
  if (self->gone)
    return (AForkHold *) &nothing;

  return acquire (self) ? (AForkHold *) self->context : NULL;
}

/* The same for public functions. The thread that frees the main context calls handlers of the
 * program meanwhile, and these may call public functions. They get a hold without a main
 * context. */
static AForkHold *
hold_for_public (AForkContext *self)
{
  if (self->destroyer != NULL && self->destroyer == g_thread_self ())
    return (AForkHold *) &nothing;

  return hold (self);
}

AForkHold *
_afork_context_hold_once (AForkContext *self)
{
  AForkHold *held;

  if (is_inherited (self))
    return NULL;

  g_mutex_lock (&self->mutex);
  held = hold_for_public (self);
  g_mutex_unlock (&self->mutex);

  return held;
}

AForkHold *
_afork_context_hold (AForkContext *self)
{
  AForkHold *held;

  if (is_inherited (self))
    return NULL;

  g_mutex_lock (&self->mutex);
  held = hold_for_public (self);
  if (held != NULL && self->home == NULL && self->n_objects > 0
      && self->context == g_main_context_default ())
    make_home (self);
  g_mutex_unlock (&self->mutex);

  return held;
}

AForkHold *
_afork_context_add_object (AForkContext *self)
{
  AForkHold *held;

  if (is_inherited (self))
    return NULL;

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
  if (is_inherited (self))
    return;

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

  if (is_inherited (self))
    return;

  g_mutex_lock (&self->mutex);
  held = hold (self);
  if (held == NULL)
    {
      g_queue_push_tail (&self->work, work_new (func, data));
      if (self->work_source != NULL)
        g_source_set_ready_time (self->work_source, 0);
    }
  g_mutex_unlock (&self->mutex);

  if (held != NULL)
    func (data);
}

void
_afork_context_wake (AForkContext *self)
{
  if (is_inherited (self))
    return;

  g_mutex_lock (&self->mutex);
  if (self->context != NULL && !g_main_context_is_owner (self->context))
    g_main_context_wakeup (self->context);
  g_mutex_unlock (&self->mutex);
}

/* Its end. */

gboolean
_afork_context_is_inherited (AForkContext *self)
{
  return is_inherited (self);
}

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

  if (is_inherited (self))
    return FALSE;

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

  if (is_inherited (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  for (GList *link = self->watches.head, *next; link != NULL && !found; link = next)
    {
      Work *work = link->data;

      next = link->next;
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

/* Watches for objects. A watch may be called while its object is finalized, so it is not a part of
 * the object. */
struct _AForkObjectWatch
{
  GWeakRef           object;
  AForkObjectWatch **field;     /* of the object */
  AForkObjectFunc    gone;
};

static void
object_watch_free (AForkObjectWatch *watch)
{
  g_weak_ref_clear (&watch->object);
  g_free (watch);
}

static void
gone_for_object_cb (gpointer data)
{
  AForkObjectWatch *watch = data;
  g_autoptr(GObject) object = g_weak_ref_get (&watch->object);
  AForkObjectFunc gone = watch->gone;

  if (object != NULL)
    *watch->field = NULL;
  object_watch_free (watch);
  if (object != NULL)
    gone (object);
}

gboolean
_afork_context_watch_for (AForkContext      *self,
                          AForkObjectWatch **watch,
                          GObject           *object,
                          AForkObjectFunc    gone)
{
  AForkObjectWatch *new_watch = g_new (AForkObjectWatch, 1);

  g_weak_ref_init (&new_watch->object, object);
  new_watch->field = watch;
  new_watch->gone = gone;
  *watch = new_watch;
  if (_afork_context_watch (self, gone_for_object_cb, new_watch))
    return TRUE;

  *watch = NULL;
  object_watch_free (new_watch);
  return FALSE;
}

void
_afork_context_unwatch_for (AForkContext      *self,
                            AForkObjectWatch **watch)
{
  AForkObjectWatch *old = g_steal_pointer (watch);

  /* If it is being called, it frees itself. */
  if (old != NULL && _afork_context_unwatch (self, gone_for_object_cb, old))
    object_watch_free (old);
}
