/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-pending-call-private.h"

G_BEGIN_DECLS

/* Pending calls by number. They get their numbers here, one after the other, and so that each has a
 * place of its own: looking for one is looking at one place. */
typedef struct
{
  AForkPendingCall **places;      /* a power of two, of which at least half are free */
  guint              n_places;
  guint              n_calls;
  guint32            last_number;
} AForkPendingTable;

void              _afork_pending_table_init      (AForkPendingTable *self);
/* The calls go with it. */
void              _afork_pending_table_clear     (AForkPendingTable *self);

/* Takes CALL, and gives it a number, which is not 0. */
void              _afork_pending_table_add       (AForkPendingTable *self,
                                                  AForkPendingCall  *call);
/* The call of that number, or NULL. */
AForkPendingCall *_afork_pending_table_find      (AForkPendingTable *self,
                                                  guint32            number);
/* Gives CALL back. False if it is not there. */
gboolean          _afork_pending_table_remove    (AForkPendingTable *self,
                                                  AForkPendingCall  *call);
/* Gives all back, in any order, at the head of QUEUE. */
void              _afork_pending_table_take_all  (AForkPendingTable *self,
                                                  GQueue            *queue);

G_END_DECLS
