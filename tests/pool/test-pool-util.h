/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the tests of pools have in common. The functions of their workers are in modules/pool.c. */

#pragma once

#include "test-rpc-util.h"

G_BEGIN_DECLS

/* A pool whose workers serve jobs by pool_do(). What follows are properties of the pool. */
AForkPool *new_pool          (const char    *first_property,
                              ...) G_GNUC_NULL_TERMINATED;
/* The same by pool_later(), many jobs at a time. */
AForkPool *new_pool_later    (guint          load);

/* Begins a call, without waiting. */
void       begin_pool_call   (AForkPool     *pool,
                              const char    *what,
                              guint32        number,
                              GAsyncResult **result);
/* The same for a job; the second one has a descriptor, and GATE is the other end. */
AForkJob  *begin_pool_job    (AForkPool     *pool,
                              const char    *what,
                              guint32        number,
                              GAsyncResult **result);
AForkJob  *new_gate_job      (const char    *what,
                              int           *gate);
void       begin_job         (AForkPool     *pool,
                              AForkJob      *job,
                              GAsyncResult **result);

/* Waits for the end of a call or a job, which must be an answer, and returns that; clears
 * RESULT. */
guint32    await_answer      (AForkPool     *pool,
                              GAsyncResult **result);
/* The same for an error, whose message holds TEXT, unless that is NULL. */
void       await_error       (AForkPool     *pool,
                              GAsyncResult **result,
                              GQuark         domain,
                              int            code,
                              const char    *text);
/* Iterates the main context until the job has come so far. */
void       await_job_state   (AForkJob      *job,
                              AForkJobState  state);

/* Shuts the pool down, without a blocking call. The second one also drops it. */
void       await_shutdown    (AForkPool         *pool,
                              AForkShutdownMode  mode);
void       shut_down_pool    (AForkPool         *pool,
                              AForkShutdownMode  mode);

G_END_DECLS
