/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The limits of calls. Where something over a limit is made, it is refused with an error that names
 * the limit, and the worker goes on. */

#include <string.h>

#include "test-rpc-util.h"
#include "zeros.h"

enum
{
  MIB = 1024 * 1024,
  /* A frame has 1 GiB, and eight bytes of it are the type. */
  LARGEST = 1024 * MIB - 8,
  MAX_BLOBS = 1024,
};

/* No two parts of it are the same. */
static GBytes *
new_pattern (gsize size,
             guint seed)
{
  enum { PIECE = 4096 };
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i += PIECE)
    {
      guint32 number = seed + (guint32) i;

      memset (bytes + i, (int) (i / PIECE), MIN (PIECE, size - i));
      memcpy (bytes + i, &number, sizeof number);
    }
  return g_bytes_new_take (bytes, size);
}

/* Values and blobs, one of each in a call. */
static void
test_32_mib (void)
{
  g_autoptr(AForkRpc) echo = new_rpc ("calls_echo");
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GBytes) bytes = new_pattern (32 * MIB, 1);
  g_autoptr(GBytes) other = new_pattern (32 * MIB, 2);
  g_autoptr(GVariant) args =
    g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("au"), bytes, FALSE));
  g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 0));
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GBytes) back = NULL;
  g_autoptr(GError) error = NULL;
  GBytes **blobs;
  gsize n_blobs;

  value = call (echo, args, &error);
  g_assert_no_error (error);
  back = g_variant_get_data_as_bytes (value);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "au");
  g_assert_true (g_bytes_equal (back, bytes));

  afork_job_add_blob (job, bytes);
  afork_job_add_blob (job, other);
  answer = run_job (rpc, job, &error);
  g_assert_no_error (error);
  blobs = afork_job_get_result_blobs (job, &n_blobs);
  g_assert_cmpuint (n_blobs, ==, 2);
  g_assert_true (g_bytes_equal (blobs[0], other));
  g_assert_true (g_bytes_equal (blobs[1], bytes));
  close_rpc (echo);
  close_rpc (rpc);
}

static void
test_args_size (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_size", FALSE);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, new_zeros_value (LARGEST + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1073741824");
  g_assert_null (call (rpc, new_zeros_value ((gsize) 3 * LARGEST), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1073741824");

  /* It would take too long. */
  answer = call (rpc, new_zeros_value (is_instrumented () ? MIB : LARGEST), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint64 (answer), ==, is_instrumented () ? MIB : LARGEST);
  close_rpc (rpc);
}

static void
test_result_size (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, do_args ("value", LARGEST + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1073741824");
  if (!is_instrumented ())
    {
      g_autoptr(GVariant) answer = call (rpc, do_args ("value", LARGEST), &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_size (answer), ==, LARGEST);
    }
  assert_serves (rpc);
  close_rpc (rpc);
}

/* Progress and events have no answer: too large ones are not sent, and the worker logs a
 * warning. */
static void
check_dropped (const char *what,
               guint32     number)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) job = afork_job_new (do_args (what, number));
  g_autoptr(GString) order = g_string_new (NULL);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_test_message ("%s", what);
  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), order);
  g_signal_connect (job, "progress", G_CALLBACK (append_text_cb), order);
  answer = run_job (rpc, job, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (order->str, ==, "");
  assert_serves (rpc);
  close_rpc (rpc);
}

static void
test_notices_size (void)
{
  check_dropped ("report-value", LARGEST + 1);
  check_dropped ("emit-value", LARGEST + 1);
}

/* Variants in variants. */
static GVariant *
new_deep (guint depth)
{
  GVariant *value = g_variant_new_byte (7);

  for (guint i = 0; i < depth; i++)
    value = g_variant_new_variant (value);
  return value;
}

/* GLib reads values that are nested as deeply as this. */
enum { MAX_VARIANTS = 127 };

static void
test_depth_args (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  g_autoptr(GVariant) deepest = g_variant_ref_sink (new_deep (MAX_VARIANTS));
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  const guint depths[] = { MAX_VARIANTS + 1, 200, 5000 };

  for (gsize i = 0; i < G_N_ELEMENTS (depths); i++)
    {
      g_assert_null (call (rpc, new_deep (depths[i]), &error));
      assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "128");
    }
  answer = call (rpc, deepest, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (answer, deepest));
  close_rpc (rpc);
}

static void
test_depth_result (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GVariant) deepest = g_variant_ref_sink (new_deep (MAX_VARIANTS));
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, do_args ("deep", MAX_VARIANTS + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "128");
  answer = call (rpc, do_args ("deep", MAX_VARIANTS), &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (answer, deepest));
  close_rpc (rpc);
}

static void
test_depth_notices (void)
{
  check_dropped ("report-deep", MAX_VARIANTS + 1);
  check_dropped ("emit-deep", MAX_VARIANTS + 1);
}

/* An array of arrays without elements. */
static GVariant *
new_deep_type (guint depth)
{
  g_autofree char *type = g_malloc (depth + 2);

  memset (type, 'a', depth);
  memcpy (type + depth, "y", 2);
  return g_variant_new_array ((const GVariantType *) (type + 1), NULL, 0);
}

static void
test_depth_type (void)
{
  enum { MAX_ARRAYS = 128 };
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  g_autoptr(GVariant) deepest = g_variant_ref_sink (new_deep_type (MAX_ARRAYS));
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, new_deep_type (MAX_ARRAYS + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "128");
  answer = call (rpc, deepest, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (answer, deepest));
  close_rpc (rpc);
}

/* Nothing, where a tuple of very many bytes could be: LENGTH is that of the type, “m(yyy…)”. */
static GVariant *
new_long_type (gsize length)
{
  g_autofree char *bytes = g_strnfill (length - 3, 'y');
  g_autofree char *type = g_strdup_printf ("(%s)", bytes);

  return g_variant_new_maybe (G_VARIANT_TYPE (type), NULL);
}

/* Types that GLib needs too long to parse, alone and inside a value. */
static void
test_complex_type (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  GVariant *deep = new_long_type (20000);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 50; i++)
    deep = g_variant_new_tuple (&deep, 1);
  value = g_variant_ref_sink (deep);
  g_assert_null (call (rpc, value, &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "too complex");
  g_assert_null (call (rpc, g_variant_new_variant (value), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "too complex");
  close_rpc (rpc);
}

static void
test_type_length (void)
{
  enum { LONGEST = 65534 };
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  g_autoptr(GVariant) longest = g_variant_ref_sink (new_long_type (LONGEST));
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, new_long_type (LONGEST + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "65534");
  answer = call (rpc, longest, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (answer, longest));
  close_rpc (rpc);
}

static void
test_blobs_args (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GBytes) blob = g_bytes_new_static ("blob", 4);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("reverse", 0));
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;
      gsize n_blobs;

      for (guint k = 0; k < MAX_BLOBS + i; k++)
        afork_job_add_blob (job, blob);
      answer = run_job (rpc, job, &error);
      if (i == 0)
        {
          g_assert_no_error (error);
          afork_job_get_result_blobs (job, &n_blobs);
          g_assert_cmpuint (n_blobs, ==, MAX_BLOBS);
        }
      else
        assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1024");
    }
  assert_serves (rpc);
  close_rpc (rpc);
}

static void
test_blobs_result (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, do_args ("blobs", MAX_BLOBS + 1), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1024");
  g_assert_null (call (rpc, do_args ("large-blobs", 17), &error));
  assert_error_holds (&error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "1073741824");
  answer = call (rpc, do_args ("blobs", MAX_BLOBS), &error);
  g_assert_no_error (error);
  assert_serves (rpc);
  close_rpc (rpc);
}

/* The text of an error is limited only by the size of a frame. */
static void
test_error_text (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, do_args ("text", 4 * MIB), &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_assert_cmpuint (strlen (error->message), ==, 4 * MIB);
  if (!is_instrumented ())
    {
      g_clear_error (&error);
      g_assert_null (call (rpc, do_args ("text", 1024 * MIB), &error));
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_FAILED, "too large");
    }
  assert_serves (rpc);
  close_rpc (rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-bounds/32-mib", test_32_mib);
  add_test ("/rpc-bounds/size/args", test_args_size);
  add_test ("/rpc-bounds/size/result", test_result_size);
  add_test ("/rpc-bounds/size/notices", test_notices_size);
  add_test ("/rpc-bounds/size/error", test_error_text);
  add_test ("/rpc-bounds/depth/args", test_depth_args);
  add_test ("/rpc-bounds/depth/result", test_depth_result);
  add_test ("/rpc-bounds/depth/notices", test_depth_notices);
  add_test ("/rpc-bounds/depth/type", test_depth_type);
  add_test ("/rpc-bounds/depth/complex", test_complex_type);
  add_test ("/rpc-bounds/type", test_type_length);
  add_test ("/rpc-bounds/blobs/args", test_blobs_args);
  add_test ("/rpc-bounds/blobs/result", test_blobs_result);

  return g_test_run ();
}
