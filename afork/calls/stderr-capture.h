/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"

G_BEGIN_DECLS

/* What a worker and its children write to their standard error output: forwarded to the caller's
 * own, which is never waited for, and the end of it kept for the errors of calls. */
typedef struct _AForkStderrCapture AForkStderrCapture;

/* Has PROCESS, which is about to be run, write to a pipe that is read in CONTEXT. NULL if there is
 * no descriptor for it, or if the process's runtime cannot be given one. FORWARD: what comes is
 * written to this program's standard error output. */
AForkStderrCapture *_afork_stderr_capture_new         (AForkProcess       *process,
                                                       GMainContext       *context,
                                                       gboolean            forward);
void                _afork_stderr_capture_free        (AForkStderrCapture *self);

void                _afork_stderr_capture_set_context (AForkStderrCapture *self,
                                                       GMainContext       *context);

/* Reads what is there, now that the worker has ended, and returns its last lines, without an end of
 * line, or an empty string. */
const char         *_afork_stderr_capture_finish      (AForkStderrCapture *self);

G_END_DECLS
