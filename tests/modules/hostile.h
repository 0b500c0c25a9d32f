/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker that was taken over tries, as functions, for workers in other languages. */

#pragma once

/**
 * afork_hostile_attempt:
 * @name: what to try; `thread:NAME` for a thread that is older than the sandbox
 * @argument: the argument of that
 * @fd: a descriptor that was sent for that, or -1
 * @socket: the socket of the worker, or -1
 *
 * Returns: 0 if the harm is done, an errno value if it was refused, or -1 if @name is not known
 */
int afork_hostile_attempt      (const char *name,
                                const char *argument,
                                int         fd,
                                int         socket);

/**
 * afork_hostile_start_thread:
 *
 * Starts the thread for `thread:NAME`.
 *
 * Returns: 0 or an errno value
 */
int afork_hostile_start_thread (void);
