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

/* Made before there is a second thread, and kept until the program ends. In a fork of the program
 * its context is lost, and it is not used. */
static AForkProcess *early;

static AForkClient *
get_early_client (void)
{
  /* The context comes first: only the thread that owns it may use the process. */
  if (early == NULL || !_afork_context_is_thread_default (_afork_process_get_context (early))
      || _afork_process_is_context_lost (early))
    return NULL;

  return _afork_process_get_client (early);
}

/**
 * afork_early:
 * @error: return location for an [error@AFork.Error]
 *
 * Forks the program while it is still small, for use as what all its processes come from: the
 * native runtime then executes nothing any more. Its template, and what
 * [ctor@AFork.Process.new_exec] makes of it, are forks of the program as it was at this call. It
 * is meant as the first line of `main()`, at the latest before the first process is made and
 * before a second thread is started.
 *
 * Functions are looked for as in a process of [ctor@AFork.Process.new_template]: in the modules
 * that are loaded, and then in the program, as far as it exports them.
 *
 * It is so for processes that belong to the thread-default main context of this call; other
 * contexts have the server program executed as ever. So it is while [property@AFork.Runtime:argv],
 * [property@AFork.Runtime:environ] or [property@AFork.Runtime:working-directory] of the native
 * runtime are set. Should the forked process die, it is not replaced, and new processes fail as it
 * has failed.
 *
 * Fails with `AFORK_ERROR_THREADS`, and the names of the threads, if the program has more than one;
 * with `AFORK_ERROR_FAILED` if there are processes already, by this call or others; and with
 * `AFORK_ERROR_SPAWN` if the system is out of processes, descriptors or memory. Then nothing has
 * changed.
 *
 * Returns: true if it was done
 *
 * Since: 0.1
 */
gboolean
afork_early (GError **error)
{
  if (early != NULL && !_afork_process_is_context_lost (early))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_FAILED,
                   _("The program was forked early already, as process %d"),
                   (int) afork_process_get_pid (early));
      return FALSE;
    }
  if (!_afork_self_server_check_threads (error))
    return FALSE;
  if (_afork_atfork_has_hooks ())
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_FAILED,
                   _("It is too late to fork the program early: it has made other processes "
                     "before"));
      return FALSE;
    }

  early = afork_process_new_template (error);
  if (early == NULL)
    return FALSE;

  _afork_launcher_native_set_early_func (get_early_client);
  return TRUE;
}
