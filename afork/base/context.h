/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/* The main context to which objects of this thread belong: its thread-default one. */
static inline GMainContext *
_afork_get_thread_context (void)
{
  GMainContext *context = g_main_context_get_thread_default ();

  return context != NULL ? context : g_main_context_default ();
}

/* Destroys *SOURCE, drops the reference and sets *SOURCE to NULL. Does nothing if it is NULL. While
 * GLib frees a main context, it takes the context from the sources and then destroys each; it would
 * leak a source that is destroyed in between by other code, so this only drops the reference then.
 * Call this in a thread that may use the context of the source, see below. */
static inline void
_afork_source_clear (GSource **source)
{
  GSource *cleared = g_steal_pointer (source);

  if (cleared == NULL)
    return;

  if (!g_source_is_destroyed (cleared) && g_source_get_context (cleared) != NULL)
    g_source_destroy (cleared);
  g_source_unref (cleared);
}

/* Sets FUNC as the callback of *SOURCE, which is not attached yet, a field of DATA. Takes a
 * reference to DATA, which UNREF drops. If FUNC is not a GSourceFunc, cast it with G_SOURCE_FUNC().
 * If the source does not call FUNC, it may be NULL.
 *
 * When GLib frees the main context, it destroys the source. *SOURCE is cleared then, and
 * CONTEXT_GONE is called with DATA. An owner that destroys the source itself clears or replaces
 * *SOURCE before, and then CONTEXT_GONE is not called. */
void _afork_source_set_callback (GSource        **source,
                                 GSourceFunc      func,
                                 GDestroyNotify   context_gone,
                                 gpointer         data,
                                 GDestroyNotify   unref);

/* Represents a main context for the objects of the library. They have no reference to the main
 * context, because their sources in it have references to them, and that would be a cycle. So any
 * thread may drop the last reference to the main context and free it, at any time. A thread may use
 * a pointer to the main context, or one of its sources, only while it holds the AForkContext: see
 * _afork_context_hold(). Other threads call _afork_context_run(), which does the work in a thread
 * that holds it. There is one AForkContext for each main context, and all threads may use it. */
typedef struct _AForkContext AForkContext;

typedef void (*AForkContextFunc) (gpointer data);

/* Returns a reference to that of the thread-default main context. */
AForkContext *_afork_context_ref_thread_default (void);
AForkContext *_afork_context_ref                (AForkContext     *self);
void          _afork_context_unref              (AForkContext     *self);

/* Returns a reference to one whose main context is gone, for objects that belong to no main
 * context. */
AForkContext *_afork_context_ref_nowhere        (void);

/* Returns the main context without a reference, for use while it is held. NULL if it is gone, or is
 * being freed. */
GMainContext *_afork_context_peek               (AForkContext     *self);

/* Whether it is that of the thread-default main context. */
gboolean      _afork_context_is_thread_default  (AForkContext     *self);

/* Holds the context: until the hold is released, this thread may use the objects that belong to it,
 * and no other thread may. Each public function that changes an object holds its context, and a
 * blocking call does so until it returns. Which threads can hold a context:
 *
 * - The thread that owns the main context, because it iterates the context, has it as its
 *   thread-default one, or has acquired it.
 * - For the global default context, which often no thread owns: its home thread, while no other
 *   thread owns the context. The thread that makes the first object of the context becomes its home
 *   thread. When that thread has exited, another thread may take its place.
 * - All threads, once the main context is gone. The objects have no sources then.
 *
 * For any other thread this returns NULL. */
typedef struct _AForkHold AForkHold;

AForkHold    *_afork_context_hold               (AForkContext     *self);
/* The same for a thread that only drops an object: it does not become the home thread. */
AForkHold    *_afork_context_hold_once          (AForkContext     *self);
void          _afork_hold_release               (AForkHold        *held);

/* Holds the context and counts one more object that belongs to it. Returns NULL, and counts
 * nothing, if this thread cannot hold it. An object is removed when it is finalized, in any
 * thread. */
AForkHold    *_afork_context_add_object         (AForkContext     *self);
void          _afork_context_remove_object      (AForkContext     *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkHold, _afork_hold_release)

/* Whether a thread owns CONTEXT, because it iterates the context, for example. To find out, this
 * thread owns CONTEXT for a moment if no thread does. No other thread fails to hold it because of
 * that. */
gboolean      _afork_context_is_owned           (GMainContext     *context);

/* Calls FUNC while the context is held: now, if this thread can hold it; otherwise in the thread
 * that next iterates the main context, or in the one that frees it. */
void          _afork_context_run                (AForkContext     *self,
                                                 AForkContextFunc  func,
                                                 gpointer          data);

/* Wakes the thread that waits in the main context, unless it is this one. For any thread. */
void          _afork_context_wake               (AForkContext     *self);

/* Whether it belongs to the program that this one was forked from. Then it cannot be held, work for
 * it is not done, and its objects cannot be cleaned up. */
gboolean      _afork_context_is_inherited       (AForkContext     *self);

/* Whether no source can be attached to it any more: the main context is gone, or is being freed, or
 * is inherited. */
gboolean      _afork_context_is_gone            (AForkContext     *self);

/* Has the thread that frees the main context call FUNC, when it is gone. Returns false if it is
 * gone already. */
gboolean      _afork_context_watch              (AForkContext     *self,
                                                 AForkContextFunc  func,
                                                 gpointer          data);
/* Returns true if FUNC will not be called. Otherwise it was called, or is being called. */
gboolean      _afork_context_unwatch            (AForkContext     *self,
                                                 AForkContextFunc  func,
                                                 gpointer          data);

/* The same for an object, which any thread may drop meanwhile. *WATCH is a field of OBJECT. It is
 * NULL when GONE is called and while there is no watch. */
typedef struct _AForkObjectWatch AForkObjectWatch;

typedef void (*AForkObjectFunc) (GObject *object);

gboolean      _afork_context_watch_for          (AForkContext      *self,
                                                 AForkObjectWatch **watch,
                                                 GObject           *object,
                                                 AForkObjectFunc    gone);
/* Call this when the object is finalized. Does nothing if *WATCH is NULL. */
void          _afork_context_unwatch_for        (AForkContext      *self,
                                                 AForkObjectWatch **watch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkContext, _afork_context_unref)

G_END_DECLS
