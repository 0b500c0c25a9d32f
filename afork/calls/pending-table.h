/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "pending-call.h"

G_BEGIN_DECLS

/* The calls that the worker has, by number. The table gives each call the next number whose place
 * is free, so a look-up is one access. A call that has ended before the worker answered it is
 * unwanted: the table keeps its number until the worker answers, but not the call. */
typedef struct
{
  struct AForkPendingPlace *places;     /* at least half of them are free */
  guint                     n_places;       /* a power of two */
  guint                     n_taken;        /* numbers in the table */
  guint                     n_calls;        /* numbers in the table whose calls are not unwanted */
  guint32                   last_number;    /* given last */
  guint32                   oldest_number;  /* all calls with older numbers are unwanted */
} AForkPendingTable;

void              _afork_pending_table_init          (AForkPendingTable  *self);
void              _afork_pending_table_clear         (AForkPendingTable  *self);

/* Takes CALL, and gives it a number, which is not 0. */
void              _afork_pending_table_add           (AForkPendingTable  *self,
                                                      AForkPendingCall   *call);
/* Whether NUMBER is in the table. Sets CALL to its call, or to NULL if that is unwanted. */
gboolean          _afork_pending_table_find          (AForkPendingTable  *self,
                                                      guint32             number,
                                                      AForkPendingCall  **call);
/* The call that was added first and is not unwanted, or NULL. */
AForkPendingCall *_afork_pending_table_peek_oldest   (AForkPendingTable  *self);
/* Removes NUMBER. The table's reference to the call, unless that is unwanted, passes to the
 * caller, which has it from _afork_pending_table_find(). */
void              _afork_pending_table_remove        (AForkPendingTable  *self,
                                                      guint32             number);
/* Passes the table's reference to CALL to the caller, and keeps its number. */
void              _afork_pending_table_mark_unwanted (AForkPendingTable  *self,
                                                      AForkPendingCall   *call);
/* Moves all calls, in the order in which they were added, to the head of QUEUE, and removes all
 * numbers. */
void              _afork_pending_table_take_all      (AForkPendingTable  *self,
                                                      GQueue             *queue);

G_END_DECLS
