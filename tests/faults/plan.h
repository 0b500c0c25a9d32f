/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The single planned fault, in memory that the driver, the caller and its servers share.
 *
 * A step of the protocol is a system call: the nth call of one function in processes of one role.
 * The calls are counted while the plan is armed, with or without a planned fault, so a run without
 * a fault shows which steps there are. */

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* The environment variable that names the file of the plan, for servers. */
#define FAULT_PLAN_VARIABLE "AFORK_FAULT_PLAN"

typedef enum
{
  FAULT_CALLER,                 /* the program that links the library */
  FAULT_TEMPLATE,               /* a server that was executed, or forked off the caller */
  FAULT_FORK,                   /* a fork of such a server, and its own forks */
  FAULT_N_ROLES
} FaultRole;

/* The functions that a fault can be at. Those of memory are used in the server only: GLib ends a
 * program that has no memory. */
#define FAULT_CALLS(X) \
  X (SOCKETPAIR, "socketpair") \
  X (PIPE2, "pipe2") \
  X (EVENTFD, "eventfd") \
  X (DUP_FD, "fcntl(DUPFD)") \
  X (FCNTL, "fcntl") \
  X (SPAWN_ACTION, "spawn actions") \
  X (SPAWN, "posix_spawnp") \
  X (FORK, "fork") \
  X (PIDFD_OPEN, "pidfd_open") \
  X (PIDFD_SIGNAL, "pidfd_signal") \
  X (WAIT, "waitid") \
  X (IOCTL, "ioctl") \
  X (GETSOCKOPT, "getsockopt") \
  X (SETSOCKOPT, "setsockopt") \
  X (SENDMSG, "sendmsg") \
  X (RECVMSG, "recvmsg") \
  X (SHUTDOWN, "shutdown") \
  X (EPOLL_CREATE, "epoll_create1") \
  X (EPOLL_CTL, "epoll_ctl") \
  X (EPOLL_WAIT, "epoll_wait") \
  X (STAT, "stat") \
  X (DLOPEN, "dlopen") \
  X (EXEC, "execvp") \
  X (SETENV, "setenv") \
  X (CHDIR, "chdir") \
  X (DUP2, "dup2") \
  X (SETPGID, "setpgid") \
  X (MALLOC, "malloc") \
  X (READ, "read") \
  X (WRITE, "write") \
  X (CLOSE, "close")

typedef enum
{
#define FAULT_CALL_ID(id, name) FAULT_CALL_##id,
  FAULT_CALLS (FAULT_CALL_ID)
#undef FAULT_CALL_ID
  FAULT_N_CALLS
} FaultCall;

typedef enum
{
  FAULT_NONE,                   /* only counts */
  FAULT_FAIL,                   /* the call fails with VALUE, an errno */
  FAULT_SHORT,                  /* only VALUE bytes of a message are sent or received */
  FAULT_CUT,                    /* the same, and nothing is sent after that: the process exits, or
                                 * the caller's side is shut down */
  FAULT_LOSE_FDS,               /* there is no room for the descriptors of a received message */
  FAULT_DELAY,                  /* the call takes VALUE milliseconds longer */
  FAULT_KILL,                   /* the process kills itself before the call */
  FAULT_STOP,                   /* the process stops itself before the call, and the driver
                                 * continues it */
  FAULT_STOP_CANCEL,            /* the same, and the caller cancels all operations */
  FAULT_STOP_FORCE              /* the same, and the caller kills all processes */
} FaultAction;

typedef struct
{
  FaultRole   role;
  FaultCall   call;
  unsigned    nth;              /* from 1 */
  FaultAction action;
  int         value;

  atomic_bool armed;
  atomic_int  hit;              /* the process in which it happened, or 0 */
  atomic_bool finishing;        /* from now on no process can be told to give up */
  atomic_bool continued;        /* the driver has continued it */
  atomic_uint counts[FAULT_N_ROLES][FAULT_N_CALLS];
} FaultPlan;

/* Makes the process, of this role, count its calls in PLAN. */
void        fault_join      (FaultPlan   *plan,
                             FaultRole    role);

const char *fault_role_name (FaultRole    role);
const char *fault_call_name (FaultCall    call);

static inline bool
fault_stops (FaultAction action)
{
  return action == FAULT_STOP || action == FAULT_STOP_CANCEL || action == FAULT_STOP_FORCE;
}
