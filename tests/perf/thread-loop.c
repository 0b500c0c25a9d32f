/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "thread-loop.h"

#include <glib.h>

#include "call-loop.h"

typedef struct
{
  GThreadPool *threads;
  GAsyncQueue *done;            /* of tickets, from 1 */
  ThreadWork   work;
} ThreadLoop;

static void
work_cb (gpointer ticket,
         gpointer data)
{
  ThreadLoop *self = data;

  self->work (GPOINTER_TO_INT (ticket) - 1);
  g_async_queue_push (self->done, ticket);
}

static void
begin (int   ticket,
       void *data)
{
  ThreadLoop *self = data;

  g_thread_pool_push (self->threads, GINT_TO_POINTER (ticket + 1), NULL);
}

static void
turn (void *data)
{
  ThreadLoop *self = data;

  call_ended (GPOINTER_TO_INT (g_async_queue_pop (self->done)) - 1);
}

int64_t
thread_loop_run (const CaseOptions *options,
                 ThreadWork         work)
{
  ThreadLoop self = { .done = g_async_queue_new (), .work = work };
  int64_t elapsed;

  self.threads = g_thread_pool_new (work_cb, &self, options->workers, TRUE, NULL);
  elapsed = call_run (options, begin, turn, &self);
  g_thread_pool_free (self.threads, FALSE, TRUE);
  g_async_queue_unref (self.done);
  return elapsed;
}
