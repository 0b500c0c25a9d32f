/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-belonging-private.h"

static GMutex mutex;            /* for the queue */
static GQueue belongings = G_QUEUE_INIT;

void
_afork_belonging_begin (AForkBelonging  *self,
                        void           (*forget) (gpointer owner),
                        gpointer         owner)
{
  self->link.data = owner;
  self->forget = forget;

  g_mutex_lock (&mutex);
  g_queue_push_tail_link (&belongings, &self->link);
  g_mutex_unlock (&mutex);
}

void
_afork_belonging_end (AForkBelonging *self)
{
  g_mutex_lock (&mutex);
  if (self->link.data != NULL)
    g_queue_unlink (&belongings, &self->link);
  self->link.data = NULL;
  g_mutex_unlock (&mutex);
}

gboolean
_afork_belonging_is_any (void)
{
  gboolean is_any;

  g_mutex_lock (&mutex);
  is_any = !g_queue_is_empty (&belongings);
  g_mutex_unlock (&mutex);
  return is_any;
}

void
_afork_belonging_forget_all (void)
{
  GList *link;

  /* The one thread there is was not in here when it forked, so the mutex is free. */
  while ((link = g_queue_pop_head_link (&belongings)) != NULL)
    {
      AForkBelonging *self = (AForkBelonging *) link;

      self->forget (g_steal_pointer (&link->data));
    }
}
