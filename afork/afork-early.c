/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-early.h"

#include "afork-error.h"
#include "afork-process-private.h"
#include "base/atfork.h"
#include "base/i18n.h"
#include "process/launcher-native.h"
#include "self/self-server.h"

/* The early template. It is made before the program has a second thread, and kept until the program
 * exits. In a fork of the program its context is lost, and it is not used. */
static AForkProcess *early;

static AForkClient *
get_early_client (void)
{
  /* Check the context first: only the thread that owns it may use the process. */
  if (early == NULL || !_afork_context_is_thread_default (_afork_process_get_context (early))
      || _afork_process_is_context_lost (early))
    return NULL;

  return _afork_process_get_client (early);
}

/**
 * afork_early:
 * @error: return location for an [error@AFork.Error]
 *
 * Forks the program while it is still small. The native runtime then forks this early template
 * instead of executing the server program. Its template, and processes of
 * [ctor@AFork.Process.new_exec], are forks of the program as it was at this call. Make this call
 * the first line of `main()`, or at least call it before the first process is created and before a
 * second thread is started.
 *
 * Functions are looked up as in a process of [ctor@AFork.Process.new_template]: in the modules that
 * are loaded, and then in the program, if it exports them.
 *
 * This applies to processes of the thread-default main context of this call. In other contexts the
 * server program is executed as usual. The same is true while [property@AFork.Runtime:argv],
 * [property@AFork.Runtime:environ] or [property@AFork.Runtime:working-directory] of the native
 * runtime is set. If the early template dies, it is not replaced, and new processes fail with its
 * error.
 *
 * Fails with `AFORK_ERROR_THREADS` and the names of the threads if the program has more than one,
 * with `AFORK_ERROR_FAILED` if the program has created processes already, by this call or others,
 * and with `AFORK_ERROR_SPAWN` if there are too few processes or descriptors or too little memory.
 * On failure, nothing changes.
 *
 * Returns: true on success
 *
 * Since: 0.1
 */
gboolean
afork_early (GError **error)
{
  if (early != NULL && !_afork_process_is_context_lost (early))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_FAILED,
                   _("The program was already forked early, as process %d"),
                   (int) afork_process_get_pid (early));
      return FALSE;
    }
  if (!_afork_self_server_check_threads (error))
    return FALSE;
  if (_afork_atfork_has_hooks ())
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_FAILED,
                   _("It is too late to fork the program early, because it has created other "
                     "processes before"));
      return FALSE;
    }

  early = afork_process_new_template (error);
  if (early == NULL)
    return FALSE;

  _afork_launcher_native_set_early_func (get_early_client);
  return TRUE;
}
