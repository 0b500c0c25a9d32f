/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-rpc-util.h"

#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

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

typedef struct
{
  void     (*test) (gboolean concurrent);
  gboolean   concurrent;
} Variant;

static void
test_variant (gconstpointer data)
{
  const Variant *variant = data;
  Census census;

  census_begin (&census);
  variant->test (variant->concurrent);
  census_end (&census);
}

void
add_for_both (const char  *path,
              void       (*test) (gboolean concurrent))
{
  for (int concurrent = FALSE; concurrent <= TRUE; concurrent++)
    {
      g_autofree char *whole = g_strconcat (path, concurrent ? "/concurrent" : "/sequential", NULL);
      Variant *variant = g_new (Variant, 1);

      *variant = (Variant) { test, concurrent };
      g_test_add_data_func_full (whole, variant, test_variant, g_free);
    }
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

/* Appends KIND and the value; of a tuple, only the number, and its bytes must be right. */
static void
append_value (GString    *log,
              const char *kind,
              GVariant   *value)
{
  g_autoptr(GVariant) printed = g_variant_ref (value);
  g_autofree char *text = NULL;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE ("(uay)")))
    {
      g_autoptr(GVariant) array = g_variant_get_child_value (value, 1);
      gsize size;
      const guint8 *bytes = g_variant_get_fixed_array (array, &size, 1);

      g_variant_unref (printed);
      printed = g_variant_get_child_value (value, 0);
      g_assert_cmpuint (size, ==, 200 * 1000);
      g_assert_cmpuint (bytes[0], ==, (guint8) g_variant_get_uint32 (printed));
      g_assert_cmpint (memcmp (bytes, bytes + 1, size - 1), ==, 0);
    }

  text = g_variant_print (printed, FALSE);
  g_string_append_printf (log, "%s%s ", kind, text);
}

void
append_text_cb (GObject  *object,
                GVariant *value,
                gpointer  data)
{
  append_value (data, AFORK_IS_JOB (object) ? "p" : "e", value);
}

static void
append_error (GString      *log,
              const GError *error)
{
  GType type = error->domain == AFORK_ERROR ? AFORK_TYPE_ERROR : G_TYPE_IO_ERROR_ENUM;
  g_autoptr(GEnumClass) klass = g_type_class_ref (type);
  GEnumValue *code = g_enum_get_value (klass, error->code);

  g_assert_true (error->domain == AFORK_ERROR || error->domain == G_IO_ERROR);
  g_assert_nonnull (code);
  g_assert_cmpstr (error->message, !=, "");
  g_string_append_printf (log, "x%s ", code->value_nick);
}

void
append_result_cb (GObject      *object,
                  GAsyncResult *result,
                  gpointer      data)
{
  AForkRpc *rpc = AFORK_RPC (object);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  if (g_async_result_is_tagged (result, afork_rpc_close_async))
    {
      if (afork_rpc_close_finish (rpc, result, &error))
        g_string_append (data, "ok ");
    }
  else if (g_async_result_is_tagged (result, afork_rpc_run_job_async))
    value = afork_rpc_run_job_finish (rpc, result, &error);
  else
    value = afork_rpc_call_finish (rpc, result, &error);

  if (value != NULL)
    append_value (data, "r", value);
  if (error != NULL)
    append_error (data, error);
}

static void
append_closed_cb (AForkRpc *rpc,
                  gpointer  data)
{
  g_string_append (data, "closed ");
}

void
log_rpc (AForkRpc *rpc,
         GString  *log)
{
  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), log);
  g_signal_connect (rpc, "closed", G_CALLBACK (append_closed_cb), log);
}

AForkRpc *
new_script_rpc_full (AForkProcess *process,
                     gboolean      concurrent,
                     const char   *init,
                     const char   *done,
                     GString      *log)
{
  g_autoptr(AForkProcess) owned = process != NULL ? g_object_ref (process)
                                                  : new_module_process ("script");
  AForkRpc *rpc;

  if (init != NULL)
    afork_process_send_arg (owned, init);
  rpc = g_object_new (AFORK_TYPE_RPC,
                      "process", owned,
                      "function", concurrent ? "script_concurrent" : "script_sequential",
                      "init-function", init != NULL ? "script_init" : NULL,
                      "done-function", done,
                      "concurrent", concurrent,
                      "forward-stderr", FALSE,
                      NULL);
  log_rpc (rpc, log);
  return rpc;
}

AForkRpc *
new_script_rpc (gboolean  concurrent,
                GString  *log)
{
  return new_script_rpc_full (NULL, concurrent, NULL, NULL, log);
}

/* Makes a pipe, gives one end to the job, and returns the other. */
static int
add_gate (AForkJob *job)
{
  g_autoptr(GUnixFDList) list = NULL;
  g_autoptr(GError) error = NULL;
  int fds[2];

  g_unix_open_pipe (fds, FD_CLOEXEC, &error);
  g_assert_no_error (error);
  list = g_unix_fd_list_new_from_array (fds, 1);
  afork_job_set_fds (job, list);
  return fds[1];
}

guint
get_time_limit (void)
{
  return is_instrumented () ? 2000 : 1000;
}

AForkJob *
begin_script_full (AForkRpc   *rpc,
                   const char *script,
                   guint       timeout,
                   int        *gate,
                   GString    *log)
{
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string (script));

  if (gate != NULL)
    *gate = add_gate (job);
  afork_job_set_timeout (job, timeout);
  g_signal_connect (job, "progress", G_CALLBACK (append_text_cb), log);
  afork_rpc_run_job_async (rpc, job, NULL, append_result_cb, log);
  return job;
}

AForkJob *
begin_script (AForkRpc   *rpc,
              const char *script,
              GString    *log)
{
  return begin_script_full (rpc, script, 0, NULL, log);
}

void
begin_plain_script (AForkRpc     *rpc,
                    const char   *script,
                    GCancellable *cancellable,
                    GString      *log)
{
  afork_rpc_call_async (rpc, g_variant_new_string (script), cancellable, append_result_cb, log);
}

void
begin_close (AForkRpc     *rpc,
             GCancellable *cancellable,
             GString      *log)
{
  afork_rpc_close_async (rpc, cancellable, append_result_cb, log);
}

static gboolean
print_log_cb (gpointer data)
{
  g_test_message ("Waiting, with “%s”", ((GString *) data)->str);
  return G_SOURCE_CONTINUE;
}

void
await_log (GString    *log,
           const char *expected)
{
  GMainContext *context = g_main_context_get_thread_default ();
  g_autoptr(GSource) print = g_timeout_source_new_seconds (5);

  g_source_set_callback (print, print_log_cb, log, NULL);
  g_source_attach (print, context);
  while (log->len < strlen (expected) && g_str_has_prefix (expected, log->str))
    g_main_context_iteration (context, TRUE);
  g_source_destroy (print);
  g_assert_cmpstr (log->str, ==, expected);
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
  return is_instrumented () ? 0 : get_heap_size ();
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
