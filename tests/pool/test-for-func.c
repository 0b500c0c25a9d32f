/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve calls and jobs, and are given by their address. This program exports none of
 * its functions. */

#include "config.h"

#include "test-pool-util.h"

#include <dlfcn.h>
#include <string.h>

/* Functions of workers. */

static GVariant *
add (AForkCall  *call,
     GVariant   *args,
     GError    **error)
{
  guint32 a, b;

  g_variant_get (args, "(uu)", &a, &b);
  if (b == G_MAXUINT32)
    abort ();
  return g_variant_new_uint32 (a + b);
}

static GVariant *
fail (AForkCall  *call,
      GVariant   *args,
      GError    **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "not here");
  return NULL;
}

/* Calls. */

static GVariant *
new_args (guint32 a,
          guint32 b)
{
  return g_variant_new ("(uu)", a, b);
}

static void
expect_sum (AForkRpc *rpc)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) sum = call (rpc, new_args (3, 4), &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (sum), ==, 7);
}

static void
expect_no_function (AForkRpc   *rpc,
                    const char *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FUNCTION);
  if (strstr (error->message, text) == NULL)
    g_error ("“%s” is not in “%s”", text, error->message);
}

static void
test_rpc_self (void)
{
  g_autoptr(AForkRpc) rpc = afork_rpc_new_for_func (NULL, add);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (afork_runtime_get_self ());
  g_autoptr(AForkRpc) failing = afork_rpc_new_for_func (process, fail);
  g_autoptr(GError) error = NULL;

  g_assert_true (g_str_has_prefix (afork_rpc_get_function (rpc), "test-for-func+0x"));
  g_assert_cmpstr (afork_process_get_title (afork_rpc_get_process (rpc)), ==,
                   afork_rpc_get_function (rpc));
  expect_sum (rpc);
  expect_sum (rpc);
  g_assert_null (call (failing, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  close_rpc (rpc);
  close_rpc (failing);
}

/* A fork of the program. */
static void
test_rpc_template (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) template = afork_process_new_template (&error);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;

  g_assert_no_error (error);
  process = afork_process_fork (template);
  rpc = afork_rpc_new_for_func (process, add);
  expect_sum (rpc);
  close_rpc (rpc);
}

/* A function of a module, which two programs have loaded at different addresses. */
static void
test_rpc_module (void)
{
  g_autofree char *path = g_build_filename (g_getenv ("AFORK_MODULE_PATH"), "pool.so", NULL);
  void *module = dlopen (path, RTLD_NOW);
  g_autoptr(AForkProcess) with = new_module_process ("pool");
  g_autoptr(AForkProcess) without = new_module_process ("calls");
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkRpc) failing = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  AForkCallFunc func;

  g_assert_nonnull (module);
  func = (AForkCallFunc) dlsym (module, "pool_do");
  g_assert_nonnull (func);

  rpc = afork_rpc_new_for_func (with, func);
  g_assert_cmpstr (afork_rpc_get_function (rpc), ==, "pool_do");
  answer = call (rpc, do_args ("echo", 5), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (answer), ==, 5);
  close_rpc (rpc);

  failing = afork_rpc_new_for_func (without, func);
  expect_no_function (failing, "“pool_do”, because the program or shared object that has it is not "
                      "loaded in this process");
  dlclose (module);
}

/* A process of another program. */
static void
test_rpc_elsewhere (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkRpc) rpc = afork_rpc_new_for_func (process, add);

  expect_no_function (rpc, "“test-for-func+0x");
  await_end (process);
}

/* Data is not code. */
static void
test_rpc_no_object (void)
{
  static int data;
  g_autoptr(AForkRpc) rpc = afork_rpc_new_for_func (NULL, (AForkCallFunc) (gpointer) &data);

  expect_no_function (rpc, "build ID");
}

/* Pools. */

static void
begin_sum (AForkPool     *pool,
           guint32        a,
           guint32        b,
           GAsyncResult **result)
{
  afork_pool_call_async (pool, new_args (a, b), NULL, store_result_cb, result);
}

static void
test_pool (AForkPool *pool)
{
  enum { N_JOBS = 100 };
  GAsyncResult *results[N_JOBS] = { NULL };
  g_autoptr(GAsyncResult) crash = NULL;

  g_object_set (pool, "max-workers", 2, "max-calls", 40, NULL);
  for (guint i = 0; i < N_JOBS; i++)
    begin_sum (pool, i, 1, &results[i]);
  for (guint i = 0; i < N_JOBS; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i + 1);

  begin_sum (pool, 0, G_MAXUINT32, &crash);
  await_error (pool, &crash, AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_pool_self (void)
{
  AForkPool *pool = afork_pool_new_for_func (NULL, add);

  g_assert_true (g_str_has_prefix (afork_pool_get_function (pool), "test-for-func+0x"));
  g_assert_true (afork_process_get_runtime (afork_pool_get_process (pool))
                 == afork_runtime_get_self ());
  test_pool (pool);
}

static void
test_pool_template (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) template = afork_process_new_template (&error);

  g_assert_no_error (error);
  test_pool (afork_pool_new_for_func (template, add));
}

static guint32 offset;

static gboolean
init (const AForkItem  *items,
      gsize             n_items,
      GError          **error)
{
  if (n_items == 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no item");
      return FALSE;
    }

  offset = (guint32) items[0].size;
  return TRUE;
}

static void
done (void)
{
  afork_worker_emit (g_variant_new_uint32 (offset));
}

static GVariant *
add_offset (AForkCall  *call,
            GVariant   *args,
            GError    **error)
{
  return g_variant_new_uint32 (g_variant_get_uint32 (args) + offset);
}

static void
store_event_cb (GObject  *object,
                GVariant *event,
                guint32  *number)
{
  *number = g_variant_get_uint32 (event);
}

/* The functions before and after all calls are given by address, too. */
static void
test_rpc_all (void)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (afork_runtime_get_self ());
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  guint32 number = 0;

  afork_process_send_arg (process, "seven..");
  rpc = afork_rpc_new_for_funcs (process, add_offset, init, done);
  g_assert_true (g_str_has_prefix (afork_rpc_get_init_function (rpc), "test-for-func+0x"));
  g_signal_connect (rpc, "event", G_CALLBACK (store_event_cb), &number);
  answer = call (rpc, g_variant_new_uint32 (3), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (answer), ==, 10);
  close_rpc (rpc);
  g_assert_cmpuint (number, ==, 7);
}

static void
test_pool_all (void)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (afork_runtime_get_self ());
  AForkPool *pool = afork_pool_new_for_funcs (process, add_offset, init, done);
  GAsyncResult *result = NULL;
  guint32 number = 0;

  afork_process_send_arg (process, "five.");
  g_signal_connect (pool, "event", G_CALLBACK (store_event_cb), &number);
  afork_pool_call_async (pool, g_variant_new_uint32 (2), NULL, store_result_cb, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 7);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (number, ==, 5);

  pool = afork_pool_new_for_funcs (NULL, add_offset, init, NULL);
  g_assert_null (afork_pool_get_done_function (pool));
  afork_pool_call_async (pool, g_variant_new_uint32 (2), NULL, store_result_cb, &result);
  await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "there is no item");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The jobs fail, and the template goes on. */
static void
test_pool_elsewhere (void)
{
  g_autoptr(AForkProcess) template = new_module_process ("pool");
  AForkPool *pool = afork_pool_new_for_func (template, add);
  g_autoptr(GAsyncResult) result = NULL;
  AForkPool *other = NULL;

  begin_sum (pool, 1, 2, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_FUNCTION, "not loaded in this process");
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_FUNCTION);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  other = afork_pool_new (template, "pool_do");
  begin_pool_call (other, "echo", 7, &result);
  g_assert_cmpuint (await_answer (other, &result), ==, 7);
  shut_down_pool (other, AFORK_SHUTDOWN_MODE_DRAIN);
}

int
main (int    argc,
      char **argv)
{
  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  add_test ("/for-func/rpc/self", test_rpc_self);
  add_in_program ("/for-func/rpc/template", test_rpc_template);
  add_test ("/for-func/rpc/module", test_rpc_module);
  add_test ("/for-func/rpc/elsewhere", test_rpc_elsewhere);
  add_test ("/for-func/rpc/no-object", test_rpc_no_object);
  add_test ("/for-func/rpc/all", test_rpc_all);
  add_test ("/for-func/pool/all", test_pool_all);
  add_test ("/for-func/pool/self", test_pool_self);
  add_in_program ("/for-func/pool/template", test_pool_template);
  add_test ("/for-func/pool/elsewhere", test_pool_elsewhere);

  return g_test_run ();
}
