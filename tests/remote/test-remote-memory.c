/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The memory of a relay and an agent: a side that does not read makes the other one wait, and other
 * workers go on. */

#include "config.h"

#include "remote-util.h"

#include <string.h>

enum
{
  MUCH = 64 * 1024 * 1024,
  /* What a channel may keep: its credit, with room to grow; and buffers of the connection. */
  MOST = 4 * 1024 * 1024,
};

typedef struct
{
  AForkRuntime *runtime;
  AForkRpc     *rpc;            /* to another worker */
  GPid          relay;
  GPid          agent;
  gsize         before[2];
} Host;

static gboolean
host_init (Host *self,
           Way   way)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GVariant) pid = NULL;
  g_autoptr(GError) error = NULL;

  *self = (Host) { .runtime = new_host (way) };
  if (self->runtime == NULL)
    return FALSE;

  process = afork_process_require (afork_process_new_for_runtime (self->runtime), "calls");
  self->rpc = afork_rpc_new (process, "calls_do");
  pid = call (self->rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  self->relay = find_process ("afork-server", "--relay");
  self->agent = find_agent ((GPid) g_variant_get_uint32 (pid));
  g_assert_cmpint (self->relay, >, 0);
  g_assert_cmpint (self->agent, >, 0);
  self->before[0] = get_private_memory (self->relay);
  self->before[1] = get_private_memory (self->agent);
  return TRUE;
}

static void
host_check (Host *self)
{
  const gsize relay = get_private_memory (self->relay) - self->before[0];
  const gsize agent = get_private_memory (self->agent) - self->before[1];
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  g_test_message ("the relay has %d KiB more, the agent %d KiB", (int) relay / 1024,
                  (int) agent / 1024);
  g_assert_cmpint ((int) relay, <, MOST);
  g_assert_cmpint ((int) agent, <, MOST);
  value = call (self->rpc, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  g_assert_nonnull (value);
}

static void
host_clear (Host *self)
{
  close_rpc (self->rpc);
  g_clear_object (&self->rpc);
  afork_runtime_set_template (self->runtime, NULL);
  g_clear_object (&self->runtime);
}

/* A worker writes much, and its caller reads it only later. */
static void
test_worker_writes (Census        *census,
                    gconstpointer  way)
{
  g_autofree char *size = g_strdup_printf ("%d", MUCH);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *bytes = NULL;
  gsize n_bytes;
  Host host;

  if (!host_init (&host, *(const Way *) way))
    return;

  process = afork_process_require (afork_process_new_for_runtime (host.runtime), "lifecycle");
  afork_process_send_arg (process, size);
  connection = run_process_ok (process, "write_much");
  await_sleep ((GPid) afork_process_get_remote_pid (process));
  await_sleep (host.agent);
  await_sleep (host.relay);
  host_check (&host);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);

  bytes = read_to_end (connection, &n_bytes);
  g_assert_cmpuint (n_bytes, ==, MUCH);
  await_end (process);
  assert_exit_status (process, 0);
  host_check (&host);
  host_clear (&host);
}

/* A caller writes much, and the worker never reads. */
static void
test_caller_writes (Census        *census,
                    gconstpointer  way)
{
  static char bytes[64 * 1024];
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSource) deadline = NULL;
  gsize n_written = 0;
  GSocket *socket;
  guint n_pauses = 0;
  Host host;

  if (!host_init (&host, *(const Way *) way))
    return;

  process = afork_process_require (afork_process_new_for_runtime (host.runtime), "recite");
  connection = run_process_ok (process, "recite_nothing");
  socket = g_socket_connection_get_socket (connection);
  g_socket_set_blocking (socket, FALSE);
  /* Until nothing more could be written for a while. */
  while (n_pauses < 3 && n_written < MUCH)
    {
      g_autoptr(GError) error = NULL;
      gssize result = g_socket_send (socket, bytes, sizeof bytes, NULL, &error);

      if (result > 0)
        {
          n_written += (gsize) result;
          n_pauses = 0;
          continue;
        }
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
      await_sleep (host.relay);
      await_sleep (host.agent);
      n_pauses++;
    }
  g_test_message ("%u KiB could be written", (guint) (n_written / 1024));
  g_assert_cmpuint (n_written, <, MUCH);
  host_check (&host);
  afork_process_force_exit (process);
  await_end (process);
  host_clear (&host);
}

int
main (int    argc,
      char **argv)
{
  enter_ssh (argv, NULL, -1);

  g_test_init (&argc, &argv, NULL);
  add_for_ways ("/memory/worker-writes", test_worker_writes);
  add_for_ways ("/memory/caller-writes", test_caller_writes);
  return g_test_run ();
}
