/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One side does not read, and the other one waits. The memory of both is measured meanwhile. */

#include "config.h"

#include "test-rpc-util.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum
{
  KIB = 1024,
  MIB = 1024 * KIB,
  /* The contents of a socket and of a write buffer, and memory that is lost between allocations. */
  SLACK = 6 * MIB,
};

/* How far the worker is. It writes this to shared memory. */
typedef struct
{
  int      fd;
  guint32 *count;
} Counter;

static void
counter_begin (Counter *counter)
{
  counter->fd = memfd_create ("counter", MFD_CLOEXEC);
  g_assert_no_errno (counter->fd);
  g_assert_no_errno (ftruncate (counter->fd, sizeof *counter->count));
  counter->count = mmap (NULL, sizeof *counter->count, PROT_READ, MAP_SHARED, counter->fd, 0);
  g_assert_true (counter->count != MAP_FAILED);
}

static void
counter_end (Counter *counter)
{
  munmap (counter->count, sizeof *counter->count);
}

static guint32
counter_get (Counter *counter)
{
  return (guint32) g_atomic_int_get ((gint *) counter->count);
}

/* The memory of each side before the test. */
typedef struct
{
  GPid  pid;
  gsize own;
  gsize worker;
  gsize most_own;
} Memory;

/* The worker answers by now. */
static void
memory_begin (Memory   *memory,
              AForkRpc *rpc)
{
  assert_serves (rpc);
  memory->pid = afork_process_get_pid (afork_rpc_get_process (rpc));
  memory->own = memory->most_own = get_own_memory ();
  memory->worker = get_private_memory (memory->pid);
}

static void
memory_assert (Memory *memory,
               gsize   own_bound,
               gsize   worker_bound)
{
  gsize own = get_own_memory ();
  gsize worker = get_private_memory (memory->pid);

  own = own > memory->own ? own - memory->own : 0;
  worker = worker > memory->worker ? worker - memory->worker : 0;
  g_test_message ("Memory here: %zu KiB more; in the worker: %zu KiB more", own / KIB,
                  worker / KIB);
  g_assert_cmpuint (own, <=, own_bound);
  g_assert_cmpuint (worker, <=, worker_bound);
}

static void
memory_look (Memory *memory)
{
  memory->most_own = MAX (memory->most_own, get_own_memory ());
}

/* The worker sends progress and events of 1000 bytes each. */

typedef struct
{
  Memory  memory;
  guint32 n_progress;
  guint32 n_events;
} Flood;

/* They arrive in order, one of each. */
static void
flood_cb (GObject  *object,
          GVariant *value,
          gpointer  data)
{
  Flood *flood = data;
  guint32 number;

  g_variant_get (value, "(u@ay)", &number, NULL);
  if (AFORK_IS_JOB (object))
    g_assert_cmpuint (number, ==, flood->n_progress++);
  else
    {
      g_assert_cmpuint (number, ==, flood->n_events++);
      g_assert_cmpuint (flood->n_events, ==, flood->n_progress);
    }
  if (number % KIB == 0)
    memory_look (&flood->memory);
}

static void
test_flood (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  const guint32 n_both = is_instrumented () ? 2 * KIB : 32 * KIB;
  guint32 n_unread;
  Counter counter;
  Flood flood = { 0 };

  counter_begin (&counter);
  job = new_fd_job ("flood", n_both, counter.fd);
  g_signal_connect (rpc, "event", G_CALLBACK (flood_cb), &flood);
  g_signal_connect (job, "progress", G_CALLBACK (flood_cb), &flood);
  memory_begin (&flood.memory, rpc);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  while (afork_job_get_state (job) != AFORK_JOB_STATE_RUNNING)
    g_main_context_iteration (NULL, TRUE);

  /* This side does not read: the worker fills the socket, and sleeps. */
  await_sleep (flood.memory.pid);
  n_unread = counter_get (&counter);
  g_test_message ("The worker waits after %u of %u", n_unread, n_both);
  g_assert_cmpuint (n_unread, <, n_both / 4);
  memory_assert (&flood.memory, MIB, MIB);
  await_sleep (flood.memory.pid);
  g_assert_cmpuint (counter_get (&counter), ==, n_unread);

  /* All of it arrives, and little of it is here at a time. */
  await_result (&result);
  g_assert_cmpuint (counter_get (&counter), ==, n_both);
  answer = afork_rpc_run_job_finish (rpc, result, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_size (answer), ==, 16 * MIB);
  g_assert_cmpuint (flood.n_progress, ==, n_both);
  g_assert_cmpuint (flood.n_events, ==, n_both);
  g_test_message ("Memory here at most: %zu KiB more",
                  (flood.memory.most_own - flood.memory.own) / KIB);
  g_assert_cmpuint (flood.memory.most_own - flood.memory.own, <, MIB);
  close_rpc (rpc);
  counter_end (&counter);
}

/* Many calls at a time are answered with 1 MiB each. */

enum { N_CALLS = 64 };

static void
test_answers (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_later", TRUE);
  GAsyncResult *results[N_CALLS] = { NULL };
  Memory memory;

  memory_begin (&memory, rpc);
  for (guint i = 0; i < N_CALLS; i++)
    begin_call (rpc, "value", MIB, NULL, &results[i]);
  /* The calls are sent, and nothing is read. */
  while (results[0] == NULL)
    g_main_context_iteration (NULL, TRUE);
  await_sleep (memory.pid);
  memory_assert (&memory, N_CALLS * MIB / 4, SLACK);

  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      answer = afork_rpc_call_finish (rpc, results[i], &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_size (answer), ==, MIB);
      g_clear_object (&results[i]);
    }
  memory_assert (&memory, 3 * MIB, SLACK);
  close_rpc (rpc);
}

/* The worker does not read: calls wait as values. These share one value, so that the memory of the
 * library itself is measured. */
static void
check_calls (guint max_in_flight,
             gsize size,
             guint n_calls)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autofree char *text = g_strnfill (size, 'x');
  g_autoptr(GVariant) args = g_variant_ref_sink (g_variant_new ("(su)", text, 0));
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, n_calls);
  g_autoptr(GAsyncResult) held = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  int ends[2];
  Memory memory;

  g_assert_no_errno (pipe2 (ends, O_CLOEXEC));
  job = new_fd_job ("hold", 0, ends[0]);
  afork_rpc_set_max_in_flight (rpc, max_in_flight);
  /* The size of the serialized value. */
  (void) g_variant_get_data (args);
  memory_begin (&memory, rpc);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &held);
  while (afork_job_get_state (job) != AFORK_JOB_STATE_RUNNING)
    g_main_context_iteration (NULL, TRUE);

  for (guint i = 0; i < n_calls; i++)
    {
      afork_rpc_call_async (rpc, args, cancellable, store_result_cb, &results[i]);
      while (i % 100 == 0 && g_main_context_iteration (NULL, FALSE))
        ;
    }
  iterate ();
  g_test_message ("%u calls of %zu bytes, %u at a time", n_calls, size, max_in_flight);
  memory_assert (&memory, n_calls * KIB + 2 * MIB, SLACK);

  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < n_calls; i++)
    {
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      g_assert_null (afork_rpc_call_finish (rpc, results[i], &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_object_unref (results[i]);
    }
  close (ends[1]);
  await_result (&held);
  assert_serves (rpc);
  memory_assert (&memory, 3 * MIB, SLACK);
  close_rpc (rpc);
}

static void
test_calls (void)
{
  guint n_calls = is_instrumented () ? 200 : 2000;

  check_calls (64, 10 * KIB, n_calls);
  check_calls (64, MIB, n_calls);
  /* With more calls at a time, the write buffer is the limit. */
  check_calls (65535, 10 * KIB, n_calls);
  check_calls (65535, MIB, n_calls);
}

/* Each call is cancelled as soon as it was sent, which makes room for the next. A worker that does
 * not read still gets no more than a socket holds. */
static void
test_cancelled (void)
{
  guint n_calls = is_instrumented () ? 2000 : 20000;
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GAsyncResult) held = NULL;
  g_autoptr(AForkJob) job = NULL;
  int ends[2];
  Memory memory;

  g_assert_no_errno (pipe2 (ends, O_CLOEXEC));
  job = new_fd_job ("hold", 0, ends[0]);
  memory_begin (&memory, rpc);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &held);
  while (afork_job_get_state (job) != AFORK_JOB_STATE_RUNNING)
    g_main_context_iteration (NULL, TRUE);

  for (guint i = 0; i < n_calls; i++)
    {
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      g_autoptr(GAsyncResult) result = NULL;
      g_autofree char *text = g_strnfill (KIB, 'x');

      begin_call (rpc, text, i, cancellable, &result);
      g_main_context_iteration (NULL, FALSE);
      g_cancellable_cancel (cancellable);
      expect_error (rpc, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
    }
  memory_assert (&memory, 3 * MIB, SLACK);

  close (ends[1]);
  await_result (&held);
  assert_serves (rpc);
  memory_assert (&memory, 3 * MIB, SLACK);
  close_rpc (rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-slow/caller/flood", test_flood);
  add_test ("/rpc-slow/caller/answers", test_answers);
  add_test ("/rpc-slow/worker/calls", test_calls);
  add_test ("/rpc-slow/worker/cancelled", test_cancelled);

  return g_test_run ();
}
