/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes on another host: over pipes to an agent, and over ssh. */

#include "config.h"

#include "remote-util.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  MANY = 100,
  LARGE = 1024 * 1024,
  N_LARGE_AT_A_TIME = 32,
  BUSY = 5,     /* a machine with other work may take so many times as long */
};

#define SKIP_WITHOUT(runtime) if ((runtime) == NULL) return

static Way
get_way (gconstpointer data)
{
  return *(const Way *) data;
}

/* What is queued arrives, forks have it, and the exit is that of the worker. */
static void
test_remote_items (Census        *census,
                   gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) fork_of_fork = NULL;
  g_autofree char *of_process = NULL;
  g_autofree char *of_fork = NULL;
  g_autofree char *of_fork_of_fork = NULL;
  g_autofree char *large = g_strnfill (3 * LARGE, 'x');
  g_autofree char *host = NULL;

  SKIP_WITHOUT (runtime);
  process = afork_process_new_for_runtime (runtime);
  /* It dies with this program in any case. */
  afork_process_set_die_with_parent (process, TRUE);
  afork_process_require (process, "describe");
  afork_process_send_arg (process, "one");
  afork_process_send_arg (process, large);
  fork = afork_process_fork (process);
  afork_process_send_arg (fork, "");
  fork_of_fork = afork_process_fork (fork);
  of_fork = run_to_end (fork, "describe");
  of_fork_of_fork = run_to_end (fork_of_fork, "describe");
  of_process = run_to_end (process, "describe");
  g_assert_true (g_str_has_prefix (of_fork, of_process));
  g_assert_cmpstr (of_fork, ==, of_fork_of_fork);
  g_assert_cmpuint (strlen (of_fork), >, strlen (of_process));

  host = afork_process_dup_host (fork);
  g_assert_cmpstr (host, ==, afork_runtime_get_name (runtime));
  g_assert_cmpint (afork_process_get_pid (fork), ==, 0);
  g_assert_cmpint (afork_process_get_remote_pid (fork), >, 0);
  g_assert_cmpint (afork_process_get_remote_pid (fork), !=,
                   afork_process_get_remote_pid (process));
  afork_runtime_set_template (runtime, NULL);
}

/* A process that has forks stays for them, and a fork of it is the worker. */
static void
test_remote_successor (Census        *census,
                       gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) of_process = NULL;
  g_autoptr(GSocketConnection) of_fork = NULL;

  SKIP_WITHOUT (runtime);
  process = afork_process_new_exec (runtime);
  afork_process_set_die_with_parent (process, TRUE);
  afork_process_require (process, "lifecycle");
  afork_process_send_arg (process, "3");
  fork = afork_process_fork (process);
  of_fork = run_process_ok (fork, "exit_with_when_closed");
  of_process = run_process_ok (process, "exit_with_when_closed");
  g_io_stream_close (G_IO_STREAM (of_process), NULL, NULL);
  await_end (process);
  assert_exit_status (process, 3);
  g_io_stream_close (G_IO_STREAM (of_fork), NULL, NULL);
  await_end (fork);
  assert_exit_status (fork, 3);
}

static void
test_remote_ends (Census        *census,
                  gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkProcess) exits = NULL;
  g_autoptr(AForkProcess) dies = NULL;
  g_autoptr(AForkProcess) killed = NULL;
  g_autoptr(AForkProcess) burns = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *text = NULL;
  guint64 user, system, rss;

  SKIP_WITHOUT (runtime);
  afork_process_require (afork_runtime_get_template (runtime), "lifecycle");
  exits = afork_process_send_arg (afork_process_new_for_runtime (runtime), "7");
  g_object_unref (run_process_ok (exits, "exit_with"));
  dies = afork_process_send_arg (afork_process_new_for_runtime (runtime), "10");
  g_object_unref (run_process_ok (dies, "die_of"));
  killed = afork_process_new_for_runtime (runtime);
  connection = run_process_ok (killed, "forever");
  afork_process_force_exit (killed);
  burns = afork_process_new_for_runtime (runtime);
  afork_process_send_arg (afork_process_send_arg (burns, "50"), "1");
  text = run_to_end (burns, "burn");
  await_end (exits);
  await_end (dies);
  await_end (killed);
  assert_exit_status (exits, 7);
  assert_term_signal (dies, SIGUSR1);
  assert_term_signal (killed, SIGKILL);
  g_assert_true (afork_process_get_usage (burns, &user, &system, &rss));
  g_assert_cmpuint (user + system, >=, 40000);
  afork_runtime_set_template (runtime, NULL);
}

/* Errors arrive as from a process here, and the others go on. */
static void
test_remote_errors (Census        *census,
                    gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkProcess) no_function = NULL;
  g_autoptr(AForkProcess) no_module = NULL;
  g_autoptr(AForkProcess) with_fd = NULL;
  g_autoptr(AForkProcess) fine = NULL;

  SKIP_WITHOUT (runtime);
  afork_process_require (afork_runtime_get_template (runtime), "lifecycle");
  no_function = afork_process_new_for_runtime (runtime);
  no_module = afork_process_require (afork_process_new_for_runtime (runtime), "missing");
  with_fd = afork_process_send_fd (afork_process_new_for_runtime (runtime), STDIN_FILENO);
  fine = afork_process_new_for_runtime (runtime);
  expect_run_error (no_function, "nothing", AFORK_ERROR, AFORK_ERROR_FUNCTION, "nothing");
  expect_run_error (no_module, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "missing");
  expect_run_error (with_fd, "done", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                    afork_runtime_get_name (runtime));
  g_object_unref (run_process_ok (fine, "done"));
  await_end (fine);
  assert_exit_status (fine, 0);
  afork_runtime_set_template (runtime, NULL);
}

/* 100 workers at once over one connection. */
static void
test_remote_many (Census        *census,
                  gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(GPtrArray) processes = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func (g_object_unref);
  GAsyncResult *results[MANY] = { NULL };

  SKIP_WITHOUT (runtime);
  afork_process_require (afork_runtime_get_template (runtime), "lifecycle");
  for (int i = 0; i < MANY; i++)
    {
      AForkProcess *process = afork_process_new_for_runtime (runtime);

      g_ptr_array_add (processes, process);
      afork_process_run_async (process, "until_closed", NULL, store_result_cb, &results[i]);
    }
  for (int i = 0; i < MANY; i++)
    {
      AForkProcess *process = g_ptr_array_index (processes, i);
      g_autoptr(GError) error = NULL;
      GSocketConnection *connection;

      await_result (&results[i]);
      connection = afork_process_run_finish (process, results[i], &error);
      g_assert_no_error (error);
      g_object_unref (results[i]);
      g_ptr_array_add (connections, connection);
    }
  g_ptr_array_set_size (connections, 0);
  for (int i = 0; i < MANY; i++)
    {
      AForkProcess *process = g_ptr_array_index (processes, i);

      await_end (process);
      assert_exit_status (process, 0);
    }
  afork_runtime_set_template (runtime, NULL);
}

/* Workers that write and exit at once: an end never overtakes data. */
typedef struct
{
  AForkRuntime *runtime;
  guint         n_writers;
  guint         n_started;
  guint         n_running;
} Flood;

typedef struct
{
  Flood             *flood;
  AForkProcess      *process;
  GSocketConnection *connection;
  GSource           *source;
} Writer;

static void start_writer (Flood *flood);

static void
writer_exited_cb (GObject      *object,
                  GAsyncResult *result,
                  gpointer      data)
{
  Writer *writer = data;
  g_autoptr(GError) error = NULL;
  GSocket *socket = g_socket_connection_get_socket (writer->connection);
  g_autofree char *buffer = g_malloc (LARGE);
  gsize total = 0;
  gssize n_bytes;

  g_assert_true (afork_process_wait_finish (writer->process, result, &error));
  g_assert_no_error (error);
  assert_exit_status (writer->process, 0);

  g_source_destroy (writer->source);
  g_source_unref (writer->source);
  /* All of it is here, and nothing has to be waited for. */
  while ((n_bytes = g_socket_receive_with_blocking (socket, buffer, LARGE, FALSE, NULL, &error))
         > 0)
    total += (gsize) n_bytes;
  /* Only the end of the stream may come later. */
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_assert_no_error (error);
  g_assert_cmpuint (total, ==, GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (writer->process),
                                                                    "left")));
  g_object_unref (writer->connection);
  g_object_unref (writer->process);
  writer->flood->n_running--;
  start_writer (writer->flood);
  g_free (writer);
}

static gboolean
writer_readable_cb (GSocket      *socket,
                    GIOCondition  condition,
                    gpointer      data)
{
  Writer *writer = data;
  g_autofree char *buffer = g_malloc (LARGE);
  gsize left = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (writer->process), "left"));
  g_autoptr(GError) error = NULL;
  /* The last bytes are left for after the exit. */
  gssize n_bytes = g_socket_receive (socket, buffer, left - 1000, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (n_bytes, >, 0);
  left -= (gsize) n_bytes;
  g_object_set_data (G_OBJECT (writer->process), "left", GUINT_TO_POINTER (left));
  return left > 1000 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void
writer_ran_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      data)
{
  Writer *writer = data;
  g_autoptr(GError) error = NULL;

  writer->connection = afork_process_run_finish (writer->process, result, &error);
  g_assert_no_error (error);
  g_object_set_data (G_OBJECT (writer->process), "left", GUINT_TO_POINTER (LARGE));
  writer->source = g_socket_create_source (g_socket_connection_get_socket (writer->connection),
                                           G_IO_IN, NULL);
  g_source_set_callback (writer->source, G_SOURCE_FUNC (writer_readable_cb), writer, NULL);
  g_source_attach (writer->source, NULL);
  afork_process_wait_async (writer->process, NULL, writer_exited_cb, writer);
}

static void
start_writer (Flood *flood)
{
  Writer *writer;

  if (flood->n_started == flood->n_writers)
    return;

  writer = g_new0 (Writer, 1);
  writer->flood = flood;
  writer->process = afork_process_new_for_runtime (flood->runtime);
  flood->n_started++;
  flood->n_running++;
  afork_process_run_async (writer->process, "write_much", NULL, writer_ran_cb, writer);
}

/* How many workers write: many more if the variable says so, as for `./dev test --remote-long`. */
static guint
get_n_writers (void)
{
  const char *number = g_getenv ("AFORK_TEST_WRITERS");

  return number != NULL ? (guint) atoi (number) : is_instrumented () ? 100 : 500;
}

static void
test_remote_end_after_data (Census        *census,
                            gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autofree char *size = g_strdup_printf ("%d", LARGE);
  Flood flood = { .n_writers = get_n_writers () };

  SKIP_WITHOUT (runtime);
  flood.runtime = runtime;
  afork_process_require (afork_runtime_get_template (runtime), "lifecycle");
  afork_process_send_arg (afork_runtime_get_template (runtime), size);
  for (int i = 0; i < N_LARGE_AT_A_TIME; i++)
    start_writer (&flood);
  while (flood.n_running > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (flood.n_started, ==, flood.n_writers);
  afork_runtime_set_template (runtime, NULL);
}

/* Calls. */

static AForkRpc *
new_remote_rpc (AForkRuntime *runtime)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_process_require (process, "calls");
  return afork_rpc_new (process, "calls_do");
}

static void
test_remote_blobs (Census        *census,
                   gconstpointer  way)
{
  static const gsize sizes[] = { 1, 40 * 1000, LARGE, 64 * LARGE };
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkRpc) rpc = NULL;

  SKIP_WITHOUT (runtime);
  rpc = new_remote_rpc (runtime);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse-blobs", 0));
      guint8 *bytes = g_malloc (sizes[i]);
      g_autoptr(GBytes) blob = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;
      GBytes **answer;
      gsize n_answer;

      for (gsize k = 0; k < sizes[i]; k++)
        bytes[k] = (guint8) (k * 2654435761u >> 13);
      blob = g_bytes_new_take (bytes, sizes[i]);
      afork_job_add_blob (job, blob);
      value = run_job (rpc, job, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_uint64 (value), ==, sizes[i]);
      answer = afork_job_get_result_blobs (job, &n_answer);
      g_assert_cmpuint (n_answer, ==, 1);
      g_assert_true (g_bytes_equal (answer[0], blob));
    }
  close_rpc (rpc);
  afork_runtime_set_template (runtime, NULL);
}

/* Descriptors are refused here, and the worker goes on. */
static void
test_remote_fds (Census        *census,
                 gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) pid = NULL;
  g_autoptr(GVariant) again = NULL;
  g_autoptr(GError) error = NULL;

  SKIP_WITHOUT (runtime);
  rpc = new_remote_rpc (runtime);
  pid = call (rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  job = afork_job_new (do_args ("read-fds", 0));
  g_unix_fd_list_append (fds, STDIN_FILENO, NULL);
  afork_job_set_fds (job, fds);
  value = run_job (rpc, job, &error);
  g_assert_null (value);
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "");
  again = call (rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (pid, again));
  close_rpc (rpc);
  afork_runtime_set_template (runtime, NULL);
}

/* What dies, and what the pending calls are told. */

typedef enum
{
  KILL_WORKER,
  KILL_TEMPLATE,
  KILL_AGENT,
  KILL_COMMAND,
  KILL_RELAY,
  STOP_AGENT,
  N_VICTIMS
} Victim;

static void
test_remote_deaths (Census        *census,
                    gconstpointer  way)
{
  for (Victim victim = 0; victim < N_VICTIMS; victim++)
    {
      g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
      g_autoptr(AForkRpc) rpc = NULL;
      g_autoptr(GVariant) pid = NULL;
      g_autoptr(GError) error = NULL;
      GAsyncResult *results[3] = { NULL };
      GPid worker, template, agent, relay, command, end;
      gint64 begun;

      SKIP_WITHOUT (runtime);
      if (victim == STOP_AGENT)
        afork_runtime_set_keepalive (runtime, 1000);
      rpc = new_remote_rpc (runtime);
      pid = call (rpc, do_args ("pid", 0), &error);
      g_assert_no_error (error);
      worker = (GPid) g_variant_get_uint32 (pid);
      template = afork_process_get_remote_pid (afork_runtime_get_template (runtime));
      relay = find_process ("afork-server", "--relay");
      g_assert_cmpint (relay, !=, 0);
      agent = find_process ("afork-server", "--agent");
      g_assert_cmpint (agent, !=, 0);
      command = get_way (way) == OVER_SSH ? find_process ("ssh", "-T") : agent;
      g_assert_cmpint (command, !=, 0);
      for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
        begin_call (rpc, "stuck", 0, NULL, &results[i]);
      iterate ();

      begun = g_get_monotonic_time ();
      end = victim == KILL_WORKER ? worker : victim == KILL_TEMPLATE ? template
        : victim == KILL_RELAY ? relay : victim == KILL_COMMAND ? command : agent;
      /* Over ssh, the host is stopped, which for the agent means the process that it talks to. */
      if (victim == STOP_AGENT && get_way (way) == OVER_SSH)
        end = get_parent (agent);
      g_assert_no_errno (kill (end, victim == STOP_AGENT ? SIGSTOP : SIGKILL));
      for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
        {
          await_result (&results[i]);
          g_assert_null (afork_rpc_call_finish (rpc, results[i], &error));
          g_test_message ("victim %d: %s", victim, error->message);
          if (victim == KILL_WORKER)
            g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
          else if (victim == KILL_TEMPLATE)
            g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LOST);
          else
            assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_HOST_LOST,
                                afork_runtime_get_name (runtime));
          g_clear_error (&error);
          g_clear_object (&results[i]);
        }
      g_assert_cmpfloat ((double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC, <,
                          2 * BUSY);
      await_gone (worker, 3 * BUSY);
      if (victim == STOP_AGENT)
        kill (end, SIGKILL);
      afork_runtime_set_template (runtime, NULL);
    }
}

/* A caller that does not iterate its main context, for several times keepalive, loses nothing. */
static void
test_remote_idle_caller (Census        *census,
                         gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) pid = NULL;
  g_autoptr(GVariant) again = NULL;
  g_autoptr(GError) error = NULL;

  SKIP_WITHOUT (runtime);
  afork_runtime_set_keepalive (runtime, 500);
  rpc = new_remote_rpc (runtime);
  pid = call (rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  g_usleep (5 * G_USEC_PER_SEC);
  again = call (rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (pid, again));
  close_rpc (rpc);
  afork_runtime_set_template (runtime, NULL);
}

/* A pool connects again when its host is lost, and blames no job for that. */

static void
started_cb (AForkPool    *pool,
            AForkProcess *process,
            guint        *n_started)
{
  (*n_started)++;
}

static void
test_remote_pool (Census        *census,
                  gconstpointer  way)
{
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkPool) pool = NULL;
  g_autoptr(AForkJob) stuck = afork_job_new (do_args ("stuck", 0));
  g_autoptr(AForkJob) unit = afork_job_new (do_args ("unit", 0));
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) stuck_result = NULL;
  g_autoptr(GAsyncResult) unit_result = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  guint n_started = 0;

  SKIP_WITHOUT (runtime);
  process = afork_process_new_for_runtime (runtime);
  afork_process_require (process, "calls");
  pool = afork_pool_new (process, "calls_do");
  afork_pool_set_max_workers (pool, 1);
  g_signal_connect (pool, "worker-started", G_CALLBACK (started_cb), &n_started);

  afork_job_set_retries (stuck, 2);
  afork_pool_run_job_async (pool, stuck, cancellable, store_result_cb, &stuck_result);
  afork_pool_run_job_async (pool, unit, NULL, store_result_cb, &unit_result);
  for (guint i = 0; i <= 2; i++)
    {
      while (stuck_result == NULL
             && (n_started <= i || afork_job_get_state (stuck) != AFORK_JOB_STATE_RUNNING))
        g_main_context_iteration (NULL, TRUE);
      if (stuck_result != NULL)
        {
          afork_pool_run_job_finish (pool, stuck_result, &error);
          g_assert_no_error (error);
        }
      if (i < 2)
        g_assert_no_errno (kill (find_process ("afork-server", "--agent"), SIGKILL));
    }

  g_cancellable_cancel (cancellable);
  await_result (&stuck_result);
  value = afork_pool_run_job_finish (pool, stuck_result, &error);
  g_assert_null (value);
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
  await_result (&unit_result);
  value = afork_pool_run_job_finish (pool, unit_result, &error);
  g_assert_no_error (error);
  g_assert_nonnull (value);

  afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error);
  g_assert_no_error (error);
  afork_runtime_set_template (runtime, NULL);
}

/* The caller is killed while a worker is busy. */
static void
test_remote_caller_killed (Census        *census,
                           gconstpointer  way)
{
  g_autofree char *way_name = g_strdup_printf ("%d", get_way (way));
  g_autoptr(AForkRuntime) runtime = new_host (get_way (way));

  SKIP_WITHOUT (runtime);
  kill_busy_caller (way_name, 3 * BUSY);
}

G_NORETURN static void
be_caller (Way way)
{
  g_autoptr(AForkRuntime) runtime = new_host (way);
  g_autoptr(AForkRpc) rpc = new_remote_rpc (runtime);

  be_busy_caller (rpc);
}

/* A connection that does not come about: one clear error. */

static void
expect_no_host (AForkRuntime *runtime,
                int           code,
                const char   *text)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);

  expect_run_error (process, "done", AFORK_ERROR, code, text);
  expect_run_error (fork, "done", AFORK_ERROR, code, text);
  afork_runtime_set_template (runtime, NULL);
}

static AForkRuntime *
new_shell_host (const char *script)
{
  return afork_runtime_new_agent ("somewhere",
                                  (const char * const []) { "sh", "-c", script,
                                                            g_getenv ("AFORK_SERVER"), NULL });
}

static void
test_remote_no_agent (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkRuntime) missing = afork_runtime_new_agent ("somewhere",
    (const char * const []) { "/nonexistent/program", NULL });
  g_autoptr(AForkRuntime) exits = new_shell_host ("echo cannot reach it >&2; exit 3");
  g_autoptr(AForkRuntime) dies = new_shell_host ("kill -9 $$");
  g_autoptr(AForkRuntime) noisy = new_shell_host ("echo Welcome to this host; sleep 1000");
  g_autoptr(AForkRuntime) wrong = new_shell_host ("printf '[AFork agent ready]\\nnonsense'; cat");
  g_autoptr(AForkRuntime) other = new_shell_host (
    "printf '[AFork agent ready]\\n\\0\\0\\0\\0\\034\\0\\001\\0\\143\\0\\0\\0\\005\\0\\0\\0"
    "\\010\\0\\0\\0\\001\\0\\0\\0\\001\\0\\0\\0m\\0\\001\\0\\0\\0n\\0'; sleep 1000");

  expect_no_host (missing, AFORK_ERROR_SPAWN, "/nonexistent/program");
  expect_no_host (exits, AFORK_ERROR_SPAWN, "cannot reach it");
  expect_no_host (dies, AFORK_ERROR_SPAWN, "signal 9");
  afork_runtime_set_start_timeout (noisy, 300 * BUSY);
  expect_no_host (noisy, AFORK_ERROR_SPAWN, "Welcome to this host");
  expect_no_host (wrong, AFORK_ERROR_PROTOCOL, "does not keep to the protocol");
  expect_no_host (other, AFORK_ERROR_PROTOCOL, "version 99");
}

/* What comes before the agent's answer is skipped. */
static void
test_remote_noise (Census        *census,
                   gconstpointer  data)
{
  const char *path[] = { g_getenv ("AFORK_MODULE_PATH"), NULL };
  g_autoptr(AForkRuntime) runtime =
    new_shell_host ("seq 10000; echo '[AFork agent [AFork'; echo loud >&2; exec \"$0\" --agent");
  g_autoptr(AForkProcess) process = NULL;

  afork_runtime_set_module_path (runtime, path);
  process = afork_process_require (afork_process_new_for_runtime (runtime), "lifecycle");
  g_object_unref (run_process_ok (process, "done"));
  await_end (process);
  assert_exit_status (process, 0);
  afork_runtime_set_template (runtime, NULL);
}

/* Nothing is executed for a destination that is not one. */
static void
test_ssh_destination (Census        *census,
                      gconstpointer  data)
{
  static const char * const refused[] = {
    "", "-oProxyCommand=touch /tmp/afork-was-here", "-h", "user@-oX", "ssh://-h", "a b", "a;b",
    "$(touch x)", "`x`", "a|b", "a\nb", "'a'", "\"a\"", "a&b", "a>b",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(AForkRuntime) runtime = afork_runtime_new_ssh (refused[i]);

      expect_no_host (runtime, AFORK_ERROR_SPAWN, "destination");
    }
}

static void
test_ssh_argv (Census        *census,
               gconstpointer  data)
{
  const char *options[] = { "-p", "2222", NULL };
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_ssh ("user@host");
  g_auto(GStrv) argv = NULL;
  guint n;

  afork_runtime_set_ssh_options (runtime, options);
  afork_runtime_set_server_path (runtime, "/a 'quoted' path/server");
  argv = afork_runtime_dup_argv (runtime);
  n = g_strv_length (argv);
  g_assert_cmpstr (argv[0], ==, "ssh");
  g_assert_cmpstr (argv[n - 5], ==, "-p");
  g_assert_cmpstr (argv[n - 3], ==, "--");
  g_assert_cmpstr (argv[n - 2], ==, "user@host");
  g_assert_true (g_strv_contains ((const char * const *) argv, "-oBatchMode=yes"));
  g_assert_true (g_strv_contains ((const char * const *) argv, "-oClearAllForwardings=yes"));
  g_assert_true (afork_runtime_get_can_fork (runtime));
  g_assert_false (afork_runtime_get_can_pass_fds (runtime));
  g_assert_cmpuint (afork_runtime_get_keepalive (runtime), ==, 15000);
}

/* What ssh says stands in the error. */
static void
test_ssh_failures (Census        *census,
                   gconstpointer  data)
{
  g_auto(GStrv) options = dup_ssh_options ();
  g_autoptr(AForkRuntime) no_server = NULL;
  g_autoptr(AForkRuntime) no_path = NULL;
  g_autoptr(AForkRuntime) no_key = NULL;
  g_autoptr(AForkRuntime) no_port = NULL;
  g_autofree char *destination = g_strdup_printf ("%s@127.0.0.1", g_get_user_name ());
  const char *refused[] = { "-F", "/dev/null", "-p1", NULL };

  if (options == NULL)
    return;

  no_server = afork_runtime_new_ssh (destination);
  afork_runtime_set_ssh_options (no_server, (const char * const *) options);
  afork_runtime_set_server_path (no_server, "/nonexistent/afork-server");
  expect_no_host (no_server, AFORK_ERROR_SPAWN, "/nonexistent/afork-server");

  no_path = afork_runtime_new_ssh (destination);
  afork_runtime_set_ssh_options (no_path, (const char * const *) options);
  if (g_find_program_in_path ("afork-server") == NULL)
    expect_no_host (no_path, AFORK_ERROR_SPAWN, NULL);

  no_key = afork_runtime_new_ssh (destination);
  afork_runtime_set_ssh_options (no_key, (const char * const []) {
                                   options[0], options[1], "-oUserKnownHostsFile=/dev/null", NULL
                                 });
  expect_no_host (no_key, AFORK_ERROR_SPAWN, "Host key verification failed");

  no_port = afork_runtime_new_ssh ("127.0.0.1");
  afork_runtime_set_ssh_options (no_port, refused);
  expect_no_host (no_port, AFORK_ERROR_SPAWN, "refused");
}

int
main (int    argc,
      char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--be-caller"))
    be_caller ((Way) atoi (argv[2]));

  enter_ssh (argv, NULL, -1);
  g_test_init (&argc, &argv, NULL);
  add_for_all_ways ("/items", test_remote_items);
  add_for_all_ways ("/successor", test_remote_successor);
  add_for_all_ways ("/ends", test_remote_ends);
  add_for_all_ways ("/errors", test_remote_errors);
  add_for_all_ways ("/many", test_remote_many);
  add_for_ways ("/end-after-data", test_remote_end_after_data);
  add_for_all_ways ("/blobs", test_remote_blobs);
  add_for_ways ("/fds", test_remote_fds);
  add_for_ways ("/deaths", test_remote_deaths);
  add_for_ways ("/idle-caller", test_remote_idle_caller);
  add_for_ways ("/pool", test_remote_pool);
  add_for_all_ways ("/caller-killed", test_remote_caller_killed);
  add_with_census ("/agent/none", test_remote_no_agent);
  add_with_census ("/agent/noise", test_remote_noise);
  add_with_census ("/ssh/destination", test_ssh_destination);
  add_with_census ("/ssh/argv", test_ssh_argv);
  add_with_census ("/ssh/failures", test_ssh_failures);
  return g_test_run ();
}
