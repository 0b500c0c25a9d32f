/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How a worker answers a call: once, twice, never, and with errors. */

#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

/* SCRIPT answers more than once. The first answer counts, and the worker logs a warning. */
static void
check_twice (gboolean    concurrent,
             const char *script,
             const char *expected)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GAsyncResult) last = NULL;

  begin_script (rpc, script, log);
  await_log (log, expected);
  begin_script (rpc, "r9", log);
  await_text (log, "r9 ");
  g_assert_true (g_str_has_prefix (log->str, expected));
  g_assert_cmpuint (log->len, ==, strlen (expected) + strlen ("r9 "));

  afork_rpc_call_async (rpc, g_variant_new_string ("q3"), NULL, store_result_cb, &last);
  expect_error (rpc, &last, AFORK_ERROR, AFORK_ERROR_EXITED, "answered more than once");
}

static void
test_answer_twice (gboolean concurrent)
{
  check_twice (concurrent, "f r1 r2", "r1 ");
  check_twice (concurrent, "f r1 x r2", "r1 ");
  check_twice (concurrent, "f x r1", "xnot-found ");
  check_twice (concurrent, "f R1 R2", "r1 ");
  if (concurrent)
    check_twice (concurrent, "f r1 t r2 e3", "r1 e3 ");
}

/* No progress comes after the answer. The worker may still emit events. */
static void
test_answer_notice_after (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  begin_script (rpc, "p1 r2 p3 e4", log);
  begin_script (rpc, "r5", log);
  await_log (log, "p1 r2 e4 r5 ");
  close_rpc (rpc);
}

/* A call that is never answered ends with its time limit, and its error says so. Others go on. */
static void
test_answer_never (gboolean concurrent)
{
  const char *script = concurrent ? "e1 n" : "e1 g";
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string (concurrent ? "n" : "c"));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  int gate;

  begin_script_full (rpc, script, get_time_limit (), &gate, log);
  await_log (log, "e1 xtimed-out ");
  close (gate);
  begin_script (rpc, "r2", log);
  await_log (log, "e1 xtimed-out r2 ");

  afork_job_set_timeout (job, 20);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
  g_assert_cmpstr (error->message, ==, "The job took longer than 20 ms");
  close_rpc (rpc);
}

/* An answer to a call that was cancelled is dropped. */
static void
test_answer_late (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  int gate;

  afork_job_cancel (begin_script_full (rpc, "e1 g p2 E3 P4 R5", 0, &gate, log));
  await_log (log, "xcancelled ");
  close (gate);
  begin_script (rpc, "r6", log);
  await_log (log, "xcancelled r6 ");

  g_string_truncate (log, 0);
  begin_script_full (rpc, "e1 g p2 E3 P4 R5", get_time_limit (), &gate, log);
  begin_script (rpc, "r6", log);
  await_text (log, "xtimed-out ");
  close (gate);
  /* The other call is answered when it is its turn. */
  await_log (log, concurrent ? "e1 r6 xtimed-out e3 " : "e1 xtimed-out e3 r6 ");
  close_rpc (rpc);
}

/* A concurrent worker of which one call is cancelled. */
static void
test_answer_dropped (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (TRUE, log);
  g_autoptr(GAsyncResult) result = NULL;
  int gate;

  begin_script_full (rpc, "e1 g t e2", 0, &gate, log);
  afork_rpc_call_async (rpc, g_variant_new_string (""), NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_FAILED, "dropped the call");
  close (gate);
  await_log (log, "e1 e2 xfailed ");
  close_rpc (rpc);
}

/* An error keeps its domain and code if this program knows the domain. */
static void
test_answer_errors (gboolean concurrent)
{
  static const char * const ways[] = { "", "p1 ", "t " };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  for (gsize i = 0; i < G_N_ELEMENTS (ways) - (concurrent ? 0 : 1); i++)
    {
      static const struct
      {
        const char *step;
        const char *domain;
        int         code;
        const char *text;
      } errors[] = {
        { "x", "g-io-error-quark", G_IO_ERROR_NOT_FOUND, "the worker says no" },
        { "Y", "afork-error-quark", AFORK_ERROR_OVERLOADED, "of AFork's domain" },
        { "X", "script-error-quark", 7, "of its own domain" },
      };

      for (gsize j = 0; j < G_N_ELEMENTS (errors); j++)
        {
          g_autofree char *script = g_strconcat (ways[i], errors[j].step, NULL);
          GQuark domain = g_quark_try_string (errors[j].domain);
          int code = domain != 0 ? errors[j].code : AFORK_ERROR_FAILED;
          g_autoptr(GError) error = NULL;

          if (domain == 0)
            domain = AFORK_ERROR;
          g_assert_null (call (rpc, g_variant_new_string (script), &error));
          g_assert_error (error, domain, code);
          g_assert_cmpstr (error->message, ==, errors[j].text);
        }
    }

  close_rpc (rpc);
}

/* Before this program knows the domain of the module, and after that. */
static void
test_answer_domains (void)
{
  g_assert_cmpuint (g_quark_try_string ("script-error-quark"), ==, 0);
  test_answer_errors (FALSE);
  test_answer_errors (TRUE);
  g_assert_cmpuint (g_quark_from_string ("script-error-quark"), !=, 0);
  test_answer_errors (FALSE);
  test_answer_errors (TRUE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-answer/twice", test_answer_twice);
  add_for_both ("/rpc-answer/notice-after", test_answer_notice_after);
  add_for_both ("/rpc-answer/never", test_answer_never);
  add_for_both ("/rpc-answer/late", test_answer_late);
  add_test ("/rpc-answer/dropped", test_answer_dropped);
  add_test ("/rpc-answer/domains", test_answer_domains);

  return g_test_run ();
}
