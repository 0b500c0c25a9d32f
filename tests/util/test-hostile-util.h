/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests of workers that do not keep to the protocol of calls, or use it to do harm. The worker
 * is modules/hostile-calls.c, and does the steps that a test gives it. */

#pragma once

#include "afork/wire/afork-call-frame.h"
#include "test-rpc-util.h"

G_BEGIN_DECLS

#define FRAME(KIND, ...) ((AForkCallFrame) { .kind = AFORK_CALL_FRAME_ ## KIND, __VA_ARGS__ })
/* An event that says “ok”. */
#define OK_EVENT FRAME (EVENT, .type = "s", .data = (const guint8 *) "ok", .size = 3)

/* A process whose worker first sends STARTED. */
AForkProcess *new_hostile_process (void);
/* Its calls go to a function of any name. */
AForkRpc     *new_hostile_rpc     (AForkProcess   *process);

/* Adds a step for the worker: TEXT is a letter, which is explained in modules/hostile-calls.c, and
 * what belongs to it. */
void          step                (AForkProcess   *process,
                                   const char     *text);
/* The same with bytes behind the letter. */
void          step_bytes          (AForkProcess   *process,
                                   char            letter,
                                   gconstpointer   bytes,
                                   gsize           size);
/* The same with N times FRAME. */
void          step_frames         (AForkProcess   *process,
                                   char            letter,
                                   AForkCallFrame  frame,
                                   guint           n);
/* Adds a step in which the worker sends FRAME. */
void          step_frame          (AForkProcess   *process,
                                   AForkCallFrame  frame);

/* Appends FRAME to BYTES, as it is sent. */
void          add_frame           (GByteArray     *bytes,
                                   AForkCallFrame  frame);

G_END_DECLS
