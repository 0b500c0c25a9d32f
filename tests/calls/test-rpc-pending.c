/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The number of sources in the main context, and of handlers on a cancellable, does not depend on
 * how many operations are pending. So the time for each operation does not grow with their
 * number. */

#include "config.h"

#include "test-count-util.h"
#include "test-rpc-util.h"

#include <time.h>

enum { FEW = 10 };

typedef struct
{
  AForkRpc     *rpc;
  AForkProcess *process;        /* of the RPC object */
  GCancellable *cancellable;
  GAsyncResult *held;           /* a call that keeps the worker from being closed */
  guint         n_ended;
  guint         n_cancelled;
  guint         n_failed;       /* otherwise */
  guint         n_idle;         /* how often an idle source ran since the first has ended */
} Pending;

static void
count_end (Pending *self,
           GError  *error)
{
  self->n_ended++;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    self->n_cancelled++;
  else if (error != NULL)
    self->n_failed++;
}

static void
call_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);

  g_assert_true ((value == NULL) == (error != NULL));
  count_end (data, error);
}

static void
job_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_run_job_finish (AFORK_RPC (object), result, &error);

  g_assert_true ((value == NULL) == (error != NULL));
  count_end (data, error);
}

static void
close_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (afork_rpc_close_finish (AFORK_RPC (object), result, &error) == (error == NULL));
  count_end (data, error);
}

static void
wait_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (afork_process_wait_finish (AFORK_PROCESS (object), result, &error)
                 == (error == NULL));
  count_end (data, error);
}

static void
begin_calls (Pending *self,
             guint    n_calls)
{
  for (guint i = 0; i < n_calls; i++)
    afork_rpc_call_async (self->rpc, do_args ("never", i), self->cancellable, call_cb, self);
}

/* Each has its own cancellable besides that, and a time limit. */
static void
begin_jobs (Pending *self,
            guint    n_jobs)
{
  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("never", i));

      afork_job_set_timeout (job, 3600 * 1000 + i);
      afork_rpc_run_job_async (self->rpc, job, self->cancellable, job_cb, self);
    }
}

static void
begin_waits (Pending *self,
             guint    n_waits)
{
  for (guint i = 0; i < n_waits; i++)
    afork_process_wait_async (self->process, self->cancellable, wait_cb, self);
}

static void
begin_closes (Pending *self,
              guint    n_closes)
{
  for (guint i = 0; i < n_closes; i++)
    afork_rpc_close_async (self->rpc, self->cancellable, close_cb, self);
}

typedef void (*BeginFunc) (Pending *self,
                           guint    n_operations);

static void
pending_begin (Pending *self)
{
  *self = (Pending) {
    .rpc = new_rpc_of ("bounds", "bounds_later", TRUE),
    .cancellable = g_cancellable_new (),
  };
  self->process = afork_rpc_get_process (self->rpc);
  afork_rpc_set_max_in_flight (self->rpc, G_MAXUINT16);
  assert_serves (self->rpc);
}

static void
pending_end (Pending *self)
{
  afork_process_force_exit (self->process);
  g_assert_finalize_object (self->cancellable);
  g_clear_object (&self->rpc);
}

static void
await_ended (Pending *self,
             guint    n_ended)
{
  while (self->n_ended < n_ended)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (self->n_ended, ==, n_ended);
}

/* The worker has all calls before this one, and has begun those that are jobs. */
static void
await_call (Pending *self)
{
  g_autoptr(GAsyncResult) result = NULL;

  begin_call (self->rpc, "number", 1, NULL, &result);
  expect_uint32 (self->rpc, &result, 1);
}

static guint
get_many (void)
{
  return is_instrumented () ? 1000 : 10000;
}

static void
check_constant (BeginFunc begin)
{
  const guint n_many = get_many ();
  guint n_sources, n_handlers;
  Pending pending;

  pending_begin (&pending);
  begin_call (pending.rpc, "never", 0, NULL, &pending.held);
  begin (&pending, FEW);
  n_sources = count_sources (NULL);
  n_handlers = count_handlers (pending.cancellable);
  begin (&pending, n_many);
  g_assert_cmpuint (count_sources (NULL), ==, n_sources);
  g_assert_cmpuint (count_handlers (pending.cancellable), ==, n_handlers);
  if (begin != begin_closes)
    await_call (&pending);
  g_assert_cmpuint (count_sources (NULL), <=, n_sources);
  g_assert_cmpuint (count_handlers (pending.cancellable), ==, n_handlers);
  g_assert_cmpuint (pending.n_ended, ==, 0);

  g_cancellable_cancel (pending.cancellable);
  await_ended (&pending, FEW + n_many);
  g_assert_cmpuint (pending.n_cancelled, ==, FEW + n_many);
  g_assert_cmpuint (count_handlers (pending.cancellable), ==, 0);
  afork_process_force_exit (pending.process);
  await_result (&pending.held);
  g_clear_object (&pending.held);
  pending_end (&pending);
}

static void
test_constant_calls (void)
{
  check_constant (begin_calls);
}

static void
test_constant_jobs (void)
{
  check_constant (begin_jobs);
}

static void
test_constant_waits (void)
{
  check_constant (begin_waits);
}

static void
test_constant_closes (void)
{
  check_constant (begin_closes);
}

/* Calls that fail at once return in the next iteration. */
static void
check_failed (BeginFunc begin)
{
  const guint n_many = get_many ();
  guint n_sources;
  Pending pending;

  pending_begin (&pending);
  close_rpc (pending.rpc);
  n_sources = count_sources (NULL);
  begin (&pending, n_many);
  g_assert_cmpuint (pending.n_ended, ==, 0);
  g_assert_cmpuint (count_sources (NULL), <=, n_sources + 1);
  await_ended (&pending, n_many);
  g_assert_cmpuint (pending.n_failed, ==, n_many);
  pending_end (&pending);
}

static void
test_failed_calls (void)
{
  check_failed (begin_calls);
}

static void
test_failed_jobs (void)
{
  check_failed (begin_jobs);
}

/* Times are CPU times of this thread, so that other processes matter little. */

/* Operations on all that is pending. */
typedef void (*EndFunc) (Pending *self);

static void
end_by_cancelling (Pending *self)
{
  g_cancellable_cancel (self->cancellable);
}

static void
end_by_killing (Pending *self)
{
  afork_process_force_exit (self->process);
}

static gint64
get_time (void)
{
  struct timespec time;

  g_assert_no_errno (clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time));
  return time.tv_sec * G_GINT64_CONSTANT (1000000000) + time.tv_nsec;
}

static gint64
measure (BeginFunc begin,
         EndFunc   end,
         guint     n_operations)
{
  g_autoptr(GAsyncResult) held = NULL;
  gint64 start, time;
  Pending pending;

  pending_begin (&pending);
  begin_call (pending.rpc, "never", 0, NULL, &held);
  start = get_time ();
  begin (&pending, n_operations);
  g_main_context_iteration (NULL, FALSE);
  end (&pending);
  await_ended (&pending, n_operations);
  time = get_time () - start;

  afork_process_force_exit (pending.process);
  await_result (&held);
  pending_end (&pending);
  return time;
}

/* Eight times as many take about eight times as long, and not 64 times. */
static void
check_linear (BeginFunc begin,
              EndFunc   end)
{
  enum { N_OPERATIONS = 2500, TIMES = 8, MAX_RATIO = 24 };
  double best = G_MAXDOUBLE;

  if (is_instrumented ())
    {
      g_test_skip ("Time is not measured under instrumentation");
      return;
    }

  for (int i = 0; i < 5 && best > MAX_RATIO; i++)
    {
      double few = (double) measure (begin, end, N_OPERATIONS);
      double many = (double) measure (begin, end, N_OPERATIONS * TIMES);

      best = MIN (best, many / few);
    }
  g_test_message ("%d times as many take %.1f times as long", TIMES, best);
  g_assert_cmpfloat (best, <=, MAX_RATIO);
}

static void
test_linear_calls (void)
{
  check_linear (begin_calls, end_by_cancelling);
  check_linear (begin_calls, end_by_killing);
}

static void
test_linear_jobs (void)
{
  check_linear (begin_jobs, end_by_cancelling);
  check_linear (begin_jobs, end_by_killing);
}

static void
test_linear_waits (void)
{
  check_linear (begin_waits, end_by_cancelling);
  check_linear (begin_waits, end_by_killing);
}

static void
test_linear_closes (void)
{
  check_linear (begin_closes, end_by_cancelling);
  check_linear (begin_closes, end_by_killing);
}

/* The same for the worker: it has many calls, which are all cancelled, from the last to the first,
 * before it has begun one. */
static guint64
measure_worker (guint n_calls)
{
  enum { N_BEFORE = 50, NAP = 2000 };
  g_autoptr(GPtrArray) cancellables = g_ptr_array_new_with_free_func (g_object_unref);
  Pending pending = { .rpc = new_rpc_of ("bounds", "bounds_do", FALSE) };
  guint64 start, time;
  guint n_before;

  pending.process = afork_rpc_get_process (pending.rpc);
  afork_rpc_set_max_in_flight (pending.rpc, G_MAXUINT16);
  for (guint i = 0; i < n_calls; i++)
    {
      g_ptr_array_add (cancellables, g_cancellable_new ());
      afork_rpc_call_async (pending.rpc, do_args ("nap", NAP),
                            g_ptr_array_index (cancellables, i), call_cb, &pending);
    }

  /* Each time that the worker reads, it takes some more, and by then it has all of them. */
  while (pending.n_ended < N_BEFORE)
    g_main_context_iteration (NULL, TRUE);
  start = get_cpu_time (afork_process_get_pid (pending.process));
  n_before = pending.n_ended;
  while (cancellables->len > 0)
    {
      g_cancellable_cancel (g_ptr_array_index (cancellables, cancellables->len - 1));
      g_ptr_array_set_size (cancellables, (int) cancellables->len - 1);
    }
  await_ended (&pending, n_calls);
  g_assert_cmpuint (pending.n_cancelled, >=, n_calls - n_before);

  await_call (&pending);
  time = get_cpu_time (afork_process_get_pid (pending.process)) - start;
  close_rpc (pending.rpc);
  g_object_unref (pending.rpc);
  return time;
}

static void
test_linear_worker (void)
{
  enum { N_CALLS = 4000, TIMES = 8, MAX_RATIO = 24 };
  double best = G_MAXDOUBLE;

  if (is_instrumented ())
    {
      g_test_skip ("Time is not measured under instrumentation");
      return;
    }

  for (int i = 0; i < 3 && best > MAX_RATIO; i++)
    {
      double few = (double) measure_worker (N_CALLS);
      double many = (double) measure_worker (N_CALLS * TIMES);

      best = MIN (best, many / few);
    }
  g_test_message ("%d times as many take %.1f times as long", TIMES, best);
  g_assert_cmpfloat (best, <=, MAX_RATIO);
}

/* Turns. */

static gboolean
count_cb (gpointer data)
{
  Pending *self = data;

  if (self->n_ended > 0)
    self->n_idle++;
  return G_SOURCE_CONTINUE;
}

/* However many end at the same time, idle sources run meanwhile. */
static void
check_turns (BeginFunc begin,
             EndFunc   end)
{
  const guint n_operations = is_instrumented () ? 10000 : 100000;
  g_autoptr(GAsyncResult) held = NULL;
  Pending pending;
  guint source;

  pending_begin (&pending);
  begin_call (pending.rpc, "never", 0, NULL, &held);
  begin (&pending, n_operations);
  g_main_context_iteration (NULL, FALSE);
  source = g_idle_add (count_cb, &pending);
  end (&pending);
  await_ended (&pending, n_operations);
  g_source_remove (source);
  g_test_message ("%u idle sources ran", pending.n_idle);
  g_assert_cmpuint (pending.n_idle, >=, 3);

  afork_process_force_exit (pending.process);
  await_result (&held);
  pending_end (&pending);
}

static void
test_turns_cancelled (void)
{
  check_turns (begin_calls, end_by_cancelling);
  check_turns (begin_waits, end_by_cancelling);
}

static void
test_turns_ended (void)
{
  check_turns (begin_calls, end_by_killing);
  check_turns (begin_waits, end_by_killing);
  check_turns (begin_closes, end_by_killing);
}

/* The worker cannot serve: its calls have waited for that. */
static void
test_turns_refused (void)
{
  const guint n_operations = is_instrumented () ? 10000 : 100000;
  Pending pending = { .cancellable = NULL };
  guint source;

  pending.rpc = new_rpc_of ("bounds", "not_there", TRUE);
  begin_calls (&pending, n_operations);
  source = g_idle_add (count_cb, &pending);
  await_ended (&pending, n_operations);
  g_source_remove (source);
  g_assert_cmpuint (pending.n_failed, ==, n_operations);
  g_assert_cmpuint (pending.n_idle, >=, 3);
  close_rpc_error (pending.rpc, AFORK_ERROR_FUNCTION);
  g_object_unref (pending.rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-pending/constant/calls", test_constant_calls);
  add_test ("/rpc-pending/constant/jobs", test_constant_jobs);
  add_test ("/rpc-pending/constant/waits", test_constant_waits);
  add_test ("/rpc-pending/constant/closes", test_constant_closes);
  add_test ("/rpc-pending/linear/calls", test_linear_calls);
  add_test ("/rpc-pending/linear/jobs", test_linear_jobs);
  add_test ("/rpc-pending/linear/waits", test_linear_waits);
  add_test ("/rpc-pending/linear/closes", test_linear_closes);
  add_test ("/rpc-pending/linear/worker", test_linear_worker);
  add_test ("/rpc-pending/turns/cancelled", test_turns_cancelled);
  add_test ("/rpc-pending/turns/ended", test_turns_ended);
  add_test ("/rpc-pending/turns/refused", test_turns_refused);
  add_test ("/rpc-pending/failed/calls", test_failed_calls);
  add_test ("/rpc-pending/failed/jobs", test_failed_jobs);

  return g_test_run ();
}
