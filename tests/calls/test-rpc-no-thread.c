/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that can start no thread, because there are too many or because a sandbox refuses it.
 * Calls that need no thread are answered, and others fail. */

#include <errno.h>

#include "test-rpc-util.h"

static AForkRpc *
new_rpc_without_threads (int number)
{
  g_autoptr(AForkProcess) process = new_module_process ("calls");
  g_autofree char *text = g_strdup_printf ("%d", number);

  afork_process_send_arg (process, text);
  return g_object_new (AFORK_TYPE_RPC,
                       "process", process,
                       "function", "calls_do",
                       "init-function", "calls_init_no_threads",
                       NULL);
}

static gboolean
skips (AForkRpc *rpc)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = afork_rpc_call (rpc, do_args ("unit", 0), NULL, &error);
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED))
    {
      g_assert_no_error (error);
      return FALSE;
    }

  g_test_skip (error->message);
  return TRUE;
}

/* Quick calls, whose answers are gathered if a thread can be started. */
static void
check_quick (AForkRpc *rpc)
{
  enum { N_CALLS = 5000 };
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, N_CALLS);

  for (guint i = 0; i < N_CALLS; i++)
    begin_call (rpc, "unit", i, NULL, &results[i]);
  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      value = afork_rpc_call_finish (rpc, results[i], &error);
      g_assert_no_error (error);
      g_clear_object (&results[i]);
    }
}

/* A call that checks for its cancellation fails, once, and the next one is served. */
static void
check_cancellable (AForkRpc *rpc,
                   int       number)
{
  g_autoptr(GAsyncResult) waiting = NULL;
  g_autoptr(GAsyncResult) next = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  begin_call (rpc, "wait", 0, NULL, &waiting);
  begin_call (rpc, "unit", 0, NULL, &next);
  expect_error (rpc, &waiting, AFORK_ERROR, AFORK_ERROR_FAILED, g_strerror (number));
  await_result (&next);
  value = afork_rpc_call_finish (rpc, next, &error);
  g_assert_no_error (error);
}

static void
test_no_thread (Census        *census,
                gconstpointer  data)
{
  const int number = GPOINTER_TO_INT (data);
  g_autoptr(AForkRpc) rpc = NULL;

  if (skip_under_valgrind ("Under valgrind no system calls can be refused"))
    return;

  rpc = new_rpc_without_threads (number);
  if (!skips (rpc))
    {
      check_quick (rpc);
      check_cancellable (rpc, number);
      check_cancellable (rpc, number);
      close_rpc (rpc);
    }
  g_clear_object (&rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_data ("/rpc-no-thread/too-many", GINT_TO_POINTER (EAGAIN), test_no_thread);
  add_with_data ("/rpc-no-thread/refused", GINT_TO_POINTER (EPERM), test_no_thread);

  return g_test_run ();
}
