/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-fault-util.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
set_up (Census        *census,
        gconstpointer  data)
{
  census_begin (census);
}

static void
tear_down (Census        *census,
           gconstpointer  data)
{
  assert_process_works (afork_runtime_get_native ());
  census_end (census);
}

void
fault_add (const char  *path,
           void       (*test) (Census        *census,
                               gconstpointer  data))
{
  fault_add_with_data (path, NULL, test);
}

void
fault_add_with_data (const char    *path,
                     gconstpointer  data,
                     void         (*test) (Census        *census,
                                           gconstpointer  data))
{
  g_test_add (path, Census, data, set_up, test, tear_down);
}

void
assert_echoes (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *text = NULL;

  afork_process_require (process, "echo");
  afork_process_send_arg (process, "later calls work");
  connection = run_process_ok (process, "echo:echo");
  text = read_echo (connection);
  g_assert_true (g_str_has_suffix (text, "later calls work"));
  await_end (process);
  assert_exit_status (process, 0);
}

void
assert_process_works (AForkRuntime *runtime)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  assert_echoes (process);
}

/* Outcomes. */

void
outcome_run_cb (GObject      *object,
                GAsyncResult *result,
                gpointer      outcome)
{
  Outcome *self = outcome;

  g_assert_cmpuint (self->n_calls++, ==, 0);
  self->connection = afork_process_run_finish (AFORK_PROCESS (object), result, &self->error);
  g_assert_true ((self->connection == NULL) == (self->error != NULL));
}

void
outcome_exec_cb (GObject      *object,
                 GAsyncResult *result,
                 gpointer      outcome)
{
  Outcome *self = outcome;

  g_assert_cmpuint (self->n_calls++, ==, 0);
  self->connection = afork_process_exec_finish (AFORK_PROCESS (object), result, &self->error);
  g_assert_true ((self->connection == NULL) == (self->error != NULL));
}

void
outcome_wait_cb (GObject      *object,
                 GAsyncResult *result,
                 gpointer      outcome)
{
  Outcome *self = outcome;

  g_assert_cmpuint (self->n_calls++, ==, 0);
  self->success = afork_process_wait_finish (AFORK_PROCESS (object), result, &self->error);
  g_assert_true (self->success == (self->error == NULL));
}

void
outcome_await (Outcome *outcome)
{
  while (outcome->n_calls == 0)
    g_main_context_iteration (NULL, TRUE);
}

void
outcome_clear (Outcome *outcome)
{
  g_clear_object (&outcome->connection);
  g_clear_error (&outcome->error);
  *outcome = (Outcome) { 0 };
}

void
outcome_expect_error (Outcome    *outcome,
                      GQuark      domain,
                      int         code,
                      const char *text)
{
  g_assert_cmpuint (outcome->n_calls, ==, 1);
  g_assert_null (outcome->connection);
  assert_error_text (outcome->error, domain, code, text);
  outcome_clear (outcome);
}

void
assert_error_text (GError     *error,
                   GQuark      domain,
                   int         code,
                   const char *text)
{
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_error (error, domain, code);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  if (text != NULL && strstr (error->message, text) == NULL)
    g_error ("“%s” does not hold “%s”", error->message, text);
}

/* Waiting. */

void
stop (AForkProcess *process)
{
  siginfo_t info;

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (process, SIGSTOP);
  g_assert_no_errno (waitid (P_PID, (id_t) afork_process_get_pid (process), &info,
                             WSTOPPED | WNOWAIT));
}

void
await_byte (int fd)
{
  char byte;

  g_assert_cmpint (read (fd, &byte, 1), ==, 1);
}

static gboolean
readable_cb (int          fd,
             GIOCondition condition,
             gpointer     data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

void
await_readable (int fd)
{
  gboolean readable = FALSE;

  g_unix_fd_add (fd, G_IO_IN | G_IO_HUP, readable_cb, &readable);
  while (!readable)
    g_main_context_iteration (NULL, TRUE);
}
