/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors that go with calls and results: many, too many, closed ones, and those of calls and
 * workers that end early. */

#include "config.h"

#include "test-limits.h"
#include "test-rpc-util.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 1024 };

static AForkRpc *
new_bounds_rpc (void)
{
  return new_rpc_of ("bounds", "bounds_do", FALSE);
}

/* Files of 1, 2, 3 … bytes. */
static GUnixFDList *
new_files (guint n_files)
{
  g_autofree int *fds = g_new (int, n_files);

  for (guint i = 0; i < n_files; i++)
    {
      fds[i] = memfd_create ("file", MFD_CLOEXEC);
      g_assert_no_errno (fds[i]);
      g_assert_no_errno (ftruncate (fds[i], (off_t) i + 1));
    }
  return g_unix_fd_list_new_from_array (fds, (int) n_files);
}

/* They come back in reverse order, and are close-on-exec. */
static void
assert_reversed_files (GUnixFDList *list,
                       guint        n_files)
{
  const int *fds;
  int n_fds;

  g_assert_nonnull (list);
  fds = g_unix_fd_list_peek_fds (list, &n_fds);
  g_assert_cmpint (n_fds, ==, (int) n_files);
  for (guint i = 0; i < n_files; i++)
    {
      struct stat status;

      g_assert_no_errno (fstat (fds[i], &status));
      g_assert_cmpint (status.st_size, ==, n_files - i);
      g_assert_cmpint (fcntl (fds[i], F_GETFD), ==, FD_CLOEXEC);
    }
}

static void
check_both_ways (AForkRpc *rpc,
                 guint     n_files)
{
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 0));
  g_autoptr(GUnixFDList) files = new_files (n_files);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  afork_job_set_fds (job, files);
  answer = run_job (rpc, job, &error);
  g_assert_no_error (error);
  assert_reversed_files (afork_job_get_result_fds (job), n_files);
}

static void
test_fds_both_ways (void)
{
  const guint counts[] = { 1, 2, 252, 253, 254, 300, 506, 507, 1 };
  g_autoptr(AForkRpc) rpc = NULL;

  if (!need_descriptors (4 * MAX_FDS))
    return;

  rpc = new_bounds_rpc ();

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    check_both_ways (rpc, counts[i]);
  close_rpc (rpc);
}

/* Each call has its own descriptors, whatever comes before and after it. */
static void
test_fds_pipelined (void)
{
  enum { N_JOBS = 20 };
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  GAsyncResult *results[N_JOBS] = { NULL };
  GAsyncResult *others[N_JOBS] = { NULL };
  AForkJob *jobs[N_JOBS];

  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GUnixFDList) files = new_files (i + 1);

      jobs[i] = afork_job_new (do_args ("reverse", 0));
      afork_job_set_fds (jobs[i], files);
      afork_rpc_run_job_async (rpc, jobs[i], NULL, store_result_cb, &results[i]);
      begin_call (rpc, "number", i, NULL, &others[i]);
    }
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      answer = afork_rpc_run_job_finish (rpc, results[i], &error);
      g_assert_no_error (error);
      assert_reversed_files (afork_job_get_result_fds (jobs[i]), i + 1);
      expect_uint32 (rpc, &others[i], i);
      g_object_unref (results[i]);
      g_object_unref (jobs[i]);
    }
  close_rpc (rpc);
}

/* As many as are allowed, and more. The limit of the worker is that of this program. */
static void
test_fds_most (void)
{
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 0));
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GUnixFDList) too_many = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  if (!need_descriptors (8 * MAX_FDS))
    return;

  rpc = new_bounds_rpc ();
  too_many = new_files (MAX_FDS + 1);
  check_both_ways (rpc, MAX_FDS);
  afork_job_set_fds (job, too_many);
  g_assert_null (run_job (rpc, job, &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "can have 1024");
  g_assert_null (call (rpc, do_args ("fds", MAX_FDS + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "can have 1024");
  answer = call (rpc, do_args ("fds", MAX_FDS), &error);
  g_assert_no_error (error);
  assert_serves (rpc);
  close_rpc (rpc);
}

static void
set_soft_limit (rlim_t soft)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  limit.rlim_cur = soft;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
}

/* How many descriptors can come with a result, as calls.md has it: 506 with the usual limit of
 * 1024, and 1024 with a limit of 4096. */
static void
test_fds_usual_limit (void)
{
  g_autoptr(AForkRpc) usual = NULL;
  g_autoptr(AForkRpc) higher = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  struct rlimit saved;

  if (!need_descriptors (4 * MAX_FDS))
    return;

  usual = new_bounds_rpc ();
  higher = new_bounds_rpc ();
  assert_serves (usual);
  assert_serves (higher);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));

  set_soft_limit (1024);
  answer = call (usual, do_args ("fds", 506), &error);
  g_assert_no_error (error);
  g_assert_null (call (usual, do_args ("fds", 507), &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_PROTOCOL, "ahead of their value");

  set_soft_limit (4096);
  g_clear_pointer (&answer, g_variant_unref);
  answer = call (higher, do_args ("fds", 1024), &error);
  g_assert_no_error (error);
  close_rpc (higher);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
}

/* A list whose descriptor INDEX was closed. */
static GUnixFDList *
new_broken_files (guint n_files,
                  guint index)
{
  GUnixFDList *list = new_files (n_files);

  close (g_unix_fd_list_peek_fds (list, NULL)[index]);
  return list;
}

/* The list must not close a number that is not a descriptor any more. */
static void
free_broken_files (GUnixFDList *list,
                   guint        index)
{
  int n_fds;
  g_autofree int *fds = g_unix_fd_list_steal_fds (list, &n_fds);

  for (int i = 0; i < n_fds; i++)
    if (i != (int) index)
      close (fds[i]);
  g_object_unref (list);
}

/* Calls before and after it are not affected. */
static void
check_closed (guint n_files,
              guint index)
{
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 0));
  GUnixFDList *files = new_broken_files (n_files, index);
  g_autoptr(GAsyncResult) result = NULL;
  GAsyncResult *others[2] = { NULL };
  g_autofree char *name = g_strdup_printf ("%d", g_unix_fd_list_peek_fds (files, NULL)[index]);
  g_autoptr(GError) error = NULL;

  assert_serves (rpc);
  begin_call (rpc, "number", 1, NULL, &others[0]);
  afork_job_set_fds (job, files);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  begin_call (rpc, "number", 2, NULL, &others[1]);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_nonnull (strstr (error->message, g_strerror (EBADF)));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_FAILED, name);
  expect_uint32 (rpc, &others[0], 1);
  expect_uint32 (rpc, &others[1], 2);
  close_rpc (rpc);

  g_clear_object (&result);
  g_clear_object (&job);
  free_broken_files (files, index);
}

static void
test_fds_closed (void)
{
  check_closed (1, 0);
  check_closed (3, 2);
  check_closed (300, 10);
  check_closed (300, 299);
}

static void
test_fds_closed_result (void)
{
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  const guint32 counts[] = { 1, 3, 300 };

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (call (rpc, do_args ("closed-fd", counts[i]), &error));
      assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_FAILED, g_strerror (EBADF));
      assert_serves (rpc);
    }
  close_rpc (rpc);
}

/* A job that runs until RELEASE is closed, and has the writing end of a second pipe. WATCHED, its
 * other end, shows when neither this program nor the worker has it any more. */
static AForkJob *
new_held_job (int *release,
              int *watched)
{
  AForkJob *job = afork_job_new (do_args ("hold", 0));
  g_autoptr(GUnixFDList) list = NULL;
  int hold[2], watch[2];

  g_assert_no_errno (pipe2 (hold, O_CLOEXEC));
  g_assert_no_errno (pipe2 (watch, O_CLOEXEC | O_NONBLOCK));
  list = g_unix_fd_list_new_from_array ((int[]) { hold[0], watch[1] }, 2);
  afork_job_set_fds (job, list);
  *release = hold[1];
  *watched = watch[0];
  return job;
}

static gboolean
closed_cb (int          fd,
           GIOCondition condition,
           gpointer     data)
{
  char byte;

  g_assert_cmpint (read (fd, &byte, 1), ==, 0);
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

/* Waits until no process has the other end of WATCHED. */
static void
await_closed (int watched)
{
  gboolean closed = FALSE;

  g_unix_fd_add (watched, G_IO_HUP, closed_cb, &closed);
  while (!closed)
    g_main_context_iteration (NULL, TRUE);
  close (watched);
}

static void
await_job_state (AForkJob      *job,
                 AForkJobState  state)
{
  while (afork_job_get_state (job) < state)
    g_main_context_iteration (NULL, TRUE);
}

/* Takes the free numbers: code that closes a descriptor twice would close these. */
enum { N_TAKEN = 64 };

static void
take_numbers (int *taken)
{
  for (guint i = 0; i < N_TAKEN; i++)
    {
      taken[i] = dup (STDIN_FILENO);
      g_assert_no_errno (taken[i]);
    }
}

static void
give_numbers (int *taken)
{
  for (guint i = 0; i < N_TAKEN; i++)
    g_assert_no_errno (close (taken[i]));
}

typedef enum { BEFORE_SENDING, WAITING_HERE, WAITING_THERE, RUNNING, N_STAGES } Stage;

/* A job that is cancelled drops its descriptors, and closes each once. */
static void
check_cancelled (Stage stage)
{
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  g_autoptr(GAsyncResult) first_result = NULL, result = NULL;
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  int first_release, first_watched, release, watched;
  int taken[N_TAKEN];

  first = new_held_job (&first_release, &first_watched);
  job = new_held_job (&release, &watched);
  if (stage == WAITING_HERE)
    afork_rpc_set_max_in_flight (rpc, 1);
  if (stage == WAITING_HERE || stage == WAITING_THERE)
    {
      afork_rpc_run_job_async (rpc, first, NULL, store_result_cb, &first_result);
      await_job_state (first, AFORK_JOB_STATE_RUNNING);
    }

  if (stage == BEFORE_SENDING)
    afork_job_cancel (job);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  if (stage == RUNNING)
    await_job_state (job, AFORK_JOB_STATE_RUNNING);
  else
    iterate ();
  afork_job_cancel (job);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&result);
  g_clear_object (&job);

  close (first_release);
  close (release);
  if (first_result != NULL || stage == WAITING_HERE || stage == WAITING_THERE)
    {
      await_result (&first_result);
      answer = afork_rpc_run_job_finish (rpc, first_result, NULL);
      g_assert_nonnull (answer);
    }
  g_clear_object (&first_result);
  g_clear_object (&first);
  await_closed (first_watched);
  await_closed (watched);
  take_numbers (taken);
  assert_serves (rpc);
  close_rpc (rpc);
  g_clear_object (&rpc);
  give_numbers (taken);
}

static void
test_fds_cancelled (void)
{
  for (Stage stage = BEFORE_SENDING; stage < N_STAGES; stage++)
    check_cancelled (stage);
}

/* The result of a cancelled call is dropped, and its descriptors are closed. */
static void
test_fds_cancelled_result (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_later", TRUE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 50));
  g_autoptr(GUnixFDList) files = new_files (300);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_job_set_fds (job, files);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (job);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_null (afork_job_get_result_fds (job));
  /* The answer comes before the exit. */
  close_rpc (rpc);
}

/* A worker that is killed has received some of the descriptors, and others are in flight, in both
 * directions. */
static void
test_fds_died (void)
{
  enum { N_JOBS = 10 };
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  GAsyncResult *results[N_JOBS] = { NULL };
  int releases[N_JOBS], watched[N_JOBS];

  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(AForkJob) job = new_held_job (&releases[i], &watched[i]);

      afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &results[i]);
      if (i == 0)
        await_job_state (job, AFORK_JOB_STATE_RUNNING);
    }
  iterate ();
  afork_process_send_signal (afork_rpc_get_process (rpc), SIGKILL);
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      g_assert_null (afork_rpc_run_job_finish (rpc, results[i], &error));
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
      g_object_unref (results[i]);
    }
  for (guint i = 0; i < N_JOBS; i++)
    {
      await_closed (watched[i]);
      close (releases[i]);
    }
}

/* The same for a worker that is killed when its results were not read yet. */
static void
test_fds_died_unread (void)
{
  enum { N_JOBS = 4 };
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  GAsyncResult *results[N_JOBS] = { NULL };
  AForkJob *jobs[N_JOBS];
  guint n_answered = 0;
  GPid pid;

  assert_serves (rpc);
  pid = afork_process_get_pid (afork_rpc_get_process (rpc));
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GUnixFDList) files = new_files (100);

      jobs[i] = afork_job_new (do_args ("reverse", 0));
      afork_job_set_fds (jobs[i], files);
      afork_rpc_run_job_async (rpc, jobs[i], NULL, store_result_cb, &results[i]);
    }
  await_job_state (jobs[0], AFORK_JOB_STATE_RUNNING);
  await_sleep (pid);
  g_assert_no_errno (kill (pid, SIGKILL));
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      answer = afork_rpc_run_job_finish (rpc, results[i], &error);
      if (answer != NULL)
        assert_reversed_files (afork_job_get_result_fds (jobs[i]), 100);
      else
        g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
      n_answered += answer != NULL;
      g_object_unref (results[i]);
      g_object_unref (jobs[i]);
    }
  g_test_message ("%u of %u were answered", n_answered, N_JOBS);
}

/* If there is no room for descriptors that a worker sends, the kernel drops them: calls fail with
 * this error, and no descriptor stays open. */
static void
test_fds_no_room (void)
{
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  struct rlimit saved, tight;
  int next;

  if (skip_under_valgrind ("Under valgrind descriptors cannot be limited"))
    return;

  assert_serves (rpc);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  next = dup (STDIN_FILENO);
  close (next);
  tight = (struct rlimit) { (rlim_t) next + 10, saved.rlim_max };
  begin_call (rpc, "fds", 100, NULL, &result);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &tight));
  await_result (&result);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
  g_assert_null (afork_rpc_call_finish (rpc, result, &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES, g_strerror (EMFILE));
}

/* The same in a worker. */
static void
test_fds_no_room_there (void)
{
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 0));
  g_autoptr(GUnixFDList) files = new_files (100);
  g_autoptr(GError) error = NULL;
  struct rlimit tight = { 20, 20 };

  assert_serves (rpc);
  g_assert_no_errno (prlimit (afork_process_get_pid (afork_rpc_get_process (rpc)), RLIMIT_NOFILE,
                              &tight, NULL));
  afork_job_set_fds (job, files);
  g_assert_null (run_job (rpc, job, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_EXITED, g_strerror (EMFILE));
}

/* Drops or restores the capabilities by which this thread may exceed its limits. */
static void
set_capabilities (struct __user_cap_data_struct *saved,
                  gboolean                       restore)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2];

  if (!restore)
    g_assert_no_errno ((int) syscall (SYS_capget, &header, saved));
  memcpy (data, saved, sizeof data);
  if (!restore)
    data[0].effective &= ~((1u << CAP_SYS_RESOURCE) | (1u << CAP_SYS_ADMIN));
  g_assert_no_errno ((int) syscall (SYS_capset, &header, data));
}

static gint64
get_thread_cpu_time (void)
{
  struct timespec time;

  g_assert_no_errno (clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time));
  return time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

/* The kernel limits the descriptors of a user in flight to the number that a process may have open.
 * The rest waits until some have arrived, and the program is not busy meanwhile. */
static void
test_fds_under_way (void)
{
  enum { N_JOBS = 8, N_FILES = 50, PAUSE = 300 };
  g_autoptr(AForkRpc) rpc = new_bounds_rpc ();
  g_autoptr(AForkJob) held = NULL;
  g_autoptr(GAsyncResult) held_result = NULL;
  GAsyncResult *results[N_JOBS] = { NULL };
  struct __user_cap_data_struct capabilities[2];
  struct rlimit saved, tight;
  gboolean passed = FALSE;
  int release, watched;
  gint64 begin, spent;

  held = new_held_job (&release, &watched);
  afork_rpc_run_job_async (rpc, held, NULL, store_result_cb, &held_result);
  await_job_state (held, AFORK_JOB_STATE_RUNNING);
  g_clear_object (&held);

  for (guint32 i = 0; i < N_JOBS; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("number", i));
      g_autoptr(GUnixFDList) files = new_files (N_FILES);

      afork_job_set_fds (job, files);
      afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &results[i]);
    }
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  tight = (struct rlimit) { 2 * N_FILES, saved.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &tight));
  set_capabilities (capabilities, FALSE);

  begin = get_thread_cpu_time ();
  g_timeout_add (PAUSE, set_cb, &passed);
  while (!passed)
    g_main_context_iteration (NULL, TRUE);
  spent = get_thread_cpu_time () - begin;
  g_test_message ("%d ms of a processor in %d ms", (int) (spent / 1000), PAUSE);
  if (!is_instrumented ())
    g_assert_cmpint (spent, <, PAUSE * 1000 / 4);

  close (release);
  await_result (&held_result);
  for (guint32 i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      answer = afork_rpc_run_job_finish (rpc, results[i], &error);
      g_assert_no_error (error);
      assert_uint32 (answer, i);
      g_object_unref (results[i]);
    }
  set_capabilities (capabilities, TRUE);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
  close_rpc (rpc);
  await_closed (watched);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-fds/both-ways", test_fds_both_ways);
  add_test ("/rpc-fds/pipelined", test_fds_pipelined);
  add_test ("/rpc-fds/most", test_fds_most);
  add_test ("/rpc-fds/usual-limit", test_fds_usual_limit);
  add_test ("/rpc-fds/closed/args", test_fds_closed);
  add_test ("/rpc-fds/closed/result", test_fds_closed_result);
  add_test ("/rpc-fds/cancelled/job", test_fds_cancelled);
  add_test ("/rpc-fds/cancelled/result", test_fds_cancelled_result);
  add_test ("/rpc-fds/died/job", test_fds_died);
  add_test ("/rpc-fds/died/unread", test_fds_died_unread);
  add_test ("/rpc-fds/no-room/caller", test_fds_no_room);
  add_test ("/rpc-fds/under-way", test_fds_under_way);
  add_test ("/rpc-fds/no-room/worker", test_fds_no_room_there);

  return g_test_run ();
}
