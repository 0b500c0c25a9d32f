/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-rpc-util.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

AForkProcess *
new_module_process (const char *module)
{
  return afork_process_require (afork_process_new (), module);
}

AForkRpc *
new_rpc_of (const char *module,
            const char *function,
            gboolean    concurrent)
{
  g_autoptr(AForkProcess) process = new_module_process (module);

  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", function, "concurrent", concurrent,
                       "forward-stderr", FALSE, NULL);
}

AForkRpc *
new_rpc (const char *function)
{
  return new_rpc_of ("calls", function, FALSE);
}

AForkRpc *
new_rpc_concurrent (void)
{
  return new_rpc_of ("calls", "calls_later", TRUE);
}

GVariant *
do_args (const char *what,
         guint32     number)
{
  return g_variant_new ("(su)", what, number);
}

void
begin_call (AForkRpc      *rpc,
            const char    *what,
            guint32        number,
            GCancellable  *cancellable,
            GAsyncResult **result)
{
  afork_rpc_call_async (rpc, do_args (what, number), cancellable, store_result_cb, result);
}

GVariant *
call (AForkRpc  *rpc,
      GVariant  *args,
      GError   **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_rpc_call_async (rpc, args, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_rpc_call_finish (rpc, result, error);
}

GVariant *
run_job (AForkRpc  *rpc,
         AForkJob  *job,
         GError   **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_rpc_run_job_finish (rpc, result, error);
}

void
expect_uint32 (AForkRpc      *rpc,
               GAsyncResult **result,
               guint32        number)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  await_result (result);
  value = afork_rpc_call_finish (rpc, *result, &error);
  g_assert_no_error (error);
  assert_uint32 (value, number);
  g_clear_object (result);
}

void
expect_error (AForkRpc      *rpc,
              GAsyncResult **result,
              GQuark         domain,
              int            code,
              const char    *text)
{
  g_autoptr(GError) error = NULL;

  await_result (result);
  g_assert_null (afork_rpc_call_finish (rpc, *result, &error));
  g_assert_error (error, domain, code);
  if (text != NULL && strstr (error->message, text) == NULL)
    g_error ("“%s” does not hold “%s”", error->message, text);
  g_clear_object (result);
}

void
assert_uint32 (GVariant *value,
               guint32   expected)
{
  g_assert_nonnull (value);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "u");
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, expected);
}

void
assert_error_holds (GError     **error,
                    GQuark       domain,
                    int          code,
                    const char  *text)
{
  g_assert_error (*error, domain, code);
  g_test_message ("%.200s", (*error)->message);
  if (strstr ((*error)->message, text) == NULL)
    g_error ("“%s” does not hold “%s”", (*error)->message, text);
  g_clear_error (error);
}

void
assert_serves (AForkRpc *rpc)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = call (rpc, do_args ("number", 77), &error);

  g_assert_no_error (error);
  assert_uint32 (answer, 77);
}

static gboolean
try_close (AForkRpc  *rpc,
           GError   **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_rpc_close_async (rpc, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_rpc_close_finish (rpc, result, error);
}

void
close_rpc (AForkRpc *rpc)
{
  g_autoptr(GError) error = NULL;
  gboolean closed = try_close (rpc, &error);

  g_assert_no_error (error);
  g_assert_true (closed);
}

void
close_rpc_error (AForkRpc *rpc,
                 int       code)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (try_close (rpc, &error));
  g_assert_error (error, AFORK_ERROR, code);
}

void
append_text_cb (GObject  *object,
                GVariant *value,
                gpointer  data)
{
  g_autofree char *text = g_variant_print (value, FALSE);

  g_string_append_printf (data, "%s%s ", AFORK_IS_JOB (object) ? "p" : "e", text);
}

void
await_text (GString    *string,
            const char *text)
{
  while (strstr (string->str, text) == NULL)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

guint64
get_cpu_time (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/schedstat", pid);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return g_ascii_strtoull (text, NULL, 10);
}

void
await_sleep (GPid pid)
{
  enum { PAUSE = 100 * 1000, MAX_PAUSES = 100 };
  guint64 spent = G_MAXUINT64;

  for (guint i = 0; spent >= PAUSE * 1000 / 10; i++)
    {
      guint64 before = get_cpu_time (pid);

      g_assert_cmpuint (i, <, MAX_PAUSES);
      g_usleep (PAUSE);
      spent = get_cpu_time (pid) - before;
    }
}

gsize
get_private_memory (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", pid);
  g_autofree char *text = NULL;
  g_auto(GStrv) fields = NULL;

  if (is_instrumented ())
    return 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  fields = g_strsplit (text, " ", 4);
  return (g_ascii_strtoull (fields[1], NULL, 10) - g_ascii_strtoull (fields[2], NULL, 10))
    * (gsize) sysconf (_SC_PAGESIZE);
}

gsize
get_own_memory (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return is_instrumented () ? 0 : info.uordblks + info.hblkhd;
}

AForkJob *
new_fd_job (const char *what,
            guint32     number,
            int         fd)
{
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new_from_array (&fd, 1);
  AForkJob *job = afork_job_new (do_args (what, number));

  afork_job_set_fds (job, list);
  return job;
}
