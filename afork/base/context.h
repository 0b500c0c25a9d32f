/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The main context that what is made now belongs to. */
static inline GMainContext *
_afork_get_thread_context (void)
{
  GMainContext *context = g_main_context_get_thread_default ();

  return context != NULL ? context : g_main_context_default ();
}

/* Destroys *SOURCE, if there is one, and drops it. A context that goes destroys its sources itself:
 * meanwhile they have none, and GLib would lose one that was destroyed by somebody else. To be
 * called in a thread that may use the source's context, see below. */
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
 *
 * GLib destroys a source with its main context. Then CONTEXT_GONE is called with DATA, after
 * *SOURCE has been cleared. CONTEXT_GONE is not called for a source that its owner has destroyed,
 * because *SOURCE has another value then. */
void _afork_source_set_callback (GSource        **source,
                                 GSourceFunc      func,
                                 GDestroyNotify   context_gone,
                                 gpointer         data,
                                 GDestroyNotify   unref);

/* A main context as our objects know it. They must not keep it, because their own sources in it
 * keep them; so it can go at any moment, in another thread than theirs. A pointer to it that is no
 * reference, or a source of it, may therefore be used only by a thread that holds it: see
 * _afork_context_hold(). Every other thread leaves its work to one that does, by
 * _afork_context_run(). There is one AForkContext for each main context, and all threads may use
 * it. */
typedef struct _AForkContext AForkContext;

typedef void (*AForkContextFunc) (gpointer data);

/* A reference to the one of this thread's thread-default main context. */
AForkContext *_afork_context_ref_thread_default (void);
AForkContext *_afork_context_ref                (AForkContext     *self);
void          _afork_context_unref              (AForkContext     *self);

/* One that has gone, for what is to belong to no main context. */
AForkContext *_afork_context_ref_nowhere        (void);

/* The main context, which is no reference: only to be used while the context is held. NULL if it
 * has gone, or is about to. */
GMainContext *_afork_context_peek               (AForkContext     *self);

/* Whether it is the one of this thread's thread-default main context. */
gboolean      _afork_context_is_thread_default  (AForkContext     *self);

/* Lets this thread use what belongs to the context, and keeps others from it, until the hold is
 * released. Every public function that does something to an object begins with it, and so do
 * blocking calls, for as long as they take. The rule:
 *
 * - The thread that owns the main context can hold it, because it iterates it, has it as its
 *   thread-default one, or has acquired it.
 * - Threads without a context of their own meet in the global default one, which nobody may own.
 *   As long as there are objects that belong to it, it is the home of the thread that made the
 *   first of them, which can hold it, too, while nobody else owns it. When that thread ends,
 *   another one can take its place.
 * - A context that has gone can be held by all: nothing of it is left, and no main context to use.
 *
 * For every other thread this returns NULL. */
typedef struct _AForkHold AForkHold;

AForkHold    *_afork_context_hold               (AForkContext     *self);
/* The same for a thread that does not go on with the object: one that drops it. */
AForkHold    *_afork_context_hold_once          (AForkContext     *self);
void          _afork_hold_release               (AForkHold        *held);

/* Holds it for one more object that belongs to it, if it can be held. The object is removed where
 * it is finalized, in any thread. */
AForkHold    *_afork_context_add_object         (AForkContext     *self);
void          _afork_context_remove_object      (AForkContext     *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkHold, _afork_hold_release)

/* Calls FUNC while the context is held: now, if this thread can hold it; or else in the thread that
 * iterates the main context next, or in the one that lets it go, once it has gone. */
void          _afork_context_run                (AForkContext     *self,
                                                 AForkContextFunc  func,
                                                 gpointer          data);

/* Wakes the main context up, if another thread may be waiting in it. From any thread. */
void          _afork_context_wake               (AForkContext     *self);

/* Whether it belongs to the program that this one was forked from. Then it cannot be held, work for
 * it is not done, and nothing of it can be cleaned up. */
gboolean      _afork_context_is_inherited       (AForkContext     *self);

/* Whether the main context has gone, or is about to, or is inherited: no source can be attached to
 * it any more. */
gboolean      _afork_context_is_gone            (AForkContext     *self);

/* Has FUNC called, in the thread that lets the main context go, once it has gone. False if it has
 * gone already. */
gboolean      _afork_context_watch              (AForkContext     *self,
                                                 AForkContextFunc  func,
                                                 gpointer          data);
/* FUNC is not called any more, if that returns true; else it has been, or is about to be. */
gboolean      _afork_context_unwatch            (AForkContext     *self,
                                                 AForkContextFunc  func,
                                                 gpointer          data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkContext, _afork_context_unref)

G_END_DECLS
