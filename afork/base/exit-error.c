/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "exit-error.h"

#include <sys/wait.h>

#include "afork-error.h"
#include "i18n.h"

GError *
_afork_exit_error_new (const char *name,
                       int         wait_status)
{
  if (wait_status < 0)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                        _("%s has exited, and its exit status is unknown"), name);
  if (WIFSIGNALED (wait_status))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SIGNALED,
                        _("%s was ended by signal %d (%s)"),
                        name, WTERMSIG (wait_status), g_strsignal (WTERMSIG (wait_status)));

  return g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED,
                      _("%s exited with status %d"), name, WEXITSTATUS (wait_status));
}

GError *
_afork_exit_error_new_early (const char *name,
                             int         wait_status)
{
  if (wait_status < 0)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                        _("%s exited before its function was entered, and its exit status is "
                          "unknown"), name);
  if (WIFSIGNALED (wait_status))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SIGNALED,
                        _("%s was ended by signal %d (%s) before its function was entered"),
                        name, WTERMSIG (wait_status), g_strsignal (WTERMSIG (wait_status)));

  return g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED,
                      _("%s exited with status %d before its function was entered"),
                      name, WEXITSTATUS (wait_status));
}
