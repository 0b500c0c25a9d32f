/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-rpc-util.h"

#include <string.h>

AForkProcess *
new_module_process (const char *module)
{
  return afork_process_require (afork_process_new (), module);
}

AForkRpc *
new_rpc (const char *function)
{
  g_autoptr(AForkProcess) process = new_module_process ("calls");

  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", function, "forward-stderr", FALSE, NULL);
}

AForkRpc *
new_rpc_concurrent (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("calls");

  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", "calls_later", "concurrent", TRUE,
                       "forward-stderr", FALSE, NULL);
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
