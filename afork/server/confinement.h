/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limits and confinement of a process: what RESTRICT asks for. wire/afork-confinement.h has the
 * description and its parser, and says what effects and layers are.
 *
 * A process is confined in two stages:
 *
 * - When RESTRICT comes, in the process that gets it, which may be forked later: the filters of
 *   AFORK_STAGE_TEMPLATE, no_new_privs, the score for the killer of processes, and namespaces.
 *   Forks inherit these. Everything that costs time is prepared here, once.
 * - When the process or a fork of it is run, just before READY: limits, priority, Landlock, and the
 *   filters of AFORK_STAGE_RUN. A template needs what these forbid: it forks, opens /proc, and
 *   loads modules. Each worker pays for this stage, so it is a few system calls, without files or
 *   memory.
 *
 * A layer that cannot be had never fails by itself. It is noted in the report, with the reason.
 * After the first stage, and again after the second, a wanted effect that no layer gives is a
 * failure, unless the caller asked for the best effort. */

#pragma once

#include <stdbool.h>

#include "failure.h"
#include "wire/afork-confinement.h"

/* Does RESTRICT. Not async-signal-safe. */
bool afork_serve_restrict         (const AForkFrame *frame);

/* Whether the process has got RESTRICT. Async-signal-safe. */
bool afork_confinement_is_set     (void);

/* The second stage. Sets the failure if a wanted effect cannot be had, or if PROGRAM is true and
 * the filters do not allow that a program is executed. Afterwards, the process can only do what
 * its function may do. Not async-signal-safe. */
bool afork_confinement_enter      (bool              program);

/* Puts CONFINED up for sending, if the process is confined. It comes before READY.
 * Async-signal-safe. */
void afork_confinement_put_report (void);

/* Layers in files of their own. Each has at most two functions, which confinement.c calls in the
 * order of its table `layers`.
 *
 * prepare() is called for each RESTRICT, in the first stage. The strings of CONFINEMENT are the
 * frame's, and are gone when it returns. It sets the state of REPORT, and for
 * AFORK_LAYER_STATE_FAILED the errno value; with AFORK_LAYER_STATE_IN_FORCE, also the effects that
 * the layer will give in this kernel. If CONFINEMENT asks for nothing that the layer does, it
 * returns and leaves REPORT as it is: AFORK_LAYER_STATE_UNUSED. It keeps what enter() needs, such
 * as a descriptor that is close-on-exec and not 0, 1 or 2, in the state of the server. A second
 * RESTRICT adds to the first.
 *
 * enter() is called once, in the second stage, also if prepare() of a RESTRICT has failed or there
 * was nothing to do. It does all that was prepared, and closes what prepare() has kept. If it
 * fails, it sets the state and the errno value, and clears `gives`. */
typedef struct
{
  AForkLayer layer;
  void     (*prepare) (const AForkConfinement *confinement,
                       AForkLayerReport       *report);
  void     (*enter)   (AForkLayerReport       *report);
} AForkLayerFunctions;
