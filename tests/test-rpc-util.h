/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of calls have in common. Their worker functions are in modules/calls.c. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* A new process that has MODULE. */
AForkProcess *new_module_process (const char    *module);

/* Calls to FUNCTION of the module, which is calls_later() if they are CONCURRENT. What the worker
 * writes to its standard error output is not passed on. */
AForkRpc     *new_rpc            (const char    *function);
AForkRpc     *new_rpc_concurrent (void);

/* The same of another module. */
AForkRpc     *new_rpc_of         (const char    *module,
                                  const char    *function,
                                  gboolean       concurrent);

/* What calls_do() and calls_later() take. */
GVariant     *do_args            (const char    *what,
                                  guint32        number);

/* Makes a call of one of these, without waiting. */
void          begin_call         (AForkRpc      *rpc,
                                  const char    *what,
                                  guint32        number,
                                  GCancellable  *cancellable,
                                  GAsyncResult **result);

/* The answer to a call, with the main context turning. */
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

/* A handler of the signals event and progress, whose data is a GString: appends the value, with
 * “e” or “p” before it and a space behind it. */
void          append_text_cb     (GObject       *object,
                                  GVariant      *value,
                                  gpointer       data);

/* Turns the main context until TEXT is in the string. */
void          await_text         (GString       *string,
                                  const char    *text);

/* How long the process has been on a CPU, in nanoseconds. */
guint64       get_cpu_time       (GPid           pid);

/* Waits, without turning the main context, until the process has hardly run for a tenth of a
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
