/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that serve calls in a sandbox: calls work, and what ends at a limit says which. */

#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gio/gunixfdlist.h>

#include "test-util.h"

#define MIB (G_GINT64_CONSTANT (1) << 20)

static AForkProcess *
new_confined (gint64 memory,
              gint64 cpu_time)
{
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new_for_decoding ();
  AForkProcess *process = new_module_process ("confined");

  /* Instrumented programs reserve terabytes. */
  g_object_set (sandbox, "memory", is_instrumented () ? -1 : memory, "cpu-time", cpu_time, NULL);
  afork_process_restrict (process, sandbox);
  return process;
}

static AForkRpc *
new_confined_rpc (AForkProcess *process)
{
  return g_object_new (AFORK_TYPE_RPC,
                       "process", process,
                       "function", "confined_do",
                       "forward-stderr", FALSE,
                       NULL);
}

static GVariant *
call_it (AForkRpc    *rpc,
         const char  *what,
         guint64      number,
         GError     **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_rpc_call_async (rpc, g_variant_new ("(st)", what, number), NULL, store_result_cb, &result);
  await_result (&result);
  return afork_rpc_call_finish (rpc, result, error);
}

/* The error must have CODE, and name the property and its value. */
static void
expect_limit (const char *what,
              guint64     number,
              gint64      memory,
              gint64      cpu_time,
              int         code,
              const char *text)
{
  g_autoptr(AForkProcess) template = new_confined (memory, cpu_time);
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(AForkRpc) rpc = new_confined_rpc (process);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  value = call_it (rpc, what, number, &error);
  g_assert_null (value);
  if (!g_error_matches (error, AFORK_ERROR, code) || strstr (error->message, text) == NULL)
    g_error ("%s: %s, %d: %s", what, g_quark_to_string (error->domain), error->code,
             error->message);
  await_end (process);
}

static void
test_memory (void)
{
  if (is_instrumented ())
    {
      g_test_skip ("Instrumented programs need more memory than a limit allows");
      return;
    }

  expect_limit ("allocate", 512 * MIB, 256 * MIB, 20, AFORK_ERROR_OUT_OF_MEMORY,
                "memory: 268435456");
}

static void
test_cpu_time (void)
{
  expect_limit ("burn", 60000, 256 * MIB, 1, AFORK_ERROR_TIMED_OUT, "allows (cpu-time: 1 s)");
}

static void
test_system_call (void)
{
  expect_limit ("trace", 0, 256 * MIB, 20, AFORK_ERROR_SANDBOX, "“ptrace”");
}

static void
close_it (AForkRpc *rpc)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_rpc_close_async (rpc, NULL, store_result_cb, &result);
  await_result (&result);
  afork_rpc_close_finish (rpc, result, &error);
  g_assert_no_error (error);
}

/* What a function returns as an error names the limit, too, and the worker goes on. */
static void
test_open_files (void)
{
  g_autoptr(AForkProcess) process = new_confined (256 * MIB, 20);
  g_autoptr(AForkRpc) rpc = new_confined_rpc (process);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) next = NULL;
  g_autoptr(GError) error = NULL;

  value = call_it (rpc, "descriptors", 0, &error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LIMIT);
  g_assert_nonnull (strstr (error->message, "open-files: 64"));
  g_clear_error (&error);
  next = call_it (rpc, "nothing", 0, &error);
  g_assert_no_error (error);
  close_it (rpc);
}

static void
test_file_size (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("confined");
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new_for_decoding ();
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  int fd = memfd_create ("afork-test", MFD_CLOEXEC);

  afork_sandbox_set_file_size (sandbox, 1 * MIB);
  afork_process_restrict (process, sandbox);
  rpc = new_confined_rpc (process);
  job = afork_job_new (g_variant_new ("(st)", "grow", (guint64) 2 * MIB));
  g_unix_fd_list_append (list, fd, NULL);
  close (fd);
  afork_job_set_fds (job, list);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  value = afork_rpc_run_job_finish (rpc, result, &error);
  g_assert_null (value);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LIMIT);
  g_assert_nonnull (strstr (error->message, "file-size: 1048576"));
  await_end (process);
}

/* Blobs come out of a worker that makes no shared memory. */
static void
test_blobs (void)
{
  g_autoptr(AForkProcess) process = new_confined (256 * MIB, 20);
  g_autoptr(AForkRpc) rpc = new_confined_rpc (process);
  const gsize sizes[] = { 10, 100000, 5000000 };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(st)", "blob", (guint64) sizes[i]));
      g_autoptr(GBytes) sent = g_bytes_new_take (g_malloc0 (sizes[i]), sizes[i]);
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;
      GBytes **blobs;
      gsize n_blobs;

      afork_job_add_blob (job, sent);
      afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
      await_result (&result);
      value = afork_rpc_run_job_finish (rpc, result, &error);
      g_assert_no_error (error);
      blobs = afork_job_get_result_blobs (job, &n_blobs);
      g_assert_cmpuint (n_blobs, ==, 1);
      g_assert_cmpuint (g_bytes_get_size (blobs[0]), ==, sizes[i]);
    }
  close_it (rpc);
}

/* Each call has the time for itself: a worker uses more in two than the limit of one. */
static void
test_time_of_each (void)
{
  g_autoptr(AForkProcess) process = new_confined (256 * MIB, 2);
  g_autoptr(AForkRpc) rpc = new_confined_rpc (process);

  for (int i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value G_GNUC_UNUSED = call_it (rpc, "burn", 1300, &error);

      g_assert_no_error (error);
    }
  close_it (rpc);
}

/* All calls together have twice the time, which is more than each of them, and the error says that
 * they have used it. */
static void
test_time_of_all (void)
{
  g_autoptr(AForkProcess) process = new_confined (256 * MIB, 1);
  g_autoptr(AForkRpc) rpc = new_confined_rpc (process);
  g_autoptr(GError) error = NULL;
  guint64 used = 0;

  for (int i = 0; i < 100 && error == NULL; i++)
    {
      g_autoptr(GVariant) value = call_it (rpc, "burn", 300, &error);

      if (value != NULL)
        used = g_variant_get_uint64 (value);
    }
  g_assert_cmpuint (used, >=, 1200);
  g_assert_cmpuint (used, <, 2500);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "all calls together"));
  g_assert_nonnull (strstr (error->message, "cpu-time: 1 s"));
  await_end (process);
}

static void
exited_cb (AForkPool    *pool,
           AForkProcess *process,
           const GError *error,
           gpointer      data)
{
  g_assert_no_error (error);
  *(guint *) data += 1;
}

/* A pool replaces a worker before it has used all its time, and no job fails. */
static void
test_pool (void)
{
  g_autoptr(AForkProcess) template = new_confined (256 * MIB, 1);
  g_autoptr(AForkPool) pool = afork_pool_new (template, "confined_do");
  g_autoptr(GAsyncResult) shut = NULL;
  guint n_exited = 0;

  g_object_set (pool, "max-workers", 1, NULL);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (exited_cb), &n_exited);
  for (int i = 0; i < 8; i++)
    {
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;

      afork_pool_call_async (pool, g_variant_new ("(st)", "burn", (guint64) 400), NULL,
                             store_result_cb, &result);
      await_result (&result);
      value = afork_pool_call_finish (pool, result, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_uint64 (value), <, 2000);
    }
  while (n_exited < 2)
    g_main_context_iteration (NULL, TRUE);
  afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, store_result_cb, &shut);
  await_result (&shut);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/confined-calls/blobs", test_blobs);
  add_test ("/confined-calls/cpu-time", test_cpu_time);
  add_test ("/confined-calls/cpu-time/all", test_time_of_all);
  add_test ("/confined-calls/cpu-time/each", test_time_of_each);
  add_test ("/confined-calls/cpu-time/pool", test_pool);
  add_test ("/confined-calls/file-size", test_file_size);
  add_test ("/confined-calls/memory", test_memory);
  add_test ("/confined-calls/open-files", test_open_files);
  add_test ("/confined-calls/system-call", test_system_call);

  return g_test_run ();
}
