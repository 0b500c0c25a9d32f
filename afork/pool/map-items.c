/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "map-items.h"

/* A list is not copied. `known` has an item for each of its first objects, as far as the map has
 * come; the others are looked at when it is their turn. So a long list costs nothing at the
 * beginning, and a list that makes its objects when they are needed does not make all of them.
 *
 * Objects that are moved are removed and inserted, often both in one signal, as by
 * g_list_store_sort(). So items that are removed are kept in `removed` until the change of the list
 * is complete, and an object that is found again gets its item back. */
struct _AForkMapItems
{
  const AForkMapItemsFuncs *funcs;
  gpointer     data;
  GVariant    *array;           /* or NULL */
  gsize        next_child;      /* of the array: the first that was not begun */
  GListModel  *list;            /* or NULL */
  gulong       handler;
  GSequence   *known;           /* of items: the first ones of the list */
  GSequence   *waiting;         /* of items of the list: those of `known` that wait, in order */
  GSequence   *untaken;         /* of items: those that were begun and not taken, in order */
  GQueue       ended;           /* of items: those that have ended, in the order of their ends */
  GQueue       removed;         /* of items */
  GHashTable  *removed_objects; /* object → its first item in `removed` */
  gboolean     must_search;     /* an object may have moved behind the known ones */
};

static AForkMapItem *
item_new (AForkMapItems *self,
          GObject       *object)
{
  AForkMapItem *item = g_new0 (AForkMapItem, 1);

  item->owner = self->data;
  item->object = object;
  item->link.data = item;
  return item;
}

static void
item_free (AForkMapItem *item)
{
  g_clear_object (&item->object);
  g_clear_object (&item->job);
  g_free (item);
}

/* For items of a list. */
static int
compare_positions (gconstpointer a,
                   gconstpointer b,
                   gpointer      data)
{
  return g_sequence_iter_compare (((const AForkMapItem *) a)->position,
                                  ((const AForkMapItem *) b)->position);
}

/* Items of an array are added in order. */
static GSequenceIter *
insert_item (GSequence    *sequence,
             AForkMapItem *item)
{
  return item->position != NULL
    ? g_sequence_insert_sorted (sequence, item, compare_positions, NULL)
    : g_sequence_append (sequence, item);
}

/* Adds ITEM to the sequences for its state. */
static void
place_item (AForkMapItems *self,
            AForkMapItem  *item)
{
  if (item->state == AFORK_MAP_ITEM_WAITING)
    item->place = insert_item (self->waiting, item);
  else if (item->state < AFORK_MAP_ITEM_TAKEN)
    item->place = insert_item (self->untaken, item);
  if (item->state == AFORK_MAP_ITEM_ENDED)
    g_queue_push_tail_link (&self->ended, &item->link);
}

static void
unplace_item (AForkMapItems *self,
              AForkMapItem  *item)
{
  g_clear_pointer (&item->place, g_sequence_remove);
  if (item->state == AFORK_MAP_ITEM_ENDED)
    g_queue_unlink (&self->ended, &item->link);
}

static void
set_item_state (AForkMapItems     *self,
                AForkMapItem      *item,
                AForkMapItemState  state)
{
  unplace_item (self, item);
  item->state = state;
  place_item (self, item);
}

/* Lists. */

/* Looks at the object at POSITION of the list, and inserts its item before NEXT. */
static AForkMapItem *
learn (AForkMapItems *self,
       guint          position,
       GSequenceIter *next)
{
  g_autoptr(GObject) object = g_list_model_get_object (self->list, position);
  AForkMapItem *item = object != NULL ? g_hash_table_lookup (self->removed_objects, object) : NULL;

  if (item != NULL)
    {
      g_hash_table_remove (self->removed_objects, object);
      g_queue_unlink (&self->removed, &item->link);
      item->is_removed = FALSE;
    }
  else
    {
      item = item_new (self, g_steal_pointer (&object));
    }

  item->position = g_sequence_insert_before (next, item);
  place_item (self, item);
  return item;
}

/* Looks at the first object that is not known. Returns NULL if there is none. */
static AForkMapItem *
learn_next (AForkMapItems *self)
{
  const guint n_known = (guint) g_sequence_get_length (self->known);

  if (n_known >= g_list_model_get_n_items (self->list))
    return NULL;

  return learn (self, n_known, g_sequence_get_end_iter (self->known));
}

static void
remove_item (AForkMapItems *self,
             AForkMapItem  *item)
{
  unplace_item (self, item);
  g_clear_pointer (&item->position, g_sequence_remove);
  item->is_removed = TRUE;
  g_queue_push_tail_link (&self->removed, &item->link);
  if (item->object != NULL && !g_hash_table_contains (self->removed_objects, item->object))
    g_hash_table_insert (self->removed_objects, item->object, item);
}

static void
items_changed_cb (GListModel *list,
                  guint       position,
                  guint       n_removed,
                  guint       n_added,
                  gpointer    data)
{
  AForkMapItems *self = data;
  GSequenceIter *next = g_sequence_get_iter_at_pos (self->known,
                                                    (int) MIN (position, G_MAXINT));

  for (guint i = 0; i < n_removed && !g_sequence_iter_is_end (next); i++)
    {
      AForkMapItem *item = g_sequence_get (next);

      next = g_sequence_iter_next (next);
      remove_item (self, item);
    }

  if (g_sequence_iter_is_end (next))
    self->must_search |= n_added > 0;
  else
    for (guint i = 0; i < n_added; i++)
      learn (self, position + i, next);
  self->funcs->changed (self->data);
}

/* Frees ITEM, which is removed. */
static void
drop_item (AForkMapItems *self,
           AForkMapItem  *item)
{
  if (item->object != NULL && g_hash_table_lookup (self->removed_objects, item->object) == item)
    g_hash_table_remove (self->removed_objects, item->object);
  if (item->state == AFORK_MAP_ITEM_BEGUN)
    self->funcs->dropped (item, self->data);
  item_free (item);
}

/* TURN is NULL for a turn without end. */
static gboolean
drop_removed (AForkMapItems *self,
              AForkTurn     *turn)
{
  GList *link;

  while (self->removed.length > 0)
    {
      if (turn != NULL && !_afork_turn_goes_on (turn))
        return FALSE;
      link = g_queue_pop_head_link (&self->removed);
      drop_item (self, link->data);
    }
  return TRUE;
}

gboolean
_afork_map_items_update (AForkMapItems *self,
                         AForkTurn     *turn)
{
  while (self->removed.length > 0 && self->must_search)
    {
      if (!_afork_turn_goes_on (turn))
        return FALSE;
      self->must_search = learn_next (self) != NULL;
    }
  self->must_search = FALSE;
  return drop_removed (self, turn);
}

gboolean
_afork_map_items_is_up_to_date (AForkMapItems *self)
{
  return self->removed.length == 0;
}

/* All items. */

AForkMapItems *
_afork_map_items_new (GVariant                 *array,
                      GListModel               *list,
                      const AForkMapItemsFuncs *funcs,
                      gpointer                  data)
{
  AForkMapItems *self = g_new0 (AForkMapItems, 1);

  self->funcs = funcs;
  self->data = data;
  self->removed_objects = g_hash_table_new (NULL, NULL);
  self->known = g_sequence_new (NULL);
  self->waiting = g_sequence_new (NULL);
  self->untaken = g_sequence_new (NULL);
  g_queue_init (&self->ended);
  g_queue_init (&self->removed);
  if (array != NULL)
    self->array = g_variant_ref (array);
  if (list != NULL)
    {
      self->list = g_object_ref (list);
      self->handler = g_signal_connect (list, "items-changed", G_CALLBACK (items_changed_cb), self);
    }
  return self;
}

static gboolean
drop_each (AForkMapItems *self,
           GSequence     *sequence,
           AForkTurn     *turn)
{
  while (!g_sequence_is_empty (sequence))
    {
      AForkMapItem *item = g_sequence_get (g_sequence_get_begin_iter (sequence));

      if (turn != NULL && !_afork_turn_goes_on (turn))
        return FALSE;
      unplace_item (self, item);
      g_clear_pointer (&item->position, g_sequence_remove);
      drop_item (self, item);
    }
  return TRUE;
}

gboolean
_afork_map_items_clear (AForkMapItems *self,
                        AForkTurn     *turn)
{
  g_clear_signal_handler (&self->handler, self->list);
  return drop_each (self, self->untaken, turn)
    && drop_each (self, self->known, turn)
    && drop_removed (self, turn);
}

void
_afork_map_items_free (AForkMapItems *self)
{
  _afork_map_items_clear (self, NULL);
  g_sequence_free (self->untaken);
  g_sequence_free (self->waiting);
  g_sequence_free (self->known);
  g_hash_table_unref (self->removed_objects);
  g_clear_pointer (&self->array, g_variant_unref);
  g_clear_object (&self->list);
  g_free (self);
}

gboolean
_afork_map_items_has_waiting (AForkMapItems *self)
{
  if (self->array != NULL)
    return self->next_child < g_variant_n_children (self->array);

  return !g_sequence_is_empty (self->waiting)
    || (guint) g_sequence_get_length (self->known) < g_list_model_get_n_items (self->list);
}

guint
_afork_map_items_count_untaken (AForkMapItems *self)
{
  return (guint) g_sequence_get_length (self->untaken);
}

guint
_afork_map_items_count_before (AForkMapItems *self)
{
  AForkMapItem *first;

  if (g_sequence_is_empty (self->waiting))
    return _afork_map_items_count_untaken (self);

  first = g_sequence_get (g_sequence_get_begin_iter (self->waiting));
  return (guint) g_sequence_iter_get_position (g_sequence_search (self->untaken, first,
                                                                  compare_positions, NULL));
}

/* Makes the job for a child of the array. A variant is unpacked. */
static AForkJob *
make_job (AForkMapItems *self,
          gsize          index)
{
  g_autoptr(GVariant) child = g_variant_get_child_value (self->array, index);
  g_autoptr(GVariant) args = g_variant_is_of_type (child, G_VARIANT_TYPE_VARIANT)
    ? g_variant_get_variant (child) : g_variant_ref (child);

  return afork_job_new (args);
}

static AForkMapItem *
take_waiting (AForkMapItems *self)
{
  AForkMapItem *item;

  if (self->array != NULL)
    return item_new (self, NULL);
  if (!g_sequence_is_empty (self->waiting))
    return g_sequence_get (g_sequence_get_begin_iter (self->waiting));

  do
    item = learn_next (self);
  while (item != NULL && item->state != AFORK_MAP_ITEM_WAITING);
  return item;
}

AForkMapItem *
_afork_map_items_begin (AForkMapItems *self)
{
  AForkMapItem *item = take_waiting (self);

  g_assert (item != NULL);

  set_item_state (self, item, AFORK_MAP_ITEM_BEGUN);
  if (self->array != NULL)
    {
      item->job = make_job (self, self->next_child);
      _afork_job_set_index (item->job, (guint) self->next_child);
      self->next_child++;
    }
  else if (AFORK_IS_JOB (item->object))
    {
      item->job = g_object_ref (AFORK_JOB (item->object));
    }
  return item;
}

void
_afork_map_items_end (AForkMapItems *self,
                      AForkMapItem  *item)
{
  item->state = AFORK_MAP_ITEM_ENDED;
  if (!item->is_removed)
    g_queue_push_tail_link (&self->ended, &item->link);
}

AForkMapItem *
_afork_map_items_peek_ended (AForkMapItems *self)
{
  return g_queue_peek_head (&self->ended);
}

AForkMapItem *
_afork_map_items_peek_first (AForkMapItems *self,
                             gboolean       without_waiting)
{
  AForkMapItem *item;

  if (g_sequence_is_empty (self->untaken)
      || (!without_waiting && !g_sequence_is_empty (self->waiting)
          && _afork_map_items_count_before (self) == 0))
    return NULL;

  item = g_sequence_get (g_sequence_get_begin_iter (self->untaken));
  return item->state == AFORK_MAP_ITEM_ENDED ? item : NULL;
}

AForkJob *
_afork_map_items_take (AForkMapItems *self,
                       AForkMapItem  *item)
{
  AForkJob *job = g_steal_pointer (&item->job);

  set_item_state (self, item, AFORK_MAP_ITEM_TAKEN);
  if (item->position != NULL)
    _afork_job_set_index (job, (guint) g_sequence_iter_get_position (item->position));
  else
    item_free (item);
  return job;
}
