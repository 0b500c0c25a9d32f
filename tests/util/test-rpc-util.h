/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of calls have in common. Their worker functions are in modules/calls.c, and in
 * modules/script.c, which does what a string says. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* Calls to FUNCTION of the module, which is calls_later() if they are CONCURRENT. What the worker
 * writes to its standard error output is not passed on. */
AForkRpc     *new_rpc            (const char    *function);
AForkRpc     *new_rpc_concurrent (void);

/* The same of another module. */
AForkRpc     *new_rpc_of         (const char    *module,
                                  const char    *function,
                                  gboolean       concurrent);

/* Adds TEST twice, with a census around it, under PATH: for a worker that serves one call at a
 * time, and for one that serves many. */
void          add_for_both       (const char    *path,
                                  void         (*test) (gboolean concurrent));

/* What calls_do() and calls_later() take. */
GVariant     *do_args            (const char    *what,
                                  guint32        number);

/* Makes a call of one of these, without waiting. */
void          begin_call         (AForkRpc      *rpc,
                                  const char    *what,
                                  guint32        number,
                                  GCancellable  *cancellable,
                                  GAsyncResult **result);

/* The answer to a call, with the main context iterated. */
GVariant     *call               (AForkRpc      *rpc,
                                  GVariant      *args,
                                  GError       **error);

/* The same for a job. */
GVariant     *run_job            (AForkRpc      *rpc,
                                  AForkJob      *job,
                                  GError       **error);

/* Waits for the answer, which must be NUMBER, or an error whose message holds TEXT; clears
 * RESULT. */
void          expect_uint32      (AForkRpc      *rpc,
                                  GAsyncResult **result,
                                  guint32        number);
void          expect_error       (AForkRpc      *rpc,
                                  GAsyncResult **result,
                                  GQuark         domain,
                                  int            code,
                                  const char    *text);

void          assert_uint32      (GVariant      *value,
                                  guint32        expected);

/* It is an error of this code, whose message holds TEXT; clears it. */
void          assert_error_holds (GError       **error,
                                  GQuark         domain,
                                  int            code,
                                  const char    *text);

/* It still answers, with its function bounds_do() or bounds_later(). */
void          assert_serves      (AForkRpc      *rpc);

/* Closes, upon which the worker must end properly, or with an error of that code. */
void          close_rpc          (AForkRpc      *rpc);
void          close_rpc_error    (AForkRpc      *rpc,
                                  int            code);

/* A handler of the signals event and progress, whose data is a GString: appends the value, with “e”
 * or “p” before it and a space behind it. Of what comes with much beside it, the number only. */
void          append_text_cb     (GObject       *object,
                                  GVariant      *value,
                                  gpointer       data);

/* Calls of modules/script.c. All that comes is appended to LOG in the order in which it comes:
 * events and progress as above; results as “r” and the value; errors as “x” and the short name of
 * their code; and in the end “closed”. */
AForkRpc     *new_script_rpc     (gboolean       concurrent,
                                  GString       *log);
/* The same with a process of the test's own, a script for the worker's init-function, and a
 * done-function; each may be NULL. */
AForkRpc     *new_script_rpc_full (AForkProcess *process,
                                  gboolean       concurrent,
                                  const char    *init,
                                  const char    *done,
                                  GString       *log);

/* Has all that comes of it, but for answers, appended to LOG. */
void          log_rpc            (AForkRpc      *rpc,
                                  GString       *log);

/* A time limit in milliseconds within which a worker gets as far as its first events, also on a
 * busy machine. */
guint         get_time_limit     (void);

/* Runs a job with that script. It lives until it has ended. */
AForkJob     *begin_script       (AForkRpc      *rpc,
                                  const char    *script,
                                  GString       *log);
/* The same with a time limit in milliseconds, and 0 for none; and with a gate, the other end of a
 * descriptor that goes with it, unless GATE is NULL: close it, and the script goes on. */
AForkJob     *begin_script_full  (AForkRpc      *rpc,
                                  const char    *script,
                                  guint          timeout,
                                  int           *gate,
                                  GString       *log);
/* A plain call, whose progress nobody sees. */
void          begin_plain_script (AForkRpc      *rpc,
                                  const char    *script,
                                  GCancellable  *cancellable,
                                  GString       *log);
/* Closes; “ok” or an error, as above, is then appended as well. */
void          begin_close        (AForkRpc      *rpc,
                                  GCancellable  *cancellable,
                                  GString       *log);
/* What these use: a GAsyncReadyCallback, whose data is a GString. */
void          append_result_cb   (GObject       *object,
                                  GAsyncResult  *result,
                                  gpointer       data);

/* Iterates the main context until the log is as long as EXPECTED, which it must be. */
void          await_log          (GString       *log,
                                  const char    *expected);

/* Iterates the main context until TEXT is in the string. */
void          await_text         (GString       *string,
                                  const char    *text);

/* How long the process has been on a CPU, in nanoseconds. */
guint64       get_cpu_time       (GPid           pid);

/* Waits, without iterating the main context, until the process has hardly run for a tenth of a
 * second. */
void          await_sleep        (GPid           pid);

/* Memory of the process that is not of files and not shared, and what this program has of malloc(),
 * in bytes. Instrumented, there is no telling: 0. */
gsize         get_private_memory (GPid           pid);
gsize         get_own_memory     (void);

/* A job of one of these functions, with one descriptor, which is taken. */
AForkJob     *new_fd_job         (const char    *what,
                                  guint32        number,
                                  int            fd);

G_END_DECLS
