/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"

G_BEGIN_DECLS

/* The standard error output of a worker and its children. It is forwarded to that of this program,
 * without waiting for it, and its end is kept for the errors of calls. */
typedef struct _AForkStderrCapture AForkStderrCapture;

/* Has PROCESS, which is about to be run, write to a pipe that is read in CONTEXT. Returns NULL if
 * there are no descriptors for the pipe, or if the runtime of the process cannot pass any.
 * FORWARD: writes the text to this program's standard error output. */
AForkStderrCapture *_afork_stderr_capture_new         (AForkProcess       *process,
                                                       GMainContext       *context,
                                                       gboolean            forward);
void                _afork_stderr_capture_free        (AForkStderrCapture *self);

void                _afork_stderr_capture_set_context (AForkStderrCapture *self,
                                                       GMainContext       *context);

/* The worker has ended: reads what is left, and returns the last lines, without the last end of
 * line. Returns an empty string if there are none. */
const char         *_afork_stderr_capture_finish      (AForkStderrCapture *self);

G_END_DECLS
