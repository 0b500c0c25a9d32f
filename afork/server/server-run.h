/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The commands that fork a process and that hand it over. Each that returns false has set the
 * failure. None is async-signal-safe. */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/afork-frame.h"

/* Forks the process. Returns in both: the fork serves SOCKET, which this process closes. */
bool afork_serve_fork     (uint32_t          number,
                           int               socket);
bool afork_serve_run      (const char       *function,
                           const char       *title);
bool afork_serve_run_func (const AForkFrame *frame);
bool afork_serve_exec     (const AForkFrame *frame);
bool afork_serve_detach   (void);
bool afork_serve_identify (uint32_t          version);
