/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What of confinement can be had on this system, by this user and in this sandbox. */

#pragma once

#include <stdbool.h>

/* Tries each layer in a process of its own, and prints a line for each to standard output:
 *
 *   NAME yes DETAILS
 *   NAME no REASON
 *
 * NAME is rlimits, priority, no-new-privs, seccomp, seccomp-supervisor, landlock, user-namespace,
 * mount-namespace, root-directory, pid-namespace, ipc-namespace, network-namespace, uts-namespace,
 * last-user-namespace, or no-capabilities, in this order. Later versions may add lines at the end.
 * DETAILS are words, and may be missing. REASON is the system call or file, a colon and the text of
 * the system's error, or another text. For root-directory, yes means that a directory with nothing
 * in it can be had, and last-user-namespace that a process cannot make another one inside.
 *
 * Returns false if the result cannot be written. Not async-signal-safe. */
bool afork_probe (void);
