/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that a sandbox moves into namespaces are processes like others: they are run, forked,
 * signalled, taken over and called, and their exits are reported. */

#include "config.h"

#include "../pool/test-pool-util.h"
#include "test-rpc-util.h"
#include "test-util.h"

#include <signal.h>
#include <string.h>

static AForkSandbox *
new_sandbox (void)
{
  AForkSandbox *sandbox = afork_sandbox_new ();

  afork_sandbox_set_system_calls (sandbox, AFORK_SYSTEM_CALLS_COMPUTE);
  afork_sandbox_set_read_paths (sandbox, STRV (NULL));
  afork_sandbox_set_write_paths (sandbox, STRV (NULL));
  afork_sandbox_set_best_effort (sandbox, TRUE);
  return sandbox;
}

static void
confine (AForkProcess *process)
{
  g_autoptr(AForkSandbox) sandbox = new_sandbox ();

  afork_process_restrict (process, sandbox);
}

/* Whether namespaces are in force in PROCESS, which was run. */
static gboolean
is_namespaced (AForkProcess *process)
{
  g_autoptr(GVariant) confinement = afork_process_get_confinement (process);
  g_autoptr(GVariant) layers = NULL;
  const char *state;

  g_assert_nonnull (confinement);
  layers = g_variant_lookup_value (confinement, "layers", G_VARIANT_TYPE ("a{ss}"));
  return g_variant_lookup (layers, "namespaces", "&s", &state) && g_str_equal (state, "in force");
}

/* Whether namespaces can be had here; if not, skips the test. */
static gboolean
need_namespaces (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("echo");
  g_autoptr(GSocketConnection) connection = NULL;
  gboolean had;

  confine (process);
  connection = run_process_ok (process, "echo");
  had = is_namespaced (process);
  finish_process (process, connection);
  if (!had)
    g_test_skip ("There are no namespaces here");
  return had;
}

/* The process itself is run. Its pid changes before, and not afterwards. */
static void
test_run (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;
  GPid pid;

  if (!need_namespaces ())
    return;

  process = new_module_process ("echo");
  afork_process_send_arg (process, "first ");
  confine (process);
  afork_process_send_arg (process, "second");
  connection = run_process_ok (process, "echo");
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);
  pid = afork_process_get_pid (process);
  g_assert_cmpint (kill (pid, 0), ==, 0);
  output = read_echo (connection);
  g_assert_cmpstr (output, ==, "first second");
  await_end (process);
  g_assert_cmpint (afork_process_get_pid (process), ==, pid);
  assert_exit_status (process, 0);
}

/* Exit statuses and signals of processes, of forks and of forks of forks. */
static void
test_ends (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) below = NULL;

  if (!need_namespaces ())
    return;

  template = new_module_process ("faults");
  confine (template);
  below = afork_process_fork (template);
  for (guint i = 0; i < 3; i++)
    {
      AForkProcess *parent = i == 1 ? below : template;
      g_autoptr(AForkProcess) exits = afork_process_fork (parent);
      g_autoptr(AForkProcess) killed = afork_process_fork (parent);
      g_autoptr(AForkProcess) forced = afork_process_fork (parent);
      g_autoptr(GSocketConnection) of_exits = NULL;
      g_autoptr(GSocketConnection) of_killed = NULL;
      g_autoptr(GSocketConnection) of_forced = NULL;

      afork_process_send_arg (exits, "7");
      of_exits = run_process_ok (exits, "run_exit");
      of_killed = run_process_ok (killed, "run_hang");
      of_forced = run_process_ok (forced, "run_hang");
      afork_process_send_signal (killed, SIGTERM);
      afork_process_force_exit (forced);
      await_end (exits);
      await_end (killed);
      await_end (forced);
      assert_exit_status (exits, 7);
      assert_term_signal (killed, SIGTERM);
      assert_term_signal (forced, SIGKILL);
    }
}

/* The template itself is run while it has forks, and is reported, as are they. */
static void
test_run_with_forks (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) older = NULL;
  g_autoptr(AForkProcess) newer = NULL;
  g_autoptr(GSocketConnection) of_older = NULL;
  g_autoptr(GSocketConnection) of_newer = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  if (!need_namespaces ())
    return;

  template = new_module_process ("echo");
  older = afork_process_fork (template);
  confine (template);
  newer = afork_process_fork (template);
  of_older = run_process_ok (older, "echo");
  g_assert_null (afork_process_get_confinement (older));
  of_newer = run_process_ok (newer, "echo");
  g_assert_true (is_namespaced (newer));
  connection = run_process_ok (template, "echo");
  g_assert_true (is_namespaced (template));

  finish_process (older, of_older);
  finish_process (newer, of_newer);
  finish_process (template, connection);
}

/* A template is killed before it is run, and its forks live on. */
static void
test_template_killed (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) worker = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;

  if (!need_namespaces ())
    return;

  template = new_module_process ("echo");
  confine (template);
  worker = afork_process_fork (template);
  afork_process_send_arg (worker, "alive");
  connection = run_process_ok (worker, "echo");
  afork_process_force_exit (template);
  await_end (template);
  assert_term_signal (template, SIGKILL);
  output = read_echo (connection);
  g_assert_cmpstr (output, ==, "alive");
  await_end (worker);
}

/* A command fails after the process was moved. */
static void
test_error (void)
{
  g_autoptr(AForkProcess) process = NULL;

  if (!need_namespaces ())
    return;

  process = new_module_process ("echo");
  confine (process);
  afork_process_require (process, "no-such-module");
  expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
}

static void
test_spare (void)
{
  g_autoptr(AForkProcess) template = NULL;

  if (!need_namespaces ())
    return;

  template = new_module_process ("echo");
  afork_process_set_spare (template, 2);
  confine (template);
  for (guint i = 0; i < 6; i++)
    {
      g_autoptr(AForkProcess) worker = afork_process_fork (template);
      g_autoptr(GSocketConnection) connection = run_process_ok (worker, "echo");

      g_assert_true (is_namespaced (worker));
      finish_process (worker, connection);
    }
}

/* Calls to a worker. */
static void
test_calls (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;

  if (!need_namespaces ())
    return;

  template = new_module_process ("calls");
  confine (template);
  process = afork_process_fork (template);
  rpc = afork_rpc_new (process, "calls_echo");
  for (guint32 i = 0; i < 20; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = call (rpc, g_variant_new ("(u)", i), &error);
      guint32 number;

      g_assert_no_error (error);
      g_variant_get (answer, "(u)", &number);
      g_assert_cmpuint (number, ==, i);
    }
  close_rpc (rpc);
}

static void
test_pool (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkPool) pool = NULL;

  if (!need_namespaces ())
    return;

  template = new_module_process ("pool");
  confine (template);
  pool = afork_pool_new (template, "pool_do");
  for (guint32 i = 0; i < 50; i++)
    {
      g_autoptr(GAsyncResult) result = NULL;

      begin_pool_call (pool, "echo", i, &result);
      g_assert_cmpuint (await_answer (pool, &result), ==, i);
    }
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Another object takes the process over. */
static void
test_detach (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) other = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  if (!need_namespaces ())
    return;

  process = new_module_process ("echo");
  confine (process);
  afork_process_detach_async (process, NULL, store_result_cb, &result);
  await_result (&result);
  fd = afork_process_detach_finish (process, result, &error);
  g_assert_no_error (error);
  other = afork_process_new_from_fd (fd);
  connection = run_process_ok (other, "echo");
  g_assert_true (is_namespaced (other));
  finish_process (other, connection);
  await_end (process);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* A confined worker that calls exit() has no means to look for its leaks. */
  if (is_instrumented ())
    g_setenv ("ASAN_OPTIONS", "detect_leaks=0", TRUE);
  add_test ("/namespaced/run", test_run);
  add_test ("/namespaced/ends", test_ends);
  add_test ("/namespaced/run-with-forks", test_run_with_forks);
  add_test ("/namespaced/template-killed", test_template_killed);
  add_test ("/namespaced/error", test_error);
  add_test ("/namespaced/spare", test_spare);
  add_test ("/namespaced/calls", test_calls);
  add_test ("/namespaced/pool", test_pool);
  add_test ("/namespaced/detach", test_detach);
  return g_test_run ();
}
