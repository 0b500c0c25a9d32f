/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Worker code that serves calls and is not linked with AFork. The worker has the functions that it
 * needs, however it was started. */

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

/* Modules. Both are built from modules/unlinked.c: one is linked with GLib, the other with
 * nothing. */
static const char * const modules[] = { "unlinked", "unlinked-all" };

static AForkProcess *
require (AForkProcess *process,
         const char   *module)
{
  return afork_process_require (process, module);
}

/* FUNCTION adds the number of the process's items. */
static void
assert_adds (AForkProcess *process,
             const char   *function,
             gboolean      concurrent,
             guint32       n_items)
{
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GError) error = NULL;

  rpc = g_object_new (AFORK_TYPE_RPC, "process", process, "function", function,
                      "init-function", "unlinked_init", "done-function", "unlinked_done",
                      "concurrent", concurrent, NULL);
  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), log);
  for (guint32 i = 0; i < 3; i++)
    {
      g_autoptr(GVariant) answer = call (rpc, g_variant_new ("(u)", i), &error);

      g_assert_no_error (error);
      assert_uint32 (answer, i + n_items);
    }
  g_assert_cmpstr (log->str, ==, concurrent ? "e'later' e'later' e'later' " : "");
  close_rpc (rpc);
}

static void
test_forked (const char *module)
{
  g_autoptr(AForkProcess) process = require (afork_process_new (), module);

  afork_process_send_arg (process, "one");
  assert_adds (process, "unlinked_add", FALSE, 1);
}

static void
test_executed (const char *module)
{
  g_autoptr(AForkProcess) process = require (afork_process_new_exec (NULL), module);

  assert_adds (process, "unlinked_add", FALSE, 0);
}

static void
test_fork_of_fork (const char *module)
{
  g_autoptr(AForkProcess) template = require (afork_process_new (), module);
  g_autoptr(AForkProcess) first = afork_process_fork (template);
  g_autoptr(AForkProcess) second = NULL;

  afork_process_send_arg (first, "one");
  second = afork_process_fork (first);
  afork_process_send_arg (second, "two");
  assert_adds (second, "unlinked_add", FALSE, 2);
  assert_adds (first, "unlinked_add", FALSE, 1);
  assert_adds (template, "unlinked_add", FALSE, 0);
}

static void
test_spare (const char *module)
{
  g_autoptr(AForkProcess) template = require (afork_process_new (), module);
  g_autoptr(AForkProcess) process = NULL;

  afork_process_set_spare (template, 1);
  process = afork_process_fork (template);
  assert_adds (process, "unlinked_add", FALSE, 0);
}

static void
test_taken_over (const char *module)
{
  g_autoptr(AForkProcess) given = require (afork_process_new (), module);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  afork_process_detach_async (given, NULL, store_result_cb, &result);
  await_result (&result);
  fd = afork_process_detach_finish (given, result, &error);
  g_assert_no_error (error);
  process = afork_process_new_from_fd (fd);
  assert_adds (process, "unlinked_add", FALSE, 0);
}

/* Nothing in the environment of the worker names the library. */
static void
test_environment (const char *module)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autofree char *path = g_strconcat ("AFORK_MODULE_PATH=", g_getenv ("AFORK_MODULE_PATH"), NULL);
  g_autoptr(AForkProcess) process = NULL;

  afork_runtime_set_environ (runtime, STRV (path));
  process = require (afork_process_new_exec (NULL), module);
  assert_adds (process, "unlinked_add", FALSE, 0);
  afork_runtime_set_environ (runtime, NULL);
}

/* The template has not loaded what one of its forks has needed. */
static void
test_template (const char *module)
{
  g_autoptr(AForkProcess) process = require (afork_process_new (), module);
  g_autofree char *maps_path = NULL;
  g_autofree char *maps = NULL;
  AForkProcess *template;

  assert_adds (process, "unlinked_add", FALSE, 0);
  template = afork_runtime_get_template (afork_runtime_get_native ());
  maps_path = g_strdup_printf ("/proc/%d/maps", (int) afork_process_get_pid (template));
  g_assert_true (g_file_get_contents (maps_path, &maps, NULL, NULL));
  g_assert_null (strstr (maps, "libglib"));
}

static void
test_self (const char *module)
{
  AForkRuntime *self = afork_runtime_get_self ();
  g_autoptr(AForkProcess) process = require (afork_process_new_for_runtime (self), module);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);

  assert_adds (fork, "unlinked_add", FALSE, 0);
  assert_adds (process, "unlinked_add", FALSE, 0);
  afork_runtime_set_template (self, NULL);
}

/* Functions of the library in a module that is linked with nothing. */
static void
test_concurrent (const char *module)
{
  g_autoptr(AForkProcess) process = NULL;

  if (g_str_equal (module, "unlinked"))
    return;

  process = require (afork_process_new (), module);
  afork_process_send_arg (process, "one");
  assert_adds (process, "unlinked_add_later", TRUE, 1);
}

/* A program that found the library in a relative directory, and has changed its working
 * directory. */
static void
test_relative (const char *module)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *path = g_strdup_printf ("%s/subprocess", g_test_get_path ());
  g_autofree char *folder = NULL;
  g_autofree char *link = NULL;
  g_autoptr(GSubprocessLauncher) launcher = NULL;
  g_autoptr(GSubprocess) subprocess = NULL;
  g_autoptr(GError) error = NULL;

  if (skip_under_valgrind ("the program would be executed without valgrind"))
    return;

  folder = g_dir_make_tmp ("afork-test-XXXXXX", &error);
  g_assert_no_error (error);
  link = g_build_filename (folder, "lib", NULL);
  g_assert_cmpint (symlink (g_getenv ("AFORK_TEST_LIBRARY_DIR"), link), ==, 0);

  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_subprocess_launcher_set_cwd (launcher, folder);
  g_subprocess_launcher_setenv (launcher, "LD_LIBRARY_PATH", "lib", TRUE);
  subprocess = g_subprocess_launcher_spawn (launcher, &error, program, "-p", path,
                                            "--GTestSubprocess", NULL);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait_check (subprocess, NULL, &error));
  g_assert_no_error (error);
  g_unlink (link);
  g_rmdir (folder);
}

static void
test_relative_subprocess (gconstpointer module)
{
  g_autoptr(AForkProcess) process = NULL;

  g_assert_cmpint (chdir ("/"), ==, 0);
  process = require (afork_process_new (), module);
  assert_adds (process, "unlinked_add", FALSE, 0);
}

/* The program, forked. */
static void
test_new_template (const char *module)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *path = NULL;
  g_autoptr(GError) error = NULL;

  if (!g_test_subprocess ())
    {
      path = g_strdup_printf ("%s/subprocess", g_test_get_path ());
      g_test_trap_subprocess (path, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }

  template = afork_process_new_template (&error);
  g_assert_no_error (error);
  process = require (afork_process_fork (template), module);
  assert_adds (process, "unlinked_add", FALSE, 0);
}

/* Code that is evaluated, and is linked with nothing. */

#define EVAL_NULL "void *none (void *call, void *args, void **error) { return 0; }"

#define EVAL_ADD \
  "void *g_variant_new_uint32 (unsigned number);\n" \
  "unsigned g_variant_get_uint32 (void *variant);\n" \
  "void *g_variant_get_child_value (void *variant, unsigned long index);\n" \
  "void g_variant_unref (void *variant);\n" \
  "void afork_call_report (void *call, void *variant);\n" \
  "void *\n" \
  "add (void *call, void *args, void **error)\n" \
  "{\n" \
  "  void *child = g_variant_get_child_value (args, 0);\n" \
  "  unsigned number = g_variant_get_uint32 (child);\n" \
  "  afork_call_report (call, child);\n" \
  "  g_variant_unref (child);\n" \
  "  return g_variant_new_uint32 (1 + number);\n" \
  "}\n"

static void
assert_evaluated (AForkProcess *process)
{
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkRpc) rpc_of_fork = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GVariant) answer_of_fork = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_eval (process, EVAL_NULL, NULL);
  fork = afork_process_fork (process);
  rpc_of_fork = afork_rpc_new (fork, "none");
  answer_of_fork = call (rpc_of_fork, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (answer_of_fork), ==, "()");

  afork_process_eval (process, EVAL_ADD, NULL);
  rpc = afork_rpc_new (process, "add");
  answer = call (rpc, g_variant_new ("(u)", 41), &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 42);
  close_rpc (rpc_of_fork);
  close_rpc (rpc);
}

static void
test_evaluated (void)
{
  AForkRuntime *self = afork_runtime_get_self ();
  g_autoptr(AForkProcess) forked = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) program = NULL;

  if (g_getenv ("AFORK_TEST_EVAL") == NULL)
    {
      g_test_skip ("the plugin is not built");
      return;
    }

  forked = afork_process_new ();
  executed = afork_process_new_exec (NULL);
  program = afork_process_new_for_runtime (self);
  assert_evaluated (forked);
  assert_evaluated (executed);
  assert_evaluated (program);
  afork_runtime_set_template (self, NULL);
}

/* A missing symbol is still reported. */
static void
test_evaluated_missing (void)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;

  if (g_getenv ("AFORK_TEST_EVAL") == NULL)
    {
      g_test_skip ("the plugin is not built");
      return;
    }

  process = afork_process_new ();
  afork_process_eval (process, "void g_nobody_has_this (void); void *none (void) "
                               "{ g_nobody_has_this (); return 0; }", NULL);
  rpc = afork_rpc_new (process, "none");
  g_assert_null (call (rpc, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_EVAL, "g_nobody_has_this");
}

typedef struct
{
  void       (*test) (const char *module);
  const char  *module;
} ModuleTest;

static void
run_module_test (gconstpointer data)
{
  const ModuleTest *self = data;
  Census census;

  census_begin (&census);
  self->test (self->module);
  census_end (&census);
}

static void
add_for_modules (const char  *name,
                 void       (*test) (const char *module))
{
  /* Programs that run one of them exit without freeing the others. */
  static ModuleTest tests[32];
  static guint n_tests;

  for (guint i = 0; i < G_N_ELEMENTS (modules); i++)
    {
      g_autofree char *path = g_strdup_printf ("/rpc-module/%s/%s", name, modules[i]);

      g_assert_cmpuint (n_tests, <, G_N_ELEMENTS (tests));
      tests[n_tests] = (ModuleTest) { test, modules[i] };
      g_test_add_data_func (path, &tests[n_tests++], run_module_test);
    }
}

int
main (int    argc,
      char **argv)
{
  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  add_for_modules ("forked", test_forked);
  add_for_modules ("executed", test_executed);
  add_for_modules ("fork-of-fork", test_fork_of_fork);
  add_for_modules ("spare", test_spare);
  add_for_modules ("taken-over", test_taken_over);
  add_for_modules ("environment", test_environment);
  add_for_modules ("template", test_template);
  add_for_modules ("self", test_self);
  add_for_modules ("concurrent", test_concurrent);
  add_for_modules ("relative", test_relative);
  add_for_modules ("new-template", test_new_template);
  for (guint i = 0; i < G_N_ELEMENTS (modules); i++)
    {
      g_autofree char *relative = g_strdup_printf ("/rpc-module/relative/%s/subprocess",
                                                   modules[i]);
      g_autofree char *template = g_strdup_printf ("/rpc-module/new-template/%s/subprocess",
                                                   modules[i]);

      g_test_add_data_func (relative, modules[i], test_relative_subprocess);
      g_test_add_data_func (template, modules[i], (GTestDataFunc) test_new_template);
    }
  add_test ("/rpc-module/evaluated/answers", test_evaluated);
  add_test ("/rpc-module/evaluated/missing", test_evaluated_missing);

  return g_test_run ();
}
