/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Common code of the cases that use a GLib main loop. */

#pragma once

#include <glib.h>

#include "case.h"

G_BEGIN_DECLS

typedef struct _CaseCreation CaseCreation;

/* Begins to create one process, and returns. Its events are reported to CREATION. */
typedef void (*CaseLoopCreate) (CaseCreation *creation);

/* Creates processes with CREATE on the default main context, as OPTIONS say. Prints what case_run()
 * does and, if OPTIONS say so, how long the caller's thread was busy for each process:
 * `start-inside-ns` until it was connected, `life-inside-ns` until nothing of it was left. */
void case_loop_run          (const CaseOptions *options,
                             CaseLoopCreate     create);

/* The process was created, and SOCKET, which stays open until the creation is over, is connected to
 * it. The creation waits for the end of file. OWNERS are objects that are released when it is
 * over. */
void case_creation_connected (CaseCreation     *creation,
                              int               socket,
                              gpointer          process,
                              gpointer          connection);

/* The same for a process of which only the exit status is awaited. CONNECTION and PROCESS may be
 * NULL. */
void case_creation_started   (CaseCreation     *creation,
                              gpointer          process,
                              gpointer          connection);

/* The process has exited with this status, as from waitpid(). */
void case_creation_exited    (CaseCreation     *creation,
                              int               wait_status);

G_END_DECLS
