/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The identity of a job: which jobs are equal, and which jobs have no identity. */

#include "pool/job-identity.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static AForkJob *
new_job (const char *args,
         const char *key)
{
  AForkJob *job = afork_job_new (g_variant_new_parsed (args));

  afork_job_set_key (job, key);
  return job;
}

static AForkJobIdentity
get_identity (AForkJob *job)
{
  AForkJobIdentity identity;

  g_assert_true (_afork_job_identity_init (&identity, afork_job_get_args (job), job));
  return identity;
}

static gboolean
are_equal (AForkJob *left,
           AForkJob *right)
{
  const AForkJobIdentity a = get_identity (left);
  const AForkJobIdentity b = get_identity (right);
  AForkJobIdentity *copy = _afork_job_identity_copy (&b);
  const gboolean result = _afork_job_identity_equal (&a, &b);

  g_assert_true (_afork_job_identity_equal (&b, copy));
  g_assert_cmpuint (_afork_job_identity_hash (&b), ==, _afork_job_identity_hash (copy));
  g_assert_true (_afork_job_identity_equal (&a, copy) == result);
  if (result)
    g_assert_cmpuint (_afork_job_identity_hash (&a), ==, _afork_job_identity_hash (&b));
  _afork_job_identity_free (copy);
  return result;
}

/* All of these jobs differ, and each of them is equal to another job that is made like it. */
static void
test_job_identity_args (void)
{
  const char * const all[] = {
    "()", "('',)", "('a',)", "('a', 'b')", "('ab', '')", "uint32 0", "0", "uint64 0", "0.0", "-0.0",
    "true", "false", "@as []", "@au []", "@ay []", "['a']", "<'a'>", "<<'a'>>", "b'a'", "'a'",
    "@o '/a'", "{'a': 1}", "{'a': 2}", "@ms 'a'", "@ms nothing", "(uint32 1, 'a long text')",
    "(uint32 2, 'a long text')", "(uint32 1, 'a long next')",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (all); j++)
      {
        g_autoptr(AForkJob) left = new_job (all[i], NULL);
        g_autoptr(AForkJob) right = new_job (all[j], NULL);

        if (are_equal (left, right) != (i == j))
          g_error ("%s and %s", all[i], all[j]);
      }
}

static void
test_job_identity_key (void)
{
  const char * const keys[] = { NULL, "", "a", "b", "ab" };

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (keys); j++)
      {
        g_autoptr(AForkJob) left = new_job ("('x', 1)", keys[i]);
        g_autoptr(AForkJob) right = new_job ("('x', 1)", keys[j]);

        g_assert_true (are_equal (left, right) == (i == j));
      }
}

/* A plain call is equal to a job without a key. */
static void
test_job_identity_call (void)
{
  g_autoptr(AForkJob) job = new_job ("('x', 1)", NULL);
  g_autoptr(GVariant) args = g_variant_ref_sink (g_variant_new ("(si)", "x", 1));
  const AForkJobIdentity of_job = get_identity (job);
  AForkJobIdentity of_call;

  g_assert_true (_afork_job_identity_init (&of_call, args, NULL));
  g_assert_true (_afork_job_identity_equal (&of_job, &of_call));
}

static void
test_job_identity_blobs (void)
{
  const char * const texts[][2] = {
    { NULL, NULL }, { "", NULL }, { "a", NULL }, { "b", NULL }, { "a", "b" }, { "ab", "" },
    { "", "ab" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (texts); j++)
      {
        g_autoptr(AForkJob) left = new_job ("('x',)", NULL);
        g_autoptr(AForkJob) right = new_job ("('x',)", NULL);

        for (gsize k = 0; k < 2; k++)
          {
            g_autoptr(GBytes) of_left = g_bytes_new_static (texts[i][k] != NULL ? texts[i][k] : "",
                                                            strlen (texts[i][k] != NULL
                                                                      ? texts[i][k] : ""));
            g_autoptr(GBytes) of_right = g_bytes_new_static (texts[j][k] != NULL ? texts[j][k] : "",
                                                             strlen (texts[j][k] != NULL
                                                                       ? texts[j][k] : ""));

            if (texts[i][k] != NULL)
              afork_job_add_blob (left, of_left);
            if (texts[j][k] != NULL)
              afork_job_add_blob (right, of_right);
          }
        g_assert_true (are_equal (left, right) == (i == j));
      }
}

/* Values with equal bytes are equal, also if they are not in normal form. */
static void
test_job_identity_not_normal (void)
{
  const guint8 bad[] = { 'a', 'b', 0, 200 };
  g_autoptr(GBytes) bytes = g_bytes_new (bad, sizeof bad);
  g_autoptr(AForkJob) left =
    afork_job_new (g_variant_new_from_bytes (G_VARIANT_TYPE_STRING_ARRAY, bytes, FALSE));
  g_autoptr(AForkJob) right =
    afork_job_new (g_variant_new_from_bytes (G_VARIANT_TYPE_STRING_ARRAY, bytes, FALSE));
  g_autoptr(AForkJob) normal = new_job ("@as []", NULL);

  g_assert_false (g_variant_is_normal_form (afork_job_get_args (left)));
  g_assert_true (are_equal (left, right));
  g_assert_false (are_equal (left, normal));
}

static void
test_job_identity_fds (void)
{
  g_autoptr(AForkJob) job = new_job ("('x',)", NULL);
  g_autoptr(GUnixFDList) fds = g_unix_fd_list_new ();
  AForkJobIdentity identity;

  afork_job_set_fds (job, fds);
  g_assert_true (_afork_job_identity_init (&identity, afork_job_get_args (job), job));
  g_assert_cmpint (g_unix_fd_list_append (fds, STDIN_FILENO, NULL), >=, 0);
  g_assert_false (_afork_job_identity_init (&identity, afork_job_get_args (job), job));
}

static AForkJob *
new_large_job (gsize  args_size,
               gsize  blob_size,
               guint8 last)
{
  g_autofree guint8 *data = g_malloc0 (MAX (args_size, blob_size) + 1);
  AForkJob *job;

  data[args_size > 0 ? args_size - 1 : 0] = last;
  job = afork_job_new (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, args_size, 1));
  if (blob_size > 0)
    {
      g_autoptr(GBytes) blob = g_bytes_new (data, blob_size);

      afork_job_add_blob (job, blob);
    }
  return job;
}

static void
test_job_identity_large (void)
{
  const gsize size = AFORK_JOB_IDENTITY_MAX_SIZE;
  const struct { gsize args_size; gsize blob_size; const char *key; } too_large[] = {
    { size + 1, 0, NULL }, { size, 0, "k" }, { size - 9, 10, NULL }, { 1, size, NULL },
  };
  g_autoptr(AForkJob) left = new_large_job (size, 0, 0);
  g_autoptr(AForkJob) right = new_large_job (size, 0, 0);
  g_autoptr(AForkJob) other = new_large_job (size, 0, 1);
  gdouble best = G_MAXDOUBLE;

  g_assert_true (are_equal (left, right));
  g_assert_false (are_equal (left, other));
  for (gsize i = 0; i < G_N_ELEMENTS (too_large); i++)
    {
      g_autoptr(AForkJob) job = new_large_job (too_large[i].args_size, too_large[i].blob_size, 0);
      AForkJobIdentity identity;

      afork_job_set_key (job, too_large[i].key);
      g_assert_false (_afork_job_identity_init (&identity, afork_job_get_args (job), job));
    }

  /* A turn of the library has 4 ms, and hashing one identity may take only a part of it. */
  for (guint i = 0; i < 20; i++)
    {
      const clock_t begin = clock ();

      get_identity (left);
      best = MIN (best, (gdouble) (clock () - begin) / CLOCKS_PER_SEC);
    }
  g_test_message ("hashing 1 MiB took %.2f ms", best * 1000);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/job-identity/args", test_job_identity_args);
  g_test_add_func ("/job-identity/key", test_job_identity_key);
  g_test_add_func ("/job-identity/call", test_job_identity_call);
  g_test_add_func ("/job-identity/blobs", test_job_identity_blobs);
  g_test_add_func ("/job-identity/not-normal", test_job_identity_not_normal);
  g_test_add_func ("/job-identity/fds", test_job_identity_fds);
  g_test_add_func ("/job-identity/large", test_job_identity_large);

  return g_test_run ();
}
