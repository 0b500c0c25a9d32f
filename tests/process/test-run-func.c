/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that are run by their address. */

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#include "test-util.h"

static GSocketConnection *
run_func (AForkProcess  *process,
          AForkRunFunc   func,
          GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_process_run_func_async (process, func, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_process_run_func_finish (process, result, error);
}

static char *
run_func_to_end (AForkProcess *process,
                 AForkRunFunc  func)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  char *text;

  connection = run_func (process, func, &error);
  g_assert_no_error (error);
  g_assert_nonnull (connection);
  text = read_to_end (connection, NULL);
  finish_process (process, connection);
  return text;
}

static void
expect_func_error (AForkProcess *process,
                   AForkRunFunc  func,
                   const char   *text)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = run_func (process, func, &error);
  g_assert_null (connection);
  g_test_message ("%s", error->message);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FUNCTION);
  g_assert_nonnull (strstr (error->message, text));
  await_end (process);
}

static AForkProcess *
new_process (void)
{
  return afork_process_new_for_runtime (afork_runtime_get_self ());
}

/* Worker functions. */

static void
write_items (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  for (size_t i = 0; i < n_items; i++)
    dprintf (socket, "<%s>", items[i].data);
}

AFORK_WORKER_EXPORT void exported (int socket, const AForkItem *items, size_t n_items);

void
exported (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
  dprintf (socket, "exported");
}

/* Tests. */

static void
test_run_func_static (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = NULL;

  afork_process_send_arg (process, "one");
  afork_process_send_arg (process, "two");
  text = run_func_to_end (process, write_items);
  g_assert_cmpstr (text, ==, "<one><two>");
  g_assert_true (g_str_has_prefix (afork_process_get_function (process), "test-run-func+0x"));
  g_assert_cmpstr (afork_process_get_title (process), ==, afork_process_get_function (process));
}

static void
test_run_func_exported (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = run_func_to_end (process, exported);

  g_assert_cmpstr (text, ==, "exported");
  g_assert_cmpstr (afork_process_get_function (process), ==, "exported");
}

/* A module that both have loaded, at different addresses. */
static void
test_run_func_module (void)
{
  g_autofree char *path = g_build_filename (g_getenv ("AFORK_MODULE_PATH"), "echo.so", NULL);
  void *module = dlopen (path, RTLD_NOW);
  g_autoptr(AForkProcess) with = afork_process_new ();
  g_autoptr(AForkProcess) without = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  AForkRunFunc func;

  g_assert_nonnull (module);
  func = (AForkRunFunc) dlsym (module, "echo");
  g_assert_nonnull (func);

  afork_process_require (with, "echo");
  connection = run_func (with, func, &error);
  g_assert_no_error (error);
  finish_process (with, connection);
  expect_func_error (without, func, "echo");
  dlclose (module);
}

/* The server program does not have the functions of this one. */
static void
test_run_func_elsewhere (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  expect_func_error (process, exported, "exported");
}

/* Data is not code. */
static void
test_run_func_no_object (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *memory = g_malloc (1);
  g_autoptr(AForkProcess) of_data = new_process ();
  static int data;

  expect_func_error (process, (AForkRunFunc) (gpointer) memory, "build ID");
  expect_func_error (of_data, (AForkRunFunc) (gpointer) &data, "build ID");
}

static void
test_run_func_once (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text G_GNUC_UNUSED = run_func_to_end (process, exported);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = run_func (process, exported, &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

static void
test_run_func_template (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) template = afork_process_new_template (&error);
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  process = afork_process_fork (template);
  afork_process_send_arg (process, "forked");
  text = run_func_to_end (process, write_items);
  g_assert_cmpstr (text, ==, "<forked>");
}

int
main (int    argc,
      char **argv)
{
  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  add_test ("/run-func/static", test_run_func_static);
  add_test ("/run-func/exported", test_run_func_exported);
  add_test ("/run-func/module", test_run_func_module);
  add_test ("/run-func/elsewhere", test_run_func_elsewhere);
  add_test ("/run-func/no-object", test_run_func_no_object);
  add_test ("/run-func/once", test_run_func_once);
  add_in_program ("/run-func/template", test_run_func_template);

  return g_test_run ();
}
