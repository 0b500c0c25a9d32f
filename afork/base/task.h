/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "waiter.h"

G_BEGIN_DECLS

/* For tasks that are cancelled in the main context, and not by GIO. */

/* A task that its source object has to answer. The source object has this struct as a field, which
 * owns both the task and the watch of its cancellable. The task owns neither. */
typedef struct
{
  GTask       *task;            /* or NULL */
  AForkWaiter *waiter;          /* or NULL */
} AForkPendingTask;

/* Takes a reference to TASK. If its cancellable is cancelled before the task is stolen, calls
 * CANCELLED with DATA, which the task or its source object has to keep alive. */
void   _afork_pending_task_set       (AForkPendingTask *self,
                                      GTask            *task,
                                      AForkWaiterFunc   cancelled,
                                      gpointer          data);
/* Ends the watch, and returns the task with its reference, or NULL. */
GTask *_afork_pending_task_steal     (AForkPendingTask *self);

/* A queue of pending tasks. Takes a reference to TASK. If its cancellable is cancelled, the task
 * leaves the queue and returns G_IO_ERROR_CANCELLED. The queue must be a field of the source
 * object. */
void   _afork_task_queue_push        (GQueue           *queue,
                                      GTask            *task);
/* Returns the first task with its reference, or NULL. */
GTask *_afork_task_queue_pop         (GQueue           *queue);

/* Returns ERROR, which is taken, from TASK when its context is iterated. For code that must not
 * call a callback. */
void   _afork_task_return_error_later (GTask           *task,
                                       GError          *error);
/* Returns G_IO_ERROR_CANCELLED from TASK, even if the cancellable has been reset since. */
void   _afork_task_return_cancelled  (GTask            *task);

G_END_DECLS
