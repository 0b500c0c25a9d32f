/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program that calls afork_init() when its user runs it, but not when it is executed as a server.
 * An environment variable says what it does then instead. */

#include "config.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "afork/afork-error.h"
#include "afork/afork-init.h"
#include "afork/client/client-parts.h"
#include "afork/afork-process.h"
#include "afork/afork-process-private.h"
#include "afork/afork-runtime.h"
#include "afork/worker/afork-worker.h"
#include "test-basics.h"

#define VARIABLE "AFORK_TEST_HANDSHAKE"

AFORK_WORKER_EXPORT void done (int socket, const AForkItem *items, size_t n_items);

void
done (int              socket,
      const AForkItem *items,
      size_t           n_items)
{
}

static void
misbehave (const char *how)
{
  if (strcmp (how, "wait") == 0)
    for (;;)
      pause ();
  else if (strcmp (how, "close") == 0)
    close (3);
  else if (strcmp (how, "close-and-wait") == 0)
    for (close (3);;)
      pause ();
  else if (strcmp (how, "exit") == 0)
    exit (7);
  else if (strcmp (how, "abort") == 0)
    abort ();
}

static void
wait_for_end (AForkProcess *process)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
}

/* If the program only waits, the timeout is short. */
static void
test_late (gconstpointer data)
{
  AForkRuntime *self = afork_runtime_get_self ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fresh = NULL;

  afork_runtime_set_start_timeout (self, 500);
  g_setenv (VARIABLE, data, TRUE);
  process = afork_process_new_for_runtime (self);
  fresh = afork_process_new_exec (self);
  g_unsetenv (VARIABLE);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (afork_process_run (i == 0 ? process : fresh, "done", NULL, &error));
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, "“test-handshake”"));
      g_assert_nonnull (strstr (error->message, "AFork server"));
      g_assert_nonnull (strstr (error->message, "afork_init()"));
    }
  wait_for_end (fresh);
  afork_runtime_set_template (self, NULL);
  afork_runtime_set_start_timeout (self, 30000);
}

/* After an answer in time there is no other limit. */
static void
test_in_time (gconstpointer data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (afork_runtime_get_self ());

  g_assert_nonnull (g_main_context_find_source_by_user_data (NULL, process->client));
  while (afork_process_get_state (process) < AFORK_PROCESS_STATE_PREPARING)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (g_main_context_find_source_by_user_data (NULL, process->client));
  afork_process_force_exit (process);
  wait_for_end (process);
}

/* Without a limit, no operation waits for its end. */
static void
test_without_limit (gconstpointer data)
{
  AForkRuntime *self = afork_runtime_get_self ();
  g_autoptr(AForkProcess) process = NULL;

  afork_runtime_set_start_timeout (self, 0);
  process = afork_process_new_exec (self);
  g_assert_null (process->client->handshake_timeout);
  afork_runtime_set_start_timeout (self, 30000);
  afork_process_force_exit (process);
  wait_for_end (process);
}

static void
wait_for_handshake (void)
{
  g_autoptr(GArray) sockets = g_array_new (FALSE, FALSE, sizeof (struct pollfd));

  for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
    {
      struct pollfd one = { .fd = fd, .events = POLLIN };
      socklen_t size = sizeof (int);
      int type;

      if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM)
        g_array_append_val (sockets, one);
    }
  g_assert_cmpint (poll ((struct pollfd *) sockets->data, sockets->len, -1), >, 0);
}

/* The limit is over when the context is iterated again, but the program has answered in time. */
static void
test_unconfirmed (gconstpointer data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (afork_runtime_get_self ());
  GSource *handshake_timeout = process->client->handshake_timeout;

  g_assert_nonnull (handshake_timeout);
  wait_for_handshake ();
  g_source_set_priority (handshake_timeout, G_PRIORITY_HIGH);
  g_source_set_ready_time (handshake_timeout, 0);
  while (afork_process_get_state (process) < AFORK_PROCESS_STATE_PREPARING)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_PREPARING);
  g_assert_null (process->client->handshake_timeout);
  afork_process_force_exit (process);
  wait_for_end (process);
}

int
main (int    argc,
      char **argv)
{
  if (g_getenv (VARIABLE) != NULL)
    misbehave (g_getenv (VARIABLE));
  afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  /* Under valgrind, valgrind would be executed again. */
  if (!is_under_valgrind ())
    {
      g_test_add_data_func ("/handshake/late/wait", "wait", test_late);
      g_test_add_data_func ("/handshake/late/close", "close", test_late);
      g_test_add_data_func ("/handshake/late/close-and-wait", "close-and-wait", test_late);
      g_test_add_data_func ("/handshake/late/exit", "exit", test_late);
      g_test_add_data_func ("/handshake/late/abort", "abort", test_late);
      g_test_add_data_func ("/handshake/in-time", NULL, test_in_time);
      g_test_add_data_func ("/handshake/without-limit", NULL, test_without_limit);
      g_test_add_data_func ("/handshake/unconfirmed", NULL, test_unconfirmed);
    }

  return g_test_run ();
}
