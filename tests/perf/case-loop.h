/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the cases that live on a GLib main loop have in common. */

#pragma once

#include <glib.h>

#include "case.h"

G_BEGIN_DECLS

typedef struct _CaseCreation CaseCreation;

/* Begins to create one process, and returns. What it sets in motion reports to CREATION. */
typedef void (*CaseLoopCreate) (CaseCreation *creation);

/* Does what OPTIONS say with CREATE on the default main context. Prints what case_run() does and,
 * if told to, how long the caller's thread was inside of things for each process:
 * `start-inside-ns` until it was connected, `life-inside-ns` until nothing of it was left. */
void case_loop_run          (const CaseOptions *options,
                             CaseLoopCreate     create);

/* The process is there, and SOCKET, which stays open until the creation is over, is connected to
 * it. The creation watches for the end of file itself. OWNERS are the objects that go with it: they
 * are released when it is over. */
void case_creation_connected (CaseCreation     *creation,
                              int               socket,
                              gpointer          process,
                              gpointer          connection);

/* The same of a process that only its exit status is awaited of. CONNECTION may be NULL, as may be
 * PROCESS. */
void case_creation_started   (CaseCreation     *creation,
                              gpointer          process,
                              gpointer          connection);

/* The process has ended, and this is how: a status as waitpid() has it. */
void case_creation_exited    (CaseCreation     *creation,
                              int               wait_status);

G_END_DECLS
