/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Callers of all kinds: busy ones, large ones, ones with many threads, and ones that handle
 * children and descriptors in unusual ways. The library must work in each of them, and change
 * nothing of the caller. */

#include "config.h"

#include "test-pid-watch-util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* Many processes. */

static void
run_in_a_row (AForkProcess *template,
              guint         n_processes)
{
  for (guint i = 0; i < n_processes; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      connection = run_process_ok (process, "done");
      g_assert_true (wait_process (process, &error));
      g_assert_no_error (error);
      assert_exit_status (process, 0);
    }
}

/* The caller needs less than one byte for each of them. A table that grows once, because more was
 * under way than before, is no leak: that would be seen in each attempt. */
static void
test_many_in_a_row (void)
{
  const guint n_processes = is_instrumented () ? 100 : 500;
  g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
  gsize before, after = G_MAXSIZE;

  run_in_a_row (template, 2 * n_processes);
  for (guint i = 0; i < 3; i++)
    {
      before = get_heap_size ();
      run_in_a_row (template, 2 * n_processes);
      after = get_heap_size ();
      g_test_message ("%" G_GSIZE_FORMAT " bytes before and %" G_GSIZE_FORMAT " after %u processes",
                      before, after, 2 * n_processes);
      if (is_instrumented () || after < before + 2 * n_processes)
        return;
    }
  g_assert_cmpuint (after, <, before + 2 * n_processes);
}

static void
test_many_executed_in_a_row (void)
{
  guint n_processes = is_instrumented () ? 20 : 200;

  for (guint i = 0; i < n_processes; i++)
    {
      g_autoptr(AForkProcess) process = new_executed ();
      g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

      finish_process (process, connection);
    }
}

enum { N_AT_ONCE = 64 };

static void
test_many_at_once (void)
{
  AForkProcess *processes[N_AT_ONCE];
  GAsyncResult *results[N_AT_ONCE] = { NULL };
  GSocketConnection *connections[N_AT_ONCE];
  g_autoptr(GHashTable) pids = g_hash_table_new (NULL, NULL);

  for (int i = 0; i < N_AT_ONCE; i++)
    {
      processes[i] = i % 16 == 0 ? new_executed () : new_module_process ("lifecycle");
      afork_process_run_async (processes[i], "until_closed", NULL, store_result_cb, &results[i]);
    }
  for (int i = 0; i < N_AT_ONCE; i++)
    {
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      connections[i] = afork_process_run_finish (processes[i], results[i], &error);
      g_assert_no_error (error);
      g_hash_table_add (pids, GINT_TO_POINTER (afork_process_get_pid (processes[i])));
    }

  g_assert_cmpuint (g_hash_table_size (pids), ==, N_AT_ONCE);
  g_assert_false (g_hash_table_contains (pids, NULL));
  for (int i = 0; i < N_AT_ONCE; i++)
    {
      g_assert_cmpint (afork_process_get_state (processes[i]), ==, AFORK_PROCESS_STATE_RUNNING);
      finish_process (processes[i], connections[i]);
      g_object_unref (connections[i]);
      g_object_unref (processes[i]);
      g_object_unref (results[i]);
    }
}

/* Large callers. */

static guint64
get_available_mib (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    return 0;

  line = strstr (text, "MemAvailable:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) / 1024 : 0;
}

static glong
count_faults (void)
{
  struct rusage usage;

  g_assert_no_errno (getrusage (RUSAGE_THREAD, &usage));
  return usage.ru_minflt;
}

static void
touch (guint8 *memory,
       gsize   size)
{
  for (gsize i = 0; i < size; i += 4096)
    memory[i]++;
}

/* If the caller had been forked, its pages would be shared now, and the kernel would copy each when
 * it is next written to. */
static void
test_large (void)
{
  const gsize size = (gsize) 2 * 1024 * 1024 * 1024;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) forked = NULL;
  g_autoptr(GSocketConnection) of_executed = NULL;
  g_autoptr(GSocketConnection) of_forked = NULL;
  glong n_faults;
  guint8 *memory;

  if (is_instrumented ())
    {
      g_test_skip ("What looks at memory has pages of its own for it, and pages are counted");
      return;
    }
  if (get_available_mib () < 3 * 1024)
    {
      g_test_skip ("There is not enough memory");
      return;
    }

  memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
  g_assert_true (memory != MAP_FAILED);
  g_assert_no_errno (madvise (memory, size, MADV_NOHUGEPAGE));
  n_faults = count_faults ();
  touch (memory, size);
  g_assert_cmpint (count_faults () - n_faults, >=, (glong) (size / 4096));

  executed = new_executed ();
  forked = new_module_process ("lifecycle");
  of_executed = run_process_ok (executed, "until_closed");
  of_forked = run_process_ok (forked, "until_closed");

  n_faults = count_faults ();
  touch (memory, size);
  n_faults = count_faults () - n_faults;
  g_test_message ("%ld of %" G_GSIZE_FORMAT " pages had to be copied", n_faults, size / 4096);
  g_assert_cmpint (n_faults, <, 1000);

  finish_process (executed, of_executed);
  finish_process (forked, of_forked);
  munmap (memory, size);
}

/* Callers with threads. */

enum { N_THREADS = 50 };

/* Each thread passes what it gets to the next one in the ring, until it gets nothing. */
typedef struct
{
  GAsyncQueue *in;
  GAsyncQueue *out;
  GThread     *thread;
  guint        n_turns;
} Runner;

static gpointer
run_in_ring (gpointer data)
{
  Runner *self = data;
  gboolean goes_on = TRUE;

  while (goes_on)
    {
      g_autofree char *token = g_async_queue_pop (self->in);

      goes_on = *token != '\0';
      if (goes_on)
        g_async_queue_push (self->out, g_steal_pointer (&token));
      self->n_turns++;
    }

  return NULL;
}

static void
test_threads (void)
{
  Runner runners[N_THREADS] = { 0 };
  g_autoptr(AForkProcess) template = NULL;
  guint n_turns = 0;

  for (int i = 0; i < N_THREADS; i++)
    runners[i].in = g_async_queue_new_full (g_free);
  for (int i = 0; i < N_THREADS; i++)
    {
      runners[i].out = runners[(i + 1) % N_THREADS].in;
      runners[i].thread = g_thread_new ("runner", run_in_ring, &runners[i]);
    }
  g_async_queue_push (runners[0].in, g_strdup ("token"));

  /* The template does not have the threads of the caller. */
  template = new_module_process ("lifecycle");
  run_in_a_row (template, 20);
  for (int i = 0; i < 5; i++)
    {
      g_autoptr(AForkProcess) process = new_executed ();
      g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

      finish_process (process, connection);
    }

  for (int i = 0; i < N_THREADS; i++)
    g_async_queue_push (runners[i].in, g_strdup (""));
  for (int i = 0; i < N_THREADS; i++)
    {
      g_thread_join (runners[i].thread);
      n_turns += runners[i].n_turns;
    }
  for (int i = 0; i < N_THREADS; i++)
    g_async_queue_unref (runners[i].in);
  g_test_message ("The threads had %u turns meanwhile", n_turns);
  g_clear_object (&template);
}

/* Callers that handle children themselves. Each is a program of its own. */

/* From Linux 6.15 on, the kernel reports by a pidfd how a process has exited that another process
 * has reaped. Under valgrind 3.19, a child has no pidfd. */
static gboolean
kernel_reports (void)
{
  struct utsname name;
  int major = 0, minor = 0;

  g_assert_no_errno (uname (&name));
  return !is_under_valgrind ()
    && sscanf (name.release, "%d.%d", &major, &minor) == 2
    && (major > 6 || (major == 6 && minor >= 15));
}

static void
exit_and_assert (AForkProcess *process,
                 guint8        status,
                 gboolean      may_be_lost)
{
  g_autofree char *text = g_strdup_printf ("%d", status);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_require (process, "lifecycle");
  afork_process_send_arg (process, text);
  connection = run_process_ok (process, "exit_with");
  if (wait_process (process, &error))
    {
      assert_exit_status (process, status);
    }
  else
    {
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LOST);
      g_assert_true (may_be_lost);
    }
}

/* Processes that are children of this program, and others that are not. */
static void
use_everything (void)
{
  gboolean may_be_lost = !kernel_reports ();
  g_autoptr(AForkProcess) killed = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  Census census;

  census_begin (&census);
  for (guint8 i = 0; i < 100; i++)
    {
      g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);
      g_autoptr(AForkProcess) forked = afork_process_new ();
      g_autoptr(AForkProcess) fork_of_fork = afork_process_fork (forked);

      exit_and_assert (executed, i, may_be_lost);
      exit_and_assert (fork_of_fork, i, FALSE);
      exit_and_assert (forked, i, FALSE);
    }

  killed = new_module_process ("lifecycle");
  connection = run_process_ok (killed, "forever");
  afork_process_force_exit (killed);
  await_end (killed);
  assert_term_signal (killed, SIGKILL);
  g_clear_object (&connection);
  census_end (&census);
}

static void
test_sigchld_ignored (void)
{
  if (!is_own_program ())
    return;

  signal (SIGCHLD, SIG_IGN);
  use_everything ();
  g_assert_true (signal (SIGCHLD, SIG_DFL) == SIG_IGN);
}

static volatile sig_atomic_t n_sigchld;

static void
reap_all_cb (int signal)
{
  int saved_errno = errno;

  n_sigchld++;
  while (waitpid (-1, NULL, WNOHANG) > 0)
    ;
  errno = saved_errno;
}

static void
test_sigchld_reaps_all (void)
{
  struct sigaction action = { .sa_handler = reap_all_cb, .sa_flags = SA_RESTART };

  if (!is_own_program ())
    return;

  g_assert_no_errno (sigaction (SIGCHLD, &action, NULL));
  use_everything ();
  g_assert_cmpint (n_sigchld, >, 0);
  g_assert_no_errno (sigaction (SIGCHLD, NULL, &action));
  g_assert_true (action.sa_handler == reap_all_cb);
}

/* Waits for any child, in a thread, until it has reaped the child that exits with a certain
 * status. */
static gpointer
reap_all (gpointer data)
{
  GPid last = GPOINTER_TO_INT (data);
  guint n_reaped = 0;
  GPid reaped;

  while ((reaped = waitpid (-1, NULL, 0)) != last)
    {
      g_assert_cmpint (reaped, >, 0);
      n_reaped++;
    }

  return GUINT_TO_POINTER (n_reaped);
}

static void
test_thread_reaps_all (void)
{
  char *argv[] = { (char *) "cat", NULL };
  posix_spawn_file_actions_t actions;
  GThread *thread;
  int fds[2];
  GPid last;

  if (!is_own_program ())
    return;

  /* There is always a child to wait for, until this one is told to exit. */
  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, fds[0], STDIN_FILENO);
  g_assert_cmpint (posix_spawnp (&last, "cat", &actions, NULL, argv, environ), ==, 0);
  posix_spawn_file_actions_destroy (&actions);
  close (fds[0]);

  thread = g_thread_new ("reaper", reap_all, GINT_TO_POINTER (last));
  for (guint8 i = 0; i < 100; i++)
    {
      g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);

      exit_and_assert (executed, i, !kernel_reports ());
    }
  close (fds[1]);
  g_test_message ("%u were reaped by the thread", GPOINTER_TO_UINT (g_thread_join (thread)));
}

/* Callers without the descriptors 0, 1 or 2. */

static void
use_descriptors (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GKeyFile) report = g_key_file_new ();
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize n_descriptors;
  int fd;

  /* It may get one of the three numbers itself. */
  fd = memfd_create ("caller", MFD_CLOEXEC);
  afork_process_require (process, "inspect");
  afork_process_send_fd (process, fd);
  afork_process_map_fd (process, fd, 10);
  close (fd);

  connection = run_process_ok (process, "inspect");
  text = read_to_end (connection, NULL);
  g_key_file_load_from_data (report, text, strlen (text), G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; standard++)
    {
      g_autofree char *key = g_strdup_printf ("%d", standard);

      g_assert_true (g_key_file_has_key (report, "descriptors", key, NULL));
    }
  g_strfreev (g_key_file_get_keys (report, "descriptors", &n_descriptors, NULL));
  g_assert_cmpuint (n_descriptors, ==, 6);
  finish_process (process, connection);
}

/* DATA names the closed descriptors. */
static void
test_closed (gconstpointer data)
{
  static const char * const argv[] = { "env", "AFORK_UNUSED=1", NULL, NULL };
  g_auto(GStrv) server = afork_runtime_dup_argv (afork_runtime_get_native ());
  const char *command[] = { argv[0], argv[1], server[0], NULL };
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) forked = NULL;
  g_autoptr(AForkProcess) commanded = NULL;

  if (!is_own_program ())
    return;

  for (const char *digit = data; *digit != '\0'; digit++)
    close (*digit - '0');

  executed = afork_process_new_exec (NULL);
  forked = afork_process_new ();
  use_descriptors (forked);
  use_descriptors (executed);
  runtime = g_object_new (AFORK_TYPE_RUNTIME, "name", "env", "argv", command,
                          "can-fork", TRUE, "can-pass-fds", TRUE, NULL);
  commanded = afork_process_new_for_runtime (runtime);
  use_descriptors (commanded);

  /* The output of the test framework would go to the file that has the number now. */
  _exit (0);
}

/* Things that belong to the caller. */

static int
spawn_own_child (void)
{
  char *argv[] = { (char *) "sh", (char *) "-c", (char *) "exit 7", NULL };
  siginfo_t info;
  GPid pid;

  g_assert_cmpint (posix_spawnp (&pid, "sh", NULL, NULL, argv, environ), ==, 0);
  g_assert_no_errno (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOWAIT));
  return pid;
}

static void
count_sigchld_cb (int signal)
{
  n_sigchld++;
}

/* Threads of GLib are allowed. The last one is new in GLib 2.76. */
static void
assert_threads (void)
{
  const char * const known[] = { "gmain", "pool-spawner", NULL };
  g_autoptr(GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  g_autofree char *own = g_strdup_printf ("%d", getpid ());
  const char *task;

  /* This one has a thread of its own. */
#ifdef __SANITIZE_THREAD__
  return;
#endif

  while ((task = g_dir_read_name (tasks)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", task, "comm", NULL);
      g_autofree char *name = NULL;

      if (g_str_equal (task, own))
        continue;
      g_assert_true (g_file_get_contents (path, &name, NULL, NULL));
      g_strchomp (name);
      if (!g_strv_contains (known, name))
        g_error ("There is a thread “%s”", name);
    }
}

static void
test_untouched (void)
{
  struct sigaction action = { .sa_handler = count_sigchld_cb, .sa_flags = SA_RESTART };
  struct sigaction before, after;
  g_auto(GStrv) environment = g_get_environ ();
  g_auto(GStrv) environment_after = NULL;
  g_autofree char *folder = g_get_current_dir ();
  g_autofree char *folder_after = NULL;
  sigset_t mask, mask_after;
  GPid own[5];

  g_assert_no_errno (sigaction (SIGCHLD, &action, &before));
  g_assert_no_errno (pthread_sigmask (SIG_SETMASK, NULL, &mask));
  for (gsize i = 0; i < G_N_ELEMENTS (own); i++)
    own[i] = spawn_own_child ();

  {
    g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
    g_autoptr(AForkProcess) executed = new_executed ();
    g_autoptr(GSocketConnection) connection = NULL;

    afork_process_setenv (template, "AFORK_UNUSED", "value");
    afork_process_setenv (template, "HOME", NULL);
    afork_process_chdir (template, "/");
    run_in_a_row (template, 20);
    assert_threads ();
    connection = run_process_ok (executed, "until_closed");
    finish_process (executed, connection);
  }

  /* All of them can still be reaped, and only by this program. */
  for (gsize i = 0; i < G_N_ELEMENTS (own); i++)
    {
      int wait_status;

      g_assert_cmpint (waitpid (own[i], &wait_status, WNOHANG), ==, own[i]);
      g_assert_cmpint (WEXITSTATUS (wait_status), ==, 7);
    }

  g_assert_no_errno (sigaction (SIGCHLD, &before, &after));
  g_assert_true (after.sa_handler == count_sigchld_cb);
  g_assert_true ((after.sa_flags & SA_RESTART) != 0);
  g_assert_no_errno (pthread_sigmask (SIG_SETMASK, NULL, &mask_after));
  for (int i = 1; i < NSIG; i++)
    g_assert_cmpint (sigismember (&mask, i), ==, sigismember (&mask_after, i));
  environment_after = g_get_environ ();
  g_assert_cmpstrv (environment, environment_after);
  folder_after = g_get_current_dir ();
  g_assert_cmpstr (folder, ==, folder_after);
}

int
main (int    argc,
      char **argv)
{
  static const char * const closed[] = { "0", "1", "2", "01", "02", "12", "012" };

  g_test_init (&argc, &argv, NULL);

  add_test ("/callers/many/in-a-row", test_many_in_a_row);
  add_test ("/callers/many/executed-in-a-row", test_many_executed_in_a_row);
  add_test ("/callers/many/at-once", test_many_at_once);
  add_test ("/callers/large", test_large);
  add_test ("/callers/threads", test_threads);
  g_test_add_func ("/callers/children/ignored", test_sigchld_ignored);
  g_test_add_func ("/callers/children/reaped-by-handler", test_sigchld_reaps_all);
  g_test_add_func ("/callers/children/reaped-by-thread", test_thread_reaps_all);
  for (gsize i = 0; i < G_N_ELEMENTS (closed); i++)
    {
      g_autofree char *path = g_strconcat ("/callers/closed/", closed[i], NULL);

      g_test_add_data_func (path, closed[i], test_closed);
    }
  add_test ("/callers/untouched", test_untouched);

  return g_test_run ();
}
