/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Random jobs and maps of pools of one main context, and the allowed outcomes of each job. Each job
 * ends once: with the value that its worker must return, or with an error that an action on its
 * pool explains. */

#include "config.h"

#include "soak.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum
{
  MAX_POOLS = 3,
  MAX_JOBS = 60,                /* pending jobs, without those of maps */
  MAX_MAPS = 4,
  TIME_LIMIT = 30,              /* in milliseconds, of jobs that would not end */
};

/* A pool, which its jobs and maps keep. */
typedef struct
{
  PoolMix      *mix;
  guint         ref_count;
  AForkPool    *pool;           /* NULL once it was dropped */
  AForkProcess *template;
  GPtrArray    *workers;        /* of AForkProcess: those that serve */
  gboolean      concurrent;
  gboolean      closing;        /* it was shut down */
  gboolean      disturbed;      /* workers and templates may have exited */
} Pool;

typedef enum
{
  JOB_ECHO,
  JOB_SLEEP,
  JOB_ERROR,
  JOB_ENDLESS,                  /* until its time is over or it is cancelled */
  JOB_RETIRE,
  JOB_EXIT,                     /* the worker exits */
  N_JOBS
} JobKind;

static const char * const kind_names[N_JOBS] = {
  "echo", "sleep", "error", "endless", "retire", "exit",
};

typedef struct
{
  Pool         *pool;
  JobKind       kind;
  guint32       number;
  AForkJob     *job;            /* NULL for a plain call */
  GCancellable *cancellable;    /* or NULL */
  gboolean      cancelled;
  gboolean      ended;
} Job;

typedef struct
{
  Pool         *pool;
  AForkMap     *map;            /* NULL once it was dropped */
  guint         n_items;
  guint         n_returned;
  gboolean      is_ordered;
} Map;

struct _PoolMix
{
  GMainContext *context;
  GPtrArray    *pools;          /* that were not dropped */
  GPtrArray    *jobs;           /* pending jobs */
  GPtrArray    *maps;           /* with a pending operation */
  GPtrArray    *alive;          /* pools, including dropped ones, whose jobs, maps or shutdowns are
                                 * pending */
  GPtrArray    *processes;      /* workers that have started and not exited, and templates */
  int          *n_objects;      /* AForkPools that were not freed; a box with a reference for
                                 * each */
  gboolean      starved;
  guint         n_made;
  guint         n_ended;
};

static void
iterate (PoolMix  *self,
         gboolean  may_block)
{
  g_main_context_iteration (self->context, may_block);
}

static guint32
choose (const guint *numbers,
        gsize        n_numbers)
{
  return numbers[chance_below ((guint) n_numbers)];
}

/* Pools. */

static void
pool_unref (Pool *self)
{
  if (--self->ref_count > 0)
    return;

  g_assert (self->pool == NULL);
  g_ptr_array_remove_fast (self->mix->alive, self);
  g_ptr_array_unref (self->workers);
  g_object_unref (self->template);
  g_free (self);
}

static void
started_cb (AForkPool    *pool,
            AForkProcess *process,
            Pool         *self)
{
  g_ptr_array_add (self->workers, g_object_ref (process));
  g_ptr_array_add (self->mix->processes, g_object_ref (process));
}

static void
exited_cb (AForkPool    *pool,
           AForkProcess *process,
           GError       *error,
           Pool         *self)
{
  g_ptr_array_remove_fast (self->workers, process);
  g_ptr_array_remove_fast (self->mix->processes, process);
}

static void
set_limits (Pool *self)
{
  static const guint delays[] = { 0, 1, 10 };
  static const guint max_calls[] = { 0, 0, 1, 5, 50 };

  afork_pool_set_max_workers (self->pool, 1 + chance_below (4));
  afork_pool_set_load (self->pool, chance (50) ? 1 + chance_below (3) : 16);
  afork_pool_set_min_idle (self->pool, chance_below (3));
  afork_pool_set_start_delay (self->pool, choose (delays, G_N_ELEMENTS (delays)));
  afork_pool_set_stop_delay (self->pool, choose (delays, G_N_ELEMENTS (delays)));
  afork_pool_set_max_calls (self->pool, choose (max_calls, G_N_ELEMENTS (max_calls)));
  afork_pool_set_max_age (self->pool, chance (20) ? 1 + chance_below (50) : 0);
  afork_pool_set_max_memory (self->pool, chance (20) ? 1 << chance_below (30) : 0);
}

static void
pool_new (PoolMix *mix)
{
  Pool *self;

  if (mix->alive->len >= MAX_POOLS)
    return;

  self = g_new0 (Pool, 1);
  self->mix = mix;
  self->ref_count = 1;
  self->concurrent = chance (40);
  self->disturbed = mix->starved;
  self->workers = g_ptr_array_new_with_free_func (g_object_unref);
  self->template = afork_process_require (afork_process_new_exec (NULL), "pool");
  self->pool = g_object_new (AFORK_TYPE_POOL,
                             "process", self->template,
                             "function", self->concurrent ? "pool_later" : "pool_do",
                             "concurrent", self->concurrent,
                             "forward-stderr", FALSE,
                             "grace", 2,
                             "quarantine-time", 20,
                             NULL);
  set_limits (self);
  g_signal_connect (self->pool, "worker-started", G_CALLBACK (started_cb), self);
  g_signal_connect (self->pool, "worker-exited", G_CALLBACK (exited_cb), self);
  count_object (self->pool, mix->n_objects);
  g_ptr_array_add (mix->processes, g_object_ref (self->template));
  g_ptr_array_add (mix->pools, self);
  g_ptr_array_add (mix->alive, self);
  tally ("processes", self->concurrent ? "templates of concurrent pools" : "templates of pools");
}

static Pool *
pick_pool (PoolMix *mix)
{
  return mix->pools->len > 0
    ? g_ptr_array_index (mix->pools, chance_below (mix->pools->len)) : NULL;
}

/* The handlers of its signals use the mix. */
static void
disconnect (Pool *self)
{
  g_signal_handlers_disconnect_by_data (self->pool, self);
}

/* Its jobs continue; only they keep the object from now on. */
static void
pool_drop (Pool *self)
{
  tally ("drops", "of pools");
  disconnect (self);
  g_clear_object (&self->pool);
  g_ptr_array_remove_fast (self->mix->pools, self);
  pool_unref (self);
}

static void
shut_down_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  Pool *self = data;
  g_autoptr(GError) error = NULL;

  if (!afork_pool_shutdown_finish (AFORK_POOL (object), result, &error))
    g_error ("A pool was not shut down: %s", error->message);
  g_assert_cmpuint (afork_pool_get_n_workers (AFORK_POOL (object)), ==, 0);
  g_assert_cmpuint (afork_pool_get_n_queued (AFORK_POOL (object)), ==, 0);
  g_assert_cmpuint (afork_pool_get_n_running (AFORK_POOL (object)), ==, 0);
  self->mix->n_ended++;
  pool_unref (self);
}

static void
pool_shut_down (Pool *self)
{
  const gboolean aborts = chance (50);

  tally ("drops", aborts ? "aborted pools" : "drained pools");
  self->closing = TRUE;
  self->ref_count++;
  self->mix->n_made++;
  afork_pool_shutdown_async (self->pool,
                             aborts ? AFORK_SHUTDOWN_MODE_ABORT : AFORK_SHUTDOWN_MODE_DRAIN,
                             NULL, shut_down_cb, self);
}

static void
kill_worker (Pool *self)
{
  static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV };

  if (self->workers->len == 0)
    return;

  tally ("faults", "worker of a pool killed");
  self->disturbed = TRUE;
  afork_process_send_signal (g_ptr_array_index (self->workers, chance_below (self->workers->len)),
                             signals[chance_below (G_N_ELEMENTS (signals))]);
}

static void
kill_template (Pool *self)
{
  tally ("faults", "template of a pool killed");
  self->disturbed = TRUE;
  afork_process_send_signal (self->template, SIGKILL);
}

/* Jobs. */

static void
job_free (Job *self)
{
  g_clear_object (&self->job);
  g_clear_object (&self->cancellable);
  pool_unref (self->pool);
  g_free (self);
}

/* ERROR of a job of KIND cannot be explained. */
static void
check_error (Pool         *pool,
             JobKind       kind,
             gboolean      cancelled,
             const GError *error)
{
  const Errors exits = ERROR_BIT (SIGNALED) | ERROR_BIT (EXITED) | ERROR_BIT (LOST)
    | ERROR_BIT (QUARANTINED) | ERROR_BIT (SPAWN);

  if (pool->mix->starved)
    return;
  if (cancelled && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (pool->closing && g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED)
      && strstr (error->message, "shut down") != NULL)
    return;
  if (kind == JOB_ENDLESS && g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT)
      && strstr (error->message, "did not exit") == NULL)
    return;
  if (kind == JOB_ERROR && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_BUSY))
    return;
  if (pool->disturbed && error->domain == AFORK_ERROR
      && (exits & ((Errors) 1 << error->code)) != 0)
    return;
  g_error ("A job (%s, %s%s%s%s) failed: %s", kind_names[kind],
           pool->concurrent ? "concurrent" : "sequential", pool->disturbed ? ", disturbed" : "",
           pool->closing ? ", closing" : "", cancelled ? ", cancelled" : "", error->message);
}

static void
check_value (Pool     *pool,
             JobKind   kind,
             guint32   number,
             GVariant *value)
{
  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32));
  if (kind == JOB_ECHO && !pool->concurrent)
    g_assert_cmpuint (g_variant_get_uint32 (value), ==, number);
  g_assert_true (kind != JOB_ERROR && kind != JOB_EXIT);
}

static void
tally_end (JobKind       kind,
           const GError *error)
{
  g_autofree char *row = NULL;

  row = g_strdup_printf ("%s %s", kind_names[kind], error == NULL ? "succeeded" : "failed");
  tally ("answers to jobs", row);
}

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Job *self = data;
  PoolMix *mix = self->pool->mix;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_false (self->ended);
  self->ended = TRUE;
  value = self->job != NULL ? afork_pool_run_job_finish (AFORK_POOL (object), result, &error)
                            : afork_pool_call_finish (AFORK_POOL (object), result, &error);
  g_assert_true ((value == NULL) == (error != NULL));
  if (error == NULL)
    check_value (self->pool, self->kind, self->number, value);
  else
    check_error (self->pool, self->kind, self->cancelled, error);
  tally_end (self->kind, error);
  mix->n_ended++;
  g_ptr_array_remove_fast (mix->jobs, self);
  job_free (self);
}

static JobKind
choose_kind (void)
{
  const guint what = chance_below (100);

  if (what < 70)
    return JOB_ECHO;
  if (what < 80)
    return JOB_SLEEP;
  if (what < 88)
    return JOB_ERROR;
  if (what < 94)
    return JOB_ENDLESS;

  return what < 97 ? JOB_RETIRE : JOB_EXIT;
}

/* The arguments of pool_do() and pool_later(). */
static GVariant *
make_args (Pool    *pool,
           JobKind  kind,
           guint32  number)
{
  static const char * const endless[] = { "wait", "stuck", "hard" };

  switch (kind)
    {
    case JOB_SLEEP:
      return g_variant_new ("(su)", pool->concurrent ? "after" : "sleep", chance_below (5));
    case JOB_ERROR:
      return g_variant_new ("(su)", "error", G_IO_ERROR_BUSY);
    case JOB_ENDLESS:
      return g_variant_new ("(su)", pool->concurrent ? "never"
                                                     : endless[chance_below (3)], number);
    case JOB_RETIRE:
      return g_variant_new ("(su)", "retire", number);
    case JOB_EXIT:
      return g_variant_new ("(su)", "signal", SIGKILL);
    case JOB_ECHO:
    case N_JOBS:
    default:
      return g_variant_new ("(su)", "echo", number);
    }
}

static void
add_blob (AForkJob *job)
{
  static const gsize sizes[] = { 0, 1, 4096, 50000, 300000 };
  const gsize size = sizes[chance_below (G_N_ELEMENTS (sizes))];
  g_autoptr(GBytes) blob = g_bytes_new_take (g_malloc0 (size + 1), size);

  afork_job_add_blob (job, blob);
}

static AForkJob *
make_job (JobKind   kind,
          GVariant *args)
{
  AForkJob *job = afork_job_new (args);

  afork_job_set_priority (job, (int) chance_below (3));
  afork_job_set_retries (job, chance_below (3));
  afork_job_set_coalesce (job, chance (20));
  if (chance (20))
    afork_job_set_key (job, chance (50) ? "a" : "b");
  if (kind == JOB_ENDLESS)
    afork_job_set_timeout (job, TIME_LIMIT);
  for (guint i = chance (20) ? chance_below (4) : 0; i > 0; i--)
    add_blob (job);
  return job;
}

/* A concurrent worker has no function for it. */
static gboolean
suits (Pool    *pool,
       JobKind  kind)
{
  return !pool->concurrent || (kind != JOB_ERROR && kind != JOB_RETIRE);
}

static void
add_job (Pool *pool)
{
  PoolMix *mix = pool->mix;
  g_autoptr(GVariant) args = NULL;
  Job *self;

  if (mix->jobs->len >= MAX_JOBS)
    return;

  self = g_new0 (Job, 1);
  self->pool = pool;
  pool->ref_count++;
  self->kind = choose_kind ();
  if (!suits (pool, self->kind))
    self->kind = JOB_ECHO;
  self->number = chance_below (chance (50) ? 4 : 1000);
  args = g_variant_ref_sink (make_args (pool, self->kind, self->number));
  if (self->kind == JOB_ENDLESS || chance (50))
    self->job = make_job (self->kind, args);
  if (self->job == NULL || chance (30))
    self->cancellable = g_cancellable_new ();
  if (self->kind == JOB_EXIT)
    {
      tally ("faults", "job ends workers of a pool");
      pool->disturbed = TRUE;
    }

  mix->n_made++;
  g_ptr_array_add (mix->jobs, self);
  if (self->job != NULL)
    afork_pool_run_job_async (pool->pool, self->job, self->cancellable, ended_cb, self);
  else
    afork_pool_call_async (pool->pool, args, self->cancellable, ended_cb, self);
}

static void
change_job (PoolMix *mix)
{
  Job *self;

  if (mix->jobs->len == 0)
    return;

  self = g_ptr_array_index (mix->jobs, chance_below (mix->jobs->len));
  if (self->job != NULL && chance (30))
    {
      afork_job_set_priority (self->job, (int) chance_below (3));
      return;
    }

  tally ("faults", "job of a pool cancelled");
  self->cancelled = TRUE;
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  else
    afork_job_cancel (self->job);
}

/* Maps. Each item is returned once, and then NULL, unless the map is dropped. */

static void next_item (Map *self);

static void
map_free (Map *self)
{
  g_ptr_array_remove_fast (self->pool->mix->maps, self);
  g_clear_object (&self->map);
  pool_unref (self->pool);
  g_free (self);
}

/* The pool of a map was shut down before it had all items. */
static void
check_map_error (Pool         *pool,
                 const GError *error)
{
  if (!pool->mix->starved
      && (!pool->closing || !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED)))
    g_error ("A map failed: %s", error->message);
}

static void
next_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  Map *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkJob) job = afork_map_next_finish (AFORK_MAP (object), result, &error);

  self->pool->mix->n_ended++;
  if (error != NULL)
    check_map_error (self->pool, error);
  else if (job == NULL)
    g_assert_cmpuint (self->n_returned, ==, self->n_items);
  if (job == NULL)
    {
      map_free (self);
      return;
    }

  if (self->is_ordered)
    g_assert_cmpuint (afork_job_get_index (job), ==, self->n_returned);
  if (afork_job_get_error (job) != NULL)
    check_error (self->pool, JOB_ECHO, FALSE, afork_job_get_error (job));
  else
    check_value (self->pool, JOB_ECHO, (guint32) afork_job_get_index (job),
                 afork_job_get_result (job));
  tally_end (JOB_ECHO, afork_job_get_error (job));
  self->n_returned++;
  if (chance (5))
    {
      tally ("drops", "of maps");
      map_free (self);
      return;
    }

  next_item (self);
}

static void
next_item (Map *self)
{
  self->pool->mix->n_made++;
  afork_map_next_async (self->map, NULL, next_cb, self);
}

static void
add_map (Pool *pool)
{
  PoolMix *mix = pool->mix;
  GVariantBuilder builder;
  Map *self;

  if (mix->maps->len >= MAX_MAPS)
    return;

  self = g_new0 (Map, 1);
  self->pool = pool;
  pool->ref_count++;
  self->n_items = chance_below (40);
  self->is_ordered = chance (50);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(su)"));
  for (guint i = 0; i < self->n_items; i++)
    g_variant_builder_add (&builder, "(su)", "echo", i);
  self->map = afork_pool_map (pool->pool, g_variant_builder_end (&builder),
                              self->is_ordered ? AFORK_MAP_ORDERED : AFORK_MAP_UNORDERED);
  g_ptr_array_add (mix->maps, self);
  next_item (self);
}

/* All of them. */

PoolMix *
pool_mix_new (void)
{
  PoolMix *self = g_new0 (PoolMix, 1);

  self->context = g_main_context_get_thread_default ();
  self->pools = g_ptr_array_new ();
  self->jobs = g_ptr_array_new ();
  self->maps = g_ptr_array_new ();
  self->alive = g_ptr_array_new ();
  self->processes = g_ptr_array_new_with_free_func (g_object_unref);
  self->n_objects = g_atomic_rc_box_new0 (int);
  return self;
}

void
pool_mix_step (PoolMix *self)
{
  Pool *pool = pick_pool (self);
  const guint what = chance_below (100);

  if (pool == NULL || what < 4)
    pool_new (self);
  else if (what < 55)
    for (guint i = chance (20) ? chance_below (30) : 1; i > 0 && !pool->closing; i--)
      add_job (pool);
  else if (what < 60 && !pool->closing)
    add_map (pool);
  else if (what < 67)
    change_job (self);
  else if (what < 70)
    set_limits (pool);
  else if (what < 74)
    kill_worker (pool);
  else if (what < 75)
    kill_template (pool);
  else if (what < 77)
    pool_drop (pool);
  else if (what < 79)
    pool_shut_down (pool);
  else
    for (guint i = chance_below (8); i > 0; i--)
      iterate (self, FALSE);
}

/* Templates that are executed meanwhile keep the low limit. */
void
pool_mix_starve (PoolMix *self)
{
  self->starved = TRUE;
}

void
pool_mix_use_lost (PoolMix *self)
{
  for (guint i = self->pools->len; i-- > 0;)
    {
      Pool *pool = g_ptr_array_index (self->pools, i);
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;

      value = afork_pool_call (pool->pool, g_variant_new ("(su)", "echo", 1), NULL, &error);
      g_assert_null (value);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
      if (chance (30))
        pool_drop (pool);
    }
}

void
pool_mix_describe (PoolMix *self)
{
  g_test_message ("  %u of %u operations of pools", self->n_made - self->n_ended, self->n_made);
  for (guint i = 0; i < self->jobs->len; i++)
    {
      Job *job = g_ptr_array_index (self->jobs, i);

      g_test_message ("  job %s %u%s%s", kind_names[job->kind], job->number,
                      job->pool->disturbed ? ", disturbed" : "",
                      job->pool->closing ? ", closing" : "");
    }
}

void
pool_mix_update_outcomes (PoolMix *self)
{
  while (self->n_ended < self->n_made)
    iterate (self, TRUE);
  g_assert_cmpuint (self->jobs->len, ==, 0);
  g_assert_cmpuint (self->maps->len, ==, 0);
}

void
pool_mix_free (PoolMix *self)
{
  while (self->pools->len > 0)
    {
      if (chance (50))
        pool_shut_down (g_ptr_array_index (self->pools, 0));
      pool_drop (g_ptr_array_index (self->pools, 0));
    }
  pool_mix_update_outcomes (self);
  for (guint i = 0; i < self->processes->len; i++)
    while (afork_process_get_state (self->processes->pdata[i]) == AFORK_PROCESS_STATE_RUNNING)
      iterate (self, TRUE);
  while (g_atomic_int_get (self->n_objects) > 0)
    iterate (self, TRUE);
  while (g_main_context_pending (self->context))
    iterate (self, FALSE);

  g_assert_cmpuint (self->alive->len, ==, 0);
  g_ptr_array_unref (self->alive);
  g_ptr_array_unref (self->jobs);
  g_ptr_array_unref (self->maps);
  g_ptr_array_unref (self->pools);
  g_ptr_array_unref (self->processes);
  g_atomic_rc_box_release (self->n_objects);
  g_free (self);
}
