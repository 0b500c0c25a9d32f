/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Common code of the tests of processes. */

#pragma once

#include <afork/afork.h>

#include "test-basics.h"

G_BEGIN_DECLS

/* How many descriptors and children this process has: after a test, as many as before. */
typedef struct
{
  guint n_fds;
  guint n_children;             /* includes zombies */
} Census;

/* Drops the templates of the thread-default main context, starts what GIO and the library start
 * once and keep, waits until this process has no children, and counts. */
void     census_begin (Census *census);

/* Counts at once, with the templates that there are. */
void     census_count (Census *census);

/* Counts in a program that has one thread, must still have one when the test begins, and has had no
 * template. The descriptors that GIO's thread and blocking calls will keep are counted, too. */
void     census_begin_single (Census *census);

/* Drops the templates, and iterates the main context until no more descriptors and children are
 * left than were counted. A test that leaks hangs here, and prints what it waits for. */
void     census_end   (Census *census);

/* The same without dropping templates. */
void     census_await (Census *census);

/* Adds TEST with a census around it. */
void     add_test        (const char    *path,
                          GTestFunc      test);

/* The same for a test that gets DATA, and its census. */
void     add_with_data   (const char    *path,
                          gconstpointer  data,
                          void         (*test) (Census        *census,
                                                gconstpointer  data));
void     add_with_census (const char    *path,
                          void         (*test) (Census        *census,
                                                gconstpointer  data));

/* Runs a test, a GTestFunc, with a census around it: for g_test_add_data_func(). */
void     run_with_census (gconstpointer  function);

/* Runs TEST in a process of its own, which has one thread at the start, with a census around it.
 * N_STAY is the number of children when TEST is over, each with two descriptors here. */
void     run_in_program  (GTestFunc      test,
                          guint          n_stay);
/* Adds a test that is run in this way and leaves no children. */
void     add_in_program  (const char    *path,
                          GTestFunc      test);

/* For tests that begin with a template that has a module. */
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

/* Whether SO_PEERPIDFD works, so that a process can be identified without pidfd_open(2): since
 * Linux 6.5. */
gboolean has_peer_pidfds (void);

/* Whether a process that is not a child can be signalled by a pidfd: not under valgrind 3.19. */
gboolean can_signal_by_pidfd (void);

/* A new process that has MODULE. */
AForkProcess *new_module_process (const char *module);

/* A callback that stores a reference to the result in the GAsyncResult * that is its data. */
void     store_result_cb (GObject      *object,
                          GAsyncResult *result,
                          gpointer      data);

/* Callbacks of sources. The first does nothing: a timeout with it lets code that iterates the main
 * context look again at intervals. The second sets the gboolean that is its data, once. */
gboolean tick_cb      (gpointer data);
gboolean set_cb       (gpointer data);

/* Iterates the default main context while a source is ready. */
void     iterate      (void);

/* Iterates the main context until *RESULT is set. */
void     await_result (GAsyncResult **result);

/* Fails the test after five minutes of iterating the thread-default main context: WHAT has not
 * come. */
GSource *deadline_new   (const char *what);
void     deadline_clear (GSource    *source);

/* Iterates the main context until the process is in this state or a later one; until it has
 * exited. */
void     await_state  (AForkProcess      *process,
                       AForkProcessState  state);
void     await_end    (AForkProcess      *process);

/* Calls afork_process_run_async() or afork_process_wait_async(), iterates the main context until
 * the operation has completed, and returns its result. */
GSocketConnection *run_process  (AForkProcess  *process,
                                 const char    *function,
                                 GError       **error);
gboolean           wait_process (AForkProcess  *process,
                                 GError       **error);

/* Runs FUNCTION, which must succeed. */
GSocketConnection *run_process_ok (AForkProcess *process,
                                   const char   *function);

/* Runs FUNCTION, which must fail with this error and a message that contains TEXT; NULL stands for
 * any. Then waits until the process has exited. */
void               expect_run_error (AForkProcess *process,
                                     const char   *function,
                                     GQuark        domain,
                                     int           code,
                                     const char   *text);

/* Reads until the other side closes, and returns all that came, with a NUL at the end. SIZE may be
 * NULL. */
char    *read_to_end  (GSocketConnection *connection,
                       gsize             *size);

/* The same for a worker that runs echo(), or a program like cat(1). These read to the end, so the
 * socket is first shut down for writing. */
char    *read_echo    (GSocketConnection *connection);

/* Runs FUNCTION, returns all that it writes, and waits until the process has exited with status
 * 0. */
char    *run_to_end   (AForkProcess      *process,
                       const char        *function);

/* The same, and FUNCTION must write EXPECTED. */
void     assert_answer (AForkProcess      *process,
                        const char        *function,
                        const char        *expected);

/* Closes the connection. The process must then exit with status 0. */
void     finish_process (AForkProcess      *process,
                         GSocketConnection *connection);

/* The process has exited, with this status or by this signal. */
void     assert_exit_status (AForkProcess *process,
                             int           exit_status);
void     assert_term_signal (AForkProcess *process,
                             int           signal);

G_END_DECLS
