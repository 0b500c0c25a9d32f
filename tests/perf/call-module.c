/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The functions that AFork's own workers serve in the benchmark of calls. */

#include <afork/afork.h>

#include "call-loop.h"

AFORK_WORKER_EXPORT GVariant *call_echo  (AForkCall  *call,
                                          GVariant   *args,
                                          GError    **error);
AFORK_WORKER_EXPORT GVariant *call_value (AForkCall  *call,
                                          GVariant   *args,
                                          GError    **error);
AFORK_WORKER_EXPORT GVariant *call_blob  (AForkCall  *call,
                                          GVariant   *args,
                                          GError    **error);

GVariant *
call_echo (AForkCall  *call,
           GVariant   *args,
           GError    **error)
{
  return g_variant_ref (args);
}

/* SIZE bytes, which are made only once, because the benchmark does not measure that. */
static GBytes *
result_of (gsize size)
{
  static GBytes *result;

  if (result == NULL)
    result = g_bytes_new_take (call_make_result (size), size);
  if (g_bytes_get_size (result) != size)
    case_fail ("another size was asked for than before");
  return result;
}

GVariant *
call_value (AForkCall  *call,
            GVariant   *args,
            GError    **error)
{
  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING,
                                   result_of (g_variant_get_uint64 (args)), TRUE);
}

GVariant *
call_blob (AForkCall  *call,
           GVariant   *args,
           GError    **error)
{
  afork_call_add_result_blob (call, result_of (g_variant_get_uint64 (args)));
  return g_variant_new_uint64 (g_variant_get_uint64 (args));
}
