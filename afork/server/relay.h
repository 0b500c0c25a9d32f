/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server --relay: the near side of a connection to another host. */

#pragma once

/* Executes a program that starts an agent on another host, relays the sockets of the caller to it,
 * and ends the process. Standard input is a command socket of the caller. For that, this process is
 * a server whose forks are servers on the other host.
 *
 * The arguments in ARGV: the name of the host, for messages; the times of `keepalive` and of
 * `start-timeout` in milliseconds, or 0; the runtime whose servers are executed there, and its
 * interpreter, or an empty string; the program and its arguments. Not async-signal-safe. */
void afork_relay (int    argc,
                  char **argv) __attribute__ ((noreturn));
