/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Code that the tests of pools share. The functions of the workers are in modules/pool.c. */

#pragma once

#include "test-rpc-util.h"

G_BEGIN_DECLS

/* Makes a pool whose workers serve jobs by pool_do(). The arguments are properties of the pool. */
AForkPool *new_pool          (const char    *first_property,
                              ...) G_GNUC_NULL_TERMINATED;
/* Makes a template whose workers can run pool_do(), and are of this KIND. */
AForkProcess *new_pool_template (guint  kind);
/* Kills the children of this program, which are templates that were executed. */
void       kill_children     (void);

/* Makes a pool whose workers serve LOAD jobs at a time by pool_later(). */
AForkPool *new_pool_later    (guint          load);

/* Makes a pool whose workers serve jobs by pool_script(), and do what is written to COMMANDS. Each
 * job emits its arguments as an event when it begins. The arguments are properties of the pool. */
AForkPool *new_script_pool   (int           *commands,
                              const char    *first_property,
                              ...) G_GNUC_NULL_TERMINATED;
void       send_commands     (int            commands,
                              const char    *text);

/* Begins a call, without waiting. */
void       begin_pool_call   (AForkPool     *pool,
                              const char    *what,
                              guint32        number,
                              GAsyncResult **result);
/* Makes a job and begins it, without waiting. */
AForkJob  *begin_pool_job    (AForkPool     *pool,
                              const char    *what,
                              guint32        number,
                              GAsyncResult **result);
/* Makes a job with a descriptor. GATE is the other end of this descriptor. */
AForkJob  *new_gate_job      (const char    *what,
                              int           *gate);
/* Begins a job, without waiting. */
void       begin_job         (AForkPool     *pool,
                              AForkJob      *job,
                              GAsyncResult **result);

/* Waits until a call or a job ends, which must succeed. Returns the answer, and clears RESULT. */
guint32    await_answer      (AForkPool     *pool,
                              GAsyncResult **result);
/* Waits until a call or a job ends, which must fail with this error. The message must contain TEXT,
 * unless TEXT is NULL. Clears RESULT. */
void       await_error       (AForkPool     *pool,
                              GAsyncResult **result,
                              GQuark         domain,
                              int            code,
                              const char    *text);
/* Iterates the main context until the job is in STATE or a later state. */
void       await_job_state   (AForkJob      *job,
                              AForkJobState  state);

/* Handlers of AForkPool::event and AForkPool::worker-exited, which count. */
void       count_event_cb    (AForkPool     *pool,
                              GVariant      *event,
                              guint         *n);
void       count_exited_cb   (AForkPool     *pool,
                              AForkProcess  *process,
                              GError        *error,
                              guint         *n);

/* Shuts the pool down, without a blocking call. shut_down_pool() also drops the pool. */
void       await_shutdown    (AForkPool         *pool,
                              AForkShutdownMode  mode);
void       shut_down_pool    (AForkPool         *pool,
                              AForkShutdownMode  mode);

G_END_DECLS
