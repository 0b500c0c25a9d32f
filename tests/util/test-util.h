/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of processes have in common. */

#pragma once

#include <afork/afork.h>

#include "test-basics.h"

G_BEGIN_DECLS

/* What a test must leave as it found it. */
typedef struct
{
  guint n_fds;
  guint n_children;             /* zombies among them */
} Census;

/* Gives up the templates of this context, so that nothing is left to be started lazily, and counts
 * when the descriptors and children of this process no longer change on that account. */
void     census_begin (Census *census);

/* Counts as it is, templates among the rest. */
void     census_count (Census *census);

/* The same for a program that has had no template yet, has one thread, and is to keep it for now:
 * counts in advance what GIO's thread and calls that wait will have. */
void     census_begin_single (Census *census);

/* Gives up the templates again, and iterates the main context until as many are left as there were.
 * A test that leaks hangs here, and says what it waits for when that takes long. */
void     census_end   (Census *census);

/* Iterates the thread-default main context until as many are left, whatever templates there are. */
void     census_await (Census *census);

/* Adds TEST with a census around it. */
void     add_test        (const char    *path,
                          GTestFunc      test);

/* The same for a test that is given DATA, and its census. */
void     add_with_data   (const char    *path,
                          gconstpointer  data,
                          void         (*test) (Census        *census,
                                                gconstpointer  data));
void     add_with_census (const char    *path,
                          void         (*test) (Census        *census,
                                                gconstpointer  data));

/* Runs a test, a GTestFunc, with a census around it: for g_test_add_data_func(). */
void     run_with_census (gconstpointer  function);

/* Runs TEST in a program of its own, which has one thread when it begins, with a census around it.
 * N_STAY is how many children the program has when TEST is over, each with two descriptors here. */
void     run_in_program  (GTestFunc      test,
                          guint          n_stay);
/* Adds a test that runs so, and leaves no children. */
void     add_in_program  (const char    *path,
                          GTestFunc      test);

/* What many tests begin with: a template that has a module. */
typedef struct
{
  Census        census;
  AForkProcess *template;       /* the test may drop it */
} Fixture;

/* Adds TEST, for which the template has MODULE, with a census around it. */
void     add_with_module (const char  *path,
                          const char  *module,
                          void       (*test) (Fixture       *fixture,
                                              gconstpointer  module));

/* Whether a process has a way to its own pidfd beside pidfd_open(): from Linux 6.5 on. */
gboolean has_peer_pidfds (void);

/* Whether a process that is no child can be signalled by a pidfd: not under valgrind 3.19. */
gboolean can_signal_by_pidfd (void);

/* A new process that has MODULE. */
AForkProcess *new_module_process (const char *module);

/* A callback that stores a reference to the result in the GAsyncResult * that it is given. */
void     store_result_cb (GObject      *object,
                          GAsyncResult *result,
                          gpointer      data);

/* Iterates the default main context as long as it has something to do at once. */
void     iterate      (void);

/* Iterates the main context until *RESULT is there. */
void     await_result (GAsyncResult **result);

/* Iterates the main context until the process has come so far, or has ended. */
void     await_state  (AForkProcess      *process,
                       AForkProcessState  state);
void     await_end    (AForkProcess      *process);

/* The two in one: what run_async() or wait_async() came to, with the main context iterated. */
GSocketConnection *run_process  (AForkProcess  *process,
                                 const char    *function,
                                 GError       **error);
gboolean           wait_process (AForkProcess  *process,
                                 GError       **error);

/* Runs FUNCTION, which must succeed. */
GSocketConnection *run_process_ok (AForkProcess *process,
                                   const char   *function);

/* Runs FUNCTION, and expects this error, whose message holds TEXT; NULL for any. Then waits for the
 * process's end. */
void               expect_run_error (AForkProcess *process,
                                     const char   *function,
                                     GQuark        domain,
                                     int           code,
                                     const char   *text);

/* All that comes until the other side closes, with a NUL behind it; *SIZE may be NULL. */
char    *read_to_end  (GSocketConnection *connection,
                       gsize             *size);

/* All that FUNCTION writes before it ends, which it does by itself. */
char    *run_to_end   (AForkProcess      *process,
                       const char        *function);

/* It writes EXPECTED. */
void     assert_answer (AForkProcess      *process,
                        const char        *function,
                        const char        *expected);

/* Closes the connection, upon which the process must exit with status 0. */
void     finish_process (AForkProcess      *process,
                         GSocketConnection *connection);

/* The process has ended, and so. */
void     assert_exit_status (AForkProcess *process,
                             int           exit_status);
void     assert_term_signal (AForkProcess *process,
                             int           signal);

G_END_DECLS
