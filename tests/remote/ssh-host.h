/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program beside a server of ssh that is its own, on this machine: sshd.py starts it. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Executes this program again, with the arguments ARGV, beside a server of ssh. SCRIPT is the path
 * of sshd.py. The server listens at ADDRESS, in the network namespace of which NETWORK is a
 * descriptor. With NULL and -1, it listens on the loopback interface. Does nothing in the program
 * that was executed. */
void        ssh_host_enter             (char       **argv,
                                        const char  *script,
                                        const char  *address,
                                        int          network);

/* The path of a configuration for clients of that server, by which each host is this machine, or
 * NULL if ssh or sshd is not installed. */
const char *ssh_host_get_configuration (void);

G_END_DECLS
