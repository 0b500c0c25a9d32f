/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Blobs with arguments and results, and the shared memory that carries them. */

#include "config.h"

#include "test-rpc-util.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* As stream/segments.h has them. */
enum
{
  MIN_SEGMENT = 32 * 1024,
  MIN_SEALED = 32 * 1024 * 1024,
  MAX_SEGMENT = 64 * 1024 * 1024,
  MAX_SEGMENTS = 64,
};

static AForkRpc *
new_trusted_rpc (const char *function,
                 gboolean    trusted)
{
  gboolean is_bounds = g_str_has_prefix (function, "bounds");
  g_autoptr(AForkProcess) process = new_module_process (is_bounds ? "bounds" : "blobs");

  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", function,
                       "concurrent", g_str_equal (function, "bounds_later"),
                       "forward-stderr", FALSE, "trusted", trusted, NULL);
}

static guint
count_segments (void)
{
  g_autofree char *maps = NULL;
  guint n_segments = 0;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
  for (char *at = maps; (at = strstr (at, "memfd:afork-blob")) != NULL; at++)
    n_segments++;
  return n_segments;
}

static GBytes *
new_blob (gsize size,
          char  letter)
{
  return g_bytes_new_take (memset (g_malloc (size + 1), letter, size), size);
}

static void
assert_blob (GBytes *blob,
             gsize   size,
             char    letter)
{
  g_autoptr(GBytes) expected = new_blob (size, letter);

  g_assert_cmpuint (g_bytes_get_size (blob), ==, size);
  g_assert_true (g_bytes_equal (blob, expected));
}

/* Has the worker make N blobs of SIZE, and return those of SENT, which may be NULL. Returns the
 * job, which has them. Sets *N_SEGMENTS, unless it is NULL, to the number of segments that the
 * worker has mapped. */
static AForkJob *
make (AForkRpc *rpc,
      guint32   size,
      guint32   n,
      char      letter,
      GBytes   *sent,
      guint32  *n_segments)
{
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(uuu)", size, n, (guint32) letter));
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  if (sent != NULL)
    afork_job_add_blob (job, sent);
  answer = run_job (rpc, job, &error);
  g_assert_no_error (error);
  if (n_segments != NULL)
    *n_segments = g_variant_get_uint32 (answer);
  return g_steal_pointer (&job);
}

static GBytes *
get_blob (AForkJob *job,
          gsize     index)
{
  gsize n_blobs;
  GBytes **blobs = afork_job_get_result_blobs (job, &n_blobs);

  g_assert_cmpuint (index, <, n_blobs);
  return blobs[index];
}

static void
check_sizes (gboolean trusted)
{
  const guint32 sizes[] = {
    0, 1, MIN_SEGMENT - 1, MIN_SEGMENT, MIN_SEGMENT + 1, 1000000, MIN_SEALED - 1, MIN_SEALED,
    MIN_SEALED + 1,
  };
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", trusted);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr(GBytes) sent = new_blob (sizes[i], 's');
      g_autoptr(AForkJob) job = make (rpc, sizes[i], 3, 'm', sent, NULL);

      for (gsize k = 0; k < 3; k++)
        assert_blob (get_blob (job, k), sizes[i], 'm');
      assert_blob (get_blob (job, 3), sizes[i], 's');
    }
  close_rpc (rpc);
}

static void
test_blobs_sizes_trusted (Census        *census,
                          gconstpointer  data)
{
  check_sizes (TRUE);
}

static void
test_blobs_sizes_untrusted (Census        *census,
                            gconstpointer  data)
{
  check_sizes (FALSE);
}

static void
test_blobs_reuse (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", TRUE);
  g_autoptr(GBytes) sent = new_blob (1024 * 1024, 's');

  for (guint i = 0; i < 50; i++)
    {
      guint32 n_segments;
      g_autoptr(AForkJob) job = make (rpc, 1024 * 1024, 1, (char) ('a' + i % 26), sent,
                                      &n_segments);

      assert_blob (get_blob (job, 0), 1024 * 1024, (char) ('a' + i % 26));
      assert_blob (get_blob (job, 1), 1024 * 1024, 's');
      /* At most two for each of the two blobs of the worker, and for that of the caller. */
      g_assert_cmpuint (n_segments, <=, 6);
      g_assert_cmpuint (count_segments (), <=, 6);
    }
  close_rpc (rpc);
}

/* Blobs that are kept do not change, and blobs come even if all segments are in use. */
static void
test_blobs_kept (Census        *census,
                 gconstpointer  data)
{
  enum { N_KEPT = 2 * MAX_SEGMENTS };
  GBytes *kept[N_KEPT];

  {
    g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", TRUE);

    for (guint i = 0; i < N_KEPT; i++)
      {
        g_autoptr(AForkJob) job = make (rpc, MIN_SEGMENT, 1, (char) i, NULL, NULL);

        kept[i] = g_bytes_ref (get_blob (job, 0));
      }
    g_assert_cmpuint (count_segments (), ==, MAX_SEGMENTS);
    close_rpc (rpc);
  }

  /* They outlive the worker and the object. */
  for (guint i = 0; i < N_KEPT; i++)
    {
      assert_blob (kept[i], MIN_SEGMENT, (char) i);
      g_bytes_unref (kept[i]);
    }
  g_assert_cmpuint (count_segments (), ==, 0);
}

/* Some languages give a program the bytes of a GBytes for writing. */

/* Which bytes are written to: the first, and then one each so many. */
static const struct { guint32 first, step; } scribbles[] = {
  { 0, G_MAXINT32 }, { 1024 * 1024 - 1, G_MAXINT32 }, { 5000, G_MAXINT32 }, { 0, 1 }, { 1, 8192 },
  { 7, 4096 }, { 600 * 1024, 64 }, { 0, 3 * 4096 },
};

enum { N_SCRIBBLES = 3 * G_N_ELEMENTS (scribbles) };

static void
scribble (GBytes *blob,
          guint   which)
{
  gsize size;
  char *bytes = (char *) g_bytes_get_data (blob, &size);

  for (gsize at = scribbles[which].first; at < size; at += scribbles[which].step)
    bytes[at] = '!';
}

/* What the program writes to a blob is dropped with the blob: the next blob in the same memory is
 * as it was sent. GIVE_UP drops the job that has the blob. */
static void
check_written (void (*give_up) (AForkJob *job))
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", TRUE);

  for (guint i = 0; i < N_SCRIBBLES; i++)
    {
      g_autoptr(AForkJob) job = make (rpc, 1024 * 1024, 1, (char) ('a' + (char) i), NULL, NULL);

      assert_blob (get_blob (job, 0), 1024 * 1024, (char) ('a' + (char) i));
      scribble (get_blob (job, 0), i % G_N_ELEMENTS (scribbles));
      give_up (g_steal_pointer (&job));
      g_assert_cmpuint (count_segments (), <=, 2);
    }
  close_rpc (rpc);
}

static void
give_up_here (AForkJob *job)
{
  g_object_unref (job);
}

static gpointer
unref_job_thread (gpointer data)
{
  g_object_unref (data);
  return NULL;
}

static void
give_up_in_thread (AForkJob *job)
{
  g_thread_join (g_thread_new ("unref", unref_job_thread, job));
}

/* /proc/self/pagemap cannot be opened then, which shows what was written to. */
static void
give_up_without_descriptors (AForkJob *job)
{
  struct rlimit saved, none;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  none = (struct rlimit) { 0, saved.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  g_object_unref (job);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
}

static void
test_blobs_written_caller (Census        *census,
                           gconstpointer  data)
{
  check_written (give_up_here);
  check_written (give_up_in_thread);
  check_written (give_up_without_descriptors);
}

static void
test_blobs_written_locked (Census        *census,
                           gconstpointer  data)
{
  if (mlockall (MCL_CURRENT | MCL_FUTURE) < 0)
    {
      g_test_skip ("Memory cannot be locked");
      return;
    }
  check_written (give_up_here);
  g_assert_no_errno (munlockall ());
}

static void
test_blobs_written_worker (Census        *census,
                           gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_scribble", TRUE);

  for (guint i = 0; i < N_SCRIBBLES; i++)
    {
      const guint which = i % G_N_ELEMENTS (scribbles);
      g_autoptr(AForkJob) job = NULL;
      g_autoptr(GBytes) sent = new_blob (1024 * 1024, (char) ('a' + (char) i));
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      job = afork_job_new (g_variant_new ("(uu)", scribbles[which].first, scribbles[which].step));
      afork_job_add_blob (job, sent);
      answer = run_job (rpc, job, &error);
      g_assert_no_error (error);
      assert_blob (get_blob (job, 0), 1024 * 1024, (char) ('a' + (char) i));
      g_assert_cmpuint (count_segments (), <=, 4);
    }
  close_rpc (rpc);
}

/* How much private memory the mapped blobs have, in KiB. */
static guint64
measure_copies (void)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  gboolean of_blob = FALSE;
  guint64 n_kib = 0;

  g_assert_true (g_file_get_contents ("/proc/self/smaps", &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (g_ascii_isxdigit (*lines[i]) && strchr (lines[i], '-') != NULL)
      of_blob = strstr (lines[i], "memfd:afork-blob") != NULL;
    else if (of_blob && g_str_has_prefix (lines[i], "Anonymous:"))
      n_kib += g_ascii_strtoull (lines[i] + strlen ("Anonymous:"), NULL, 10);
  return n_kib;
}

/* Writable memory costs nothing, but each page that is written to is copied. */
static void
check_copies (gboolean trusted,
              guint32  size)
{
  const guint64 n_page_kib = (guint64) sysconf (_SC_PAGESIZE) / 1024;
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", trusted);
  g_autoptr(AForkJob) job = make (rpc, size, 1, 'x', NULL, NULL);
  char *bytes = (char *) g_bytes_get_data (get_blob (job, 0), NULL);

  g_assert_cmpuint (count_segments (), ==, 1);
  assert_blob (get_blob (job, 0), size, 'x');
  g_assert_cmpuint (measure_copies (), ==, 0);
  bytes[0] = bytes[size - 1] = '!';
  g_assert_cmpuint (measure_copies (), ==, 2 * n_page_kib);
  g_clear_object (&job);
  g_assert_cmpuint (measure_copies (), ==, 0);
  close_rpc (rpc);
}

static void
test_blobs_written_memory (Census        *census,
                           gconstpointer  data)
{
  if (skip_under_valgrind ("Under valgrind memory is not what it is"))
    return;
  check_copies (TRUE, 1024 * 1024);
  check_copies (TRUE, 64 * 1024 * 1024);
  check_copies (FALSE, (is_instrumented () ? 1 : 8) * MIN_SEALED);
}

/* Under RLIMIT_FSIZE, which also limits shared memory. */

static gboolean
is_blocked (int number)
{
  sigset_t mask;

  g_assert_cmpint (pthread_sigmask (SIG_BLOCK, NULL, &mask), ==, 0);
  return sigismember (&mask, number) == 1;
}

static gboolean
is_pending (int number)
{
  sigset_t signals;

  g_assert_no_errno (sigpending (&signals));
  return sigismember (&signals, number) == 1;
}

static void
limit_files (pid_t  pid,
             rlim_t size)
{
  struct rlimit limit;

  g_assert_no_errno (prlimit (pid, RLIMIT_FSIZE, NULL, &limit));
  limit.rlim_cur = MIN (size, limit.rlim_max);
  g_assert_no_errno (prlimit (pid, RLIMIT_FSIZE, &limit, NULL));
}

/* Sends blobs of up to LARGEST bytes while file sizes are limited. */
static void
check_limited (gboolean trusted,
               rlim_t   here,
               rlim_t   there,
               guint32  largest)
{
  const guint32 sizes[] = { MIN_SEGMENT, 1024 * 1024, MIN_SEALED + 1 };
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", trusted);

  g_object_unref (make (rpc, 1, 1, 'a', NULL, NULL));
  limit_files (afork_process_get_pid (afork_rpc_get_process (rpc)), there);
  limit_files (0, here);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes) && sizes[i] <= largest; i++)
    {
      g_autoptr(GBytes) sent = new_blob (sizes[i], 's');
      g_autoptr(AForkJob) job = make (rpc, sizes[i], 2, 'm', sent, NULL);

      assert_blob (get_blob (job, 0), sizes[i], 'm');
      assert_blob (get_blob (job, 1), sizes[i], 'm');
      assert_blob (get_blob (job, 2), sizes[i], 's');
    }
  limit_files (0, RLIM_INFINITY);
  close_rpc (rpc);
}

/* Blobs come nevertheless, no signal ends either side, and the file of this process stays as it
 * was. */
static void
test_blobs_file_size (Census        *census,
                      gconstpointer  data)
{
  const rlim_t limits[] = { RLIM_INFINITY, 0, 4096, 512 * 1024, MIN_SEALED };

  for (gsize i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      /* Sealed memory takes long. */
      guint32 largest = limits[i] == 0 || limits[i] == MIN_SEALED ? G_MAXUINT32 : MIN_SEALED;

      check_limited (TRUE, limits[i], RLIM_INFINITY, largest);
      check_limited (TRUE, RLIM_INFINITY, limits[i], largest);
      check_limited (FALSE, limits[i], limits[i], largest);
    }
  g_assert_false (is_blocked (SIGXFSZ));
  g_assert_false (is_pending (SIGXFSZ));
}

/* A pending signal of the program stays pending. */
static void
test_blobs_file_size_pending (Census        *census,
                              gconstpointer  data)
{
  sigset_t signals, saved;
  int number;

  sigemptyset (&signals);
  sigaddset (&signals, SIGXFSZ);
  g_assert_cmpint (pthread_sigmask (SIG_BLOCK, &signals, &saved), ==, 0);
  check_limited (TRUE, 0, RLIM_INFINITY, G_MAXUINT32);
  g_assert_true (is_blocked (SIGXFSZ));
  g_assert_false (is_pending (SIGXFSZ));

  g_assert_cmpint (raise (SIGXFSZ), ==, 0);
  check_limited (TRUE, 0, RLIM_INFINITY, G_MAXUINT32);
  g_assert_true (is_blocked (SIGXFSZ));
  g_assert_true (is_pending (SIGXFSZ));
  g_assert_cmpint (sigwait (&signals, &number), ==, 0);
  g_assert_cmpint (pthread_sigmask (SIG_SETMASK, &saved, NULL), ==, 0);
}

static gpointer
unref_thread (gpointer data)
{
  g_bytes_unref (data);
  return NULL;
}

/* A thread gives up the blobs of the worker, while nothing else happens here: idle segments beyond
 * the limit are freed. */
static void
test_blobs_thread (Census        *census,
                   gconstpointer  data)
{
  const guint32 size = 40 * 1024 * 1024;
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", TRUE);
  GBytes *kept[3];

  {
    g_autoptr(AForkJob) job = make (rpc, size, 3, 'x', NULL, NULL);

    for (gsize i = 0; i < 3; i++)
      kept[i] = g_bytes_ref (get_blob (job, i));
  }
  g_assert_cmpuint (count_segments (), ==, 3);
  for (gsize i = 0; i < 3; i++)
    g_thread_unref (g_thread_new ("unref", unref_thread, kept[i]));

  while (count_segments () > 1)
    g_main_context_iteration (NULL, TRUE);
  close_rpc (rpc);
}

/* Blobs that are sent in all ways, together with each other and with descriptors. */

static const gsize mixed_sizes[] = {
  0, 3, MIN_SEGMENT, 100, 3 * MIN_SEGMENT, MIN_SEGMENT - 1, 1024 * 1024, 1,
};

/* A job whose descriptors are the ends of a pipe. Its blobs are filled with letters from LETTER
 * on. */
static AForkJob *
new_mixed_job (guint    delay,
               char     letter,
               gboolean with_fds)
{
  AForkJob *job = afork_job_new (do_args ("reverse", delay));

  for (gsize i = 0; i < G_N_ELEMENTS (mixed_sizes); i++)
    {
      g_autoptr(GBytes) blob = new_blob (mixed_sizes[i], (char) (letter + (char) i));

      afork_job_add_blob (job, blob);
    }
  if (with_fds)
    {
      g_autoptr(GUnixFDList) list = NULL;
      int fds[2];

      g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
      list = g_unix_fd_list_new_from_array (fds, 2);
      afork_job_set_fds (job, list);
    }
  return job;
}

/* They come back in reverse order, and so do the descriptors: what is written to the first can be
 * read from the second. */
static void
assert_mixed_results (AForkJob *job,
                      char      letter,
                      gboolean  with_fds)
{
  const gsize n_blobs = G_N_ELEMENTS (mixed_sizes);
  gsize n_results;

  afork_job_get_result_blobs (job, &n_results);
  g_assert_cmpuint (n_results, ==, n_blobs);
  for (gsize i = 0; i < n_blobs; i++)
    assert_blob (get_blob (job, n_blobs - 1 - i), mixed_sizes[i], (char) (letter + (char) i));
  if (with_fds)
    {
      const int *fds = g_unix_fd_list_peek_fds (afork_job_get_result_fds (job), NULL);
      char byte = 0;

      g_assert_cmpint (write (fds[0], &letter, 1), ==, 1);
      g_assert_cmpint (read (fds[1], &byte, 1), ==, 1);
      g_assert_cmpint (byte, ==, letter);
    }
}

/* Many calls at a time, answered in another order. Some have been cancelled. */
static void
check_in_flight (const char *function,
                 gboolean    trusted)
{
  enum { N_JOBS = 24 };
  g_autoptr(AForkRpc) rpc = new_trusted_rpc (function, trusted);
  GAsyncResult *results[N_JOBS] = { NULL };
  AForkJob *jobs[N_JOBS];

  for (guint i = 0; i < N_JOBS; i++)
    {
      jobs[i] = new_mixed_job (i * 7 % 20, (char) i, i % 3 == 0);
      afork_rpc_run_job_async (rpc, jobs[i], NULL, store_result_cb, &results[i]);
    }
  for (guint i = 0; i < N_JOBS; i += 5)
    afork_job_cancel (jobs[i]);
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      answer = afork_rpc_run_job_finish (rpc, results[i], &error);
      if (i % 5 == 0)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else
        {
          g_assert_no_error (error);
          assert_mixed_results (jobs[i], (char) i, i % 3 == 0);
        }
      g_object_unref (results[i]);
    }
  for (guint i = 0; i < N_JOBS; i++)
    g_object_unref (jobs[i]);
  close_rpc (rpc);
}

static void
test_blobs_in_flight (Census        *census,
                      gconstpointer  data)
{
  check_in_flight ("bounds_do", TRUE);
  check_in_flight ("bounds_later", TRUE);
  check_in_flight ("bounds_do", FALSE);
  check_in_flight ("bounds_later", FALSE);
}

/* Sealed blobs are sent as descriptors after those of the result. */
static void
test_blobs_sealed_with_fds (Census        *census,
                            gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("bounds_do", FALSE);
  g_autoptr(AForkJob) job = new_mixed_job (0, 'a', TRUE);
  g_autoptr(GBytes) large = new_blob (MIN_SEALED, 'x');
  g_autoptr(GBytes) small = new_blob (5, 'y');
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  const int *fds;
  int n_fds;

  afork_job_add_blob (job, large);
  afork_job_add_blob (job, small);
  afork_job_add_blob (job, large);
  answer = run_job (rpc, job, &error);
  g_assert_no_error (error);
  assert_blob (get_blob (job, 0), MIN_SEALED, 'x');
  assert_blob (get_blob (job, 1), 5, 'y');
  assert_blob (get_blob (job, 2), MIN_SEALED, 'x');
  for (gsize i = 0; i < G_N_ELEMENTS (mixed_sizes); i++)
    assert_blob (get_blob (job, G_N_ELEMENTS (mixed_sizes) + 2 - i), mixed_sizes[i],
                 (char) ('a' + (char) i));
  fds = g_unix_fd_list_peek_fds (afork_job_get_result_fds (job), &n_fds);
  g_assert_cmpint (n_fds, ==, 2);
  g_assert_cmpint (write (fds[0], "z", 1), ==, 1);
  close_rpc (rpc);
}

/* Results for cancelled calls are given back like others. */
static void
test_blobs_cancelled (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("bounds_later", TRUE);
  guint n_cancelled = 0;

  for (guint i = 0; i < 200; i++)
    {
      g_autoptr(AForkJob) job = new_mixed_job (i % 10, 'a', i % 2 == 0);
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
      while (afork_job_get_state (job) < AFORK_JOB_STATE_RUNNING)
        g_main_context_iteration (NULL, TRUE);
      afork_job_cancel (job);
      await_result (&result);
      answer = afork_rpc_run_job_finish (rpc, result, &error);
      if (answer != NULL)
        continue;
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      n_cancelled++;
    }
  g_test_message ("%u were cancelled in time", n_cancelled);
  g_assert_cmpuint (n_cancelled, >, 0);
  /* In both directions. */
  g_assert_cmpuint (count_segments (), <=, 2 * MAX_SEGMENTS);
  close_rpc (rpc);
  g_clear_object (&rpc);
  g_assert_cmpuint (count_segments (), ==, 0);
}

/* A call is cancelled while its blob is being copied. */
static void
test_blobs_cancelled_copy (Census        *census,
                           gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", TRUE);
  g_autoptr(AForkJob) first G_GNUC_UNUSED = make (rpc, 1, 1, 'm', NULL, NULL);
  g_autoptr(GBytes) large = new_blob (MAX_SEGMENT - 1, 'l');
  g_autoptr(GBytes) other = new_blob (1000000, 'o');

  for (guint i = 0; i < 4; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(uuu)", 0, 0, (guint32) 'm'));
      g_autoptr(AForkJob) next = NULL;
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;

      afork_job_add_blob (job, large);
      afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
      for (guint k = 0; k < i; k++)
        g_main_context_iteration (NULL, FALSE);
      afork_job_cancel (job);
      await_result (&result);
      g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

      next = make (rpc, 1, 1, 'm', other, NULL);
      assert_blob (get_blob (next, 1), 1000000, 'o');
    }
  close_rpc (rpc);
}

static guint
count_worker_segments (AForkRpc *rpc)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = call (rpc, do_args ("segments", 0), &error);

  g_assert_no_error (error);
  return g_variant_get_uint32 (answer);
}

static void
send_kept (AForkRpc *rpc,
           GBytes   *blob)
{
  g_autoptr(AForkJob) job = afork_job_new (do_args ("keep", 0));
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  afork_job_add_blob (job, blob);
  answer = run_job (rpc, job, &error);
  g_assert_no_error (error);
}

/* A worker that keeps its blobs gets so many segments of this side, and gets further blobs in
 * another way. */
static void
test_blobs_kept_there (Census        *census,
                       gconstpointer  data)
{
  enum { N_KEPT = MAX_SEGMENTS + 20 };
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("bounds_do", TRUE);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < N_KEPT; i++)
    {
      char letter = (char) ('0' + (char) (i % 64));
      g_autoptr(GBytes) blob = new_blob (MIN_SEGMENT, letter);

      send_kept (rpc, blob);
      g_string_append_c (expected, letter);
      g_assert_cmpuint (count_segments (), ==, MIN (i + 1, MAX_SEGMENTS));
    }
  g_assert_cmpuint (count_worker_segments (rpc), ==, MAX_SEGMENTS);
  answer = call (rpc, do_args ("kept", 0), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (answer, NULL), ==, expected->str);
  close_rpc (rpc);
  g_clear_object (&rpc);
  g_assert_cmpuint (count_segments (), ==, 0);
}

/* All segments of a side have at most 1 GiB. Further blobs are sent without segments. */
static void
test_blobs_bytes (Census        *census,
                  gconstpointer  data)
{
  enum { LARGE = 64 * 1024 * 1024, N_LARGE = 16 };
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("bounds_do", TRUE);
  g_autoptr(AForkJob) all = afork_job_new (do_args ("large-blobs", N_LARGE));
  g_autoptr(AForkJob) more = afork_job_new (do_args ("large-blobs", 1));
  g_autoptr(GVariant) answer = NULL, more_answer = NULL, kept = NULL;
  g_autoptr(GBytes) huge = NULL;
  g_autoptr(GError) error = NULL;

  if (is_instrumented ())
    {
      g_test_skip ("It would take too long");
      return;
    }

  /* If there is less memory to share, there are fewer segments. */
  answer = run_job (rpc, all, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_segments (), <=, N_LARGE);
  more_answer = run_job (rpc, more, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_segments (), <=, N_LARGE);
  g_assert_cmpuint (g_bytes_get_size (get_blob (all, N_LARGE - 1)), ==, LARGE);
  assert_blob (get_blob (more, 0), LARGE, '\0');
  g_clear_object (&all);
  g_clear_object (&more);

  huge = new_blob (6 * LARGE, 'h');
  for (guint i = 0; i < 3; i++)
    send_kept (rpc, huge);
  kept = call (rpc, do_args ("kept", 0), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (kept, NULL), ==, "hhh");
  g_assert_cmpuint (count_segments (), <=, 2 + 1);
  close_rpc (rpc);
}

static void
test_blobs_too_large (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_make", TRUE);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(uuu)", 0, 0, 0));
  g_autoptr(GBytes) blob = new_blob (64 * 1024 * 1024, 'x');
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 17; i++)
    afork_job_add_blob (job, blob);
  g_assert_null (run_job (rpc, job, &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1073741824");
  close_rpc (rpc);
}

/* The error of a worker that breaks the protocol as HOW says, or 0 if it does not break it. */
static void
check_hostile (const char *how,
               gboolean    trusted,
               int         code)
{
  g_autoptr(AForkRpc) rpc = new_trusted_rpc ("blobs_hostile", trusted);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string (how));
  GSource *deadline = deadline_new (how);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_test_message ("%s", how);
  answer = run_job (rpc, job, &error);
  deadline_clear (deadline);
  if (code != 0)
    g_assert_error (error, AFORK_ERROR, code);
  else
    {
      g_assert_no_error (error);
      assert_blob (get_blob (job, 0), 1024 * 1024, '\0');
      afork_process_force_exit (afork_rpc_get_process (rpc));
    }
  await_end (afork_rpc_get_process (rpc));
  assert_term_signal (afork_rpc_get_process (rpc), SIGKILL);
}

static void
test_blobs_hostile (Census        *census,
                    gconstpointer  data)
{
  const char * const ways[] = {
    "unsealed", "writable", "short", "holes", "holes-pages-beyond", "giant", "empty", "pipe",
    "file", "number-zero", "twice", "many", "strange", "beyond", "end-strange", "release-strange",
    "sealed-not", "sealed-short", "sealed-holes", "sealed-holes-pages-beyond", "sealed-giant",
    "sealed-without",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++)
    check_hostile (ways[i], TRUE, AFORK_ERROR_PROTOCOL);
  if (!is_instrumented ())
    {
      check_hostile ("inline-large", TRUE, AFORK_ERROR_PROTOCOL);
      check_hostile ("inline-pieces", TRUE, AFORK_ERROR_PROTOCOL);
    }
  check_hostile ("right", TRUE, 0);
  check_hostile ("shrink", TRUE, 0);
  check_hostile ("right", FALSE, AFORK_ERROR_PROTOCOL);
  g_assert_cmpuint (count_segments (), ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_census ("/blobs/sizes/trusted", test_blobs_sizes_trusted);
  add_with_census ("/blobs/sizes/untrusted", test_blobs_sizes_untrusted);
  add_with_census ("/blobs/reuse", test_blobs_reuse);
  add_with_census ("/blobs/kept", test_blobs_kept);
  add_with_census ("/blobs/written/caller", test_blobs_written_caller);
  add_with_census ("/blobs/written/locked", test_blobs_written_locked);
  add_with_census ("/blobs/written/worker", test_blobs_written_worker);
  add_with_census ("/blobs/written/memory", test_blobs_written_memory);
  add_with_census ("/blobs/file-size/limited", test_blobs_file_size);
  add_with_census ("/blobs/file-size/pending", test_blobs_file_size_pending);
  add_with_census ("/blobs/thread", test_blobs_thread);
  add_with_census ("/blobs/in-flight", test_blobs_in_flight);
  add_with_census ("/blobs/sealed-with-fds", test_blobs_sealed_with_fds);
  add_with_census ("/blobs/cancelled", test_blobs_cancelled);
  add_with_census ("/blobs/cancelled-copy", test_blobs_cancelled_copy);
  add_with_census ("/blobs/kept-there", test_blobs_kept_there);
  add_with_census ("/blobs/bytes", test_blobs_bytes);
  add_with_census ("/blobs/too-large", test_blobs_too_large);
  add_with_census ("/blobs/hostile", test_blobs_hostile);
  return g_test_run ();
}
