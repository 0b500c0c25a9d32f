/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* AFork: calls to a native worker, from a main loop. Variants: `echo`; `value:SIZE`, where the
 * result is a value, and `blob:SIZE`, where it is a blob; `start`, where each call has its own
 * worker, forked of a template that has loaded the module. The worker may be on another host. */

#include "config.h"

#include <afork/afork.h>
#include <stdlib.h>
#include <string.h>

#include "call-loop.h"
#include "case-host.h"

typedef struct
{
  AForkProcess *template;
  AForkRpc     *rpc;
  size_t        size;
  gboolean      blob;
} Calls;

static void
echo_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);

  if (value == NULL)
    case_fail ("%s", error->message);
  call_check_result (g_variant_get_data (value), g_variant_get_size (value), CALL_ECHO_SIZE);
  call_ended (GPOINTER_TO_INT (data));
}

static void
begin_echo_on (AForkRpc *rpc,
               int       ticket)
{
  char bytes[CALL_ECHO_SIZE];

  memset (bytes, CALL_FILLING, sizeof bytes);
  afork_rpc_call_async (rpc,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, sizeof bytes, 1),
                        NULL, echo_cb, GINT_TO_POINTER (ticket));
}

static void
begin_echo (int   ticket,
            void *data)
{
  begin_echo_on (((Calls *) data)->rpc, ticket);
}

/* A result of that size. */
typedef struct
{
  AForkJob *job;
  size_t    size;
  gboolean  blob;
  int       ticket;
} Fetch;

static void
check_fetched (Fetch    *fetch,
               GVariant *value)
{
  gsize n_blobs, size;
  const void *bytes;
  GBytes **blobs;

  if (!fetch->blob)
    {
      call_check_result (g_variant_get_data (value), g_variant_get_size (value), fetch->size);
      return;
    }

  blobs = afork_job_get_result_blobs (fetch->job, &n_blobs);
  if (n_blobs != 1)
    case_fail ("there is no blob");
  bytes = g_bytes_get_data (blobs[0], &size);
  call_check_result (bytes, size, fetch->size);
}

static void
fetch_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autofree Fetch *fetch = data;
  g_autoptr(GError) error = NULL;
  GVariant *value = afork_rpc_run_job_finish (AFORK_RPC (object), result, &error);

  if (value == NULL)
    case_fail ("%s", error->message);

  check_fetched (fetch, value);
  g_variant_unref (value);
  g_object_unref (fetch->job);
  call_ended (fetch->ticket);
}

static void
begin_fetch (int   ticket,
             void *data)
{
  Calls *calls = data;
  Fetch *fetch = g_new (Fetch, 1);

  *fetch = (Fetch) {
    .job = afork_job_new (g_variant_new_uint64 (calls->size)),
    .size = calls->size,
    .blob = calls->blob,
    .ticket = ticket,
  };
  afork_rpc_run_job_async (calls->rpc, fetch->job, NULL, fetch_cb, fetch);
}

static void
turn (void *data)
{
  g_main_context_iteration (NULL, TRUE);
}

/* A worker for this call alone. */
static void
begin_start (int   ticket,
             void *data)
{
  Calls *calls = data;
  g_autoptr(AForkProcess) worker = afork_process_fork (calls->template);
  g_autoptr(AForkRpc) rpc = afork_rpc_new (worker, "call_echo");

  /* Once it is dropped, the worker exits when it has answered. */
  begin_echo_on (rpc, ticket);
}

int
main (int    argc,
      char **argv)
{
  const CasePlace place = case_host_enter (argc, argv);
  CaseOptions options;
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autofree char *module = NULL;
  Calls calls = { 0 };
  const char *function = NULL;

  case_init (&options, argc, argv);
  if (g_strcmp0 (options.variant, "echo") == 0 || g_strcmp0 (options.variant, "start") == 0)
    function = "call_echo";
  else if (call_parse_variant (options.variant, "value", &calls.size))
    function = "call_value";
  else if (call_parse_variant (options.variant, "blob", &calls.size))
    function = "call_blob";
  else
    case_fail ("no such variant");

  calls.blob = g_str_equal (function, "call_blob");
  module = case_sibling ("call-module.so");
  runtime = case_host_new_runtime (place);
  calls.template = afork_process_require (afork_process_new_for_runtime (runtime), module);
  if (g_str_equal (options.variant, "start"))
    {
      call_run (&options, begin_start, turn, &calls);
      call_print_median ();
    }
  else
    {
      g_autoptr(AForkProcess) worker = afork_process_fork (calls.template);

      calls.rpc = afork_rpc_new (worker, function);
      call_run (&options, calls.size > 0 ? begin_fetch : begin_echo, turn, &calls);
    }

  g_clear_object (&calls.rpc);
  g_clear_object (&calls.template);
  return 0;
}
