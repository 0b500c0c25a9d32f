/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-job.h"

G_BEGIN_DECLS

/* Calls functions of worker modules in this process, which has no protection from them. This is for
 * debuggers. */
typedef struct _AForkInProcess AForkInProcess;

typedef void (*AForkInProcessEventFunc) (GVariant *event,
                                         gpointer  data);

/* Whether AFORK_INPROCESS is 1 in the environment, which is read once. */
gboolean        _afork_in_process_is_wanted (void);

/* Loads MODULES, which are searched in MODULE_PATH first, or NULL, and finds FUNCTION, an
 * AForkCallFunc. Calls INIT_FUNCTION, an AForkCallInitFunc, unless it is NULL. Modules stay
 * loaded. */
AForkInProcess *_afork_in_process_new       (const char * const      *modules,
                                             const char * const      *module_path,
                                             const char              *function,
                                             const char              *init_function,
                                             GError                 **error);
void            _afork_in_process_free      (AForkInProcess          *self);

/* Calls the function, and returns its value, or NULL and an error. JOB, which gets progress and
 * results, and CANCELLABLE, which may be cancelled in another thread, may be NULL. EVENT_FUNC gets
 * the events that the function emits in this thread. */
GVariant       *_afork_in_process_call      (AForkInProcess          *self,
                                             GVariant                *args,
                                             AForkJob                *job,
                                             GCancellable            *cancellable,
                                             AForkInProcessEventFunc  event_func,
                                             gpointer                 data,
                                             GError                 **error);

G_END_DECLS
