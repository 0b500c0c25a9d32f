/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A great number of operations that all end because of one event. Each ends once and in order, and
 * no iteration of the main context takes long. */

#include "config.h"

#include <signal.h>

#include "test-limits.h"
#include "test-rpc-util.h"
#include "test-turn-util.h"

enum
{
  /* So long may one iteration take, and a function of the library that only asks for something, in
   * milliseconds of CPU time. */
  MAX_TURN = 10,
  /* What else the machine does makes some iterations longer, by what it does to the cache. A turn
   * that is too long by itself is so each time. */
  N_ATTEMPTS = 10,
  MAX_FORKS = 1000,
};

static guint
count_calls (void)
{
  return is_instrumented () ? 2000 : 100000;
}

/* How many forks are made of a template. */
static guint n_forks;

/* The longest turn of the current attempt, in microseconds of CPU time. */
static gint64 longest_turn;

static void
note_turn (gint64 time)
{
  longest_turn = MAX (longest_turn, time);
}

/* Operations, and what they came to. */

typedef struct
{
  guint  n_begun;
  guint  n_ended;
  gboolean any;                 /* they may end with any error, or none */
  GQuark domain;                /* of the error that they must end with; 0 for none */
  int    code;
  void (*half) (gpointer data); /* called when half of them have ended, or NULL */
  gpointer data;
} Operations;

typedef struct
{
  Operations *operations;
  guint       number;
} Operation;

static Operation *
operation_new (Operations *operations)
{
  Operation *self = g_new (Operation, 1);

  *self = (Operation) { operations, operations->n_begun++ };
  return self;
}

static void
operation_end (Operation    *self,
               const GError *error)
{
  Operations *operations = self->operations;

  /* In order, so none of them twice. */
  g_assert_cmpuint (self->number, ==, operations->n_ended);
  if (operations->domain != 0 && !operations->any)
    g_assert_error (error, operations->domain, operations->code);
  else if (!operations->any)
    g_assert_no_error (error);

  operations->n_ended++;
  g_free (self);
  if (operations->half != NULL && operations->n_ended == operations->n_begun / 2)
    operations->half (operations->data);
}

static void
await_operations (Operations *operations)
{
  Meter *meter = meter_new (NULL);

  while (operations->n_ended < operations->n_begun)
    g_main_context_iteration (NULL, TRUE);
  note_turn (meter_end (meter));
}

/* Calls FUNC, which must not take long, whatever it asks for. */
static void
ask (void   (*func) (gpointer data),
     gpointer data)
{
  gint64 start = get_own_time ();

  func (data);
  g_test_message ("It took %.1f ms to ask for it", (get_own_time () - start) / 1e3);
  note_turn (get_own_time () - start);
}

/* Calls. */

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);
  operation_end (data, error);
}

static void
job_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_rpc_run_job_finish (AFORK_RPC (object), result, &error);
  operation_end (data, error);
}

static void
begin_calls (AForkRpc     *rpc,
             GCancellable *cancellable,
             Operations   *operations)
{
  for (guint i = count_calls (); i > 0; i--)
    afork_rpc_call_async (rpc, NULL, cancellable, called_cb, operation_new (operations));
}

static void
begin_jobs (AForkRpc     *rpc,
            GCancellable *cancellable,
            Operations   *operations)
{
  /* What the C library then does with as many pieces of memory takes long enough. */
  for (guint i = count_calls () / 5; i > 0; i--)
    {
      g_autoptr(AForkJob) job = afork_job_new (NULL);

      afork_job_set_timeout (job, 3600 * 1000);
      afork_rpc_run_job_async (rpc, job, cancellable, job_cb, operation_new (operations));
    }
}

/* With a blob each, before the worker runs. */
static void
begin_blobs (AForkRpc     *rpc,
             GCancellable *cancellable,
             Operations   *operations)
{
  const gsize size = 128 * 1024;
  g_autoptr(GBytes) blob = g_bytes_new_take (g_malloc0 (size), size);

  for (guint i = 512; i > 0; i--)
    {
      g_autoptr(AForkJob) job = afork_job_new (NULL);

      afork_job_add_blob (job, blob);
      afork_rpc_run_job_async (rpc, job, cancellable, job_cb, operation_new (operations));
    }
}

typedef void (*BeginFunc) (AForkRpc     *rpc,
                           GCancellable *cancellable,
                           Operations   *operations);

static void
cancel (gpointer data)
{
  g_cancellable_cancel (data);
}

static void
force_exit (gpointer data)
{
  afork_process_force_exit (afork_rpc_get_process (data));
}

static void
run_dispose (gpointer data)
{
  g_object_run_dispose (data);
}

static void
close_later (gpointer data)
{
  afork_rpc_close_async (data, NULL, NULL, NULL);
}

static AForkRpc *
new_stopped_rpc (void)
{
  AForkRpc *rpc = new_rpc ("calls_echo");
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = call (rpc, NULL, &error);
  g_assert_no_error (error);
  afork_process_send_signal (afork_rpc_get_process (rpc), SIGSTOP);
  return rpc;
}

/* All are cancelled at once. */
static void
test_cancelled (gconstpointer data)
{
  const BeginFunc begin = data;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkRpc) rpc = new_stopped_rpc ();
  Operations operations = { .domain = G_IO_ERROR, .code = G_IO_ERROR_CANCELLED };

  begin (rpc, cancellable, &operations);
  ask (cancel, cancellable);
  await_operations (&operations);
  afork_process_send_signal (afork_rpc_get_process (rpc), SIGCONT);
  close_rpc (rpc);
}

/* The worker is killed. */
static void
test_killed (gconstpointer data)
{
  const BeginFunc begin = data;
  g_autoptr(AForkRpc) rpc = new_stopped_rpc ();
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_SIGNALED };

  begin (rpc, NULL, &operations);
  ask (force_exit, rpc);
  await_operations (&operations);
  close_rpc_error (rpc, AFORK_ERROR_SIGNALED);
}

/* While they end, what is left of them is cancelled. */
static void
test_killed_cancelled (gconstpointer data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkRpc) rpc = new_stopped_rpc ();
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_SIGNALED };
  guint n_first;

  begin_calls (rpc, cancellable, &operations);
  force_exit (rpc);
  while (operations.n_ended == 0)
    g_main_context_iteration (NULL, TRUE);
  n_first = operations.n_ended;
  g_assert_cmpuint (n_first, <, operations.n_begun);
  ask (cancel, cancellable);
  operations.any = TRUE;
  await_operations (&operations);
  close_rpc_error (rpc, AFORK_ERROR_SIGNALED);
}

/* The worker refuses to serve. */
static void
test_refused (gconstpointer data)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("no_such_function");
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_FUNCTION };

  begin_calls (rpc, NULL, &operations);
  await_operations (&operations);
  close_rpc_error (rpc, AFORK_ERROR_FUNCTION);
}

/* The worker is never run. */
static void
test_not_run (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_module_process ("no-such-module");
  g_autoptr(AForkRpc) rpc = afork_rpc_new (process, "any");
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_MODULE };

  begin_calls (rpc, NULL, &operations);
  await_operations (&operations);
  close_rpc_error (rpc, AFORK_ERROR_MODULE);
}

/* All are answered before the worker is closed. */
static void
test_closed (gconstpointer data)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  Operations operations = { 0 };

  begin_calls (rpc, NULL, &operations);
  ask (close_later, rpc);
  await_operations (&operations);
  close_rpc (rpc);
}

/* What is to be sent is copied. */
static void
test_blobs (gconstpointer data)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  Operations operations = { 0 };

  begin_blobs (rpc, NULL, &operations);
  await_operations (&operations);
  close_rpc (rpc);
}

static void
begin_large_blobs (gpointer data)
{
  gpointer *const begin = data;

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (NULL);

      afork_job_add_blob (job, begin[1]);
      afork_rpc_run_job_async (begin[0], job, NULL, job_cb, operation_new (begin[2]));
    }
}

/* The largest blobs that are copied. */
static void
test_large_blobs (gconstpointer data)
{
  const gsize size = 64 * 1024 * 1024;
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  g_autoptr(GBytes) blob = g_bytes_new_take (memset (g_malloc (size), 'a', size), size);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  Operations operations = { 0 };
  gpointer begin[] = { rpc, blob, &operations };

  /* From now on the worker takes calls. */
  answer = call (rpc, NULL, &error);
  g_assert_no_error (error);
  ask (begin_large_blobs, begin);
  await_operations (&operations);
  close_rpc (rpc);
}

/* The object is disposed of by force, before or while the calls end. */
static void
test_disposed (gconstpointer data)
{
  const BeginFunc begin = data;
  g_autoptr(AForkRpc) rpc = new_stopped_rpc ();
  g_autoptr(AForkProcess) process = g_object_ref (afork_rpc_get_process (rpc));
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_CLOSED };

  begin (rpc, NULL, &operations);
  ask (run_dispose, rpc);
  await_operations (&operations);
  afork_process_force_exit (process);
  await_end (process);
}

static void
test_killed_disposed (gconstpointer data)
{
  g_autoptr(AForkRpc) rpc = new_stopped_rpc ();
  Operations operations = {
    .domain = AFORK_ERROR, .code = AFORK_ERROR_SIGNALED, .half = run_dispose, .data = rpc,
  };

  begin_calls (rpc, NULL, &operations);
  force_exit (rpc);
  await_operations (&operations);
}

/* Closing, waited for many times. */

static void
closed_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GError) error = NULL;

  afork_rpc_close_finish (AFORK_RPC (object), result, &error);
  operation_end (data, error);
}

static void
begin_closes (AForkRpc     *rpc,
              GCancellable *cancellable,
              Operations   *operations)
{
  for (guint i = count_calls (); i > 0; i--)
    afork_rpc_close_async (rpc, cancellable, closed_cb, operation_new (operations));
}

/* Waiting for one process, many times. */

static void
waited_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GError) error = NULL;

  afork_process_wait_finish (AFORK_PROCESS (object), result, &error);
  operation_end (data, error);
}

static AForkProcess *
begin_waits (GCancellable *cancellable,
             Operations   *operations)
{
  AForkProcess *process = new_module_process ("lifecycle");

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  for (guint i = count_calls (); i > 0; i--)
    afork_process_wait_async (process, cancellable, waited_cb, operation_new (operations));
  return process;
}

static void
force_process_exit (gpointer data)
{
  afork_process_force_exit (data);
}

static void
test_waits_killed (gconstpointer data)
{
  Operations operations = { 0 };
  g_autoptr(AForkProcess) process = begin_waits (NULL, &operations);

  ask (force_process_exit, process);
  await_operations (&operations);
}

static void
test_waits_cancelled (gconstpointer data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Operations operations = { .domain = G_IO_ERROR, .code = G_IO_ERROR_CANCELLED };
  g_autoptr(AForkProcess) process = begin_waits (cancellable, &operations);

  ask (cancel, cancellable);
  await_operations (&operations);
  afork_process_force_exit (process);
  await_end (process);
}

static void
test_waits_disposed (gconstpointer data)
{
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_CLOSED };
  g_autoptr(AForkProcess) process = begin_waits (NULL, &operations);

  ask (run_dispose, process);
  await_operations (&operations);
}

/* The process has exited before. */
static void
test_waits_exited (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  Operations operations = { 0 };

  afork_process_force_exit (process);
  await_end (process);
  for (guint i = count_calls (); i > 0; i--)
    afork_process_wait_async (process, NULL, waited_cb, operation_new (&operations));
  await_operations (&operations);
}

/* While they return, the object is disposed of. */
static void
test_waits_killed_disposed (gconstpointer data)
{
  Operations operations = { .any = TRUE, .half = run_dispose };
  g_autoptr(AForkProcess) process = begin_waits (NULL, &operations);

  operations.data = process;
  afork_process_force_exit (process);
  await_operations (&operations);
}

/* Forks of one template. */

typedef struct
{
  guint      n_pending;
  guint      n_failed;
  GPtrArray *forks;
} Forks;

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  Forks *self = data;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  if (connection == NULL)
    self->n_failed++;
  else
    g_object_set_data_full (object, "connection", g_steal_pointer (&connection), g_object_unref);
  self->n_pending--;
}

static void
fork_waited_cb (GObject      *object,
                GAsyncResult *result,
                gpointer      data)
{
  Forks *self = data;
  g_autoptr(GError) error = NULL;

  afork_process_wait_finish (AFORK_PROCESS (object), result, &error);
  self->n_pending--;
}

static void
forks_begin (Forks        *self,
             AForkProcess *template)
{
  *self = (Forks) { .forks = g_ptr_array_new_with_free_func (g_object_unref) };
  self->n_pending = n_forks;
  for (guint i = 0; i < self->n_pending; i++)
    {
      AForkProcess *fork = afork_process_fork (template);

      g_ptr_array_add (self->forks, fork);
      afork_process_run_async (fork, "until_closed", NULL, run_cb, self);
    }
}

static void
forks_await (Forks *self)
{
  Meter *meter = meter_new (NULL);

  while (self->n_pending > 0)
    g_main_context_iteration (NULL, TRUE);
  note_turn (meter_end (meter));
}

static void
forks_wait (Forks *self)
{
  self->n_pending = self->forks->len;
  for (guint i = 0; i < self->forks->len; i++)
    afork_process_wait_async (self->forks->pdata[i], NULL, fork_waited_cb, self);
}

static void
forks_close (Forks *self)
{
  for (guint i = 0; i < self->forks->len; i++)
    g_object_set_data (self->forks->pdata[i], "connection", NULL);
}

/* The template fails before it forks any of them. */
static void
test_template_fails (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_module_process ("no-such-module");
  Forks forks;

  forks_begin (&forks, template);
  forks_await (&forks);
  g_assert_cmpuint (forks.n_failed, ==, forks.forks->len);
  forks_wait (&forks);
  forks_await (&forks);
  g_ptr_array_unref (forks.forks);
}

/* The template is no server. A child of it still has the command socket, with what it would take to
 * fork. */
static void
test_template_no_server (gconstpointer data)
{
  const char * const argv[] = { "/bin/sh", "-c", "sleep 3 & exit 5", NULL };
  g_autoptr(AForkRuntime) runtime = g_object_new (AFORK_TYPE_RUNTIME,
                                                  "name", "no server", "argv", argv,
                                                  "can-fork", TRUE, "can-pass-fds", TRUE,
                                                  NULL);
  g_autoptr(AForkProcess) template = afork_process_new_exec (runtime);
  Forks forks;

  forks_begin (&forks, template);
  forks_await (&forks);
  g_assert_cmpuint (forks.n_failed, ==, forks.forks->len);
  g_ptr_array_unref (forks.forks);
}

/* The template is stopped, and killed. */
static void
test_template_killed (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
  Forks forks;

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (template, SIGSTOP);
  forks_begin (&forks, template);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  ask (force_process_exit, template);
  forks_await (&forks);
  g_assert_cmpuint (forks.n_failed, ==, forks.forks->len);
  forks_wait (&forks);
  forks_await (&forks);
  g_ptr_array_unref (forks.forks);
}

/* Forks that are running lose their template, and end. */
static void
test_template_lost (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
  Forks forks;

  forks_begin (&forks, template);
  forks_await (&forks);
  g_assert_cmpuint (forks.n_failed, ==, 0);
  afork_process_force_exit (template);
  forks_wait (&forks);
  forks_close (&forks);
  forks_await (&forks);
  g_ptr_array_unref (forks.forks);
}

/* The template has reported that they have exited, and is killed before these reports are read. */
static void
test_template_reported (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
  Forks forks;

  forks_begin (&forks, template);
  forks_await (&forks);
  g_assert_cmpuint (forks.n_failed, ==, 0);
  forks_wait (&forks);
  forks_close (&forks);
  await_sleep (afork_process_get_pid (template));
  afork_process_force_exit (template);
  forks_await (&forks);
  for (guint i = 0; i < forks.forks->len; i++)
    assert_exit_status (forks.forks->pdata[i], 0);
  g_ptr_array_unref (forks.forks);
}

/* Maps. */

static GListStore *
new_job_list (void)
{
  GListStore *list = g_list_store_new (AFORK_TYPE_JOB);
  g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = count_calls (); i > 0; i--)
    g_ptr_array_add (jobs, afork_job_new (do_args ("wait", 0)));
  g_list_store_splice (list, 0, 0, jobs->pdata, jobs->len);
  return list;
}

static void
await_queued (AForkPool *pool,
              guint      n_least,
              guint      n_most)
{
  Meter *meter = meter_new (NULL);

  while (afork_pool_get_n_queued (pool) < n_least || afork_pool_get_n_queued (pool) > n_most)
    g_main_context_iteration (NULL, TRUE);
  note_turn (meter_end (meter));
}

static void
close_map (gpointer data)
{
  afork_map_close (data);
}

static void
pool_job_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);
  operation_end (data, error);
}

/* Each job has a priority of its own, which takes longer. */
static void
begin_failing (AForkPool  *pool,
               Operations *operations)
{
  for (guint i = count_calls () / 2; i > 0; i--)
    {
      g_autoptr(AForkJob) job = afork_job_new (NULL);

      afork_job_set_priority (job, -(int) operations->n_begun);
      afork_pool_run_job_async (pool, job, NULL, pool_job_cb, operation_new (operations));
    }
}

static void
abort_pool (gpointer data)
{
  afork_pool_shutdown_async (data, AFORK_SHUTDOWN_MODE_ABORT, NULL, NULL, NULL);
}

/* No worker of a pool can start. While the jobs that wait fail, there are more, and the pool is
 * aborted. */
static void
test_pool_fails (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_module_process ("no-such-module");
  g_autoptr(AForkPool) pool = afork_pool_new (process, "pool_do");
  Operations operations = { .domain = AFORK_ERROR, .code = AFORK_ERROR_MODULE };

  begin_failing (pool, &operations);
  while (operations.n_ended == 0)
    g_main_context_iteration (NULL, TRUE);
  begin_failing (pool, &operations);
  g_assert_cmpuint (operations.n_ended, <, operations.n_begun / 2);
  operations.any = TRUE;
  ask (abort_pool, pool);
  await_operations (&operations);
}

/* All jobs of a list are given to a pool. Then the map is closed, or all jobs are removed from the
 * list. The handler of a map does little for each job that is removed, but this takes longer for so
 * many jobs, as for the list itself, so it is not measured. */
static void
check_map (gboolean is_closed)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  g_autoptr(AForkPool) pool = g_object_new (AFORK_TYPE_POOL,
                                            "process", process, "function", "pool_do",
                                            "forward-stderr", FALSE,
                                            "max-workers", 1, "load", 1, NULL);
  g_autoptr(GListStore) list = new_job_list ();
  g_autoptr(AForkMap) map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_UNORDERED);

  afork_map_set_look_ahead (map, G_MAXUINT);
  await_queued (pool, count_calls () - 1, count_calls ());
  if (is_closed)
    ask (close_map, map);
  else
    g_list_store_remove_all (list);
  await_queued (pool, 0, 0);
  afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, NULL);
}

static void
test_map_closed (gconstpointer data)
{
  check_map (TRUE);
}

static void
test_map_removed (gconstpointer data)
{
  check_map (FALSE);
}

typedef struct
{
  GTestDataFunc func;
  gconstpointer data;
} Case;

static void
run_case (gconstpointer data)
{
  const Case *self = data;

  for (guint i = 0; i < N_ATTEMPTS; i++)
    {
      longest_turn = 0;
      self->func (self->data);
      if (is_instrumented () || longest_turn < MAX_TURN * 1000)
        return;
    }

  g_assert_cmpint (longest_turn, <, MAX_TURN * 1000);
}

static void
add (const char    *path,
     GTestDataFunc  func,
     BeginFunc      begin)
{
  Case *one = g_new (Case, 1);

  *one = (Case) { func, begin };
  g_test_add_data_func_full (path, one, run_case, g_free);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  meter_prepare_memory ();
  n_forks = is_instrumented () ? 100 : allow_forks (MAX_FORKS);

  add ("/turns/calls/cancelled", test_cancelled, begin_calls);
  add ("/turns/calls/killed", test_killed, begin_calls);
  add ("/turns/calls/disposed", test_disposed, begin_calls);
  add ("/turns/calls/killed-cancelled", test_killed_cancelled, NULL);
  add ("/turns/calls/killed-disposed", test_killed_disposed, NULL);
  add ("/turns/calls/refused", test_refused, NULL);
  add ("/turns/calls/not-run", test_not_run, NULL);
  add ("/turns/calls/closed", test_closed, NULL);
  add ("/turns/jobs/blobs", test_blobs, NULL);
  add ("/turns/jobs/large-blobs", test_large_blobs, NULL);
  add ("/turns/jobs/cancelled", test_cancelled, begin_jobs);
  add ("/turns/jobs/killed", test_killed, begin_jobs);
  add ("/turns/jobs/disposed", test_disposed, begin_jobs);
  add ("/turns/closes/cancelled", test_cancelled, begin_closes);
  add ("/turns/closes/killed", test_killed, begin_closes);
  add ("/turns/closes/disposed", test_disposed, begin_closes);
  add ("/turns/waits/killed", test_waits_killed, NULL);
  add ("/turns/waits/cancelled", test_waits_cancelled, NULL);
  add ("/turns/waits/exited", test_waits_exited, NULL);
  add ("/turns/waits/disposed", test_waits_disposed, NULL);
  add ("/turns/waits/killed-disposed", test_waits_killed_disposed, NULL);
  add ("/turns/template/fails", test_template_fails, NULL);
  add ("/turns/template/no-server", test_template_no_server, NULL);
  add ("/turns/template/killed", test_template_killed, NULL);
  add ("/turns/template/lost", test_template_lost, NULL);
  add ("/turns/template/reported", test_template_reported, NULL);
  add ("/turns/pool/fails", test_pool_fails, NULL);
  add ("/turns/map/closed", test_map_closed, NULL);
  add ("/turns/map/removed", test_map_removed, NULL);

  return g_test_run ();
}
