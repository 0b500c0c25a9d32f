/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How long it takes from the call that makes a worker to the first byte that its function writes:
 * `latency-ns` of each, `first-byte-ns`, their median, and `first-byte-p99-ns`. Variants: `fork`,
 * where the template forks then; and `spare`, where it has forked before. After some in a row there
 * is a pause, in which new spare forks are made and caches go cold; it is not measured. */

#include "config.h"

#include <afork/afork.h>
#include <stdlib.h>
#include <unistd.h>

#include "case.h"

enum
{
  N_IN_A_ROW = 16,
  PAUSE_MS = 150,               /* a little longer than it takes to make spare forks */
  TICK_MS = 10,
};

static gboolean done;

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  int64_t *latency = data;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  char byte;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  if (connection == NULL)
    case_fail ("%s", error->message);
  if (g_input_stream_read (g_io_stream_get_input_stream (G_IO_STREAM (connection)), &byte, 1,
                           NULL, &error) != 1)
    case_fail ("A worker wrote nothing");

  *latency = case_now () - *latency;
  done = TRUE;
}

static void
measure (AForkProcess *template,
         int64_t      *latency)
{
  g_autoptr(AForkProcess) process = NULL;

  done = FALSE;
  *latency = case_now ();
  process = afork_process_fork (template);
  afork_process_run_async (process, "greet", NULL, run_cb, latency);
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  while (afork_process_get_state (process) != AFORK_PROCESS_STATE_EXITED)
    g_main_context_iteration (NULL, TRUE);
}

static int
count_children (AForkProcess *process)
{
  int pid = (int) afork_process_get_pid (process);
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", pid, pid);
  g_autofree char *text = NULL;
  int n_children = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;

  for (const char *c = text; *c != '\0'; c++)
    n_children += *c == ' ';
  return n_children;
}

static gboolean
tick_cb (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

/* Until there are N_SPARES, and all processes have slept for a while. */
static void
pause_for (AForkProcess *template,
           int           n_spares)
{
  guint tick = g_timeout_add (TICK_MS, tick_cb, NULL);
  int64_t end = case_now () + (int64_t) PAUSE_MS * 1000000;

  while (count_children (template) < n_spares || case_now () < end)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
}

static int
compare (const void *a,
         const void *b)
{
  int64_t difference = *(const int64_t *) a - *(const int64_t *) b;

  return (difference > 0) - (difference < 0);
}

/* The smallest of the sorted VALUES that PERCENT of all do not exceed. */
static const int64_t *
quantile (const int64_t *values,
          int            n_values,
          int            percent)
{
  return &values[(n_values * percent + 99) / 100 - 1];
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autofree int64_t *latencies = NULL;
  CaseOptions options;
  int64_t *counted;
  char *module;
  int n_spares;
  int n_all;

  case_init (&options, argc, argv);
  n_spares = g_strcmp0 (options.variant, "spare") == 0 ? N_IN_A_ROW : 0;
  n_all = options.warm_up + options.count;
  latencies = g_new0 (int64_t, n_all);
  module = case_sibling ("perf-module.so");
  template = afork_process_require (afork_process_new (), module);
  free (module);

  /* The template looks up the function that its forks will run. */
  measure (template, &latencies[0]);
  afork_process_set_spare (template, (guint) n_spares);
  for (int i = 0; i < n_all; i++)
    {
      if (i % N_IN_A_ROW == 0)
        pause_for (template, n_spares);
      measure (template, &latencies[i]);
    }

  counted = latencies + options.warm_up;
  case_print_series ("latency-ns", counted, (size_t) options.count);
  qsort (counted, (size_t) options.count, sizeof *counted, compare);
  case_print_series ("first-byte-ns", quantile (counted, options.count, 50), 1);
  case_print_series ("first-byte-p99-ns", quantile (counted, options.count, 99), 1);
  return 0;
}
