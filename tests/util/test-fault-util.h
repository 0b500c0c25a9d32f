/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of faults have in common: each leaves no descriptor and no child behind, and later
 * calls work. */

#pragma once

#include "test-fds.h"
#include "test-util.h"

G_BEGIN_DECLS

/* Adds a test with a census around it, after which a new process must work. The second is for a
 * test that is given DATA. */
void fault_add            (const char    *path,
                           void         (*test) (Census        *census,
                                                 gconstpointer  data));
void fault_add_with_data  (const char    *path,
                           gconstpointer  data,
                           void         (*test) (Census        *census,
                                                 gconstpointer  data));

/* A process that can do what is asked of it, for comparison. */
void assert_process_works (AForkRuntime *runtime);

/* Has a process that was not run send back a text, and end. */
void assert_echoes        (AForkProcess *process);

/* What an operation came to, for its callback. That it is called twice is an error. */
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

/* It is there, and is this error with a message that holds TEXT, unless that is NULL. Clears it. */
void outcome_expect_error (Outcome      *outcome,
                           GQuark        domain,
                           int           code,
                           const char   *text);
void assert_error_text    (GError       *error,
                           GQuark        domain,
                           int           code,
                           const char   *text);

/* Returns when the process, which is a child of this one, is stopped. */
void stop                 (AForkProcess *process);

/* Waits for a byte without turning it. */
void await_byte           (int           fd);

/* Turns it until there is something to read from FD, or its end. */
void await_readable       (int           fd);

G_END_DECLS
