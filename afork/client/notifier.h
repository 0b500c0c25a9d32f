/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Calls functions for the owner of an object, one after another, in the main context in which the
 * object is served: at once, or when that context is iterated. A function may call handlers of the
 * program, which may iterate the context and wait there for the next notification. */

/* OBJECT has the notifier. DATA is what was given with the function. */
typedef void (*AForkNotifyFunc) (gpointer  object,
                                 GObject  *owner,
                                 gpointer  data);

/* What the notifier needs of its object. Both functions keep the object until a source is
 * destroyed; the third says whether no main context will be iterated for the object any more. */
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
  GList                    *last_next;       /* the last notification that the current one has put
                                              * in front of the others, or NULL */
  guint                     n_freezes;       /* while it is not 0, nothing is called */
  GSource                  *source;          /* calls the functions, or NULL; keeps OBJECT */
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

/* Nothing is called until each freeze is followed by a thaw. The last thaw calls the functions that
 * have been added meanwhile: at once, or if LATER is set, when the context is iterated, because the
 * code that called us is not finished. */
void _afork_notifier_freeze       (AForkNotifier            *self);
void _afork_notifier_thaw         (AForkNotifier            *self,
                                   gboolean                  later);

/* Adds FUNC behind the others. Keeps DATA, an object or NULL, until FUNC has been called. */
void _afork_notifier_notify       (AForkNotifier            *self,
                                   AForkNotifyFunc           func,
                                   gpointer                  data);
/* The same from a function that is being called: FUNC comes in front of all that was added before,
 * but behind what the current function has added in this way. With AT_ONCE, FUNC is called in the
 * same iteration of the context as the current function, however long that takes. */
void _afork_notifier_notify_next  (AForkNotifier            *self,
                                   AForkNotifyFunc           func,
                                   gpointer                  data,
                                   gboolean                  at_once);

/* Drops all notifications. */
void _afork_notifier_clear        (AForkNotifier            *self);

G_END_DECLS
