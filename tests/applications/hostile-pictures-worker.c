/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The worker module of `pictures`, with its function under another name. A file that begins with
 * `crash` crashes the worker. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "worker/work.h"

#undef work

AFORK_WORKER_EXPORT
GVariant *work (AForkCall  *call,
                GVariant   *args,
                GError    **error);

GVariant *
work (AForkCall  *call,
      GVariant   *args,
      GError    **error)
{
  GUnixFDList *fds = afork_call_get_fds (call);
  char start[5] = "";

  if (fds != NULL && g_unix_fd_list_get_length (fds) == 1)
    pread (g_unix_fd_list_peek_fds (fds, NULL)[0], start, sizeof start, 0);
  if (memcmp (start, "crash", sizeof start) == 0)
    {
      signal (SIGSEGV, SIG_DFL);
      raise (SIGSEGV);
    }
  return ordinary_work (call, args, error);
}
