/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that exit with their caller. Here the caller is this program, executed again with the
 * name of a scene: it makes workers, which print their pids on its standard output. A process whose
 * parent exits becomes a child of the test, which sees all of them exit. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-util.h"

#define STRV(...) ((const char * const []) { __VA_ARGS__, NULL })

/* A user that is neither root nor in use. */
#define USER 64000

static const char *program;

/* The caller. */

/* The former standard output, which templates would inherit. */
static int numbers_fd;

static GSocketConnection *
run_lingering (AForkProcess *process,
               const char   *function)
{
  afork_process_require (process, "linger");
  afork_process_send_fd (process, numbers_fd);
  return run_process_ok (process, function);
}

static void
ping (GSocketConnection *connection)
{
  char byte = 'x';
  gsize n_read;
  GOutputStream *output = g_io_stream_get_output_stream (G_IO_STREAM (connection));

  g_assert_true (g_output_stream_write_all (output, &byte, 1, NULL, NULL, NULL));
  g_assert_true (g_input_stream_read_all (g_io_stream_get_input_stream (G_IO_STREAM (connection)),
                                          &byte, 1, &n_read, NULL, NULL));
  g_assert_cmpuint (n_read, ==, 1);
}

/* Makes this process an ordinary user that may become any other user, and the programs that it
 * executes, too. Root of a container is such a user in the eyes of the host. */
static void
become_user (void)
{
  const guint32 kept = 1U << CAP_SETUID | 1U << CAP_DAC_OVERRIDE;
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct caps[2] = { { kept, kept, kept }, { 0, 0, 0 } };

  g_assert_no_errno (prctl (PR_SET_KEEPCAPS, 1));
  g_assert_no_errno (setresuid (USER, USER, USER));
  g_assert_no_errno ((int) syscall (SYS_capset, &header, caps));
  g_assert_no_errno (prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0));
  g_assert_no_errno (prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0));
}

static AForkProcess *
make_scene (const char         *scene,
            GSocketConnection **connection)
{
  g_autoptr(AForkProcess) process = NULL;

  if (g_str_has_prefix (scene, "user-"))
    become_user ();
  if (g_str_equal (scene, "fresh"))
    process = afork_process_new_exec (NULL);
  else
    process = afork_process_new ();
  if (!g_str_equal (scene, "off"))
    afork_process_set_die_with_parent (process, TRUE);

  if (g_str_equal (scene, "forks"))
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (process);
      g_autoptr(AForkProcess) other = afork_process_fork (fork);
      g_autoptr(GSocketConnection) another G_GNUC_UNUSED = run_lingering (other, "linger_busy");

      /* If it has a fork, another fork becomes the worker. */
      *connection = run_lingering (process, "linger_busy");
    }
  else if (g_str_equal (scene, "user-forks"))
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (process);
      g_autoptr(AForkProcess) changed = afork_process_fork (process);
      g_autoptr(GSocketConnection) another G_GNUC_UNUSED = NULL;
      g_autoptr(GSocketConnection) of_changed G_GNUC_UNUSED = NULL;

      /* Two change their users themselves, the second of them when it has a fork; another is a fork
       * of one that has, and one was made before. */
      another = run_lingering (fork, "linger_idle");
      afork_process_require (changed, "linger");
      afork_process_call (changed, "linger_as_user", STRV ("64001"));
      of_changed = run_lingering (changed, "linger_idle");
      afork_process_require (process, "linger");
      afork_process_call (process, "linger_as_user", STRV ("64001"));
      g_set_object (&fork, NULL);
      fork = afork_process_fork (process);
      g_clear_object (&another);
      another = run_lingering (fork, "linger_idle");
      afork_process_call (process, "linger_as_user", STRV ("64002"));
      *connection = run_lingering (process, "linger_idle");
    }
  else if (g_str_equal (scene, "user-fresh"))
    {
      g_autoptr(AForkProcess) fresh = afork_process_new_exec (NULL);

      g_set_object (&process, fresh);
      afork_process_set_die_with_parent (process, TRUE);
      afork_process_require (process, "linger");
      afork_process_call (process, "linger_as_user", STRV ("64001"));
      *connection = run_lingering (process, "linger_idle");
    }
  else if (g_str_equal (scene, "sibling"))
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (process);
      g_autoptr(GSocketConnection) another G_GNUC_UNUSED = run_lingering (fork, "linger_idle");

      *connection = run_lingering (process, "linger_unwatch");
    }
  else if (g_str_equal (scene, "program"))
    {
      afork_process_map_fd (process, numbers_fd, 9);
      *connection = afork_process_exec (process,
                                        STRV ("sh", "-c", "echo $$ >&9; exec sleep 1000 9>&-"),
                                        NULL, NULL);
    }
  else if (g_str_equal (scene, "taken-over"))
    {
      int fd = afork_process_detach (process, NULL, NULL);

      g_object_unref (process);
      process = afork_process_new_from_fd (fd);
      afork_process_set_die_with_parent (process, TRUE);
      *connection = run_lingering (process, "linger_busy");
    }
  else if (g_str_equal (scene, "template-dies"))
    {
      AForkProcess *template = afork_runtime_get_template (afork_runtime_get_native ());

      *connection = run_lingering (process, "linger_echo");
      afork_process_force_exit (template);
      await_end (template);
      ping (*connection);
    }
  else
    {
      g_autofree char *function = g_strconcat ("linger_", scene, NULL);

      if (g_str_equal (scene, "off") || g_str_equal (scene, "fresh") || g_str_equal (scene, "exit"))
        *connection = run_lingering (process, "linger_idle");
      else
        *connection = run_lingering (process, function);
    }

  g_assert_nonnull (*connection);
  return g_steal_pointer (&process);
}

static int
play (const char *scene)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(AForkProcess) process = NULL;
  char byte;

  numbers_fd = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  process = make_scene (scene, &connection);
  close (numbers_fd);
  /* Until the test closes its end. */
  while (read (STDIN_FILENO, &byte, 1) > 0)
    ;
  return 0;
}

/* The test. */

/* A process that has printed its pid. It is watched by a pidfd or, if there is no pidfd_open(), as
 * under valgrind 3.19, by its pid, which stays its own until it is reaped here. */
typedef struct
{
  GPid pid;
  int  pidfd;                   /* or -1 */
} Worker;

typedef struct
{
  GPid    pid;
  int     input;
  GArray *workers;
} Scene;

static Worker
worker_open (GPid pid)
{
  Worker self = { pid, (int) syscall (SYS_pidfd_open, pid, 0) };

  if (self.pidfd < 0)
    g_assert_cmpint (errno, ==, ENOSYS);
  return self;
}

static void
worker_send_signal (const Worker *self,
                    int           signal)
{
  if (self->pidfd >= 0)
    g_assert_no_errno (syscall (SYS_pidfd_send_signal, self->pidfd, signal, NULL, 0));
  else
    g_assert_no_errno (kill (self->pid, signal));
}

static gboolean
worker_has_ended (const Worker *self)
{
  struct pollfd ended = { .fd = self->pidfd, .events = POLLIN };
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) self->pid);
  g_autofree char *text = NULL;

  if (self->pidfd >= 0)
    return poll (&ended, 1, 0) == 1;

  return !g_file_get_contents (path, &text, NULL, NULL) || strstr (text, ") Z ") != NULL;
}

static const Worker *
get_worker (Scene *self,
            guint  index)
{
  return &g_array_index (self->workers, Worker, index);
}

/* Plays a scene, and reads what its workers print. */
static void
scene_begin (Scene      *self,
             const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  GIOChannel *channel;
  int output;

  prctl (PR_SET_CHILD_SUBREAPER, 1);
  g_spawn_async_with_pipes (NULL, (char **) STRV (program, "--scene", name), NULL,
                            G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                            &self->pid, &self->input, &output, NULL, &error);
  g_assert_no_error (error);

  /* Each process that has it closes it when it has printed its pid. */
  channel = g_io_channel_unix_new (output);
  g_io_channel_set_close_on_unref (channel, TRUE);
  g_io_channel_read_to_end (channel, &text, NULL, &error);
  g_assert_no_error (error);
  g_io_channel_unref (channel);

  self->workers = g_array_new (FALSE, FALSE, sizeof (Worker));
  lines = g_strsplit (g_strstrip (text), "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      Worker worker = worker_open (atoi (lines[i]));

      g_array_append_val (self->workers, worker);
    }
}

/* Fails if one of the workers is not killed. */
static void
await_workers (Scene *self)
{
  enum { MOST_MS = 30 * 1000 };

  for (guint i = 0; i < self->workers->len; i++)
    {
      const Worker *worker = get_worker (self, i);
      struct pollfd ended = { .fd = worker->pidfd, .events = POLLIN };

      if (worker->pidfd >= 0 && poll (&ended, 1, MOST_MS) != 1)
        {
          worker_send_signal (worker, SIGKILL);
          g_error ("Process %d outlives its caller", (int) worker->pid);
        }
    }
}

/* Waits for the exit of the caller and of all processes that it has made, including templates. */
static void
scene_end (Scene *self)
{
  await_workers (self);
  while (waitpid (-1, NULL, 0) > 0 || errno == EINTR)
    ;
  g_assert_cmpint (errno, ==, ECHILD);
  prctl (PR_SET_CHILD_SUBREAPER, 0);

  for (guint i = 0; i < self->workers->len; i++)
    {
      const Worker *worker = get_worker (self, i);

      g_assert_true (worker_has_ended (worker));
      if (worker->pidfd >= 0)
        close (worker->pidfd);
    }
  g_array_unref (self->workers);
  close (self->input);
  g_spawn_close_pid (self->pid);
}

static void
test_killed (const char *name,
             guint       n_processes)
{
  Scene scene;

  scene_begin (&scene, name);
  g_assert_cmpuint (scene.workers->len, ==, n_processes);
  for (guint i = 0; i < n_processes; i++)
    g_assert_false (worker_has_ended (get_worker (&scene, i)));
  kill (scene.pid, SIGKILL);
  scene_end (&scene);
}

static void
test_killed_busy (void)
{
  test_killed ("busy", 1);
}

static void
test_killed_idle (void)
{
  test_killed ("idle", 1);
}

static void
test_killed_children (void)
{
  test_killed ("children", 3);
}

static void
test_killed_fresh (void)
{
  test_killed ("fresh", 1);
}

static void
test_killed_forks (void)
{
  test_killed ("forks", 2);
}

static void
test_killed_program (void)
{
  test_killed ("program", 1);
}

static void
test_killed_taken_over (void)
{
  test_killed ("taken-over", 1);
}

/* Processes that change their user. When the caller exits, the kernel checks the rights of the last
 * user that the library knows. */
static void
test_killed_user_forks (void)
{
  if (geteuid () != 0)
    g_test_skip ("Only root becomes another user");
  else
    test_killed ("user-forks", 4);
}

static void
test_killed_user_fresh (void)
{
  if (geteuid () != 0)
    g_test_skip ("Only root becomes another user");
  else
    test_killed ("user-fresh", 1);
}

/* A sibling closes its copies of the pipe. */
static void
test_killed_sibling (void)
{
  test_killed ("sibling", 2);
}

static void
test_killed_template_dies (void)
{
  test_killed ("template-dies", 1);
}

static void
test_exit (void)
{
  Scene scene;

  scene_begin (&scene, "exit");
  close (scene.input);
  scene.input = dup (STDIN_FILENO);
  scene_end (&scene);
}

/* Even a worker that is stopped exits. */
static void
test_killed_stopped (void)
{
  Scene scene;

  scene_begin (&scene, "idle");
  worker_send_signal (get_worker (&scene, 0), SIGSTOP);
  kill (scene.pid, SIGKILL);
  scene_end (&scene);
}

/* Without the property, the worker itself has to notice that its caller is gone, and this one does
 * not. */
static void
test_off (void)
{
  Scene scene;
  int status;

  scene_begin (&scene, "off");
  kill (scene.pid, SIGKILL);
  g_assert_cmpint (waitpid (scene.pid, &status, 0), ==, scene.pid);
  /* The template notices that, and it has a fork. */
  g_assert_false (worker_has_ended (get_worker (&scene, 0)));
  worker_send_signal (get_worker (&scene, 0), SIGKILL);
  scene_end (&scene);
}

static void
count_cb (GObject    *object,
          GParamSpec *pspec,
          gpointer    data)
{
  ++*(guint *) data;
}

static void
test_property (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) before = afork_process_fork (process);
  g_autoptr(AForkProcess) after = NULL;
  guint n_changes = 0;

  g_assert_false (afork_process_get_die_with_parent (process));
  g_signal_connect (process, "notify::die-with-parent", G_CALLBACK (count_cb), &n_changes);
  g_object_set (process, "die-with-parent", FALSE, NULL);
  g_assert_cmpuint (n_changes, ==, 0);
  g_object_set (process, "die-with-parent", TRUE, NULL);
  afork_process_set_die_with_parent (process, TRUE);
  g_assert_cmpuint (n_changes, ==, 1);

  after = afork_process_fork (process);
  g_assert_false (afork_process_get_die_with_parent (before));
  g_assert_true (afork_process_get_die_with_parent (after));
}

/* A worker outlives its object and its template, which also has the property. */
static void
test_dropped (void)
{
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  afork_process_set_die_with_parent (template, TRUE);
  afork_process_require (template, "echo");
  process = afork_process_fork (template);
  connection = run_process_ok (process, "echo");
  g_clear_object (&process);
  ping (connection);
  afork_process_force_exit (template);
  await_end (template);
  ping (connection);
}

/* A fork that another caller has made of a template that it took over lives on when the first
 * caller is killed. */
static void
test_taken_over (void)
{
  g_autoptr(AForkProcess) given = afork_process_new ();
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  if (!can_signal_by_pidfd ())
    {
      g_test_skip ("What was taken over cannot be signalled by its pidfd here");
      return;
    }

  afork_process_set_die_with_parent (given, TRUE);
  fd = afork_process_detach (given, NULL, &error);
  g_assert_no_error (error);
  template = afork_process_new_from_fd (fd);
  afork_process_require (template, "echo");
  process = afork_process_fork (template);
  connection = run_process_ok (process, "echo");
  ping (connection);

  afork_process_force_exit (template);
  await_end (template);
  await_end (given);
  ping (connection);
  finish_process (process, connection);
}

static guint
count_fds (void)
{
  g_autoptr(GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n_fds = 0;

  g_assert_nonnull (folder);
  while (g_dir_read_name (folder) != NULL)
    n_fds++;
  return n_fds;
}

/* Children of workers that have exited live on, and do not cost the caller one descriptor each. */
static void
test_children_left (void)
{
  enum { N_WORKERS = 5 };
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  g_autoptr(GError) error = NULL;
  GIOChannel *channel;
  guint n_before;
  guint n_after;
  int fds[2];
  g_autoptr(AForkProcess) first = afork_process_new ();
  g_autoptr(GSocketConnection) echo = NULL;

  /* The template must stay. */
  afork_process_require (first, "echo");
  echo = run_process_ok (first, "echo");
  finish_process (first, echo);

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  prctl (PR_SET_CHILD_SUBREAPER, 1);
  numbers_fd = fds[1];
  n_before = count_fds ();
  for (guint i = 0; i < N_WORKERS; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();
      g_autoptr(GSocketConnection) connection = NULL;

      afork_process_set_die_with_parent (process, TRUE);
      connection = run_lingering (process, "linger_behind");
      await_end (process);
    }
  n_after = count_fds ();
  close (fds[1]);

  channel = g_io_channel_unix_new (fds[0]);
  g_io_channel_set_close_on_unref (channel, TRUE);
  g_io_channel_read_to_end (channel, &text, NULL, &error);
  g_assert_no_error (error);
  g_io_channel_unref (channel);
  lines = g_strsplit (g_strstrip (text), "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, N_WORKERS);
  for (guint i = 0; i < N_WORKERS; i++)
    {
      GPid child = atoi (lines[i]);

      g_assert_no_errno (kill (child, SIGKILL));
      while (waitpid (child, NULL, 0) < 0)
        g_thread_yield ();
    }
  prctl (PR_SET_CHILD_SUBREAPER, 0);
  g_assert_cmpuint (n_after, <=, n_before + 1);
  while (count_fds () > n_before - 2)
    g_main_context_iteration (NULL, TRUE);
}

/* If the exit of a process leaves a process group orphaned, and a member of the group is stopped,
 * the kernel sends SIGHUP to the group. A process that lives on must not be in such a group. */

static char
get_kernel_state (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return strrchr (text, ')')[2];
}

static void
stop (AForkProcess *process)
{
  afork_process_send_signal (process, SIGSTOP);
  while (get_kernel_state (afork_process_get_pid (process)) != 'T')
    g_thread_yield ();
}

/* A worker that is stopped, and whose template exits. */
static void
test_stopped_worker (void)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  if (!can_signal_by_pidfd ())
    {
      g_test_skip ("What has lost its template cannot be signalled by its pidfd here");
      return;
    }

  afork_process_require (template, "echo");
  process = afork_process_fork (template);
  afork_process_set_die_with_parent (process, TRUE);
  connection = run_process_ok (process, "echo");
  ping (connection);

  stop (process);
  afork_process_force_exit (template);
  await_end (template);
  afork_process_send_signal (process, SIGCONT);
  ping (connection);
}

/* A program with a session of its own, like a service, and a fork of a template that was made
 * before the property was set: the fork is still in the process group of the program. */
static void
test_stopped_caller (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) before = NULL;
  g_autoptr(AForkProcess) after = NULL;
  g_autoptr(AForkProcess) stopped = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }

  g_assert_cmpint (setsid (), ==, getpid ());
  template = afork_process_new_exec (NULL);
  before = afork_process_fork (template);
  afork_process_set_die_with_parent (template, TRUE);
  after = afork_process_fork (template);
  await_state (after, AFORK_PROCESS_STATE_PREPARING);

  stopped = afork_process_new_exec (NULL);
  afork_process_require (stopped, "echo");
  connection = run_process_ok (stopped, "echo");
  stop (stopped);
  afork_process_force_exit (template);
  await_end (template);
  afork_process_send_signal (stopped, SIGCONT);
  ping (connection);
}

/* Executes a program that opens a terminal. Returns its controlling terminal then, or 0. */
static int
get_terminal (AForkProcess *process,
              const char   *path)
{
  const char *script = "exec 5<> \"$0\"; echo $(cut -d ' ' -f 7 /proc/$$/stat)";
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;

  connection = afork_process_exec (process, STRV ("sh", "-c", script, path), NULL, &error);
  g_assert_no_error (error);
  text = read_to_end (connection, NULL);
  g_assert_cmpstr (text, !=, "");
  await_end (process);
  return atoi (text);
}

/* A session leader gets the first terminal that it opens as its controlling terminal. Forks of a
 * process with the property are not session leaders. */
static void
test_terminal (void)
{
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(AForkProcess) process = NULL;
  int terminal = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  g_autofree char *path = NULL;

  if (terminal < 0)
    {
      g_test_skip ("There are no pseudo-terminals");
      return;
    }

  g_assert_no_errno (grantpt (terminal));
  g_assert_no_errno (unlockpt (terminal));
  path = g_strdup (ptsname (terminal));
  afork_process_set_die_with_parent (template, TRUE);
  process = afork_process_fork (template);
  g_assert_cmpint (get_terminal (process, path), ==, 0);
  g_assert_cmpint (get_terminal (template, path), !=, 0);
  close (terminal);
}

/* A worker that dies with its parent, or whose template does, made in a thread that has ended. */
static gpointer
make_in_thread (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  GSocketConnection *connection;

  g_main_context_push_thread_default (context);
  process = afork_process_new ();
  if (GPOINTER_TO_INT (data) == 1)
    {
      g_autoptr(AForkProcess) fork = NULL;

      afork_process_set_die_with_parent (process, TRUE);
      fork = afork_process_fork (process);
      g_set_object (&process, fork);
    }
  afork_process_set_die_with_parent (process, TRUE);
  afork_process_require (process, "echo");
  connection = run_process_ok (process, "echo");
  g_clear_object (&process);
  g_main_context_pop_thread_default (context);
  return connection;
}

static void
test_context_gone (void)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(GThread) thread = g_thread_new ("maker", make_in_thread, GINT_TO_POINTER (i));
      g_autoptr(GSocketConnection) connection = g_thread_join (g_steal_pointer (&thread));

      while (g_main_context_iteration (NULL, FALSE))
        ;
      ping (connection);
    }
}

/* A template that replaces another one has the property as well. */
static void
test_template_replaced (void)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  g_autoptr(AForkProcess) process = NULL;

  afork_process_set_die_with_parent (template, TRUE);
  afork_process_force_exit (template);
  await_end (template);
  process = afork_process_new ();
  g_assert_true (afork_process_get_die_with_parent (process));
}

static void
test_relayed (void)
{
  g_auto(GStrv) server = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("relayed", STRV (server[0]));
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_process_set_die_with_parent (process, TRUE);
  expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "relayed");
}

int
main (int    argc,
      char **argv)
{
  if (argc == 3 && strcmp (argv[1], "--scene") == 0)
    return play (argv[2]);

  g_test_init (&argc, &argv, NULL);
  program = argv[0];

#define ADD(path, function) \
  g_test_add_data_func ("/die-with-parent/" path, (gconstpointer) function, run_with_census)

  ADD ("killed/busy", test_killed_busy);
  ADD ("killed/idle", test_killed_idle);
  ADD ("killed/stopped", test_killed_stopped);
  ADD ("killed/children", test_killed_children);
  ADD ("killed/fresh", test_killed_fresh);
  ADD ("killed/forks", test_killed_forks);
  ADD ("killed/program", test_killed_program);
  ADD ("killed/taken-over", test_killed_taken_over);
  ADD ("killed/template-dies", test_killed_template_dies);
  ADD ("killed/user-forks", test_killed_user_forks);
  ADD ("killed/user-fresh", test_killed_user_fresh);
  ADD ("killed/sibling", test_killed_sibling);
  ADD ("children-left", test_children_left);
  ADD ("exit", test_exit);
  ADD ("off", test_off);
  ADD ("property", test_property);
  ADD ("dropped", test_dropped);
  ADD ("taken-over", test_taken_over);
  ADD ("stopped/worker", test_stopped_worker);
  ADD ("stopped/caller", test_stopped_caller);
  ADD ("terminal", test_terminal);
  ADD ("context-gone", test_context_gone);
  ADD ("template-replaced", test_template_replaced);
  ADD ("relayed", test_relayed);

  return g_test_run ();
}
