/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Where modules are found, and which of their functions. */

#include "config.h"

#include "test-inspect-util.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void
assert_fork_answer (AForkProcess *process,
                    const char   *function,
                    const char   *expected)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (process);

  assert_answer (fork, function, expected);
}

static void
test_module_path (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *path = g_test_build_filename (G_TEST_BUILT, "modules", "who-a.so", NULL);
  g_autofree char *function = g_strconcat (path, ":who", NULL);

  afork_process_setenv (process, "AFORK_MODULE_PATH", NULL);
  afork_process_require (process, path);
  assert_fork_answer (process, "who", "a 0");
  assert_fork_answer (process, function, "a 0");
}

/* A path of the module who-a, as long as the kernel allows. A longer path must not be cut to the
 * name of another file. */
static void
test_module_long (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autofree char *folder = g_test_build_filename (G_TEST_BUILT, "modules", NULL);
  g_autoptr(GString) path = g_string_new (folder);
  const gsize most = PATH_MAX - 1 - strlen ("/who-a.so");
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) longer = afork_process_new ();
  g_autoptr(AForkProcess) name = afork_process_new ();

  while (path->len < most)
    g_string_append (path, path->len + 1 == most ? "/" : "/.");
  g_string_append (path, "/who-a.so");
  g_assert_cmpuint (path->len, ==, PATH_MAX - 1);
  afork_process_require (process, path->str);
  assert_fork_answer (process, "who", "a 0");

  g_string_append (path, ".other");
  afork_process_require (longer, path->str);
  expect_run_error (longer, "who", AFORK_ERROR, AFORK_ERROR_MODULE, g_strerror (ENAMETOOLONG));

  g_string_assign (path, "");
  while (path->len < PATH_MAX + 10)
    g_string_append_c (path, 'x');
  afork_process_require (name, path->str);
  expect_run_error (name, "who", AFORK_ERROR, AFORK_ERROR_MODULE, g_strerror (ENAMETOOLONG));
}

/* Directories where the module `chosen` is who-a or who-b. */
static char *
make_folder (const char *module)
{
  g_autofree char *path = g_test_build_filename (G_TEST_BUILT, "modules", module, NULL);
  char *folder = g_dir_make_tmp ("afork-XXXXXX", NULL);
  g_autofree char *link = g_build_filename (folder, "chosen.so", NULL);

  g_assert_no_errno (symlink (path, link));
  return folder;
}

static void
remove_folder (const char *folder)
{
  g_autofree char *link = g_build_filename (folder, "chosen.so", NULL);

  g_assert_no_errno (unlink (link));
  g_assert_no_errno (rmdir (folder));
}

static void
test_module_folders (Fixture       *fixture,
                     gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autofree char *folder_a = make_folder ("who-a.so");
  g_autofree char *folder_b = make_folder ("who-b.so");
  g_autofree char *both = g_strconcat ("/nonexistent::", folder_b, ":", folder_a, NULL);
  g_autoptr(AForkProcess) by_variable = afork_process_new ();
  g_autoptr(AForkProcess) by_property = NULL;
  g_autoptr(AForkProcess) without = NULL;

  afork_process_setenv (by_variable, "AFORK_MODULE_PATH", both);
  afork_process_require (by_variable, "chosen");
  assert_fork_answer (by_variable, "who", "b 0");

  /* The property is searched first, then the variable. */
  afork_runtime_set_module_path (runtime, (const char * const []) { "", folder_a, NULL });
  by_property = afork_process_new ();
  afork_process_setenv (by_property, "AFORK_MODULE_PATH", both);
  afork_process_require (by_property, "chosen");
  assert_fork_answer (by_property, "who", "a 0");
  afork_process_setenv (by_property, "AFORK_MODULE_PATH", g_getenv ("AFORK_MODULE_PATH"));
  afork_process_require (by_property, "inspect");
  assert_clean (by_property);

  afork_runtime_set_module_path (runtime, NULL);
  without = afork_process_new ();
  afork_process_require (without, "chosen");
  expect_run_error (without, "who", AFORK_ERROR, AFORK_ERROR_MODULE, "chosen");
  remove_folder (folder_a);
  remove_folder (folder_b);
}

static void
test_module_newest (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_require (process, "who-a");
  assert_fork_answer (process, "who", "a 0");
  afork_process_require (process, "who-b");
  assert_fork_answer (process, "who", "b 0");
  assert_fork_answer (process, "only_a", "only a");
  assert_fork_answer (process, "who-a:who", "a 0");
  assert_fork_answer (process, "who-b:who", "b 0");

  /* Each module is loaded once, and its variables exist once. */
  afork_process_call (process, "who-a:called", NULL);
  afork_process_require (process, "who-a");
  assert_fork_answer (process, "who", "a 1");
  assert_fork_answer (process, "who-b:who", "b 0");
}

static void
test_module_wrong (Fixture       *fixture,
                   gconstpointer  data)
{
  static const char * const functions[] = { "who-b:only_a", "who-c:who", "nothing", "getpid", ":" };
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_require (process, "who-a");
  afork_process_require (process, "who-b");
  for (gsize i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (process);

      expect_run_error (fork, functions[i], AFORK_ERROR, AFORK_ERROR_FUNCTION, functions[i]);
    }
  assert_fork_answer (process, "who", "b 0");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/module/path", "inspect", test_module_path);
  add_with_module ("/module/long", "inspect", test_module_long);
  add_with_module ("/module/folders", "inspect", test_module_folders);
  add_with_module ("/module/newest", "inspect", test_module_newest);
  add_with_module ("/module/wrong", "inspect", test_module_wrong);

  return g_test_run ();
}
