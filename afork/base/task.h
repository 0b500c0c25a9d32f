/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "waiter.h"

G_BEGIN_DECLS

/* For tasks that GIO does not cancel. */

/* Has CALLBACK called with the task when its cancellable is cancelled, if it has one, until the
 * task is answered: then the watch has to be ended. */
void _afork_task_watch_cancellable   (GTask           *task,
                                      AForkWaiterFunc  callback);
void _afork_task_unwatch_cancellable (GTask           *task);

/* A queue of tasks that wait for the same. Takes a reference to TASK, which is in no other. If its
 * cancellable is cancelled, it is answered so, and taken out of the queue, which has to be where it
 * is as long as the task's source object lives. */
void   _afork_task_queue_push        (GQueue          *queue,
                                      GTask           *task);
/* The first of them, with its reference, or NULL. */
GTask *_afork_task_queue_pop         (GQueue          *queue);

/* Answers it with ERROR, which is taken, when its context is iterated. For where no callback can be
 * called. */
void _afork_task_return_error_later  (GTask           *task,
                                      GError          *error);
/* Answers it, whether the cancellable has been reset since or not. */
void _afork_task_return_cancelled    (GTask           *task);

G_END_DECLS
