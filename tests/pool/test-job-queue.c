/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The queue of jobs of a pool. The tests compare the order with a list that is searched, and check
 * the size of an entry, and that the time grows in proportion to the number of jobs. */

#include "pool/job-queue.h"

#include <string.h>
#include <time.h>

typedef struct
{
  AForkJobQueueEntry entry;
  int                priority;
  guint64            order;     /* among the jobs of the same priority */
  gboolean           was_taken;
} Job;

/* Finds the first of the waiting jobs by searching. */
static Job *
find_first (GPtrArray *jobs)
{
  Job *first = NULL;

  for (guint i = 0; i < jobs->len; i++)
    {
      Job *job = g_ptr_array_index (jobs, i);

      if (first == NULL || job->priority > first->priority
          || (job->priority == first->priority && job->order < first->order))
        first = job;
    }

  return first;
}

static Job *
take_first (AForkJobQueue *queue,
            GPtrArray     *waiting)
{
  Job *job = (Job *) _afork_job_queue_peek (queue);

  g_assert_true (job == find_first (waiting));
  if (job == NULL)
    return NULL;

  _afork_job_queue_remove (&job->entry);
  g_assert_false (_afork_job_queue_has (&job->entry));
  g_ptr_array_remove (waiting, job);
  job->was_taken = TRUE;
  return job;
}

static void
test_job_queue_random (void)
{
  enum { N_JOBS = 400, N_STEPS = 20000 };
  g_autofree Job *jobs = g_new0 (Job, N_JOBS);
  g_autoptr(GPtrArray) waiting = g_ptr_array_new ();
  AForkJobQueue queue;
  guint64 n_orders = 0;

  _afork_job_queue_init (&queue);
  for (guint i = 0; i < N_STEPS; i++)
    {
      Job *job = &jobs[g_test_rand_int_range (0, N_JOBS)];
      const int priority = g_test_rand_int_range (-3, 4);
      const int what = g_test_rand_int_range (0, 10);

      if (what == 0)
        {
          take_first (&queue, waiting);
        }
      else if (!_afork_job_queue_has (&job->entry) && job->was_taken && what < 4)
        {
          _afork_job_queue_put_back (&queue, &job->entry, job->priority);
          g_ptr_array_add (waiting, job);
        }
      else if (!_afork_job_queue_has (&job->entry))
        {
          _afork_job_queue_add (&queue, &job->entry, priority);
          job->priority = priority;
          job->order = ++n_orders;
          g_ptr_array_add (waiting, job);
        }
      else if (what < 6)
        {
          _afork_job_queue_remove (&job->entry);
          g_ptr_array_remove (waiting, job);
        }
      else if (what < 8)
        {
          _afork_job_queue_set_priority (&job->entry, priority);
          if (job->priority != priority)
            job->order = ++n_orders;
          job->priority = priority;
        }
      g_assert_cmpuint (queue.n_jobs, ==, waiting->len);
      g_assert_true ((Job *) _afork_job_queue_peek (&queue) == find_first (waiting));
    }

  while (take_first (&queue, waiting) != NULL)
    ;
  _afork_job_queue_clear (&queue);
}

static void
test_job_queue_put_back (void)
{
  Job jobs[6] = { 0 };
  AForkJobQueue queue;

  _afork_job_queue_init (&queue);
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    _afork_job_queue_add (&queue, &jobs[i].entry, 0);
  for (gsize i = 0; i < 4; i++)
    _afork_job_queue_remove (&jobs[i].entry);

  /* Jobs keep their places in whatever order they are put back. */
  _afork_job_queue_put_back (&queue, &jobs[3].entry, 0);
  _afork_job_queue_put_back (&queue, &jobs[1].entry, 0);
  _afork_job_queue_put_back (&queue, &jobs[2].entry, 0);
  for (gsize i = 1; i < G_N_ELEMENTS (jobs); i++)
    {
      g_assert_true (_afork_job_queue_peek (&queue) == &jobs[i].entry);
      _afork_job_queue_remove (&jobs[i].entry);
    }

  g_assert_null (_afork_job_queue_peek (&queue));
  _afork_job_queue_clear (&queue);
}

/* After jobs were moved, they can be removed, and their priority can be changed. */
static void
test_job_queue_move_all (void)
{
  Job jobs[5] = { 0 };
  AForkJobQueue queue;
  AForkJobQueue other;

  _afork_job_queue_init (&queue);
  _afork_job_queue_init (&other);
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    _afork_job_queue_add (&queue, &jobs[i].entry, (int) (i % 2));
  _afork_job_queue_move_all (&queue, &other);
  g_assert_null (_afork_job_queue_peek (&queue));
  g_assert_cmpuint (queue.n_jobs, ==, 0);
  g_assert_cmpuint (other.n_jobs, ==, 5);
  g_assert_true (_afork_job_queue_peek (&other) == &jobs[1].entry);
  _afork_job_queue_set_priority (&jobs[4].entry, 2);
  _afork_job_queue_remove (&jobs[1].entry);
  _afork_job_queue_add (&queue, &jobs[1].entry, 0);
  g_assert_true (_afork_job_queue_peek (&queue) == &jobs[1].entry);
  g_assert_true (_afork_job_queue_peek (&other) == &jobs[4].entry);

  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    _afork_job_queue_remove (&jobs[i].entry);
  _afork_job_queue_clear (&queue);
  _afork_job_queue_clear (&other);
}

/* Takes all jobs. Returns how many there were. */
static gsize
take_all (AForkJobQueue *queue)
{
  AForkJobQueueEntry *entry;
  gsize n_taken = 0;

  for (; (entry = _afork_job_queue_peek (queue)) != NULL; n_taken++)
    _afork_job_queue_remove (entry);
  return n_taken;
}

/* Returns the processor time, in seconds, for adding N_JOBS jobs, changing the priority of half of
 * them, taking all of them, putting them back as two workers lose them, and taking all again. */
static double
measure (gsize n_jobs,
         int   n_priorities)
{
  g_autofree AForkJobQueueEntry *entries = g_new (AForkJobQueueEntry, n_jobs);
  clock_t begin;
  AForkJobQueue queue;

  /* The time that the kernel needs to provide new memory is not measured. */
  memset (entries, 0, n_jobs * sizeof *entries);
  begin = clock ();
  _afork_job_queue_init (&queue);
  for (gsize i = 0; i < n_jobs; i++)
    _afork_job_queue_add (&queue, &entries[i], (int) (i % (gsize) n_priorities));
  for (gsize i = 0; i < n_jobs; i += 2)
    _afork_job_queue_set_priority (&entries[i], (int) ((i / 2) % (gsize) n_priorities));
  g_assert_cmpuint (take_all (&queue), ==, n_jobs);
  for (gsize i = 0; i < n_jobs; i++)
    entries[i].number = i + 1;
  for (gsize i = 0; i < n_jobs; i += 2)
    _afork_job_queue_put_back (&queue, &entries[i], 0);
  for (gsize i = 1; i < n_jobs; i += 2)
    _afork_job_queue_put_back (&queue, &entries[i], 0);
  g_assert_cmpuint (take_all (&queue), ==, n_jobs);
  _afork_job_queue_clear (&queue);
  return (double) (clock () - begin) / CLOCKS_PER_SEC;
}

/* Ten times as many jobs take about ten times as long. A queue that searches would take a hundred
 * times as long. The limit is forty times as long, because of caches and busy machines. */
static void
check_growth (gsize n_jobs,
              int   n_priorities)
{
  double small = G_MAXDOUBLE;
  double large = G_MAXDOUBLE;

  for (guint i = 0; i < 2; i++)
    {
      small = MIN (small, measure (n_jobs / 10, n_priorities));
      large = MIN (large, measure (n_jobs, n_priorities));
    }

  g_test_message ("%d priorities: %" G_GSIZE_FORMAT " jobs %.1f ms, a tenth of them %.1f ms",
                  n_priorities, n_jobs, large * 1000, small * 1000);
  g_assert_cmpfloat (large, <, MAX (small, 0.001) * 40);
}

static void
test_job_queue_million (void)
{
  g_assert_cmpuint (sizeof (AForkJobQueueEntry), <, 200);
  check_growth (1000 * 1000, 1);
  check_growth (1000 * 1000, 1000);
  check_growth (200 * 1000, 200 * 1000);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/job-queue/random", test_job_queue_random);
  g_test_add_func ("/job-queue/put-back", test_job_queue_put_back);
  g_test_add_func ("/job-queue/move-all", test_job_queue_move_all);
  g_test_add_func ("/job-queue/million", test_job_queue_million);

  return g_test_run ();
}
