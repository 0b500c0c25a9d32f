/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "pending-table.h"

enum { FIRST_SIZE = 16 };

typedef struct AForkPendingPlace
{
  guint32           number;     /* 0 if the place is free */
  AForkPendingCall *call;       /* NULL if it is unwanted */
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

/* Doubles the places. Numbers with different places have different places afterwards, too. */
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
_afork_pending_table_mark_unwanted (AForkPendingTable *self,
                                    AForkPendingCall  *call)
{
  Place *place = get_place (self, call->number);

  g_assert (place->call == call);
  place->call = NULL;
  self->n_calls--;
}

/* Finds the oldest call by a look at all places. */
static void
find_oldest (AForkPendingTable *self)
{
  guint32 oldest_age = 0;

  for (guint i = 0; i < self->n_places; i++)
    {
      const Place *place = &self->places[i];
      guint32 age = self->last_number - place->number;

      if (place->call != NULL && age >= oldest_age)
        {
          oldest_age = age;
          self->oldest_number = place->number;
        }
    }
}

AForkPendingCall *
_afork_pending_table_peek_oldest (AForkPendingTable *self)
{
  AForkPendingCall *call = NULL;

  if (self->n_calls == 0)
    return NULL;

  /* Numbers are given in order, so no call is added before the oldest one. */
  while (!_afork_pending_table_find (self, self->oldest_number, &call) || call == NULL)
    if (self->last_number - self->oldest_number > self->n_places)
      find_oldest (self);
    else
      self->oldest_number++;
  return call;
}

/* Compares by age, because numbers wrap around. */
static int
compare_places (gconstpointer a,
                gconstpointer b,
                gpointer      data)
{
  const guint32 oldest = *(guint32 *) data + 1;
  const guint32 first = ((const Place *) a)->number - oldest;
  const guint32 second = ((const Place *) b)->number - oldest;

  return first < second ? -1 : first > second;
}

/* Places are nearly always in this order: few calls are so old that their number is further back
 * than there are places. */
static gboolean
is_in_order (AForkPendingTable *self,
             const Place       *places,
             guint              n_places)
{
  for (guint i = 1; i < n_places; i++)
    if (compare_places (&places[i - 1], &places[i], &self->last_number) > 0)
      return FALSE;

  return TRUE;
}

void
_afork_pending_table_take_all (AForkPendingTable *self,
                               GQueue            *queue)
{
  g_autofree Place *taken = NULL;
  guint n_taken = 0;

  if (self->n_taken == 0)
    return;

  taken = g_new (Place, self->n_calls);
  for (guint i = 1; i <= self->n_places; i++)
    {
      Place *place = get_place (self, self->last_number + i);

      if (place->call != NULL)
        taken[n_taken++] = *place;
      *place = (Place) { 0 };
    }

  if (!is_in_order (self, taken, n_taken))
    g_qsort_with_data (taken, (int) n_taken, sizeof (Place), compare_places, &self->last_number);
  while (n_taken > 0)
    g_queue_push_head_link (queue, &taken[--n_taken].call->link);
  self->n_calls = self->n_taken = 0;
}
