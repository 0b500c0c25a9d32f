/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests of workers that break the protocol of calls, or use it to do harm. The worker runs
 * modules/hostile-calls.c, which does the steps that a test gives it. */

#pragma once

#include "afork/wire/afork-call-frame.h"
#include "test-rpc-util.h"

G_BEGIN_DECLS

#define FRAME(KIND, ...) ((AForkCallFrame) { .kind = AFORK_CALL_FRAME_ ## KIND, __VA_ARGS__ })
/* An event with the string “ok”. */
#define OK_EVENT FRAME (EVENT, .type = "s", .data = (const guint8 *) "ok", .size = 3)

/* Makes a process whose worker first sends STARTED. */
AForkProcess *new_hostile_process (void);
/* Makes an object for calls to PROCESS. The name of the function does not matter. */
AForkRpc     *new_hostile_rpc     (AForkProcess   *process);

/* Adds a step for the worker. TEXT is a letter and the arguments of the step: see
 * modules/hostile-calls.c. */
void          step                (AForkProcess   *process,
                                   const char     *text);
/* Adds a step with BYTES behind the letter. */
void          step_bytes          (AForkProcess   *process,
                                   char            letter,
                                   gconstpointer   bytes,
                                   gsize           size);
/* Adds a step with N times FRAME behind the letter. */
void          step_frames         (AForkProcess   *process,
                                   char            letter,
                                   AForkCallFrame  frame,
                                   guint           n);
/* Adds a step in which the worker sends FRAME. */
void          step_frame          (AForkProcess   *process,
                                   AForkCallFrame  frame);

/* Appends FRAME to BYTES, in the form in which it is sent. */
void          add_frame           (GByteArray     *bytes,
                                   AForkCallFrame  frame);

G_END_DECLS
