/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-task-private.h"

#include "afork-i18n-private.h"

void
_afork_task_watch_cancellable (GTask           *task,
                               AForkWaiterFunc  callback)
{
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (cancellable != NULL)
    g_task_set_task_data (task,
                          _afork_waiter_new_for_cancellable (g_task_get_context (task), cancellable,
                                                             callback, g_object_ref (task),
                                                             g_object_unref),
                          (GDestroyNotify) _afork_waiter_end);
}

void
_afork_task_unwatch_cancellable (GTask *task)
{
  /* It has a reference to the task, and so would keep it for ever. */
  g_task_set_task_data (task, NULL, NULL);
}

void
_afork_task_return_cancelled (GTask *task)
{
  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
}
