/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/turn.h"

G_BEGIN_DECLS

/* Notifies the owner of an object: calls functions, one after another, in the main context in which
 * the object is served. They are called at once, or when that context is iterated. A function may
 * call handlers of the program, which may iterate the context until the next notification. */

/* OBJECT has the notifier. DATA was given with the function. */
typedef void (*AForkNotifyFunc) (gpointer  object,
                                 GObject  *owner,
                                 gpointer  data);

/* Functions of the object. The source of the notifier holds a reference to the object. Once
 * is_context_lost() is true, no main context is iterated for the object any more. */
typedef struct
{
  void     (*ref)             (gpointer object);
  void     (*unref)           (gpointer object);
  gboolean (*is_context_lost) (gpointer object);
} AForkNotifierFuncs;

/* A part of OBJECT. */
typedef struct
{
  const AForkNotifierFuncs *funcs;
  gpointer                  object;
  GWeakRef                  owner;
  GMainContext             *context;         /* not a reference */
  gboolean                  is_context_lost;
  GQueue                    notifications;   /* of Notification */
  GList                    *last_inserted;   /* by the current notification, or NULL */
  guint                     n_freezes;       /* functions are called only while this is 0 */
  GSource                  *source;          /* calls the functions; or NULL; holds a reference */
  AForkTurnState            turn_state;      /* of the source */
} AForkNotifier;

/* OWNER may be NULL: then nothing is called for it. */
void _afork_notifier_init         (AForkNotifier            *self,
                                   const AForkNotifierFuncs *funcs,
                                   gpointer                  object,
                                   GMainContext             *context,
                                   GObject                  *owner);
void _afork_notifier_destroy      (AForkNotifier            *self);
void _afork_notifier_set_owner    (AForkNotifier            *self,
                                   GObject                  *owner);

/* From now on functions are called when CONTEXT is iterated. */
void _afork_notifier_set_context  (AForkNotifier            *self,
                                   GMainContext             *context);
/* The context is gone: functions are called at once from now on. */
void _afork_notifier_lose_context (AForkNotifier            *self);

/* No function is called until there has been a thaw for each freeze. The last thaw calls the
 * functions that were added meanwhile: at once, as far as there is time in this iteration of the
 * context; or if LATER is true, when the context is iterated, because the caller of this library is
 * inside one of its functions. */
void _afork_notifier_freeze       (AForkNotifier            *self);
void _afork_notifier_thaw         (AForkNotifier            *self,
                                   gboolean                  later);

/* Adds FUNC at the end of the queue. Keeps DATA, an object or NULL, until FUNC has been called. */
void _afork_notifier_notify       (AForkNotifier            *self,
                                   AForkNotifyFunc           func,
                                   gpointer                  data);
/* Called by a notified function, or by what it calls. Inserts FUNC at the front of the queue,
 * behind what the same function has inserted before. If AT_ONCE is true, FUNC is called in the same
 * iteration of the context, even if the time for that is over. */
void _afork_notifier_insert       (AForkNotifier            *self,
                                   AForkNotifyFunc           func,
                                   gpointer                  data,
                                   gboolean                  at_once);

/* Drops all notifications. */
void _afork_notifier_clear        (AForkNotifier            *self);

G_END_DECLS
