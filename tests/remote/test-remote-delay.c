/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Another host that is far away: 40 milliseconds to it and back. */

#include "config.h"

#include "remote-util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "delay-line.h"

#define LINE_VARIABLE "AFORK_TEST_DELAY_LINE"
#define REASON_VARIABLE "AFORK_TEST_NO_DELAY_LINE"

enum
{
  ONE_WAY_MS = 20,
  N_TRIES = 10,         /* of which the best counts: the machine may have other work */
  N_CALLS = 64,
  BUSY = 5,
};

static double
get_seconds (gint64 begun)
{
  return (double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC;
}

/* How long a packet takes there and back, in seconds: TCP connects in this time. */
static double
measure_round_trip (void)
{
  struct sockaddr_in name = {
    .sin_family = AF_INET, .sin_port = htons ((guint16) atoi (g_getenv ("AFORK_TEST_SSH_PORT"))),
  };
  double best = G_MAXDOUBLE;

  inet_pton (AF_INET, DELAY_LINE_FAR, &name.sin_addr);
  for (int i = 0; i < 3; i++)
    {
      const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const gint64 begun = g_get_monotonic_time ();

      g_assert_no_errno (connect (fd, (struct sockaddr *) &name, sizeof name));
      best = MIN (best, get_seconds (begun));
      close (fd);
    }

  g_assert_cmpfloat (best, >=, 2 * ONE_WAY_MS / 1000.0);
  return best;
}

/* How many round trips fit into the time. What is left of it is computing, which takes long on a
 * busy machine: a benchmark may measure the time itself. */
static int
count_trips (double seconds,
             double round_trip)
{
  return (int) (seconds / round_trip);
}

/* Returns NULL and skips the test if there is no such host. */
static AForkRuntime *
new_far_host (void)
{
  if (g_getenv (REASON_VARIABLE) != NULL)
    {
      g_test_skip (g_getenv (REASON_VARIABLE));
      return NULL;
    }

  return new_host (OVER_SSH);
}

/* A worker takes one round trip, and may take two. */
static void
test_delay_workers (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_far_host ();
  double round_trip, best = G_MAXDOUBLE;

  if (runtime == NULL)
    return;

  round_trip = measure_round_trip ();
  afork_process_require (afork_runtime_get_template (runtime), "lifecycle");
  for (int i = 0; i < N_TRIES; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
      const gint64 begun = g_get_monotonic_time ();

      g_object_unref (run_process_ok (process, "until_closed"));
      best = MIN (best, get_seconds (begun));
      await_end (process);
      assert_exit_status (process, 0);
    }
  g_test_message ("round trip %.1f ms, worker %.1f ms", 1000 * round_trip, 1000 * best);
  g_assert_cmpint (count_trips (best, round_trip), <=, 2);
  afork_runtime_set_template (runtime, NULL);
}

/* Calls do not wait for each other: 64 of them take one round trip. */
static void
test_delay_calls (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_far_host ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  double round_trip, best = G_MAXDOUBLE;

  if (runtime == NULL)
    return;

  round_trip = measure_round_trip ();
  process = afork_process_require (afork_process_new_for_runtime (runtime), "calls");
  rpc = afork_rpc_new (process, "calls_do");
  for (int i = 0; i < N_TRIES; i++)
    {
      GAsyncResult *results[N_CALLS] = { NULL };
      const gint64 begun = g_get_monotonic_time ();

      for (int k = 0; k < N_CALLS; k++)
        begin_call (rpc, "unit", 0, NULL, &results[k]);
      for (int k = 0; k < N_CALLS; k++)
        await_result (&results[k]);
      best = MIN (best, get_seconds (begun));
      for (int k = 0; k < N_CALLS; k++)
        {
          g_autoptr(GError) error = NULL;
          g_autoptr(GVariant) value = afork_rpc_call_finish (rpc, results[k], &error);

          g_assert_no_error (error);
          g_assert_nonnull (value);
          g_object_unref (results[k]);
        }
    }
  g_test_message ("round trip %.1f ms, %d calls %.1f ms", 1000 * round_trip, N_CALLS, 1000 * best);
  g_assert_cmpint (count_trips (best, round_trip), <=, 1);
  close_rpc (rpc);
  afork_runtime_set_template (runtime, NULL);
}

/* A module that the host has costs one round trip more than a worker. */
static void
test_delay_file (Census        *census,
                 gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_far_host ();
  g_autofree char *path = g_build_filename (g_getenv ("AFORK_MODULE_PATH"), "lifecycle.so", NULL);
  g_autoptr(GFile) file = g_file_new_for_path (path);
  g_autofree char *cache = NULL;
  g_autoptr(GSubprocess) remove = NULL;
  g_autoptr(GError) error = NULL;
  double round_trip, first = 0, best = G_MAXDOUBLE;

  if (runtime == NULL)
    return;

  round_trip = measure_round_trip ();
  cache = g_dir_make_tmp ("afork-delay-XXXXXX", &error);
  g_assert_no_error (error);
  for (int i = 0; i < N_TRIES; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
      const gint64 begun = g_get_monotonic_time ();

      afork_process_setenv (process, "XDG_CACHE_HOME", cache);
      afork_process_require_file (process, file);
      g_object_unref (run_process_ok (process, "done"));
      if (i == 0)
        first = get_seconds (begun);
      else
        best = MIN (best, get_seconds (begun));
      await_end (process);
      assert_exit_status (process, 0);
    }
  g_test_message ("round trip %.1f ms, copied with the connection %.1f ms, then %.1f ms",
                  1000 * round_trip, 1000 * first, 1000 * best);
  g_assert_cmpint (count_trips (best, round_trip), <=, 3);
  afork_runtime_set_template (runtime, NULL);
  remove = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, "rm", "-r", cache, NULL);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait_check (remove, NULL, NULL));
}

/* The network between the hosts goes away, and nothing says so: no packet arrives any more. Both
 * sides notice. */
static void
test_delay_silence (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_far_host ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) pid = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  GPid line, session;
  gint64 begun;

  if (runtime == NULL)
    return;

  line = atoi (g_getenv (LINE_VARIABLE));
  afork_runtime_set_keepalive (runtime, 1000);
  process = afork_process_require (afork_process_new_for_runtime (runtime), "calls");
  rpc = afork_rpc_new (process, "calls_do");
  pid = call (rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  session = get_parent (find_agent ((GPid) g_variant_get_uint32 (pid)));
  begin_call (rpc, "stuck", 0, NULL, &result);
  iterate ();

  begun = g_get_monotonic_time ();
  g_assert_no_errno (kill (line, SIGSTOP));
  await_result (&result);
  g_assert_null (afork_rpc_call_finish (rpc, result, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_HOST_LOST, "nothing was heard of it");
  g_assert_cmpfloat (get_seconds (begun), <, 2 * BUSY);
  await_gone ((GPid) g_variant_get_uint32 (pid), 4 * BUSY);
  g_assert_no_errno (kill (line, SIGCONT));
  /* sshd itself waits until it hears that the connection has ended. */
  await_gone (session, 60);
  afork_runtime_set_template (runtime, NULL);
}

int
main (int    argc,
      char **argv)
{
  DelayLine line = { -1, 0 };
  g_autofree char *reason = NULL;
  g_autofree char *number = NULL;

  /* This process sets up the hosts, and then executes the tests. */
  if (g_getenv (LINE_VARIABLE) == NULL)
    {
      reason = delay_line_start (&line, ONE_WAY_MS);
      if (reason != NULL)
        g_setenv (REASON_VARIABLE, reason, TRUE);
      number = g_strdup_printf ("%d", line.pid);
      g_setenv (LINE_VARIABLE, number, TRUE);
    }
  if (g_getenv (REASON_VARIABLE) == NULL)
    enter_ssh (argv, DELAY_LINE_FAR, line.far_network);

  g_test_init (&argc, &argv, NULL);
  add_with_census ("/delay/workers", test_delay_workers);
  add_with_census ("/delay/calls", test_delay_calls);
  add_with_census ("/delay/file", test_delay_file);
  add_with_census ("/delay/silence", test_delay_silence);
  return g_test_run ();
}
