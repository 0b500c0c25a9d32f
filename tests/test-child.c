/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker finds around it. The module looks, and reports as a key file. */

#include "config.h"

#include "test-util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many characters of a name the kernel keeps. */
enum { MAX_NAME = 15 };

typedef struct
{
  Census        census;
  AForkProcess *template;       /* it has the module */
} Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  census_begin (&fixture->census);
  fixture->template = afork_process_new ();
  afork_process_require (fixture->template, "inspect");
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  g_clear_object (&fixture->template);
  census_end (&fixture->census);
}

/* A report, and the process that made it, which ends with it. */
typedef struct
{
  AForkProcess      *process;
  GSocketConnection *connection;
  GKeyFile          *report;
} Inspection;

static void
inspection_begin (Inspection   *self,
                  AForkProcess *process)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize size;

  self->process = g_object_ref (process);
  self->connection = run_process_ok (process, "inspect");
  self->report = g_key_file_new ();
  text = read_to_end (self->connection, &size);
  g_key_file_load_from_data (self->report, text, size, G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
}

static void
inspection_end (Inspection *self)
{
  finish_process (self->process, self->connection);
  g_object_unref (self->process);
  g_object_unref (self->connection);
  g_key_file_unref (self->report);
}

static int
get_integer (Inspection *self,
             const char *group,
             const char *key)
{
  g_autoptr(GError) error = NULL;
  int value = g_key_file_get_integer (self->report, group, key, &error);

  g_assert_no_error (error);
  return value;
}

static void
assert_value (Inspection *self,
              const char *group,
              const char *key,
              const char *expected)
{
  g_autofree char *value = g_key_file_get_value (self->report, group, key, NULL);

  g_assert_cmpstr (value, ==, expected);
}

/* The file at FD in the worker, 0 if there is none; and whether it is close-on-exec there. */
static guint64
get_file (Inspection *self,
          int         fd,
          gboolean   *close_on_exec)
{
  g_autofree char *key = g_strdup_printf ("%d", fd);
  gsize n_strings = 0;
  g_auto(GStrv) strings = NULL;

  strings = g_key_file_get_string_list (self->report, "descriptors", key, &n_strings, NULL);
  if (strings == NULL)
    return 0;

  g_assert_cmpuint (n_strings, ==, 2);
  if (close_on_exec != NULL)
    *close_on_exec = atoi (strings[1]) != 0;
  return g_ascii_strtoull (strings[0], NULL, 10);
}

static guint64
get_inode (int fd)
{
  struct stat status;

  g_assert_no_errno (fstat (fd, &status));
  return status.st_ino;
}

/* Item INDEX is the file that is open here as FD. */
static void
assert_item (Inspection *self,
             guint       index,
             int         fd)
{
  g_autofree char *key = g_strdup_printf ("%u", index);
  gboolean close_on_exec;

  g_assert_cmpuint (get_file (self, get_integer (self, "items", key), &close_on_exec), ==,
                    get_inode (fd));
  g_assert_true (close_on_exec);
}

/* There are 0, 1 and 2, the socket, the items, N_OTHERS, and nothing else. */
static void
assert_descriptors (Inspection *self,
                    guint       n_others)
{
  g_auto(GStrv) descriptors = NULL;
  g_auto(GStrv) items = NULL;
  g_autofree char *all = NULL;
  gboolean close_on_exec;
  gsize n_descriptors, n_items;

  descriptors = g_key_file_get_keys (self->report, "descriptors", &n_descriptors, NULL);
  items = g_key_file_get_keys (self->report, "items", &n_items, NULL);
  all = g_strjoinv (" ", descriptors);
  g_test_message ("Descriptors %s, the socket being %d", all,
                  get_integer (self, "process", "socket"));

  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    {
      g_assert_cmpuint (get_file (self, fd, &close_on_exec), !=, 0);
      g_assert_false (close_on_exec);
    }
  g_assert_cmpuint (get_file (self, get_integer (self, "process", "socket"), &close_on_exec),
                    !=, 0);
  g_assert_true (close_on_exec);
  g_assert_cmpuint (n_descriptors, ==, 4 + n_items + n_others);
}

/* Inspects a process that has nothing which it was not sent. */
static void
assert_clean (AForkProcess *process)
{
  Inspection inspection;

  inspection_begin (&inspection, process);
  assert_descriptors (&inspection, 0);
  inspection_end (&inspection);
}

static int
open_file (void)
{
  int fd = memfd_create ("child", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  return fd;
}

/* What the kernel has of process PID in a file of its folder, up to the first NUL. */
static char *
read_proc (GPid        pid,
           const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int) pid, name);
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

/* Descriptors. */

static void
test_descriptors_new (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_require (process, "inspect");
  assert_clean (process);
}

static void
test_descriptors_new_exec (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  afork_process_require (process, "inspect");
  assert_clean (process);
}

static void
test_descriptors_fork_of_fork (Fixture       *fixture,
                               gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork_of_fork = afork_process_fork (fork);
  g_autoptr(AForkProcess) last = afork_process_fork (fork_of_fork);

  assert_clean (last);
  assert_clean (fork_of_fork);
  assert_clean (fork);
}

/* A template has a descriptor for each fork, and an epoll. None of that is a fork's business, nor
 * the worker's if the template itself is run. */
static void
test_descriptors_siblings (Fixture       *fixture,
                           gconstpointer  data)
{
  Inspection siblings[20];

  for (gsize i = 0; i < G_N_ELEMENTS (siblings); i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);

      inspection_begin (&siblings[i], process);
      assert_descriptors (&siblings[i], 0);
    }
  assert_clean (fixture->template);
  for (gsize i = 0; i < G_N_ELEMENTS (siblings); i++)
    inspection_end (&siblings[i]);
}

/* The same, when all forks have ended. */
static void
test_descriptors_former_template (Fixture       *fixture,
                                  gconstpointer  data)
{
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);

      assert_clean (process);
    }
  assert_clean (fixture->template);
}

/* What the caller has open is its own affair, even where it is not close-on-exec. */
static void
test_descriptors_of_caller (Fixture       *fixture,
                            gconstpointer  data)
{
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) forked = NULL;
  int fds[30];

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = memfd_create ("inheritable", 0);
      g_assert_no_errno (fds[i]);
    }

  executed = afork_process_new_exec (NULL);
  afork_process_require (executed, "inspect");
  forked = afork_process_fork (executed);
  assert_clean (forked);
  assert_clean (executed);
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static void
test_descriptors_sent (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr(AForkProcess) process = NULL;
  Inspection inspection;
  int fds[3];

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = open_file ();
  afork_process_send_fd (fixture->template, fds[0]);
  process = afork_process_fork (fixture->template);
  afork_process_send_fd (process, fds[1]);
  afork_process_send_fd (process, fds[2]);
  afork_process_send_fd (process, STDERR_FILENO);

  inspection_begin (&inspection, process);
  assert_descriptors (&inspection, 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    assert_item (&inspection, i, fds[i]);
  assert_item (&inspection, 3, STDERR_FILENO);
  inspection_end (&inspection);

  /* The template has but the one that it was sent. */
  inspection_begin (&inspection, fixture->template);
  assert_descriptors (&inspection, 0);
  assert_item (&inspection, 0, fds[0]);
  inspection_end (&inspection);

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static void
test_descriptors_standard (Fixture       *fixture,
                           gconstpointer  data)
{
  Inspection inspection;

  inspection_begin (&inspection, fixture->template);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    g_assert_cmpuint (get_file (&inspection, fd, NULL), ==, get_inode (fd));
  inspection_end (&inspection);
}

/* Sockets. */

static void
test_socket (Fixture       *fixture,
             gconstpointer  data)
{
  Inspection inspection;
  GSocket *socket;
  int fd;

  inspection_begin (&inspection, fixture->template);
  socket = g_socket_connection_get_socket (inspection.connection);
  fd = g_socket_get_fd (socket);
  g_assert_cmpint (g_socket_get_socket_type (socket), ==, G_SOCKET_TYPE_STREAM);
  g_assert_cmpint (g_socket_get_family (socket), ==, G_SOCKET_FAMILY_UNIX);
  g_assert_true (g_socket_connection_is_connected (inspection.connection));

  g_assert_true ((fcntl (fd, F_GETFL) & O_NONBLOCK) != 0);
  g_assert_true ((fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0);
  g_assert_cmpint (get_integer (&inspection, "process", "nonblocking"), ==, 0);
  inspection_end (&inspection);
}

/* Signals. */

enum { N_SIGNALS = 64 };

/* The C library keeps two signals for itself, and has them ignored in all that it spawns. */
static void
assert_no_signals (Inspection *self,
                   const char *key)
{
  const guint64 internal = G_GUINT64_CONSTANT (3) << 31;
  g_autofree char *value = g_key_file_get_value (self->report, "status", key, NULL);
  guint64 signals;

  g_assert_true (g_ascii_string_to_unsigned (value, 16, 0, G_MAXUINT64, &signals, NULL));
  g_assert_cmphex (signals & ~internal, ==, 0);
}

static void
assert_signals (AForkProcess *process)
{
  Inspection inspection;

  inspection_begin (&inspection, process);
  assert_no_signals (&inspection, "SigBlk");
  assert_no_signals (&inspection, "SigIgn");
#ifndef __SANITIZE_ADDRESS__            /* which has handlers of its own in the server */
  assert_no_signals (&inspection, "SigCgt");
#endif
  inspection_end (&inspection);
}

static void
handler_cb (int signal)
{
}

/* The caller blocks all that can be blocked, ignores a half, and has handlers for the rest. */
static void
test_signals (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) forked = NULL;
  struct sigaction saved[N_SIGNALS + 1];
  sigset_t all, mask;

  sigfillset (&all);
  g_assert_no_errno (pthread_sigmask (SIG_SETMASK, &all, &mask));
  for (int i = 1; i <= N_SIGNALS; i++)
    {
      struct sigaction action = { .sa_handler = i % 2 == 0 ? SIG_IGN : handler_cb };

      sigaction (i, NULL, &saved[i]);
      if (i != SIGCHLD)
        sigaction (i, &action, NULL);
    }

  executed = afork_process_new_exec (NULL);
  afork_process_require (executed, "inspect");
  forked = afork_process_fork (executed);
  assert_signals (forked);
  assert_signals (executed);

  for (int i = 1; i <= N_SIGNALS; i++)
    sigaction (i, &saved[i], NULL);
  g_assert_no_errno (pthread_sigmask (SIG_SETMASK, &mask, NULL));
}

/* Titles. */

static void
assert_title (GPid        pid,
              const char *title)
{
  g_autofree char *expected = g_strconcat ("afork: ", title, NULL);
  g_autofree char *expected_name = g_strndup (expected, MAX_NAME);
  g_autofree char *line = read_proc (pid, "cmdline");
  g_autofree char *name = g_strchomp (read_proc (pid, "comm"));

  g_assert_cmpstr (line, ==, expected);
  g_assert_cmpstr (name, ==, expected_name);
}

static void
test_title_usual (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  Inspection inspection;

  g_assert_cmpstr (afork_process_get_title (process), ==, "template native");
  inspection_begin (&inspection, process);
  g_assert_cmpstr (afork_process_get_title (process), ==, "inspect");
  assert_title (afork_process_get_pid (process), "inspect");

  /* Of the same templates the one is a fork. What is heard of it comes by another socket than what
   * its own fork answered, and may be seen later. */
  await_state (fixture->template, AFORK_PROCESS_STATE_PREPARING);
  assert_title (afork_process_get_pid (fixture->template), "template native");
  assert_title (afork_process_get_pid (afork_runtime_get_template (afork_runtime_get_native ())),
                "template native");
  inspection_end (&inspection);
}

static void
test_title_set (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) other = NULL;
  Inspection inspection;

  afork_process_set_title (fixture->template, "thumbnails of Gr\303\274\303\237en");
  fork = afork_process_fork (fixture->template);
  other = afork_process_fork (fixture->template);
  g_object_set (other, "title", "of its own", NULL);
  g_assert_cmpstr (afork_process_get_title (fork), ==, "thumbnails of Gr\303\274\303\237en");

  inspection_begin (&inspection, fork);
  assert_title (afork_process_get_pid (fork), "thumbnails of Gr\303\274\303\237en");
  inspection_end (&inspection);

  inspection_begin (&inspection, other);
  assert_title (afork_process_get_pid (other), "of its own");
  assert_title (afork_process_get_pid (fixture->template), "thumbnails of Gr\303\274\303\237en");
  inspection_end (&inspection);
}

static void
notify_cb (GObject    *object,
           GParamSpec *pspec,
           gpointer    data)
{
  guint *n_notified = data;

  *n_notified += 1;
}

static void
test_title_notify (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  guint n_of_template = 0, n_of_fork = 0;

  g_signal_connect (fixture->template, "notify::title", G_CALLBACK (notify_cb), &n_of_template);
  g_signal_connect (fork, "notify::title", G_CALLBACK (notify_cb), &n_of_fork);
  afork_process_set_title (fixture->template, "once");
  afork_process_set_title (fixture->template, "once");
  g_assert_cmpuint (n_of_template, ==, 1);
  g_assert_cmpuint (n_of_fork, ==, 0);
  assert_clean (fork);
  assert_clean (fixture->template);
  g_assert_cmpuint (n_of_template, ==, 1);
  g_assert_cmpuint (n_of_fork, ==, 1);
}

/* A title that is too long is cut: where arguments and environment end, in /proc. */
static void
test_title_long (Fixture       *fixture,
                 gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) process = NULL;
  g_auto(GStrv) argv = afork_runtime_dup_argv (runtime);
  g_autofree char *title = g_strnfill (100000, 'x');
  g_autofree char *expected = NULL;
  g_autofree char *line = NULL;
  Inspection inspection;
  gsize room;

  afork_runtime_set_environ (runtime, (const char * const []) { "A=b", "LONGER=value", NULL });
  process = afork_process_new_exec (runtime);
  afork_runtime_set_environ (runtime, NULL);
  room = strlen (argv[0]) + 1 + strlen ("--socket=3") + 1 + strlen ("A=b") + 1
    + strlen ("LONGER=value") + 1;

  afork_process_setenv (process, "AFORK_MODULE_PATH", g_getenv ("AFORK_MODULE_PATH"));
  afork_process_require (process, "inspect");
  afork_process_set_title (process, title);
  afork_process_send_arg (process, "A");
  afork_process_send_arg (process, "LONGER");
  inspection_begin (&inspection, process);
  expected = g_strconcat ("afork: ", title, NULL);
  expected[room - 1] = '\0';
  line = read_proc (afork_process_get_pid (process), "cmdline");
  g_assert_cmpstr (line, ==, expected);

  /* The room was that of the environment, which must not suffer. */
  assert_value (&inspection, "environment", "A", "b");
  assert_value (&inspection, "environment", "LONGER", "value");
  inspection_end (&inspection);
}

/* Environment and folder. */

static void
test_environment (Fixture       *fixture,
                  gconstpointer  data)
{
  static const char * const names[] = { "AFORK_A", "AFORK_B", "AFORK_C", "AFORK_D" };
  g_autoptr(AForkProcess) fork = NULL;
  Inspection inspection;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    afork_process_send_arg (fixture->template, names[i]);
  afork_process_setenv (fixture->template, "AFORK_A", "first");
  afork_process_setenv (fixture->template, "AFORK_A", "second");
  afork_process_setenv (fixture->template, "AFORK_B", "unset in time");
  afork_process_setenv (fixture->template, "AFORK_C", "");
  afork_process_setenv (fixture->template, "AFORK_B", NULL);
  afork_process_setenv (fixture->template, "AFORK_NEVER_SET", NULL);

  fork = afork_process_fork (fixture->template);
  afork_process_setenv (fork, "AFORK_A", NULL);
  afork_process_setenv (fork, "AFORK_A", "of the fork = only");
  afork_process_setenv (fork, "AFORK_C", NULL);
  afork_process_setenv (fixture->template, "AFORK_D", "too late for the fork");

  inspection_begin (&inspection, fork);
  assert_value (&inspection, "environment", "AFORK_A", "of the fork = only");
  assert_value (&inspection, "environment", "AFORK_B", NULL);
  assert_value (&inspection, "environment", "AFORK_C", NULL);
  assert_value (&inspection, "environment", "AFORK_D", NULL);
  inspection_end (&inspection);

  inspection_begin (&inspection, fixture->template);
  assert_value (&inspection, "environment", "AFORK_A", "second");
  assert_value (&inspection, "environment", "AFORK_B", NULL);
  assert_value (&inspection, "environment", "AFORK_C", "");
  assert_value (&inspection, "environment", "AFORK_D", "too late for the fork");
  inspection_end (&inspection);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_null (g_getenv (names[i]));
}

/* A variable that was set before must count for what comes after. */
static void
test_environment_in_order (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_setenv (process, "AFORK_MODULE_PATH", "/nonexistent");
  afork_process_setenv (process, "AFORK_MODULE_PATH", g_getenv ("AFORK_MODULE_PATH"));
  afork_process_require (process, "inspect");
  afork_process_setenv (process, "AFORK_MODULE_PATH", "/nonexistent");
  assert_clean (process);
}

static void
assert_folder (AForkProcess *process,
               const char   *folder)
{
  Inspection inspection;

  inspection_begin (&inspection, process);
  assert_value (&inspection, "process", "folder", folder);
  inspection_end (&inspection);
}

static void
test_folder (Fixture       *fixture,
             gconstpointer  data)
{
  g_autofree char *here = g_get_current_dir ();
  g_autofree char *created = g_dir_make_tmp ("afork-XXXXXX", NULL);
  g_autofree char *folder = realpath (created, NULL);
  g_autofree char *inner = g_build_filename (folder, "inner", NULL);
  g_autoptr(AForkProcess) before = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork = NULL;
  g_autofree char *still_here = NULL;

  g_assert_no_errno (g_mkdir_with_parents (inner, 0700));
  afork_process_chdir (fixture->template, folder);
  fork = afork_process_fork (fixture->template);
  afork_process_chdir (fork, "inner");

  assert_folder (before, here);
  assert_folder (fork, inner);
  assert_folder (fixture->template, folder);
  still_here = g_get_current_dir ();
  g_assert_cmpstr (still_here, ==, here);
  rmdir (inner);
  rmdir (folder);
}

static void
test_folder_missing (Fixture       *fixture,
                     gconstpointer  data)
{
  afork_process_chdir (fixture->template, "/nonexistent/folder");
  expect_run_error (fixture->template, "inspect", AFORK_ERROR, AFORK_ERROR_FAILED,
                    "/nonexistent/folder");
}

/* Mapped descriptors. */

static void
assert_mapped (Inspection *self,
               int         target,
               int         fd)
{
  gboolean close_on_exec;

  g_assert_cmpuint (get_file (self, target, &close_on_exec), ==, get_inode (fd));
  g_assert_false (close_on_exec);
}

static void
test_map_standard (Fixture       *fixture,
                   gconstpointer  data)
{
  Inspection inspection;
  int fds[3];

  for (int i = 0; i < 3; i++)
    {
      fds[i] = open_file ();
      afork_process_map_fd (fixture->template, fds[i], i);
    }
  inspection_begin (&inspection, fixture->template);
  assert_descriptors (&inspection, 0);
  for (int i = 0; i < 3; i++)
    assert_mapped (&inspection, i, fds[i]);
  inspection_end (&inspection);
  for (int i = 0; i < 3; i++)
    close (fds[i]);
}

enum { N_TARGETS = 30 };

/* Each number in turn becomes the target, in any order, while forks live: the server's socket, its
 * epoll, the descriptors of forks and the items must all give way, and still work after it. */
static void
test_map_everywhere (Fixture       *fixture,
                     gconstpointer  data)
{
  Inspection inspections[N_TARGETS];
  Inspection last;
  int fds[N_TARGETS], targets[N_TARGETS];
  int items[4];

  for (int i = 0; i < (int) G_N_ELEMENTS (items); i++)
    {
      items[i] = open_file ();
      afork_process_send_fd (fixture->template, items[i]);
    }
  for (int i = 0; i < N_TARGETS; i++)
    {
      int other = g_test_rand_int_range (0, i + 1);

      fds[i] = open_file ();
      targets[i] = targets[other];
      targets[other] = i;
    }

  for (int i = 0; i < N_TARGETS; i++)
    {
      g_autoptr(AForkProcess) process = NULL;
      guint n_others = 0;

      afork_process_map_fd (fixture->template, fds[i], targets[i]);
      process = afork_process_fork (fixture->template);
      inspection_begin (&inspections[i], process);
      for (int j = 0; j <= i; j++)
        {
          assert_mapped (&inspections[i], targets[j], fds[j]);
          n_others += targets[j] > STDERR_FILENO;
        }
      for (guint j = 0; j < G_N_ELEMENTS (items); j++)
        assert_item (&inspections[i], j, items[j]);
      assert_descriptors (&inspections[i], n_others);

      /* Some of the forks end meanwhile. */
      if (i % 3 == 2)
        inspection_end (&inspections[i - 1]);
    }

  inspection_begin (&last, fixture->template);
  for (int i = 0; i < N_TARGETS; i++)
    {
      assert_mapped (&last, targets[i], fds[i]);
      if (i % 3 != 1 || i == N_TARGETS - 1)
        inspection_end (&inspections[i]);
    }
  inspection_end (&last);

  for (int i = 0; i < N_TARGETS; i++)
    close (fds[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (items); i++)
    close (items[i]);
}

/* The same number twice, and numbers that are far apart. */
static void
test_map_again (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = NULL;
  Inspection inspection;
  int first = open_file ();
  int second = open_file ();

  afork_process_map_fd (fixture->template, first, 100);
  afork_process_map_fd (fixture->template, first, 7);
  fork = afork_process_fork (fixture->template);
  afork_process_map_fd (fixture->template, second, 100);

  inspection_begin (&inspection, fork);
  assert_mapped (&inspection, 100, first);
  assert_mapped (&inspection, 7, first);
  assert_descriptors (&inspection, 2);
  inspection_end (&inspection);

  inspection_begin (&inspection, fixture->template);
  assert_mapped (&inspection, 100, second);
  assert_mapped (&inspection, 7, first);
  assert_descriptors (&inspection, 2);
  inspection_end (&inspection);
  close (first);
  close (second);
}

static void
test_map_too_high (Fixture       *fixture,
                   gconstpointer  data)
{
  afork_process_map_fd (fixture->template, STDIN_FILENO, G_MAXINT);
  expect_run_error (fixture->template, "inspect", AFORK_ERROR, AFORK_ERROR_FAILED, "2147483647");
}

/* A program that the worker executes has what was mapped, and nothing that was sent. */
static void
test_map_execute (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(GSocketConnection) connection = NULL;
  int output = open_file ();
  char text[256] = "";

  afork_process_send_arg (fixture->template, "sh");
  afork_process_send_arg (fixture->template, "-c");
  afork_process_send_arg (fixture->template, "echo here >&9; cd /proc/self/fd; echo *; exit 5");
  afork_process_send_fd (fixture->template, output);
  afork_process_map_fd (fixture->template, output, STDOUT_FILENO);
  afork_process_map_fd (fixture->template, output, 9);
  connection = run_process_ok (fixture->template, "execute");
  await_end (fixture->template);
  assert_exit_status (fixture->template, 5);

  /* The shell looks at its folder through descriptor 3. */
  g_assert_cmpint (pread (output, text, sizeof text - 1, 0), >, 0);
  g_assert_cmpstr (text, ==, "here\n0 1 2 3 9\n");
  close (output);
}

/* Modules and their functions. */

static void
assert_answer (AForkProcess *process,
               const char   *function,
               const char   *expected)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) connection = run_process_ok (fork, function);
  g_autofree char *answer = read_to_end (connection, NULL);

  g_assert_cmpstr (answer, ==, expected);
  finish_process (fork, connection);
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
  assert_answer (process, "who", "a 0");
  assert_answer (process, function, "a 0");
}

/* Folders where the module `chosen` is who-a or who-b. */
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
  assert_answer (by_variable, "who", "b 0");

  /* The property comes first, the variable second. */
  afork_runtime_set_module_path (runtime, (const char * const []) { "", folder_a, NULL });
  by_property = afork_process_new ();
  afork_process_setenv (by_property, "AFORK_MODULE_PATH", both);
  afork_process_require (by_property, "chosen");
  assert_answer (by_property, "who", "a 0");
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
  assert_answer (process, "who", "a 0");
  afork_process_require (process, "who-b");
  assert_answer (process, "who", "b 0");
  assert_answer (process, "only_a", "only a");
  assert_answer (process, "who-a:who", "a 0");
  assert_answer (process, "who-b:who", "b 0");

  /* Each module is loaded once, and its variables are there once. */
  afork_process_call (process, "who-a:called", NULL);
  afork_process_require (process, "who-a");
  assert_answer (process, "who", "a 1");
  assert_answer (process, "who-b:who", "b 0");
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
  assert_answer (process, "who", "b 0");
}

/* The rest. */

static void
test_threads (Fixture       *fixture,
              gconstpointer  data)
{
  Inspection inspection;

  inspection_begin (&inspection, fixture->template);
  assert_value (&inspection, "status", "Threads", "1");
  inspection_end (&inspection);
}

/* Who is whose parent. */
static void
test_parents (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = NULL;
  Inspection of_executed, of_fork;

  afork_process_require (executed, "inspect");
  fork = afork_process_fork (executed);
  inspection_begin (&of_fork, fork);
  g_assert_cmpint (get_integer (&of_fork, "process", "parent"), ==,
                   afork_process_get_pid (executed));
  inspection_end (&of_fork);

  inspection_begin (&of_executed, executed);
  g_assert_cmpint (get_integer (&of_executed, "process", "parent"), ==, getpid ());
  inspection_end (&of_executed);
}

/* What a template has printed, and what was left in the buffer, comes out once. */
static void
test_output_once (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(GSocketConnection) connection = NULL;
  int output = open_file ();
  char text[256] = "";

  afork_process_map_fd (fixture->template, output, STDOUT_FILENO);
  afork_process_call (fixture->template, "print", (const char * const []) { "one ", "two ", NULL });
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
      g_autoptr(AForkProcess) fork_of_fork = NULL;

      afork_process_call (fork, "print", (const char * const []) { "fork ", NULL });
      fork_of_fork = afork_process_fork (fork);
      assert_clean (fork_of_fork);
      assert_clean (fork);
    }

  afork_process_send_arg (fixture->template, "at last\n");
  connection = run_process_ok (fixture->template, "print_items");
  finish_process (fixture->template, connection);
  g_assert_cmpint (pread (output, text, sizeof text - 1, 0), >, 0);
  g_assert_cmpstr (text, ==, "one two fork fork fork at last\n");
  close (output);
}

static void
add (const char  *path,
     void       (*test) (Fixture       *fixture,
                         gconstpointer  data))
{
  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("/child/descriptors/new", test_descriptors_new);
  add ("/child/descriptors/new-exec", test_descriptors_new_exec);
  add ("/child/descriptors/fork-of-fork", test_descriptors_fork_of_fork);
  add ("/child/descriptors/siblings", test_descriptors_siblings);
  add ("/child/descriptors/former-template", test_descriptors_former_template);
  add ("/child/descriptors/of-caller", test_descriptors_of_caller);
  add ("/child/descriptors/sent", test_descriptors_sent);
  add ("/child/descriptors/standard", test_descriptors_standard);
  add ("/child/socket", test_socket);
  add ("/child/signals", test_signals);
  add ("/child/title/usual", test_title_usual);
  add ("/child/title/set", test_title_set);
  add ("/child/title/notify", test_title_notify);
  add ("/child/title/long", test_title_long);
  add ("/child/environment/each-its-own", test_environment);
  add ("/child/environment/in-order", test_environment_in_order);
  add ("/child/folder/each-its-own", test_folder);
  add ("/child/folder/missing", test_folder_missing);
  add ("/child/map/standard", test_map_standard);
  add ("/child/map/everywhere", test_map_everywhere);
  add ("/child/map/again", test_map_again);
  add ("/child/map/too-high", test_map_too_high);
  add ("/child/map/execute", test_map_execute);
  add ("/child/module/path", test_module_path);
  add ("/child/module/folders", test_module_folders);
  add ("/child/module/newest", test_module_newest);
  add ("/child/module/wrong", test_module_wrong);
  add ("/child/threads", test_threads);
  add ("/child/parents", test_parents);
  add ("/child/output-once", test_output_once);

  return g_test_run ();
}
