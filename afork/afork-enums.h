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
 * @AFORK_PROCESS_STATE_STARTING: nothing was received from the process yet
 * @AFORK_PROCESS_STATE_PREPARING: the process executes the queued commands
 * @AFORK_PROCESS_STATE_RUNNING: the process runs its function or program, which has the socket
 * @AFORK_PROCESS_STATE_EXITED: the process has exited, or could not be started, or its main context
 *   was freed
 *
 * The state of a process. It only goes forward in this list.
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
 * @AFORK_JOB_STATE_NEW: the job was not run yet
 * @AFORK_JOB_STATE_QUEUED: the job was accepted, and the worker has not begun it
 * @AFORK_JOB_STATE_RUNNING: the function of the worker was entered for the job
 * @AFORK_JOB_STATE_SUCCEEDED: the job has a result
 * @AFORK_JOB_STATE_FAILED: the job has an error
 * @AFORK_JOB_STATE_CANCELLED: the job was cancelled, and its error is `G_IO_ERROR_CANCELLED`
 *
 * The state of a job. It only goes forward in this list. The last three states are final.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_JOB_STATE_NEW,
  AFORK_JOB_STATE_QUEUED,
  AFORK_JOB_STATE_RUNNING,
  AFORK_JOB_STATE_SUCCEEDED,
  AFORK_JOB_STATE_FAILED,
  AFORK_JOB_STATE_CANCELLED
} AForkJobState;

/**
 * AForkMapFlags:
 * @AFORK_MAP_ORDERED: jobs are returned in the order of the items
 * @AFORK_MAP_UNORDERED: jobs are returned in the order in which they end
 *
 * How an [class@AFork.Map] returns jobs.
 *
 * Since: 0.1
 */
typedef enum /*< flags >*/
{
  AFORK_MAP_ORDERED = 0,
  AFORK_MAP_UNORDERED = 1 << 0
} AForkMapFlags;

/**
 * AForkPoolWorkerState:
 * @AFORK_POOL_WORKER_STATE_STARTING: the worker does not serve jobs yet
 * @AFORK_POOL_WORKER_STATE_IDLE: the worker has no job
 * @AFORK_POOL_WORKER_STATE_BUSY: the worker has jobs
 * @AFORK_POOL_WORKER_STATE_LEAVING: the worker finishes its jobs, and gets no more
 * @AFORK_POOL_WORKER_STATE_EXITING: the worker serves no more jobs, and exits
 * @AFORK_POOL_WORKER_STATE_EXITED: the worker has exited
 *
 * What a worker of a pool does. Apart from idle and busy, the state only goes forward in this list.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_POOL_WORKER_STATE_STARTING,
  AFORK_POOL_WORKER_STATE_IDLE,
  AFORK_POOL_WORKER_STATE_BUSY,
  AFORK_POOL_WORKER_STATE_LEAVING,
  AFORK_POOL_WORKER_STATE_EXITING,
  AFORK_POOL_WORKER_STATE_EXITED
} AForkPoolWorkerState;

/**
 * AForkShutdownMode:
 * @AFORK_SHUTDOWN_MODE_DRAIN: all jobs that the pool has accepted are run
 * @AFORK_SHUTDOWN_MODE_ABORT: jobs that have not ended fail with `AFORK_ERROR_CLOSED`
 *
 * What [method@AFork.Pool.shutdown_async] does with jobs that have not ended.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_SHUTDOWN_MODE_DRAIN,
  AFORK_SHUTDOWN_MODE_ABORT
} AForkShutdownMode;

/**
 * AForkSystemCalls:
 * @AFORK_SYSTEM_CALLS_ANY: all
 * @AFORK_SYSTEM_CALLS_NO_ADMIN: all but those that administer a system, such as `mount` and
 *   `reboot`, that reach into other processes, such as `ptrace`, or that are large and seldom used
 *   parts of the kernel, such as `bpf` and `io_uring`
 * @AFORK_SYSTEM_CALLS_COMPUTE: only those for computing, memory and threads of the process's own,
 *   time, and reading and writing descriptors that it has. It opens no file unless
 *   [property@AFork.Sandbox:read-paths] or [property@AFork.Sandbox:write-paths] has a path, makes
 *   no socket, no shared memory and no process, executes no program, and sends no signal to another
 *   process
 *
 * The system calls that an [class@AFork.Sandbox] allows.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_SYSTEM_CALLS_ANY,
  AFORK_SYSTEM_CALLS_NO_ADMIN,
  AFORK_SYSTEM_CALLS_COMPUTE
} AForkSystemCalls;

G_END_DECLS
