/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Runtimes for tests of other hosts: an agent that is a child of this program, and one behind a
 * server of OpenSSH on the loopback interface, with keys and configuration of its own. */

#pragma once

#include "test-rpc-util.h"

G_BEGIN_DECLS

typedef enum
{
  OVER_PIPES,
  OVER_SSH,
  OVER_TERMINAL,        /* standard input and output of the agent are a pseudo-terminal */
  OVER_SOCKET
} Way;

/* Adds TEST below PATH for both ways, with a census around it. TEST gets a pointer to the Way. */
void          add_for_ways      (const char *path,
                                 void      (*test) (Census        *census,
                                                    gconstpointer  way));

/* The same, and also for agents at a terminal and at a socket. */
void          add_for_all_ways  (const char *path,
                                 void      (*test) (Census        *census,
                                                    gconstpointer  way));

/* Makes a runtime of another host. Over ssh, starts a server if there is none; returns NULL and
 * skips the test if that is not installed. */
AForkRuntime *new_host          (Way         way);
/* The same for one of several hosts, by its NAME. */
AForkRuntime *new_named_host    (Way         way,
                                 const char *name);

/* Options for a client of the server of ssh. Returns NULL and skips the test if there is none. */
char        **dup_ssh_options   (void);

/* The pid of a process of this test that executes PROGRAM, in whatever folder that is, with
 * ARGUMENT as its first argument. 0 if there is none. */
GPid          find_process      (const char *program,
                                 const char *argument);
GPid          get_parent        (GPid        pid);
/* The agent of which the process is a descendant. */
GPid          find_agent        (GPid        pid);

/* Whether the process is there, and is no zombie. */
gboolean      is_alive          (GPid        pid);

/* Iterates the main context until the process is gone. Fails the test after SECONDS. */
void          await_gone        (GPid        pid,
                                 double      seconds);

/* Starts the server of ssh, if it is installed, and executes this program again for the tests, so
 * that the server is no child of them. Returns the exit status. In the second process, returns
 * -1. */
int           run_with_sshd     (char      **argv);
/* The same for a server that listens at the address AT, in a network namespace of its own, of which
 * IN_NETWORK is a descriptor. */
int           run_with_sshd_at  (char      **argv,
                                 const char *at,
                                 int         in_network);

G_END_DECLS
