/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The decisions of a pool, in simulated time. In random workloads, the scheduler must decide as the
 * model does. In single cases, workers must be started and ended at certain times. */

#include "scheduler-model.h"

#include <string.h>
#include <time.h>

enum { MS = 1000, SECOND = 1000 * MS };

typedef struct
{
  AForkSchedulerWorker base;      /* first */
  guint                id;
  gboolean             is_gone;   /* its process has exited */
  gint64               start_time;  /* when the worker will have started */
} Worker;

typedef struct
{
  AForkSchedulerJob    base;      /* first */
  guint                id;
  char                 key[8];
  Worker              *worker;    /* the worker that got the job last */
  gint64               end_time;  /* when the job will be finished, if a worker has it */
  guint                length;    /* how long the job takes, in microseconds */
} Job;

/* A simulated pool. */
typedef struct
{
  AForkScheduler  scheduler;
  Model           model;
  gboolean        has_model;
  AForkSchedulerTemplate templates[MODEL_MAX_TEMPLATES];
  guint           n_templates;
  gint64          now;
  gint64          wake_time;      /* or -1 */
  GPtrArray      *workers;        /* of Worker: those that have not exited */
  GPtrArray      *jobs;           /* of Job: those that have not ended */
  guint           n_jobs;         /* all jobs that were ever added */
  guint           n_finished;
  gint64          time_to_start;
  GString        *log;            /* the steps that were done, or NULL */
} Pool;

static void
pool_add_template (Pool  *self,
                   guint  max_workers)
{
  _afork_scheduler_add_template (&self->scheduler, &self->templates[self->n_templates++],
                                 max_workers);
  model_add_template (&self->model, max_workers);
}

static void
pool_set_template_slow (Pool  *self,
                        guint  template)
{
  _afork_scheduler_set_template_slow (&self->templates[template]);
  model_set_template_slow (&self->model, template);
}

static void
pool_set_template_time (Pool   *self,
                        guint   template,
                        gint64  time)
{
  _afork_scheduler_set_template_time (&self->templates[template], time);
  model_set_template_time (&self->model, template, time);
}

/* Makes a pool without templates. */
static void
pool_init (Pool                       *self,
           const AForkSchedulerLimits *limits,
           gboolean                    has_model)
{
  *self = (Pool) { .has_model = has_model, .wake_time = -1 };
  _afork_scheduler_init (&self->scheduler, limits);
  model_init (&self->model, limits);
  self->workers = g_ptr_array_new ();
  self->jobs = g_ptr_array_new_with_free_func (g_free);
}

static void
note (Pool       *self,
      const char *what,
      guint       number)
{
  if (self->log != NULL)
    {
      if (self->log->len > 0)
        g_string_append_c (self->log, ' ');
      g_string_append_printf (self->log, "%s%u@%" G_GINT64_FORMAT, what, number, self->now / MS);
    }
}

static Job *
pool_add_job (Pool       *self,
              guint       length,
              int         priority,
              const char *key)
{
  Job *job = g_new0 (Job, 1);

  job->id = ++self->n_jobs;
  job->length = length;
  if (key != NULL)
    g_strlcpy (job->key, key, sizeof job->key);
  _afork_scheduler_add_job (&self->scheduler, &job->base, priority,
                            key != NULL ? job->key : NULL);
  model_add_job (&self->model, job->id, priority, key);
  g_ptr_array_add (self->jobs, job);
  return job;
}

/* Returns when the worker will have finished its jobs. */
static gint64
get_end_time (Pool   *self,
              Worker *worker)
{
  gint64 time = self->now;

  for (guint i = 0; i < self->jobs->len; i++)
    {
      Job *job = g_ptr_array_index (self->jobs, i);

      if (job->base.worker == &worker->base)
        time = MAX (time, job->end_time);
    }

  return time;
}

static void
do_start (Pool                   *self,
          AForkSchedulerTemplate *template)
{
  Worker *worker = g_new0 (Worker, 1);

  _afork_scheduler_add_worker (&self->scheduler, template, &worker->base);
  worker->id = (guint) worker->base.number;
  worker->start_time = self->now + self->time_to_start;
  /* A host has to be connected first, which takes some workers long. */
  if (template->may_be_slow && g_test_rand_int_range (0, 4) == 0)
    worker->start_time += g_test_rand_int_range (0, 2) * 2 * AFORK_SCHEDULER_PATIENCE;
  g_ptr_array_add (self->workers, worker);
  note (self, template == &self->templates[0] ? "start" : "start-other", worker->id);
}

static void
do_give (Pool   *self,
         Worker *worker,
         Job    *job)
{
  job->end_time = 0;
  job->end_time = get_end_time (self, worker) + job->length;
  job->worker = worker;
  note (self, "give", worker->id);
}

static void
worker_free (Pool   *self,
             Worker *worker)
{
  g_ptr_array_remove (self->workers, worker);
  g_free (worker);
}

/* Does the steps of the scheduler until nothing is left to be done now. The model must give the
 * same steps. */
static void
pool_schedule (Pool *self)
{
  AForkSchedulerSubject subject;
  AForkSchedulerStep step;

  do
    {
      Worker *worker;
      Job *job;
      guint template = 0;
      guint worker_id;
      guint job_id = 0;

      step = _afork_scheduler_next (&self->scheduler, self->now, &subject);
      worker = (Worker *) subject.worker;
      job = (Job *) subject.job;
      if (step == AFORK_SCHEDULER_START)
        do_start (self, subject.template);

      if (self->has_model)
        {
          worker_id = step == AFORK_SCHEDULER_END ? worker->id : 0;
          g_assert_cmpint (model_next (&self->model, self->now, &template, &worker_id, &job_id), ==,
                           step);
          if (step == AFORK_SCHEDULER_START)
            g_assert_true (subject.template == &self->templates[template]);
          if (worker != NULL)
            g_assert_cmpuint (worker_id, ==, worker->id);
          if (job != NULL)
            g_assert_cmpuint (job_id, ==, job->id);
        }

      if (step == AFORK_SCHEDULER_GIVE)
        do_give (self, worker, job);
      else if (step == AFORK_SCHEDULER_END)
        {
          note (self, "end", worker->id);
          worker_free (self, worker);
        }
    }
  while (step != AFORK_SCHEDULER_WAIT);

  self->wake_time = _afork_scheduler_get_wake_time (&self->scheduler);
  g_assert_true (self->wake_time < 0 || self->wake_time > self->now);
  if (self->has_model)
    {
      g_assert_cmpint (model_get_wake_time (&self->model, self->now), ==, self->wake_time);
      g_assert_cmpuint (self->model.waiting->len, ==, self->scheduler.queue.n_jobs);
    }
}

static void
finish_job (Pool *self,
            Job  *job)
{
  Worker *worker = (Worker *) job->base.worker;

  _afork_scheduler_job_finished (&self->scheduler, &job->base);
  model_job_finished (&self->model, job->id);
  note (self, "done", worker->id);
  self->n_finished++;
  g_ptr_array_remove (self->jobs, job);
}

static void
start_worker (Pool   *self,
              Worker *worker)
{
  _afork_scheduler_started (&self->scheduler, &worker->base, self->now);
  model_started (&self->model, worker->id, self->now);
  worker->start_time = -1;
}

/* Lets time pass until an event happens, at most until END. Returns false if none happens. */
static gboolean
pool_step (Pool   *self,
           gint64  end)
{
  gint64 time = self->wake_time >= 0 ? self->wake_time : G_MAXINT64;
  Worker *starting = NULL;
  Job *ending = NULL;

  for (guint i = 0; i < self->workers->len; i++)
    {
      Worker *worker = g_ptr_array_index (self->workers, i);

      if (worker->start_time >= 0 && worker->start_time < time)
        {
          time = worker->start_time;
          starting = worker;
        }
    }
  for (guint i = 0; i < self->jobs->len; i++)
    {
      Job *job = g_ptr_array_index (self->jobs, i);

      if (job->base.worker != NULL && job->base.worker->state != AFORK_SCHEDULER_WORKER_ENDED
          && job->end_time < time)
        {
          time = job->end_time;
          starting = NULL;
          ending = job;
        }
    }

  if (time > end)
    {
      self->now = MAX (self->now, end);
      return FALSE;
    }

  self->now = MAX (self->now, time);
  if (ending != NULL)
    finish_job (self, ending);
  else if (starting != NULL)
    start_worker (self, starting);
  pool_schedule (self);
  return TRUE;
}

static void
pool_run (Pool   *self,
          gint64  end)
{
  pool_schedule (self);
  while (pool_step (self, end))
    ;
}

/* Has the worker exit. Each of its jobs is lost if LOSE, and put back otherwise. */
static void
kill_worker (Pool     *self,
             Worker   *worker,
             gboolean  lose)
{
  _afork_scheduler_exited (&self->scheduler, &worker->base, self->now);
  model_exited (&self->model, worker->id, self->now);
  note (self, "exit", worker->id);
  for (guint i = self->jobs->len; i > 0; i--)
    {
      Job *job = g_ptr_array_index (self->jobs, i - 1);

      if (job->base.worker != &worker->base)
        continue;

      _afork_scheduler_job_lost (&self->scheduler, &job->base);
      if (lose)
        {
          model_job_lost (&self->model, job->id);
          g_ptr_array_remove (self->jobs, job);
        }
      else
        {
          _afork_scheduler_put_back (&self->scheduler, &job->base);
          model_put_back (&self->model, job->id);
        }
    }

  worker_free (self, worker);
}

static void
set_limits (Pool                       *self,
            const AForkSchedulerLimits *limits)
{
  _afork_scheduler_set_limits (&self->scheduler, limits);
  model_set_limits (&self->model, limits);
}

/* Ends the pool, which must be possible with any limits. */
static void
pool_clear (Pool *self)
{
  AForkSchedulerLimits limits = self->scheduler.limits;

  for (guint i = 0; i < self->workers->len; i++)
    {
      Worker *worker = g_ptr_array_index (self->workers, i);

      _afork_scheduler_release (&self->scheduler, &worker->base);
      model_release (&self->model, worker->id);
    }
  for (guint i = 0; i < self->n_templates; i++)
    pool_set_template_time (self, i, 0);
  limits.min_idle = 0;
  limits.stop_delay = 0;
  set_limits (self, &limits);
  pool_run (self, G_MAXINT64 - 1);
  g_assert_cmpuint (self->jobs->len, ==, 0);
  g_assert_cmpuint (self->workers->len, ==, 0);
  g_assert_cmpuint (self->scheduler.n_counted, ==, 0);
  g_assert_cmpuint (self->scheduler.n_busy, ==, 0);
  _afork_scheduler_clear (&self->scheduler);
  model_clear (&self->model);
  g_ptr_array_unref (self->workers);
  g_ptr_array_unref (self->jobs);
}

/* What a pool does when memory is low: all idle workers are ended at once, unless jobs wait. */
static void
trim (Pool *self)
{
  AForkSchedulerLimits limits = self->scheduler.limits;
  const gint64 stop_delay = limits.stop_delay;

  limits.min_idle = 0;
  limits.stop_delay = 0;
  set_limits (self, &limits);
  pool_schedule (self);
  g_assert_true (self->scheduler.queue.n_jobs > 0 || self->scheduler.n_idle == 0);
  limits.stop_delay = stop_delay;
  set_limits (self, &limits);
}

/* What a pool does when power is to be saved: from now on it does not grow. */
static void
stop_growth (Pool *self)
{
  AForkSchedulerLimits limits = self->scheduler.limits;

  limits.max_workers = CLAMP (self->scheduler.n_counted, 1, limits.max_workers);
  set_limits (self, &limits);
}

/* Random workloads. */

static void
random_limits (AForkSchedulerLimits *limits)
{
  const gint64 delays[] = { 0, 10 * MS, 100 * MS, SECOND };

  limits->max_workers = (guint) g_test_rand_int_range (1, g_test_rand_bit () ? 7 : 25);
  limits->min_idle = (guint) (g_test_rand_int_range (0, 3) == 0 ? g_test_rand_int_range (0, 5) : 0);
  limits->load = (guint) g_test_rand_int_range (1, 5);
  limits->start_delay = delays[g_test_rand_int_range (0, G_N_ELEMENTS (delays))];
  limits->stop_delay = delays[g_test_rand_int_range (0, G_N_ELEMENTS (delays))];
  limits->max_calls = (guint) (g_test_rand_bit () ? 0 : g_test_rand_int_range (1, 9));
  limits->max_age = g_test_rand_bit () ? 0 : g_test_rand_int_range (1, 5) * 50 * MS;
}

static void
random_job (Pool *self)
{
  char key[8];

  g_snprintf (key, sizeof key, "k%d", g_test_rand_int_range (0, 300));
  pool_add_job (self, (guint) g_test_rand_int_range (0, 50 * MS), g_test_rand_int_range (0, 3),
                g_test_rand_bit () ? key : NULL);
}

static void
set_alone (Pool *self,
           Job  *job)
{
  _afork_scheduler_set_alone (&job->base);
  model_set_alone (&self->model, job->id);
}

static void
change_job (Pool *self,
            Job  *job)
{
  const int priority = g_test_rand_int_range (0, 3);

  if (job->base.worker == NULL && g_test_rand_int_range (0, 3) == 0)
    set_alone (self, job);

  if (job->base.worker == NULL && g_test_rand_bit ())
    {
      _afork_scheduler_remove_job (&job->base);
      model_remove_job (&self->model, job->id);
      g_ptr_array_remove (self->jobs, job);
      return;
    }

  _afork_scheduler_set_priority (&job->base, priority);
  model_set_priority (&self->model, job->id, priority);
}

static void
change_worker (Pool   *self,
               Worker *worker)
{
  switch (g_test_rand_int_range (0, 5))
    {
    case 0:
      kill_worker (self, worker, g_test_rand_bit ());
      break;
    case 1:
      _afork_scheduler_retire (&self->scheduler, &worker->base);
      model_retire (&self->model, worker->id);
      break;
    case 2:
      _afork_scheduler_hold (&self->scheduler, &worker->base);
      model_hold (&self->model, worker->id);
      break;
    case 3:
      _afork_scheduler_release (&self->scheduler, &worker->base);
      model_release (&self->model, worker->id);
      break;
    default:
      _afork_scheduler_end_worker (&self->scheduler, &worker->base);
      model_end_worker (&self->model, worker->id);
      kill_worker (self, worker, FALSE);
    }
}

/* In some runs there are few templates, and in others many. */
static void
random_templates (Pool *self)
{
  const int max = g_test_rand_bit () ? 3 : MODEL_MAX_TEMPLATES;

  for (int n = g_test_rand_int_range (1, max + 1); n > 0; n--)
    {
      pool_add_template (self, (guint) g_test_rand_int_range (0, 4));
      if (g_test_rand_bit ())
        pool_set_template_slow (self, self->n_templates - 1);
    }
}

static void
change_template_limit (Pool *self)
{
  const guint template = (guint) g_test_rand_int_range (0, (int) self->n_templates);
  const guint max_workers = (guint) g_test_rand_int_range (0, 4);

  _afork_scheduler_set_template_limit (&self->templates[template], max_workers);
  model_set_template_limit (&self->model, template, max_workers);
}

/* A template has exited, and can be used again later, or never; or it can be used again now. */
static void
change_template (Pool *self)
{
  const guint template = (guint) g_test_rand_int_range (0, (int) self->n_templates);
  const gint64 times[] = {
    0, self->now, self->now + g_test_rand_int_range (0, 500 * MS), G_MAXINT64,
  };

  pool_set_template_time (self, template, times[g_test_rand_int_range (0, G_N_ELEMENTS (times))]);
}

static gpointer
pick (GPtrArray *array)
{
  return g_ptr_array_index (array, (guint) g_test_rand_int_range (0, (int) array->len));
}

static void
random_event (Pool *self)
{
  AForkSchedulerLimits limits;

  switch (g_test_rand_int_range (0, 14))
    {
    case 0:
      random_limits (&limits);
      set_limits (self, &limits);
      break;
    case 1:
      if (self->jobs->len > 0)
        change_job (self, pick (self->jobs));
      break;
    case 2:
      if (self->workers->len > 0)
        change_worker (self, pick (self->workers));
      break;
    case 3:
      change_template (self);
      break;
    case 12:
      change_template_limit (self);
      break;
    case 4:
      if (g_test_rand_bit ())
        trim (self);
      else
        stop_growth (self);
      break;
    default:
      for (int n = g_test_rand_int_range (0, 6); n > 0; n--)
        random_job (self);
    }
}

static void
test_scheduler_model (void)
{
  enum { N_RUNS = 150, N_EVENTS = 300 };
  guint n_jobs = 0;
  guint n_finished = 0;

  for (guint run = 0; run < N_RUNS; run++)
    {
      AForkSchedulerLimits limits = { 0 };
      Pool pool;

      random_limits (&limits);
      pool_init (&pool, &limits, TRUE);
      random_templates (&pool);
      pool.time_to_start = g_test_rand_int_range (0, 3) * 20 * MS;
      for (guint i = 0; i < N_EVENTS; i++)
        {
          random_event (&pool);
          pool_run (&pool, pool.now + g_test_rand_int_range (0, 100 * MS));
        }
      pool_clear (&pool);
      n_jobs += pool.n_jobs;
      n_finished += pool.n_finished;
    }

  g_test_message ("%u jobs, %u finished", n_jobs, n_finished);
  g_assert_cmpuint (n_finished, >, n_jobs / 2);
}

/* Single cases. */

static const AForkSchedulerLimits usual = {
  .max_workers = 4, .load = 2, .start_delay = 100 * MS, .stop_delay = 10 * SECOND,
};

static void
check_log (Pool       *self,
           const char *expected)
{
  g_assert_cmpstr (self->log->str, ==, expected);
  g_string_set_size (self->log, 0);
}

static void
begin_case (Pool                       *self,
            const AForkSchedulerLimits *limits)
{
  pool_init (self, limits, TRUE);
  pool_add_template (self, 0);
  self->log = g_string_new (NULL);
}

static void
end_case (Pool *self)
{
  g_string_free (g_steal_pointer (&self->log), TRUE);
  pool_clear (self);
}

/* Keeps only the entries of the log that begin with WORD. */
static void
filter_log (Pool       *self,
            const char *word)
{
  g_auto(GStrv) parts = g_strsplit (self->log->str, " ", -1);

  g_string_set_size (self->log, 0);
  for (char **part = parts; *part != NULL; part++)
    if (g_str_has_prefix (*part, word))
      g_string_append_printf (self->log, "%s%s", self->log->len > 0 ? " " : "", *part);
}

static void
test_scheduler_ramp (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.load = 1;
  limits.start_delay = 200 * MS;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 12; i++)
    pool_add_job (&pool, 500 * MS, 0, NULL);
  pool_run (&pool, 5 * SECOND);
  filter_log (&pool, "start");
  check_log (&pool, "start1@0 start2@200 start3@400 start4@600");
  end_case (&pool);
}

/* No worker is started for jobs that fit into the load of the workers. Other jobs wait. */
static void
test_scheduler_load (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.max_workers = 2;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 8; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 900 * MS);
  check_log (&pool, "start1@0 give1@0 give1@0 start2@100 give2@100 give2@100");
  end_case (&pool);

  begin_case (&pool, &limits);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 10 * SECOND);
  filter_log (&pool, "start");
  check_log (&pool, "start1@0");
  end_case (&pool);
}

/* Without a delay, workers are started at once, even for jobs that come while workers start. */
static void
test_scheduler_no_start_delay (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.start_delay = 0;
  begin_case (&pool, &limits);
  pool.time_to_start = 50 * MS;
  for (guint i = 0; i < 5; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 40 * MS);
  check_log (&pool, "start1@0 start2@0 start3@0");
  for (guint i = 0; i < 5; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 45 * MS);
  check_log (&pool, "start4@40");
  end_case (&pool);
}

static void
test_scheduler_least_loaded (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.max_workers = 3;
  limits.min_idle = 3;
  limits.load = 3;
  begin_case (&pool, &limits);
  pool_run (&pool, 0);
  check_log (&pool, "start1@0 start2@0 start3@0");
  pool_add_job (&pool, 10 * MS, 0, NULL);
  for (guint i = 0; i < 5; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 5 * MS);
  check_log (&pool, "give1@0 give2@0 give3@0 give1@0 give2@0 give3@0");
  pool_run (&pool, 20 * MS);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 20 * MS);
  check_log (&pool, "done1@10 give1@20");
  end_case (&pool);
}

/* Workers for min-idle are started without a delay, when the pool is made and when other workers
 * get busy, and are kept. */
static void
test_scheduler_min_idle (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.min_idle = 2;
  begin_case (&pool, &limits);
  pool.time_to_start = 5 * MS;
  pool_run (&pool, SECOND);
  check_log (&pool, "start1@0 start2@0");
  pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 100 * SECOND);
  check_log (&pool, "give1@1000 start3@1000 done1@1100 end3@11100");
  end_case (&pool);
}

static void
test_scheduler_stop (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.load = 1;
  limits.start_delay = 0;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 100 * SECOND);
  filter_log (&pool, "end");
  check_log (&pool, "end3@11000 end2@21000 end1@31000");
  end_case (&pool);

  limits.stop_delay = 0;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 100 * SECOND);
  filter_log (&pool, "end");
  check_log (&pool, "end1@1000 end2@1000 end3@1000");
  end_case (&pool);
}

static void
set_max_workers (Pool  *self,
                 guint  max_workers)
{
  AForkSchedulerLimits limits = self->scheduler.limits;

  limits.max_workers = max_workers;
  set_limits (self, &limits);
}

static void
test_scheduler_max_workers (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.load = 1;
  limits.start_delay = 0;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, SECOND * (i + 1), 0, NULL);
  pool_run (&pool, 1500 * MS);
  check_log (&pool, "start1@0 start2@0 start3@0 give1@0 give2@0 give3@0 done1@1000");

  /* The idle worker is ended at once, and a busy worker when it has finished its jobs. */
  set_max_workers (&pool, 1);
  pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 4 * SECOND);
  check_log (&pool, "end1@1500 done2@2000 done3@3000 give2@3000 end3@3000 done2@3100");

  set_max_workers (&pool, 4);
  for (guint i = 0; i < 2; i++)
    pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 4 * SECOND);
  check_log (&pool, "give2@4000 start4@4000 give4@4000");
  end_case (&pool);
}

/* When memory is low, idle workers are ended at once, even those for min-idle, and a worker with a
 * job goes on. */
static void
test_scheduler_trim (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.min_idle = 2;
  begin_case (&pool, &limits);
  pool_run (&pool, 10 * MS);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 100 * MS);
  check_log (&pool, "start1@0 start2@0 give1@10 start3@10");

  trim (&pool);
  check_log (&pool, "end3@100 end2@100");
  pool_run (&pool, 2 * SECOND);
  check_log (&pool, "done1@1010");
  pool_add_job (&pool, 10 * MS, 0, NULL);
  pool_run (&pool, 5 * SECOND);
  check_log (&pool, "give1@2000 done1@2010");

  limits.min_idle = 2;
  set_limits (&pool, &limits);
  pool_run (&pool, 6 * SECOND);
  check_log (&pool, "start4@5000");
  end_case (&pool);
}

/* When power is saved, no worker is started for jobs that wait, and workers that exit are
 * replaced. */
static void
test_scheduler_stop_growth (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.load = 1;
  begin_case (&pool, &limits);
  stop_growth (&pool);
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 1500 * MS);
  check_log (&pool, "start1@0 give1@0 done1@1000 give1@1000");
  kill_worker (&pool, g_ptr_array_index (pool.workers, 0), FALSE);
  pool_run (&pool, 1600 * MS);
  check_log (&pool, "exit1@1500 start2@1500 give2@1500");

  set_limits (&pool, &limits);
  pool_run (&pool, 2 * SECOND);
  check_log (&pool, "start3@1700 give3@1700");
  end_case (&pool);
}

static void
test_scheduler_retire (void)
{
  AForkSchedulerLimits limits = usual;
  Worker *worker;
  Pool pool;

  limits.max_workers = 1;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 6; i++)
    pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 150 * MS);
  check_log (&pool, "start1@0 give1@0 give1@0 done1@100 give1@100");

  /* The worker goes on until the other worker has started, and is ended when it has finished its
   * jobs. */
  pool.time_to_start = 100 * MS;
  worker = g_ptr_array_index (pool.workers, 0);
  _afork_scheduler_retire (&pool.scheduler, &worker->base);
  _afork_scheduler_retire (&pool.scheduler, &worker->base);
  model_retire (&pool.model, worker->id);
  pool_run (&pool, SECOND);
  check_log (&pool, "start2@150 done1@200 give1@200 done1@300 done1@400 "
                    "give2@400 give2@400 end1@400 done2@500 done2@600");

  /* A worker that is idle and not needed is ended at once. */
  worker = g_ptr_array_index (pool.workers, 0);
  _afork_scheduler_retire (&pool.scheduler, &worker->base);
  model_retire (&pool.model, worker->id);
  pool_run (&pool, 2 * SECOND);
  check_log (&pool, "end2@1000");
  end_case (&pool);
}

static void
test_scheduler_max_calls (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.max_workers = 1;
  limits.max_calls = 3;
  limits.load = 1;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 7; i++)
    pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 20 * SECOND);
  check_log (&pool, "start1@0 give1@0 done1@100 give1@100 start2@100 done1@200 give1@200 done1@300 "
                    "give2@300 end1@300 done2@400 give2@400 start3@400 done2@500 give2@500 "
                    "done2@600 give3@600 end2@600 done3@700 end3@10700");
  end_case (&pool);

  /* A fresh process for each job: one worker is always ready, and only one worker has a job. */
  limits.max_calls = 1;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 5 * SECOND);
  check_log (&pool, "start1@0 give1@0 start2@0 done1@100 give2@100 end1@100 start3@100 done2@200 "
                    "give3@200 end2@200 done3@300 end3@300");
  end_case (&pool);
}

static void
test_scheduler_max_age (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.max_workers = 1;
  limits.load = 1;
  limits.max_age = 250 * MS;
  begin_case (&pool, &limits);
  pool.time_to_start = 20 * MS;
  for (guint i = 0; i < 4; i++)
    pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_run (&pool, 400 * MS);
  check_log (&pool, "start1@0 give1@20 done1@120 give1@120 done1@220 give1@220 start2@270 "
                    "done1@320 give2@320 end1@320");
  pool_run (&pool, 5 * SECOND);
  check_log (&pool, "done2@420 end2@540");
  end_case (&pool);
}

/* A worker that exits after a job was finished is replaced at once. If workers exit and no job is
 * finished in between, each one is replaced after a longer time. */
static void
test_scheduler_back_off (void)
{
  Pool pool;
  gint64 last = 0;

  begin_case (&pool, &usual);
  pool_add_job (&pool, 100 * MS, 0, NULL);
  pool_add_job (&pool, 100 * SECOND, 0, NULL);
  pool_run (&pool, 200 * MS);
  kill_worker (&pool, g_ptr_array_index (pool.workers, 0), FALSE);
  pool_run (&pool, 200 * MS);
  check_log (&pool, "start1@0 give1@0 give1@0 done1@100 exit1@200 start2@200 give2@200");

  /* The first worker that exits without a finished job is replaced at once, too. */
  kill_worker (&pool, g_ptr_array_index (pool.workers, 0), FALSE);
  pool_run (&pool, 200 * MS);
  check_log (&pool, "exit2@200 start3@200 give3@200");
  for (guint i = 0; i < 12; i++)
    {
      const gint64 pause = MIN (100 * MS << i, 30 * SECOND);

      kill_worker (&pool, g_ptr_array_index (pool.workers, 0), FALSE);
      pool_schedule (&pool);
      g_assert_cmpuint (pool.workers->len, ==, 0);
      last = pool.now;
      while (pool.workers->len == 0)
        g_assert_true (pool_step (&pool, G_MAXINT64 - 1));
      g_assert_cmpint (pool.now - last, ==, pause);
    }

  /* When a job is finished, the next worker is replaced at once again. */
  g_string_set_size (pool.log, 0);
  pool_run (&pool, pool.now + 200 * SECOND);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, pool.now);
  kill_worker (&pool, g_ptr_array_index (pool.workers, 0), FALSE);
  g_string_set_size (pool.log, 0);
  pool_schedule (&pool);
  g_assert_nonnull (strstr (pool.log->str, "start"));
  end_case (&pool);
}

static void
test_scheduler_key (void)
{
  AForkSchedulerLimits limits = usual;
  Worker *worker;
  Pool pool;

  limits.max_workers = 3;
  limits.min_idle = 3;
  begin_case (&pool, &limits);
  pool_run (&pool, 0);
  g_string_set_size (pool.log, 0);
  pool_add_job (&pool, 10 * MS, 0, "a");
  pool_add_job (&pool, 10 * MS, 0, "b");
  pool_run (&pool, 100 * MS);
  check_log (&pool, "give1@0 give2@0 done1@10 done2@10");

  /* Jobs with the key go to the same worker, up to its load. The next one goes to another worker,
   * which has the key from now on. */
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, 10 * MS, 0, "b");
  pool_run (&pool, 200 * MS);
  check_log (&pool, "give2@100 give2@100 give1@100 done2@110 done1@110 done2@120");
  pool_add_job (&pool, 10 * MS, 0, "b");
  pool_run (&pool, 300 * MS);
  check_log (&pool, "give1@200 done1@210");

  worker = g_ptr_array_index (pool.workers, 0);
  kill_worker (&pool, worker, FALSE);
  pool_add_job (&pool, 10 * MS, 0, "b");
  pool_run (&pool, 400 * MS);
  filter_log (&pool, "give");
  check_log (&pool, "give2@300");
  end_case (&pool);
}

/* Jobs that are put back keep their places. Jobs of a higher priority come first. */
static void
test_scheduler_order (void)
{
  AForkSchedulerLimits limits = usual;
  GArray *order = g_array_new (FALSE, FALSE, sizeof (guint));
  const guint expected[] = { 7, 1, 2, 4, 5, 6, 3 };
  Worker *worker;
  Job *third = NULL;
  Pool pool;

  limits.max_workers = 1;
  limits.load = 3;
  begin_case (&pool, &limits);
  for (guint i = 0; i < 6; i++)
    {
      Job *job = pool_add_job (&pool, 100 * MS, 0, NULL);

      if (i == 2)
        third = job;
    }
  pool_run (&pool, 50 * MS);
  worker = g_ptr_array_index (pool.workers, 0);
  kill_worker (&pool, worker, FALSE);
  pool_add_job (&pool, 100 * MS, 5, NULL);
  _afork_scheduler_set_priority (&third->base, -1);
  model_set_priority (&pool.model, third->id, -1);

  limits.load = 1;
  set_limits (&pool, &limits);
  pool_schedule (&pool);
  while (pool.jobs->len > 0)
    {
      for (guint i = 0; i < pool.jobs->len; i++)
        {
          Job *job = g_ptr_array_index (pool.jobs, i);

          if (job->base.worker != NULL
              && (order->len == 0 || g_array_index (order, guint, order->len - 1) != job->id))
            g_array_append_val (order, job->id);
        }
      g_assert_true (pool_step (&pool, G_MAXINT64 - 1));
    }

  g_assert_cmpmem (order->data, order->len * sizeof (guint), expected, sizeof expected);
  g_array_unref (order);
  end_case (&pool);
}

/* A worker that is held gets no jobs, and no worker is started in its place. A worker that is
 * ended by the pool is replaced. */
static void
test_scheduler_hold (void)
{
  AForkSchedulerLimits limits = usual;
  Worker *worker;
  Pool pool;

  limits.max_workers = 1;
  limits.load = 2;
  begin_case (&pool, &limits);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 10 * MS);
  worker = g_ptr_array_index (pool.workers, 0);
  _afork_scheduler_hold (&pool.scheduler, &worker->base);
  model_hold (&pool.model, worker->id);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 500 * MS);
  check_log (&pool, "start1@0 give1@0");
  _afork_scheduler_release (&pool.scheduler, &worker->base);
  model_release (&pool.model, worker->id);
  pool_run (&pool, 500 * MS);
  check_log (&pool, "give1@500");

  _afork_scheduler_end_worker (&pool.scheduler, &worker->base);
  model_end_worker (&pool.model, worker->id);
  pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 500 * MS);
  check_log (&pool, "start2@500 give2@500");
  kill_worker (&pool, worker, FALSE);
  pool_run (&pool, 500 * MS);
  filter_log (&pool, "give");
  check_log (&pool, "give2@500");
  end_case (&pool);
}

/* A job that runs alone waits until a worker has no jobs, and the jobs behind it wait as well. Its
 * worker gets no other job meanwhile. */
static void
test_scheduler_alone (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.max_workers = 2;
  limits.min_idle = 2;
  limits.load = 3;
  begin_case (&pool, &limits);
  pool_run (&pool, 0);
  pool_add_job (&pool, 300 * MS, 0, NULL);
  pool_add_job (&pool, 200 * MS, 0, NULL);
  pool_run (&pool, 10 * MS);
  check_log (&pool, "start1@0 start2@0 give1@0 give2@0");

  set_alone (&pool, pool_add_job (&pool, 500 * MS, 0, NULL));
  pool_add_job (&pool, 50 * MS, 0, NULL);
  pool_add_job (&pool, 50 * MS, 0, NULL);
  pool_run (&pool, 2 * SECOND);
  check_log (&pool, "done2@200 give2@200 give1@200 give1@200 done1@300 done1@350 done1@400 "
                    "done2@700");
  end_case (&pool);
}

/* The next worker is a fork of the template that has the most room, and of the first one if both
 * have as much. */
static void
test_scheduler_templates (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.load = 1;
  limits.max_workers = 5;
  limits.start_delay = 0;
  begin_case (&pool, &limits);
  pool_add_template (&pool, 2);
  pool_set_template_time (&pool, 0, 0);
  for (guint i = 0; i < 7; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 500 * MS);
  filter_log (&pool, "start");
  check_log (&pool, "start1@0 start2@0 start3@0 start4@0 start-other5@0");
  g_assert_cmpuint (pool.templates[1].n_counted, ==, 1);

  /* The worker of the other template exits: this template has more room again. */
  kill_worker (&pool, g_ptr_array_index (pool.workers, 4), FALSE);
  pool_run (&pool, 500 * MS);
  filter_log (&pool, "start");
  check_log (&pool, "start-other6@500");
  end_case (&pool);

  /* Both templates have limits, which together are smaller than max-workers. */
  pool_init (&pool, &limits, TRUE);
  pool.log = g_string_new (NULL);
  pool_add_template (&pool, 1);
  pool_add_template (&pool, 2);
  for (guint i = 0; i < 7; i++)
    pool_add_job (&pool, SECOND, 0, NULL);
  pool_run (&pool, 900 * MS);
  filter_log (&pool, "start");
  check_log (&pool, "start-other1@0 start2@0 start-other3@0");
  end_case (&pool);
}

/* A template that has exited is not used before its time. Meanwhile, the other template is used. If
 * there is none, the workers that there are go on, and no worker is started. */
static void
test_scheduler_template_exited (void)
{
  AForkSchedulerLimits limits = usual;
  Pool pool;

  limits.load = 1;
  limits.max_workers = 3;
  limits.start_delay = 0;
  begin_case (&pool, &limits);
  pool_add_template (&pool, 1);
  pool_set_template_time (&pool, 0, 100 * MS);
  for (guint i = 0; i < 3; i++)
    pool_add_job (&pool, 500 * MS, 0, NULL);
  pool_run (&pool, 400 * MS);
  filter_log (&pool, "start");
  check_log (&pool, "start-other1@0 start2@100 start3@100");

  pool_set_template_time (&pool, 0, G_MAXINT64);
  pool_set_template_time (&pool, 1, G_MAXINT64);
  for (guint i = 0; i < 2; i++)
    kill_worker (&pool, g_ptr_array_index (pool.workers, 2 - i), FALSE);
  pool_add_job (&pool, 500 * MS, 0, NULL);
  pool_run (&pool, 2 * SECOND);
  check_log (&pool, "exit3@400 exit2@400 done1@500 give1@500 done1@1000 give1@1000 done1@1500 "
                    "give1@1500 done1@2000");

  /* A worker that retires goes on, because nothing can replace it. */
  _afork_scheduler_retire (&pool.scheduler, &((Worker *) pool.workers->pdata[0])->base);
  model_retire (&pool.model, 1);
  pool_add_job (&pool, 500 * MS, 0, NULL);
  pool_run (&pool, 2200 * MS);
  check_log (&pool, "give1@2000");
  pool_set_template_time (&pool, 0, 0);
  pool_run (&pool, 2400 * MS);
  check_log (&pool, "start4@2200");
  end_case (&pool);
}

static AForkSchedulerSubject
expect_step (AForkScheduler     *scheduler,
             gint64              now,
             AForkSchedulerStep  step)
{
  AForkSchedulerSubject subject;

  g_assert_cmpint (_afork_scheduler_next (scheduler, now, &subject), ==, step);
  return subject;
}

/* While the worker of a host does not start, a worker of another host is started, and the next ones
 * are, too. */
static void
test_scheduler_slow (void)
{
  const gint64 late = AFORK_SCHEDULER_PATIENCE;
  AForkSchedulerLimits limits = usual;
  AForkSchedulerTemplate templates[2];
  AForkSchedulerWorker workers[3];
  AForkSchedulerJob jobs[2] = { 0 };
  AForkSchedulerSubject subject;
  AForkScheduler scheduler;

  limits.load = 1;
  _afork_scheduler_init (&scheduler, &limits);
  for (guint i = 0; i < 2; i++)
    {
      _afork_scheduler_add_template (&scheduler, &templates[i], 3 - i);
      _afork_scheduler_set_template_slow (&templates[i]);
    }
  _afork_scheduler_add_job (&scheduler, &jobs[0], 0, NULL);
  subject = expect_step (&scheduler, 0, AFORK_SCHEDULER_START);
  g_assert_true (subject.template == &templates[0]);
  _afork_scheduler_add_worker (&scheduler, subject.template, &workers[0]);
  expect_step (&scheduler, 0, AFORK_SCHEDULER_WAIT);
  g_assert_cmpint (_afork_scheduler_get_wake_time (&scheduler), ==, late);
  expect_step (&scheduler, late - 1, AFORK_SCHEDULER_WAIT);

  subject = expect_step (&scheduler, late, AFORK_SCHEDULER_START);
  g_assert_true (subject.template == &templates[1]);
  _afork_scheduler_add_worker (&scheduler, subject.template, &workers[1]);
  expect_step (&scheduler, late, AFORK_SCHEDULER_WAIT);
  _afork_scheduler_started (&scheduler, &workers[1], late + 1);
  subject = expect_step (&scheduler, late + 1, AFORK_SCHEDULER_GIVE);
  g_assert_true (subject.worker == &workers[1]);

  _afork_scheduler_add_job (&scheduler, &jobs[1], 0, NULL);
  expect_step (&scheduler, late + 1, AFORK_SCHEDULER_WAIT);
  subject = expect_step (&scheduler, late + 1 + limits.start_delay, AFORK_SCHEDULER_START);
  g_assert_true (subject.template == &templates[1]);
  _afork_scheduler_add_worker (&scheduler, subject.template, &workers[2]);

  /* The host is there at last. */
  _afork_scheduler_started (&scheduler, &workers[0], 2 * late);
  subject = expect_step (&scheduler, 2 * late, AFORK_SCHEDULER_GIVE);
  g_assert_true (subject.worker == &workers[0]);
  expect_step (&scheduler, 2 * late, AFORK_SCHEDULER_WAIT);

  for (guint i = 0; i < 2; i++)
    _afork_scheduler_job_finished (&scheduler, &jobs[i]);
  for (guint i = 0; i < 3; i++)
    _afork_scheduler_end_worker (&scheduler, &workers[i]);
  _afork_scheduler_clear (&scheduler);
}

/* A million jobs are given to two hundred workers. They must take about ten times as long as a
 * hundred thousand jobs. */
static void
test_scheduler_million (void)
{
  const AForkSchedulerLimits limits = {
    .max_workers = 200, .min_idle = 200, .load = 4, .stop_delay = SECOND,
  };
  double times[2];

  for (guint large = 0; large < 2; large++)
    {
      const guint n_jobs = large ? 1000 * 1000 : 100 * 1000;
      g_autofree AForkSchedulerJob *jobs = g_new0 (AForkSchedulerJob, n_jobs);
      g_autofree AForkSchedulerWorker *workers = g_new0 (AForkSchedulerWorker, 200);
      g_autofree AForkSchedulerJob **given = g_new (AForkSchedulerJob *, n_jobs);
      AForkSchedulerTemplate template;
      AForkSchedulerSubject subject;
      AForkScheduler scheduler;
      AForkSchedulerStep step;
      guint n_workers = 0;
      guint n_given = 0;
      clock_t begin = clock ();

      _afork_scheduler_init (&scheduler, &limits);
      _afork_scheduler_add_template (&scheduler, &template, 0);
      for (guint i = 0; i < n_jobs; i++)
        _afork_scheduler_add_job (&scheduler, &jobs[i], 0, NULL);
      for (guint i = 0; i < n_jobs;)
        {
          while ((step = _afork_scheduler_next (&scheduler, 0, &subject)) != AFORK_SCHEDULER_WAIT)
            if (step == AFORK_SCHEDULER_START)
              {
                _afork_scheduler_add_worker (&scheduler, &template, &workers[n_workers]);
                _afork_scheduler_started (&scheduler, &workers[n_workers++], 0);
              }
            else
              {
                given[n_given++] = subject.job;
              }
          _afork_scheduler_job_finished (&scheduler, given[i++]);
        }
      times[large] = (double) (clock () - begin) / CLOCKS_PER_SEC;

      for (guint i = 0; i < n_workers; i++)
        _afork_scheduler_end_worker (&scheduler, &workers[i]);
      _afork_scheduler_clear (&scheduler);
    }

  g_assert_cmpuint (sizeof (AForkSchedulerJob), <, 200);
  g_test_message ("100,000 jobs: %.0f ms, 1,000,000 jobs: %.0f ms",
                  times[0] * 1000, times[1] * 1000);
  g_assert_cmpfloat (times[1], <, MAX (times[0], 0.01) * 40);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/scheduler/model", test_scheduler_model);
  g_test_add_func ("/scheduler/ramp", test_scheduler_ramp);
  g_test_add_func ("/scheduler/load", test_scheduler_load);
  g_test_add_func ("/scheduler/no-start-delay", test_scheduler_no_start_delay);
  g_test_add_func ("/scheduler/least-loaded", test_scheduler_least_loaded);
  g_test_add_func ("/scheduler/min-idle", test_scheduler_min_idle);
  g_test_add_func ("/scheduler/stop", test_scheduler_stop);
  g_test_add_func ("/scheduler/max-workers", test_scheduler_max_workers);
  g_test_add_func ("/scheduler/trim", test_scheduler_trim);
  g_test_add_func ("/scheduler/stop-growth", test_scheduler_stop_growth);
  g_test_add_func ("/scheduler/retire", test_scheduler_retire);
  g_test_add_func ("/scheduler/max-calls", test_scheduler_max_calls);
  g_test_add_func ("/scheduler/max-age", test_scheduler_max_age);
  g_test_add_func ("/scheduler/back-off", test_scheduler_back_off);
  g_test_add_func ("/scheduler/key", test_scheduler_key);
  g_test_add_func ("/scheduler/order", test_scheduler_order);
  g_test_add_func ("/scheduler/hold", test_scheduler_hold);
  g_test_add_func ("/scheduler/alone", test_scheduler_alone);
  g_test_add_func ("/scheduler/templates", test_scheduler_templates);
  g_test_add_func ("/scheduler/template-exited", test_scheduler_template_exited);
  g_test_add_func ("/scheduler/slow", test_scheduler_slow);
  g_test_add_func ("/scheduler/million", test_scheduler_million);

  return g_test_run ();
}
