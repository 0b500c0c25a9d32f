/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "pending-call.h"

G_BEGIN_DECLS

/* The calls that the worker has, by number. They get their numbers here, one after the other, and
 * so that each has a place of its own: looking for one is looking at one place. A call that has
 * ended before the worker has answered it is unwanted: its number only stays, until then. */
typedef struct
{
  struct AForkPendingPlace *places;     /* a power of two, of which at least half are free */
  guint                     n_places;
  guint                     n_taken;
  guint                     n_calls;    /* … of them not unwanted */
  guint32                   last_number;
  guint32                   oldest_number;  /* no call that is older is not unwanted */
} AForkPendingTable;

void              _afork_pending_table_init          (AForkPendingTable  *self);
void              _afork_pending_table_clear         (AForkPendingTable  *self);

/* Takes CALL, and gives it a number, which is not 0. */
void              _afork_pending_table_add           (AForkPendingTable  *self,
                                                      AForkPendingCall   *call);
/* Whether there is a call of that number. CALL becomes it, or NULL if it is unwanted. */
gboolean          _afork_pending_table_find          (AForkPendingTable  *self,
                                                      guint32             number,
                                                      AForkPendingCall  **call);
/* The one that was added first of those that are not unwanted, or NULL. */
AForkPendingCall *_afork_pending_table_peek_oldest   (AForkPendingTable  *self);
/* Gives the number up, and the call, if there is one, back: CALL has been found so. */
void              _afork_pending_table_remove        (AForkPendingTable  *self,
                                                      guint32             number);
/* Gives the call back. Its number stays. */
void              _afork_pending_table_mark_unwanted (AForkPendingTable  *self,
                                                      AForkPendingCall   *call);
/* Gives all calls back, in the order of their numbers, at the head of QUEUE, and all numbers up. */
void              _afork_pending_table_take_all      (AForkPendingTable  *self,
                                                      GQueue             *queue);

G_END_DECLS
