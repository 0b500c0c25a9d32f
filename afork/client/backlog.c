/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "backlog.h"

#include "base/context.h"

typedef struct
{
  AForkBacklogFunc func;
  gpointer         data;
  GDestroyNotify   free_data;
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  job->free_data (job->data);
  g_free (job);
}

static void schedule (AForkBacklog *self);

/* Does the first job. If it iterates the main context, that does the others. */
static void
do_first (AForkBacklog *self)
{
  Job *job = g_queue_pop_head (&self->jobs);

  if (!g_queue_is_empty (&self->jobs) && self->source == NULL && !self->is_context_lost)
    schedule (self);
  job->func (self->object, job->data);
  job_free (job);
}

static void
do_all (AForkBacklog *self)
{
  self->funcs->ref (self->object);
  while (!g_queue_is_empty (&self->jobs))
    do_first (self);
  _afork_source_clear (&self->source);
  self->funcs->unref (self->object);
}

static void
do_for_turn (AForkBacklog *self,
             AForkTurn    *turn)
{
  self->funcs->ref (self->object);
  while (!g_queue_is_empty (&self->jobs)
         && (self->is_context_lost || _afork_turn_goes_on (turn)))
    do_first (self);

  if (g_queue_is_empty (&self->jobs))
    _afork_source_clear (&self->source);
  else if (self->source == NULL)
    schedule (self);
  _afork_turn_end (turn, &self->turn_state, self->source, self->source == NULL);
  self->funcs->unref (self->object);
}

static gboolean
backlog_cb (gpointer data)
{
  AForkBacklog *self = data;
  AForkTurn turn;

  if (_afork_turn_begin (&turn, NULL))
    do_for_turn (self, &turn);
  return G_SOURCE_CONTINUE;
}

static void
context_gone_cb (gpointer data)
{
  _afork_backlog_lose_context (data);
}

static void
unref_object (gpointer data)
{
  AForkBacklog *self = data;

  self->funcs->unref (self->object);
}

static void
schedule (AForkBacklog *self)
{
  self->source = g_idle_source_new ();
  g_source_set_static_name (self->source, "[afork] backlog");
  g_source_set_priority (self->source, G_PRIORITY_DEFAULT);
  g_source_set_can_recurse (self->source, TRUE);
  self->turn_state = (AForkTurnState) { 0 };
  self->funcs->ref (self->object);
  _afork_source_set_callback (&self->source, backlog_cb, context_gone_cb, self, unref_object);
  g_source_attach (self->source, self->context);
}

void
_afork_backlog_add (AForkBacklog     *self,
                    AForkBacklogFunc  func,
                    gpointer          data,
                    GDestroyNotify    free_data)
{
  Job *job = g_new (Job, 1);

  *job = (Job) { func, data, free_data };
  g_queue_push_tail (&self->jobs, job);
}

void
_afork_backlog_go_on (AForkBacklog *self)
{
  AForkTurn turn;

  if (g_queue_is_empty (&self->jobs))
    return;

  if (self->is_context_lost)
    do_all (self);
  else if (self->source == NULL && _afork_turn_begin (&turn, NULL))
    do_for_turn (self, &turn);
  else if (self->source == NULL)
    schedule (self);
}

void
_afork_backlog_set_context (AForkBacklog *self,
                            GMainContext *context)
{
  self->context = context;
  if (self->source == NULL)
    return;

  _afork_source_clear (&self->source);
  schedule (self);
}

void
_afork_backlog_lose_context (AForkBacklog *self)
{
  self->is_context_lost = TRUE;
  do_all (self);
}

void
_afork_backlog_clear (AForkBacklog *self)
{
  _afork_source_clear (&self->source);
  g_queue_clear_full (&self->jobs, job_free);
}

void
_afork_backlog_init (AForkBacklog            *self,
                     const AForkBacklogFuncs *funcs,
                     gpointer                 object,
                     GMainContext            *context)
{
  *self = (AForkBacklog) { .funcs = funcs, .object = object, .context = context };
  g_queue_init (&self->jobs);
}
