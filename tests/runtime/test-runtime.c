/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What is executed as a process, and the templates that are kept of it. */

#include "config.h"

#include "test-inspect-util.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Kills PROCESS without the library, and waits until the library has noticed. */
static void
kill_unseen (AForkProcess *process)
{
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  g_assert_no_errno (kill (afork_process_get_pid (process), SIGKILL));
  await_end (process);
}

/* Templates. */

static void
test_template_kept (Census        *census,
                    gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autofree char *pid = NULL;

  g_assert_true (runtime == afork_runtime_get_default ());
  g_assert_true (afork_runtime_get_template (runtime) == template);
  g_assert_true (afork_process_get_runtime (template) == runtime);
  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  pid = g_strdup_printf ("%d", afork_process_get_pid (template));

  first = afork_process_new ();
  second = afork_process_new_for_runtime (runtime);
  assert_report (first, "process", "parent", pid);
  assert_report (second, "process", "parent", pid);
  g_assert_true (afork_process_get_runtime (second) == runtime);
  g_assert_true (afork_runtime_get_template (runtime) == template);
}

static void
test_template_of_context (Census        *census,
                          gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  g_autoptr(GMainContext) context = g_main_context_new ();
  AForkProcess *other;

  g_main_context_push_thread_default (context);
  other = afork_runtime_get_template (runtime);
  g_assert_true (other != template);
  g_assert_true (afork_runtime_get_template (runtime) == other);
  g_main_context_pop_thread_default (context);
  g_assert_true (afork_runtime_get_template (runtime) == template);
}

/* All commands for a template, and a process that gets the same. */

enum { LARGE_SIZE = 300 * 1000 };

static void
prepare_fully (AForkProcess *template)
{
  g_autofree char *large = g_strnfill (LARGE_SIZE, 'x');
  g_autoptr(GBytes) bytes = g_bytes_new (large, LARGE_SIZE);
  int fd = memfd_create ("item", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_no_errno (ftruncate (fd, 11));
  afork_process_require (template, "describe");
  afork_process_require (template, "lifecycle");
  afork_process_call (template, "remember", (const char * const []) { "one", "four", NULL });
  afork_process_send_arg (template, "a string");
  afork_process_send_fd (template, fd);
  afork_process_send_bytes (template, bytes);
  afork_process_setenv (template, "AFORK_A", "value");
  afork_process_chdir (template, "/");
  afork_process_map_fd (template, fd, 30);
  close (fd);
}

static void
assert_prepared (const char *description)
{
  g_autoptr(AForkProcess) describing = afork_process_new ();
  g_autoptr(AForkProcess) recalling = afork_process_new ();
  g_autoptr(AForkProcess) in_environment = afork_process_new ();
  g_autoptr(AForkProcess) in_folder = afork_process_new ();
  g_autoptr(AForkProcess) mapped = afork_process_new ();
  g_autofree char *at_30 = get_report (mapped, "descriptors", "30");

  assert_answer (describing, "describe", description);
  assert_answer (recalling, "recall", "2 7");
  assert_report (in_environment, "environment", "AFORK_A", "value");
  assert_report (in_folder, "process", "folder", "/");
  g_assert_nonnull (at_30);
}

/* If a command of a template could not be sent, it is not left out of the templates that replace
 * it: all of them fail, until the template is set to NULL. */
static void
test_template_refused (Census        *census,
                       gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autofree char *too_long = g_strnfill (2 * 1024 * 1024, 'x');
  g_autoptr(AForkProcess) process = NULL;

  for (guint i = 0; i < 2; i++)
    {
      AForkProcess *template = afork_runtime_get_template (runtime);

      if (i == 0)
        afork_process_send_fd (template, G_MAXINT);
      else
        afork_process_require (template, too_long);
      for (guint n = 0; n < 3; n++)
        {
          g_autoptr(AForkProcess) failing = afork_process_new ();

          afork_process_require (failing, "describe");
          expect_run_error (failing, "describe", AFORK_ERROR, AFORK_ERROR_FAILED,
                            i == 0 ? "cannot be sent" : "REQUIRE is longer");
        }
      afork_runtime_set_template (runtime, NULL);
    }

  process = afork_process_new ();
  afork_process_require (process, "describe");
  assert_answer (process, "describe", "");
}

/* Commands after the failure of a template, which may not be known yet, apply to the one that
 * replaces it. */
static void
test_template_reported_late (Census        *census,
                             gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) failing = NULL;
  g_autofree char *answer = NULL;

  afork_process_force_exit (template);
  afork_process_require (template, "describe");
  afork_process_send_arg (template, "late");
  afork_process_send_fd (template, STDERR_FILENO);
  process = afork_process_new ();
  answer = run_to_end (process, "describe");
  g_assert_true (g_str_has_prefix (answer, "bytes 4 "));
  g_assert_nonnull (strstr (answer, "\nfd "));

  template = afork_runtime_get_template (runtime);
  afork_process_force_exit (template);
  afork_process_send_fd (template, G_MAXINT);
  failing = afork_process_new ();
  expect_run_error (failing, "describe", AFORK_ERROR, AFORK_ERROR_FAILED, "cannot be sent");
  afork_runtime_set_template (runtime, NULL);
}

/* A template that has exited is replaced by one that gets the same commands, and so is that one. */
static void
test_template_died (Census        *census,
                    gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) template = g_object_ref (afork_runtime_get_template (runtime));
  g_autoptr(AForkProcess) first = NULL;
  g_autofree char *description = NULL;

  prepare_fully (template);
  first = afork_process_new ();
  description = run_to_end (first, "describe");
  for (int i = 0; i < 3; i++)
    {
      kill_unseen (template);
      assert_prepared (description);
      g_assert_true (afork_runtime_get_template (runtime) != template);
      g_set_object (&template, afork_runtime_get_template (runtime));
    }

  /* Commands of the new one are kept as well. */
  afork_process_call (template, "remember", NULL);
  kill_unseen (template);
  g_clear_object (&first);
  first = afork_process_new ();
  assert_answer (first, "recall", "0 0");
}

/* A template that has failed because of a mistake is replaced by one with the same mistake. The
 * program has to set the template to NULL. */
static void
test_template_wrong (Census        *census,
                     gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) right = NULL;

  afork_process_require (afork_runtime_get_template (runtime), "no-such-module");
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();

      expect_run_error (process, "done", AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
    }

  afork_runtime_set_template (runtime, NULL);
  right = afork_process_require (afork_process_new (), "lifecycle");
  assert_answer (right, "done", "");
}

/* A template that was started with other properties is replaced as well. Existing processes
 * stay. */
static void
test_template_outdated (Census        *census,
                        gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) template = g_object_ref (afork_runtime_get_template (runtime));
  g_autoptr(AForkProcess) before = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *description = NULL;
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) fork = NULL;

  prepare_fully (template);
  before = afork_process_new ();
  first = afork_process_new ();
  description = run_to_end (first, "describe");
  connection = run_process_ok (before, "until_closed");

  afork_runtime_set_working_directory (runtime, "/tmp");
  assert_prepared (description);
  g_assert_true (afork_runtime_get_template (runtime) != template);
  g_assert_true (afork_runtime_get_template (runtime) == afork_runtime_get_template (runtime));

  /* The old one can still be forked through a reference that was kept. */
  fork = afork_process_fork (template);
  assert_answer (fork, "describe", description);
  finish_process (before, connection);
  afork_runtime_set_working_directory (runtime, NULL);
}

static void
test_template_given (Census        *census,
                     gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) given =
    afork_process_require (afork_process_new_exec (NULL), "lifecycle");
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) failing = NULL;
  g_autoptr(AForkProcess) last = NULL;

  afork_runtime_set_template (runtime, given);
  g_assert_true (afork_runtime_get_template (runtime) == given);
  process = afork_process_new ();
  assert_answer (process, "done", "");

  /* The runtime does not replace it, whatever happens. */
  afork_runtime_set_working_directory (runtime, "/tmp");
  g_assert_true (afork_runtime_get_template (runtime) == given);
  kill_unseen (given);
  g_assert_true (afork_runtime_get_template (runtime) == given);
  failing = afork_process_new ();
  expect_run_error (failing, "done", AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);

  afork_runtime_set_template (runtime, NULL);
  afork_runtime_set_working_directory (runtime, NULL);
  g_assert_true (afork_runtime_get_template (runtime) != given);
  last = afork_process_new ();
  expect_run_error (last, "done", AFORK_ERROR, AFORK_ERROR_FUNCTION, "no module");
}

static void
test_template_of_other (Census        *census,
                        gconstpointer  data)
{
  static const char * const argv[] = { "command", NULL };
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("other", argv);
  g_autoptr(AForkProcess) process = afork_process_new ();

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*== self*");
  afork_runtime_set_template (runtime, process);
  g_test_assert_expected_messages ();
}

/* The server program. */

static void
assert_works (void)
{
  g_autoptr(AForkProcess) process =
    afork_process_require (afork_process_new_exec (NULL), "lifecycle");

  assert_answer (process, "done", "");
}

static void
assert_missing (const char *program)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  expect_run_error (process, "done", AFORK_ERROR, AFORK_ERROR_SPAWN, program);
}

static char *
get_program (void)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());

  g_assert_cmpuint (g_strv_length (argv), ==, 1);
  return g_strdup (argv[0]);
}

static void
test_server_by_variable (Census        *census,
                         gconstpointer  data)
{
  g_autofree char *server = g_strdup (g_getenv ("AFORK_SERVER"));
  g_autofree char *program = NULL;

  program = get_program ();
  g_assert_cmpstr (program, ==, server);
  g_setenv ("AFORK_SERVER", "/nonexistent/afork-server", TRUE);
  assert_missing ("/nonexistent/afork-server");
  g_setenv ("AFORK_SERVER", server, TRUE);
  assert_works ();
}

/* The library is that of the build tree, and the server is in a directory beside it. */
static void
test_server_in_build_tree (Census        *census,
                           gconstpointer  data)
{
  g_autofree char *server = g_strdup (g_getenv ("AFORK_SERVER"));
  g_autofree char *real_server = realpath (server, NULL);
  const char * const without[] = { NULL, "" };

  for (gsize i = 0; i < G_N_ELEMENTS (without); i++)
    {
      g_autofree char *program = NULL;
      g_autofree char *real_program = NULL;

      if (without[i] == NULL)
        g_unsetenv ("AFORK_SERVER");
      else
        g_setenv ("AFORK_SERVER", without[i], TRUE);
      program = get_program ();
      real_program = realpath (program, NULL);
      g_assert_cmpstr (real_program, ==, real_server);
      assert_works ();
    }

  g_setenv ("AFORK_SERVER", server, TRUE);
}

static void
test_server_by_property (Census        *census,
                         gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autofree char *server = g_strdup (g_getenv ("AFORK_SERVER"));
  const char *argv[] = { "env", "AFORK_A=by env", server, NULL };
  g_autoptr(AForkProcess) process = NULL;
  g_auto(GStrv) copy = NULL;
  g_autofree char *program = NULL;

  g_setenv ("AFORK_SERVER", "/nonexistent/afork-server", TRUE);
  afork_runtime_set_argv (runtime, argv);
  copy = afork_runtime_dup_argv (runtime);
  g_assert_cmpstrv (copy, argv);
  process = afork_process_new ();
  assert_report (process, "environment", "AFORK_A", "by env");

  afork_runtime_set_argv (runtime, NULL);
  program = get_program ();
  g_assert_cmpstr (program, ==, "/nonexistent/afork-server");
  assert_missing ("/nonexistent/afork-server");
  g_setenv ("AFORK_SERVER", server, TRUE);
}

/* A runtime of another language, of which AFork was built without its part. */
static void
test_server_not_built (Census        *census,
                       gconstpointer  data)
{
  struct { AForkRuntime *runtime; const char *variable; const char *name; } rows[] = {
    { afork_runtime_get_gjs (), "AFORK_GJS_SERVER", "gjs" },
    { afork_runtime_get_python (), "AFORK_PYTHON_SERVER", "python" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *before = g_strdup (g_getenv (rows[i].variable));
      g_autofree char *name = g_strdup_printf ("“%s”", rows[i].name);
      g_autoptr(AForkProcess) process = NULL;
      g_autoptr(AForkProcess) executed = NULL;
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      g_setenv (rows[i].variable, "/nonexistent/part", TRUE);
      process = afork_process_new_for_runtime (rows[i].runtime);
      connection = afork_process_run (process, "module:function", NULL, &error);
      g_assert_null (connection);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
      g_assert_nonnull (strstr (error->message, "There is no “/nonexistent/part”: "));
      g_assert_nonnull (strstr (error->message, name));
      g_clear_error (&error);

      executed = afork_process_new_exec (rows[i].runtime);
      connection = afork_process_run (executed, "module:function", NULL, &error);
      g_assert_null (connection);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
      afork_runtime_set_template (rows[i].runtime, NULL);

      if (before != NULL)
        g_setenv (rows[i].variable, before, TRUE);
      else
        g_unsetenv (rows[i].variable);
    }
}

/* Environment and working directory. */

static void
test_environ (Census        *census,
              gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autofree char *path = g_strconcat ("AFORK_MODULE_PATH=", g_getenv ("AFORK_MODULE_PATH"), NULL);
  const char * const variables[] = { "AFORK_A=of the property", path, NULL };
  g_autoptr(AForkProcess) before = afork_process_new ();
  g_autoptr(AForkProcess) after = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) without = NULL;
  g_auto(GStrv) copy = NULL;

  /* A template that runs has the environment from its start. */
  await_state (before, AFORK_PROCESS_STATE_PREPARING);
  g_setenv ("AFORK_A", "of the caller", TRUE);
  after = afork_process_new ();
  executed = afork_process_new_exec (NULL);
  assert_report (before, "environment", "AFORK_A", NULL);
  assert_report (after, "environment", "AFORK_A", NULL);
  assert_report (executed, "environment", "AFORK_A", "of the caller");

  afork_runtime_set_environ (runtime, variables);
  copy = afork_runtime_dup_environ (runtime);
  g_assert_cmpstrv (copy, variables);
  g_clear_object (&after);
  g_clear_object (&executed);
  after = afork_process_new ();
  executed = afork_process_new_exec (NULL);
  without = afork_process_new_exec (NULL);
  assert_report (after, "environment", "AFORK_A", "of the property");
  assert_report (executed, "environment", "AFORK_A", "of the property");
  assert_report (without, "environment", "PATH", NULL);

  afork_runtime_set_environ (runtime, NULL);
  g_assert_null (afork_runtime_dup_environ (runtime));
  g_clear_object (&after);
  after = afork_process_new ();
  assert_report (after, "environment", "AFORK_A", "of the caller");
  g_unsetenv ("AFORK_A");
}

static void
test_working_directory (Census        *census,
                        gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autofree char *here = g_get_current_dir ();
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) missing = NULL;
  g_autofree char *copy = NULL;

  g_assert_null (afork_runtime_dup_working_directory (runtime));
  assert_report (process, "process", "folder", here);

  afork_runtime_set_working_directory (runtime, "/");
  copy = afork_runtime_dup_working_directory (runtime);
  g_assert_cmpstr (copy, ==, "/");
  g_clear_object (&process);
  process = afork_process_new ();
  executed = afork_process_new_exec (NULL);
  assert_report (process, "process", "folder", "/");
  assert_report (executed, "process", "folder", "/");

  afork_runtime_set_working_directory (runtime, "/nonexistent/folder");
  missing = afork_process_new ();
  expect_run_error (missing, "done", AFORK_ERROR, AFORK_ERROR_SPAWN, NULL);
  afork_runtime_set_working_directory (runtime, NULL);
}

/* Properties. */

static void
count_notify_cb (GObject    *object,
                 GParamSpec *pspec,
                 gpointer    data)
{
  g_string_append_printf (data, "%s ", pspec->name);
}

static void
test_properties (Census        *census,
                 gconstpointer  data)
{
  const char *strings[] = { "one", "two", NULL };
  const char * const same[] = { "one", "two", NULL };
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("name", strings);
  g_autoptr(GString) notified = g_string_new (NULL);
  g_auto(GStrv) argv = NULL;
  g_auto(GStrv) environment = NULL;
  g_auto(GStrv) module_path = NULL;
  g_autofree char *name = NULL;
  g_autofree char *folder = NULL;
  gboolean can_fork, can_pass_fds;

  g_assert_cmpstr (afork_runtime_get_name (afork_runtime_get_native ()), ==, "native");
  g_assert_true (afork_runtime_get_can_fork (afork_runtime_get_native ()));
  g_assert_true (afork_runtime_get_can_pass_fds (afork_runtime_get_native ()));

  g_signal_connect (runtime, "notify", G_CALLBACK (count_notify_cb), notified);
  for (int i = 0; i < 2; i++)
    {
      afork_runtime_set_argv (runtime, same);
      afork_runtime_set_environ (runtime, same);
      afork_runtime_set_working_directory (runtime, "/");
      afork_runtime_set_module_path (runtime, same);
    }
  g_assert_cmpstr (notified->str, ==, "environ working-directory module-path ");

  /* The object has copies of the caller's strings. */
  strings[0] = "changed";
  g_object_get (runtime,
                "name", &name,
                "argv", &argv,
                "environ", &environment,
                "working-directory", &folder,
                "module-path", &module_path,
                "can-fork", &can_fork,
                "can-pass-fds", &can_pass_fds,
                NULL);
  g_assert_cmpstr (name, ==, "name");
  g_assert_cmpstrv (argv, same);
  g_assert_cmpstrv (environment, same);
  g_assert_cmpstr (folder, ==, "/");
  g_assert_cmpstrv (module_path, same);
  g_assert_false (can_fork);
  g_assert_false (can_pass_fds);

  g_object_set (runtime, "environ", NULL, "working-directory", NULL, "module-path", NULL, NULL);
  g_assert_null (afork_runtime_dup_environ (runtime));
  g_assert_null (afork_runtime_dup_working_directory (runtime));
  g_assert_null (afork_runtime_dup_module_path (runtime));
}

/* Any thread may use a runtime: one sets strings, and another gets them. Memory of one environment
 * is not large enough to be used again for the other one. */

enum { N_CHANGES = 20 * 1000 };

static const char * const few[] = { "A=b", NULL };
static const char *many[64];

static gpointer
change_environ (gpointer runtime)
{
  for (int i = 0; i < N_CHANGES; i++)
    afork_runtime_set_environ (runtime, i % 2 == 0 ? few : many);

  return NULL;
}

static void
test_properties_threads (Census        *census,
                         gconstpointer  data)
{
  const char *argv[] = { "true", NULL };
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("name", argv);
  GThread *thread;

  for (gsize i = 0; i < G_N_ELEMENTS (many) - 1; i++)
    many[i] = "VARIABLE=value";
  afork_runtime_set_environ (runtime, many);
  thread = g_thread_new ("changes", change_environ, runtime);
  for (int i = 0; i < N_CHANGES; i++)
    {
      g_auto(GStrv) copy = afork_runtime_dup_environ (runtime);

      g_assert_true (g_strv_equal ((const char * const *) copy, few)
                     || g_strv_equal ((const char * const *) copy, many));
    }
  g_thread_join (thread);
}

static void
test_default (Census        *census,
              gconstpointer  data)
{
  const char *argv[] = { g_getenv ("AFORK_SERVER"), NULL };
  static AForkRuntime *runtime;         /* the library never frees a runtime that was the default
                                         * one */
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) native = NULL;

  runtime = afork_runtime_new_command ("other", argv);
  afork_runtime_set_default (runtime);
  g_assert_true (afork_runtime_get_default () == runtime);
  process = afork_process_new ();
  executed = afork_process_new_exec (NULL);
  g_assert_true (afork_process_get_runtime (process) == runtime);
  g_assert_true (afork_process_get_runtime (executed) == runtime);

  afork_runtime_set_default (NULL);
  g_assert_true (afork_runtime_get_default () == afork_runtime_get_native ());
  native = afork_process_new ();
  g_assert_true (afork_process_get_runtime (native) == afork_runtime_get_native ());
  afork_process_require (process, "lifecycle");
  assert_answer (process, "done", "");
}

/* A runtime that is dropped: its template exits, and its processes keep the runtime. */

static AForkRuntime *
new_forking_command (void)
{
  const char *argv[] = { g_getenv ("AFORK_SERVER"), NULL };

  return g_object_new (AFORK_TYPE_RUNTIME,
                       "name", "forking",
                       "argv", argv,
                       "can-fork", TRUE,
                       "can-pass-fds", TRUE,
                       NULL);
}

static void
test_dropped (Census        *census,
              gconstpointer  data)
{
  AForkRuntime *runtime = new_forking_command ();
  AForkRuntime *kept = runtime;
  AForkProcess *process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = NULL;

  g_object_add_weak_pointer (G_OBJECT (runtime), (gpointer *) &kept);
  afork_process_require (process, "lifecycle");
  g_object_unref (runtime);
  g_assert_nonnull (kept);
  g_assert_true (afork_process_get_runtime (process) == runtime);
  fork = afork_process_fork (process);
  assert_answer (fork, "done", "");
  assert_answer (process, "done", "");

  g_clear_object (&fork);
  g_object_unref (process);
  g_assert_null (kept);
}

static void
test_dropped_before_template (Census        *census,
                              gconstpointer  data)
{
  for (int i = 0; i < 3; i++)
    {
      AForkRuntime *runtime = new_forking_command ();
      AForkRuntime *kept = runtime;
      g_autoptr(AForkProcess) template = NULL;
      g_autoptr(AForkProcess) fork = NULL;

      g_object_add_weak_pointer (G_OBJECT (runtime), (gpointer *) &kept);
      if (i < 2)
        template = g_object_ref (afork_runtime_get_template (runtime));
      else
        template = afork_process_new_exec (runtime);
      if (i > 0)
        afork_runtime_set_template (runtime, template);
      afork_process_require (template, "lifecycle");
      g_object_unref (runtime);

      g_assert_true (afork_process_get_runtime (template) == runtime);
      g_assert_cmpstr (afork_process_get_title (template), ==, "template forking");
      fork = afork_process_fork (template);
      assert_answer (fork, "done", "");
      g_clear_object (&fork);
      g_clear_object (&template);
      g_assert_null (kept);
    }
}

/* valgrind checks the server itself during everything that it does. An error or a leak changes its
 * exit status. */

enum { VALGRIND_STATUS = 99 };

static void
assert_fork_under_valgrind (AForkProcess *process)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = run_process (fork, "describe", &error);
  /* Valgrind 3.19 does not know pidfd_open(), but it knows what is used instead. */
  if (connection == NULL && !has_peer_pidfds ())
    {
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
      g_test_message ("%s", error->message);
      return;
    }
  g_assert_no_error (error);

  g_free (read_to_end (connection, NULL));
  finish_process (fork, connection);
}

static void
test_valgrind (Census        *census,
               gconstpointer  data)
{
  g_autofree char *valgrind = g_find_program_in_path ("valgrind");
  g_autofree char *status = g_strdup_printf ("--error-exitcode=%d", VALGRIND_STATUS);
  const char *argv[] = {
    valgrind, "--quiet", "--vgdb=no", "--leak-check=full", "--errors-for-leak-kinds=definite",
    status, g_getenv ("AFORK_SERVER"), NULL,
  };
  g_autofree char *large = g_strnfill (LARGE_SIZE, 'x');
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) failing = NULL;
  g_autoptr(AForkProcess) crowded = NULL;
  g_autofree char *answer = NULL;
  int exit_status;

#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("The server has a sanitizer of its own");
  return;
#endif
  if (valgrind == NULL)
    {
      g_test_skip ("There is no valgrind");
      return;
    }

  runtime = g_object_new (AFORK_TYPE_RUNTIME, "name", "valgrind", "argv", argv,
                          "can-fork", TRUE, "can-pass-fds", TRUE, NULL);
  afork_runtime_set_module_path (runtime, (const char * const []) { "/nonexistent", NULL });
  process = afork_process_new_exec (runtime);
  prepare_fully (process);
  afork_process_setenv (process, "AFORK_A", NULL);
  afork_process_set_title (process, "a title");
  for (int target = 2; target < 12; target++)
    afork_process_map_fd (process, STDERR_FILENO, target);
  for (int i = 0; i < 100; i++)
    {
      afork_process_send_arg (process, large);
      afork_process_send_fd (process, STDERR_FILENO);
      afork_process_call (process, "lifecycle:note", (const char * const []) { "2", "", NULL });
    }
  answer = run_to_end (process, "describe");
  g_assert_true (g_str_has_prefix (answer, "bytes 8 "));

  failing = afork_process_new_exec (runtime);
  prepare_fully (failing);
  afork_process_require (failing, "no-such-module");
  expect_run_error (failing, "done", AFORK_ERROR, AFORK_ERROR_MODULE, NULL);
  g_assert_true (afork_process_get_exit_status (failing, &exit_status));
  g_assert_cmpint (exit_status, !=, VALGRIND_STATUS);

  crowded = afork_process_new_exec (runtime);
  prepare_fully (crowded);
  for (int i = 0; i < 3; i++)
    assert_fork_under_valgrind (crowded);
  g_free (run_to_end (crowded, "describe"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_census ("/runtime/template/kept", test_template_kept);
  add_with_census ("/runtime/template/of-context", test_template_of_context);
  add_with_census ("/runtime/template/refused", test_template_refused);
  add_with_census ("/runtime/template/told-late", test_template_reported_late);
  add_with_census ("/runtime/template/died", test_template_died);
  add_with_census ("/runtime/template/wrong", test_template_wrong);
  add_with_census ("/runtime/template/outdated", test_template_outdated);
  add_with_census ("/runtime/template/given", test_template_given);
  add_with_census ("/runtime/template/of-other", test_template_of_other);
  add_with_census ("/runtime/server/by-variable", test_server_by_variable);
  add_with_census ("/runtime/server/in-build-tree", test_server_in_build_tree);
  add_with_census ("/runtime/server/by-property", test_server_by_property);
  add_with_census ("/runtime/server/not-built", test_server_not_built);
  add_with_census ("/runtime/environ", test_environ);
  add_with_census ("/runtime/working-directory", test_working_directory);
  add_with_census ("/runtime/properties", test_properties);
  add_with_census ("/runtime/properties/threads", test_properties_threads);
  add_with_census ("/runtime/default", test_default);
  add_with_census ("/runtime/dropped/before-process", test_dropped);
  add_with_census ("/runtime/dropped/before-template", test_dropped_before_template);
  add_with_census ("/runtime/valgrind", test_valgrind);

  return g_test_run ();
}
