/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Blobs beside arguments and results, and the shared memory they travel in. */

#include <afork/afork.h>
#include <string.h>

#include "test-util.h"

/* As afork-segments-private.h has them. */
enum
{
  MIN_SEGMENT = 32 * 1024,
  MIN_SEALED = 32 * 1024 * 1024,
  MAX_SEGMENTS = 64,
};

static AForkRpc *
new_rpc (const char *function,
         gboolean    trusted)
{
  g_autoptr(AForkProcess) process = afork_process_require (afork_process_new (), "blobs");

  return g_object_new (AFORK_TYPE_RPC, "process", process, "function", function,
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
 * job, which has them; *N_SEGMENTS, if not NULL, becomes what the worker has mapped. */
static AForkJob *
make (AForkRpc *rpc,
      guint32   size,
      guint32   n,
      char      letter,
      GBytes   *sent,
      guint32  *n_segments)
{
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(uuu)", size, n, (guint32) letter));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  if (sent != NULL)
    afork_job_add_blob (job, sent);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  answer = afork_rpc_run_job_finish (rpc, result, &error);
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
close_rpc (AForkRpc *rpc)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_rpc_close_async (rpc, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_true (afork_rpc_close_finish (rpc, result, &error));
  g_assert_no_error (error);
}

static void
check_sizes (gboolean trusted)
{
  const guint32 sizes[] = {
    0, 1, MIN_SEGMENT - 1, MIN_SEGMENT, MIN_SEGMENT + 1, 1000000, MIN_SEALED - 1, MIN_SEALED,
    MIN_SEALED + 1,
  };
  g_autoptr(AForkRpc) rpc = new_rpc ("blobs_make", trusted);

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
  g_autoptr(AForkRpc) rpc = new_rpc ("blobs_make", TRUE);
  g_autoptr(GBytes) sent = new_blob (1024 * 1024, 's');

  for (guint i = 0; i < 50; i++)
    {
      guint32 n_segments;
      g_autoptr(AForkJob) job = make (rpc, 1024 * 1024, 1, (char) ('a' + i % 26), sent,
                                      &n_segments);

      assert_blob (get_blob (job, 0), 1024 * 1024, (char) ('a' + i % 26));
      assert_blob (get_blob (job, 1), 1024 * 1024, 's');
      /* At most two for each of the two blobs of the worker, and for the caller's. */
      g_assert_cmpuint (n_segments, <=, 6);
      g_assert_cmpuint (count_segments (), <=, 6);
    }
  close_rpc (rpc);
}

/* What is kept does not change, and when all segments are in use blobs come all the same. */
static void
test_blobs_kept (Census        *census,
                 gconstpointer  data)
{
  enum { N_KEPT = 2 * MAX_SEGMENTS };
  GBytes *kept[N_KEPT];

  {
    g_autoptr(AForkRpc) rpc = new_rpc ("blobs_make", TRUE);

    for (guint i = 0; i < N_KEPT; i++)
      {
        g_autoptr(AForkJob) job = make (rpc, MIN_SEGMENT, 1, (char) i, NULL, NULL);

        kept[i] = g_bytes_ref (get_blob (job, 0));
      }
    g_assert_cmpuint (count_segments (), ==, MAX_SEGMENTS);
    close_rpc (rpc);
  }

  /* They outlive the worker, and the object. */
  for (guint i = 0; i < N_KEPT; i++)
    {
      assert_blob (kept[i], MIN_SEGMENT, (char) i);
      g_bytes_unref (kept[i]);
    }
  g_assert_cmpuint (count_segments (), ==, 0);
}

static gpointer
unref_thread (gpointer data)
{
  g_bytes_unref (data);
  return NULL;
}

/* The worker's bytes are given back by a thread, while nothing else happens here: what is idle
 * beyond the bound then ends. */
static void
test_blobs_thread (Census        *census,
                   gconstpointer  data)
{
  const guint32 size = 40 * 1024 * 1024;
  g_autoptr(AForkRpc) rpc = new_rpc ("blobs_make", TRUE);
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

static void
test_blobs_too_large (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("blobs_make", TRUE);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(uuu)", 0, 0, 0));
  g_autoptr(GBytes) blob = new_blob (64 * 1024 * 1024, 'x');
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 17; i++)
    afork_job_add_blob (job, blob);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE);
  close_rpc (rpc);
}

/* What a worker that breaks the protocol as HOW says leads to: 0 if it does not break it. */
static void
check_hostile (const char *how,
               gboolean    trusted,
               int         code)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("blobs_hostile", trusted);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string (how));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_test_message ("%s", how);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  answer = afork_rpc_run_job_finish (rpc, result, &error);
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
    "unsealed", "writable", "short", "holes", "giant", "empty", "pipe", "file", "number-zero",
    "twice", "many", "strange", "beyond", "end-strange", "release-strange", "sealed-not",
    "sealed-short", "sealed-holes", "sealed-giant", "sealed-without",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++)
    check_hostile (ways[i], TRUE, AFORK_ERROR_PROTOCOL);
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
  add_with_census ("/blobs/thread", test_blobs_thread);
  add_with_census ("/blobs/too-large", test_blobs_too_large);
  add_with_census ("/blobs/hostile", test_blobs_hostile);
  return g_test_run ();
}
