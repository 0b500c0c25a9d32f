/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-pool.h"

#include "afork-enum-types.h"
#include "afork-error.h"
#include "afork-job-private.h"
#include "afork-pool-private.h"
#include "afork-process-private.h"
#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/debug.h"
#include "base/i18n.h"
#include "base/main-context.h"
#include "base/task.h"
#include "base/turn.h"
#include "pool/in-process-jobs.h"
#include "pool/marks.h"
#include "pool/monitors.h"
#include "pool/quarantine.h"
#include "pool/shared-job.h"
#include "pool/slot.h"
#include "pool/updater.h"
#include "pool/worker-list.h"

/* The states of the pool.
 *
 *     NEW ── it is constructed ──> OPEN ── shutdown (DRAIN) ──> DRAINING
 *      │                            │                           │     │
 *      │                            │ shutdown (ABORT)          │     │ no jobs are left
 *      v                            v                           │     v
 *   REFUSED                     ABORTING <── shutdown (ABORT) ──┘   ENDING
 *                                   │                                 │
 *                                   │       no workers are left       │
 *                                   └──────────> CLOSED <─────────────┘
 *
 * A pool without jobs that is disposed of is CLOSED at once.
 * REFUSED: the pool cannot run jobs, and belongs to no main context.
 */
typedef enum
{
  AFORK_POOL_STATE_NEW,
  AFORK_POOL_STATE_OPEN,        /* the pool accepts jobs */
  AFORK_POOL_STATE_DRAINING,    /* the pool accepts no more jobs, and runs the jobs that it has */
  AFORK_POOL_STATE_ABORTING,    /* jobs fail, and workers are ended */
  AFORK_POOL_STATE_ENDING,      /* workers are ended */
  AFORK_POOL_STATE_CLOSED,
  AFORK_POOL_STATE_REFUSED,
} AForkPoolState;

/* The values of the properties that the pool notifies. */
typedef struct
{
  guint    n_workers;
  guint    n_idle;
  guint    n_queued;
  guint    n_running;
  gboolean unhealthy;
} Numbers;

struct _AForkPool
{
  GObject           parent_instance;
  AForkContext     *context;    /* NULL until the object is constructed */
  AForkObjectWatch *watch;      /* on the context; or NULL */
  AForkProcess     *process;    /* the template that the caller gave first */
  AForkSlotSetup    setup;

  AForkSchedulerLimits limits;  /* `max_workers` is that of the first template */
  guint             max_total;  /* how many workers all templates together may have */
  guint             queue_limit;
  guint             timeout;
  guint             grace;
  guint64           max_memory; /* in bytes; 0: any size */
  GMemoryMonitor   *memory_monitor;     /* of the program, or NULL */
  GPowerProfileMonitor *power_monitor;  /* the same */
  gboolean          is_adaptive;

  AForkInProcess   *in_process; /* runs the jobs in this process; or NULL */
  gboolean          has_in_process;     /* it was decided whether to have `in_process` */

  AForkPoolState    state;
  GError           *refusal;    /* the reason for REFUSED, or NULL */
  AForkScheduler    scheduler;
  GPtrArray        *templates;  /* of AForkPoolTemplate */
  AForkJobQueue     failing;    /* jobs that fail with `fail_error` */
  gboolean          all_fail;   /* so do the jobs that wait, when these have failed */
  GError           *fail_error;
  AForkQuarantine   quarantine;
  AForkSharedJobs   shared_jobs;
  GQueue            slots;      /* of AForkSlot: the workers */
  guint             n_running;  /* how many jobs workers have whose calls have not ended */
  gboolean          start_failed;       /* a worker could not start, and none has started since */
  GError           *last_error;
  gboolean          has_new_error;      /* `last_error` was not notified yet */
  gboolean          was_full;   /* a job was refused, and AForkPool::room has to be emitted */
  AForkPoolStats    stats;
  GWeakRef          worker_list;        /* the list that the program has */
  gboolean          has_worker_list;    /* the list was made, and its end was not noticed yet */
  Numbers           numbers;    /* the values that were notified last */
  GQueue            close_tasks;        /* of GTask: see _afork_task_queue_push() */

  AForkMonitors    *monitors;   /* NULL until there is a monitor */

  AForkUpdater      updater;
  GQueue            due_feeders;        /* of AForkPoolFeeder: to be called in the next update */
  GQueue            waiting_feeders;    /* of AForkPoolFeeder: these wait for room */
  AForkPoolBlockingCall *blocking;      /* the innermost blocking call, or NULL */
};

enum
{
  DEFAULT_LOAD = 2,
  DEFAULT_START_DELAY = 100,
  DEFAULT_STOP_DELAY = 10 * 1000,
  DEFAULT_GRACE = 1000,
  DEFAULT_QUARANTINE_TIME = 60 * 1000,
  MAX_LOAD = 65535,
  /* How long a worker with a done-function, or one that starts, may take to exit, in
   * milliseconds. */
  EXIT_TIMEOUT = 5000,
  /* How many decisions the pool makes at most while it receives an answer. */
  MAX_STEPS = 8,
};

/**
 * AForkPool:
 *
 * Many workers for one queue of jobs.
 *
 * A pool makes its workers by forking a template, or several. One function in each worker serves
 * the jobs. The pool starts workers when jobs have to wait, up to
 * [property@AFork.Pool:max-workers]. It ends workers that are idle for a long time, and replaces
 * workers and templates that exit:
 *
 * ```c
 * AForkProcess *process = afork_process_require (afork_process_new (), "resize");
 * AForkPool *pool = afork_pool_new (process, "resize_image");
 *
 * for (guint i = 0; i < n_paths; i++)
 *   afork_pool_call_async (pool, g_variant_new ("(su)", paths[i], 256), NULL, resized_cb, NULL);
 * ```
 *
 * The function is an [callback@AFork.CallFunc], which serves one job after the other, or an
 * [callback@AFork.ConcurrentCallFunc] if [property@AFork.Pool:concurrent] is set. The program may
 * go on using the template. See [Pools](pool.html) for which worker gets which job, and what
 * happens if a worker exits.
 *
 * Every job that the pool has accepted ends exactly once. Each job that has not ended holds a
 * reference to the pool, so no jobs are left when the last reference is dropped. The workers then
 * have five seconds to exit.
 *
 * A pool belongs to the thread-default main context in which it was made, like the template. Only
 * the thread that owns this context may use the pool, and callbacks are called from it. In other
 * threads, functions fail with `AFORK_ERROR_FAILED`; see [the page](processes.html#main-contexts).
 * The last reference may be dropped in any thread.
 *
 * Since: 0.1
 */
enum
{
  PROP_0,
  PROP_ADAPTIVE,
  PROP_CONCURRENT,
  PROP_DIE_WITH_PARENT,
  PROP_DONE_FUNCTION,
  PROP_FORWARD_STDERR,
  PROP_FUNCTION,
  PROP_GRACE,
  PROP_INIT_FUNCTION,
  PROP_LAST_ERROR,
  PROP_LOAD,
  PROP_MAX_AGE,
  PROP_MAX_CALLS,
  PROP_MAX_MEMORY,
  PROP_MAX_WORKERS,
  PROP_MEMORY_MONITOR,
  PROP_MIN_IDLE,
  PROP_N_IDLE,
  PROP_N_QUEUED,
  PROP_N_RUNNING,
  PROP_N_WORKERS,
  PROP_POWER_MONITOR,
  PROP_PROCESS,
  PROP_QUARANTINE_TIME,
  PROP_QUEUE_LIMIT,
  PROP_START_DELAY,
  PROP_STOP_DELAY,
  PROP_TIMEOUT,
  PROP_TRUSTED,
  PROP_UNHEALTHY,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

enum { SIGNAL_EVENT, SIGNAL_ROOM, SIGNAL_WORKER_EXITED, SIGNAL_WORKER_STARTED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (AForkPool, afork_pool, G_TYPE_OBJECT)

/* The state. */

static const char *
get_state_name (AForkPoolState state)
{
  static const char *const names[] = {
    [AFORK_POOL_STATE_NEW] = "new",
    [AFORK_POOL_STATE_OPEN] = "open",
    [AFORK_POOL_STATE_DRAINING] = "draining",
    [AFORK_POOL_STATE_ABORTING] = "aborting",
    [AFORK_POOL_STATE_ENDING] = "ending",
    [AFORK_POOL_STATE_CLOSED] = "closed",
    [AFORK_POOL_STATE_REFUSED] = "refused",
  };

  return names[state];
}

static gboolean
is_step (AForkPoolState from,
         AForkPoolState to)
{
  switch (to)
    {
    case AFORK_POOL_STATE_OPEN:
    case AFORK_POOL_STATE_REFUSED:
      return from == AFORK_POOL_STATE_NEW;
    case AFORK_POOL_STATE_DRAINING:
      return from == AFORK_POOL_STATE_OPEN;
    case AFORK_POOL_STATE_ABORTING:
      return from == AFORK_POOL_STATE_OPEN || from == AFORK_POOL_STATE_DRAINING;
    case AFORK_POOL_STATE_ENDING:
      return from == AFORK_POOL_STATE_DRAINING;
    case AFORK_POOL_STATE_CLOSED:
      return from >= AFORK_POOL_STATE_OPEN && from <= AFORK_POOL_STATE_ENDING;
    case AFORK_POOL_STATE_NEW:
    default:
      return FALSE;
    }
}

static void
set_state (AForkPool      *self,
           AForkPoolState  state)
{
  g_assert (is_step (self->state, state));

  _afork_debug (AFORK_DEBUG_POOL, 0, "Pool of “%s”: was %s, is %s", self->setup.function,
                get_state_name (self->state), get_state_name (state));
  self->state = state;
}

static gsize
count_queued (AForkPool *self)
{
  return self->scheduler.queue.n_jobs + self->failing.n_jobs;
}

static gboolean
has_jobs (AForkPool *self)
{
  return count_queued (self) > 0 || self->n_running > 0 || self->shared_jobs.n_members > 0;
}

/* The main context. */

static GError *
new_hold_error (AForkPool *self)
{
  if (self->context != NULL && _afork_context_is_inherited (self->context))
    return _afork_atfork_new_error ();

  return g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                      _("The pool of “%s” belongs to a main context that another thread uses: this "
                        "thread needs a pool of its own, in a main context of its own"),
                      self->setup.function);
}

/* Holds the main context of the pool. Each public function that changes the pool calls this first.
 * Returns NULL and sets ERROR if another thread may use the context. */
static AForkHold *
hold_context (AForkPool  *self,
              GError    **error)
{
  AForkHold *hold = _afork_context_hold (self->context);

  if (hold == NULL)
    g_propagate_error (error, new_hold_error (self));
  return hold;
}

/* Holds the main context of the pool, for functions that cannot fail. Warns and returns false if
 * another thread may use the context. While the object is constructed, no other thread has it, and
 * *HOLD is not set. */
static gboolean
hold_or_warn (AForkPool  *self,
              AForkHold **hold)
{
  if (self->context == NULL)
    return TRUE;

  *hold = _afork_context_hold (self->context);
  if (*hold == NULL && !_afork_context_is_inherited (self->context))
    g_critical ("A pool belongs to a main context that another thread uses");
  return *hold != NULL;
}

/* Returns the main context in which the workers are served now, or NULL if it is gone. */
static GMainContext *
get_main (AForkPool *self)
{
  return self->blocking != NULL ? self->blocking->base.context
                                : _afork_context_peek (self->context);
}

/* Updating. After an event, the pool is updated in the next iteration of the context. */

static void
request_update (AForkPool *self)
{
  GMainContext *main = get_main (self);

  if (main != NULL)
    _afork_updater_request (&self->updater, main);
}

/* Has the pool updated at TIME or before, unless TIME is negative. */
static void
wake_at (AForkPool *self,
         gint64     time)
{
  GMainContext *main = get_main (self);

  if (main != NULL && time >= 0)
    _afork_updater_request_at (&self->updater, main, time);
}

/* Has a blocking call notice that the call of JOB is cancelled or takes too long. */
static void
move_call (AForkPool    *self,
           AForkPoolJob *job)
{
  GMainContext *context = self->blocking != NULL ? self->blocking->base.context : NULL;

  if (job->shared != NULL)
    _afork_shared_job_serve_in (job->shared, context);
  else
    _afork_pending_call_serve_in (job->call, context != NULL ? context : job->call->context);
}

/* Moves the waiters to the context in which the workers are served now. Those of jobs that wait in
 * the pool stay, because they delay no other job. */
static void
move_waiters (AForkPool *self)
{
  GMainContext *main = get_main (self);

  if (main != NULL)
    _afork_updater_move (&self->updater, main);
  else
    _afork_updater_clear (&self->updater);
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    for (GList *job = ((AForkSlot *) link->data)->jobs.head; job != NULL; job = job->next)
      if (((AForkPoolJob *) job->data)->call != NULL)
        move_call (self, job->data);
}

/* Jobs. */

static AForkPool *
get_pool (AForkPendingCall *call)
{
  return AFORK_POOL (call->source);
}

static void
job_free (AForkPoolJob *job)
{
  g_free (job->reason);
  g_free (job);
}

static void
priority_changed_cb (gpointer data)
{
  AForkPoolJob *job = data;

  _afork_scheduler_set_priority (&job->base, afork_job_get_priority (job->call->job));
}

/* Returns a reference to the call of JOB, and stops watching it. The job is only needed further if
 * its worker still has it. */
static AForkPendingCall *
take_call (AForkPoolJob *job)
{
  AForkPendingCall *call = g_object_ref (job->call);

  _afork_pending_call_unwatch (call);
  if (call->job != NULL)
    _afork_job_watch_priority (call->job, NULL, NULL);
  return call;
}

/* Informs the members of shared jobs, as far as there is time in this iteration. If the main
 * context is gone, informs all of them. */
static void
inform_members (AForkPool *self)
{
  AForkTurn turn;

  if (get_main (self) == NULL)
    {
      _afork_shared_jobs_inform (&self->shared_jobs, NULL);
      return;
    }

  if (_afork_turn_begin (&turn, NULL))
    {
      _afork_shared_jobs_inform (&self->shared_jobs, &turn);
      _afork_turn_end (&turn, NULL, NULL, FALSE);
    }
  if (!g_queue_is_empty (&self->shared_jobs.with_notices))
    request_update (self);
}

static void
has_notices_cb (gpointer data)
{
  g_autoptr(AForkPool) self = g_object_ref (data);

  inform_members (self);
}

/* Ends CALL, or the members of SHARED if this is not NULL. Takes SHARED, and VALUE or ERROR. The
 * callbacks of the program may use the pool in any way. */
static void
end_call (AForkPendingCall *call,
          AForkSharedJob   *shared,
          GVariant         *value,
          GError           *error)
{
  if (shared == NULL)
    {
      _afork_pending_call_end (call, value, error);
      return;
    }

  _afork_shared_job_end (shared, value, error);
  inform_members (get_pool (call));
}

/* Ends JOB, which no worker and no queue has. Takes VALUE or ERROR. The callback of the program may
 * use the pool in any way. */
static void
end_job (AForkPool    *self,
         AForkPoolJob *job,
         GVariant     *value,
         GError       *error)
{
  g_autoptr(AForkPendingCall) call = take_call (job);
  AForkSharedJob *shared = job->shared;

  _afork_pool_stats_count_end (&self->stats, error);
  g_clear_object (&job->call);
  job_free (job);
  end_call (call, shared, value, error);
}

/* Ends JOB, which no worker and no queue has. Takes ERROR. Calls back later, because the caller is
 * in the middle of other work. */
static void
fail_job (AForkPool    *self,
          AForkPoolJob *job,
          GError       *error)
{
  g_autoptr(AForkPendingCall) call = take_call (job);
  AForkSharedJob *shared = job->shared;

  _afork_pool_stats_count_end (&self->stats, error);
  g_clear_object (&job->call);
  job_free (job);
  if (shared == NULL)
    {
      _afork_pending_call_fail (call, error);
      return;
    }

  _afork_shared_job_end (shared, NULL, error);
  request_update (get_pool (call));
}

/* A job that waits was cancelled. Takes ERROR. */
static void
cancel_waiting_cb (AForkPendingCall *call,
                   GError           *error,
                   gpointer          data)
{
  g_autoptr(AForkPool) self = g_object_ref (get_pool (call));
  AForkPoolJob *job = data;

  _afork_scheduler_remove_job (&job->base);
  request_update (self);
  end_job (self, job, NULL, error);
}

/* The time that a job waits does not count for its time limit. */
static gboolean
defer_waiting_cb (AForkPendingCall *call,
                  gpointer          data)
{
  return FALSE;
}

static const AForkPendingCallFuncs waiting_funcs = {
  .cancel = cancel_waiting_cb,
  .defer_limit = defer_waiting_cb,
};

/* Jobs that workers have. */

static void schedule_some (AForkPool *self,
                           gint64     now);

/* Counts the time that JOB waited, and the time that it ran until NOW. */
static void
count_run (AForkPool    *self,
           AForkPoolJob *job,
           gint64        now)
{
  const gint64 begun = _afork_slot_get_begin_time (job);

  _afork_histogram_add (&self->stats.wait, begun - job->waits_since);
  _afork_histogram_add (&self->stats.run, now - begun);
#ifdef HAVE_SYSPROF
  if (_afork_marks_are_on ())
    _afork_marks_add_job (self->setup.function,
                          afork_process_get_pid (_afork_slot_get_process (job->slot)),
                          job->waits_since, begun, now);
#endif
}

/* Checks whether the worker goes on with a job whose call has ended. If so, the worker gets no jobs
 * until it has answered this job. If it takes too long, it is ended by force. */
static void
check_stuck (AForkPool *self,
             AForkSlot *slot)
{
  if (slot->state >= AFORK_SLOT_CLOSING)
    return;

  if (!_afork_slot_is_stuck (slot))
    {
      _afork_slot_stop_force (slot);
      if (slot->force == AFORK_SLOT_FORCE_NONE)
        _afork_scheduler_release (&self->scheduler, &slot->base);
      return;
    }

  _afork_scheduler_hold (&self->scheduler, &slot->base);
  if (slot->force == AFORK_SLOT_FORCE_NONE)
    _afork_slot_notice (slot, g_get_monotonic_time () + self->grace * G_GINT64_CONSTANT (1000));
  wake_at (self, slot->force_time);
}

/* Has the worker measured soon. */
static void
plan_measure (AForkPool *self,
              AForkSlot *slot,
              gint64     now)
{
  if (slot->measure_time < 0 && slot->state < AFORK_SLOT_CLOSING)
    wake_at (self, _afork_slot_plan_measure (slot, now));
}

/* The worker may have grown. */
static void
note_growth (AForkPool *self,
             AForkSlot *slot,
             gint64     now)
{
  if (_afork_slot_get_max_memory (slot, self->max_memory) > 0 || self->has_worker_list)
    plan_measure (self, slot, now);
}

static void
retire (AForkPool      *self,
        AForkSlot      *slot,
        AForkExitCause  cause)
{
  if (!slot->base.retires)
    slot->retire_cause = cause;
  _afork_scheduler_retire (&self->scheduler, &slot->base);
}

/* The next job could be ended before its time. */
static void
check_used_time (AForkPool *self,
                 AForkSlot *slot)
{
  if (_afork_slot_has_used_time (slot))
    retire (self, slot, AFORK_EXIT_CAUSE_CPU_TIME);
}

/* The worker has answered JOB. */
static void
finish_job (AForkPool    *self,
            AForkPoolJob *job,
            gint64        now)
{
  AForkSlot *slot = job->slot;

  count_run (self, job, now);
  slot->answered = now;
  _afork_slot_take (job);
  _afork_scheduler_job_finished (&self->scheduler, &job->base);
  if (job->call != NULL)
    self->n_running--;
  check_stuck (self, slot);
  note_growth (self, slot, now);
  check_used_time (self, slot);
}

/* Quarantine. */

/* Ends the next job of the queue if it is refused. Returns whether it did. It takes time to look up
 * a large job, so it is looked up again only if jobs have been put into quarantine. */
static gboolean
refuse_next (AForkPool *self)
{
  AForkPoolJob *job = (AForkPoolJob *) _afork_job_queue_peek (&self->scheduler.queue);
  GError *error;

  if (job == NULL || job->checked == self->quarantine.n_refused)
    return FALSE;

  job->checked = self->quarantine.n_refused;
  error = _afork_quarantine_check (&self->quarantine, job->call->args, job->call->job,
                                   g_get_monotonic_time ());
  if (error == NULL)
    return FALSE;

  _afork_scheduler_remove_job (&job->base);
  request_update (self);
  fail_job (self, job, error);
  return TRUE;
}

static void
answered_cb (AForkPendingCall *call,
             GVariant         *value,
             GError           *error,
             gpointer          data)
{
  g_autoptr(AForkPool) self = g_object_ref (get_pool (call));
  AForkPoolJob *job = data;
  const gint64 now = g_get_monotonic_time ();

  _afork_quarantine_absolve (&self->quarantine, call->args, call->job);
  finish_job (self, job, now);
  request_update (self);
  /* The worker gets its next job before the callback, which may take long. */
  schedule_some (self, now);
  end_job (self, job, value, error);
}

static void
unsent_cb (AForkPendingCall *call,
           GError           *error,
           gpointer          data)
{
  g_autoptr(AForkPool) self = g_object_ref (get_pool (call));
  AForkPoolJob *job = data;
  AForkSlot *slot = job->slot;

  _afork_slot_take (job);
  _afork_scheduler_job_lost (&self->scheduler, &job->base);
  self->n_running--;
  check_stuck (self, slot);
  request_update (self);
  fail_job (self, job, error);
}

static void
cancelled_cb (AForkPendingCall *call,
              GError           *error,
              gboolean          was_sent,
              gpointer          data)
{
  g_autoptr(AForkPool) self = g_object_ref (get_pool (call));
  AForkPoolJob *job = data;
  AForkSlot *slot = job->slot;
  AForkSharedJob *shared = g_steal_pointer (&job->shared);
  g_autoptr(AForkPendingCall) owned = take_call (job);

  self->n_running--;
  _afork_pool_stats_count_end (&self->stats, error);
  if (was_sent)
    {
      if (_afork_slot_is_running (job))
        count_run (self, job, g_get_monotonic_time ());
      slot->unwanted_cause = g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT)
        ? AFORK_EXIT_CAUSE_TIMED_OUT : AFORK_EXIT_CAUSE_CANCELLED;
      _afork_slot_set_unwanted (job, call->number);
    }
  else
    {
      _afork_slot_take (job);
      _afork_scheduler_job_lost (&self->scheduler, &job->base);
      g_clear_object (&job->call);
      job_free (job);
    }
  check_stuck (self, slot);
  request_update (self);
  end_call (owned, shared, NULL, error);
}

static GError *
new_closed_error (AForkPool *self)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED, _("The pool of “%s” has been shut down"),
                      self->setup.function);
}

/* Puts a job that a worker has lost back to its old place in the queue. */
static void
put_back (AForkPool    *self,
          AForkPoolJob *job)
{
  if (self->state == AFORK_POOL_STATE_ABORTING)
    {
      end_job (self, job, NULL, new_closed_error (self));
      return;
    }

  _afork_pending_call_reset (job->call);
  _afork_pending_call_serve_in (job->call, job->call->context);
  _afork_pending_call_watch (job->call, &waiting_funcs, job);
  if (job->shared != NULL)
    {
      _afork_shared_job_serve_in (job->shared, NULL);
      _afork_shared_job_set_waiting (job->shared);
    }
  _afork_scheduler_put_back (&self->scheduler, &job->base);
}

/* Counts the exit of a worker because of ERROR, which only JOB may have caused. Returns the error
 * of the job if it has ended two workers, or NULL. */
static GError *
count_exit (AForkPool    *self,
            AForkPoolJob *job,
            const GError *error)
{
  const char *first = job->reason;

  /* If the exit status is unknown, equal jobs are not refused. */
  if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST))
    first = _afork_quarantine_add_exit (&self->quarantine, job->call->args, job->call->job,
                                        job->reason, error->message, g_get_monotonic_time ());
  if (first != NULL)
    return g_error_new (error->domain, error->code,
                        _("The job has ended two workers. The first: %s. The second: %s"),
                        first, error->message);

  job->reason = g_strdup (error->message);
  return NULL;
}

/* Ends a job that had begun when its worker exited because of ERROR, or puts it back to be run
 * again: ALONE if other jobs would run in the same worker. COUNTS says whether the job is the only
 * one that may have caused the exit. */
static void
blame (AForkPool    *self,
       AForkPoolJob *job,
       gboolean      counts,
       gboolean      alone,
       const GError *error)
{
  GError *failure = counts ? count_exit (self, job, error) : NULL;

  if (failure == NULL && job->n_retries == 0)
    failure = g_error_copy (error);
  if (failure != NULL)
    {
      if (job->call->job != NULL)
        _afork_job_set_begun (job->call->job);
      end_job (self, job, NULL, failure);
      return;
    }

  _afork_debug (AFORK_DEBUG_POOL, 0, "Pool of “%s”: a job is run again: %s", self->setup.function,
                error->message);
  job->n_retries--;
  self->stats.n_retried++;
  if (alone)
    _afork_scheduler_set_alone (&job->base);
  put_back (self, job);
}

/* Does the same for a job that its worker would have begun next. Receiving this job, or one behind
 * it, may have caused the exit. So the job is run alone, and without using up a retry. It fails if
 * two workers that had only this job have exited before they began with it: otherwise all workers
 * might exit in the same way, for ever. */
static void
suspect (AForkPool    *self,
         AForkPoolJob *job,
         gboolean      counts,
         const GError *error)
{
  GError *failure = counts ? count_exit (self, job, error) : NULL;

  if (failure != NULL)
    {
      end_job (self, job, NULL, failure);
      return;
    }

  _afork_debug (AFORK_DEBUG_POOL, 0,
                "Pool of “%s”: a worker has exited before it began with a job: %s",
                self->setup.function, error->message);
  _afork_scheduler_set_alone (&job->base);
  put_back (self, job);
}

static void
lost_cb (AForkPendingCall *call,
         AForkCallBegun    begun,
         const GError     *error,
         gpointer          data)
{
  g_autoptr(AForkPool) self = g_object_ref (get_pool (call));
  AForkPoolJob *job = data;
  AForkSlot *slot = job->slot;
  const gboolean was_next = slot->next == job;
  /* No job causes this. */
  const gboolean is_host_lost = g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST);
  const gboolean was_begun = begun != AFORK_CALL_BEGUN_NO
    && (begun == AFORK_CALL_BEGUN_YES || slot->concurrent || was_next);

  if (was_begun)
    {
      const gint64 now = g_get_monotonic_time ();

      count_run (self, job, now);
      job->waits_since = now;
    }
  if (was_begun && slot->concurrent)
    slot->next = job->link.next != NULL ? job->link.next->data : NULL;
  _afork_slot_take (job);
  _afork_scheduler_job_lost (&self->scheduler, &job->base);
  self->n_running--;
  request_update (self);
  /* A worker that was ended because it went on with another job has just finished that job, and
   * begun with this one. */
  if ((!was_begun && (!was_next || is_host_lost)) || slot->force >= AFORK_SLOT_FORCE_SIGTERM)
    put_back (self, job);
  else if (!was_begun)
    suspect (self, job, slot->had_one, error);
  else
    {
      /* If several jobs had begun, any of them may have caused the exit. Run alone, they show which
       * one it was. If the exit status is unknown, the template may be gone. */
      const gboolean is_known = !is_host_lost
        && !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST);

      blame (self, job, is_known && (!slot->concurrent || slot->had_one),
             slot->concurrent && !is_host_lost, error);
    }
}

static const AForkPendingCallOwnerFuncs call_funcs = {
  .answered = answered_cb,
  .unsent = unsent_cb,
  .cancelled = cancelled_cb,
  .lost = lost_cb,
};

static void
limits_start_cb (AForkPendingCall *call,
                 gboolean          has_begun,
                 gpointer          data)
{
  g_autoptr(AForkPool) self = g_object_ref (get_pool (call));
  AForkPoolJob *job = data;

  if (has_begun)
    {
      _afork_shared_job_set_running (job->shared);
      inform_members (self);
    }
  else
    {
      _afork_shared_job_set_ready (job->shared);
      request_update (self);
    }
}

/* For the calls of shared jobs, whose members have the time limits. */
static const AForkPendingCallOwnerFuncs shared_call_funcs = {
  .answered = answered_cb,
  .unsent = unsent_cb,
  .cancelled = cancelled_cb,
  .lost = lost_cb,
  .limits_start = limits_start_cb,
};

/* Failing all jobs that wait. */

static void
move_failing (AForkPool *self)
{
  if (!self->all_fail || self->failing.n_jobs > 0)
    return;

  _afork_job_queue_move_all (&self->scheduler.queue, &self->failing);
  self->all_fail = FALSE;
}

/* Has all jobs that wait fail with ERROR in the next iterations. */
static void
fail_waiting (AForkPool    *self,
              const GError *error)
{
  if (self->scheduler.queue.n_jobs == 0)
    return;

  _afork_debug (AFORK_DEBUG_POOL, 0,
                "Pool of “%s”: the %" G_GSIZE_FORMAT " jobs that wait fail: %s",
                self->setup.function, self->scheduler.queue.n_jobs, error->message);
  g_clear_error (&self->fail_error);
  self->fail_error = g_error_copy (error);
  self->all_fail = TRUE;
  move_failing (self);
  request_update (self);
}

/* Returns the next job that fails, or NULL. */
static AForkPoolJob *
peek_failing (AForkPool *self)
{
  move_failing (self);
  return (AForkPoolJob *) _afork_job_queue_peek (&self->failing);
}

/* Fails jobs until TURN is over, or all of them if TURN is NULL. Returns true if none is left. */
static gboolean
fail_jobs (AForkPool *self,
           AForkTurn *turn)
{
  AForkPoolJob *job;

  while ((job = peek_failing (self)) != NULL)
    {
      if (turn != NULL && !_afork_turn_goes_on (turn))
        return FALSE;

      _afork_scheduler_remove_job (&job->base);
      end_job (self, job, NULL, g_error_copy (self->fail_error));
    }

  return TRUE;
}

/* What goes wrong. */

static void
set_last_error (AForkPool    *self,
                const GError *error)
{
  g_clear_error (&self->last_error);
  self->last_error = g_error_copy (error);
  self->has_new_error = TRUE;
}

/* Templates. */

static AForkPoolTemplate *
template_at (AForkPool *self,
             guint      i)
{
  return g_ptr_array_index (self->templates, i);
}

static void
recreate_template (AForkPool         *self,
                   AForkPoolTemplate *template)
{
  GMainContext *home = _afork_context_peek (self->context);

  g_main_context_push_thread_default (home);
  _afork_pool_template_recreate (template);
  g_main_context_pop_thread_default (home);
  if (template->state != AFORK_POOL_TEMPLATE_LOST)
    return;

  set_last_error (self, template->error);
  request_update (self);
}

/* TEMPLATE, which was usable, has exited because of CAUSE if that is not NULL. It is created again:
 * at once, or if there is a pause for it, when the next worker is started. */
static void
exit_template (AForkPool         *self,
               AForkPoolTemplate *template,
               const GError      *cause)
{
  const gint64 now = g_get_monotonic_time ();

  _afork_pool_template_exit (template, cause, now);
  set_last_error (self, template->error);
  request_update (self);
  if (template->base.not_before <= now)
    recreate_template (self, template);
}

static gboolean
may_recreate (AForkPool *self)
{
  return self->state < AFORK_POOL_STATE_ABORTING && _afork_context_peek (self->context) != NULL;
}

/* Checks whether TEMPLATE has exited. */
static void
check_template (AForkPool         *self,
                AForkPoolTemplate *template)
{
  if (may_recreate (self) && template->state == AFORK_POOL_TEMPLATE_USABLE
      && !_afork_pool_template_can_fork (template))
    exit_template (self, template, NULL);
}

/* The worker has exited because its host was lost, as ERROR says, and with the host its template.
 * That may be noticed later. */
static void
lose_host (AForkPool    *self,
           AForkSlot    *slot,
           const GError *error)
{
  AForkPoolTemplate *template = _afork_slot_get_template (slot);

  _afork_slot_set_exit_cause (slot, _afork_exit_cause_from_error (error));
  if (may_recreate (self) && template->state == AFORK_POOL_TEMPLATE_USABLE
      && template->n_processes == slot->n_process)
    exit_template (self, template, error);
}

static void
template_exited_cb (GObject           *object,
                    AForkPoolTemplate *template)
{
  check_template (AFORK_POOL (object), template);
}

static void
add_template (AForkPool    *self,
              AForkProcess *process,
              guint         max_workers)
{
  g_autofree char *host = afork_process_dup_host (process);
  AForkPoolTemplate *template;

  template = _afork_pool_template_new (process, max_workers, template_exited_cb, G_OBJECT (self));
  g_ptr_array_add (self->templates, template);
  _afork_scheduler_add_template (&self->scheduler, &template->base, max_workers);
  if (host != NULL)
    _afork_scheduler_set_template_slow (&template->base);
}

/* Returns whether workers can be forked from TEMPLATE. If not, the scheduler uses another template,
 * or waits. */
static gboolean
ensure_template (AForkPool         *self,
                 AForkPoolTemplate *template)
{
  if (template->state == AFORK_POOL_TEMPLATE_EXITED)
    recreate_template (self, template);
  check_template (self, template);
  return template->state == AFORK_POOL_TEMPLATE_USABLE;
}

/* If no worker is left, and probably none can be started, has the jobs that wait fail. */
static void
fail_hopeless (AForkPool *self,
               gint64     now)
{
  g_autoptr(GError) error = NULL;

  if (self->scheduler.queue.n_jobs == 0 || self->scheduler.n_counted > 0)
    return;

  error = _afork_pool_templates_report_obstacles (self->templates, now);
  if (error != NULL)
    fail_waiting (self, error);
}

/* Ends PROCESSES, and takes them. */
static void
end_processes (GPtrArray *processes)
{
  for (guint i = 0; i < processes->len; i++)
    afork_process_force_exit (g_ptr_array_index (processes, i));
  g_ptr_array_unref (processes);
}

/* Workers. */

static AForkPool *
get_slot_pool (AForkSlot *slot)
{
  return AFORK_POOL (_afork_slot_ref_pool (slot));
}

/* The list of workers. */

/* Returns the list of workers if the program has it. */
static AForkWorkerList *
ref_worker_list (AForkPool *self)
{
  AForkWorkerList *list;

  if (!self->has_worker_list)
    return NULL;

  list = g_weak_ref_get (&self->worker_list);
  if (list != NULL)
    return list;

  self->has_worker_list = FALSE;
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    _afork_slot_drop_worker (link->data);
  return NULL;
}

/* Adds the worker to the list. This becomes visible when the list is updated. */
static void
list_worker (AForkPool *self,
             AForkSlot *slot)
{
  g_autoptr(AForkWorkerList) list = ref_worker_list (self);

  if (list != NULL)
    _afork_worker_list_add (list, _afork_slot_get_worker (slot));
}

/* Makes what has changed visible to the program. A handler may use the pool in any way. */
static void
update_worker_list (AForkPool *self)
{
  g_autoptr(AForkWorkerList) list = ref_worker_list (self);
  g_autoptr(GPtrArray) workers = NULL;

  if (list == NULL)
    return;

  workers = g_ptr_array_new_with_free_func (g_object_unref);
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkPoolWorker *worker = _afork_slot_get_worker (link->data);

      g_object_freeze_notify (G_OBJECT (worker));
      _afork_slot_update_worker (link->data);
      g_ptr_array_add (workers, g_object_ref (worker));
    }

  _afork_worker_list_publish (list);
  for (guint i = 0; i < workers->len; i++)
    g_object_thaw_notify (workers->pdata[i]);
}

static void
slot_started (AForkSlot *slot)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);
  g_autoptr(AForkProcess) process = g_object_ref (_afork_slot_get_process (slot));
  const gint64 now = g_get_monotonic_time ();

  self->start_failed = FALSE;
  if (_afork_slot_has_template (slot))
    _afork_pool_template_prove (_afork_slot_get_template (slot), now);
  if (slot->state != AFORK_SLOT_SERVING)
    return;

  self->stats.n_started++;
  _afork_debug (AFORK_DEBUG_POOL, afork_process_get_pid (process),
                "Pool of “%s”: worker %d serves", self->setup.function,
                afork_process_get_pid (process));
  _afork_scheduler_started (&self->scheduler, &slot->base, now);
  note_growth (self, slot, now);
  request_update (self);
  /* Handlers of the program may do anything, so the slot may be gone after these. A job that the
   * worker gets may call one, too. */
  update_worker_list (self);
  g_signal_emit (self, signals[SIGNAL_WORKER_STARTED], 0, process);
  schedule_some (self, now);
}

static void
slot_retires (AForkSlot *slot)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);

  /* A worker that retires before its first job would be replaced without end. */
  if (slot->base.n_given == 0)
    return;

  retire (self, slot, AFORK_EXIT_CAUSE_RETIRED);
  request_update (self);
}

static void
slot_measured (AForkSlot *slot)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);
  const guint64 max_memory = _afork_slot_get_max_memory (slot, self->max_memory);

  if (max_memory > 0 && slot->memory > max_memory)
    retire (self, slot, AFORK_EXIT_CAUSE_MAX_MEMORY);
  request_update (self);
}

static void
slot_event (AForkSlot *slot,
            GVariant  *event)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);

  g_signal_emit (self, signals[SIGNAL_EVENT], 0, event);
}

static void
slot_rested (AForkSlot    *slot,
             AForkPoolJob *job)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);

  slot->answered = g_get_monotonic_time ();
  _afork_scheduler_job_finished (&self->scheduler, &job->base);
  job_free (job);
  check_stuck (self, slot);
  note_growth (self, slot, slot->answered);
  request_update (self);
  schedule_some (self, slot->answered);
}

/* Frees the jobs of the worker whose calls have ended. The worker will not answer them any more. */
static void
drop_unwanted (AForkPool *self,
               AForkSlot *slot)
{
  for (GList *link = slot->jobs.head, *next; link != NULL; link = next)
    {
      AForkPoolJob *job = link->data;

      next = link->next;
      if (job->call != NULL)
        continue;

      _afork_slot_take (job);
      _afork_scheduler_job_lost (&self->scheduler, &job->base);
      job_free (job);
    }
}

static void
slot_ending (AForkSlot    *slot,
             const GError *error)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);
  const gboolean is_expected = slot->base.state == AFORK_SCHEDULER_WORKER_ENDED;
  const gboolean is_host_lost = g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST);
  const gboolean lacks_template = !slot->was_serving && !_afork_slot_has_template (slot);
  AForkPoolTemplate *template = _afork_slot_get_template (slot);
  AForkPoolJob *oldest = g_queue_peek_head (&slot->jobs);

  slot->next = oldest != NULL && oldest->call != NULL ? oldest : NULL;
  if (slot->concurrent)
    slot->next = _afork_slot_peek_wanted (slot);
  slot->had_one = slot->jobs.length == 1;
  _afork_slot_stop_force (slot);
  /* If the worker could not start, or its host was lost, there is a pause for its template. */
  if (slot->was_serving && !is_host_lost)
    _afork_scheduler_exited (&self->scheduler, &slot->base, g_get_monotonic_time ());
  else
    _afork_scheduler_end_worker (&self->scheduler, &slot->base);
  drop_unwanted (self, slot);
  if (is_host_lost)
    {
      lose_host (self, slot, error);
    }
  else if (lacks_template)
    {
      check_template (self, template);
    }
  else if (!is_expected && error != NULL)
    {
      _afork_slot_set_exit_cause (slot, _afork_exit_cause_from_error (error));
      set_last_error (self, error);
      if (!slot->was_serving)
        {
          self->start_failed = TRUE;
          _afork_pool_template_note_start_failure (template, error, g_get_monotonic_time ());
        }
    }
  request_update (self);
}

/* WORKER has exited. It is NULL if the program had no list. */
static void
unlist_worker (AForkPool       *self,
               AForkPoolWorker *worker)
{
  g_autoptr(AForkWorkerList) list = ref_worker_list (self);

  if (worker == NULL || list == NULL)
    return;

  _afork_worker_list_remove (list, worker);
  update_worker_list (self);
  _afork_pool_worker_set_exited (worker);
}

static void
slot_closed (AForkSlot *slot)
{
  g_autoptr(AForkPool) self = get_slot_pool (slot);
  g_autoptr(AForkProcess) process = g_object_ref (_afork_slot_get_process (slot));
  const GError *failure = _afork_rpc_get_failure (slot->rpc);
  g_autoptr(GError) error = failure != NULL ? g_error_copy (failure) : NULL;
  g_autoptr(AForkPoolWorker) worker = NULL;
  guint64 n_sent;
  guint64 n_received;

  _afork_slot_get_traffic (slot, &n_sent, &n_received);
  self->stats.n_bytes_sent += n_sent;
  self->stats.n_bytes_received += n_received;
  self->stats.n_exited[slot->exit_cause]++;
  _afork_debug (AFORK_DEBUG_POOL, afork_process_get_pid (process),
                "Pool of “%s”: worker %d has exited (%s): %s", self->setup.function,
                afork_process_get_pid (process), _afork_exit_cause_get_name (slot->exit_cause),
                error != NULL ? error->message : "as expected");
  g_queue_unlink (&self->slots, &slot->link);
  worker = _afork_slot_take_worker (slot);
  _afork_slot_free (slot);
  request_update (self);
  unlist_worker (self, worker);
  g_signal_emit (self, signals[SIGNAL_WORKER_EXITED], 0, process, error);
}

static const AForkSlotFuncs slot_funcs = {
  .started = slot_started,
  .retires = slot_retires,
  .event = slot_event,
  .measured = slot_measured,
  .rested = slot_rested,
  .ending = slot_ending,
  .closed = slot_closed,
};

/* Serves the worker in the context of the innermost blocking call. */
static void
borrow_slot (AForkPool             *self,
             AForkPoolBlockingCall *blocking,
             AForkSlot             *slot)
{
  AForkRpcLoan *loan;

  g_main_context_push_thread_default (blocking->base.context);
  loan = _afork_rpc_borrow (slot->rpc);
  g_main_context_pop_thread_default (blocking->base.context);
  if (loan == NULL)
    return;

  g_ptr_array_add (blocking->loans, loan);
  if (slot->depth == 0)
    slot->depth = blocking->depth;
}

/* Starts a worker. The worker belongs to the context of the pool, even if another context is
 * iterated now. */
static void
start_worker (AForkPool         *self,
              AForkPoolTemplate *template)
{
  GMainContext *home = _afork_context_peek (self->context);
  AForkSlot *slot;

  if (!ensure_template (self, template))
    {
      _afork_scheduler_not_started (&self->scheduler);
      return;
    }

  g_main_context_push_thread_default (home);
  slot = _afork_slot_new (template, &self->setup, &slot_funcs, G_OBJECT (self));
  g_main_context_pop_thread_default (home);

  g_queue_push_tail_link (&self->slots, &slot->link);
  _afork_scheduler_add_worker (&self->scheduler, &template->base, &slot->base);
  _afork_debug (AFORK_DEBUG_POOL, 0,
                "Pool of “%s”: worker number %u is started, %" G_GSIZE_FORMAT " jobs wait",
                self->setup.function, self->slots.length, count_queued (self));
  list_worker (self, slot);
  if (self->blocking != NULL)
    borrow_slot (self, self->blocking, slot);
}

/* Has the worker exit when it has answered its jobs. */
static void
close_slot (AForkPool *self,
            AForkSlot *slot)
{
  _afork_slot_close (slot);
  /* The calls of other workers have a timeout of their own. A worker that starts may wait for a
   * template that hangs. */
  if ((slot->waits_for_done || !slot->was_serving) && slot->state == AFORK_SLOT_CLOSING)
    {
      _afork_slot_notice (slot, g_get_monotonic_time () + EXIT_TIMEOUT * G_GINT64_CONSTANT (1000));
      wake_at (self, slot->force_time);
    }
}

/* Ends a worker as the scheduler has decided. */
static void
end_slot (AForkPool *self,
          AForkSlot *slot)
{
  const guint max_calls = self->limits.max_calls;

  if (self->state != AFORK_POOL_STATE_OPEN)
    _afork_slot_set_exit_cause (slot, AFORK_EXIT_CAUSE_SHUTDOWN);
  else if (max_calls > 0 && slot->base.n_given >= max_calls)
    _afork_slot_set_exit_cause (slot, AFORK_EXIT_CAUSE_MAX_CALLS);
  else
    _afork_slot_set_exit_cause (slot, slot->base.retires ? slot->retire_cause
                                                         : AFORK_EXIT_CAUSE_NOT_NEEDED);
  close_slot (self, slot);
}

static void
give_job (AForkPool    *self,
          AForkSlot    *slot,
          AForkPoolJob *job,
          gint64        now)
{
  _afork_pending_call_unwatch (job->call);
  move_call (self, job);
  job->given = now;
  self->n_running++;
  if (_afork_slot_give (slot, job))
    return;

  /* The worker has exited, and its exit will be reported soon. */
  self->n_running--;
  _afork_scheduler_hold (&self->scheduler, &slot->base);
  _afork_scheduler_job_lost (&self->scheduler, &job->base);
  put_back (self, job);
}

static gboolean
can_schedule (AForkPool *self)
{
  return self->state < AFORK_POOL_STATE_ABORTING && self->in_process == NULL
    && _afork_context_peek (self->context) != NULL;
}

/* Does what the scheduler decides. Returns false if there is nothing to be done now. A job that
 * cannot be sent fails here. A handler of it may do anything, such as shutting the pool down. */
static gboolean
do_step (AForkPool *self,
         gint64     now)
{
  AForkSchedulerSubject subject;

  if (!can_schedule (self))
    return FALSE;

  fail_hopeless (self, now);
  if (self->all_fail)
    return FALSE;
  if (refuse_next (self))
    return TRUE;

  switch (_afork_scheduler_next (&self->scheduler, now, &subject))
    {
    case AFORK_SCHEDULER_START:
      start_worker (self, (AForkPoolTemplate *) subject.template);
      return TRUE;
    case AFORK_SCHEDULER_GIVE:
      give_job (self, (AForkSlot *) subject.worker, (AForkPoolJob *) subject.job, now);
      return TRUE;
    case AFORK_SCHEDULER_END:
      end_slot (self, (AForkSlot *) subject.worker);
      return TRUE;
    case AFORK_SCHEDULER_WAIT:
    default:
      wake_at (self, _afork_scheduler_get_wake_time (&self->scheduler));
      return FALSE;
    }
}

/* Does what is to be done now, but at most MAX_STEPS steps. */
static void
schedule_some (AForkPool *self,
               gint64     now)
{
  guint n_left = MAX_STEPS;

  while (n_left > 0 && do_step (self, now))
    n_left--;
}

/* Does what is to be done now, until TURN is over. Returns true if nothing is left. */
static gboolean
schedule (AForkPool *self,
          AForkTurn *turn)
{
  gboolean is_all = !can_schedule (self);

  while (!is_all && _afork_turn_goes_on (turn))
    is_all = !do_step (self, g_get_monotonic_time ());
  return is_all;
}

/* Ending workers by force. */

static void
use_force (AForkPool *self,
           AForkSlot *slot,
           gint64     now)
{
  /* The worker also runs jobs whose calls have not ended. It is not killed before these have
   * ended. */
  if (slot->force == AFORK_SLOT_FORCE_NOTICE && slot->state < AFORK_SLOT_CLOSING
      && slot->concurrent && slot->jobs.length > slot->n_unwanted)
    return;

  _afork_scheduler_end_worker (&self->scheduler, &slot->base);
  _afork_slot_set_exit_cause (slot, slot->unwanted_cause);
  while (slot->force_time >= 0 && slot->force_time <= now)
    _afork_slot_use_force (slot, now + self->grace * G_GINT64_CONSTANT (1000));
}

static void
measure (AForkPool *self,
         AForkSlot *slot,
         gint64     now)
{
  _afork_slot_measure (slot, now);
  /* While the template has not answered, its answer updates the pool. */
  if (slot->question == NULL)
    wake_at (self, slot->measure_time);
}

/* Does what is due for workers by now. */
static void
check_times (AForkPool *self)
{
  const gint64 now = g_get_monotonic_time ();

  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkSlot *slot = link->data;

      measure (self, slot, now);
      if (slot->force_time < 0)
        continue;
      if (slot->force_time <= now)
        use_force (self, slot, now);
      /* Otherwise one of the jobs of the worker has to end first. This updates the pool. */
      if (slot->force_time > now)
        wake_at (self, slot->force_time);
    }
}

/* Notifying. */

static Numbers
get_numbers (AForkPool *self)
{
  return (Numbers) {
    .n_workers = self->slots.length,
    .n_idle = self->scheduler.n_idle,
    .n_queued = (guint) MIN (count_queued (self), G_MAXUINT),
    .n_running = self->n_running,
    .unhealthy = self->start_failed || self->scheduler.n_failures >= 2
      || _afork_pool_templates_are_failing (self->templates),
  };
}

static void
notify_changes (AForkPool *self)
{
  const Numbers old = self->numbers;
  const Numbers new = get_numbers (self);
  GObject *object = G_OBJECT (self);

  self->numbers = new;
  g_object_freeze_notify (object);
  if (self->has_new_error)
    g_object_notify_by_pspec (object, props[PROP_LAST_ERROR]);
  self->has_new_error = FALSE;
  if (new.n_workers != old.n_workers)
    g_object_notify_by_pspec (object, props[PROP_N_WORKERS]);
  if (new.n_idle != old.n_idle)
    g_object_notify_by_pspec (object, props[PROP_N_IDLE]);
  if (new.n_queued != old.n_queued)
    g_object_notify_by_pspec (object, props[PROP_N_QUEUED]);
  if (new.n_running != old.n_running)
    g_object_notify_by_pspec (object, props[PROP_N_RUNNING]);
  if (new.unhealthy != old.unhealthy)
    g_object_notify_by_pspec (object, props[PROP_UNHEALTHY]);
  g_object_thaw_notify (object);
}

static gboolean
is_full (AForkPool *self)
{
  return self->queue_limit > 0 && count_queued (self) >= self->queue_limit;
}

static void
emit_room (AForkPool *self)
{
  if (!self->was_full || self->state != AFORK_POOL_STATE_OPEN || is_full (self))
    return;

  self->was_full = FALSE;
  g_signal_emit (self, signals[SIGNAL_ROOM], 0);
}

/* Statistics. */

/* Also has the workers measured, for the next time. */
static void
build_stats (AForkPool       *self,
             GVariantBuilder *builder)
{
  const Numbers numbers = get_numbers (self);
  const gint64 now = g_get_monotonic_time ();
  guint64 n_bytes_sent = self->stats.n_bytes_sent;
  guint64 n_bytes_received = self->stats.n_bytes_received;
  GVariantBuilder workers;

  _afork_pool_stats_build (&self->stats, builder);
  g_variant_builder_add (builder, "{sv}", "n-queued", g_variant_new_uint32 (numbers.n_queued));
  g_variant_builder_add (builder, "{sv}", "n-running", g_variant_new_uint32 (numbers.n_running));
  g_variant_builder_add (builder, "{sv}", "n-workers", g_variant_new_uint32 (numbers.n_workers));
  g_variant_builder_add (builder, "{sv}", "n-idle", g_variant_new_uint32 (numbers.n_idle));

  g_variant_builder_init (&workers, G_VARIANT_TYPE ("aa{sv}"));
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkSlot *slot = link->data;
      guint64 n_sent;
      guint64 n_received;

      _afork_slot_get_traffic (slot, &n_sent, &n_received);
      n_bytes_sent += n_sent;
      n_bytes_received += n_received;
      g_variant_builder_add_value (&workers, _afork_slot_describe (slot));
      if (slot->state == AFORK_SLOT_SERVING)
        plan_measure (self, slot, now);
    }

  g_variant_builder_add (builder, "{sv}", "bytes-sent", g_variant_new_uint64 (n_bytes_sent));
  g_variant_builder_add (builder, "{sv}", "bytes-received",
                         g_variant_new_uint64 (n_bytes_received));
  g_variant_builder_add (builder, "{sv}", "workers", g_variant_builder_end (&workers));
}

/* Shutting down. */

/* Has all workers exit, including workers that start. */
static void
close_slots (AForkPool *self)
{
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkSlot *slot = link->data;

      _afork_scheduler_end_worker (&self->scheduler, &slot->base);
      _afork_slot_set_exit_cause (slot, AFORK_EXIT_CAUSE_SHUTDOWN);
      close_slot (self, slot);
      if (slot->n_unwanted > 0 && slot->force == AFORK_SLOT_FORCE_NONE)
        _afork_slot_notice (slot, g_get_monotonic_time () + self->grace * G_GINT64_CONSTANT (1000));
      wake_at (self, slot->force_time);
    }
}

/* Cancels a job that a worker has. The callback of the program may use the pool in any way. Returns
 * false if no worker has a job. */
static gboolean
cancel_one (AForkPool *self)
{
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkPoolJob *job = _afork_slot_peek_wanted (link->data);

      if (job == NULL)
        continue;

      job->call->funcs->cancel (job->call, new_closed_error (self), job->call->funcs_data);
      return TRUE;
    }

  return FALSE;
}

static void
return_closed (AForkPool *self,
               AForkTurn *turn)
{
  GTask *task;

  while (_afork_turn_goes_on (turn) && (task = _afork_task_queue_pop (&self->close_tasks)) != NULL)
    {
      g_task_return_boolean (task, TRUE);
      g_object_unref (task);
    }
  if (!g_queue_is_empty (&self->close_tasks))
    request_update (self);
}

static void
go_on_closing (AForkPool *self,
               AForkTurn *turn)
{
  if (self->state == AFORK_POOL_STATE_ABORTING)
    {
      while (_afork_turn_goes_on (turn) && cancel_one (self))
        ;
      if (self->n_running > 0)
        request_update (self);
    }
  if (has_jobs (self))
    return;

  if (self->state == AFORK_POOL_STATE_DRAINING)
    {
      set_state (self, AFORK_POOL_STATE_ENDING);
      close_slots (self);
    }
  if (self->state == AFORK_POOL_STATE_ABORTING)
    close_slots (self);
  if ((self->state == AFORK_POOL_STATE_ENDING || self->state == AFORK_POOL_STATE_ABORTING)
      && g_queue_is_empty (&self->slots))
    {
      set_state (self, AFORK_POOL_STATE_CLOSED);
      end_processes (_afork_pool_templates_list_doubtful (self->templates));
    }
  if (self->state == AFORK_POOL_STATE_CLOSED)
    return_closed (self, turn);
}

/* Calls the first feeder of QUEUE, which may do anything. */
static void
call_feeder (GQueue *queue)
{
  AForkPoolFeeder *feeder = g_queue_pop_head_link (queue)->data;

  feeder->queue = NULL;
  feeder->feed (feeder->data);
}

/* Calls the feeders. Those that wait for room take turns: one that gives a job to the pool and
 * waits again is behind the others. */
static void
call_feeders (AForkPool *self)
{
  for (guint n = self->due_feeders.length; n > 0 && self->due_feeders.length > 0; n--)
    call_feeder (&self->due_feeders);
  while (self->waiting_feeders.length > 0
         && (self->state != AFORK_POOL_STATE_OPEN || !is_full (self)))
    call_feeder (&self->waiting_feeders);
}

/* Returns how many workers of TEMPLATE may start or serve. */
static guint
get_limit (AForkPool               *self,
           const AForkPoolTemplate *template)
{
  return template->max_workers > 0 ? template->max_workers : self->limits.max_workers;
}

/* Passes the limits to the scheduler. While the pool is shut down, no workers without jobs are
 * kept. */
static void
pass_limits (AForkPool *self)
{
  AForkSchedulerLimits limits = self->limits;
  const gboolean is_open = self->state == AFORK_POOL_STATE_NEW
    || self->state == AFORK_POOL_STATE_OPEN;
  guint64 total = 0;

  if (!is_open)
    {
      limits.min_idle = 0;
      limits.stop_delay = 0;
    }
  for (guint i = 0; i < self->templates->len; i++)
    {
      AForkPoolTemplate *template = template_at (self, i);

      _afork_scheduler_set_template_limit (&template->base, get_limit (self, template));
      total += template->base.max_workers;
    }
  /* A pool that was refused has no templates. */
  if (total > 0)
    self->max_total = (guint) MIN (total, G_MAXINT);
  limits.max_workers = self->max_total;
  if (self->monitors != NULL)
    _afork_monitors_reduce (self->monitors, &limits);
  _afork_scheduler_set_limits (&self->scheduler, &limits);
}

/* Adapting to the system. */

/* Memory is low: ends the forks that are kept ready. The new limits end idle workers. */
static void
trim (AForkPool *self)
{
  g_debug ("Memory is low: the pool of “%s” ends its idle workers", self->setup.function);
  for (guint i = 0; i < self->templates->len; i++)
    _afork_process_trim_spare_forks (template_at (self, i)->process);
}

/* Takes over what the monitors have reported. */
static void
adapt (AForkPool *self)
{
  gboolean was_warned;

  if (_afork_monitors_adapt (self->monitors, g_get_monotonic_time (), self->scheduler.n_counted,
                             &was_warned))
    pass_limits (self);
  if (was_warned)
    trim (self);
}

/* The workers that were idle have been ended. */
static void
end_trim (AForkPool *self)
{
  if (_afork_monitors_end_trim (self->monitors))
    pass_limits (self);
  wake_at (self, _afork_monitors_get_time (self->monitors));
}

static void
monitors_changed (GObject *owner)
{
  request_update (AFORK_POOL (owner));
}

/* Watches the monitors of the program, or if there are none and the pool is adaptive, those of
 * GLib. */
static void
watch_monitors (AForkPool *self)
{
  g_autoptr(GMemoryMonitor) memory = NULL;
  g_autoptr(GPowerProfileMonitor) power = NULL;

  if (self->memory_monitor != NULL)
    memory = g_object_ref (self->memory_monitor);
  else if (self->is_adaptive)
    memory = g_memory_monitor_dup_default ();
  if (self->power_monitor != NULL)
    power = g_object_ref (self->power_monitor);
  else if (self->is_adaptive)
    power = g_power_profile_monitor_dup_default ();

  if (self->monitors == NULL)
    self->monitors = _afork_monitors_new (self->context, G_OBJECT (self), monitors_changed);
  _afork_monitors_set_memory (self->monitors, memory);
  _afork_monitors_set_power (self->monitors, power);
  request_update (self);
}

/* Jobs in this process. */

static void
emit_event_cb (GVariant *event,
               gpointer  data)
{
  g_signal_emit (data, signals[SIGNAL_EVENT], 0, event);
}

/* Runs the next job if it runs in this process, unless it ends because it was cancelled. The
 * function of the job may iterate the main context. */
static void
run_in_process (AForkPool *self)
{
  AForkPoolJob *job = (AForkPoolJob *) _afork_job_queue_peek (&self->scheduler.queue);
  GError *error = NULL;
  GVariant *value;
  gint64 begun;

  if (self->in_process == NULL || job == NULL || self->n_running > 0
      || _afork_in_process_jobs_is_cancelled (job))
    return;

  _afork_scheduler_remove_job (&job->base);
  _afork_pending_call_unwatch (job->call);
  self->n_running++;
  begun = g_get_monotonic_time ();
  value = _afork_in_process_jobs_run (self->in_process, job, emit_event_cb, self, &error);
  self->n_running--;
  _afork_histogram_add (&self->stats.wait, begun - job->waits_since);
  _afork_histogram_add (&self->stats.run, g_get_monotonic_time () - begun);
  request_update (self);
  end_job (self, job, value, error);
}

static void
update (GObject *object)
{
  AForkPool *self = AFORK_POOL (object);
  AForkTurn turn;
  gboolean is_all;

  call_feeders (self);
  if (!_afork_turn_begin (&turn, NULL))
    {
      request_update (self);
      return;
    }

  if (self->monitors != NULL)
    adapt (self);
  check_times (self);
  is_all = fail_jobs (self, &turn);
  is_all = _afork_shared_jobs_inform (&self->shared_jobs, &turn) && is_all;
  is_all = schedule (self, &turn) && is_all;
  if (is_all && self->monitors != NULL)
    end_trim (self);
  go_on_closing (self, &turn);
  if (!is_all)
    request_update (self);
  _afork_turn_end (&turn, NULL, NULL, FALSE);

  emit_room (self);
  update_worker_list (self);
  notify_changes (self);
  run_in_process (self);
}

static void
update_limits (AForkPool *self)
{
  pass_limits (self);
  if (self->context != NULL)
    request_update (self);
}

static void
begin_drain (AForkPool *self)
{
  set_state (self, AFORK_POOL_STATE_DRAINING);
  update_limits (self);
}

static void
begin_abort (AForkPool *self)
{
  g_autoptr(GError) error = new_closed_error (self);

  set_state (self, AFORK_POOL_STATE_ABORTING);
  fail_waiting (self, error);
  request_update (self);
}

/* The main context is gone, so the pool is not updated any more. Jobs that were made in another
 * context end there. This runs in the thread that drops the context. */
static void
context_gone (GObject *object)
{
  AForkPool *self = AFORK_POOL (object);
  g_autoptr(GError) error = NULL;

  if (self->state == AFORK_POOL_STATE_OPEN || self->state == AFORK_POOL_STATE_DRAINING)
    set_state (self, AFORK_POOL_STATE_ABORTING);
  error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                               _("The main context of the pool is gone"));
  fail_waiting (self, error);
  fail_jobs (self, NULL);
  _afork_task_queue_fail (&self->close_tasks, error);
}

/* Blocking calls. */

gboolean
_afork_pool_begin_blocking (AForkPool              *self,
                            AForkPoolBlockingCall  *blocking,
                            GError                **error)
{
  g_autoptr(AForkHold) hold = hold_context (self, error);

  if (hold == NULL)
    return FALSE;
  if (self->state == AFORK_POOL_STATE_REFUSED)
    {
      g_propagate_error (error, g_error_copy (self->refusal));
      return FALSE;
    }
  if (!_afork_process_begin_blocking (self->process, &blocking->base, G_OBJECT (self),
                                      error))
    return FALSE;

  blocking->hold = g_steal_pointer (&hold);
  blocking->loans = g_ptr_array_new ();
  blocking->outer = self->blocking;
  blocking->depth = blocking->outer != NULL ? blocking->outer->depth + 1 : 1;
  self->blocking = blocking;
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    borrow_slot (self, blocking, link->data);
  move_waiters (self);
  return TRUE;
}

GAsyncResult *
_afork_pool_end_blocking (AForkPool             *self,
                          AForkPoolBlockingCall *blocking)
{
  g_autoptr(AForkPool) kept G_GNUC_UNUSED = g_object_ref (self);
  GAsyncResult *result;

  _afork_blocking_call_wait (&blocking->base);
  while (blocking->loans->len > 0)
    _afork_rpc_give_back (g_ptr_array_steal_index (blocking->loans, blocking->loans->len - 1));
  g_ptr_array_unref (blocking->loans);
  self->blocking = blocking->outer;

  /* This gives the template back. An outer blocking call can borrow it only after that. */
  result = _afork_blocking_call_end (&blocking->base);

  /* An outer blocking call goes on with the workers that were started meanwhile. */
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkSlot *slot = link->data;

      if (slot->depth != blocking->depth)
        continue;
      slot->depth = 0;
      if (blocking->outer != NULL)
        borrow_slot (self, blocking->outer, slot);
    }
  move_waiters (self);

  _afork_hold_release (blocking->hold);
  return result;
}

/* The object. */

/* Makes a pool that cannot run jobs, because of ERROR. Takes ERROR. */
static void
refuse (AForkPool *self,
        GError    *error)
{
  self->refusal = error;
  self->context = _afork_context_ref_nowhere ();
  set_state (self, AFORK_POOL_STATE_REFUSED);
}

/* Refuses the pool because another thread may use the main context of the template or of this
 * thread. */
static void
refuse_context (AForkPool *self)
{
  AForkContext *context = _afork_process_get_context (self->process);
  gboolean is_inherited = _afork_context_is_inherited (context);

  if (!is_inherited)
    g_critical ("A pool belongs to the thread-default main context in which it was made, as its "
                "template does, and another thread uses that: this thread needs one of its own, "
                "see g_main_context_push_thread_default()");
  refuse (self, is_inherited ? _afork_atfork_new_error () : new_hold_error (self));
}

static void
afork_pool_constructed (GObject *object)
{
  AForkPool *self = AFORK_POOL (object);
  g_autoptr(AForkContext) context = NULL;
  g_autoptr(AForkHold) of_process = NULL;
  g_autoptr(AForkHold) hold = NULL;
  GError *error = NULL;

  G_OBJECT_CLASS (afork_pool_parent_class)->constructed (object);
  if (self->process == NULL || self->setup.function == NULL)
    {
      g_critical ("A pool needs a template and a function");
      refuse (self, g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                         _("A pool needs a template and a function")));
      return;
    }
  if (!_afork_main_context_ensure_default (&error))
    {
      refuse (self, error);
      return;
    }

  context = _afork_context_ref_thread_default ();
  of_process = _afork_context_hold (_afork_process_get_context (self->process));
  hold = of_process != NULL ? _afork_context_add_object (context) : NULL;
  if (hold == NULL)
    {
      refuse_context (self);
      return;
    }

  self->context = g_steal_pointer (&context);
  set_state (self, AFORK_POOL_STATE_OPEN);
  add_template (self, self->process, 0);
  _afork_context_watch_for (self->context, &self->watch, object, context_gone);
  update_limits (self);
}

/* The data that the pool releases when it is disposed of. */
typedef struct
{
  GQueue           slots;
  AForkWorkerList *worker_list; /* or NULL */
  GPtrArray       *doubtful;    /* of AForkProcess */
  AForkUpdater     updater;
} Released;

static void
release_cb (gpointer data)
{
  Released *released = data;
  GList *link;

  _afork_updater_clear (&released->updater);
  while ((link = g_queue_pop_head_link (&released->slots)) != NULL)
    _afork_slot_free (link->data);
  end_processes (released->doubtful);
  if (released->worker_list != NULL)
    {
      _afork_worker_list_clear (released->worker_list);
      _afork_worker_list_publish (released->worker_list);
      g_object_unref (released->worker_list);
    }
  g_free (released);
}

/* Drops the workers. This is done while the context is held, because another thread may be using
 * the workers. */
static void
release (AForkPool *self)
{
  Released *released = g_new0 (Released, 1);

  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      AForkSlot *slot = link->data;

      _afork_scheduler_end_worker (&self->scheduler, &slot->base);
      drop_unwanted (self, slot);
    }

  released->worker_list = ref_worker_list (self);
  self->has_worker_list = FALSE;
  released->doubtful = _afork_pool_templates_list_doubtful (self->templates);
  released->slots = self->slots;
  released->updater = self->updater;
  _afork_updater_init (&self->updater, G_OBJECT (self), update);
  g_queue_init (&self->slots);
  /* In a fork of the program, the workers belong to the parent. */
  if (_afork_context_is_inherited (self->context))
    return;

  _afork_context_run (self->context, release_cb, released);
}

/* The workers may exit before the pool goes on. */
static void
keep_in_slots (AForkPool *self,
               GObject   *pool)
{
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    _afork_slot_keep_pool (link->data, pool);
}

static void
disposed_context_gone_cb (gpointer data)
{
  g_autoptr(AForkPool) self = data;

  keep_in_slots (self, NULL);
  context_gone (G_OBJECT (self));
}

/* Continues after g_object_run_dispose(), which clears all weak references. */
static void
go_on_disposed_cb (gpointer data)
{
  AForkPool *self = data;

  if (_afork_context_unwatch (self->context, disposed_context_gone_cb, self))
    g_object_unref (self);
  _afork_context_unwatch_for (self->context, &self->watch);
  _afork_context_watch_for (self->context, &self->watch, G_OBJECT (self), context_gone);
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    _afork_slot_restore_pool (link->data, G_OBJECT (self));
  move_waiters (self);
  request_update (self);
}

static void
go_on_disposed (AForkPool *self)
{
  GMainContext *main = get_main (self);

  /* The context may be gone before it is iterated. */
  g_object_ref (self);
  if (!_afork_context_watch (self->context, disposed_context_gone_cb, self))
    g_object_unref (self);
  if (main == NULL)
    return;

  keep_in_slots (self, G_OBJECT (self));
  _afork_waiter_run_later (main, go_on_disposed_cb, g_object_ref (self), g_object_unref);
}

static void
afork_pool_dispose (GObject *object)
{
  AForkPool *self = AFORK_POOL (object);

  /* Jobs, feeders and shutdowns hold references to the pool, so none are left, unless the program
   * calls g_object_run_dispose(). Then the jobs fail as in a shutdown. */
  if (has_jobs (self))
    {
      if (self->state == AFORK_POOL_STATE_OPEN || self->state == AFORK_POOL_STATE_DRAINING)
        begin_abort (self);
      go_on_disposed (self);
    }
  else if (self->context != NULL)
    {
      if (self->state < AFORK_POOL_STATE_CLOSED)
        set_state (self, AFORK_POOL_STATE_CLOSED);
      release (self);
      if (self->due_feeders.length + self->waiting_feeders.length + self->close_tasks.length > 0)
        go_on_disposed (self);
    }
  G_OBJECT_CLASS (afork_pool_parent_class)->dispose (object);
}

static void
afork_pool_finalize (GObject *object)
{
  AForkPool *self = AFORK_POOL (object);

  _afork_scheduler_clear (&self->scheduler);
  g_ptr_array_unref (self->templates);
  _afork_job_queue_clear (&self->failing);
  _afork_quarantine_clear (&self->quarantine);
  g_weak_ref_clear (&self->worker_list);
  _afork_shared_jobs_clear (&self->shared_jobs);
  g_clear_pointer (&self->in_process, _afork_in_process_free);
  _afork_context_unwatch_for (self->context, &self->watch);
  if (self->state != AFORK_POOL_STATE_REFUSED)
    _afork_context_remove_object (self->context);
  _afork_context_unref (self->context);
  g_clear_error (&self->refusal);
  g_clear_error (&self->fail_error);
  g_clear_error (&self->last_error);
  g_clear_pointer (&self->monitors, _afork_monitors_free);
  g_clear_object (&self->memory_monitor);
  g_clear_object (&self->power_monitor);
  g_clear_object (&self->process);
  g_free (self->setup.function);
  g_free (self->setup.init_function);
  g_free (self->setup.done_function);
  G_OBJECT_CLASS (afork_pool_parent_class)->finalize (object);
}

static void
afork_pool_get_property (GObject    *object,
                         guint       id,
                         GValue     *value,
                         GParamSpec *pspec)
{
  AForkPool *self = AFORK_POOL (object);

  switch (id)
    {
    case PROP_ADAPTIVE:
      g_value_set_boolean (value, self->is_adaptive);
      break;
    case PROP_CONCURRENT:
      g_value_set_boolean (value, self->setup.concurrent);
      break;
    case PROP_DIE_WITH_PARENT:
      g_value_set_boolean (value, self->setup.die_with_parent);
      break;
    case PROP_DONE_FUNCTION:
      g_value_set_string (value, self->setup.done_function);
      break;
    case PROP_FORWARD_STDERR:
      g_value_set_boolean (value, self->setup.forward_stderr);
      break;
    case PROP_FUNCTION:
      g_value_set_string (value, self->setup.function);
      break;
    case PROP_GRACE:
      g_value_set_uint (value, self->grace);
      break;
    case PROP_INIT_FUNCTION:
      g_value_set_string (value, self->setup.init_function);
      break;
    case PROP_LAST_ERROR:
      g_value_set_boxed (value, self->last_error);
      break;
    case PROP_LOAD:
      g_value_set_uint (value, self->limits.load);
      break;
    case PROP_MAX_AGE:
      g_value_set_uint (value, afork_pool_get_max_age (self));
      break;
    case PROP_MAX_CALLS:
      g_value_set_uint (value, self->limits.max_calls);
      break;
    case PROP_MAX_MEMORY:
      g_value_set_uint64 (value, self->max_memory);
      break;
    case PROP_MAX_WORKERS:
      g_value_set_uint (value, self->limits.max_workers);
      break;
    case PROP_MEMORY_MONITOR:
      g_value_set_object (value, self->memory_monitor);
      break;
    case PROP_MIN_IDLE:
      g_value_set_uint (value, self->limits.min_idle);
      break;
    case PROP_N_IDLE:
      g_value_set_uint (value, afork_pool_get_n_idle (self));
      break;
    case PROP_N_QUEUED:
      g_value_set_uint (value, afork_pool_get_n_queued (self));
      break;
    case PROP_N_RUNNING:
      g_value_set_uint (value, self->n_running);
      break;
    case PROP_N_WORKERS:
      g_value_set_uint (value, self->slots.length);
      break;
    case PROP_POWER_MONITOR:
      g_value_set_object (value, self->power_monitor);
      break;
    case PROP_PROCESS:
      g_value_set_object (value, self->process);
      break;
    case PROP_QUARANTINE_TIME:
      g_value_set_uint (value, afork_pool_get_quarantine_time (self));
      break;
    case PROP_QUEUE_LIMIT:
      g_value_set_uint (value, self->queue_limit);
      break;
    case PROP_START_DELAY:
      g_value_set_uint (value, afork_pool_get_start_delay (self));
      break;
    case PROP_STOP_DELAY:
      g_value_set_uint (value, afork_pool_get_stop_delay (self));
      break;
    case PROP_TIMEOUT:
      g_value_set_uint (value, self->timeout);
      break;
    case PROP_TRUSTED:
      g_value_set_boolean (value, self->setup.trusted);
      break;
    case PROP_UNHEALTHY:
      g_value_set_boolean (value, afork_pool_get_unhealthy (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_pool_set_property (GObject      *object,
                         guint         id,
                         const GValue *value,
                         GParamSpec   *pspec)
{
  AForkPool *self = AFORK_POOL (object);

  switch (id)
    {
    case PROP_ADAPTIVE:
      afork_pool_set_adaptive (self, g_value_get_boolean (value));
      break;
    case PROP_CONCURRENT:
      self->setup.concurrent = g_value_get_boolean (value);
      break;
    case PROP_DIE_WITH_PARENT:
      self->setup.die_with_parent = g_value_get_boolean (value);
      break;
    case PROP_DONE_FUNCTION:
      self->setup.done_function = g_value_dup_string (value);
      break;
    case PROP_FORWARD_STDERR:
      self->setup.forward_stderr = g_value_get_boolean (value);
      break;
    case PROP_FUNCTION:
      self->setup.function = g_value_dup_string (value);
      break;
    case PROP_GRACE:
      afork_pool_set_grace (self, g_value_get_uint (value));
      break;
    case PROP_INIT_FUNCTION:
      self->setup.init_function = g_value_dup_string (value);
      break;
    case PROP_LOAD:
      afork_pool_set_load (self, g_value_get_uint (value));
      break;
    case PROP_MAX_AGE:
      afork_pool_set_max_age (self, g_value_get_uint (value));
      break;
    case PROP_MAX_CALLS:
      afork_pool_set_max_calls (self, g_value_get_uint (value));
      break;
    case PROP_MAX_MEMORY:
      afork_pool_set_max_memory (self, g_value_get_uint64 (value));
      break;
    case PROP_MAX_WORKERS:
      afork_pool_set_max_workers (self, g_value_get_uint (value));
      break;
    case PROP_MEMORY_MONITOR:
      afork_pool_set_memory_monitor (self, g_value_get_object (value));
      break;
    case PROP_MIN_IDLE:
      afork_pool_set_min_idle (self, g_value_get_uint (value));
      break;
    case PROP_POWER_MONITOR:
      afork_pool_set_power_monitor (self, g_value_get_object (value));
      break;
    case PROP_PROCESS:
      self->process = g_value_dup_object (value);
      break;
    case PROP_QUARANTINE_TIME:
      afork_pool_set_quarantine_time (self, g_value_get_uint (value));
      break;
    case PROP_QUEUE_LIMIT:
      afork_pool_set_queue_limit (self, g_value_get_uint (value));
      break;
    case PROP_START_DELAY:
      afork_pool_set_start_delay (self, g_value_get_uint (value));
      break;
    case PROP_STOP_DELAY:
      afork_pool_set_stop_delay (self, g_value_get_uint (value));
      break;
    case PROP_TIMEOUT:
      afork_pool_set_timeout (self, g_value_get_uint (value));
      break;
    case PROP_TRUSTED:
      self->setup.trusted = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_pool_class_init (AForkPoolClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = afork_pool_constructed;
  object_class->dispose = afork_pool_dispose;
  object_class->finalize = afork_pool_finalize;
  object_class->get_property = afork_pool_get_property;
  object_class->set_property = afork_pool_set_property;

  /**
   * AForkPool:adaptive: (getter get_adaptive) (setter set_adaptive)
   *
   * Whether the pool uses the monitors of GLib, [func@Gio.MemoryMonitor.dup_default] and
   * [func@Gio.PowerProfileMonitor.dup_default], as far as [property@AFork.Pool:memory-monitor] and
   * [property@AFork.Pool:power-monitor] are `NULL`.
   *
   * These monitors use D-Bus, for which GLib starts threads in this program. The program can then
   * not be forked any more by [ctor@AFork.Process.new_template].
   *
   * Since: 0.1
   */
  props[PROP_ADAPTIVE] =
    g_param_spec_boolean ("adaptive", NULL, NULL,
                          FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:concurrent: (getter get_concurrent)
   *
   * Whether each worker serves many jobs at a time: the function is then an
   * [callback@AFork.ConcurrentCallFunc], and [property@AFork.Pool:load] is the number of jobs.
   *
   * Since: 0.1
   */
  props[PROP_CONCURRENT] =
    g_param_spec_boolean ("concurrent", NULL, NULL,
                          FALSE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:die-with-parent: (getter get_die_with_parent)
   *
   * Whether [property@AFork.Rpc:die-with-parent] is set for the workers.
   *
   * Since: 0.1
   */
  props[PROP_DIE_WITH_PARENT] =
    g_param_spec_boolean ("die-with-parent", NULL, NULL,
                          TRUE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:done-function: (getter get_done_function)
   *
   * A function that a worker calls before it exits, an [callback@AFork.CallDoneFunc], or `NULL`.
   * The function may take five seconds.
   *
   * Since: 0.1
   */
  props[PROP_DONE_FUNCTION] =
    g_param_spec_string ("done-function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:forward-stderr: (getter get_forward_stderr)
   *
   * Whether the standard error output of the workers is forwarded to that of this program: see
   * [property@AFork.Rpc:forward-stderr].
   *
   * Since: 0.1
   */
  props[PROP_FORWARD_STDERR] =
    g_param_spec_boolean ("forward-stderr", NULL, NULL,
                          TRUE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:function: (getter get_function)
   *
   * The name of the function that serves jobs, as for [method@AFork.Process.call].
   *
   * Since: 0.1
   */
  props[PROP_FUNCTION] =
    g_param_spec_string ("function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:grace: (getter get_grace) (setter set_grace)
   *
   * How long, in milliseconds, a worker may go on with a job that was cancelled or took too long.
   * The job ends at once, and [method@AFork.Call.get_cancellable] is cancelled in the worker. If
   * the worker has not answered after this time, it gets `SIGTERM`, and after the same time again
   * it is killed. Another worker is started in its place, and gets the jobs that waited for the
   * first one.
   *
   * A worker that serves many jobs at a time is not ended while it has other jobs. It gets no new
   * jobs meanwhile.
   *
   * Since: 0.1
   */
  props[PROP_GRACE] =
    g_param_spec_uint ("grace", NULL, NULL,
                       0, G_MAXUINT, DEFAULT_GRACE,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:init-function: (getter get_init_function)
   *
   * A function that a worker calls before it serves jobs, an [callback@AFork.CallInitFunc], or
   * `NULL`. If the function fails and no other worker can serve, the jobs that wait fail with the
   * error of the function.
   *
   * Since: 0.1
   */
  props[PROP_INIT_FUNCTION] =
    g_param_spec_string ("init-function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:last-error: (getter get_last_error)
   *
   * The most recent reason why a worker exited unexpectedly or could not start, or why a template
   * has exited or cannot be created again; or `NULL` if there was none.
   *
   * Since: 0.1
   */
  props[PROP_LAST_ERROR] =
    g_param_spec_boxed ("last-error", NULL, NULL,
                        G_TYPE_ERROR,
                        G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:load: (getter get_load) (setter set_load)
   *
   * The largest number of jobs that a worker has at a time.
   *
   * With 2, a worker that serves one job after the other need not wait for this program: when it
   * has finished a job, it finds the next one in its socket. With 1, a job never waits for a worker
   * while another worker is free, which is better for long jobs. If
   * [property@AFork.Pool:concurrent] is set, this is how many jobs a worker serves at a time.
   *
   * Since: 0.1
   */
  props[PROP_LOAD] =
    g_param_spec_uint ("load", NULL, NULL,
                       1, MAX_LOAD, DEFAULT_LOAD,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:max-age: (getter get_max_age) (setter set_max_age)
   *
   * How long a worker serves, in milliseconds, before it is replaced, or 0 for any time. The worker
   * goes on until another worker has started, and then exits when it has finished its jobs.
   *
   * Since: 0.1
   */
  props[PROP_MAX_AGE] =
    g_param_spec_uint ("max-age", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:max-calls: (getter get_max_calls) (setter set_max_calls)
   *
   * How many jobs a worker gets before it is replaced, or 0 for any number. With 1, each job has a
   * fresh process. If jobs wait, the next worker is started shortly before the worker has got all
   * of its jobs.
   *
   * Since: 0.1
   */
  props[PROP_MAX_CALLS] =
    g_param_spec_uint ("max-calls", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:max-memory: (getter get_max_memory) (setter set_max_memory)
   *
   * How much resident memory a worker may have after a job, in bytes, before it is replaced, or 0
   * for any amount. The worker goes on until another worker has started, and then exits when it has
   * finished its jobs. This does not limit the memory that a job uses.
   *
   * The pool asks the template for the memory of a worker after a job of this worker, and at most
   * every 100 milliseconds. The figure includes memory that the worker shares with others:
   * libraries, shared memory of blobs, and what it has of the memory of its template. So choose a
   * limit that is well above the memory of a worker that has just started. If the template has
   * exited, the memory is not known, and the worker is not replaced.
   *
   * Since: 0.1
   */
  props[PROP_MAX_MEMORY] =
    g_param_spec_uint64 ("max-memory", NULL, NULL,
                         0, G_MAXUINT64, 0,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:max-workers: (getter get_max_workers) (setter set_max_workers)
   *
   * The largest number of workers that start or serve at a time. The default is the number of
   * processors that the program may use. For a short time, there may be more workers, which get no
   * jobs: workers that exit, and a worker that starts to replace another one.
   *
   * If the pool has several templates, this is the limit of the first one,
   * [property@AFork.Pool:process]. The pool may then have as many workers as all of them together:
   * see [method@AFork.Pool.add_template].
   *
   * Since: 0.1
   */
  props[PROP_MAX_WORKERS] =
    g_param_spec_uint ("max-workers", NULL, NULL,
                       1, G_MAXINT, 1,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:memory-monitor: (getter get_memory_monitor) (setter set_memory_monitor)
   *
   * A monitor of the memory of the system, or `NULL`. With each
   * [signal@Gio.MemoryMonitor::low-memory-warning], the pool ends its workers that have no job, and
   * the forks that its templates keep for [property@AFork.Process:spare]. For ten seconds after a
   * warning, no workers are started for [property@AFork.Pool:min-idle]. Jobs are run as before.
   *
   * The monitor may emit its signal in any thread.
   *
   * Since: 0.1
   */
  props[PROP_MEMORY_MONITOR] =
    g_param_spec_object ("memory-monitor", NULL, NULL,
                         G_TYPE_MEMORY_MONITOR,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:min-idle: (getter get_min_idle) (setter set_min_idle)
   *
   * How many workers without a job are kept ready, as far as [property@AFork.Pool:max-workers]
   * allows it. They are started without [property@AFork.Pool:start-delay], the first ones as soon
   * as the pool is made.
   *
   * Since: 0.1
   */
  props[PROP_MIN_IDLE] =
    g_param_spec_uint ("min-idle", NULL, NULL,
                       0, G_MAXINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:n-idle: (getter get_n_idle)
   *
   * How many workers have no job and can get one.
   *
   * Since: 0.1
   */
  props[PROP_N_IDLE] =
    g_param_spec_uint ("n-idle", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:n-queued: (getter get_n_queued)
   *
   * How many jobs wait in the pool.
   *
   * Since: 0.1
   */
  props[PROP_N_QUEUED] =
    g_param_spec_uint ("n-queued", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:n-running: (getter get_n_running)
   *
   * How many jobs the workers have. With a [property@AFork.Pool:load] of 2 or more, some of these
   * jobs may wait in a worker.
   *
   * Since: 0.1
   */
  props[PROP_N_RUNNING] =
    g_param_spec_uint ("n-running", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:n-workers: (getter get_n_workers)
   *
   * How many workers there are, including workers that start and workers that exit.
   *
   * Since: 0.1
   */
  props[PROP_N_WORKERS] =
    g_param_spec_uint ("n-workers", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:power-monitor: (getter get_power_monitor) (setter set_power_monitor)
   *
   * A monitor of the power profile of the system, or `NULL`. While
   * [property@Gio.PowerProfileMonitor:power-saver-enabled] is true, the pool grows no further: it
   * has at most as many workers as when that began, and at least one.
   *
   * The monitor may emit its signals in any thread.
   *
   * Since: 0.1
   */
  props[PROP_POWER_MONITOR] =
    g_param_spec_object ("power-monitor", NULL, NULL,
                         G_TYPE_POWER_PROFILE_MONITOR,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:process: (getter get_process)
   *
   * The template with which the pool was made: workers are forks of it, or of other templates. If
   * it has exited, the pool forks another process, which is prepared in the same way, and this
   * property stays as it is. See [Templates that exit](pool.html#templates-that-exit).
   *
   * Since: 0.1
   */
  props[PROP_PROCESS] =
    g_param_spec_object ("process", NULL, NULL,
                         AFORK_TYPE_PROCESS,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:quarantine-time: (getter get_quarantine_time) (setter set_quarantine_time)
   *
   * How long equal jobs are refused, in milliseconds, when a job has ended two workers, or 0 for
   * never. During this time, they fail with `AFORK_ERROR_QUARANTINED`, and the message says how the
   * two workers have exited and how long jobs will be refused.
   *
   * Jobs are equal if they have the same [property@AFork.Job:key], and the same arguments and
   * blobs, compared byte by byte. It does not matter whether one job with
   * [property@AFork.Job:retries] ends both workers, or the program runs an equal job again. A plain
   * call is equal to a job without a key. If the arguments do not say what the worker works on, for
   * example because it takes its work from a file, set this property to 0, or give each job a key.
   * Jobs with descriptors, and jobs with more than 1 MiB of key, arguments and blobs, are equal to
   * no other job, and are never refused.
   *
   * An exit counts if the job alone may have caused it, see [Pools](pool.html#if-a-worker-exits).
   * It is forgotten after this time, or when an equal job ends and its worker goes on. The pool
   * remembers at most 256 jobs with 4 MiB. If there are more, the oldest are forgotten.
   *
   * Since: 0.1
   */
  props[PROP_QUARANTINE_TIME] =
    g_param_spec_uint ("quarantine-time", NULL, NULL,
                       0, G_MAXUINT, DEFAULT_QUARANTINE_TIME,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:queue-limit: (getter get_queue_limit) (setter set_queue_limit)
   *
   * The largest number of jobs that wait in the pool, or 0 for any number. If so many jobs wait,
   * each further job fails with `AFORK_ERROR_OVERLOADED`, and has no effect. When there is room
   * again, [signal@AFork.Pool::room] is emitted.
   *
   * Since: 0.1
   */
  props[PROP_QUEUE_LIMIT] =
    g_param_spec_uint ("queue-limit", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:start-delay: (getter get_start_delay) (setter set_start_delay)
   *
   * How long jobs have to wait, in milliseconds, until one more worker is started. The first worker
   * is started at once. While jobs still wait, one more worker is started after each such time.
   * Jobs for which the existing workers have room do not count. With 0, as many workers as the
   * waiting jobs need are started at once.
   *
   * Since: 0.1
   */
  props[PROP_START_DELAY] =
    g_param_spec_uint ("start-delay", NULL, NULL,
                       0, G_MAXUINT, DEFAULT_START_DELAY,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:stop-delay: (getter get_stop_delay) (setter set_stop_delay)
   *
   * How long, in milliseconds, more workers than [property@AFork.Pool:min-idle] have to be without
   * a job until one of them is ended. After each further such time, one more worker is ended.
   *
   * Since: 0.1
   */
  props[PROP_STOP_DELAY] =
    g_param_spec_uint ("stop-delay", NULL, NULL,
                       0, G_MAXUINT, DEFAULT_STOP_DELAY,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:timeout: (getter get_timeout) (setter set_timeout)
   *
   * How long a job may take, in milliseconds, or 0 for no limit. [property@AFork.Job:timeout]
   * replaces this for a job, if it is not 0. The time starts when a worker can begin with the job,
   * so the time that the job waits does not count. See [property@AFork.Pool:grace] for what happens
   * to the worker.
   *
   * Since: 0.1
   */
  props[PROP_TIMEOUT] =
    g_param_spec_uint ("timeout", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:trusted: (getter get_trusted)
   *
   * Whether the workers may send blobs in memory that they can still write to: see
   * [property@AFork.Rpc:trusted].
   *
   * Since: 0.1
   */
  props[PROP_TRUSTED] =
    g_param_spec_boolean ("trusted", NULL, NULL,
                          TRUE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPool:unhealthy: (getter get_unhealthy)
   *
   * Whether workers or templates fail repeatedly:
   *
   * - a worker could not start, and no worker has started since
   * - two or more workers have exited, and no job was finished since
   * - a template has exited, or could not start workers, two or more times, and no worker of it has
   *   started since
   * - a template has exited and cannot be created again
   *
   * [property@AFork.Pool:last-error] has the reason. The pool goes on, with longer and longer
   * pauses, as far as it has templates.
   *
   * Since: 0.1
   */
  props[PROP_UNHEALTHY] =
    g_param_spec_boolean ("unhealthy", NULL, NULL,
                          FALSE,
                          G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AForkPool::event:
   * @self: the pool
   * @event: the value that a worker emitted
   *
   * Emitted for each [func@AFork.worker_emit] of a worker, in order with the answers of this
   * worker.
   *
   * Since: 0.1
   */
  signals[SIGNAL_EVENT] =
    g_signal_new ("event", AFORK_TYPE_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_VARIANT);

  /**
   * AForkPool::room:
   * @self: the pool
   *
   * Emitted when there is room in the queue again: a job was refused with `AFORK_ERROR_OVERLOADED`,
   * and now fewer jobs than [property@AFork.Pool:queue-limit] wait.
   *
   * Since: 0.1
   */
  signals[SIGNAL_ROOM] =
    g_signal_new ("room", AFORK_TYPE_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 0);

  /**
   * AForkPool::worker-exited:
   * @self: the pool
   * @process: the process of the worker
   * @error: (nullable): why the worker could not start or exited unexpectedly, or `NULL` if it
   *   exited as expected
   *
   * Emitted when a worker has exited, also for a worker that could not start. Use @process only for
   * its pid, exit status and usage.
   *
   * Since: 0.1
   */
  signals[SIGNAL_WORKER_EXITED] =
    g_signal_new ("worker-exited", AFORK_TYPE_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 2, AFORK_TYPE_PROCESS, G_TYPE_ERROR);

  /**
   * AForkPool::worker-started:
   * @self: the pool
   * @process: the process of the worker
   *
   * Emitted when a worker has started: its init-function has returned, if there is one. Use
   * @process only for messages, and to end the worker by [method@AFork.Process.force_exit].
   *
   * Since: 0.1
   */
  signals[SIGNAL_WORKER_STARTED] =
    g_signal_new ("worker-started", AFORK_TYPE_POOL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, AFORK_TYPE_PROCESS);
}

static void
afork_pool_init (AForkPool *self)
{
  self->limits = (AForkSchedulerLimits) {
    .max_workers = g_get_num_processors (),
    .load = DEFAULT_LOAD,
    .start_delay = DEFAULT_START_DELAY * G_GINT64_CONSTANT (1000),
    .stop_delay = DEFAULT_STOP_DELAY * G_GINT64_CONSTANT (1000),
  };
  self->max_total = self->limits.max_workers;
  self->grace = DEFAULT_GRACE;
  self->templates = g_ptr_array_new_with_free_func ((GDestroyNotify) _afork_pool_template_free);
  _afork_scheduler_init (&self->scheduler, &self->limits);
  _afork_job_queue_init (&self->failing);
  g_weak_ref_init (&self->worker_list, NULL);
  _afork_quarantine_init (&self->quarantine,
                          DEFAULT_QUARANTINE_TIME * G_GINT64_CONSTANT (1000));
  _afork_shared_jobs_init (&self->shared_jobs, has_notices_cb, self);
  _afork_updater_init (&self->updater, G_OBJECT (self), update);
  g_queue_init (&self->slots);
  g_queue_init (&self->close_tasks);
  g_queue_init (&self->due_feeders);
  g_queue_init (&self->waiting_feeders);
}

/* Accepting jobs. */

/* Returns why the pool accepts no jobs at all, or NULL if it does. */
static GError *
find_refusal (AForkPool *self)
{
  if (self->state == AFORK_POOL_STATE_REFUSED)
    return g_error_copy (self->refusal);

  return self->state != AFORK_POOL_STATE_OPEN ? new_closed_error (self) : NULL;
}

/* Returns why the pool cannot accept CALL now, or NULL if it can. TAKES_PLACE says whether the call
 * has to wait in the queue. */
static GError *
find_obstacle (AForkPool        *self,
               AForkPendingCall *call,
               gboolean          takes_place)
{
  GError *error = find_refusal (self);

  if (error == NULL)
    error = _afork_quarantine_check (&self->quarantine, call->args, call->job,
                                     g_get_monotonic_time ());
  if (error != NULL)
    {
      if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_QUARANTINED))
        self->stats.n_quarantined++;
      return error;
    }
  if (takes_place && is_full (self))
    {
      self->was_full = TRUE;
      self->stats.n_overloaded++;
      _afork_debug (AFORK_DEBUG_POOL, 0, "Pool of “%s”: a job is refused, because %u jobs wait",
                    self->setup.function, self->queue_limit);
      return g_error_new (AFORK_ERROR, AFORK_ERROR_OVERLOADED,
                          _("%u jobs wait in the pool of “%s”, which is its limit"),
                          self->queue_limit, self->setup.function);
    }
  return NULL;
}

/* Queues CALL, which is that of SHARED unless this is NULL. Takes both. Returns the job. */
static AForkPoolJob *
queue_call (AForkPool        *self,
            AForkPendingCall *call,
            AForkSharedJob   *shared,
            int               priority)
{
  AForkPoolJob *job = g_new0 (AForkPoolJob, 1);

  /* The first job decides whether the jobs run in this process. */
  if (!self->has_in_process)
    self->in_process = _afork_in_process_jobs_new (self->process, &self->setup);
  self->has_in_process = TRUE;
  job->call = call;
  job->shared = shared;
  job->waits_since = g_get_monotonic_time ();
  /* The job was looked up before it was accepted. */
  job->checked = self->quarantine.n_refused;
  self->stats.n_accepted++;
  _afork_pending_call_set_owner (call, shared != NULL ? &shared_call_funcs : &call_funcs, job);
  _afork_pending_call_watch (call, &waiting_funcs, job);
  _afork_scheduler_add_job (&self->scheduler, &job->base, priority,
                            call->job != NULL ? afork_job_get_key (call->job) : NULL);
  request_update (self);
  return job;
}

/* Queues CALL. Takes CALL. */
static void
add_call (AForkPool        *self,
          AForkPendingCall *call)
{
  AForkJob *job = call->job;
  AForkPoolJob *pool_job = queue_call (self, call, NULL,
                                       job != NULL ? afork_job_get_priority (job) : 0);

  if (job != NULL)
    {
      pool_job->n_retries = afork_job_get_retries (job);
      _afork_job_watch_priority (job, priority_changed_cb, pool_job);
    }
  /* A handler of the program may use the pool in any way. */
  if (job != NULL)
    {
      g_autoptr(AForkJob) kept = g_object_ref (job);

      _afork_job_set_state (kept, AFORK_JOB_STATE_QUEUED);
    }
}

/* Queues a shared job without members. */
static AForkSharedJob *
add_shared_job (AForkPool              *self,
                const AForkJobIdentity *identity)
{
  AForkSharedJob *shared = _afork_shared_job_new (&self->shared_jobs, identity, G_OBJECT (self));
  AForkPendingCall *call = g_object_ref (_afork_shared_job_get_call (shared));

  _afork_shared_job_set_pool_job (shared, queue_call (self, call, shared, 0));
  return shared;
}

/* Whether CALL may share a run with equal jobs. If so, sets IDENTITY. */
static gboolean
can_share (AForkPendingCall *call,
           AForkJobIdentity *identity)
{
  return call->job != NULL && afork_job_get_coalesce (call->job)
    && _afork_job_identity_init (identity, call->args, call->job);
}

/* Queues CALL, or has it fail if the pool cannot accept it. Takes CALL. */
static void
accept (AForkPool        *self,
        AForkPendingCall *call)
{
  GError *error = NULL;
  g_autoptr(AForkHold) hold = hold_context (self, &error);
  AForkJobIdentity identity;
  const gboolean is_shared = hold != NULL && can_share (call, &identity);
  AForkSharedJob *shared = is_shared ? _afork_shared_jobs_find (&self->shared_jobs, &identity)
                                     : NULL;

  if (hold != NULL && _afork_pending_call_is_cancelled (call))
    error = _afork_pending_call_new_cancelled_error ();
  else if (hold != NULL)
    error = find_obstacle (self, call, shared == NULL);
  if (error != NULL)
    {
      _afork_pending_call_fail (call, error);
      g_object_unref (call);
      return;
    }

  if (call->limit == 0)
    call->limit = self->timeout;
  if (!is_shared)
    {
      add_call (self, call);
      return;
    }

  if (shared == NULL)
    shared = add_shared_job (self, &identity);
  _afork_shared_job_join (shared, call);
}

/**
 * afork_pool_new:
 * @process: a template; the workers are forks of it, and it must not have been run
 * @function: a function of a module that the template has loaded, named as for
 *   [method@AFork.Process.call]
 *
 * Makes a pool. Each worker serves one job after the other by @function. For other options, see the
 * properties. The program may go on using @process, and may make more pools of it.
 *
 * Returns: (transfer full): a pool
 *
 * Since: 0.1
 */
AForkPool *
afork_pool_new (AForkProcess *process,
                const char   *function)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (process), NULL);
  g_return_val_if_fail (function != NULL, NULL);

  return g_object_new (AFORK_TYPE_POOL, "process", process, "function", function, NULL);
}

/**
 * afork_pool_new_for_func: (skip)
 * @process: (nullable): a template, as for [ctor@AFork.Pool.new], or `NULL` for a new process of
 *   [func@AFork.Runtime.get_self]
 * @func: a function of this program, or of a shared object that is loaded; it need not be
 *   exported, and may be static
 *
 * Does what [ctor@AFork.Pool.new] does, with the address of a function instead of a name. So a
 * program can run its own functions in many processes, without a module. If @process is `NULL`, the
 * program must have called [func@AFork.init].
 *
 * The template must have the program or shared object that contains the function, as for
 * [method@AFork.Process.run_func_async]. If it does not, or if that has no build ID, all jobs fail
 * with `AFORK_ERROR_FUNCTION`. [property@AFork.Pool:function] is the name of the function if it is
 * exported, or else its object and offset.
 *
 * Returns: (transfer full): a pool
 *
 * Since: 0.1
 */
AForkPool *
afork_pool_new_for_func (AForkProcess  *process,
                         AForkCallFunc  func)
{
  return afork_pool_new_for_funcs (process, func, NULL, NULL);
}

/**
 * afork_pool_new_for_funcs: (skip)
 * @process: (nullable): a template, as for [ctor@AFork.Pool.new_for_func]
 * @func: a function, as there
 * @init_func: (nullable): what each worker calls before its first job, as for
 *   [property@AFork.Pool:init-function], or `NULL`
 * @done_func: (nullable): what each worker calls last, as for [property@AFork.Pool:done-function],
 *   or `NULL`
 *
 * Does what [ctor@AFork.Pool.new_for_func] does, and gives all functions of the workers by address.
 * The properties [property@AFork.Pool:init-function] and [property@AFork.Pool:done-function] are
 * then their names, as [property@AFork.Pool:function] is.
 *
 * Returns: (transfer full): a pool
 *
 * Since: 0.1
 */
AForkPool *
afork_pool_new_for_funcs (AForkProcess      *process,
                          AForkCallFunc      func,
                          AForkCallInitFunc  init_func,
                          AForkCallDoneFunc  done_func)
{
  g_autoptr(AForkProcess) own = NULL;
  g_autofree char *name = _afork_process_name_func ((gconstpointer) func);
  g_autofree char *init_name = _afork_process_name_func ((gconstpointer) init_func);
  g_autofree char *done_name = _afork_process_name_func ((gconstpointer) done_func);
  AForkPool *self;

  g_return_val_if_fail (process == NULL || AFORK_IS_PROCESS (process), NULL);
  g_return_val_if_fail (func != NULL, NULL);

  if (process == NULL)
    process = own = afork_process_new_for_runtime (afork_runtime_get_self ());
  self = g_object_new (AFORK_TYPE_POOL,
                       "process", process,
                       "function", name,
                       "init-function", init_name,
                       "done-function", done_name,
                       NULL);
  self->setup.func = func;
  self->setup.init_func = init_func;
  self->setup.done_func = done_func;
  return self;
}

/**
 * afork_pool_add_template:
 * @self: a pool
 * @process: another template, which must not have been run and belongs to the same main context
 * @max_workers: how many workers of @process may start or serve at a time, or 0 for as many as
 *   [property@AFork.Pool:max-workers]
 *
 * Adds a template. Workers of all templates serve the same jobs by the same function. Use it if
 * workers are to be on several hosts, or of several kinds, for example of another build.
 *
 * Each template has a limit of its own, which is [property@AFork.Pool:max-workers] for the first
 * one, and the pool may have as many workers as these limits together. The next worker is a fork of
 * the template with the most room left, and of several such templates, of the one that was added
 * first. Room is the limit of the template minus its workers. While a template is created again
 * after it has exited or its host was lost, or its workers cannot start, the others are used.
 *
 * If @process has exited, or was run, [property@AFork.Pool:last-error] says so. Does nothing after
 * [method@AFork.Pool.shutdown_async]. The program may go on using @process.
 *
 * Since: 0.1
 */
void
afork_pool_add_template (AForkPool    *self,
                         AForkProcess *process,
                         guint         max_workers)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  g_return_if_fail (AFORK_IS_PROCESS (process));
  if (!hold_or_warn (self, &hold))
    return;
  if (self->state != AFORK_POOL_STATE_OPEN)
    {
      g_debug ("A pool that has been shut down gets no more templates");
      return;
    }
  if (_afork_process_get_context (process) != self->context)
    {
      g_critical ("A template of a pool belongs to the same main context as the pool");
      return;
    }
  if (_afork_pool_templates_have_process (self->templates, process))
    {
      g_critical ("A process can be a template of a pool only once");
      return;
    }

  add_template (self, process, max_workers);
  check_template (self, template_at (self, self->templates->len - 1));
  update_limits (self);
}

/**
 * afork_pool_call_async:
 * @self: a pool
 * @args: (nullable): arguments, any value up to 1 GiB; a floating one is taken, and `NULL` is `()`
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Has a worker call the function. Does not block: the call waits in the pool until a worker has
 * room for it.
 *
 * Cancelling the call ends it at once. If a worker has begun with the call,
 * [method@AFork.Call.get_cancellable] is cancelled there, and the worker is ended if it does not
 * answer within [property@AFork.Pool:grace].
 *
 * Since: 0.1
 */
void
afork_pool_call_async (AForkPool           *self,
                       GVariant            *args,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_return_if_fail (AFORK_IS_POOL (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  accept (self, _afork_pending_call_new (G_OBJECT (self), afork_pool_call_async,
                                         args, NULL,
                                         cancellable, callback, user_data));
}

/**
 * afork_pool_call_finish:
 * @self: a pool
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], a [error@Gio.IOErrorEnum], or an error of the
 *   worker's function
 *
 * Returns the answer, or fails:
 *
 * - with the error of the worker's function, as [method@AFork.Rpc.call_finish] does
 * - with one of the errors that [class@AFork.Rpc] lists, such as `AFORK_ERROR_SIGNALED`, if the
 *   worker exited while it ran this call, or if two workers that had only this call exited before
 *   they began with it
 * - with the error of [property@AFork.Pool:init-function], or the reason why no worker can start;
 *   this is `AFORK_ERROR_LOST` if all templates have exited and none can be created again
 * - with `AFORK_ERROR_TIMED_OUT` if the call took longer than [property@AFork.Pool:timeout]
 * - with `AFORK_ERROR_QUARANTINED` if equal jobs have ended two workers: see
 *   [property@AFork.Pool:quarantine-time]
 * - with `AFORK_ERROR_OVERLOADED` if [property@AFork.Pool:queue-limit] jobs waited
 * - with `AFORK_ERROR_CLOSED` after [method@AFork.Pool.shutdown_async], or if the main context of
 *   the pool is gone
 * - with `AFORK_ERROR_FAILED` if another thread uses the main context of the pool
 * - with `G_IO_ERROR_CANCELLED` if the call was cancelled
 * - with `G_IO_ERROR_MESSAGE_TOO_LARGE` if the arguments or the result are larger than 1 GiB
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_pool_call_finish (AForkPool     *self,
                        GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);
  g_return_val_if_fail (_afork_pending_call_is_result (result, self, afork_pool_call_async), NULL);
  g_return_val_if_fail (_afork_pending_call_has_end (result), NULL);

  return _afork_pending_call_propagate (result, error);
}

/**
 * afork_pool_call:
 * @self: a pool
 * @args: (nullable): arguments, as for [method@AFork.Pool.call_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Pool.call_finish] has it
 *
 * Blocking version of [method@AFork.Pool.call_async]. While this function waits, the signals of the
 * pool are emitted, and no other source of the program is dispatched: other jobs go on, and their
 * callbacks are called later. If too few descriptors are left to wait with, this function fails
 * with `G_IO_ERROR_TOO_MANY_OPEN_FILES`, and the call was not made.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_pool_call (AForkPool     *self,
                 GVariant      *args,
                 GCancellable  *cancellable,
                 GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) owned = NULL;
  AForkPoolBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  owned = args != NULL ? g_variant_ref_sink (args) : NULL;
  if (!_afork_pool_begin_blocking (self, &blocking, error))
    return NULL;

  afork_pool_call_async (self, owned, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = _afork_pool_end_blocking (self, &blocking);
  return afork_pool_call_finish (self, result, error);
}

/* Runs JOB. If JOB was run before, the new run fails, and JOB keeps the result of its first run. */
static void
run_job (AForkPool           *self,
         AForkJob            *job,
         GCancellable        *cancellable,
         GAsyncReadyCallback  callback,
         gpointer             user_data)
{
  const gboolean is_new = afork_job_get_state (job) == AFORK_JOB_STATE_NEW;
  AForkPendingCall *call;

  call = _afork_pending_call_new (G_OBJECT (self), afork_pool_run_job_async,
                                  afork_job_get_args (job), is_new ? job : NULL,
                                  cancellable, callback, user_data);
  if (is_new)
    {
      accept (self, call);
      return;
    }

  _afork_pending_call_fail (call, g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                               _("The job was run already")));
  g_object_unref (call);
}

/* For the objects of the library that give jobs to the pool. */

AForkContext *
_afork_pool_get_context (AForkPool *self)
{
  return self->context;
}

AForkHold *
_afork_pool_hold (AForkPool  *self,
                  GError    **error)
{
  return hold_context (self, error);
}

guint
_afork_pool_get_max_total (AForkPool *self)
{
  return self->max_total;
}

gboolean
_afork_pool_accepts (AForkPool  *self,
                     GError    **error)
{
  GError *refusal = find_refusal (self);

  if (refusal != NULL)
    {
      g_propagate_error (error, refusal);
      return FALSE;
    }

  return !is_full (self);
}

guint
_afork_pool_get_look_ahead (AForkPool *self,
                            guint      factor)
{
  const guint64 n_jobs = (guint64) self->max_total * self->limits.load;

  return (guint) MIN (n_jobs * factor, G_MAXUINT);
}

void
_afork_pool_run (AForkPool *self,
                 AForkJob  *job)
{
  GMainContext *home = _afork_context_peek (self->context);

  g_main_context_push_thread_default (home);
  run_job (self, job, NULL, NULL, NULL);
  g_main_context_pop_thread_default (home);
}

static void
move_feeder (AForkPoolFeeder *feeder,
             GQueue          *queue)
{
  if (feeder->queue == queue)
    return;

  if (feeder->queue != NULL)
    g_queue_unlink (feeder->queue, &feeder->link);
  feeder->queue = queue;
  if (queue != NULL)
    g_queue_push_tail_link (queue, &feeder->link);
}

void
_afork_pool_request_feed (AForkPool       *self,
                          AForkPoolFeeder *feeder)
{
  move_feeder (feeder, &self->due_feeders);
  request_update (self);
}

void
_afork_pool_wait_for_room (AForkPool       *self,
                           AForkPoolFeeder *feeder)
{
  move_feeder (feeder, &self->waiting_feeders);
}

void
_afork_pool_remove_feeder (AForkPool       *self,
                           AForkPoolFeeder *feeder)
{
  move_feeder (feeder, NULL);
}

/**
 * afork_pool_run_job_async:
 * @self: a pool
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Has a worker call the function with the arguments, descriptors and blobs of @job. Apart from
 * that, works like [method@AFork.Pool.call_async]. [method@AFork.Job.cancel] also cancels the job.
 *
 * Since: 0.1
 */
void
afork_pool_run_job_async (AForkPool           *self,
                          AForkJob            *job,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_return_if_fail (AFORK_IS_POOL (self));
  g_return_if_fail (AFORK_IS_JOB (job));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  run_job (self, job, cancellable, callback, user_data);
}

/**
 * afork_pool_run_job_finish:
 * @self: a pool
 * @result: what the callback was given
 * @error: return location for an error, as for [method@AFork.Pool.call_finish]
 *
 * Returns the answer. The job has the descriptors and blobs that came with it. Fails like
 * [method@AFork.Pool.call_finish]; also with `AFORK_ERROR_CLOSED` if the job was run before. A job
 * that is run again keeps its state and results.
 *
 * If a worker exits while it runs the job, the job is run again if it has
 * [property@AFork.Job:retries]. If a second worker exits while it runs the job, the job fails, and
 * the error says how both workers have exited. The job also fails in this way if two workers that
 * had only this job exit before they begin with it. Equal jobs are then refused: see
 * [property@AFork.Pool:quarantine-time].
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_pool_run_job_finish (AForkPool     *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);
  g_return_val_if_fail (_afork_pending_call_is_result (result, self, afork_pool_run_job_async),
                        NULL);
  g_return_val_if_fail (_afork_pending_call_has_end (result), NULL);

  return _afork_pending_call_propagate (result, error);
}

/**
 * afork_pool_run_job:
 * @self: a pool
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Pool.run_job_finish] has it
 *
 * Blocking version of [method@AFork.Pool.run_job_async]. Waits as [method@AFork.Pool.call] does.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_pool_run_job (AForkPool     *self,
                    AForkJob      *job,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkPoolBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);
  g_return_val_if_fail (AFORK_IS_JOB (job), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!_afork_pool_begin_blocking (self, &blocking, error))
    return NULL;

  afork_pool_run_job_async (self, job, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = _afork_pool_end_blocking (self, &blocking);
  return afork_pool_run_job_finish (self, result, error);
}

/**
 * afork_pool_shutdown_async:
 * @self: a pool
 * @mode: what becomes of jobs that have not ended
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when all workers have exited
 * @user_data: data for @callback
 *
 * Shuts the pool down. Later jobs fail with `AFORK_ERROR_CLOSED`. This function may be called more
 * than once, so a pool that drains can still be aborted. Cancelling only ends this wait.
 *
 * A pool that drains takes as long as its jobs: set [property@AFork.Pool:timeout] for jobs that may
 * hang. If workers exit one after the other, it also takes the time in between, at most 30 seconds
 * for each.
 *
 * A worker that runs an aborted job is ended as described for [property@AFork.Pool:grace]. A worker
 * that is not needed any more has five seconds to exit.
 *
 * Since: 0.1
 */
void
afork_pool_shutdown_async (AForkPool           *self,
                           AForkShutdownMode    mode,
                           GCancellable        *cancellable,
                           GAsyncReadyCallback  callback,
                           gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;
  g_autoptr(GError) error = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_name (task, "[afork] pool shut down");
  g_task_set_source_tag (task, afork_pool_shutdown_async);
  hold = hold_context (self, &error);
  if (hold == NULL)
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  g_task_set_check_cancellable (task, FALSE);
  if (self->state == AFORK_POOL_STATE_REFUSED || get_main (self) == NULL)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }

  if (mode == AFORK_SHUTDOWN_MODE_ABORT
      && (self->state == AFORK_POOL_STATE_OPEN || self->state == AFORK_POOL_STATE_DRAINING))
    begin_abort (self);
  else if (self->state == AFORK_POOL_STATE_OPEN)
    begin_drain (self);

  /* The pool is shut down even if the wait of the caller is cancelled. */
  if (g_cancellable_is_cancelled (cancellable))
    _afork_task_return_cancelled (task);
  else
    _afork_task_queue_push (&self->close_tasks, task);
  request_update (self);
}

/**
 * afork_pool_shutdown_finish:
 * @self: a pool
 * @result: what the callback was given
 * @error: return location for `G_IO_ERROR_CANCELLED`, or for `AFORK_ERROR_FAILED` or
 *   `AFORK_ERROR_CLOSED` if the main context of the pool cannot be used
 *
 * Returns whether the pool was shut down. If so, it has no jobs and no workers any more.
 *
 * Returns: true if the pool was shut down
 *
 * Since: 0.1
 */
gboolean
afork_pool_shutdown_finish (AForkPool     *self,
                            GAsyncResult  *result,
                            GError       **error)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_pool_shutdown_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * afork_pool_shutdown:
 * @self: a pool
 * @mode: what becomes of jobs that have not ended
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Pool.shutdown_finish] has it
 *
 * Blocking version of [method@AFork.Pool.shutdown_async]. Waits as [method@AFork.Pool.call] does.
 *
 * Returns: true if the pool was shut down
 *
 * Since: 0.1
 */
gboolean
afork_pool_shutdown (AForkPool          *self,
                     AForkShutdownMode   mode,
                     GCancellable       *cancellable,
                     GError            **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkPoolBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (!_afork_pool_begin_blocking (self, &blocking, error))
    return FALSE;

  afork_pool_shutdown_async (self, mode, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = _afork_pool_end_blocking (self, &blocking);
  return afork_pool_shutdown_finish (self, result, error);
}

/**
 * afork_pool_get_process: (get-property process)
 * @self: a pool
 *
 * Gets the template with which the pool was made.
 *
 * Returns: (transfer none): the template
 *
 * Since: 0.1
 */
AForkProcess *
afork_pool_get_process (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->process;
}

/**
 * afork_pool_get_function: (get-property function)
 * @self: a pool
 *
 * Gets the name of the function that serves jobs.
 *
 * Returns: (transfer none): its name
 *
 * Since: 0.1
 */
const char *
afork_pool_get_function (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->setup.function;
}

/**
 * afork_pool_get_init_function: (get-property init-function)
 * @self: a pool
 *
 * Gets the name of the function that a worker calls before it serves jobs.
 *
 * Returns: (transfer none) (nullable): its name, or `NULL`
 *
 * Since: 0.1
 */
const char *
afork_pool_get_init_function (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->setup.init_function;
}

/**
 * afork_pool_get_done_function: (get-property done-function)
 * @self: a pool
 *
 * Gets the name of the function that a worker calls before it exits.
 *
 * Returns: (transfer none) (nullable): its name, or `NULL`
 *
 * Since: 0.1
 */
const char *
afork_pool_get_done_function (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->setup.done_function;
}

/**
 * afork_pool_get_concurrent: (get-property concurrent)
 * @self: a pool
 *
 * Returns whether each worker serves many jobs at a time, by an
 * [callback@AFork.ConcurrentCallFunc].
 *
 * Returns: whether a worker serves many jobs at a time
 *
 * Since: 0.1
 */
gboolean
afork_pool_get_concurrent (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);

  return self->setup.concurrent;
}

/**
 * afork_pool_get_die_with_parent: (get-property die-with-parent)
 * @self: a pool
 *
 * Gets whether the workers exit when this program exits.
 *
 * Returns: true if they do
 *
 * Since: 0.1
 */
gboolean
afork_pool_get_die_with_parent (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);

  return self->setup.die_with_parent;
}

/**
 * afork_pool_get_forward_stderr: (get-property forward-stderr)
 * @self: a pool
 *
 * Gets whether the standard error output of the workers is forwarded to that of this program.
 *
 * Returns: true if it is forwarded
 *
 * Since: 0.1
 */
gboolean
afork_pool_get_forward_stderr (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);

  return self->setup.forward_stderr;
}

/**
 * afork_pool_get_trusted: (get-property trusted)
 * @self: a pool
 *
 * Gets whether the workers may send blobs in memory that they can still write to.
 *
 * Returns: true if they may
 *
 * Since: 0.1
 */
gboolean
afork_pool_get_trusted (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);

  return self->setup.trusted;
}

/**
 * afork_pool_get_max_workers: (get-property max-workers)
 * @self: a pool
 *
 * Gets the largest number of workers.
 *
 * Returns: a number of processes
 *
 * Since: 0.1
 */
guint
afork_pool_get_max_workers (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->limits.max_workers;
}

/**
 * afork_pool_set_max_workers: (set-property max-workers)
 * @self: a pool
 * @max_workers: a number of processes, at least 1; 0 counts as 1
 *
 * Sets the largest number of workers. If there are more, idle workers are ended at once, and other
 * workers when they have finished their jobs.
 *
 * Since: 0.1
 */
void
afork_pool_set_max_workers (AForkPool *self,
                            guint      max_workers)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  max_workers = MAX (max_workers, 1);
  if (afork_pool_get_max_workers (self) == max_workers)
    return;

  self->limits.max_workers = max_workers;
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MAX_WORKERS]);
}

/**
 * afork_pool_get_min_idle: (get-property min-idle)
 * @self: a pool
 *
 * Gets how many workers without a job are kept ready.
 *
 * Returns: a number of processes
 *
 * Since: 0.1
 */
guint
afork_pool_get_min_idle (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->limits.min_idle;
}

/**
 * afork_pool_set_min_idle: (set-property min-idle)
 * @self: a pool
 * @min_idle: a number of processes
 *
 * Sets how many workers without a job are kept ready.
 *
 * Since: 0.1
 */
void
afork_pool_set_min_idle (AForkPool *self,
                         guint      min_idle)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_min_idle (self) == min_idle)
    return;

  self->limits.min_idle = min_idle;
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MIN_IDLE]);
}

/**
 * afork_pool_get_load: (get-property load)
 * @self: a pool
 *
 * Gets the largest number of jobs that a worker has at a time.
 *
 * Returns: a number of jobs
 *
 * Since: 0.1
 */
guint
afork_pool_get_load (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->limits.load;
}

/**
 * afork_pool_set_load: (set-property load)
 * @self: a pool
 * @load: a number of jobs, 1 to 65535; any other number counts as the nearest of these
 *
 * Sets the largest number of jobs that a worker has at a time. A worker keeps the jobs that it
 * already has.
 *
 * Since: 0.1
 */
void
afork_pool_set_load (AForkPool *self,
                     guint      load)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  load = CLAMP (load, 1, MAX_LOAD);
  if (afork_pool_get_load (self) == load)
    return;

  self->limits.load = load;
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_LOAD]);
}

/**
 * afork_pool_get_start_delay: (get-property start-delay)
 * @self: a pool
 *
 * Gets how long jobs have to wait until one more worker is started.
 *
 * Returns: milliseconds, or 0
 *
 * Since: 0.1
 */
guint
afork_pool_get_start_delay (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return (guint) (self->limits.start_delay / 1000);
}

/**
 * afork_pool_set_start_delay: (set-property start-delay)
 * @self: a pool
 * @start_delay: milliseconds, or 0
 *
 * Sets how long jobs have to wait until one more worker is started.
 *
 * Since: 0.1
 */
void
afork_pool_set_start_delay (AForkPool *self,
                            guint      start_delay)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_start_delay (self) == start_delay)
    return;

  self->limits.start_delay = start_delay * G_GINT64_CONSTANT (1000);
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_START_DELAY]);
}

/**
 * afork_pool_get_stop_delay: (get-property stop-delay)
 * @self: a pool
 *
 * Gets how long workers have to be idle until one of them is ended.
 *
 * Returns: milliseconds, or 0
 *
 * Since: 0.1
 */
guint
afork_pool_get_stop_delay (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return (guint) (self->limits.stop_delay / 1000);
}

/**
 * afork_pool_set_stop_delay: (set-property stop-delay)
 * @self: a pool
 * @stop_delay: milliseconds, or 0
 *
 * Sets how long workers have to be idle until one of them is ended. With 0, they are ended at once.
 *
 * Since: 0.1
 */
void
afork_pool_set_stop_delay (AForkPool *self,
                           guint      stop_delay)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_stop_delay (self) == stop_delay)
    return;

  self->limits.stop_delay = stop_delay * G_GINT64_CONSTANT (1000);
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_STOP_DELAY]);
}

/**
 * afork_pool_get_max_calls: (get-property max-calls)
 * @self: a pool
 *
 * Gets how many jobs a worker gets before it is replaced.
 *
 * Returns: a number of jobs, or 0 for any number
 *
 * Since: 0.1
 */
guint
afork_pool_get_max_calls (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->limits.max_calls;
}

/**
 * afork_pool_set_max_calls: (set-property max-calls)
 * @self: a pool
 * @max_calls: a number of jobs, or 0 for any number
 *
 * Sets how many jobs a worker gets before it is replaced.
 *
 * Since: 0.1
 */
void
afork_pool_set_max_calls (AForkPool *self,
                          guint      max_calls)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_max_calls (self) == max_calls)
    return;

  self->limits.max_calls = max_calls;
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MAX_CALLS]);
}

/**
 * afork_pool_get_max_age: (get-property max-age)
 * @self: a pool
 *
 * Gets how long a worker serves before it is replaced.
 *
 * Returns: milliseconds, or 0 for any time
 *
 * Since: 0.1
 */
guint
afork_pool_get_max_age (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return (guint) (self->limits.max_age / 1000);
}

/**
 * afork_pool_set_max_age: (set-property max-age)
 * @self: a pool
 * @max_age: milliseconds, or 0 for any time
 *
 * Sets how long a worker serves before it is replaced.
 *
 * Since: 0.1
 */
void
afork_pool_set_max_age (AForkPool *self,
                        guint      max_age)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_max_age (self) == max_age)
    return;

  self->limits.max_age = max_age * G_GINT64_CONSTANT (1000);
  update_limits (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MAX_AGE]);
}

/**
 * afork_pool_get_max_memory: (get-property max-memory)
 * @self: a pool
 *
 * Gets how much resident memory a worker may have before it is replaced.
 *
 * Returns: bytes, or 0 for any amount
 *
 * Since: 0.1
 */
guint64
afork_pool_get_max_memory (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->max_memory;
}

/**
 * afork_pool_set_max_memory: (set-property max-memory)
 * @self: a pool
 * @max_memory: bytes, or 0 for any amount
 *
 * Sets how much resident memory a worker may have before it is replaced. Each worker is measured
 * after its next job.
 *
 * Since: 0.1
 */
void
afork_pool_set_max_memory (AForkPool *self,
                           guint64    max_memory)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_max_memory (self) == max_memory)
    return;

  self->max_memory = max_memory;
  if (self->context != NULL)
    request_update (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MAX_MEMORY]);
}

/**
 * afork_pool_get_queue_limit: (get-property queue-limit)
 * @self: a pool
 *
 * Gets the largest number of jobs that wait in the pool.
 *
 * Returns: a number of jobs, or 0 for any number
 *
 * Since: 0.1
 */
guint
afork_pool_get_queue_limit (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->queue_limit;
}

/**
 * afork_pool_set_queue_limit: (set-property queue-limit)
 * @self: a pool
 * @queue_limit: a number of jobs, or 0 for any number
 *
 * Sets the largest number of jobs that wait in the pool. Jobs that already wait stay, even if there
 * are more.
 *
 * Since: 0.1
 */
void
afork_pool_set_queue_limit (AForkPool *self,
                            guint      queue_limit)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_queue_limit (self) == queue_limit)
    return;

  self->queue_limit = queue_limit;
  if (self->context != NULL)
    request_update (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_QUEUE_LIMIT]);
}

/**
 * afork_pool_get_timeout: (get-property timeout)
 * @self: a pool
 *
 * Gets how long a job may take if it has no time limit of its own.
 *
 * Returns: milliseconds, or 0 for no limit
 *
 * Since: 0.1
 */
guint
afork_pool_get_timeout (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->timeout;
}

/**
 * afork_pool_set_timeout: (set-property timeout)
 * @self: a pool
 * @timeout: milliseconds, or 0 for no limit
 *
 * Sets how long a job may take if it has no time limit of its own. This applies to jobs that are
 * run from now on.
 *
 * Since: 0.1
 */
void
afork_pool_set_timeout (AForkPool *self,
                        guint      timeout)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_timeout (self) == timeout)
    return;

  self->timeout = timeout;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TIMEOUT]);
}

/**
 * afork_pool_get_grace: (get-property grace)
 * @self: a pool
 *
 * Gets how long a worker may go on with a job that has ended.
 *
 * Returns: milliseconds, or 0
 *
 * Since: 0.1
 */
guint
afork_pool_get_grace (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->grace;
}

/**
 * afork_pool_set_grace: (set-property grace)
 * @self: a pool
 * @grace: milliseconds, or 0
 *
 * Sets how long a worker may go on with a job that has ended.
 *
 * Since: 0.1
 */
void
afork_pool_set_grace (AForkPool *self,
                      guint      grace)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_grace (self) == grace)
    return;

  self->grace = grace;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_GRACE]);
}

/**
 * afork_pool_get_quarantine_time: (get-property quarantine-time)
 * @self: a pool
 *
 * Gets how long equal jobs are refused when a job has ended two workers.
 *
 * Returns: milliseconds, or 0 for never
 *
 * Since: 0.1
 */
guint
afork_pool_get_quarantine_time (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return (guint) (self->quarantine.time / 1000);
}

/**
 * afork_pool_set_quarantine_time: (set-property quarantine-time)
 * @self: a pool
 * @quarantine_time: milliseconds, or 0 for never
 *
 * Sets how long equal jobs are refused when a job has ended two workers. This applies also to jobs
 * that are refused already. With 0, no job is refused any more.
 *
 * Since: 0.1
 */
void
afork_pool_set_quarantine_time (AForkPool *self,
                                guint      quarantine_time)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  if (afork_pool_get_quarantine_time (self) == quarantine_time)
    return;

  _afork_quarantine_set_time (&self->quarantine, quarantine_time * G_GINT64_CONSTANT (1000));
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_QUARANTINE_TIME]);
}

/**
 * afork_pool_get_memory_monitor: (get-property memory-monitor)
 * @self: a pool
 *
 * Gets the monitor of the memory of the system, as it was set by the program.
 *
 * Returns: (transfer none) (nullable): a monitor, or `NULL`
 *
 * Since: 0.1
 */
GMemoryMonitor *
afork_pool_get_memory_monitor (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->memory_monitor;
}

/**
 * afork_pool_set_memory_monitor: (set-property memory-monitor)
 * @self: a pool
 * @memory_monitor: (nullable): a monitor, or `NULL`
 *
 * Sets the monitor of the memory of the system: see [property@AFork.Pool:memory-monitor].
 *
 * Since: 0.1
 */
void
afork_pool_set_memory_monitor (AForkPool      *self,
                               GMemoryMonitor *memory_monitor)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  g_return_if_fail (memory_monitor == NULL || G_IS_MEMORY_MONITOR (memory_monitor));
  if (!hold_or_warn (self, &hold))
    return;

  if (!g_set_object (&self->memory_monitor, memory_monitor))
    return;

  watch_monitors (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MEMORY_MONITOR]);
}

/**
 * afork_pool_get_power_monitor: (get-property power-monitor)
 * @self: a pool
 *
 * Gets the monitor of the power profile of the system, as it was set by the program.
 *
 * Returns: (transfer none) (nullable): a monitor, or `NULL`
 *
 * Since: 0.1
 */
GPowerProfileMonitor *
afork_pool_get_power_monitor (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->power_monitor;
}

/**
 * afork_pool_set_power_monitor: (set-property power-monitor)
 * @self: a pool
 * @power_monitor: (nullable): a monitor, or `NULL`
 *
 * Sets the monitor of the power profile of the system: see [property@AFork.Pool:power-monitor].
 *
 * Since: 0.1
 */
void
afork_pool_set_power_monitor (AForkPool            *self,
                              GPowerProfileMonitor *power_monitor)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  g_return_if_fail (power_monitor == NULL || G_IS_POWER_PROFILE_MONITOR (power_monitor));
  if (!hold_or_warn (self, &hold))
    return;

  if (!g_set_object (&self->power_monitor, power_monitor))
    return;

  watch_monitors (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_POWER_MONITOR]);
}

/**
 * afork_pool_get_adaptive: (get-property adaptive)
 * @self: a pool
 *
 * Returns whether the pool uses the monitors of GLib.
 *
 * Returns: whether it does, as far as the program has set no others
 *
 * Since: 0.1
 */
gboolean
afork_pool_get_adaptive (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);

  return self->is_adaptive;
}

/**
 * afork_pool_set_adaptive: (set-property adaptive)
 * @self: a pool
 * @adaptive: whether to use the monitors of GLib
 *
 * Sets whether the pool uses the monitors of GLib: see [property@AFork.Pool:adaptive]. With `TRUE`,
 * GLib may start threads in this program, and may wait for D-Bus meanwhile.
 *
 * Since: 0.1
 */
void
afork_pool_set_adaptive (AForkPool *self,
                         gboolean   adaptive)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_POOL (self));
  if (!hold_or_warn (self, &hold))
    return;

  adaptive = adaptive != FALSE;
  if (afork_pool_get_adaptive (self) == adaptive)
    return;

  self->is_adaptive = adaptive;
  watch_monitors (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_ADAPTIVE]);
}

/**
 * afork_pool_get_n_workers: (get-property n-workers)
 * @self: a pool
 *
 * Gets how many workers there are, including workers that start and workers that exit.
 *
 * Returns: a number of processes
 *
 * Since: 0.1
 */
guint
afork_pool_get_n_workers (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->slots.length;
}

/**
 * afork_pool_get_n_idle: (get-property n-idle)
 * @self: a pool
 *
 * Gets how many workers have no job and can get one.
 *
 * Returns: a number of processes
 *
 * Since: 0.1
 */
guint
afork_pool_get_n_idle (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->scheduler.n_idle;
}

/**
 * afork_pool_get_n_queued: (get-property n-queued)
 * @self: a pool
 *
 * Gets how many jobs wait in the pool.
 *
 * Returns: a number of jobs
 *
 * Since: 0.1
 */
guint
afork_pool_get_n_queued (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return (guint) MIN (count_queued (self), G_MAXUINT);
}

/**
 * afork_pool_get_n_running: (get-property n-running)
 * @self: a pool
 *
 * Gets how many jobs the workers have.
 *
 * Returns: a number of jobs
 *
 * Since: 0.1
 */
guint
afork_pool_get_n_running (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), 0);

  return self->n_running;
}

/**
 * afork_pool_get_unhealthy: (get-property unhealthy)
 * @self: a pool
 *
 * Returns whether workers or templates fail repeatedly: see [property@AFork.Pool:unhealthy].
 *
 * Returns: whether they do
 *
 * Since: 0.1
 */
gboolean
afork_pool_get_unhealthy (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), FALSE);

  return get_numbers (self).unhealthy;
}

/**
 * afork_pool_get_last_error: (get-property last-error)
 * @self: a pool
 *
 * Gets the most recent reason why a worker exited unexpectedly or could not start, or why a
 * template has exited or cannot be created again.
 *
 * Returns: (transfer none) (nullable): the reason, or `NULL` if there was none
 *
 * Since: 0.1
 */
const GError *
afork_pool_get_last_error (AForkPool *self)
{
  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  return self->last_error;
}

/**
 * afork_pool_get_stats:
 * @self: a pool
 *
 * Returns numbers about the pool, its jobs and its workers, as a dictionary of type `a{sv}`. Does
 * not block. The pool counts all the time, and this function only copies the numbers.
 *
 * Numbers of jobs since the pool was made, of type `t`. Jobs that share one run, see
 * [property@AFork.Job:coalesce], count as one job here and below:
 *
 * - `accepted`: jobs that the pool has accepted. This is the sum of `results`, `errors`, `n-queued`
 *   and `n-running`.
 * - `results`: jobs that have ended with a result
 * - `errors`: jobs that have ended with an error
 * - `cancelled`: jobs that have ended with `G_IO_ERROR_CANCELLED`; also in `errors`
 * - `timed-out`: jobs that have ended with `AFORK_ERROR_TIMED_OUT`; also in `errors`
 * - `retried`: how often a job was run again because of [property@AFork.Job:retries]
 * - `quarantined`: jobs that have ended with `AFORK_ERROR_QUARANTINED`. They are in `errors` if
 *   they were accepted before, and otherwise in none of the other numbers.
 * - `overloaded`: jobs that the pool has refused with `AFORK_ERROR_OVERLOADED`. They are in none of
 *   the other numbers.
 *
 * Numbers of now, of type `u`: `n-queued`, `n-running`, `n-workers` and `n-idle`, as the properties
 * with these names.
 *
 * Times of the jobs that workers have begun and that have ended, in microseconds, of type `t`:
 *
 * - `wait-p50`, `wait-p90` and `wait-p99`: 50, 90 or 99 percent of these jobs did not wait longer,
 *   from when the job was accepted until a worker began it. `wait-max` is the longest such time,
 *   and `wait-total` is the sum.
 * - `run-p50`, `run-p90`, `run-p99`, `run-max` and `run-total`: the same for the time from when a
 *   worker began the job until the answer arrived, or until the job was cancelled, took too long or
 *   was lost
 *
 * Each run of a job that is run again counts as a job of its own. Each quantile differs from the
 * exact one by at most 1/32 of it. Times are those that this program sees: a worker that serves one
 * job after the other begins a job when the answer of the previous job has arrived here.
 *
 * Bytes, of type `t`: `bytes-sent` and `bytes-received` over the sockets of the workers. The
 * contents of shared memory, in which large blobs are sent, are not included.
 *
 * Workers since the pool was made:
 *
 * - `workers-started`, of type `t`: workers that have begun to serve
 * - `workers-exited`, of type `a{st}`: how many workers have exited, by cause. Unexpected causes
 *   are `exited`, `signaled`, `out-of-memory`, `protocol`, `lost` and `host-lost`, as the
 *   [error@AFork.Error]
 *   with this name; `failed` is any other reason why a worker could not start or serve.
 *   `cancelled` and `timed-out`: the worker did not stop with such a job in time: see
 *   [property@AFork.Pool:grace]. `max-calls`, `max-age` and `max-memory`: the worker was
 *   replaced because of the property with this name. `cpu-time`: the worker was replaced before
 *   it had used the [property@AFork.Sandbox:cpu-time] of a further job. `retired`: the worker
 *   called [func@AFork.worker_retire]. `not-needed`: the worker was idle, or
 *   [property@AFork.Pool:max-workers] was reduced. `shutdown`: the pool was shut down.
 *
 * Workers of now: `workers`, of type `aa{sv}`, with one dictionary for each worker, in the order in
 * which they were started:
 *
 * - `pid`, of type `i`: the process ID, or 0 if it is not known yet, or the worker is on another
 *   host
 * - `host`, of type `s`: the name of the host that the worker is on, as
 *   [method@AFork.Process.dup_host] has it, or the empty string for this one
 * - `remote-pid`, of type `i`: the process ID on the other host, or 0 if it is not known yet. There
 *   is no such entry for workers on this host.
 * - `state`, of type `s`: the short name of an [enum@AFork.PoolWorkerState], such as `idle`
 * - `calls`, of type `u`: how many jobs the worker has got
 * - `n-jobs`, of type `u`: how many of these jobs it has now
 * - `rss`, of type `t`: its resident memory in bytes, when it was last measured. It is measured as
 *   described for [property@AFork.Pool:max-memory], also if that is 0. But then, this function has
 *   the worker measured for the next time that it is called. While the memory is not known, there
 *   is no such entry.
 *
 * Later versions may add entries. The dictionary is empty if this is not the thread of the pool, or
 * if this program is a fork of the program that made the pool.
 *
 * Returns: (transfer full): a dictionary
 *
 * Since: 0.1
 */
GVariant *
afork_pool_get_stats (AForkPool *self)
{
  g_autoptr(AForkHold) hold = NULL;
  GVariantBuilder builder;

  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  if (self->state == AFORK_POOL_STATE_REFUSED || hold_or_warn (self, &hold))
    build_stats (self, &builder);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/**
 * afork_pool_get_workers:
 * @self: a pool
 *
 * Returns the workers as a list of [class@AFork.PoolWorker], in the order in which they were
 * started, for example for a list view. It contains workers that start and workers that exit, as
 * [property@AFork.Pool:n-workers] does. A worker is added before
 * [signal@AFork.Pool::worker-started] is emitted, and removed before
 * [signal@AFork.Pool::worker-exited] is.
 *
 * The list and the properties of the workers change as long as the program has a reference to the
 * list. Without a list, the pool does nothing for it. Each call returns the same list while there
 * is one. When the pool is gone, the list is empty.
 *
 * The list emits [signal@Gio.ListModel::items-changed] only in the main context of the pool. If a
 * handler of the list iterates the main context, changes meanwhile become visible when the handler
 * returns. In other threads than that of the pool, this function returns an empty list.
 *
 * Returns: (transfer full): a list of [class@AFork.PoolWorker]
 *
 * Since: 0.1
 */
GListModel *
afork_pool_get_workers (AForkPool *self)
{
  g_autoptr(AForkHold) hold = NULL;
  AForkWorkerList *list;

  g_return_val_if_fail (AFORK_IS_POOL (self), NULL);

  if (self->state == AFORK_POOL_STATE_REFUSED || !hold_or_warn (self, &hold))
    return G_LIST_MODEL (_afork_worker_list_new ());
  list = ref_worker_list (self);
  if (list != NULL)
    return G_LIST_MODEL (list);

  list = _afork_worker_list_new ();
  g_weak_ref_set (&self->worker_list, list);
  self->has_worker_list = TRUE;
  for (GList *link = self->slots.head; link != NULL; link = link->next)
    {
      list_worker (self, link->data);
      plan_measure (self, link->data, g_get_monotonic_time ());
    }
  update_worker_list (self);
  return G_LIST_MODEL (list);
}
