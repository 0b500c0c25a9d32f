/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors and processes that are used up, in this program or in a template. */

#include "config.h"

#include "test-fault-util.h"
#include "test-limits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* With this many more descriptors everything works. */
enum { MAX_STEPS = 64 };

/* Descriptors of this process. */

static struct rlimit saved_limit;

static void
limit_fds (rlim_t n_fds)
{
  struct rlimit limit = { n_fds, saved_limit.rlim_max };

  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
}

static void
unlimit_fds (void)
{
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved_limit));
}

/* All descriptors below this one are in use. */
static rlim_t
get_first_free_fd (void)
{
  int fd = dup (STDERR_FILENO);

  g_assert_no_errno (fd);
  g_assert_no_errno (close (fd));
  return (rlim_t) fd;
}

/* Checks that an operation was refused, and why. Only blocking calls have an error that is not
 * AFork's. */
static void
assert_too_many (const GError *error)
{
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, g_strerror (EMFILE)));
  if (strstr (error->message, "wait with") != NULL)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
  else if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_FAILED))
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
}

/* Calls ATTEMPT with room for no descriptor, for one, for two and so on, until it succeeds, so that
 * each step of it fails once. ATTEMPT makes a process and returns how running it failed. */
static guint
count_failures (GError *(*attempt) (gpointer data),
                gpointer  data)
{
  for (guint n_free = 0; n_free < MAX_STEPS; n_free++)
    {
      g_autoptr(GError) error = NULL;

      limit_fds (get_first_free_fd () + n_free);
      error = attempt (data);
      unlimit_fds ();
      if (error == NULL)
        return n_free;
      assert_too_many (error);
    }

  g_assert_not_reached ();
}

/* Runs echo(), closes the connection and waits for the exit. */
static GError *
run_and_end (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = NULL;
  GError *error = NULL;

  connection = run_process (process, "echo", &error);
  g_clear_object (&connection);
  await_end (process);
  return error;
}

static GError *
attempt_exec (gpointer data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  afork_process_require (process, "echo");
  return run_and_end (process);
}

static void
test_exec (Census        *census,
           gconstpointer  data)
{
  g_assert_cmpuint (count_failures (attempt_exec, NULL), >=, 2);
}

/* For a template that exists, and for one that has to be started. */
static GError *
attempt_fork (gpointer data)
{
  g_autoptr(AForkProcess) process = data != NULL ? afork_process_fork (data)
                                                 : afork_process_new ();

  afork_process_require (process, "echo");
  return run_and_end (process);
}

static void
test_fork (Census        *census,
           gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  g_assert_cmpuint (count_failures (attempt_fork, template), >=, 2);
}

static void
test_new (Census        *census,
          gconstpointer  data)
{
  g_assert_cmpuint (count_failures (attempt_fork, NULL), >=, 3);
}

/* A process of a command needs descriptors twice: a command is logged, and sent later. */
static GError *
attempt_command (gpointer data)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = g_object_new (AFORK_TYPE_RUNTIME,
                                                  "name", "command",
                                                  "argv", argv,
                                                  "can-pass-fds", TRUE,
                                                  NULL);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = NULL;

  afork_process_require (process, "echo");
  afork_process_send_fd (process, STDERR_FILENO);
  afork_process_map_fd (process, STDERR_FILENO, 20);
  fork = afork_process_fork (process);
  return run_and_end (fork);
}

static void
test_command (Census        *census,
              gconstpointer  data)
{
  g_assert_cmpuint (count_failures (attempt_command, NULL), >=, 4);
}

/* Only a process needs descriptors. The main context of blocking calls exists already. */
static GError *
attempt_blocking (gpointer data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (data);
  g_autoptr(GSocketConnection) connection = NULL;
  GError *error = NULL;

  afork_process_require (process, "echo");
  connection = afork_process_run (process, "echo", NULL, &error);
  g_clear_object (&connection);
  if (error == NULL)
    afork_process_wait (process, NULL, &error);
  else
    afork_process_force_exit (process);
  await_end (process);
  return error;
}

static void
test_blocking (Census        *census,
               gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  g_assert_cmpuint (count_failures (attempt_blocking, template), >=, 2);
}

/* A call in a handler of another call needs descriptors. Without them, waiting for a process that
 * runs fails, and the process does not. */
typedef struct
{
  AForkProcess *process;
  guint         n_calls;
} Within;

static void
wait_within_cb (AForkProcess *process,
                GParamSpec   *pspec,
                gpointer      data)
{
  Within *self = data;
  g_autoptr(GError) error = NULL;

  if (self->n_calls++ > 0)
    return;

  limit_fds (get_first_free_fd ());
  g_assert_false (afork_process_wait (self->process, NULL, &error));
  unlimit_fds ();
  assert_too_many (error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
}

static void
test_blocking_wait (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) other = afork_process_new_exec (NULL);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  Within within = { process, 0 };

  afork_process_require (process, "echo");
  connection = run_process_ok (process, "echo");
  await_state (other, AFORK_PROCESS_STATE_PREPARING);
  afork_process_force_exit (other);
  g_signal_connect (other, "notify::state", G_CALLBACK (wait_within_cb), &within);
  g_assert_true (afork_process_wait (other, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (within.n_calls, ==, 1);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);
  finish_process (process, connection);

  /* A blocking call that is not in a handler does not fail. */
  limit_fds (get_first_free_fd ());
  g_assert_true (afork_process_wait (process, NULL, &error));
  unlimit_fds ();
  g_assert_no_error (error);
}

/* There is no room here for the descriptor of the process's first message, so the process is
 * killed. */
static void
test_receive (Census        *census,
              gconstpointer  data)
{
  const gboolean run = GPOINTER_TO_INT (data);
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GError) error = NULL;
  Outcome outcome = { 0 };
  rlim_t n_fds;

  /* Descriptors that are closed meanwhile do not make room below this, and neither do reserved
   * ones. */
  n_fds = get_first_free_fd ();
  process = afork_process_fork (template);
  if (run)
    {
      afork_process_require (process, "echo");
      afork_process_run_async (process, "echo", NULL, outcome_run_cb, &outcome);
    }
  limit_fds (n_fds);
  if (run)
    outcome_await (&outcome);
  else
    await_end (process);
  unlimit_fds ();
  if (!run)
    {
      afork_process_run_async (process, "echo", NULL, outcome_run_cb, &outcome);
      outcome_await (&outcome);
    }
  assert_too_many (outcome.error);
  g_assert_error (outcome.error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_cmpuint (outcome.n_calls, ==, 1);
  outcome_clear (&outcome);
  await_end (process);

  /* Its template still works. */
  error = attempt_fork (template);
  g_assert_no_error (error);
}

/* Detaching a process needs a descriptor for the caller. */
static void
test_detach (Census        *census,
             gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_detach_async (process, NULL, store_result_cb, &result);
  limit_fds (get_first_free_fd ());
  await_result (&result);
  unlimit_fds ();
  g_assert_cmpint (afork_process_detach_finish (process, result, &error), ==, -1);
  assert_too_many (error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  await_end (process);
}

/* A process that is run while it has forks sends two. */
static void
test_receive_reports (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = NULL;
  Outcome outcome = { 0 };
  rlim_t n_fds;

  afork_process_require (fork, "echo");
  connection = run_process_ok (fork, "echo");
  afork_process_require (template, "echo");
  n_fds = get_first_free_fd ();
  afork_process_run_async (template, "echo", NULL, outcome_run_cb, &outcome);
  limit_fds (n_fds);
  outcome_await (&outcome);
  unlimit_fds ();
  assert_too_many (outcome.error);
  g_assert_error (outcome.error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  outcome_clear (&outcome);
  await_end (template);
  g_clear_object (&connection);
  await_end (fork);
}

/* Takes all free descriptors, whatever their numbers are, and returns them. */
static GArray *
use_up_fds (void)
{
  GArray *taken = g_array_new (FALSE, FALSE, sizeof (int));
  int highest = STDERR_FILENO, fd;

  for (fd = 0; fd < (int) saved_limit.rlim_cur && fd < 4096; fd++)
    if (fcntl (fd, F_GETFD) >= 0)
      highest = fd;
  limit_fds ((rlim_t) highest + 1);
  while ((fd = dup (STDERR_FILENO)) >= 0)
    g_array_append_val (taken, fd);
  return taken;
}

static void
give_back_fds (GArray *taken)
{
  for (guint i = 0; i < taken->len; i++)
    g_assert_no_errno (close (g_array_index (taken, int, i)));
  g_array_unref (taken);
  unlimit_fds ();
}

/* The room for a process's descriptors is reserved before it is made, so the process can be killed
 * even if it has entered a function that never reads its socket. DATA says whether the process has
 * a fork, and therefore another fork becomes the worker. */
static void
test_receive_kept (Census        *census,
                   gconstpointer  data)
{
  const gboolean with_fork = GPOINTER_TO_INT (data);
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  GArray *taken;
  Outcome outcome = { 0 };

  afork_process_require (template, "faults");
  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  stop (template);
  process = afork_process_fork (template);
  if (with_fork)
    fork = afork_process_fork (process);
  afork_process_run_async (process, "run_hang", NULL, outcome_run_cb, &outcome);
  iterate ();
  taken = use_up_fds ();
  afork_process_send_signal (template, SIGCONT);
  outcome_await (&outcome);
  give_back_fds (taken);

  g_assert_no_error (outcome.error);
  afork_process_force_exit (process);
  await_end (process);
  assert_term_signal (process, SIGKILL);
  outcome_clear (&outcome);
}

/* A descriptor that cannot be copied is refused at once. */
static void
test_send_fd (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(GError) error = NULL;

  afork_process_require (process, "echo");
  limit_fds (get_first_free_fd ());
  afork_process_send_fd (process, STDERR_FILENO);
  unlimit_fds ();
  error = run_and_end (process);
  assert_too_many (error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  assert_term_signal (process, SIGKILL);
}

/* Descriptors of a template. */

static GError *
fork_limited (AForkProcess *template,
              guint         n_fds)
{
  g_autoptr(AForkProcess) process = afork_process_fork (template);

  for (guint i = 0; i < n_fds; i++)
    afork_process_send_fd (process, STDERR_FILENO);
  afork_process_require (process, "echo");
  return run_and_end (process);
}

/* With room for N_FDS descriptors in a template and then in its forks, until that is enough. */
static guint
count_template_failures (guint n_fds)
{
  guint n_failures = 0;

  for (guint limit = 3; limit < 3 + n_fds + MAX_STEPS; limit++)
    {
      g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
      g_autofree char *text = g_strdup_printf ("%u", limit);
      guint n_fails = 0;

      afork_process_require (template, "echo");
      afork_process_require (template, "faults");
      afork_process_call (template, "call_few_fds", STRV (text));
      for (guint i = 0; i < 3; i++)
        {
          g_autoptr(GError) error = fork_limited (template, n_fds);

          if (error != NULL)
            assert_too_many (error);
          n_fails += error != NULL;
        }

      /* It fails for all forks or for none, and uses nothing up. */
      if (n_fails == 0)
        return n_failures;
      g_assert_cmpuint (n_fails, ==, 3);
      n_failures++;
    }

  g_assert_not_reached ();
}

static void
test_template (Census        *census,
               gconstpointer  data)
{
  g_assert_cmpuint (count_template_failures (0), >=, 2);
}

/* In a message with other descriptors, and when another message is needed. */
static void
test_template_items (Census        *census,
                     gconstpointer  data)
{
  guint n_without = count_template_failures (0);

  g_assert_cmpuint (count_template_failures (12), >, n_without);
}

/* Each fork that lives takes a descriptor. Forks for which there is none fail, and the others
 * continue. */
static void
test_template_forks (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(GPtrArray) processes = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GError) error = NULL;

  afork_process_require (template, "echo");
  afork_process_require (template, "faults");
  afork_process_call (template, "call_few_fds", STRV ("16"));
  while (error == NULL)
    {
      AForkProcess *process = afork_process_fork (template);
      GSocketConnection *connection = run_process (process, "echo", &error);

      g_ptr_array_add (processes, process);
      if (connection != NULL)
        g_ptr_array_add (connections, connection);
      g_assert_cmpuint (processes->len, <, 16);
    }

  assert_too_many (error);
  g_assert_cmpuint (connections->len, >=, 4);
  for (guint i = 0; i < connections->len; i++)
    finish_process (g_ptr_array_index (processes, i), g_ptr_array_index (connections, i));
  await_end (g_ptr_array_index (processes, connections->len));
}

/* If a process that has forks is run, one more fork becomes the worker, and the process stays as
 * the parent of all. This succeeds or fails: no function is entered and then killed. */
static GError *
run_with_forks (guint limit)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autofree char *text = g_strdup_printf ("%u", limit);
  AForkProcess *forks[3];
  GSocketConnection *connections[G_N_ELEMENTS (forks)];
  g_autoptr(GSocketConnection) connection = NULL;
  GError *error = NULL;

  afork_process_require (process, "echo");
  afork_process_require (process, "faults");
  for (guint i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      forks[i] = afork_process_fork (process);
      connections[i] = run_process_ok (forks[i], "echo");
    }
  afork_process_call (process, "call_few_fds", STRV (text));
  connection = run_process (process, "echo", &error);
  if (error == NULL)
    finish_process (process, connection);

  /* A process that has failed stays until its forks have exited. */
  for (guint i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      finish_process (forks[i], connections[i]);
      g_object_unref (connections[i]);
      g_object_unref (forks[i]);
    }

  await_end (process);
  return error;
}

static void
test_template_run (Census        *census,
                   gconstpointer  data)
{
  guint n_failures = 0;

  for (guint limit = 3; limit < 3 + MAX_STEPS; limit++)
    {
      g_autoptr(GError) error = run_with_forks (limit);

      if (error == NULL)
        {
          g_assert_cmpuint (n_failures, >=, 2);
          return;
        }
      assert_too_many (error);
      n_failures++;
    }

  g_assert_not_reached ();
}

/* Processes. */

static void
test_no_forks (Census        *census,
               gconstpointer  data)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  if (!need_ordinary_user ())
    return;

  template = afork_process_new_exec (NULL);
  afork_process_require (template, "echo");
  afork_process_require (template, "faults");
  afork_process_call (template, "call_no_forks", NULL);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_SPAWN, g_strerror (EAGAIN));
    }

  /* To be run, it needs no other process. */
  connection = run_process_ok (template, "run_hang");
  afork_process_force_exit (template);
  await_end (template);
  assert_term_signal (template, SIGKILL);
}

/* The leak sanitizer would need another process at the exit. */
__attribute__ ((noreturn)) static void
end_subprocess (void)
{
  fflush (NULL);
  _exit (0);
}

/* Limits of processes do not apply to root, and cannot be raised again by others. So the rest of
 * the test runs in a process of its own, where this returns true. */
static gboolean
begin_as_nobody (Census *census)
{
  g_auto(GStrv) argv = NULL;

  if (!need_ordinary_user ())
    return FALSE;
  if (!is_own_program ())
    return FALSE;

  census_begin (census);
  g_assert_true (become_ordinary_user ());
  argv = afork_runtime_dup_argv (afork_runtime_get_native ());
  return access (argv[0], X_OK) == 0;
}

static void
test_no_processes (void)
{
  const struct rlimit none = { 0, 0 };
  Census census;

  if (!begin_as_nobody (&census))
    return;

  g_assert_no_errno (setrlimit (RLIMIT_NPROC, &none));
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) fresh = afork_process_new_exec (NULL);
      g_autoptr(AForkProcess) forked = afork_process_new ();

      expect_run_error (fresh, "echo", AFORK_ERROR, AFORK_ERROR_SPAWN, g_strerror (EAGAIN));
      expect_run_error (forked, "echo", AFORK_ERROR, AFORK_ERROR_SPAWN, g_strerror (EAGAIN));
    }
  census_end (&census);
  end_subprocess ();
}

/* A template that existed before the limit was reached cannot be forked either, but continues. */
static void
test_no_more_processes (void)
{
  const struct rlimit none = { 0, 0 };
  g_autoptr(AForkProcess) template = NULL;
  Census census;

  if (!begin_as_nobody (&census))
    return;

  template = afork_process_new_exec (NULL);
  afork_process_require (template, "echo");
  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  g_assert_no_errno (prlimit (afork_process_get_pid (template), RLIMIT_NPROC, &none, NULL));
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_SPAWN, g_strerror (EAGAIN));
    }
  assert_process_works (afork_runtime_get_native ());
  g_clear_object (&template);
  census_end (&census);
  end_subprocess ();
}

static void
test_skipped (Census        *census,
              gconstpointer  data)
{
  skip_under_valgrind ("Under valgrind descriptors cannot be limited");
}

/* Valgrind counts descriptors itself, and differently from the kernel. */
static void
add_fds (const char     *path,
         gconstpointer   data,
         void          (*test) (Census        *census,
                                gconstpointer  data))
{
  fault_add_with_data (path, data, is_under_valgrind () ? test_skipped : test);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved_limit));

  add_fds ("/fault/limit/fds/exec", NULL, test_exec);
  add_fds ("/fault/limit/fds/fork", NULL, test_fork);
  add_fds ("/fault/limit/fds/new", NULL, test_new);
  add_fds ("/fault/limit/fds/command", NULL, test_command);
  add_fds ("/fault/limit/fds/blocking/run", NULL, test_blocking);
  add_fds ("/fault/limit/fds/blocking/wait", NULL, test_blocking_wait);
  add_fds ("/fault/limit/fds/send-fd", NULL, test_send_fd);
  add_fds ("/fault/limit/fds/detach", NULL, test_detach);
  add_fds ("/fault/limit/fds/receive/fork", GINT_TO_POINTER (FALSE), test_receive);
  add_fds ("/fault/limit/fds/receive/run", GINT_TO_POINTER (TRUE), test_receive);
  add_fds ("/fault/limit/fds/receive/reports", NULL, test_receive_reports);
  add_fds ("/fault/limit/fds/receive/kept", GINT_TO_POINTER (FALSE), test_receive_kept);
  add_fds ("/fault/limit/fds/receive/kept-reports", GINT_TO_POINTER (TRUE), test_receive_kept);
  fault_add ("/fault/limit/template-fds/fork", test_template);
  fault_add ("/fault/limit/template-fds/items", test_template_items);
  fault_add ("/fault/limit/template-fds/forks", test_template_forks);
  fault_add ("/fault/limit/template-fds/run", test_template_run);
  fault_add ("/fault/limit/template-processes", test_no_forks);
  g_test_add_func ("/fault/limit/processes/none", test_no_processes);
  g_test_add_func ("/fault/limit/processes/no-more", test_no_more_processes);

  return g_test_run ();
}
