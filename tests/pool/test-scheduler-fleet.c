/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The scheduler of a pool with many simulated hosts, in simulated time: each job ends once, no host
 * has too many workers, the jobs of lost hosts run again soon, and a decision costs as much with
 * many hosts as with few.
 *
 * `test-scheduler-fleet -m perf` prints what decisions cost with up to 10,000 hosts, 640,000
 * workers and 10,000,000 jobs, and how much memory the scheduler needs. It takes a minute and 2 GB
 * of memory. */

#include "pool/scheduler.h"

#include <malloc.h>
#include <string.h>
#include <time.h>

enum { MS = 1000, SECOND = 1000 * MS };

enum { LOAD = 2 };

typedef struct
{
  guint         n_hosts;
  guint         n_workers;        /* of each host */
  guint         n_jobs;
  guint         lost_percent;     /* of the hosts, which are lost at `loss_time`, and can be
                                   * connected again after OUTAGE */
  guint         slow_percent;     /* of the hosts, which need long to connect and for each job */
  guint         flapping_percent; /* of the hosts, which are lost after each FLAP_TIME */
  gint64        loss_time;
} Config;

enum
{
  OUTAGE = 3 * SECOND,
  FLAP_TIME = 2 * SECOND,
  CONNECT_TIME = 50 * MS,
  SLOW_CONNECT_TIME = 10 * SECOND,
  START_TIME = 5 * MS,
  SLOW_FACTOR = 4,
};

typedef struct FleetWorker FleetWorker;

typedef struct
{
  AForkSchedulerTemplate base;    /* first */
  FleetWorker  *workers;          /* n_workers of them */
  FleetWorker  *free;             /* those that do not exist now */
  guint         n_workers;        /* those that exist */
  gboolean      is_slow;
  gint64        connected;        /* when it has been connected, or -1 */
  gint64        lost_next;        /* when it is lost, or -1 */
} Host;

typedef struct
{
  AForkSchedulerJob base;         /* first */
  gboolean      is_lost;          /* it has to run again */
  gboolean      is_finished;
} Job;

struct FleetWorker
{
  AForkSchedulerWorker base;      /* first */
  AForkHeapNode node;             /* in `events` */
  gint64        time;             /* when it has started, or its first job is finished */
  gboolean      starts;
  Job          *jobs[LOAD];       /* in order */
  guint         n_jobs;
  Host         *host;
  FleetWorker  *next;             /* in `free` */
};

typedef struct
{
  AForkSchedulerStep    step;
  AForkSchedulerSubject subject;
} Step;

typedef struct
{
  const Config *config;
  AForkScheduler scheduler;
  Host         *hosts;
  FleetWorker  *workers;
  Job          *jobs;
  gint64        now;
  AForkHeap     events;           /* workers by time */
  GArray       *steps;            /* of Step */
  GPtrArray    *due;              /* of FleetWorker */
  guint         n_finished;
  guint         n_lost;           /* jobs that were lost and do not run again yet */
  gint64        recovered;        /* when no such job was left, or -1 */
  guint64       n_decisions;      /* steps and events */
  double        seconds;          /* processor time of the scheduler */
  gsize         memory;           /* of the scheduler, in bytes, before workers were started */
} Fleet;

static FleetWorker *
peek_event (Fleet *self)
{
  AForkHeapNode *node = _afork_heap_peek (&self->events);

  return node != NULL ? (FleetWorker *) ((char *) node - G_STRUCT_OFFSET (FleetWorker, node))
                      : NULL;
}

static double
get_seconds (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* What it costs to measure. */
static double
get_overhead (void)
{
  static double overhead = -1;

  if (overhead < 0)
    {
      const double begin = get_seconds ();

      for (guint i = 0; i < 1000; i++)
        get_seconds ();
      overhead = (get_seconds () - begin) / 1000;
    }

  return overhead;
}

/* Jobs take between 50 and 150 ms, in a reproducible way. */
static gint64
get_length (Fleet *self,
            Job   *job,
            Host  *host)
{
  const guint64 number = (guint64) (job - self->jobs);

  return (50 + (gint64) ((number * G_GUINT64_CONSTANT (2654435761)) % 101)) * MS
    * (host->is_slow ? SLOW_FACTOR : 1);
}

static void
set_event (Fleet       *self,
           FleetWorker *worker,
           gint64       time)
{
  worker->time = time;
  _afork_heap_put (&self->events, &worker->node, (guint64) time);
}

static void
run_first_job (Fleet       *self,
               FleetWorker *worker)
{
  Job *job = worker->jobs[0];

  if (job->is_lost)
    {
      job->is_lost = FALSE;
      if (--self->n_lost == 0)
        self->recovered = self->now;
    }
  set_event (self, worker, self->now + get_length (self, job, worker->host));
}

static void
free_worker (FleetWorker *worker)
{
  Host *host = worker->host;

  _afork_heap_remove (&worker->node);
  worker->n_jobs = 0;
  worker->next = host->free;
  host->free = worker;
  host->n_workers--;
}

/* The connection to a host breaks: all its workers have exited, and their jobs run again. */
static void
lose_host (Fleet *self,
           Host  *host)
{
  host->connected = -1;
  for (guint i = 0; i < self->config->n_workers; i++)
    {
      FleetWorker *worker = &host->workers[i];

      if (worker->base.number == 0 || worker->base.state == AFORK_SCHEDULER_WORKER_ENDED)
        continue;

      _afork_scheduler_end_worker (&self->scheduler, &worker->base);
      for (guint j = 0; j < worker->n_jobs; j++)
        {
          Job *job = worker->jobs[j];

          _afork_scheduler_job_lost (&self->scheduler, &job->base);
          _afork_scheduler_put_back (&self->scheduler, &job->base);
          self->n_lost += job->is_lost ? 0 : 1;
          job->is_lost = TRUE;
        }
      free_worker (worker);
    }
  _afork_scheduler_set_template_time (&host->base, self->now + OUTAGE);
}

/* Returns which percent of the hosts host I is in, from 0 to 99. */
static guint
get_percent (Fleet *self,
             guint  i)
{
  return (guint) ((guint64) i * 100 / self->config->n_hosts);
}

static void
lose_hosts (Fleet *self)
{
  for (guint i = 0; i < self->config->n_hosts; i++)
    {
      Host *host = &self->hosts[i];

      if (host->lost_next < 0 || host->lost_next > self->now)
        continue;
      lose_host (self, host);
      host->lost_next = get_percent (self, i) < self->config->flapping_percent
                          ? self->now + FLAP_TIME + OUTAGE : -1;
    }
}

static gint64
get_next_loss (Fleet *self)
{
  gint64 time = G_MAXINT64;

  for (guint i = 0; i < self->config->n_hosts; i++)
    if (self->hosts[i].lost_next >= 0)
      time = MIN (time, self->hosts[i].lost_next);
  return time;
}

static void
do_event (Fleet       *self,
          FleetWorker *worker)
{
  Job *job = worker->jobs[0];

  if (worker->starts)
    {
      _afork_scheduler_started (&self->scheduler, &worker->base, self->now);
      return;
    }

  _afork_scheduler_job_finished (&self->scheduler, &job->base);
  g_assert_false (job->is_finished);
  job->is_finished = TRUE;
}

static void
finish_event (Fleet       *self,
              FleetWorker *worker)
{
  if (worker->starts)
    {
      worker->starts = FALSE;
      return;
    }

  self->n_finished++;
  worker->n_jobs--;
  memmove (worker->jobs, worker->jobs + 1, worker->n_jobs * sizeof *worker->jobs);
  if (worker->n_jobs > 0)
    run_first_job (self, worker);
}

static void
add_worker (Fleet *self,
            Step  *step)
{
  Host *host = (Host *) step->subject.template;
  FleetWorker *worker = host->free;

  g_assert_nonnull (worker);
  host->free = worker->next;
  host->n_workers++;
  _afork_scheduler_add_worker (&self->scheduler, &host->base, &worker->base);
  step->subject.worker = &worker->base;
}

static void
finish_step (Fleet *self,
             Step  *step)
{
  FleetWorker *worker = (FleetWorker *) step->subject.worker;
  Host *host = worker->host;

  switch (step->step)
    {
    case AFORK_SCHEDULER_START:
      g_assert_cmpuint (host->n_workers, <=, self->config->n_workers);
      worker->starts = TRUE;
      if (host->connected < 0)
        host->connected = self->now + (host->is_slow ? SLOW_CONNECT_TIME : CONNECT_TIME);
      set_event (self, worker, MAX (host->connected, self->now) + START_TIME);
      break;
    case AFORK_SCHEDULER_GIVE:
      g_assert_cmpuint (worker->n_jobs, <, LOAD);
      g_assert_false (worker->starts);
      worker->jobs[worker->n_jobs++] = (Job *) step->subject.job;
      if (worker->n_jobs == 1)
        run_first_job (self, worker);
      break;
    case AFORK_SCHEDULER_END:
      g_assert_cmpuint (worker->n_jobs, ==, 0);
      free_worker (worker);
      break;
    case AFORK_SCHEDULER_WAIT:
    default:
      break;
    }
}

/* Does all that is to be done now. Only the scheduler's part of it is measured. */
static void
schedule (Fleet *self)
{
  FleetWorker *worker;
  double begin;

  g_ptr_array_set_size (self->due, 0);
  while ((worker = peek_event (self)) != NULL && worker->time <= self->now)
    {
      _afork_heap_remove (&worker->node);
      g_ptr_array_add (self->due, worker);
    }
  g_array_set_size (self->steps, 0);

  begin = get_seconds ();
  for (guint i = 0; i < self->due->len; i++)
    do_event (self, g_ptr_array_index (self->due, i));
  for (;;)
    {
      Step step;

      step.step = _afork_scheduler_next (&self->scheduler, self->now, &step.subject);
      if (step.step == AFORK_SCHEDULER_WAIT)
        break;
      if (step.step == AFORK_SCHEDULER_START)
        add_worker (self, &step);
      g_array_append_val (self->steps, step);
    }
  self->seconds += get_seconds () - begin - get_overhead ();
  self->n_decisions += self->due->len + self->steps->len;

  for (guint i = 0; i < self->due->len; i++)
    finish_event (self, g_ptr_array_index (self->due, i));
  for (guint i = 0; i < self->steps->len; i++)
    finish_step (self, &g_array_index (self->steps, Step, i));
}

static void
run_until_idle (Fleet *self)
{
  gint64 loss = get_next_loss (self);

  while (self->n_finished < self->config->n_jobs)
    {
      FleetWorker *worker = peek_event (self);
      gint64 time = loss;
      gint64 wake_time;

      wake_time = _afork_scheduler_get_wake_time (&self->scheduler);
      if (wake_time >= 0)
        time = MIN (time, wake_time);
      if (worker != NULL)
        time = MIN (time, worker->time);
      g_assert_cmpint (time, <, G_MAXINT64);

      self->now = MAX (self->now, time);
      if (loss <= self->now)
        {
          lose_hosts (self);
          loss = get_next_loss (self);
        }
      schedule (self);
    }
}

static gsize
get_memory (void)
{
  return mallinfo2 ().uordblks + mallinfo2 ().hblkhd;
}

static void
fleet_init (Fleet        *self,
            const Config *config)
{
  const guint n_workers = config->n_hosts * config->n_workers;
  const AForkSchedulerLimits limits = {
    .max_workers = n_workers, .load = LOAD, .stop_delay = 3600 * (gint64) SECOND,
  };
  gsize before;

  *self = (Fleet) { .config = config, .recovered = -1 };
  self->hosts = g_new0 (Host, config->n_hosts);
  self->workers = g_new0 (FleetWorker, n_workers);
  self->jobs = g_new0 (Job, config->n_jobs);
  self->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  self->due = g_ptr_array_new ();

  before = get_memory ();
  _afork_scheduler_init (&self->scheduler, &limits);
  for (guint i = 0; i < config->n_hosts; i++)
    {
      Host *host = &self->hosts[i];

      host->workers = self->workers + i * config->n_workers;
      for (guint j = 0; j < config->n_workers; j++)
        {
          host->workers[j].host = host;
          host->workers[j].next = host->free;
          host->free = &host->workers[j];
        }
      host->connected = -1;
      host->lost_next = get_percent (self, i) < config->lost_percent + config->flapping_percent
                          ? config->loss_time : -1;
      host->is_slow = 99 - get_percent (self, i) < config->slow_percent;
      _afork_scheduler_add_template (&self->scheduler, &host->base, config->n_workers);
      _afork_scheduler_set_template_slow (&host->base);
    }
  self->memory = get_memory () - before;
  for (guint i = 0; i < config->n_jobs; i++)
    _afork_scheduler_add_job (&self->scheduler, &self->jobs[i].base, 0, NULL);
  schedule (self);
}

static void
fleet_clear (Fleet *self)
{
  AForkSchedulerLimits limits = self->scheduler.limits;

  for (guint i = 0; i < self->config->n_jobs; i++)
    g_assert_true (self->jobs[i].is_finished);
  g_assert_cmpuint (self->n_lost, ==, 0);
  g_assert_cmpuint (self->scheduler.queue.n_jobs, ==, 0);
  g_assert_cmpuint (self->scheduler.n_busy, ==, 0);

  limits.stop_delay = 0;
  _afork_scheduler_set_limits (&self->scheduler, &limits);
  schedule (self);
  for (guint i = 0; i < self->config->n_hosts * self->config->n_workers; i++)
    if (self->workers[i].base.number > 0
        && self->workers[i].base.state != AFORK_SCHEDULER_WORKER_ENDED)
      _afork_scheduler_end_worker (&self->scheduler, &self->workers[i].base);
  _afork_scheduler_clear (&self->scheduler);
  _afork_heap_clear (&self->events);
  g_array_unref (self->steps);
  g_ptr_array_unref (self->due);
  g_free (self->hosts);
  g_free (self->workers);
  g_free (self->jobs);
}

/* Returns the processor time for a decision, in nanoseconds. */
static double
run (const Config *config,
     gint64       *recovery)
{
  Fleet fleet;
  double cost;

  fleet_init (&fleet, config);
  run_until_idle (&fleet);
  cost = fleet.seconds * 1e9 / (double) fleet.n_decisions;
  if (recovery != NULL)
    *recovery = fleet.recovered >= 0 ? fleet.recovered - config->loss_time : -1;
  g_test_message ("%u hosts, %u workers, %u jobs: %.0f ns each of %" G_GUINT64_FORMAT " decisions",
                  config->n_hosts, config->n_hosts * config->n_workers, config->n_jobs, cost,
                  fleet.n_decisions);
  fleet_clear (&fleet);
  return cost;
}

/* With a hundred times as many hosts, or jobs, a decision costs a few times as much, because of
 * caches and busy machines. If hosts were searched, it would cost tens of times as much. */
static void
test_fleet_cost (void)
{
  const Config few = { .n_hosts = 20, .n_workers = 4, .n_jobs = 80 * 100 };
  const Config many = { .n_hosts = 2000, .n_workers = 4, .n_jobs = 8000 * 10 };
  const Config long_queue = { .n_hosts = 20, .n_workers = 4, .n_jobs = 80 * 5000 };
  double costs[3] = { G_MAXDOUBLE, G_MAXDOUBLE, G_MAXDOUBLE };

  for (guint i = 0; i < 2; i++)
    {
      costs[0] = MIN (costs[0], run (&few, NULL));
      costs[1] = MIN (costs[1], run (&many, NULL));
      costs[2] = MIN (costs[2], run (&long_queue, NULL));
    }
  g_assert_cmpfloat (costs[1], <, MAX (costs[0], 50) * 8);
  g_assert_cmpfloat (costs[2], <, MAX (costs[0], 50) * 8);
}

/* A tenth of the hosts is lost at once, others are lost again and again, and others are slow. The
 * jobs that were lost come first, so they run again when other workers are free, which is within
 * two jobs. */
static void
test_fleet_lost (void)
{
  const Config config = {
    .n_hosts = 300, .n_workers = 8, .n_jobs = 2400 * 120,
    .lost_percent = 10, .slow_percent = 10, .flapping_percent = 2, .loss_time = 5 * SECOND,
  };
  const Config lost = {
    .n_hosts = 300, .n_workers = 8, .n_jobs = 2400 * 120,
    .lost_percent = 10, .loss_time = 5 * SECOND,
  };
  gint64 recovery;

  run (&config, NULL);
  run (&lost, &recovery);
  g_test_message ("jobs of lost hosts run again after %" G_GINT64_FORMAT " ms", recovery / MS);
  g_assert_cmpint (recovery, >=, 0);
  g_assert_cmpint (recovery, <=, 500 * MS);
}

/* Figures. */

static void
print_memory (void)
{
  const Config config = { .n_hosts = 10000, .n_workers = 64, .n_jobs = 0 };
  const guint n_workers = config.n_hosts * config.n_workers;
  AForkSchedulerLimits limits;
  gsize before;
  Fleet fleet;

  fleet_init (&fleet, &config);
  g_print ("An idle host: %" G_GSIZE_FORMAT " bytes.\n",
           sizeof (AForkSchedulerTemplate) + fleet.memory / config.n_hosts);

  limits = fleet.scheduler.limits;
  limits.min_idle = n_workers;
  g_array_set_size (fleet.steps, n_workers + 1);
  g_ptr_array_set_size (fleet.due, (int) n_workers + 1);
  before = get_memory ();
  _afork_scheduler_set_limits (&fleet.scheduler, &limits);
  schedule (&fleet);
  while (fleet.scheduler.n_idle < n_workers)
    {
      fleet.now = peek_event (&fleet)->time;
      schedule (&fleet);
    }
  g_print ("An idle worker: %" G_GSIZE_FORMAT " bytes.\n",
           sizeof (AForkSchedulerWorker)
             + (get_memory () - before - fleet.events.n_allocated * sizeof (AForkHeapItem))
               / n_workers);
  g_print ("A job: %" G_GSIZE_FORMAT " bytes.\n", sizeof (AForkSchedulerJob));

  limits.min_idle = 0;
  _afork_scheduler_set_limits (&fleet.scheduler, &limits);
  fleet_clear (&fleet);
}

static void
print_figures (void)
{
  const Config configs[] = {
    { .n_hosts = 10, .n_workers = 64, .n_jobs = 10000, .loss_time = 500 * MS },
    { .n_hosts = 100, .n_workers = 64, .n_jobs = 100000, .loss_time = 500 * MS },
    { .n_hosts = 1000, .n_workers = 64, .n_jobs = 1000000, .loss_time = 500 * MS },
    { .n_hosts = 10000, .n_workers = 64, .n_jobs = 10000000, .loss_time = 500 * MS },
    { .n_hosts = 10, .n_workers = 64, .n_jobs = 10000000, .loss_time = 500 * MS },
  };

  g_print ("%8s %9s %10s %14s %21s\n", "hosts", "workers", "jobs", "ns a decision",
           "lost jobs run again");
  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    {
      Config config = configs[i];
      gint64 recovery;
      double cost;

      config.lost_percent = 10;
      cost = run (&config, &recovery);
      g_print ("%8u %9u %10u %14.0f %18" G_GINT64_FORMAT " ms\n", config.n_hosts,
               config.n_hosts * config.n_workers, config.n_jobs, cost, recovery / MS);
    }
  print_memory ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  if (g_test_perf ())
    {
      print_figures ();
      return 0;
    }

  g_test_add_func ("/scheduler-fleet/cost", test_fleet_cost);
  g_test_add_func ("/scheduler-fleet/lost", test_fleet_lost);

  return g_test_run ();
}
