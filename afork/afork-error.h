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
 * @AFORK_ERROR_FAILED: something else failed; the message says what
 * @AFORK_ERROR_SPAWN: a process could not be created: its program is missing or not executable,
 *   does not answer as a server does, or the system is out of processes, descriptors or memory
 * @AFORK_ERROR_CLOSED: the process takes no more: it has been run, or told to end
 * @AFORK_ERROR_MODULE: a module could not be loaded; the message holds the loader's own
 * @AFORK_ERROR_EVAL: code could not be compiled or run
 * @AFORK_ERROR_FUNCTION: no module that was loaded has the function
 * @AFORK_ERROR_THREADS: a process that was to be forked has more than one thread; the message names
 *   them
 * @AFORK_ERROR_SANDBOX: a limit or a confinement could not be applied
 * @AFORK_ERROR_NOT_SUPPORTED: the runtime cannot do this
 * @AFORK_ERROR_PROTOCOL: the other process sent something that its protocol does not allow; it has
 *   been killed
 * @AFORK_ERROR_EXITED: the process exited too early; the message has its status
 * @AFORK_ERROR_SIGNALED: the process was ended by a signal; the message names it
 * @AFORK_ERROR_OUT_OF_MEMORY: the process was ended because memory ran out, or there is none
 *   for what it sent
 * @AFORK_ERROR_TIMED_OUT: the job took longer than it was given
 * @AFORK_ERROR_OVERLOADED: a queue is full
 * @AFORK_ERROR_LOST: the process has ended, and nobody can say how: the template that had to report
 *   it died first
 *
 * What can go wrong with processes and their work. Cancellation is `G_IO_ERROR_CANCELLED`.
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
  AFORK_ERROR_LOST
} AForkError;

AFORK_AVAILABLE_IN_ALL
GQuark afork_error_quark (void);

G_END_DECLS
