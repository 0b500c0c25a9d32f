/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-task-private.h"

#include "afork-i18n-private.h"

void
_afork_task_watch_cancellable (GTask       *task,
                               GSourceFunc  callback)
{
  g_autoptr(GSource) source = NULL;

  if (g_task_get_cancellable (task) == NULL)
    return;

  source = g_cancellable_source_new (g_task_get_cancellable (task));
  g_source_set_static_name (source, "[afork] process cancellation");
  g_task_attach_source (task, source, callback);
  g_task_set_task_data (task, g_steal_pointer (&source), (GDestroyNotify) g_source_unref);
}

void
_afork_task_return_cancelled (GTask *task)
{
  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
}

void
_afork_task_unwatch_cancellable (GTask *task)
{
  GSource *source = g_task_get_task_data (task);

  /* It has a reference to the task, and so would keep it for ever. */
  if (source != NULL)
    g_source_destroy (source);
}
