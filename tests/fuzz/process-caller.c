/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The program that uses the library. */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <afork/afork-process-private.h>

#include "process-target.h"

static unsigned
get_index (AForkProcess *process)
{
  for (unsigned i = 0; i < MAX_PROCESSES; i++)
    if (world.processes[i] == process)
      return i;

  return MAX_PROCESSES;
}

static void
process_gone_cb (gpointer  data,
                 GObject  *gone)
{
  world.n_alive--;
}

void
nest (void)
{
  if ((world.mode & MODE_NEST) == 0 || world.depth >= 3)
    return;

  world.depth++;
  g_main_context_iteration (world.context, FALSE);
  world.depth--;
}

/* What callbacks of a program may do. */
static void
react (AForkProcess *process)
{
  unsigned index = get_index (process);

  if ((world.mode & MODE_DROP) != 0 && index < MAX_PROCESSES)
    g_clear_object (&world.processes[index]);
  nest ();
}

static void
exited_cb (AForkProcess *process,
           int           wait_status,
           gpointer      data)
{
  if (afork_process_get_state (process) != AFORK_PROCESS_STATE_EXITED)
    die ("a process has exited, and says that it has not");
  react (process);
}

static void
add_process (AForkProcess *process)
{
  unsigned index = get_index (NULL);

  world.n_alive++;
  g_object_weak_ref (G_OBJECT (process), process_gone_cb, NULL);
  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), NULL);
  if (index < MAX_PROCESSES)
    world.processes[index] = process;
  else
    g_object_unref (process);
}

AForkProcess *
find_process (unsigned n)
{
  return world.processes[n % MAX_PROCESSES];
}

bool
can_prepare (AForkProcess *process)
{
  return process != NULL && g_object_get_data (G_OBJECT (process), "handed-over") == NULL;
}

/* Whether its exit can be waited for. A process that cannot be forked does not exist before it is
 * run. */
static bool
is_begun (AForkProcess *process)
{
  return process != NULL
    && (afork_runtime_get_can_fork (afork_process_get_runtime (process)) || !can_prepare (process));
}

static AForkRuntime *
get_runtime (unsigned n)
{
  static const char * const argv[] = { "server", NULL };

  if (world.runtimes[n] == NULL && n == 2)
    world.runtimes[n] = afork_runtime_new_agent ("fuzz-host", argv);
  if (world.runtimes[n] == NULL)
    world.runtimes[n] = g_object_new (AFORK_TYPE_RUNTIME,
                                      "name", "fuzz",
                                      "argv", argv,
                                      "can-fork", n == 0,
                                      "can-pass-fds", n == 0,
                                      NULL);
  return world.runtimes[n];
}

void
make_process (unsigned how,
              unsigned which)
{
  AForkProcess *process = find_process (which);
  int ends[2];
  Link *link;

  switch (how % 7)
    {
    case 0:
      add_process (afork_process_new_exec (get_runtime (0)));
      break;
    case 1:
      add_process (afork_process_new_for_runtime (get_runtime (which % 2)));
      break;
    case 2:
      if (can_prepare (process))
        add_process (afork_process_fork (process));
      break;
    case 3:
      if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        break;
      link = add_link (ends[0], NULL);
      end_own ();
      if (link != NULL)
        link->is_fork = true;
      add_process (afork_process_new_from_fd (ends[1]));
      break;
    case 4:
      if (world.detached >= 0)
        {
          int fd = world.detached;

          world.detached = -1;
          add_process (afork_process_new_from_fd (fd));
        }
      break;
    case 5:
      /* Any number, because the descriptor need not be open. */
      if (which % 3 > 0)
        {
          int fd = fcntl (sample, F_DUPFD_CLOEXEC, 3);

          if (fd >= 0)
            add_process (afork_process_new_from_fd (fd));
        }
      break;
    default:
      add_process (which % 6 < 3 ? afork_process_new_exec (get_runtime (1))
                                 : afork_process_new_for_runtime (get_runtime (2)));
      break;
    }
}

void
prepare (AForkProcess *process,
         Step         *step)
{
  static char large[100 * 1024];
  unsigned how = step_take (step);
  unsigned n = step_take (step);
  const char *word = script_words[step_take (step) % 7];
  const char * const args[] = { "a", word, NULL };
  g_autoptr(GBytes) bytes = NULL;

  if (!can_prepare (process))
    return;

  switch (how % 13)
    {
    case 0:
      afork_process_require (process, word);
      break;
    case 1:
      afork_process_eval (process, word, NULL);
      break;
    case 2:
      afork_process_call (process, word, args);
      break;
    case 3:
      afork_process_send_arg (process, word);
      break;
    case 4:
      bytes = g_bytes_new_static (large, n * 401);
      afork_process_send_bytes (process, bytes);
      break;
    case 5:
      afork_process_send_fd (process, n == 0 ? 9999 : sample);
      break;
    case 6:
      afork_process_setenv (process, "NAME", n % 2 > 0 ? word : NULL);
      break;
    case 7:
      afork_process_chdir (process, word);
      break;
    case 8:
      afork_process_map_fd (process, sample, (int) n);
      break;
    case 9:
      afork_process_set_title (process, g_utf8_validate (word, -1, NULL) ? word : NULL);
      break;
    case 10:
      afork_process_set_die_with_parent (process, TRUE);
      break;
    case 11:
      afork_process_set_spare (process, n % 4);
      break;
    default:
      memset (large, 'x', sizeof large - 1);
      afork_process_send_arg (process, large);
      memset (large, 0, sizeof large);
      break;
    }
}

static void
check_result (gboolean      success,
              const GError *error)
{
  if (success != (error == NULL))
    die ("a call has succeeded and failed, or neither");
  if (error != NULL && error->domain != AFORK_ERROR && error->domain != G_IO_ERROR)
    die ("a call fails in an unknown way: %s", error->message);
  if (error != NULL && !g_utf8_validate (error->message, -1, NULL))
    die ("an error says what cannot be read");
}

static void
finish (AForkProcess *process,
        GAsyncResult *result,
        int           how)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  gboolean success;
  int fd;

  switch (how)
    {
    case CALL_RUN:
      connection = afork_process_run_finish (process, result, &error);
      success = connection != NULL;
      break;
    case CALL_EXEC:
      connection = afork_process_exec_finish (process, result, &error);
      success = connection != NULL;
      break;
    case CALL_RUN_FUNC:
      connection = afork_process_run_func_finish (process, result, &error);
      success = connection != NULL;
      break;
    case CALL_DETACH:
      fd = afork_process_detach_finish (process, result, &error);
      success = fd >= 0;
      if (world.detached >= 0)
        close (world.detached);
      world.detached = fd;
      break;
    default:
      success = afork_process_wait_finish (process, result, &error);
      if (afork_process_get_state (process) != AFORK_PROCESS_STATE_EXITED
          && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
          && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
        die ("a process that was waited for has not ended");
      break;
    }

  check_result (success, error);
}

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Call *call = data;

  if (call->is_done)
    die ("a call is answered twice");
  call->is_done = TRUE;
  world.n_pending--;
  finish (AFORK_PROCESS (object), result, call->how);
  react (AFORK_PROCESS (object));
}

Call *
begin_call (int how)
{
  Call *call = &world.calls[world.n_calls++];

  *call = (Call) { .how = how };
  world.n_pending++;
  return call;
}

static GCancellable *
get_cancellable (unsigned n)
{
  if (world.cancellables[n] == NULL)
    world.cancellables[n] = g_cancellable_new ();
  return world.cancellables[n];
}

GCancellable *
find_cancellable (unsigned n)
{
  return n % 8 < N_CANCELLABLES ? get_cancellable (n % 8) : NULL;
}

void
cancel (unsigned n)
{
  GCancellable *cancellable = get_cancellable (n % N_CANCELLABLES);

  if (g_cancellable_is_cancelled (cancellable))
    g_cancellable_reset (cancellable);
  else
    g_cancellable_cancel (cancellable);
}

static void
run_func (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
}

void
hand_over (AForkProcess *process,
           unsigned      how,
           unsigned      with)
{
  static const char * const argv[] = { "program", "argument", NULL };
  GCancellable *cancellable = find_cancellable (with);
  bool could_prepare;
  Call *call;

  if (process == NULL || world.n_calls == MAX_CALLS)
    return;

  could_prepare = can_prepare (process);
  g_object_set_data (G_OBJECT (process), "handed-over", process);
  switch (how % 5)
    {
    case 0:
      call = begin_call (CALL_RUN);
      afork_process_run_async (process, "echo", cancellable, called_cb, call);
      break;
    case 1:
      call = begin_call (CALL_EXEC);
      afork_process_exec_async (process, argv, cancellable, called_cb, call);
      break;
    case 2:
      call = begin_call (CALL_DETACH);
      afork_process_detach_async (process, cancellable, called_cb, call);
      break;
    case 3:
      call = begin_call (CALL_RUN_FUNC);
      afork_process_run_func_async (process, run_func, cancellable, called_cb, call);
      break;
    default:
      if (world.depth == 0)
        {
          g_autoptr(GSocketConnection) connection = NULL;
          g_autoptr(GError) error = NULL;

          connection = afork_process_run (process, "echo", cancellable, &error);
          check_result (connection != NULL, error);
          /* If there was no descriptor to wait with, it was not run. */
          if (could_prepare && afork_process_get_function (process) == NULL)
            g_object_set_data (G_OBJECT (process), "handed-over", NULL);
        }
      break;
    }
}

void
await_end (AForkProcess *process,
           unsigned      with,
           bool          blocks)
{
  GCancellable *cancellable = find_cancellable (with);

  if (!is_begun (process) || world.n_calls == MAX_CALLS)
    return;

  if (blocks && world.depth == 0)
    {
      g_autoptr(GError) error = NULL;
      gboolean success;

      success = afork_process_wait (process, cancellable, &error);
      check_result (success, error);
    }
  else
    {
      afork_process_wait_async (process, cancellable, called_cb, begin_call (CALL_WAIT));
    }
}

void
iterate (unsigned n)
{
  world.depth++;
  for (unsigned i = 0; i < n && g_main_context_iteration (world.context, FALSE); i++)
    ;
  world.depth--;
}

static void
measured_cb (guint64  bytes,
             gpointer data)
{
  Call *call = data;

  if (call->is_done)
    die ("the memory of a process is reported twice");
  if (bytes % 1024 != 0)
    die ("a process has %" G_GUINT64_FORMAT " bytes of memory", bytes);
  call->is_done = TRUE;
  world.n_pending--;
}

void
signal_process (AForkProcess *process,
                unsigned      signal)
{
  if (process == NULL)
    return;

  if (signal == 0)
    afork_process_force_exit (process);
  else if (signal == 4 && world.n_calls < MAX_CALLS)
    _afork_process_measure (process, measured_cb, begin_call (CALL_MEASURE));
  else
    afork_process_send_signal (process, signal == 1 ? SIGKILL : (int) (signal % 64) + 1);
}
