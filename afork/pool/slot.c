/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "slot.h"

#include <signal.h>
#include <time.h>

#include "afork-process-private.h"
#include "base/debug.h"

enum
{
  /* AForkRpc:max-in-flight. The pool itself gives a worker at most AForkPool:load jobs. */
  MAX_IN_FLIGHT = 65535,
  /* How often a worker is measured at most, in microseconds. */
  MEASURE_INTERVAL = 100 * 1000,
};

/* A slot may be freed before the template answers. */
struct AForkSlotQuestion
{
  AForkSlot *slot;              /* or NULL */
};

/* The state. */

static const char *
get_state_name (AForkSlotState state)
{
  static const char *const names[] = {
    [AFORK_SLOT_STARTING] = "starting",
    [AFORK_SLOT_SERVING] = "serving",
    [AFORK_SLOT_CLOSING] = "closing",
    [AFORK_SLOT_ENDING] = "ending",
  };

  return names[state];
}

static gboolean
is_step (AForkSlotState from,
         AForkSlotState to)
{
  switch (to)
    {
    case AFORK_SLOT_SERVING:
      return from == AFORK_SLOT_STARTING;
    case AFORK_SLOT_CLOSING:
      return from < AFORK_SLOT_CLOSING;
    case AFORK_SLOT_ENDING:
      return from < AFORK_SLOT_ENDING;
    case AFORK_SLOT_STARTING:
    default:
      return FALSE;
    }
}

static int
get_pid (AForkSlot *self)
{
  return afork_process_get_pid (_afork_slot_get_process (self));
}

static void
set_state (AForkSlot      *self,
           AForkSlotState  state)
{
  g_assert (is_step (self->state, state));

  _afork_debug (AFORK_DEBUG_POOL, get_pid (self),
                "Worker %" G_GUINT64_FORMAT " of a pool (pid %d): was %s, is %s",
                self->base.number, get_pid (self), get_state_name (self->state),
                get_state_name (state));
  self->state = state;
}

GObject *
_afork_slot_ref_pool (AForkSlot *self)
{
  GObject *pool = g_weak_ref_get (&self->pool);

  if (pool == NULL && self->disposed_pool != NULL)
    return g_object_ref (self->disposed_pool);

  return pool;
}

void
_afork_slot_keep_pool (AForkSlot *self,
                       GObject   *pool)
{
  g_set_object (&self->disposed_pool, pool);
}

void
_afork_slot_restore_pool (AForkSlot *self,
                          GObject   *pool)
{
  g_weak_ref_set (&self->pool, pool);
  g_clear_object (&self->disposed_pool);
}

/* Events of the worker. Each function holds a reference to the pool, and does nothing if the pool
 * is gone. */

static void
started_cb (gpointer data)
{
  AForkSlot *self = data;
  g_autoptr(GObject) pool = _afork_slot_ref_pool (self);

  if (pool == NULL)
    return;

  self->was_serving = TRUE;
  if (self->state == AFORK_SLOT_STARTING)
    set_state (self, AFORK_SLOT_SERVING);
  self->funcs->started (self);
}

static void
retires_cb (gpointer data)
{
  AForkSlot *self = data;
  g_autoptr(GObject) pool = _afork_slot_ref_pool (self);

  if (pool != NULL)
    self->funcs->retires (self);
}

static void
event_cb (GVariant *event,
          gpointer  data)
{
  AForkSlot *self = data;
  g_autoptr(GObject) pool = _afork_slot_ref_pool (self);

  if (pool != NULL)
    self->funcs->event (self, event);
}

static AForkPoolJob *
find_unwanted (AForkSlot *self,
               guint32    number)
{
  return self->unwanted != NULL
    ? g_hash_table_lookup (self->unwanted, GUINT_TO_POINTER (number)) : NULL;
}

static void
answered_unwanted_cb (guint32  number,
                      gpointer data)
{
  AForkSlot *self = data;
  g_autoptr(GObject) pool = _afork_slot_ref_pool (self);
  AForkPoolJob *job = pool != NULL ? find_unwanted (self, number) : NULL;

  if (job == NULL)
    return;

  _afork_slot_take (job);
  self->funcs->rested (self, job);
}

static void
ending_cb (const GError *error,
           gpointer      data)
{
  AForkSlot *self = data;
  g_autoptr(GObject) pool = _afork_slot_ref_pool (self);

  if (pool == NULL)
    return;

  set_state (self, AFORK_SLOT_ENDING);
  self->funcs->ending (self, error);
}

static void
closed_cb (gpointer data)
{
  AForkSlot *self = data;
  g_autoptr(GObject) pool = _afork_slot_ref_pool (self);

  if (pool != NULL)
    self->funcs->closed (self);
}

static const AForkRpcOwnerFuncs rpc_funcs = {
  .started = started_cb,
  .retires = retires_cb,
  .event = event_cb,
  .answered_unwanted = answered_unwanted_cb,
  .ending = ending_cb,
  .closed = closed_cb,
};

AForkSlot *
_afork_slot_new (AForkPoolTemplate    *template,
                 const AForkSlotSetup *setup,
                 const AForkSlotFuncs *funcs,
                 GObject              *pool)
{
  g_autoptr(AForkProcess) process = afork_process_fork (template->process);
  AForkSlot *self = g_new0 (AForkSlot, 1);

  self->funcs = funcs;
  g_weak_ref_init (&self->pool, pool);
  self->link.data = self;
  self->n_process = template->n_processes;
  g_queue_init (&self->jobs);
  self->concurrent = setup->concurrent;
  self->waits_for_done = setup->done_function != NULL;
  self->retire_cause = AFORK_EXIT_CAUSE_MAX_AGE;
  self->force_time = -1;
  self->last_measure_time = self->measure_time = -1;
  self->rpc = g_object_new (AFORK_TYPE_RPC,
                            "process", process,
                            "function", setup->function,
                            "init-function", setup->init_function,
                            "done-function", setup->done_function,
                            "concurrent", setup->concurrent,
                            "die-with-parent", setup->die_with_parent,
                            "forward-stderr", setup->forward_stderr,
                            "trusted", setup->trusted,
                            "max-in-flight", MAX_IN_FLIGHT,
                            NULL);
  if (setup->func != NULL)
    _afork_rpc_set_funcs (self->rpc, setup->func, setup->init_func, setup->done_func);
  _afork_rpc_set_owner (self->rpc, &rpc_funcs, self);
  return self;
}

void
_afork_slot_free (AForkSlot *self)
{
  g_assert (g_queue_is_empty (&self->jobs));

  if (self->question != NULL)
    self->question->slot = NULL;
  _afork_rpc_set_owner (self->rpc, NULL, NULL);
  g_object_unref (self->rpc);
  g_clear_pointer (&self->unwanted, g_hash_table_unref);
  g_clear_object (&self->worker);
  g_clear_object (&self->disposed_pool);
  g_weak_ref_clear (&self->pool);
  g_free (self);
}

AForkProcess *
_afork_slot_get_process (AForkSlot *self)
{
  return afork_rpc_get_process (self->rpc);
}

AForkPoolTemplate *
_afork_slot_get_template (AForkSlot *self)
{
  return (AForkPoolTemplate *) self->base.template;
}

gboolean
_afork_slot_has_template (AForkSlot *self)
{
  AForkPoolTemplate *template = _afork_slot_get_template (self);

  return template->n_processes == self->n_process && _afork_pool_template_can_fork (template);
}

/* Jobs. */

gboolean
_afork_slot_give (AForkSlot    *self,
                  AForkPoolJob *job)
{
  g_assert (job->slot == NULL);

  job->slot = self;
  job->link.data = job;
  g_queue_push_tail_link (&self->jobs, &job->link);
  if (self->wanted == NULL)
    self->wanted = &job->link;
  if (_afork_rpc_run_call (self->rpc, job->call))
    return TRUE;

  _afork_slot_take (job);
  return FALSE;
}

void
_afork_slot_take (AForkPoolJob *job)
{
  AForkSlot *self = g_steal_pointer (&job->slot);

  if (self->wanted == &job->link)
    self->wanted = job->link.next;
  g_queue_unlink (&self->jobs, &job->link);
  if (job->call != NULL)
    return;

  self->n_unwanted--;
  g_hash_table_remove (self->unwanted, GUINT_TO_POINTER (job->number));
}

void
_afork_slot_set_unwanted (AForkPoolJob *job,
                          guint32       number)
{
  AForkSlot *self = job->slot;

  g_clear_object (&job->call);
  job->number = number;
  self->n_unwanted++;
  if (self->unwanted == NULL)
    self->unwanted = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (self->unwanted, GUINT_TO_POINTER (number), job);
}

/* Looks at each job once, however many calls end. */
AForkPoolJob *
_afork_slot_peek_wanted (AForkSlot *self)
{
  while (self->wanted != NULL && ((AForkPoolJob *) self->wanted->data)->call == NULL)
    self->wanted = self->wanted->next;

  return self->wanted != NULL ? self->wanted->data : NULL;
}

gboolean
_afork_slot_is_stuck (AForkSlot *self)
{
  AForkPoolJob *oldest = g_queue_peek_head (&self->jobs);

  if (self->n_unwanted == 0)
    return FALSE;

  return self->concurrent || oldest->call == NULL;
}

/* Memory. */

static void
measured_cb (guint64  bytes,
             gpointer data)
{
  g_autofree AForkSlotQuestion *question = data;
  AForkSlot *self = question->slot;
  g_autoptr(GObject) pool = self != NULL ? _afork_slot_ref_pool (self) : NULL;

  if (self == NULL)
    return;

  self->question = NULL;
  self->memory = bytes;
  if (pool != NULL)
    self->funcs->measured (self);
}

gint64
_afork_slot_plan_measure (AForkSlot *self,
                          gint64     now)
{
  if (self->measure_time < 0)
    self->measure_time = self->last_measure_time < 0
      ? now : MAX (now, self->last_measure_time + MEASURE_INTERVAL);
  return self->measure_time;
}

void
_afork_slot_measure (AForkSlot *self,
                     gint64     now)
{
  if (self->measure_time < 0 || self->measure_time > now || self->question != NULL)
    return;

  self->last_measure_time = now;
  self->measure_time = -1;
  self->question = g_new (AForkSlotQuestion, 1);
  self->question->slot = self;
  _afork_process_measure (_afork_slot_get_process (self), measured_cb, self->question);
}

gboolean
_afork_slot_has_used_time (AForkSlot *self)
{
  AForkProcess *process = _afork_slot_get_process (self);
  const AForkLimits *limits = _afork_process_get_limits (process);
  struct timespec used;
  clockid_t clock;

  /* If the worker has exited, another process may have its pid. A wrong answer does no harm. */
  return limits != NULL && limits->cpu_time >= 0 && afork_process_get_pid (process) != 0
    && clock_getcpuclockid (afork_process_get_pid (process), &clock) == 0
    && clock_gettime (clock, &used) == 0
    && used.tv_sec >= limits->cpu_time;
}

guint64
_afork_slot_get_max_memory (AForkSlot *self,
                            guint64    of_pool)
{
  const AForkLimits *limits = _afork_process_get_limits (_afork_slot_get_process (self));

  if (limits == NULL || limits->resident_memory < 0)
    return of_pool;
  if (of_pool == 0)
    return MAX ((guint64) limits->resident_memory, 1);

  return MIN (of_pool, (guint64) limits->resident_memory);
}

gboolean
_afork_slot_is_running (AForkPoolJob *job)
{
  return job->slot->concurrent || job->slot->jobs.head == &job->link;
}

gint64
_afork_slot_get_begin_time (AForkPoolJob *job)
{
  return job->slot->concurrent ? job->given : MAX (job->given, job->slot->answered);
}

/* What the program sees of the worker. */

static AForkPoolWorkerState
get_worker_state (AForkSlot *self)
{
  if (self->state == AFORK_SLOT_STARTING)
    return AFORK_POOL_WORKER_STATE_STARTING;
  if (self->state == AFORK_SLOT_ENDING || self->force > AFORK_SLOT_FORCE_NOTICE)
    return AFORK_POOL_WORKER_STATE_EXITING;
  if (self->base.state >= AFORK_SCHEDULER_WORKER_LEAVING)
    return g_queue_is_empty (&self->jobs) ? AFORK_POOL_WORKER_STATE_EXITING
                                          : AFORK_POOL_WORKER_STATE_LEAVING;

  return g_queue_is_empty (&self->jobs) ? AFORK_POOL_WORKER_STATE_IDLE
                                        : AFORK_POOL_WORKER_STATE_BUSY;
}

static const char *
get_worker_state_name (AForkPoolWorkerState state)
{
  static const char *const names[] = {
    [AFORK_POOL_WORKER_STATE_STARTING] = "starting",
    [AFORK_POOL_WORKER_STATE_IDLE] = "idle",
    [AFORK_POOL_WORKER_STATE_BUSY] = "busy",
    [AFORK_POOL_WORKER_STATE_LEAVING] = "leaving",
    [AFORK_POOL_WORKER_STATE_EXITING] = "exiting",
    [AFORK_POOL_WORKER_STATE_EXITED] = "exited",
  };

  return names[state];
}

GVariant *
_afork_slot_describe (AForkSlot *self)
{
  const int pid = get_pid (self);
  const char *state = get_worker_state_name (get_worker_state (self));
  AForkProcess *process = _afork_slot_get_process (self);
  g_autofree char *host = afork_process_dup_host (process);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "pid", g_variant_new_int32 (pid));
  g_variant_builder_add (&builder, "{sv}", "host", g_variant_new_string (host != NULL ? host : ""));
  if (host != NULL)
    g_variant_builder_add (&builder, "{sv}", "remote-pid",
                           g_variant_new_int32 (afork_process_get_remote_pid (process)));
  g_variant_builder_add (&builder, "{sv}", "state", g_variant_new_string (state));
  g_variant_builder_add (&builder, "{sv}", "calls", g_variant_new_uint32 (self->base.n_given));
  g_variant_builder_add (&builder, "{sv}", "n-jobs", g_variant_new_uint32 (self->jobs.length));
  if (self->memory > 0)
    g_variant_builder_add (&builder, "{sv}", "rss", g_variant_new_uint64 (self->memory));
  return g_variant_builder_end (&builder);
}

AForkPoolWorker *
_afork_slot_get_worker (AForkSlot *self)
{
  if (self->worker == NULL)
    self->worker = _afork_pool_worker_new (_afork_slot_get_process (self));
  return self->worker;
}

AForkPoolWorker *
_afork_slot_take_worker (AForkSlot *self)
{
  return g_steal_pointer (&self->worker);
}

void
_afork_slot_drop_worker (AForkSlot *self)
{
  g_clear_object (&self->worker);
}

void
_afork_slot_update_worker (AForkSlot *self)
{
  const AForkPoolWorkerValues values = {
    .pid = get_pid (self),
    .state = get_worker_state (self),
    .calls = self->base.n_given,
    .n_jobs = self->jobs.length,
    .rss = self->memory,
  };

  _afork_pool_worker_set_values (_afork_slot_get_worker (self), &values);
}

void
_afork_slot_get_traffic (AForkSlot *self,
                         guint64   *n_sent,
                         guint64   *n_received)
{
  _afork_rpc_get_traffic (self->rpc, n_sent, n_received);
}

/* Ending the worker. */

void
_afork_slot_set_exit_cause (AForkSlot      *self,
                            AForkExitCause  cause)
{
  if (self->exit_cause == AFORK_EXIT_CAUSE_NONE)
    self->exit_cause = cause;
}

void
_afork_slot_close (AForkSlot *self)
{
  if (self->state >= AFORK_SLOT_CLOSING)
    return;

  set_state (self, AFORK_SLOT_CLOSING);
  _afork_rpc_begin_close (self->rpc);
}

void
_afork_slot_notice (AForkSlot *self,
                    gint64     time)
{
  if (self->force != AFORK_SLOT_FORCE_NONE)
    return;

  self->force = AFORK_SLOT_FORCE_NOTICE;
  self->force_time = time;
}

void
_afork_slot_stop_force (AForkSlot *self)
{
  if (self->force != AFORK_SLOT_FORCE_NOTICE)
    return;

  self->force = AFORK_SLOT_FORCE_NONE;
  self->force_time = -1;
}

AForkSlotForce
_afork_slot_use_force (AForkSlot *self,
                       gint64     time)
{
  AForkProcess *process = _afork_slot_get_process (self);

  if (self->force == AFORK_SLOT_FORCE_NOTICE)
    {
      _afork_debug (AFORK_DEBUG_POOL, get_pid (self),
                    "Worker %d of a pool does not react, and gets SIGTERM", get_pid (self));
      self->force = AFORK_SLOT_FORCE_SIGTERM;
      self->force_time = time;
      afork_process_send_signal (process, SIGTERM);
    }
  else if (self->force == AFORK_SLOT_FORCE_SIGTERM)
    {
      _afork_debug (AFORK_DEBUG_POOL, get_pid (self),
                    "Worker %d of a pool does not react, and is killed", get_pid (self));
      self->force = AFORK_SLOT_FORCE_SIGKILL;
      self->force_time = -1;
      afork_process_force_exit (process);
    }

  return self->force;
}
