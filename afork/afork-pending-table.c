/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-pending-table-private.h"

enum { FIRST_SIZE = 16 };

static AForkPendingCall **
get_place (AForkPendingTable *self,
           guint32            number)
{
  return &self->places[number & (self->n_places - 1)];
}

void
_afork_pending_table_init (AForkPendingTable *self)
{
  *self = (AForkPendingTable) {
    .places = g_new0 (AForkPendingCall *, FIRST_SIZE),
    .n_places = FIRST_SIZE,
  };
}

void
_afork_pending_table_clear (AForkPendingTable *self)
{
  for (guint i = 0; i < self->n_places; i++)
    if (self->places[i] != NULL)
      _afork_pending_call_free (self->places[i]);

  g_free (self->places);
}

/* Numbers that have places of their own have them among more places, too. */
static void
grow (AForkPendingTable *self)
{
  g_autofree AForkPendingCall **old = g_steal_pointer (&self->places);
  guint n_old = self->n_places;

  self->n_places = 2 * n_old;
  self->places = g_new0 (AForkPendingCall *, self->n_places);
  for (guint i = 0; i < n_old; i++)
    if (old[i] != NULL)
      *get_place (self, old[i]->number) = old[i];
}

void
_afork_pending_table_add (AForkPendingTable *self,
                          AForkPendingCall  *call)
{
  if (2 * (self->n_calls + 1) > self->n_places)
    grow (self);

  do
    self->last_number++;
  while (self->last_number == 0 || *get_place (self, self->last_number) != NULL);

  call->number = self->last_number;
  *get_place (self, call->number) = call;
  self->n_calls++;
}

AForkPendingCall *
_afork_pending_table_find (AForkPendingTable *self,
                           guint32            number)
{
  AForkPendingCall *call = *get_place (self, number);

  return call != NULL && call->number == number ? call : NULL;
}

gboolean
_afork_pending_table_remove (AForkPendingTable *self,
                             AForkPendingCall  *call)
{
  AForkPendingCall **place = get_place (self, call->number);

  if (*place != call)
    return FALSE;

  *place = NULL;
  self->n_calls--;
  return TRUE;
}

void
_afork_pending_table_take_all (AForkPendingTable *self,
                               GQueue            *queue)
{
  for (guint i = 0; i < self->n_places; i++)
    {
      AForkPendingCall *call = g_steal_pointer (&self->places[i]);

      if (call != NULL)
        g_queue_push_head_link (queue, &call->link);
    }

  self->n_calls = 0;
}
