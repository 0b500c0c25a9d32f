/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* AFORK_DEBUG: messages by kind, with their fields, and none that nobody wants. Each test is a
 * process of its own, because the variable is read once. */

#include "test-util.h"

#include <string.h>

typedef struct
{
  GString *kinds;               /* of all messages, in order */
  GString *text;
  guint    n_pids;              /* how many messages have the pid of `pid` */
  char    *pid;
} Log;

static Log debug_log;

static const char *
find_field (const GLogField *fields,
            gsize            n_fields,
            const char      *key)
{
  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, key))
      return fields[i].value;

  return NULL;
}

static GLogWriterOutput
write_cb (GLogLevelFlags   level,
          const GLogField *fields,
          gsize            n_fields,
          gpointer         data)
{
  const char *kind = find_field (fields, n_fields, "AFORK_DEBUG");
  const char *pid = find_field (fields, n_fields, "AFORK_PID");

  if (kind == NULL)
    return g_log_writer_default (level, fields, n_fields, data);

  g_assert_cmpstr (find_field (fields, n_fields, "GLIB_DOMAIN"), ==, "AFork");
  g_assert_cmpint (level, ==, G_LOG_LEVEL_MESSAGE);
  g_string_append_printf (debug_log.kinds, "%s ", kind);
  g_string_append_printf (debug_log.text, "%s\n", find_field (fields, n_fields, "MESSAGE"));
  if (pid != NULL && g_strcmp0 (pid, debug_log.pid) == 0)
    debug_log.n_pids++;
  return G_LOG_WRITER_HANDLED;
}

static void
started_cb (AForkPool    *pool,
            AForkProcess *process,
            gpointer      data)
{
  debug_log.pid = g_strdup_printf ("%d", afork_process_get_pid (process));
}

static void
assert_text (const char *text)
{
  if (strstr (debug_log.text->str, text) == NULL)
    g_error ("“%s” is not in “%s”", text, debug_log.text->str);
}

/* Runs jobs in a pool: one succeeds, and one ends its worker. */
static void
run_pool (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = afork_pool_new (process, "pool_do");
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = NULL;

  g_signal_connect (pool, "worker-started", G_CALLBACK (started_cb), NULL);
  answer = afork_pool_call (pool, g_variant_new ("(su)", "echo", 7), NULL, &error);
  g_assert_no_error (error);
  g_assert_null (afork_pool_call (pool, g_variant_new ("(su)", "exit", 3), NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EXITED);
  g_assert_true (afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, NULL));
  g_object_unref (pool);
}

/* Runs this test in a process of its own with AFORK_DEBUG. In that process, returns true. */
static gboolean
begin (const char *value)
{
  if (!g_test_subprocess ())
    {
      if (value != NULL)
        g_setenv ("AFORK_DEBUG", value, TRUE);
      else
        g_unsetenv ("AFORK_DEBUG");
      g_test_trap_subprocess (NULL, 0, 0);
      g_unsetenv ("AFORK_DEBUG");
      return FALSE;
    }

  debug_log.kinds = g_string_new (NULL);
  debug_log.text = g_string_new (NULL);
  return TRUE;
}

static void
end (void)
{
  g_string_free (debug_log.kinds, TRUE);
  g_string_free (debug_log.text, TRUE);
  g_free (debug_log.pid);
}

static void
test_off (gconstpointer data)
{
  if (!begin (data))
    {
      g_test_trap_assert_passed ();
      return;
    }

  g_log_set_writer_func (write_cb, NULL, NULL);
  run_pool ();
  g_assert_cmpstr (debug_log.kinds->str, ==, "");
  end ();
}

static void
test_pool (void)
{
  if (!begin ("pool"))
    {
      g_test_trap_assert_passed ();
      return;
    }

  g_log_set_writer_func (write_cb, NULL, NULL);
  run_pool ();
  g_assert_null (strstr (debug_log.kinds->str, "calls"));
  g_assert_null (strstr (debug_log.kinds->str, "process"));
  assert_text ("Pool of “pool_do”: worker number 1 is started");
  assert_text ("serves");
  assert_text ("has exited (exited): ");
  assert_text ("status 3");
  assert_text ("was open, is draining");
  g_assert_cmpuint (debug_log.n_pids, >, 1);
  end ();
}

static void
test_process (void)
{
  if (!begin ("process"))
    {
      g_test_trap_assert_passed ();
      return;
    }

  g_log_set_writer_func (write_cb, NULL, NULL);
  run_pool ();
  g_assert_null (strstr (debug_log.kinds->str, "calls"));
  g_assert_null (strstr (debug_log.kinds->str, "pool"));
  assert_text ("A process of the runtime “native”");
  assert_text ("is to be forked");
  assert_text ("(pool_do) runs");
  assert_text ("(pool_do) has exited with status 3");
  g_assert_cmpuint (debug_log.n_pids, >, 0);
  end ();
}

static void
test_calls (void)
{
  if (!begin ("calls,process"))
    {
      g_test_trap_assert_passed ();
      return;
    }

  g_log_set_writer_func (write_cb, NULL, NULL);
  run_pool ();
  g_assert_nonnull (strstr (debug_log.kinds->str, "process"));
  assert_text ("Call 1 of “pool_do” to worker ");
  assert_text (" is sent");
  assert_text (" is answered");
  assert_text (" is lost: ");
  end ();
}

/* Without a writer of the program, messages go to the standard error output. */
static void
test_output (void)
{
  if (!begin ("all"))
    {
      g_test_trap_assert_passed ();
      g_test_trap_assert_stderr ("*Pool of*worker number 1 is started*");
      g_test_trap_assert_stderr ("*is answered*");
      g_test_trap_assert_stdout_unmatched ("*Pool of*");
      return;
    }

  run_pool ();
  end ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/debug/off/unset", NULL, test_off);
  g_test_add_data_func ("/debug/off/unknown", "pools", test_off);
  g_test_add_func ("/debug/pool", test_pool);
  g_test_add_func ("/debug/process", test_process);
  g_test_add_func ("/debug/calls", test_calls);
  g_test_add_func ("/debug/output", test_output);

  return g_test_run ();
}
