/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

/**
 * AFORK_ERROR:
 *
 * The error domain of AFork. Its codes are those of [error@AFork.Error].
 *
 * Since: 0.1
 */
#define AFORK_ERROR (afork_error_quark ())

/**
 * AForkError:
 * @AFORK_ERROR_FAILED: an operation failed for another reason; the message says which
 * @AFORK_ERROR_SPAWN: a process could not be created: its program is missing or not executable, or
 *   does not answer as a server does, or there are too few processes, descriptors or memory left
 * @AFORK_ERROR_CLOSED: the process takes no more commands or calls, because it was run, was asked
 *   to exit, or cannot be used any more
 * @AFORK_ERROR_MODULE: a module could not be loaded; the message contains that of the loader
 * @AFORK_ERROR_EVAL: code could not be compiled or run
 * @AFORK_ERROR_FUNCTION: no loaded module has the function
 * @AFORK_ERROR_THREADS: a process cannot be forked, because it has more than one thread; the
 *   message names the threads
 * @AFORK_ERROR_SANDBOX: a limit or a confinement could not be applied, or the process was ended
 *   because it made a system call that is not allowed
 * @AFORK_ERROR_NOT_SUPPORTED: the runtime cannot do this
 * @AFORK_ERROR_PROTOCOL: the other process sent something that the protocol does not allow, and was
 *   killed
 * @AFORK_ERROR_EXITED: the process exited too early; the message contains its exit status
 * @AFORK_ERROR_SIGNALED: the process was ended by a signal; the message names the signal
 * @AFORK_ERROR_OUT_OF_MEMORY: the process was killed because there was no memory left, has ended
 *   because of the memory limit of its [class@AFork.Sandbox], or there is no memory for what it
 *   sent
 * @AFORK_ERROR_TIMED_OUT: the job took longer than its time limit, or used more processor time than
 *   the [class@AFork.Sandbox] of the process allows
 * @AFORK_ERROR_OVERLOADED: a queue is full
 * @AFORK_ERROR_LOST: the process has exited, and its exit status is unknown: the template that
 *   would have reported it has exited
 * @AFORK_ERROR_QUARANTINED: equal jobs have ended two workers, and are refused for a while
 * @AFORK_ERROR_EXCEPTION: a function of the worker has raised an exception of its language; the
 *   message contains its type, its text, and a traceback
 * @AFORK_ERROR_LIMIT: the process was ended by a limit of its [class@AFork.Sandbox] other than
 *   memory or processor time; the message names the property and its value
 * @AFORK_ERROR_HOST_LOST: the connection to another host has ended, and with it all processes
 *   there; the message names the host. The work can be tried elsewhere
 *
 * Errors of processes and of their work. Cancellation is `G_IO_ERROR_CANCELLED`.
 *
 * Since: 0.1
 */
typedef enum
{
  AFORK_ERROR_FAILED,
  AFORK_ERROR_SPAWN,
  AFORK_ERROR_CLOSED,
  AFORK_ERROR_MODULE,
  AFORK_ERROR_EVAL,
  AFORK_ERROR_FUNCTION,
  AFORK_ERROR_THREADS,
  AFORK_ERROR_SANDBOX,
  AFORK_ERROR_NOT_SUPPORTED,
  AFORK_ERROR_PROTOCOL,
  AFORK_ERROR_EXITED,
  AFORK_ERROR_SIGNALED,
  AFORK_ERROR_OUT_OF_MEMORY,
  AFORK_ERROR_TIMED_OUT,
  AFORK_ERROR_OVERLOADED,
  AFORK_ERROR_LOST,
  AFORK_ERROR_QUARANTINED,
  AFORK_ERROR_EXCEPTION,
  AFORK_ERROR_LIMIT,
  AFORK_ERROR_HOST_LOST
} AForkError;

AFORK_AVAILABLE_IN_ALL
GQuark afork_error_quark (void);

G_END_DECLS
