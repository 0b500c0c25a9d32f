/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that serve calls until one of them ends the worker. */

#include <afork/afork.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

AFORK_WORKER_EXPORT GVariant *crash_do    (AForkCall *call, GVariant *args, GError **error);
AFORK_WORKER_EXPORT void      crash_later (AForkCall *call, GVariant *args);
AFORK_WORKER_EXPORT gboolean  crash_init  (const AForkItem *items, gsize n_items, GError **error);

/* How often a function was entered, in memory of the caller. */
static guint32 *n_entered;

gboolean
crash_init (const AForkItem  *items,
            gsize             n_items,
            GError          **error)
{
  for (gsize i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_FD)
      n_entered = mmap (NULL, sizeof *n_entered, PROT_READ | PROT_WRITE, MAP_SHARED, items[i].fd,
                        0);
  return n_entered != MAP_FAILED;
}

static void
work (guint microseconds)
{
  gint64 end = g_get_monotonic_time () + microseconds;

  while (microseconds > 0 && g_get_monotonic_time () < end)
    ;
}

/* A child keeps the socket until no process has the other end of the descriptor of the call. */
static void
leave_child (AForkCall *call)
{
  const int *fds = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL);
  char byte;

  if (fork () != 0)
    return;

  while (read (fds[0], &byte, 1) > 0)
    ;
  _exit (0);
}

static void
end (const char *how)
{
  static char *program[] = { (char *) "true", NULL };

  if (g_str_equal (how, "segv"))
    *(volatile int *) NULL = 1;
  if (g_str_equal (how, "kill"))
    kill (getpid (), SIGKILL);
  if (g_str_equal (how, "abort"))
    abort ();
  if (g_str_equal (how, "exit"))
    _exit (3);
  if (g_str_equal (how, "exec"))
    execvp (program[0], program);
}

/* (number, microseconds, what, size): takes that long. Then, as `what` says, ends the worker, sends
 * the number, or answers with it and that many bytes. */
static GVariant *
serve (AForkCall *call,
       GVariant  *args)
{
  g_autofree char *bytes = NULL;
  guint32 number, microseconds, size;
  const char *what;

  g_variant_get (args, "(uu&su)", &number, &microseconds, &what, &size);
  if (n_entered != NULL)
    ++*(volatile guint32 *) n_entered;
  work (microseconds);
  if (g_str_equal (what, "tell"))
    {
      afork_worker_emit (g_variant_new_uint32 (number));
      afork_call_report (call, g_variant_new_uint32 (number));
    }
  else if (g_str_equal (what, "child"))
    leave_child (call);
  else if (g_str_equal (what, "blob"))
    afork_call_add_result_blob (call, g_bytes_new_take (g_malloc0 (size), size));
  else if (*what != '\0')
    end (what);
  if (size == 0 || g_str_equal (what, "blob"))
    return g_variant_new_uint32 (number);

  bytes = g_malloc0 (size);
  return g_variant_new ("(u@ay)", number,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1));
}

GVariant *
crash_do (AForkCall  *call,
          GVariant   *args,
          GError    **error)
{
  return serve (call, args);
}

void
crash_later (AForkCall *call,
             GVariant  *args)
{
  afork_call_return_value (call, serve (call, args), NULL);
}
