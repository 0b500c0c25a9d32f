/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Programs that are executed as a server and are none. */

#include "config.h"

#include "test-fault-util.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct
{
  const char *path;
  const char *argv[4];
  int         code;
  const char *text;
} Case;

/* In a directory that the tests make; @ stands for it. */
#define PLAIN_FILE  "@/plain"
#define NO_PROGRAM  "@/no-program"
#define NO_SHELL    "@/no-shell"
#define NO_FILE     "@/missing"

static const Case cases[] = {
  { "missing", { NO_FILE }, AFORK_ERROR_SPAWN, "No such file or directory" },
  { "missing-in-path", { "afork-no-such-program" }, AFORK_ERROR_SPAWN, "afork-no-such-program" },
  { "not-executable", { PLAIN_FILE }, AFORK_ERROR_SPAWN, "Permission denied" },
  { "folder", { "@" }, AFORK_ERROR_SPAWN, "Permission denied" },
  { "no-program", { NO_PROGRAM }, AFORK_ERROR_SPAWN, "Exec format error" },
  { "interpreter-missing", { NO_SHELL }, AFORK_ERROR_SPAWN, "No such file or directory" },

  { "exits-with-0", { "/bin/true" }, AFORK_ERROR_SPAWN, "“/bin/true” exited with status 0" },
  { "exits-with-7", { "/bin/sh", "-c", "exit 7" }, AFORK_ERROR_SPAWN, "status 7" },
  { "ended-by-signal", { "/bin/sh", "-c", "kill -TERM $$" }, AFORK_ERROR_SIGNALED, "signal 15" },
  { "closes", { "/bin/sh", "-c", "exec sleep 1000 <&- >&- 3<&-" },
    AFORK_ERROR_SIGNALED, "signal 9" },

  /* Nothing comes back but what was sent to the program, and that is a server's input. */
  { "echoes", { "/bin/cat" }, AFORK_ERROR_PROTOCOL, "LIBRARY came where it may not" },
  { "writes-garbage", { "yes" }, AFORK_ERROR_PROTOCOL, "a frame is of no known kind" },
  { "writes-zeroes", { "cat", "/dev/zero" }, AFORK_ERROR_PROTOCOL, "a frame is of no known kind" },
  { "writes-little", { "echo", "y" }, AFORK_ERROR_SPAWN, "“echo” exited with status 0" },
};

/* The native runtime's programs have the socket at descriptor 3. */
static const Case native_cases[] = {
  { "missing", { NO_FILE }, AFORK_ERROR_SPAWN, "No such file or directory" },
  { "exits-with-0", { "/bin/true" }, AFORK_ERROR_SPAWN, "“/bin/true” exited with status 0" },
  { "exits-with-7", { "/bin/sh", "-c", "exit 7" }, AFORK_ERROR_SPAWN, "status 7" },
  {
    "echoes", { "/bin/sh", "-c", "exec cat <&3 >&3" },
    AFORK_ERROR_PROTOCOL, "LIBRARY came where it may not"
  },
  {
    "writes-garbage", { "/bin/sh", "-c", "exec yes >&3" },
    AFORK_ERROR_PROTOCOL, "a frame is of no known kind"
  },
};

static char *folder;

static char *
expand (const char *path)
{
  return path[0] == '@' ? g_strconcat (folder, path + 1, NULL) : g_strdup (path);
}

static void
write_file (const char *path,
            const char *text,
            int         mode)
{
  g_autofree char *expanded = expand (path);
  g_autoptr(GError) error = NULL;

  g_file_set_contents_full (expanded, text, -1, G_FILE_SET_CONTENTS_NONE, mode, &error);
  g_assert_no_error (error);
}

static void
remove_file (const char *path)
{
  g_autofree char *expanded = expand (path);

  g_assert_no_errno (g_unlink (expanded));
}

static AForkRuntime *
new_runtime (const char * const *argv,
             gboolean            can_fork)
{
  g_auto(GStrv) expanded = g_strdupv ((char **) argv);

  g_free (expanded[0]);
  expanded[0] = expand (argv[0]);
  return g_object_new (AFORK_TYPE_RUNTIME,
                       "name", "no server",
                       "argv", expanded,
                       "can-fork", can_fork,
                       "can-pass-fds", can_fork,
                       NULL);
}

/* Under valgrind a program that cannot be executed appears as one that exits. */
static const char *
get_text (const char *text)
{
  return is_under_valgrind () ? NULL : text;
}

/* Executed when it is run. */
static void
test_run (Census        *census,
          gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkRuntime) runtime = new_runtime (self->argv, FALSE);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_process_send_arg (process, "item");
  expect_run_error (process, "function", AFORK_ERROR, self->code, get_text (self->text));
}

/* Executed at once, and run when it has failed. */
static void
test_exec (Census        *census,
           gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkRuntime) runtime = new_runtime (self->argv, TRUE);
  g_autoptr(AForkProcess) process = afork_process_new_exec (runtime);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);

  await_end (process);
  expect_run_error (process, "function", AFORK_ERROR, self->code, get_text (self->text));
  expect_run_error (fork, "function", AFORK_ERROR, self->code, get_text (self->text));
}

/* As the default template. */
static void
test_template (Census        *census,
               gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkRuntime) runtime = new_runtime (self->argv, TRUE);

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

      expect_run_error (process, "function", AFORK_ERROR, self->code, get_text (self->text));
    }

  afork_runtime_set_template (runtime, NULL);
}

/* The same for the native runtime, which works again with its own program. */
static void
test_native (Census        *census,
             gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkRuntime) runtime = new_runtime (self->argv, TRUE);
  g_auto(GStrv) argv = afork_runtime_dup_argv (runtime);
  AForkRuntime *native = afork_runtime_get_native ();
  g_autoptr(AForkProcess) process = NULL;

  afork_runtime_set_argv (native, (const char * const *) argv);
  process = afork_process_new ();
  afork_runtime_set_argv (native, NULL);
  expect_run_error (process, "function", AFORK_ERROR, self->code, get_text (self->text));
}

static void
test_folder_missing (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_runtime ((const char *[]) { "true", NULL }, FALSE);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_runtime_set_working_directory (runtime, "/afork/no-such-folder");
  expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_SPAWN,
                    get_text ("/afork/no-such-folder"));
}

static void
test_environment_too_long (Census        *census,
                           gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_runtime ((const char *[]) { "true", NULL }, FALSE);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autofree char *variable = g_strnfill (8 * 1024 * 1024, 'x');

  afork_runtime_set_environ (runtime, (const char *[]) { variable, NULL });
  expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_SPAWN,
                    get_text ("Argument list too long"));
}

/* A program that neither answers nor exits. */
static void
test_silent (Census        *census,
             gconstpointer  data)
{
  const char * const argv[] = { "sleep", "infinity", NULL };
  g_autoptr(AForkRuntime) runtime = new_runtime (argv, GPOINTER_TO_INT (data));
  g_autoptr(AForkProcess) process = afork_process_new_exec (runtime);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Outcome outcome = { 0 };

  afork_process_run_async (process, "function", cancellable, outcome_run_cb, &outcome);
  iterate ();
  g_assert_cmpuint (outcome.n_calls, ==, 0);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_STARTING);
  g_assert_cmpint (afork_process_get_pid (process), >, 0);

  g_cancellable_cancel (cancellable);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_end (process);
  assert_term_signal (process, SIGKILL);
}

static void
count_exited_cb (AForkProcess *process,
                 int           wait_status,
                 gpointer      n_exited)
{
  g_assert_cmpint (wait_status, ==, -1);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_EXITED);
  ++*(guint *) n_exited;
}

/* Processes that fail at once: the main context reports this, once, and nothing reports it
 * before. */
static void
test_exited (Census        *census,
             gconstpointer  data)
{
  const char * const argv[] = { "/no/such/program", NULL };
  g_autoptr(AForkRuntime) later = new_runtime (argv, FALSE);
  g_autoptr(AForkRuntime) none = g_object_new (AFORK_TYPE_RUNTIME,
                                               "name", "none",
                                               "can-fork", TRUE,
                                               "can-pass-fds", TRUE,
                                               NULL);
  AForkProcess *processes[4];
  guint n_exited[G_N_ELEMENTS (processes)] = { 0 };
  Outcome outcome = { 0 };

  processes[0] = afork_process_new_exec (none);
  processes[1] = afork_process_fork (processes[0]);
  processes[2] = afork_process_new_from_fd (open ("/dev/null", O_RDWR));
  /* This one fails only when it is released before it was executed, in a function that the owner
   * calls. */
  processes[3] = afork_process_new_for_runtime (later);
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_assert_cmpint (afork_process_get_state (processes[i]), <, AFORK_PROCESS_STATE_EXITED);
      g_signal_connect (processes[i], "exited", G_CALLBACK (count_exited_cb), &n_exited[i]);
    }

  afork_process_wait_async (processes[3], NULL, outcome_wait_cb, &outcome);
  afork_process_force_exit (processes[3]);
  g_assert_cmpuint (outcome.n_calls, ==, 0);

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    await_end (processes[i]);
  iterate ();
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_assert_cmpuint (n_exited[i], ==, 1);
      g_object_unref (processes[i]);
    }
  outcome_expect_error (&outcome, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
}

/* Its answer comes from another process, which keeps the socket when it has exited. */
static void
test_daemon (Census        *census,
             gconstpointer  data)
{
  const char * const argv[] = { "/bin/sh", "-c", "sleep 1000 & echo $! >&2; exit 5", NULL };
  g_autoptr(AForkRuntime) runtime = new_runtime (argv, FALSE);
  g_autoptr(AForkProcess) process = NULL;
  int reading, writing;
  int saved_stderr;
  char text[32] = "";
  long daemon;

  /* It writes the pid of the process that it leaves behind to standard error. */
  open_pipe (&reading, &writing);
  saved_stderr = dup (STDERR_FILENO);
  g_assert_cmpint (dup2 (writing, STDERR_FILENO), ==, STDERR_FILENO);
  process = afork_process_new_for_runtime (runtime);
  expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_SPAWN, "exited with status 5");
  g_assert_cmpint (dup2 (saved_stderr, STDERR_FILENO), ==, STDERR_FILENO);
  assert_exit_status (process, 5);

  g_assert_cmpint (read (reading, text, sizeof text - 1), >, 0);
  daemon = strtol (text, NULL, 10);
  g_assert_cmpint (daemon, >, 1);
  g_assert_no_errno (kill ((pid_t) daemon, SIGKILL));
  close_fd (&saved_stderr);
  close_fd (&reading);
  close_fd (&writing);
}

/* If a chain of forks fails, the message says once that they could not be forked: for processes
 * that are forked, and for those that are executed when they are run. */
static void
test_line (Census        *census,
           gconstpointer  data)
{
  const char * const argv[] = { "/afork/no-such-program", NULL };

  for (int can_fork = 0; can_fork < 2; can_fork++)
    {
      g_autoptr(AForkRuntime) runtime = new_runtime (argv, can_fork);
      g_autoptr(AForkProcess) process = afork_process_new_exec (runtime);
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;
      const char *text = "could not be forked from its template";
      const char *found;

      if (!can_fork)
        afork_process_send_fd (process, STDERR_FILENO);
      for (int i = 0; i < 3; i++)
        {
          g_autoptr(AForkProcess) fork = afork_process_fork (process);

          g_set_object (&process, fork);
        }

      connection = run_process (process, "function", &error);
      g_assert_null (connection);
      g_test_message ("%s", error->message);
      found = strstr (error->message, text);
      g_assert_nonnull (found);
      g_assert_null (strstr (found + 1, text));
      await_end (process);
    }
}

static void
add_cases (const char  *name,
           const Case  *first,
           gsize        n_cases,
           void       (*test) (Census        *census,
                               gconstpointer  data))
{
  for (const Case *added = first; added < first + n_cases; added++)
    {
      g_autofree char *path = g_strdup_printf ("/fault/spawn/%s/%s", name, added->path);

      fault_add_with_data (path, added, test);
    }
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("afork-test-XXXXXX", &error);
  g_assert_no_error (error);
  write_file (PLAIN_FILE, "#!/bin/sh\n", 0644);
  write_file (NO_PROGRAM, "exit 0\n", 0755);
  write_file (NO_SHELL, "#!/afork/no-such-shell\n", 0755);

  add_cases ("run", cases, G_N_ELEMENTS (cases), test_run);
  add_cases ("exec", cases, G_N_ELEMENTS (cases), test_exec);
  add_cases ("template", cases, G_N_ELEMENTS (cases), test_template);
  add_cases ("native", native_cases, G_N_ELEMENTS (native_cases), test_native);
  fault_add ("/fault/spawn/folder-missing", test_folder_missing);
  fault_add ("/fault/spawn/environment-too-long", test_environment_too_long);
  fault_add_with_data ("/fault/spawn/silent/run", GINT_TO_POINTER (FALSE), test_silent);
  fault_add_with_data ("/fault/spawn/silent/exec", GINT_TO_POINTER (TRUE), test_silent);
  fault_add ("/fault/spawn/line", test_line);
  fault_add ("/fault/spawn/daemon", test_daemon);
  fault_add ("/fault/spawn/exited", test_exited);
  status = g_test_run ();

  remove_file (PLAIN_FILE);
  remove_file (NO_PROGRAM);
  remove_file (NO_SHELL);
  g_assert_no_errno (g_rmdir (folder));
  g_free (folder);
  return status;
}
