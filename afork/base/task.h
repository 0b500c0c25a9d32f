/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "waiter.h"

G_BEGIN_DECLS

/* Tasks that return on cancellation in their main context, and not in the thread that cancels. */

/* A task that its source object has to return. This struct is a field of the source object. It owns
 * the task and a waiter for its cancellable. The task owns neither, so there is no cycle. */
typedef struct
{
  GTask       *task;            /* or NULL */
  AForkWaiter *waiter;          /* or NULL */
} AForkPendingTask;

/* Takes a reference to TASK. If its cancellable is cancelled before the task is stolen, calls
 * CANCELLED with DATA. The task or its source object has to keep DATA until then. */
void   _afork_pending_task_set       (AForkPendingTask *self,
                                      GTask            *task,
                                      AForkWaiterFunc   cancelled,
                                      gpointer          data);
/* Ends the waiter, and returns the task with its reference, or NULL. */
GTask *_afork_pending_task_steal     (AForkPendingTask *self);

/* A queue of pending tasks. Takes a reference to TASK. If its cancellable is cancelled, the task
 * leaves the queue and returns G_IO_ERROR_CANCELLED. The queue must be a field of the source
 * object. */
void   _afork_task_queue_push        (GQueue           *queue,
                                      GTask            *task);
/* Returns the first task with its reference, or NULL. */
GTask *_afork_task_queue_pop         (GQueue           *queue);
/* Returns copies of ERROR from all tasks of QUEUE now. Their callbacks may do anything, so the
 * caller holds a reference to what has QUEUE. */
void   _afork_task_queue_fail        (GQueue           *queue,
                                      const GError     *error);

/* Takes ERROR, and returns it from all tasks of QUEUE, a field of OWNER, when their context is
 * iterated. However many tasks there are, no iteration takes long. */
void   _afork_task_queue_fail_later   (GQueue          *queue,
                                       GObject         *owner,
                                       GError          *error);

/* Takes ERROR, and returns it from TASK when its context is iterated. For code that must not call a
 * callback of the program. */
void   _afork_task_return_error_later (GTask           *task,
                                       GError          *error);
/* Returns G_IO_ERROR_CANCELLED from TASK, even if the cancellable has been reset since. */
void   _afork_task_return_cancelled  (GTask            *task);

G_END_DECLS
