/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of workers that serve calls in a way of their own have in common. The worker is
 * modules/hostile-calls.c, and does the steps that a test gives it. */

#pragma once

#include "afork/wire/afork-call-frame.h"
#include "test-rpc-util.h"

G_BEGIN_DECLS

#define FRAME(KIND, ...) ((AForkCallFrame) { .kind = AFORK_CALL_FRAME_ ## KIND, __VA_ARGS__ })
/* An event that says “ok”. */
#define OK_EVENT FRAME (EVENT, .type = "s", .data = (const guint8 *) "ok", .size = 3)

/* A process whose worker says that it has started. */
AForkProcess *new_hostile_process (void);
AForkRpc     *new_hostile_rpc     (AForkProcess        *process);

void          step                (AForkProcess        *process,
                                   const char          *text);
void          step_bytes          (AForkProcess        *process,
                                   char                 letter,
                                   GByteArray          *bytes);
/* A step of LETTER with N times FRAME. */
void          step_frames         (AForkProcess        *process,
                                   char                 letter,
                                   AForkCallFrame       frame,
                                   guint                n);

void          add_frame           (GByteArray          *bytes,
                                   AForkCallFrame       frame);

G_END_DECLS
