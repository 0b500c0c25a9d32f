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

/* Makes a runtime of another host. Over ssh, returns NULL and skips the test if there is no
 * server. */
AForkRuntime *new_host          (Way         way);
/* The same for one of several hosts, by its NAME. */
AForkRuntime *new_named_host    (Way         way,
                                 const char *name);

/* A host, and a folder for files of a test. The cache of the host is below it. */
typedef struct
{
  AForkRuntime *runtime;
  char         *folder;
  char         *cache;
} HostFolder;

/* Returns FALSE and skips the test if there is no such host. */
gboolean      host_folder_init  (HostFolder *self,
                                 Way         way);
void          host_folder_clear (HostFolder *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (HostFolder, host_folder_clear)

/* Writes a file into the folder, and returns its path. */
char         *write_file        (HostFolder *self,
                                 const char *name,
                                 const void *content,
                                 gsize       size);

/* Makes PROCESS keep modules in the cache that is in the folder, and load the file PATH. */
AForkProcess *use_cache         (HostFolder   *self,
                                 AForkProcess *process);
AForkProcess *require_path      (AForkProcess *process,
                                 const char   *path);

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

/* Deletes the file, or the folder with all that is in it. */
void          remove_all        (const char *path);

/* In a caller that a test has executed: prints the pid of its worker, which is busy, and waits. */
G_NORETURN
void          wait_to_be_killed (GPid        worker);
/* In such a caller: has a worker of RPC, whose function is calls_do(), be busy,
 * prints its pid, and waits. */
G_NORETURN
void          be_busy_caller    (AForkRpc   *rpc);
/* Executes this program as such a caller, with the argument --be-caller and ARGUMENT, and kills it.
 * Its worker must then exit within SECONDS. */
void          kill_busy_caller  (const char *argument,
                                 double      seconds);

/* To be called first in a program of tests over ssh. Executes the program again, with these
 * arguments, beside a server of ssh if that is installed, so that the server is no child of it.
 * Returns in the program that was executed. With ADDRESS, the server listens there, in the network
 * namespace of which NETWORK is a descriptor; otherwise, NETWORK is -1. */
void          enter_ssh         (char      **argv,
                                 const char *address,
                                 int         network);

G_END_DECLS
