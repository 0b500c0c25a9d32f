/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <glib.h>

G_BEGIN_DECLS

/**
 * AForkProcessState:
 * @AFORK_PROCESS_STATE_STARTING: asked for; nothing has been heard of it yet
 * @AFORK_PROCESS_STATE_PREPARING: it lives, and does what it is told, step by step
 * @AFORK_PROCESS_STATE_RUNNING: a function of it has the socket
 * @AFORK_PROCESS_STATE_EXITED: it has ended, or never came to be, or nothing more is heard of it
 *   because its main context has gone
 *
 * How far a process has come. A process only ever goes forward in this list.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_PROCESS_STATE_STARTING,
  AFORK_PROCESS_STATE_PREPARING,
  AFORK_PROCESS_STATE_RUNNING,
  AFORK_PROCESS_STATE_EXITED
} AForkProcessState;

/**
 * AForkJobState:
 * @AFORK_JOB_STATE_NEW: not run yet
 * @AFORK_JOB_STATE_QUEUED: accepted; the worker has not begun with it
 * @AFORK_JOB_STATE_RUNNING: the worker's function was entered
 * @AFORK_JOB_STATE_SUCCEEDED: there is a result
 * @AFORK_JOB_STATE_FAILED: there is an error
 *
 * How far a job has come. A job only ever goes forward in this list.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_JOB_STATE_NEW,
  AFORK_JOB_STATE_QUEUED,
  AFORK_JOB_STATE_RUNNING,
  AFORK_JOB_STATE_SUCCEEDED,
  AFORK_JOB_STATE_FAILED
} AForkJobState;

G_END_DECLS
