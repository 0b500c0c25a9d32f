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

G_END_DECLS
