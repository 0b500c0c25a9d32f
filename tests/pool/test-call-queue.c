/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Call queues: a pool that one thread serves, and that other threads use. */

#include "test-pool-util.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A thread that serves a pool. */
typedef struct
{
  GThread        *thread;
  GAsyncQueue    *ready;        /* gets the call queue */
  AForkCallQueue *queue;
  guint           max_workers;
  guint           max_batch;
  gboolean        frees_context;        /* the context is freed before the queue is closed */
  gboolean        disposes;             /* the queue is disposed of before that */
  GAsyncQueue    *go;           /* gets a pointer when the thread is to free it */
} Server;

static AForkPool *
new_batch_pool (guint max_workers)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");

  return g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_batch",
                       "forward-stderr", FALSE, "max-workers", max_workers, "load", 1,
                       "start-delay", 0, NULL);
}

static gpointer
server_thread (gpointer data)
{
  Server *self = data;
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(GError) error = NULL;
  AForkCallQueue *queue;
  AForkPool *pool;

  g_main_context_push_thread_default (context);
  pool = self->max_batch > 0 ? new_batch_pool (self->max_workers)
                             : new_pool ("max-workers", self->max_workers, "load", 1,
                                         "start-delay", 0, NULL);
  queue = g_object_new (AFORK_TYPE_CALL_QUEUE, "pool", pool, "max-batch", self->max_batch, NULL);
  g_object_unref (pool);
  g_async_queue_push (self->ready, g_object_ref (queue));
  if (self->frees_context)
    {
      g_async_queue_pop (self->go);
      if (self->disposes)
        g_object_run_dispose (G_OBJECT (queue));
    }
  else
    {
      g_assert_true (afork_call_queue_run (queue, &error));
      g_assert_no_error (error);
    }
  g_main_context_pop_thread_default (context);
  g_object_unref (queue);
  return NULL;
}

static Server *
server_new_full (guint    max_workers,
                 guint    max_batch,
                 gboolean frees_context)
{
  Server *self = g_new0 (Server, 1);

  self->max_workers = max_workers;
  self->max_batch = max_batch;
  self->frees_context = frees_context;
  self->ready = g_async_queue_new ();
  self->go = g_async_queue_new ();
  self->thread = g_thread_new ("server", server_thread, self);
  self->queue = g_async_queue_pop (self->ready);
  return self;
}

static Server *
server_new (guint    max_workers,
            gboolean frees_context)
{
  return server_new_full (max_workers, 0, frees_context);
}

/* Waits until the thread ends. The queue must be closed. */
static void
server_free (Server *self)
{
  g_thread_join (self->thread);
  g_object_unref (self->queue);
  g_async_queue_unref (self->ready);
  g_async_queue_unref (self->go);
  g_free (self);
}

static void
add (AForkCallQueue *queue,
     guint64         id,
     const char     *what,
     guint32         number)
{
  g_assert_true (afork_call_queue_add (queue, id, do_args (what, number)));
}

/* A result. */
typedef struct
{
  gboolean  failed;
  GVariant *value;
} Result;

static void
result_free (gpointer data)
{
  Result *self = data;

  g_variant_unref (self->value);
  g_free (self);
}

static guint64 *
new_key (guint64 id)
{
  guint64 *key = g_new (guint64, 1);

  *key = id;
  return key;
}

static GHashTable *
new_results (void)
{
  return g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, result_free);
}

/* Adds results that there are to RESULTS. */
static void
take_all (AForkCallQueue *queue,
          GHashTable     *results)
{
  gsize n_numbers;
  g_autofree guint64 *numbers = afork_call_queue_take (queue, &n_numbers);

  g_assert_cmpuint (n_numbers % 3, ==, 0);
  for (gsize i = 0; i < n_numbers; i += 3)
    {
      Result *result = g_new (Result, 1);

      g_assert_cmpuint (numbers[i + 1], <=, 1);
      result->failed = numbers[i + 1] == 1;
      result->value = g_variant_ref ((GVariant *) (guintptr) numbers[i + 2]);
      g_assert_true (g_hash_table_insert (results, new_key (numbers[i]), result));
    }
}

/* Waits until there are so many results. */
static void
await_results (AForkCallQueue *queue,
               GHashTable     *results,
               guint           n_results)
{
  while (g_hash_table_size (results) < n_results)
    {
      g_assert_true (afork_call_queue_wait (queue));
      take_all (queue, results);
    }
}

static void
expect_value (GHashTable *results,
              guint64     id,
              guint32     number)
{
  const Result *result = g_hash_table_lookup (results, &id);

  g_assert_nonnull (result);
  g_assert_false (result->failed);
  g_assert_cmpuint (g_variant_get_uint32 (result->value), ==, number);
}

static void
expect_failure (GHashTable *results,
                guint64     id,
                GQuark      domain,
                int         code,
                const char *text)
{
  const Result *result = g_hash_table_lookup (results, &id);
  const char *found_domain, *message;
  gint32 found_code;

  g_assert_nonnull (result);
  g_assert_true (result->failed);
  g_variant_get (result->value, "(&si&s)", &found_domain, &found_code, &message);
  g_assert_cmpstr (found_domain, ==, g_quark_to_string (domain));
  g_assert_cmpint (found_code, ==, code);
  g_assert_nonnull (strstr (message, text));
}

/* Several threads add calls, and this one takes the results. */

enum { N_THREADS = 4, N_CALLS = 500 };

typedef struct
{
  AForkCallQueue *queue;
  guint32         first;
} Adder;

static gpointer
adder_thread (gpointer data)
{
  Adder *self = data;

  for (guint32 i = self->first; i < self->first + N_CALLS; i++)
    add (self->queue, i, "echo", i);
  return NULL;
}

static void
test_call_queue_threads (void)
{
  Server *server = server_new (2, FALSE);
  g_autoptr(GHashTable) results = new_results ();
  GThread *threads[N_THREADS];
  Adder adders[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      adders[i] = (Adder) { server->queue, i * N_CALLS };
      threads[i] = g_thread_new ("adder", adder_thread, &adders[i]);
    }
  await_results (server->queue, results, N_THREADS * N_CALLS);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  for (guint32 i = 0; i < N_THREADS * N_CALLS; i++)
    expect_value (results, i, i);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_false (afork_call_queue_wait (server->queue));
  server_free (server);
}

static void
test_call_queue_errors (void)
{
  Server *server = server_new (1, FALSE);
  g_autoptr(GHashTable) results = new_results ();

  add (server->queue, 7, "error", G_IO_ERROR_EXISTS);
  add (server->queue, G_MAXUINT64, "exit", 3);
  add (server->queue, 0, "echo", 5);
  await_results (server->queue, results, 3);
  expect_failure (results, 7, G_IO_ERROR, G_IO_ERROR_EXISTS, "the worker says no");
  expect_failure (results, G_MAXUINT64, AFORK_ERROR, AFORK_ERROR_EXITED, "3");
  expect_value (results, 0, 5);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  server_free (server);
}

/* A call without arguments is possible, and so is one that the queue does not accept. */
static void
test_call_queue_no_args (void)
{
  Server *server = server_new (1, FALSE);
  g_autoptr(GVariant) args = g_variant_ref_sink (do_args ("echo", 1));

  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_false (afork_call_queue_add (server->queue, 1, NULL));
  g_assert_false (afork_call_queue_add (server->queue, 1, g_variant_ref (args)));
  g_assert_false (afork_call_queue_add (server->queue, 1, do_args ("echo", 1)));
  g_assert_false (afork_call_queue_remove (server->queue, 1));
  server_free (server);
}

/* Of many calls, those that the pool has not got can be removed. */
static void
test_call_queue_remove (void)
{
  Server *server = server_new (1, FALSE);
  g_autoptr(GHashTable) results = new_results ();
  guint n_removed = 0;

  add (server->queue, 1000, "sleep", 200);
  for (guint32 i = 0; i < 100; i++)
    add (server->queue, i, "echo", i);
  g_assert_true (afork_call_queue_contains (server->queue, 99));
  for (guint32 i = 99; i > 0 && afork_call_queue_remove (server->queue, i); i--)
    n_removed++;
  g_assert_cmpuint (n_removed, >=, 90);
  g_assert_false (afork_call_queue_contains (server->queue, 99));
  g_assert_false (afork_call_queue_remove (server->queue, 99));
  g_assert_false (afork_call_queue_remove (server->queue, 2000));
  await_results (server->queue, results, 101 - n_removed);
  for (guint32 i = 0; i < 100 - n_removed; i++)
    expect_value (results, i, i);
  g_assert_false (afork_call_queue_remove (server->queue, 0));
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_false (afork_call_queue_wait (server->queue));
  server_free (server);
}

/* Calls that the queue has are still made when it was closed. */
static void
test_call_queue_drain (void)
{
  Server *server = server_new (2, FALSE);
  g_autoptr(GHashTable) results = new_results ();

  for (guint32 i = 0; i < 100; i++)
    add (server->queue, i, "echo", i);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  while (afork_call_queue_wait (server->queue))
    take_all (server->queue, results);
  g_assert_cmpuint (g_hash_table_size (results), ==, 100);
  for (guint32 i = 0; i < 100; i++)
    expect_value (results, i, i);
  server_free (server);
}

/* A queue that drains can be aborted. All calls have a result. */
static void
test_call_queue_abort (void)
{
  Server *server = server_new (1, FALSE);
  g_autoptr(GHashTable) results = new_results ();

  add (server->queue, 0, "sleep", 60 * 1000);
  for (guint32 i = 1; i < 100; i++)
    add (server->queue, i, "echo", i);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_ABORT);
  while (afork_call_queue_wait (server->queue))
    take_all (server->queue, results);
  g_assert_cmpuint (g_hash_table_size (results), ==, 100);
  for (guint32 i = 0; i < 100; i++)
    expect_failure (results, i, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
  server_free (server);
}

/* Workers get several calls at a time, and give some back. */
static void
test_call_queue_batch (void)
{
  enum { N = 20000 };
  Server *server = server_new_full (2, 64, FALSE);
  g_autoptr(GHashTable) results = new_results ();

  for (guint32 i = 0; i < N; i++)
    add (server->queue, i, g_random_int_range (0, 100) == 0 ? "give-back" : "echo", i);
  await_results (server->queue, results, N);
  for (guint32 i = 0; i < N; i++)
    expect_value (results, i, i);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_false (afork_call_queue_wait (server->queue));
  server_free (server);
}

/* Whatever becomes of a batch, each of its calls has one result. */
static void
test_call_queue_batch_fails (void)
{
  enum { N = 5000 };
  Server *server = server_new_full (2, 64, FALSE);
  g_autoptr(GHashTable) results = new_results ();
  guint n_failed = 0;

  for (guint32 i = 0; i < N; i++)
    add (server->queue, i, i % 1000 == 500 ? "exit" : i % 100 == 50 ? "omit" : "echo", i % 100);
  await_results (server->queue, results, N);
  for (guint64 i = 0; i < N; i++)
    {
      const Result *result = g_hash_table_lookup (results, &i);

      g_assert_nonnull (result);
      n_failed += result->failed;
      if (i % 100 == 50 || i % 1000 == 500)
        g_assert_true (result->failed);
      else if (!result->failed)
        expect_value (results, i, i % 100);
    }
  g_assert_cmpuint (n_failed, <, N);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_false (afork_call_queue_wait (server->queue));
  server_free (server);
}

/* The queue is drained while its worker has the last calls, and gives some back. */
static void
test_call_queue_batch_drain (void)
{
  enum { N_SHORT = 2000, N = N_SHORT + 40 };

  for (int round = 0; round < 10; round++)
    {
      Server *server = server_new_full (1, 64, FALSE);
      g_autoptr(GHashTable) results = new_results ();

      /* Batches get longer. */
      for (guint32 i = 0; i < N_SHORT; i++)
        add (server->queue, i, "echo", i);
      await_results (server->queue, results, N_SHORT);
      for (guint32 i = N_SHORT; i < N; i++)
        add (server->queue, i, i % 4 == 1 ? "give-back" : "echo", i);
      afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
      while (afork_call_queue_wait (server->queue))
        take_all (server->queue, results);
      g_assert_cmpuint (g_hash_table_size (results), ==, N);
      for (guint32 i = 0; i < N; i++)
        expect_value (results, i, i);
      server_free (server);
    }
}

/* The queue is aborted while workers give calls back. */
static void
test_call_queue_batch_abort (void)
{
  enum { N = 5000 };
  Server *server = server_new_full (2, 64, FALSE);
  g_autoptr(GHashTable) results = new_results ();

  for (guint32 i = 0; i < N; i++)
    add (server->queue, i, i % 20 == 10 ? "give-back" : "echo", i);
  await_results (server->queue, results, N / 4);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_ABORT);
  while (afork_call_queue_wait (server->queue))
    take_all (server->queue, results);
  g_assert_cmpuint (g_hash_table_size (results), ==, N);
  server_free (server);
}

/* Results that are not taken are freed. */
static void
test_call_queue_not_taken (void)
{
  Server *server = server_new (1, FALSE);

  add (server->queue, 0, "echo", 1);
  add (server->queue, 1, "error", 1);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_true (afork_call_queue_wait (server->queue));
  server_free (server);
}

/* Only the thread of the pool can serve it. */
static void
test_call_queue_wrong_thread (void)
{
  Server *server = server_new (1, FALSE);
  g_autoptr(GError) error = NULL;

  g_assert_false (afork_call_queue_run (server->queue, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  server_free (server);
}

/* The context is freed while calls wait: they fail, and nobody waits for ever. */
static void
test_call_queue_context_gone (void)
{
  Server *server = server_new (1, TRUE);
  g_autoptr(GHashTable) results = new_results ();

  for (guint32 i = 0; i < 10; i++)
    add (server->queue, i, "echo", i);
  g_async_queue_push (server->go, server);
  while (afork_call_queue_wait (server->queue))
    take_all (server->queue, results);
  g_assert_cmpuint (g_hash_table_size (results), ==, 10);
  for (guint32 i = 0; i < 10; i++)
    expect_failure (results, i, AFORK_ERROR, AFORK_ERROR_CLOSED, "main context");
  g_assert_false (afork_call_queue_add (server->queue, 10, NULL));
  server_free (server);
}

/* The queue is disposed of, and the context is freed: each call has one result, and no thread waits
 * for ever. */
static void
test_call_queue_context_gone_disposed (void)
{
  for (guint32 n_calls = 0; n_calls <= 5; n_calls += 5)
    {
      Server *server = server_new (1, TRUE);
      g_autoptr(GHashTable) results = new_results ();

      for (guint32 i = 0; i < n_calls; i++)
        add (server->queue, i, "wait", i);
      server->disposes = TRUE;
      g_async_queue_push (server->go, server);
      while (afork_call_queue_wait (server->queue))
        take_all (server->queue, results);
      g_assert_cmpuint (g_hash_table_size (results), ==, n_calls);
      for (guint32 i = 0; i < n_calls; i++)
        expect_failure (results, i, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
      g_assert_false (afork_call_queue_add (server->queue, n_calls, NULL));
      server_free (server);
    }
}

/* The queue is disposed of while a worker has calls and others wait: they fail, and the pool is
 * shut down. */
static void
test_call_queue_disposed (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  AForkCallQueue *queue = afork_call_queue_new (pool);
  g_autoptr(GHashTable) results = new_results ();
  g_autoptr(GError) error = NULL;

  for (guint32 i = 0; i < 20; i++)
    add (queue, i, "wait", i);
  while (afork_pool_get_n_running (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_run_dispose (G_OBJECT (queue));
  g_object_run_dispose (G_OBJECT (queue));
  g_assert_false (afork_call_queue_add (queue, 20, NULL));
  g_assert_true (afork_call_queue_run (queue, &error));
  g_assert_no_error (error);
  take_all (queue, results);
  g_assert_cmpuint (g_hash_table_size (results), ==, 20);
  for (guint32 i = 0; i < 20; i++)
    expect_failure (results, i, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
  g_object_unref (queue);
  g_assert_finalize_object (pool);
}

/* The thread that serves the pool uses the queue, too. */
static void
test_call_queue_one_thread (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  AForkCallQueue *queue = afork_call_queue_new (pool);
  g_autoptr(GHashTable) results = new_results ();
  g_autoptr(GError) error = NULL;

  g_assert_true (afork_call_queue_get_pool (queue) == pool);
  for (guint32 i = 0; i < 20; i++)
    add (queue, i, "echo", i);
  while (g_hash_table_size (results) < 20)
    {
      g_main_context_iteration (NULL, TRUE);
      take_all (queue, results);
    }
  afork_call_queue_close (queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_true (afork_call_queue_run (queue, &error));
  g_assert_no_error (error);
  g_assert_finalize_object (queue);
  g_object_unref (pool);
}

static gpointer
is_iterated_thread (gpointer data)
{
  return GINT_TO_POINTER (afork_call_queue_is_iterated (data, g_main_context_default ()));
}

static gboolean
is_iterated_elsewhere (AForkCallQueue *queue)
{
  return GPOINTER_TO_INT (g_thread_join (g_thread_new ("is-iterated", is_iterated_thread, queue)));
}

/* Whether the program iterates its main context, as another thread sees it. */
static void
test_call_queue_is_iterated (void)
{
  Server *server = server_new (1, FALSE);
  GMainContext *context = g_main_context_default ();

  g_assert_false (is_iterated_elsewhere (server->queue));
  g_assert_true (g_main_context_acquire (context));
  g_assert_true (is_iterated_elsewhere (server->queue));
  g_main_context_release (context);
  g_assert_false (is_iterated_elsewhere (server->queue));
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  server_free (server);
}

/* A queue that is dropped goes away when its calls have ended. */
static void
test_call_queue_dropped (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  AForkCallQueue *queue = afork_call_queue_new (pool);

  add (queue, 0, "echo", 1);
  g_object_add_weak_pointer (G_OBJECT (queue), (gpointer *) &queue);
  g_object_unref (queue);
  while (queue != NULL)
    g_main_context_iteration (NULL, TRUE);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A fork of the program cannot use the queue, and does not hang. */
static void
test_call_queue_fork (void)
{
  Server *server = server_new (1, FALSE);
  gsize n_numbers;
  pid_t pid;
  int status;

  add (server->queue, 0, "sleep", 50);
  pid = fork ();
  if (pid == 0)
    {
      const gboolean refused = !afork_call_queue_add (server->queue, 1, NULL)
        && !afork_call_queue_remove (server->queue, 1)
        && !afork_call_queue_wait (server->queue)
        && afork_call_queue_take (server->queue, &n_numbers) == NULL
        && !afork_call_queue_run (server->queue, NULL);

      afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_ABORT);
      /* So valgrind does not look for what the threads had that are not in this process. */
      if (refused)
        raise (SIGKILL);
      _exit (1);
    }

  g_assert_cmpint (pid, >, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  afork_call_queue_close (server->queue, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_true (afork_call_queue_wait (server->queue));
  server_free (server);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/call-queue/threads", test_call_queue_threads);
  add_test ("/call-queue/errors", test_call_queue_errors);
  add_test ("/call-queue/no-args", test_call_queue_no_args);
  add_test ("/call-queue/remove", test_call_queue_remove);
  add_test ("/call-queue/drain", test_call_queue_drain);
  add_test ("/call-queue/abort", test_call_queue_abort);
  add_test ("/call-queue/batch", test_call_queue_batch);
  add_test ("/call-queue/batch/fails", test_call_queue_batch_fails);
  add_test ("/call-queue/batch/drain", test_call_queue_batch_drain);
  add_test ("/call-queue/batch/abort", test_call_queue_batch_abort);
  add_test ("/call-queue/not-taken", test_call_queue_not_taken);
  add_test ("/call-queue/wrong-thread", test_call_queue_wrong_thread);
  add_test ("/call-queue/context-gone", test_call_queue_context_gone);
  add_test ("/call-queue/context-gone/disposed", test_call_queue_context_gone_disposed);
  add_test ("/call-queue/disposed", test_call_queue_disposed);
  add_test ("/call-queue/one-thread", test_call_queue_one_thread);
  add_test ("/call-queue/is-iterated", test_call_queue_is_iterated);
  add_test ("/call-queue/dropped", test_call_queue_dropped);
  add_test ("/call-queue/fork", test_call_queue_fork);

  return g_test_run ();
}
