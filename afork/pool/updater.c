/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "updater.h"

/* The data of a waiter. The last reference to the object may be dropped in any thread, so a waiter
 * uses the object only with a reference. The other fields are valid as long as the object. */
typedef struct
{
  GWeakRef       object;
  AForkUpdater  *updater;
  AForkWaiter  **waiter;        /* the field of the updater that has the waiter */
} Request;

static void
request_free (gpointer data)
{
  Request *self = data;

  g_weak_ref_clear (&self->object);
  g_free (self);
}

static Request *
request_new (AForkUpdater  *updater,
             AForkWaiter  **waiter)
{
  Request *self = g_new (Request, 1);

  g_weak_ref_init (&self->object, updater->object);
  self->updater = updater;
  self->waiter = waiter;
  return self;
}

static void
request_cb (gpointer data)
{
  Request *self = data;
  AForkUpdater *updater = self->updater;
  g_autoptr(GObject) object = g_weak_ref_get (&self->object);

  if (object == NULL)
    return;

  /* This frees the request. */
  g_clear_pointer (self->waiter, _afork_waiter_end);
  updater->update (object);
}

static void
set_time (AForkUpdater *self,
          GMainContext *context,
          gint64        time)
{
  g_clear_pointer (&self->later, _afork_waiter_end);
  self->time = time;
  self->later = _afork_waiter_new_for_time (context, time, request_cb,
                                            request_new (self, &self->later), request_free);
}

void
_afork_updater_init (AForkUpdater    *self,
                     GObject         *object,
                     AForkUpdateFunc  update)
{
  *self = (AForkUpdater) { .object = object, .update = update };
}

void
_afork_updater_request (AForkUpdater *self,
                        GMainContext *context)
{
  if (self->soon == NULL)
    self->soon = _afork_waiter_new_for_iteration (context, request_cb,
                                                  request_new (self, &self->soon), request_free);
}

void
_afork_updater_request_at (AForkUpdater *self,
                           GMainContext *context,
                           gint64        time)
{
  if (self->later == NULL || time < self->time)
    set_time (self, context, time);
}

void
_afork_updater_move (AForkUpdater *self,
                     GMainContext *context)
{
  if (self->soon != NULL)
    {
      g_clear_pointer (&self->soon, _afork_waiter_end);
      _afork_updater_request (self, context);
    }
  if (self->later != NULL)
    set_time (self, context, self->time);
}

void
_afork_updater_clear (AForkUpdater *self)
{
  g_clear_pointer (&self->soon, _afork_waiter_end);
  g_clear_pointer (&self->later, _afork_waiter_end);
}
