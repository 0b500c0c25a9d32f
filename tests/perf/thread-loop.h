/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limit: jobs in threads of one process, by GThreadPool. */

#pragma once

#include "case.h"

/* Does the job TICKET, in any thread. */
typedef void (*ThreadWork) (int ticket);

/* Does the jobs that OPTIONS say, as call_run() does. */
int64_t thread_loop_run (const CaseOptions *options,
                         ThreadWork         work);
