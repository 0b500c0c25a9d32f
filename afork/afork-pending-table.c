/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-pending-table-private.h"

enum { FIRST_SIZE = 16 };

typedef struct AForkPendingPlace
{
  guint32           number;     /* 0 if the place is free */
  AForkPendingCall *call;       /* NULL if it was abandoned */
} Place;

static Place *
get_place (AForkPendingTable *self,
           guint32            number)
{
  return &self->places[number & (self->n_places - 1)];
}

void
_afork_pending_table_init (AForkPendingTable *self)
{
  *self = (AForkPendingTable) { .places = g_new0 (Place, FIRST_SIZE), .n_places = FIRST_SIZE };
}

void
_afork_pending_table_clear (AForkPendingTable *self)
{
  for (guint i = 0; i < self->n_places; i++)
    g_clear_object (&self->places[i].call);

  g_free (self->places);
}

/* Numbers that have places of their own have them among more places, too. */
static void
grow (AForkPendingTable *self)
{
  g_autofree Place *old = g_steal_pointer (&self->places);
  guint n_old = self->n_places;

  self->n_places = 2 * n_old;
  self->places = g_new0 (Place, self->n_places);
  for (guint i = 0; i < n_old; i++)
    if (old[i].number != 0)
      *get_place (self, old[i].number) = old[i];
}

void
_afork_pending_table_add (AForkPendingTable *self,
                          AForkPendingCall  *call)
{
  if (2 * (self->n_taken + 1) > self->n_places)
    grow (self);

  do
    self->last_number++;
  while (self->last_number == 0 || get_place (self, self->last_number)->number != 0);

  call->number = self->last_number;
  *get_place (self, call->number) = (Place) { .number = call->number, .call = call };
  self->n_taken++;
  self->n_calls++;
}

gboolean
_afork_pending_table_find (AForkPendingTable  *self,
                           guint32             number,
                           AForkPendingCall  **call)
{
  Place *place = get_place (self, number);

  if (number == 0 || place->number != number)
    return FALSE;

  *call = place->call;
  return TRUE;
}

void
_afork_pending_table_remove (AForkPendingTable *self,
                             guint32            number)
{
  Place *place = get_place (self, number);

  g_assert (place->number == number);
  if (place->call != NULL)
    self->n_calls--;
  self->n_taken--;
  *place = (Place) { 0 };
}

void
_afork_pending_table_abandon (AForkPendingTable *self,
                              AForkPendingCall  *call)
{
  Place *place = get_place (self, call->number);

  g_assert (place->call == call);
  place->call = NULL;
  self->n_calls--;
}

void
_afork_pending_table_take_all (AForkPendingTable *self,
                               GQueue            *queue)
{
  for (guint i = 0; i < self->n_places; i++)
    {
      AForkPendingCall *call = self->places[i].call;

      if (call != NULL)
        g_queue_push_head_link (queue, &call->link);
      self->places[i] = (Place) { 0 };
    }

  self->n_calls = self->n_taken = 0;
}
