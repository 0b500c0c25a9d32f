/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The functions that AFork's own workers serve in the benchmark of pools. */

#include <afork/afork.h>
#include <gio/gunixfdlist.h>
#include <signal.h>
#include <unistd.h>

#include "pool-work.h"

AFORK_WORKER_EXPORT GVariant *pool_echo     (AForkCall  *call,
                                             GVariant   *args,
                                             GError    **error);
AFORK_WORKER_EXPORT GVariant *pool_millisecond (AForkCall  *call,
                                             GVariant   *args,
                                             GError    **error);
AFORK_WORKER_EXPORT GVariant *pool_crash    (AForkCall  *call,
                                             GVariant   *args,
                                             GError    **error);

GVariant *
pool_echo (AForkCall  *call,
           GVariant   *args,
           GError    **error)
{
  return g_variant_ref (args);
}

GVariant *
pool_millisecond (AForkCall  *call,
                  GVariant   *args,
                  GError    **error)
{
  pool_spin ();
  return g_variant_ref (args);
}

/* With a descriptor, writes the time to it and ends like a process that crashes. A real crash also
 * takes time to write a core file. Without, returns the time. */
GVariant *
pool_crash (AForkCall  *call,
            GVariant   *args,
            GError    **error)
{
  const gint64 now = case_now ();
  GUnixFDList *fds = afork_call_get_fds (call);

  if (fds != NULL && g_unix_fd_list_get_length (fds) > 0)
    {
      if (pwrite (g_unix_fd_list_peek_fds (fds, NULL)[0], &now, sizeof now, 0) != sizeof now)
        case_fail_errno ("pwrite");
      raise (SIGKILL);
    }

  return g_variant_new_int64 (now);
}
