/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-job-private.h"
#include "base/turn.h"

G_BEGIN_DECLS

/* The items of a map, in order: those of an array, or those of a list. A list may change at any
 * time. */
typedef struct _AForkMapItems AForkMapItems;

typedef enum
{
  AFORK_MAP_ITEM_WAITING,
  AFORK_MAP_ITEM_BEGUN,
  AFORK_MAP_ITEM_ENDED,         /* its job has ended */
  AFORK_MAP_ITEM_TAKEN,         /* its job was returned to the program */
} AForkMapItemState;

typedef struct
{
  AForkMapItemState  state;
  gpointer           owner;
  GObject           *object;    /* what the list contains, a reference; NULL in an array */
  AForkJob          *job;       /* a reference; NULL before the item is begun, if the list contains
                                 * something else, and once the item is taken */
  gboolean           is_removed;        /* from the list */
  GSequenceIter     *position;  /* in `known`; NULL in an array, or if the item is removed */
  GSequenceIter     *place;     /* in `waiting` or `untaken`, or NULL */
  GList              link;      /* in `ended` or `removed` */
} AForkMapItem;

typedef struct
{
  /* The list has changed: call _afork_map_items_update(). */
  void (*changed) (gpointer      data);
  /* ITEM, which was begun and has not ended, is removed from the list, or all items are forgotten.
   * It is freed next. */
  void (*dropped) (AForkMapItem *item,
                   gpointer      data);
} AForkMapItemsFuncs;

/* ARRAY or LIST is NULL. DATA is also the owner of all items. */
AForkMapItems *_afork_map_items_new           (GVariant                 *array,
                                               GListModel               *list,
                                               const AForkMapItemsFuncs *funcs,
                                               gpointer                  data);
/* Forgets all items, and watches the list no more. Returns false if TURN was over before: then call
 * only this function or _afork_map_items_free() next. */
gboolean       _afork_map_items_clear         (AForkMapItems            *self,
                                               AForkTurn                *turn);
void           _afork_map_items_free          (AForkMapItems            *self);

/* Drops what was removed from the list and has not been inserted again. Returns false if TURN was
 * over before. Do this before the functions below, because items that have only moved are missing
 * until then. */
gboolean       _afork_map_items_update        (AForkMapItems            *self,
                                               AForkTurn                *turn);

/* Whether nothing was removed from the list that has not been dropped. */
gboolean       _afork_map_items_is_up_to_date (AForkMapItems            *self);

gboolean       _afork_map_items_has_waiting   (AForkMapItems            *self);
/* How many items were begun and not taken. */
guint          _afork_map_items_count_untaken (AForkMapItems            *self);
/* How many of them precede the first item that waits. */
guint          _afork_map_items_count_before  (AForkMapItems            *self);

/* Begins the first item that waits. There must be one. Sets the job of the item and its index. */
AForkMapItem  *_afork_map_items_begin         (AForkMapItems            *self);
/* The job of ITEM has ended. */
void           _afork_map_items_end           (AForkMapItems            *self,
                                               AForkMapItem             *item);
/* Returns the item that has ended first, or NULL. */
AForkMapItem  *_afork_map_items_peek_ended    (AForkMapItems            *self);
/* Returns the first item if it has ended, or NULL. Items that were taken do not count; items that
 * wait count unless WITHOUT_WAITING. */
AForkMapItem  *_afork_map_items_peek_first    (AForkMapItems            *self,
                                               gboolean                  without_waiting);
/* Takes ITEM, and returns its job. Sets the index of the job: a handler of the program may do
 * anything. */
AForkJob      *_afork_map_items_take          (AForkMapItems            *self,
                                               AForkMapItem             *item);

G_END_DECLS
