/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests of faults: each leaves no descriptor and no child behind, and later calls work. */

#pragma once

#include "test-fds.h"
#include "test-util.h"

G_BEGIN_DECLS

/* Adds a test with a census around it, after which a new process must work. The second function is
 * for a test that gets DATA. */
void fault_add            (const char    *path,
                           void         (*test) (Census        *census,
                                                 gconstpointer  data));
void fault_add_with_data  (const char    *path,
                           gconstpointer  data,
                           void         (*test) (Census        *census,
                                                 gconstpointer  data));

/* Makes a process of RUNTIME, which must work. */
void assert_process_works (AForkRuntime *runtime);

/* Runs the process, which was not run before. It must send back a text and exit. */
void assert_echoes        (AForkProcess *process);

/* The result of an operation. Its callback, which stores it, must be called once. */
typedef struct
{
  guint              n_calls;
  GSocketConnection *connection;
  gboolean           success;
  GError            *error;
} Outcome;

void outcome_run_cb       (GObject      *object,
                           GAsyncResult *result,
                           gpointer      outcome);
void outcome_exec_cb      (GObject      *object,
                           GAsyncResult *result,
                           gpointer      outcome);
void outcome_wait_cb      (GObject      *object,
                           GAsyncResult *result,
                           gpointer      outcome);
void outcome_await        (Outcome      *outcome);
void outcome_clear        (Outcome      *outcome);

/* The operation has completed with this error, whose message contains TEXT unless that is NULL.
 * Clears the outcome. */
void outcome_expect_error (Outcome      *outcome,
                           GQuark        domain,
                           int           code,
                           const char   *text);
void assert_error_text    (GError       *error,
                           GQuark        domain,
                           int           code,
                           const char   *text);

/* Stops the process, which must be a child of this program, and returns when it has stopped. */
void stop                 (AForkProcess *process);

/* Reads a byte. Does not iterate the main context. */
void await_byte           (int           fd);

/* Iterates the main context until FD can be read or has ended. */
void await_readable       (int           fd);

G_END_DECLS
