/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A server that moves into namespaces. With a PID namespace, the server goes on in another process:
 *
 *   outer process   the one that got the command. It waits, exits as the server does, and reaps the
 *                   forks that it had before. Signals for the process still reach this one
 *   init            its fork, and the first process in the namespace: it reaps all others there,
 *                   and runs no code of a module. If the outer process is killed, it kills the
 *                   server. It exits with the caller, and if it exits or is killed, the kernel
 *                   kills all processes of the namespace
 *   server          a fork of init, which has the command socket, and is the template and the
 *                   parent of all later forks. If the server itself is run, READY comes from it,
 *                   with its own pidfd and a socket on which init reports its exit
 *
 * If a module crashes or exits, init and the other forks of the server live on. */

#pragma once

#include "fd-set.h"
#include "wire/afork-confinement.h"

/* The layer of a sandbox: see confinement.h. Returns in the process that is the server from now on.
 * It does not return, and the process fails, if it cannot be forked. Not async-signal-safe. */
void afork_namespaces_prepare   (const AForkConfinement *confinement,
                                 AForkLayerReport       *report);
void afork_namespaces_confine   (AForkLayerReport       *report);

/* Before the server is run: returns the socket to send to the caller, on which init reports, or -1.
 * If another process reports the forks of the server, REPORTS is the socket on which it does so;
 * else it is -1. The outer process reports its forks there, too. Not async-signal-safe. */
int  afork_refork_prepare_run   (int                     reports);

/* In a fork of the server: adds the descriptors to close to CLOSED. Async-signal-safe. */
void afork_refork_forget        (AForkFdSet             *closed);
