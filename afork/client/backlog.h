/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "base/turn.h"

G_BEGIN_DECLS

/* What one event leads to for many others: it is done in order, and no iteration of the main
 * context takes long because of it. A function may call handlers of the program, which may iterate
 * the context: then that goes on with the rest. */

typedef struct
{
  void (*ref)   (gpointer object);
  void (*unref) (gpointer object);
} AForkBacklogFuncs;

/* OBJECT has the backlog. */
typedef void (*AForkBacklogFunc) (gpointer object,
                                  gpointer data);

/* A part of OBJECT, which it keeps while there is anything to be done. */
typedef struct
{
  const AForkBacklogFuncs *funcs;
  gpointer                 object;
  GMainContext            *context;         /* not a reference */
  gboolean                 is_context_lost;
  GQueue                   jobs;            /* of Job */
  GSource                 *source;          /* does them; or NULL */
  AForkTurnState           turn_state;      /* of the source */
} AForkBacklog;

void _afork_backlog_init         (AForkBacklog            *self,
                                  const AForkBacklogFuncs *funcs,
                                  gpointer                 object,
                                  GMainContext            *context);
/* Drops what is to be done. */
void _afork_backlog_clear        (AForkBacklog            *self);

/* Adds a call of FUNC with DATA, which is freed by FREE_DATA. */
void _afork_backlog_add          (AForkBacklog            *self,
                                  AForkBacklogFunc         func,
                                  gpointer                 data,
                                  GDestroyNotify           free_data);
/* Does what there is time for now, and the rest when the main context is iterated. */
void _afork_backlog_go_on        (AForkBacklog            *self);
/* From now on the rest is done in another context. */
void _afork_backlog_set_context  (AForkBacklog            *self,
                                  GMainContext            *context);
/* The context is gone: everything is done now, and from now on at once. */
void _afork_backlog_lose_context (AForkBacklog            *self);

G_END_DECLS
