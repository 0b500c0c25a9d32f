/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The cost of a call for its caller while many others are pending: many are made at once, with one
 * cancellable, and all of them end. Prints `per-call-ns`, and `per-call-bytes` of resident memory.
 * Variants: `answered`; `cancelled`, all at once; and `killed`, where the worker is killed. */

#include "config.h"

#include <afork/afork.h>

#include "case.h"

static int n_left;

static void
call_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);

  if (value == NULL && g_str_equal (data, "answered"))
    case_fail ("%s", error->message);
  n_left--;
}

static AForkRpc *
start_worker (void)
{
  g_autofree char *module = case_sibling ("call-module.so");
  g_autoptr(AForkProcess) worker = afork_process_require (afork_process_new (), module);
  AForkRpc *rpc = afork_rpc_new (worker, "call_echo");
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_call (rpc, g_variant_new_bytestring ("x"), NULL, &error);

  if (value == NULL)
    case_fail ("%s", error->message);
  return rpc;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GVariant) args = g_variant_ref_sink (g_variant_new_bytestring ("x"));
  g_autoptr(AForkRpc) rpc = NULL;
  int64_t start, bytes, elapsed;
  CaseOptions options;

  case_init (&options, argc, argv);
  if (options.variant == NULL)
    case_fail ("no variant was named");

  rpc = start_worker ();
  bytes = case_get_memory ();
  start = case_now ();
  for (n_left = 0; n_left < options.count; n_left++)
    afork_rpc_call_async (rpc, args, cancellable, call_cb, (char *) options.variant);
  /* A few calls fit into memory that is resident already. */
  bytes = MAX (1, (case_get_memory () - bytes) / options.count);
  if (g_str_equal (options.variant, "cancelled"))
    g_cancellable_cancel (cancellable);
  else if (g_str_equal (options.variant, "killed"))
    afork_process_force_exit (afork_rpc_get_process (rpc));
  while (n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  elapsed = (case_now () - start) / options.count;

  case_print_series ("per-call-ns", &elapsed, 1);
  case_print_series ("per-call-bytes", &bytes, 1);
  return 0;
}
