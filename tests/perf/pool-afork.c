/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* AFork: jobs of a pool, from a main loop. Variants:
 *
 *     echo               64 bytes go to a worker, and come back
 *     spin               a worker computes for a millisecond; also prints `efficiency-percent`
 *     fresh              as echo, but each job has a worker of its own
 *     crash              a worker is killed by its job; prints `latency-ns`, and their median
 *                        `next-job-ns`, from there until the next job runs in another worker
 *     queue              all jobs are made at once; prints `per-job-ns`, and `per-job-bytes` of
 *                        resident memory
 *     thumbnail          a worker makes a thumbnail of a picture
 *     thumbnail-fresh    the same, but each picture has a worker of its own
 */

#include "config.h"

#include <afork/afork.h>
#include <gio/gunixfdlist.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "call-loop.h"
#include "pool-work.h"

typedef struct
{
  AForkPool *pool;
  char      *folder;            /* of the pictures */
  int        n_left;            /* of the jobs that were made at once */
} Jobs;

static AForkPool *
pool_new (const CaseOptions *options,
          const char        *module,
          const char        *prepare,
          const char        *function,
          gboolean           fresh)
{
  g_autofree char *path = case_sibling (module);
  g_autoptr(AForkProcess) template = afork_process_require (afork_process_new_exec (NULL), path);

  if (prepare != NULL)
    afork_process_call (template, prepare, NULL);
  return g_object_new (AFORK_TYPE_POOL,
                       "process", template,
                       "function", function,
                       "max-workers", options->workers,
                       "min-idle", fresh ? 0 : options->workers,
                       "load", options->load,
                       "start-delay", 0,
                       "max-calls", fresh ? 1 : 0,
                       NULL);
}

static void
wait_for_workers (AForkPool *pool)
{
  while (afork_pool_get_n_idle (pool) < afork_pool_get_min_idle (pool))
    g_main_context_iteration (NULL, TRUE);
}

static void
turn (void *data)
{
  g_main_context_iteration (NULL, TRUE);
}

/* 64 bytes. */

static GVariant *
new_bytes (void)
{
  char bytes[CALL_ECHO_SIZE];

  memset (bytes, CALL_FILLING, sizeof bytes);
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, sizeof bytes, 1);
}

static void
echo_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  if (value == NULL)
    case_fail ("%s", error->message);
  call_check_result (g_variant_get_data (value), g_variant_get_size (value), CALL_ECHO_SIZE);
  call_ended (GPOINTER_TO_INT (data));
}

static void
begin_echo (int   ticket,
            void *data)
{
  Jobs *jobs = data;

  afork_pool_call_async (jobs->pool, new_bytes (), NULL, echo_cb, GINT_TO_POINTER (ticket));
}

/* Crashes. */

static void
killed_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Jobs *jobs = data;
  g_autoptr(GError) error = NULL;
  GVariant *value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  if (value != NULL)
    case_fail ("a worker was to be killed, and answered");
  if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SIGNALED))
    case_fail ("%s", error->message);
  jobs->n_left--;
}

static void
next_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  if (value == NULL)
    case_fail ("%s", error->message);
  *(int64_t *) data = g_variant_get_int64 (value);
}

static int64_t
crash_once (Jobs *jobs,
            int   clock)
{
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_int64 (0));
  g_autoptr(GUnixFDList) fds = g_unix_fd_list_new ();
  int64_t crashed, next = 0;

  if (g_unix_fd_list_append (fds, clock, NULL) < 0)
    case_fail_errno ("dup");
  afork_job_set_fds (job, fds);
  jobs->n_left = 1;
  afork_pool_run_job_async (jobs->pool, job, NULL, killed_cb, jobs);
  afork_pool_call_async (jobs->pool, g_variant_new_int64 (0), NULL, next_cb, &next);
  while (next == 0 || jobs->n_left > 0)
    g_main_context_iteration (NULL, TRUE);

  if (pread (clock, &crashed, sizeof crashed, 0) != sizeof crashed)
    case_fail_errno ("pread");
  return next - crashed;
}

static void
run_crashes (const CaseOptions *options,
             Jobs              *jobs)
{
  g_autofree int64_t *latencies = g_new (int64_t, options->count);
  int clock = memfd_create ("clock", MFD_CLOEXEC);

  if (clock < 0)
    case_fail_errno ("memfd_create");

  for (int i = 0; i < options->warm_up; i++)
    crash_once (jobs, clock);
  for (int i = 0; i < options->count; i++)
    latencies[i] = crash_once (jobs, clock);
  close (clock);

  case_sort (latencies, (size_t) options->count);
  case_print_series ("latency-ns", latencies, (size_t) options->count);
  case_print_series ("next-job-ns", &latencies[options->count / 2], 1);
}

/* Many jobs at once. */

static void
queued_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Jobs *jobs = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  if (value == NULL)
    case_fail ("%s", error->message);
  jobs->n_left--;
}

static void
run_queue (const CaseOptions *options,
           Jobs              *jobs)
{
  int64_t start, bytes, elapsed;

  bytes = case_get_memory ();
  start = case_now ();
  for (jobs->n_left = 0; jobs->n_left < options->count; jobs->n_left++)
    afork_pool_call_async (jobs->pool, new_bytes (), NULL, queued_cb, jobs);
  /* A few jobs fit into memory that is resident already. */
  bytes = MAX (1, (case_get_memory () - bytes) / options->count);
  while (jobs->n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  elapsed = (case_now () - start) / options->count;

  case_print_series ("per-job-ns", &elapsed, 1);
  case_print_series ("per-job-bytes", &bytes, 1);
}

/* Thumbnails. */

static void
thumbnail_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  if (value == NULL)
    case_fail ("%s", error->message);
  call_ended (GPOINTER_TO_INT (data));
}

static void
begin_thumbnail (int   ticket,
                 void *data)
{
  Jobs *jobs = data;
  g_autofree char *picture = g_strdup_printf (POOL_PICTURE, jobs->folder, ticket);
  g_autofree char *thumbnail = g_strdup_printf (POOL_THUMBNAIL, jobs->folder, ticket);

  afork_pool_call_async (jobs->pool, g_variant_new ("(^ay^ay)", picture, thumbnail), NULL,
                         thumbnail_cb, GINT_TO_POINTER (ticket));
}

static void
run (const CaseOptions *options,
     Jobs              *jobs)
{
  const char *variant = options->variant;

  if (g_str_equal (variant, "crash"))
    run_crashes (options, jobs);
  else if (g_str_equal (variant, "queue"))
    run_queue (options, jobs);
  else if (g_str_equal (variant, "spin"))
    pool_print_efficiency (options, call_run (options, begin_echo, turn, jobs));
  else
    call_run (options, jobs->folder != NULL ? begin_thumbnail : begin_echo, turn, jobs);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;
  Jobs jobs = { 0 };
  gboolean fresh;

  case_init (&options, argc, argv);
  if (options.variant == NULL)
    case_fail ("no variant was named");

  fresh = g_str_has_suffix (options.variant, "fresh");
  if (g_str_has_prefix (options.variant, "thumbnail"))
    {
      jobs.folder = case_sibling ("");
      jobs.pool = pool_new (&options, "thumbnail-module.so", "prepare", "thumbnail", fresh);
    }
  else
    {
      const char *function = g_str_equal (options.variant, "spin") ? "pool_millisecond"
                             : g_str_equal (options.variant, "crash") ? "pool_crash"
                             : "pool_echo";

      jobs.pool = pool_new (&options, "pool-module.so", NULL, function, fresh);
    }

  wait_for_workers (jobs.pool);
  run (&options, &jobs);

  g_clear_object (&jobs.pool);
  free (jobs.folder);
  return 0;
}
