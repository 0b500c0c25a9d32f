/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For tests of calls. Their worker functions are in modules/calls.c, and in modules/script.c, which
 * does what a string says. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* An object for calls to FUNCTION of that module, or to calls_later(), which serves many at a time.
 * The worker's standard error output is not forwarded. */
AForkRpc     *new_rpc            (const char    *function);
AForkRpc     *new_rpc_concurrent (void);

/* The same for a function of another module. */
AForkRpc     *new_rpc_of         (const char    *module,
                                  const char    *function,
                                  gboolean       concurrent);

/* Adds TEST twice below PATH, with a census around it: for a worker that serves one call at a time,
 * and for one that serves many. */
void          add_for_both       (const char    *path,
                                  void         (*test) (gboolean concurrent));

/* The arguments of calls_do() and calls_later(). */
GVariant     *do_args            (const char    *what,
                                  guint32        number);

/* Calls one of these, and does not wait. */
void          begin_call         (AForkRpc      *rpc,
                                  const char    *what,
                                  guint32        number,
                                  GCancellable  *cancellable,
                                  GAsyncResult **result);

/* Makes a call, iterates the main context until it is answered, and returns the answer. */
GVariant     *call               (AForkRpc      *rpc,
                                  GVariant      *args,
                                  GError       **error);

/* The same for a job. */
GVariant     *run_job            (AForkRpc      *rpc,
                                  AForkJob      *job,
                                  GError       **error);

/* Waits for the answer, which must be NUMBER, or an error whose message contains TEXT. Clears
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

/* ERROR must be set, with this code and a message that contains TEXT. Clears it. */
void          assert_error_holds (GError       **error,
                                  GQuark         domain,
                                  int            code,
                                  const char    *text);

/* The worker, whose function is bounds_do() or bounds_later(), must still answer. */
void          assert_serves      (AForkRpc      *rpc);

/* Closes RPC. The worker must exit with status 0, or closing must fail with that code. */
void          close_rpc          (AForkRpc      *rpc);
void          close_rpc_error    (AForkRpc      *rpc,
                                  int            code);

/* A handler of the signals `event` and `progress`, whose data is a GString: appends “e” or “p”, the
 * value, and a space. Of a tuple, it appends only the number. */
void          append_text_cb     (GObject       *object,
                                  GVariant      *value,
                                  gpointer       data);

/* An object for calls to modules/script.c. All that comes is appended to LOG, in that order: events
 * and progress as above; results as “r” and the value; errors as “x” and the short name of their
 * code; and at the end “closed”. */
AForkRpc     *new_script_rpc     (gboolean       concurrent,
                                  GString       *log);
/* The same with a process, a script for the worker's init-function, and a done-function. Each may
 * be NULL. */
AForkRpc     *new_script_rpc_full (AForkProcess *process,
                                  gboolean       concurrent,
                                  const char    *init,
                                  const char    *done,
                                  GString       *log);

/* Appends all that comes, except answers, to LOG from now on. */
void          log_rpc            (AForkRpc      *rpc,
                                  GString       *log);

/* A time limit in milliseconds in which a worker sends its first events, also on a busy machine. */
guint         get_time_limit     (void);

/* Runs a job with that script. The job is freed when it has ended. */
AForkJob     *begin_script       (AForkRpc      *rpc,
                                  const char    *script,
                                  GString       *log);
/* The same with a time limit in milliseconds, or 0 for none; and with a gate unless GATE is NULL:
 * the worker gets one end of a pipe. The script goes on when the other end, *GATE, is closed. */
AForkJob     *begin_script_full  (AForkRpc      *rpc,
                                  const char    *script,
                                  guint          timeout,
                                  int           *gate,
                                  GString       *log);
/* Makes a call that is no job, so its progress is not seen. */
void          begin_plain_script (AForkRpc      *rpc,
                                  const char    *script,
                                  GCancellable  *cancellable,
                                  GString       *log);
/* Closes RPC, and appends “ok”, or the error as above, when it is closed. */
void          begin_close        (AForkRpc      *rpc,
                                  GCancellable  *cancellable,
                                  GString       *log);
/* The GAsyncReadyCallback that these use. Its data is a GString. */
void          append_result_cb   (GObject       *object,
                                  GAsyncResult  *result,
                                  gpointer       data);

/* Iterates the main context until the log is as long as EXPECTED. It must equal it. */
void          await_log          (GString       *log,
                                  const char    *expected);

/* Iterates the main context until the string contains TEXT. */
void          await_text         (GString       *string,
                                  const char    *text);

/* How long the process has run on a CPU, in nanoseconds. */
guint64       get_cpu_time       (GPid           pid);

/* Waits until the process has hardly run for a tenth of a second. Does not iterate the main
 * context. */
void          await_sleep        (GPid           pid);

/* The memory of the process that is neither shared nor of a file, and the memory that this program
 * has from malloc(), in bytes. In an instrumented program, both are 0. */
gsize         get_private_memory (GPid           pid);
gsize         get_own_memory     (void);

/* A job for one of these functions, with a descriptor, which is taken from the caller. */
AForkJob     *new_fd_job         (const char    *what,
                                  guint32        number,
                                  int            fd);

G_END_DECLS
