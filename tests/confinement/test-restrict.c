/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that are restricted: what they can still do, tried by modules/hostile.c in a worker,
 * and what they say is in force. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-util.h"

#ifndef SYS_pidfd_open
# define SYS_pidfd_open 434
#endif

/* Not as much as an instrumented worker maps, and more than the others. */
#define MEMORY (G_GINT64_CONSTANT (64) * 1024 * 1024)

static AForkSandbox *
new_decoding (void)
{
  AForkSandbox *sandbox = afork_sandbox_new_for_decoding ();

  g_object_set (sandbox, "memory", MEMORY, "cpu-time", (gint64) 1, NULL);
  /* Instrumented programs reserve terabytes. */
  if (is_instrumented ())
    afork_sandbox_set_memory (sandbox, -1);
  return sandbox;
}

/* A template with the hostile module, restricted by SANDBOX, which is taken. */
static AForkProcess *
new_template (AForkSandbox *sandbox)
{
  g_autoptr(AForkSandbox) owned G_GNUC_UNUSED = sandbox;
  AForkProcess *template = new_module_process ("hostile");

  afork_process_restrict (template, sandbox);
  return template;
}

/* Has PROCESS try WHAT. Returns what it says, which is empty if it was ended. */
static char *
try (AForkProcess *process,
     const char   *what,
     const char   *argument,
     int           fd)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  char *report;

  afork_process_send_arg (process, what);
  afork_process_send_arg (process, argument);
  if (fd >= 0)
    afork_process_send_fd (process, fd);
  connection = run_process (process, "hostile_try", &error);
  g_assert_no_error (error);
  report = read_to_end (connection, NULL);
  await_end (process);
  return report;
}

/* A fork of TEMPLATE, which gets FD, tries WHAT, which must fail with one of the errno values. */
static void
expect_refused_with (AForkProcess *template,
                     const char   *what,
                     const char   *argument,
                     int           fd,
                     int           error,
                     int           other_error)
{
  g_autoptr(AForkProcess) worker = afork_process_fork (template);
  g_autofree char *report = try (worker, what, argument, fd);
  g_autofree char *one = g_strdup_printf ("refused %d", error);
  g_autofree char *other = g_strdup_printf ("refused %d", other_error);

  if (strcmp (report, one) != 0 && strcmp (report, other) != 0)
    g_error ("%s %s: “%s”, not “%s”", what, argument, report, one);
}

static void
expect_refused (AForkProcess *template,
                const char   *what,
                const char   *argument,
                int           error,
                int           other_error)
{
  expect_refused_with (template, what, argument, -1, error, other_error);
}

/* The fork must be ended by SIGNAL. */
static void
expect_ended_with (AForkProcess *template,
                   const char   *what,
                   const char   *argument,
                   int           fd,
                   int           signal)
{
  g_autoptr(AForkProcess) worker = afork_process_fork (template);
  g_autofree char *report = try (worker, what, argument, fd);
  int found = 0;

  if (!afork_process_get_term_signal (worker, &found) || found != signal || *report != '\0')
    g_error ("%s %s: “%s” and signal %d, not %d", what, argument, report, found, signal);
}

static void
expect_ended (AForkProcess *template,
              const char   *what,
              const char   *argument,
              int           signal)
{
  expect_ended_with (template, what, argument, -1, signal);
}

static void
expect_done (AForkProcess *template,
             const char   *what,
             const char   *argument)
{
  g_autoptr(AForkProcess) worker = afork_process_fork (template);
  g_autofree char *report = try (worker, what, argument, -1);

  if (!g_str_has_prefix (report, "done"))
    g_error ("%s %s: “%s”, not done", what, argument, report);
}

/* A process that runs on until the test ends it. */
static AForkProcess *
new_sibling (AForkProcess       *template,
             GSocketConnection **connection)
{
  AForkProcess *process = afork_process_fork (template);

  afork_process_require (process, "echo");
  *connection = run_process_ok (process, "echo");
  return process;
}

static void
test_decoding_computes (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());

  expect_done (template, "compute", "");
  expect_ended (template, "abort", "", SIGABRT);
}

static void
test_decoding_files (void)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "afork-test-victim", NULL);
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  const char * const readable[] = {
    "/etc/passwd", "/proc/self/status", "/proc/self/mem", "/proc/1/status",
    "/sys/kernel/uevent_seqnum", "/dev/null", "/dev/zero", "/dev/tty", ".",
  };

  g_assert_true (g_file_set_contents (path, "victim", -1, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (readable); i++)
    {
      expect_refused (template, "read", readable[i], EPERM, EPERM);
      expect_refused (template, "read-by-other-call", readable[i], EPERM, EPERM);
    }
  expect_refused (template, "list", "/", EPERM, EPERM);
  expect_refused (template, "list", "/proc/self/fd", EPERM, EPERM);
  expect_refused (template, "write", path, EPERM, EPERM);
  expect_refused (template, "write", "/tmp/afork-test-new", EPERM, EPERM);
  expect_refused (template, "write", "/proc/self/oom_score_adj", EPERM, EPERM);
  expect_refused (template, "make", "/tmp/afork-test-new", EPERM, EPERM);
  expect_refused (template, "remove", path, EPERM, EPERM);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test ("/tmp/afork-test-new", G_FILE_TEST_EXISTS));
  g_unlink (path);
}

/* A file that was sent can be read and written, and a directory leads nowhere. There are no other
 * descriptors. */
static void
test_decoding_descriptors (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  const int file = memfd_create ("afork-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const int directory = open ("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  expect_refused (template, "other-descriptor", "", EBADF, EBADF);
  expect_refused_with (template, "other-descriptor", "", file, EBADF, EBADF);
  expect_refused_with (template, "truncate-file", "100", file, EPERM, EPERM);
  expect_refused_with (template, "leave-by-descriptors", "", file, EPERM, EPERM);
  expect_refused_with (template, "leave-by-descriptors", "", directory, EPERM, EPERM);
  close (file);
  close (directory);
}

static void
test_decoding_sockets (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());

  for (int family = 0; family < 48; family++)
    {
      g_autofree char *text = g_strdup_printf ("%d", family);

      expect_refused (template, "socket", text, EPERM, EPERM);
    }
  expect_refused (template, "socket-pair", "", EPERM, EPERM);
}

static void
test_decoding_processes (void)
{
  g_autoptr(AForkProcess) plain = new_module_process ("echo");
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(AForkProcess) sibling = new_sibling (plain, &connection);
  const int pids[] = { getpid (), afork_process_get_pid (sibling), 1 };
  const int pidfd = (int) syscall (SYS_pidfd_open, afork_process_get_pid (sibling), 0);

  expect_refused (template, "fork", "", EPERM, ENOSYS);
  expect_refused (template, "fork-directly", "", EPERM, ENOSYS);
  expect_refused (template, "clone3", "", ENOSYS, ENOSYS);
  expect_ended (template, "exec", "/bin/true", SIGSYS);
  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      g_autofree char *pid = g_strdup_printf ("%d", pids[i]);

      expect_refused (template, "kill", pid, EPERM, EPERM);
      expect_refused (template, "tgkill", pid, EPERM, EPERM);
      expect_refused (template, "sigqueue", pid, EPERM, EPERM);
      expect_refused (template, "set-owner", pid, EPERM, EPERM);
      expect_refused (template, "pidfd", pid, EPERM, EPERM);
      expect_refused (template, "prlimit", pid, EPERM, EPERM);
      expect_refused (template, "renice", pid, EPERM, EPERM);
      expect_ended (template, "pidfd-getfd", pid, SIGSYS);
      expect_ended (template, "ptrace", pid, SIGSYS);
      expect_ended (template, "process-vm-read", pid, SIGSYS);
      expect_ended (template, "process-vm-write", pid, SIGSYS);
    }
  if (pidfd >= 0)
    {
      expect_refused_with (template, "pidfd-given", "", pidfd, EPERM, EPERM);
      expect_ended_with (template, "pidfd-getfd", "", pidfd, SIGSYS);
      expect_ended_with (template, "setns", "", pidfd, SIGSYS);
      close (pidfd);
    }
  expect_refused (template, "kill-group", "", EPERM, EPERM);
  expect_refused (template, "session", "", EPERM, EPERM);
  expect_refused (template, "tracer", "", EPERM, EPERM);

  g_clear_object (&connection);
  await_end (sibling);
  assert_exit_status (sibling, 0);
}

static void
test_decoding_kernel (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  const int terminal = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);

  expect_ended (template, "bpf", "", SIGSYS);
  expect_ended (template, "io-uring", "", SIGSYS);
  expect_ended (template, "userfaultfd", "", SIGSYS);
  expect_ended (template, "key", "", SIGSYS);
  expect_ended (template, "perf", "", SIGSYS);
  expect_ended (template, "mount", "/tmp", SIGSYS);
  expect_ended (template, "mount-by-descriptors", "/tmp", SIGSYS);
  expect_ended (template, "module", "", SIGSYS);
  expect_ended (template, "chroot", "/tmp", SIGSYS);
  expect_refused (template, "unshare", "", EPERM, EPERM);
  expect_refused (template, "terminal", "", EPERM, EPERM);
  if (terminal >= 0)
    {
      expect_refused_with (template, "terminal", "", terminal, EPERM, EPERM);
      close (terminal);
    }
}

/* Whether a process can make system calls of 32 bits here. */
static gboolean
has_i386 (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("hostile");
  g_autofree char *report = try (process, "i386", "20", -1);

  return g_str_has_prefix (report, "done");
}

/* The numbers of i386, of which each is another system call in 64 bits: getpid, exit, fork, open,
 * execve, ptrace, kill, mmap, socketcall, clone, socket. */
static void
test_decoding_i386 (void)
{
  const char * const calls[] = {
    "20", "1", "2", "5", "11", "26", "37", "90", "102 1", "120", "359 2",
  };
  g_autoptr(AForkProcess) template = NULL;

  if (!has_i386 ())
    {
      g_test_skip ("The kernel executes no programs of i386");
      return;
    }

  template = new_template (new_decoding ());
  for (gsize i = 0; i < G_N_ELEMENTS (calls); i++)
    expect_ended (template, "i386", calls[i], SIGSYS);
}

/* A process that sleeps has used nothing. It is ended by its caller, or with it. */
static void
test_decoding_sleep (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  g_autoptr(AForkProcess) worker = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = NULL;
  int found = 0;

  afork_process_send_arg (worker, "sleep");
  connection = run_process_ok (worker, "hostile_try");
  afork_process_force_exit (worker);
  await_end (worker);
  g_assert_true (afork_process_get_term_signal (worker, &found));
  g_assert_cmpint (found, ==, SIGKILL);
}

static void
test_decoding_memory (void)
{
  g_autoptr(AForkProcess) template = NULL;

  if (is_instrumented ())
    {
      g_test_skip ("Instrumented programs need more memory than a limit allows");
      return;
    }

  template = new_template (new_decoding ());
  expect_refused (template, "map", "134217728", ENOMEM, ENOMEM);
  expect_refused (template, "map-pieces", "134217728", ENOMEM, ENOMEM);
  expect_refused (template, "map-stack", "134217728", ENOMEM, EPERM);
  expect_refused (template, "map-read-only", "134217728", ENOMEM, ENOMEM);
  expect_refused (template, "break", "134217728", ENOMEM, ENOMEM);
  expect_refused (template, "map-shared", "4096", EPERM, EPERM);
  expect_refused (template, "memfd", "4096", EPERM, EPERM);
  expect_refused (template, "shm", "4096", EPERM, EPERM);
  expect_refused (template, "pipe", "", EPERM, EPERM);
  expect_refused (template, "descriptors", "100", EMFILE, EMFILE);
  expect_refused (template, "lift-limit", "", EPERM, EPERM);
}

/* What a worker keeps in its socket is limited by the kernel, whatever size it sets. */
static void
test_decoding_socket_memory (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  int ends[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  expect_refused_with (template, "park", "1048576", ends[0], EAGAIN, EAGAIN);
  close (ends[0]);
  close (ends[1]);
}

/* A fork of TEMPLATE burns time in the way WHAT until SIGNAL ends it, which must be so before it
 * has used SECONDS. */
static void
expect_time (AForkProcess *template,
             const char   *what,
             int           signal,
             int           seconds)
{
  g_autoptr(AForkProcess) worker = afork_process_fork (template);
  g_autofree char *report = try (worker, what, "", -1);
  guint64 user, system, memory;
  int found = 0;

  g_assert_cmpstr (report, ==, "");
  g_assert_true (afork_process_get_term_signal (worker, &found));
  g_assert_cmpint (found, ==, signal);
  if (afork_process_get_usage (worker, &user, &system, &memory))
    g_assert_cmpuint (user + system, <, (guint64) seconds * G_USEC_PER_SEC);
}

/* The kernel counts by ticks and says it a little later, so there is one second more. */
static void
test_decoding_time (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());

  expect_time (template, "burn", SIGXCPU, 2);
  expect_time (template, "burn-ignoring", SIGKILL, 4);
  expect_time (template, "burn-moving", SIGKILL, 4);
  expect_time (template, "burn-threads", SIGXCPU, 2);
}

static void
test_decoding_file_size (void)
{
  g_autoptr(AForkSandbox) sandbox = new_decoding ();
  g_autoptr(AForkProcess) template = new_module_process ("hostile");
  g_autoptr(AForkProcess) small = NULL;
  g_autoptr(AForkProcess) large = NULL;
  g_autofree char *report = NULL;
  g_autofree char *other = NULL;
  int fd = memfd_create ("afork-test", MFD_CLOEXEC);
  int found = 0;

  afork_sandbox_set_file_size (sandbox, 4096);
  afork_process_restrict (template, sandbox);
  small = afork_process_fork (template);
  report = try (small, "grow-file", "4000", fd);
  g_assert_cmpstr (report, ==, "done 0");
  large = afork_process_fork (template);
  other = try (large, "grow-file", "5000", fd);
  g_assert_cmpstr (other, ==, "");
  g_assert_true (afork_process_get_term_signal (large, &found));
  g_assert_cmpint (found, ==, SIGXFSZ);
  close (fd);
}

/* A worker cannot leave the pipe by which it ends with its caller. */
static void
test_decoding_death_pipe (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  g_autoptr(AForkProcess) worker = NULL;
  g_autofree char *report = NULL;

  afork_process_set_die_with_parent (template, TRUE);
  worker = afork_process_fork (template);
  report = try (worker, "death-pipe", "", -1);
  g_assert_cmpstr (report, ==, "refused 1");
}

/* What is in force is reported, and in force for a fork of a fork, a spare, a process that is
 * executed and one that replaces another. */
static void
assert_confined (AForkProcess *process)
{
  g_autoptr(GVariant) confinement = NULL;
  g_autoptr(GVariant) effects = NULL;
  g_autoptr(GVariant) layers = NULL;
  g_autofree char *report = NULL;
  const char *state;
  const char * const names[] = {
    "cpu-time", "open-files", "file-size", "core-size", "priority", "network", "read-paths",
    "write-paths", "system-calls", "new-processes", "other-processes",
  };

  g_assert_null (afork_process_get_confinement (process));
  report = try (process, "read", "/etc/passwd", -1);
  g_assert_cmpstr (report, ==, "refused 1");
  confinement = afork_process_get_confinement (process);
  g_assert_true (g_variant_is_of_type (confinement, G_VARIANT_TYPE_VARDICT));
  effects = g_variant_lookup_value (confinement, "effects", G_VARIANT_TYPE ("a{sas}"));
  layers = g_variant_lookup_value (confinement, "layers", G_VARIANT_TYPE ("a{ss}"));
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree const char **had = NULL;

      g_assert_true (g_variant_lookup (effects, names[i], "^a&s", &had));
      g_assert_nonnull (had[0]);
    }
  g_assert_true (g_variant_lookup (layers, "seccomp", "&s", &state));
  g_assert_cmpstr (state, ==, "in force");
  g_assert_true (g_variant_lookup (layers, "rlimits", "&s", &state));
  g_assert_cmpstr (state, ==, "in force");
}

static void
test_inherited (void)
{
  g_autoptr(AForkSandbox) sandbox = new_decoding ();
  g_autoptr(AForkProcess) template = new_template (g_object_ref (sandbox));
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(AForkProcess) of_fork = afork_process_fork (fork);
  g_autoptr(AForkProcess) spare = NULL;
  g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) again = NULL;
  g_autoptr(GError) error = NULL;

  assert_confined (of_fork);
  assert_confined (fork);
  afork_process_set_spare (template, 1);
  spare = afork_process_fork (template);
  assert_confined (spare);
  afork_process_require (executed, "hostile");
  afork_process_restrict (executed, sandbox);
  assert_confined (executed);
  again = afork_process_recreate (template, &error);
  g_assert_no_error (error);
  assert_confined (again);
}

/* A process with forks that is run itself has a fork of it run instead. */
static void
test_with_forks (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());
  g_autoptr(AForkProcess) fork = afork_process_fork (template);

  await_state (fork, AFORK_PROCESS_STATE_PREPARING);
  assert_confined (template);
  assert_confined (fork);
}

/* A template that is confined forks as often as another. */
static void
test_many (void)
{
  g_autoptr(AForkProcess) template = new_template (new_decoding ());

  for (int i = 0; i < 200; i++)
    expect_done (template, "compute", "");
}

static void
test_plain (void)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
  g_autoptr(AForkProcess) process = new_module_process ("hostile");
  g_autofree char *report = NULL;

  afork_process_restrict (process, sandbox);
  report = try (process, "read", "/etc/passwd", -1);
  g_assert_cmpstr (report, ==, "done 0");
}

static void
test_no_admin (void)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
  g_autoptr(AForkProcess) template = NULL;

  g_object_set (sandbox, "system-calls", AFORK_SYSTEM_CALLS_NO_ADMIN, "network", FALSE, NULL);
  template = new_template (g_steal_pointer (&sandbox));
  expect_done (template, "read", "/etc/passwd");
  expect_done (template, "fork", "");
  expect_done (template, "socket", "1");
  expect_refused (template, "socket", "2", EACCES, EACCES);
  expect_refused (template, "mount", "/tmp", EPERM, EPERM);
  expect_refused (template, "unshare", "", EPERM, EPERM);
  expect_refused (template, "ptrace", "1", EPERM, EPERM);
  expect_refused (template, "bpf", "", EPERM, EPERM);
  expect_refused (template, "clone3", "", ENOSYS, ENOSYS);
}

/* Programs of 32 bits may run, and are refused the same. The numbers are those of getpid, mount,
 * init_module, ptrace, socket, bpf, and clone3. */
static void
test_no_admin_i386 (void)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
  g_autoptr(AForkProcess) template = NULL;

  if (!has_i386 ())
    {
      g_test_skip ("The kernel executes no programs of i386");
      return;
    }

  g_object_set (sandbox, "system-calls", AFORK_SYSTEM_CALLS_NO_ADMIN, "network", FALSE, NULL);
  template = new_template (g_steal_pointer (&sandbox));
  expect_done (template, "i386", "20");
  expect_refused (template, "i386", "21", EPERM, EPERM);
  expect_refused (template, "i386", "128", EPERM, EPERM);
  expect_refused (template, "i386", "26", EPERM, EPERM);
  expect_refused (template, "i386", "359 2", EACCES, EACCES);
  expect_refused (template, "i386", "357", EPERM, EPERM);
  expect_refused (template, "i386", "435", ENOSYS, ENOSYS);
}

/* Returns a process with a thread that is older than SANDBOX, which is taken, or that is younger,
 * but older than the function. */
static AForkProcess *
new_with_thread (AForkSandbox *sandbox,
                 gboolean      is_older)
{
  g_autoptr(AForkSandbox) owned G_GNUC_UNUSED = sandbox;
  AForkProcess *process = new_module_process ("hostile");

  if (is_older)
    afork_process_call (process, "hostile_start_thread", NULL);
  afork_process_restrict (process, sandbox);
  if (!is_older)
    afork_process_call (process, "hostile_start_thread", NULL);
  return process;
}

/* The filters hold for all threads. */
static void
test_threads_decoding (void)
{
  const char * const refused[] = { "thread:read", "thread:socket", "thread:fork" };
  const char * const arguments[] = { "/etc/passwd", "1", "" };

  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr(AForkProcess) process = new_with_thread (new_decoding (), FALSE);
      g_autoptr(GVariant) confinement = NULL;
      g_autoptr(GVariant) layers = NULL;
      g_autofree char *report = try (process, refused[i], arguments[i], -1);
      const char *state;

      g_assert_cmpstr (report, ==, "refused 1");
      confinement = afork_process_get_confinement (process);
      layers = g_variant_lookup_value (confinement, "layers", G_VARIANT_TYPE ("a{ss}"));
      g_assert_true (g_variant_lookup (layers, "seccomp", "&s", &state));
      g_assert_cmpstr (state, ==, "in force");
      if (g_variant_lookup (layers, "landlock", "&s", &state))
        g_assert_cmpstr (state, !=, "in force");
    }
}

static void
test_threads_no_admin (void)
{
  for (int is_older = 0; is_older <= 1; is_older++)
    {
      const char * const refused[] = { "thread:ptrace", "thread:mount", "thread:unshare" };

      for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
        {
          AForkSandbox *sandbox = afork_sandbox_new ();
          g_autoptr(AForkProcess) process = NULL;
          g_autofree char *report = NULL;

          afork_sandbox_set_system_calls (sandbox, AFORK_SYSTEM_CALLS_NO_ADMIN);
          process = new_with_thread (sandbox, is_older);
          report = try (process, refused[i], "/tmp", -1);
          g_assert_cmpstr (report, ==, "refused 1");
        }
    }
}

/* Landlock would hold for one thread only. */
static void
test_threads_paths (void)
{
  for (int is_older = 0; is_older <= 1; is_older++)
    {
      AForkSandbox *sandbox = afork_sandbox_new ();
      g_autoptr(AForkProcess) process = NULL;

      afork_sandbox_set_read_paths (sandbox, STRV ("/usr"));
      process = new_with_thread (sandbox, is_older);
      afork_process_send_arg (process, "thread:read");
      expect_run_error (process, "hostile_try", AFORK_ERROR, AFORK_ERROR_SANDBOX, "read-paths (");
    }
}

/* A limit of processes does not bind root. */
static void
test_processes (void)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
  g_autoptr(AForkProcess) process = new_module_process ("hostile");
  g_autofree char *report = NULL;

  afork_sandbox_set_processes (sandbox, 1);
  afork_process_restrict (process, sandbox);
  if (geteuid () == 0)
    {
      afork_process_send_arg (process, "fork");
      expect_run_error (process, "hostile_try", AFORK_ERROR, AFORK_ERROR_SANDBOX,
                        "processes (rlimits: not enforced for root)");
      return;
    }

  report = try (process, "fork", "", -1);
  g_assert_cmpstr (report, ==, "refused 11");
}

static void
test_best_effort (void)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
  g_autoptr(AForkProcess) process = new_module_process ("hostile");
  g_autoptr(GVariant) confinement = NULL;
  g_autofree char *report = NULL;
  g_autofree const char **had = NULL;
  g_autoptr(GVariant) effects = NULL;

  g_object_set (sandbox, "processes", (gint64) 1, "best-effort", TRUE, NULL);
  afork_process_restrict (process, sandbox);
  report = try (process, "fork", "", -1);
  confinement = afork_process_get_confinement (process);
  effects = g_variant_lookup_value (confinement, "effects", G_VARIANT_TYPE ("a{sas}"));
  g_assert_true (g_variant_lookup (effects, "processes", "^a&s", &had));
  /* What is reported is in force. The kernel exempts root, but not that of a user namespace. */
  if (had[0] != NULL)
    g_assert_cmpstr (report, ==, "refused 11");
  else
    g_assert_cmpuint (geteuid (), ==, 0);
}

/* Each layer for files that is in force gives the effect. */
static void
assert_all_layers (AForkProcess *process,
                   const char   *effect)
{
  g_autoptr(GVariant) confinement = afork_process_get_confinement (process);
  g_autoptr(GVariant) effects = g_variant_lookup_value (confinement, "effects", NULL);
  g_autoptr(GVariant) layers = g_variant_lookup_value (confinement, "layers", NULL);
  const char * const names[] = { "landlock", "namespaces" };
  g_autofree const char **had = NULL;

  g_assert_true (g_variant_lookup (effects, effect, "^a&s", &had));
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const char *state;

      g_assert_true (g_variant_lookup (layers, names[i], "&s", &state));
      if (g_str_equal (state, "in force"))
        g_assert_true (g_strv_contains (had, names[i]));
    }
}

/* Paths that cannot be are ignored, and too many are refused. */
static void
test_paths (void)
{
  g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  AForkSandbox *sandbox = new_decoding ();
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) worker = NULL;
  g_autoptr(AForkProcess) refused = new_module_process ("hostile");
  g_autofree char *report = NULL;

  g_ptr_array_add (paths, g_strdup ("/usr/../usr"));
  g_ptr_array_add (paths, g_strdup ("/usr"));
  for (int i = 0; i < 254; i++)
    g_ptr_array_add (paths, g_strdup_printf ("/nonexistent/%d", i));
  g_ptr_array_add (paths, g_strnfill (5000, '/'));
  g_ptr_array_add (paths, NULL);
  afork_sandbox_set_read_paths (sandbox, (const char * const *) paths->pdata);
  template = new_template (sandbox);
  worker = afork_process_fork (template);
  report = try (worker, "read", "/etc/passwd", -1);
  g_assert_true (g_str_has_prefix (report, "refused "));
  assert_all_layers (worker, "read-paths");

  paths->pdata[paths->len - 1] = g_strdup ("/one/more");
  g_ptr_array_add (paths, NULL);
  sandbox = new_decoding ();
  afork_sandbox_set_read_paths (sandbox, (const char * const *) paths->pdata);
  afork_process_restrict (refused, sandbox);
  g_object_unref (sandbox);
  expect_run_error (refused, "hostile_try", AFORK_ERROR, AFORK_ERROR_SANDBOX,
                    "257 paths in “read-paths”");
}

/* A program that takes paths from its command line may be given any. None is left out, which would
 * leave the process with less confinement than was asked for. */
static void
test_paths_not_absolute (void)
{
  static const char * const names[] = { "read-paths", "write-paths" };
  static const char * const wrong[] = { "", ".", "some/folder", "~/folder", "file:///usr" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (gsize k = 0; k < G_N_ELEMENTS (wrong); k++)
      {
        const char *paths[] = { "/usr", wrong[k], NULL };
        g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
        g_autoptr(AForkProcess) process = new_module_process ("hostile");
        g_autofree char *message = g_strdup_printf ("“%s” in “%s”", wrong[k], names[i]);
        g_auto(GStrv) got = NULL;

        g_object_set (sandbox, names[i], paths, NULL);
        g_object_get (sandbox, names[i], &got, NULL);
        g_assert_cmpstrv (got, paths);
        afork_process_restrict (process, sandbox);
        expect_run_error (process, "hostile_try", AFORK_ERROR, AFORK_ERROR_SANDBOX, message);
      }
}

/* What is beneath a path to be written can be written, in whatever layer, also if it is named to be
 * read. */
static void
test_write_beneath (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("afork-paths-XXXXXX", &error);
  g_autofree char *inner = g_build_filename (folder, "inner", NULL);
  g_autofree char *file = g_build_filename (inner, "file", NULL);
  const char * const writable[] = { folder, "/" };

  g_assert_no_error (error);
  g_assert_no_errno (g_mkdir (inner, 0700));
  for (gsize i = 0; i < G_N_ELEMENTS (writable); i++)
    {
      AForkSandbox *sandbox = new_decoding ();
      g_autoptr(AForkProcess) template = NULL;
      g_autoptr(AForkProcess) worker = NULL;
      g_autofree char *report = NULL;

      g_assert_true (g_file_set_contents (file, "", 0, NULL));
      afork_sandbox_set_read_paths (sandbox, STRV (inner));
      afork_sandbox_set_write_paths (sandbox, STRV (writable[i]));
      template = new_template (sandbox);
      worker = afork_process_fork (template);
      report = try (worker, "write", file, -1);
      g_assert_cmpstr (report, ==, "done 0");
      g_assert_no_errno (g_remove (file));
    }

  g_assert_no_errno (g_rmdir (inner));
  g_assert_no_errno (g_rmdir (folder));
}

/* A device that is named to be read can be read, also if it is beneath a path to be written. */
static void
test_read_device (void)
{
  const char * const paths[] = { "/usr", "/dev/zero", NULL };
  const char * const writable[] = { "/dev", "/" };

  for (gsize i = 0; i < G_N_ELEMENTS (writable); i++)
    {
      AForkSandbox *sandbox = new_decoding ();
      g_autoptr(AForkProcess) template = NULL;

      afork_sandbox_set_read_paths (sandbox, paths);
      afork_sandbox_set_write_paths (sandbox, STRV (writable[i]));
      template = new_template (sandbox);
      expect_done (template, "read", "/dev/zero");
    }
}

/* Landlock and the mount namespace show the same /proc. */
static void
test_read_proc (void)
{
  const char * const paths[][3] = { { "/proc" }, { "/usr", "/proc" }, { "/proc", "/" } };

  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      AForkSandbox *sandbox = new_decoding ();
      g_autoptr(AForkProcess) template = NULL;
      g_autoptr(AForkProcess) reader = NULL;
      g_autoptr(AForkProcess) lister = NULL;
      g_autofree char *read = NULL;
      g_autofree char *listed = NULL;

      afork_sandbox_set_read_paths (sandbox, paths[i]);
      template = new_template (sandbox);
      reader = afork_process_fork (template);
      lister = afork_process_fork (template);
      read = try (reader, "read", "/proc/self/status", -1);
      g_assert_cmpstr (read, ==, "done 0");
      listed = try (lister, "list", "/proc", -1);
      g_assert_cmpstr (listed, ==, "done 0");
    }
}

/* A template that exits before it is run has exited as its server did, also if that was in a PID
 * namespace. */
static void
test_early_end (void)
{
  static const struct
  {
    const char *how;
    int         code;
    const char *text;
  } ends[] = {
    { "3", AFORK_ERROR_EXITED, "status 3" },
    { "0", AFORK_ERROR_EXITED, "status 0" },
    { "-6", AFORK_ERROR_SIGNALED, "signal 6" },
    { "-15", AFORK_ERROR_SIGNALED, "signal 15" },
  };

  for (int is_run = 0; is_run <= 1; is_run++)
    for (gsize i = 0; i < G_N_ELEMENTS (ends); i++)
      {
        g_autoptr(AForkSandbox) sandbox = new_decoding ();
        g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
        const int how = atoi (ends[i].how);

        afork_process_restrict (process, sandbox);
        afork_process_call (process, "end", STRV (ends[i].how));
        if (is_run)
          expect_run_error (process, "done", AFORK_ERROR, ends[i].code, ends[i].text);
        await_end (process);
        if (how < 0)
          assert_term_signal (process, -how);
        else
          assert_exit_status (process, how);
      }
}

/* A server that has refused a command exits with a status of its own. */
static void
test_early_failure (void)
{
  g_autoptr(AForkSandbox) sandbox = new_decoding ();
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");

  afork_process_restrict (process, sandbox);
  afork_process_require (process, "missing");
  await_end (process);
  assert_exit_status (process, 112);
}

/* If the server closes its socket and does not exit, the process is killed after a while. */
static void
test_early_close (void)
{
  g_autoptr(AForkSandbox) sandbox = new_decoding ();
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");

  afork_process_restrict (process, sandbox);
  afork_process_call (process, "close_all", NULL);
  await_end (process);
  assert_term_signal (process, SIGKILL);
}

static void
test_exec_refused (void)
{
  g_autoptr(AForkProcess) process = new_template (new_decoding ());
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_exec (process, STRV ("true"), NULL, &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SANDBOX);
  await_end (process);
}

/* The stricter of two sandboxes counts, in either order. */
static void
test_twice (void)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkSandbox) sandbox = afork_sandbox_new ();
      g_autoptr(AForkSandbox) decoding = new_decoding ();
      g_autoptr(AForkProcess) process = new_module_process ("hostile");
      g_autofree char *report = NULL;

      afork_sandbox_set_open_files (sandbox, 32);
      afork_process_restrict (process, i == 0 ? sandbox : decoding);
      afork_process_restrict (process, i == 0 ? decoding : sandbox);
      report = try (process, "descriptors", "40", -1);
      g_assert_cmpstr (report, ==, "refused 24");
    }
}

/* Namespaces are made once, and what the first sandbox has from them stays. */
static void
test_twice_decoding (void)
{
  g_autoptr(AForkSandbox) sandbox = new_decoding ();
  g_autoptr(AForkProcess) template = new_template (g_object_ref (sandbox));

  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) worker = NULL;

      afork_process_restrict (template, sandbox);
      worker = afork_process_fork (template);
      assert_confined (worker);
      afork_sandbox_set_best_effort (sandbox, TRUE);
    }
}

/* A sandbox is a value: a process keeps what it said. */
static void
test_changed (void)
{
  g_autoptr(AForkSandbox) sandbox = new_decoding ();
  g_autoptr(AForkProcess) template = new_template (g_object_ref (sandbox));

  g_object_set (sandbox, "system-calls", AFORK_SYSTEM_CALLS_ANY, "network", TRUE, NULL);
  expect_refused (template, "read", "/etc/passwd", EPERM, EPERM);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/restrict/decoding/computes", test_decoding_computes);
  add_test ("/restrict/decoding/descriptors", test_decoding_descriptors);
  add_test ("/restrict/decoding/files", test_decoding_files);
  add_test ("/restrict/decoding/sockets", test_decoding_sockets);
  add_test ("/restrict/decoding/processes", test_decoding_processes);
  add_test ("/restrict/decoding/kernel", test_decoding_kernel);
  add_test ("/restrict/decoding/i386", test_decoding_i386);
  add_test ("/restrict/decoding/sleep", test_decoding_sleep);
  add_test ("/restrict/decoding/memory", test_decoding_memory);
  add_test ("/restrict/decoding/socket-memory", test_decoding_socket_memory);
  add_test ("/restrict/decoding/time", test_decoding_time);
  add_test ("/restrict/decoding/file-size", test_decoding_file_size);
  add_test ("/restrict/decoding/death-pipe", test_decoding_death_pipe);
  add_test ("/restrict/inherited", test_inherited);
  add_test ("/restrict/with-forks", test_with_forks);
  add_test ("/restrict/many", test_many);
  add_test ("/restrict/plain", test_plain);
  add_test ("/restrict/no-admin", test_no_admin);
  add_test ("/restrict/no-admin/i386", test_no_admin_i386);
  add_test ("/restrict/threads/decoding", test_threads_decoding);
  add_test ("/restrict/threads/no-admin", test_threads_no_admin);
  add_test ("/restrict/threads/paths", test_threads_paths);
  add_test ("/restrict/processes", test_processes);
  add_test ("/restrict/best-effort", test_best_effort);
  add_test ("/restrict/paths", test_paths);
  add_test ("/restrict/paths/not-absolute", test_paths_not_absolute);
  add_test ("/restrict/write-beneath", test_write_beneath);
  add_test ("/restrict/read-device", test_read_device);
  add_test ("/restrict/read-proc", test_read_proc);
  add_test ("/restrict/early-end", test_early_end);
  add_test ("/restrict/early-end/failure", test_early_failure);
  add_test ("/restrict/early-end/close", test_early_close);
  add_test ("/restrict/exec", test_exec_refused);
  add_test ("/restrict/twice", test_twice);
  add_test ("/restrict/twice/decoding", test_twice_decoding);
  add_test ("/restrict/changed", test_changed);

  return g_test_run ();
}
