/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "catalogue.h"

#include <errno.h>

enum
{
  DELAY_MS = 15,
  MAX_ERRORS = 4,

  CALLER = 1 << FAULT_CALLER,
  TEMPLATE = 1 << FAULT_TEMPLATE,
  FORK = 1 << FAULT_FORK,
  SERVER = TEMPLATE | FORK,
};

#define REPORT (KIND_CODE (SPAWN) | KIND_SAME | KIND_UNKNOWN)

/* Faults that make calls fail. An error is listed only where the system may return it. */
static const struct
{
  unsigned  roles;
  FaultCall call;
  int       errors[MAX_ERRORS];
  guint32   kinds;
} failures[] = {
  /* The call is to be repeated, and the code repeats it. */
  { CALLER | SERVER, FAULT_CALL_SENDMSG, { EAGAIN, EINTR, ETOOMANYREFS }, KIND_SAME },
  { CALLER | SERVER, FAULT_CALL_RECVMSG, { EAGAIN, EINTR }, KIND_SAME },
  { SERVER, FAULT_CALL_EPOLL_WAIT, { EINTR }, KIND_SAME },
  { SERVER, FAULT_CALL_WAIT, { EINTR }, KIND_SAME },

  /* There is a way without the call. */
  { CALLER, FAULT_CALL_PIDFD_OPEN, { ENOSYS }, KIND_SAME },
  { CALLER, FAULT_CALL_PIDFD_SIGNAL, { ENOSYS }, KIND_SAME },
  { CALLER, FAULT_CALL_IOCTL, { ENOTTY }, KIND_SAME | KIND_UNKNOWN },
  { SERVER, FAULT_CALL_STAT, { ENOMEM }, KIND_SAME },
  { SERVER, FAULT_CALL_EVENTFD, { EMFILE }, KIND_SAME },

  /* No descriptors, memory or processes are left. */
  { CALLER | SERVER, FAULT_CALL_SOCKETPAIR, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_SPAWN_ACTION, { ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_SPAWN, { EAGAIN, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER | SERVER, FAULT_CALL_FORK, { EAGAIN, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_PIDFD_OPEN, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_SETSOCKOPT, { ENOMEM }, KIND_CODE (SPAWN) | KIND_SAME },
  { CALLER, FAULT_CALL_SENDMSG, { ENOBUFS, ENOMEM }, KIND_CODE (SPAWN) | KIND_SAME },
  { SERVER, FAULT_CALL_EPOLL_CREATE, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) },
  { SERVER, FAULT_CALL_EXEC, { EAGAIN, ENOMEM }, KIND_CODE (SPAWN) },
  /* The first object of the program makes the default main context. */
  { CALLER, FAULT_CALL_EVENTFD, { EMFILE }, KIND_TOO_MANY | KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_EVENTFD, { ENOMEM }, KIND_NO_SPACE | KIND_CODE (SPAWN) },

  /* What a process needs for itself, or to watch a fork, which can also be watched without. */
  { TEMPLATE, FAULT_CALL_PIDFD_OPEN, { EMFILE, ENFILE, ENOMEM }, KIND_SAME },
  { FORK, FAULT_CALL_PIDFD_OPEN, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) | KIND_SAME },
  { SERVER, FAULT_CALL_EPOLL_CTL, { ENOMEM, ENOSPC }, KIND_CODE (SPAWN) | KIND_SAME },

  /* The server of a command takes the socket from its standard input and output. */
  { TEMPLATE, FAULT_CALL_DUP_FD, { EMFILE }, KIND_CODE (SPAWN) | KIND_SAME },
  { TEMPLATE, FAULT_CALL_DUP2, { EMFILE, EBUSY }, KIND_SAME },

  /* A template that has nothing else to do. */
  { SERVER, FAULT_CALL_RECVMSG, { ENOMEM, ENOBUFS }, KIND_CODE (SPAWN) | KIND_SAME },

  /* A report may be lost as well. Then the kernel reports the exit status, or it is unknown. */
  { CALLER, FAULT_CALL_RECVMSG, { ENOMEM, ENOBUFS }, REPORT },
  { SERVER, FAULT_CALL_SENDMSG, { ENOBUFS, ENOMEM }, REPORT },

  /* One of the commands cannot be done. */
  { CALLER, FAULT_CALL_PIPE2, { EMFILE, ENFILE }, KIND_CODE (FAILED) },
  /* A descriptor is reserved for the pidfd of a fork before the fork is made, or later if another
   * thread has taken it. */
  { CALLER, FAULT_CALL_DUP_FD, { EMFILE }, KIND_CODE (FAILED) | KIND_CODE (SPAWN) | KIND_SAME },
  { FORK, FAULT_CALL_DUP_FD, { EMFILE }, KIND_CODE (FAILED) },
  { FORK, FAULT_CALL_DUP2, { EMFILE, EBUSY }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_SETENV, { ENOMEM }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_CHDIR, { ENOMEM }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_SETPGID, { EPERM }, KIND_CODE (FAILED) },
  /* A module that cannot be loaded is loaded once more with the library. */
  { SERVER, FAULT_CALL_DLOPEN, { ENOMEM }, KIND_CODE (MODULE) | KIND_SAME },
  { SERVER, FAULT_CALL_MALLOC, { ENOMEM }, KIND_CODE (FAILED) | KIND_SAME },
};

static Fault *
add (GArray      *faults,
     FaultAction  action,
     int          value,
     const char  *name,
     guint32      kinds)
{
  const Fault fault = { action, value, name, kinds, kinds };

  g_array_append_val (faults, fault);
  return &g_array_index (faults, Fault, faults->len - 1);
}

static const char *
name_error (int error)
{
  switch (error)
    {
    case ENOMEM:
      return "ENOMEM";
    case EMFILE:
      return "EMFILE";
    case ENFILE:
      return "ENFILE";
    case ENOSPC:
      return "ENOSPC";
    case EAGAIN:
      return "EAGAIN";
    case EINTR:
      return "EINTR";
    default:
      return "other";
    }
}

/* A spare fork that cannot be made is not needed: a process is then forked as usual. */
static gboolean
is_of_spare (const Workload *workload,
             FaultCall       call,
             guint           nth)
{
  return workload->spares
    && ((call == FAULT_CALL_SOCKETPAIR && nth > 1) || call == FAULT_CALL_FORK
        || call == FAULT_CALL_EPOLL_CREATE);
}

/* Before a template of this program sends HELLO, it makes the symbols of the library visible to
 * modules; modules that do not use them work without. Then it looks for its own functions, and
 * exits if it cannot. */
static guint32
get_kinds_before_handshake (const Workload *workload,
                            FaultRole       role,
                            FaultCall       call,
                            guint           nth)
{
  const gboolean of_program = (workload->self || workload->single) && role == FAULT_TEMPLATE;

  if (!of_program || call != FAULT_CALL_DLOPEN || nth > 2)
    return 0;
  return nth == 1 ? KIND_SAME : KIND_CODE (SPAWN);
}

static void
add_failures (GArray         *faults,
              const Workload *workload,
              FaultRole       role,
              FaultCall       call,
              guint           nth)
{
  const guint32 before_handshake = get_kinds_before_handshake (workload, role, call, nth);
  const guint32 absorbed = is_of_spare (workload, call, nth) || workload->retries ? KIND_SAME : 0;

  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++)
    if (failures[i].call == call && (failures[i].roles & 1u << role) != 0)
      for (guint j = 0; j < MAX_ERRORS && failures[i].errors[j] != 0; j++)
        add (faults, FAULT_FAIL, failures[i].errors[j], name_error (failures[i].errors[j]),
             before_handshake != 0 ? before_handshake : failures[i].kinds | absorbed);
}

/* A process that is gone: operations on it fail with its exit status, or succeed. */
#define GONE \
  (KIND_SAME | KIND_ENDED | KIND_UNKNOWN | KIND_CODE (SIGNALED) | KIND_CODE (LOST))

/* This program, executed once more, appears as one that never calls afork_init() if it exits before
 * it has sent HELLO. Only in this case is a signal reported as SPAWN: other executed programs are
 * known to be servers, and a fork is one already. */
static void
add_gone (GArray         *faults,
          const Workload *workload,
          FaultRole       role,
          FaultAction     action,
          int             value,
          const char     *name)
{
  Fault *fault = add (faults, action, value, name, workload->retries ? KIND_SAME : GONE);

  if (workload->self && role == FAULT_TEMPLATE)
    fault->kinds_before_handshake = KIND_CODE (SPAWN);
}

/* A process that the caller has cut off finds its socket closed, and exits; an executed one perhaps
 * before it has sent HELLO. */
#define CUT_OFF (GONE | KIND_CODE (EXITED) | KIND_CODE (SPAWN))

static void
add_messages (GArray         *faults,
              const Workload *workload,
              FaultRole       role,
              FaultCall       call)
{
  if (call != FAULT_CALL_SENDMSG && call != FAULT_CALL_RECVMSG)
    return;

  add (faults, FAULT_SHORT, 1, "short", KIND_SAME);
  if (call == FAULT_CALL_RECVMSG)
    add (faults, FAULT_LOSE_FDS, 0, "no fds", KIND_SAME | KIND_CODE (SPAWN));
  else
    for (int size = 1; size >= 0; size--)
      {
        if (role == FAULT_CALLER)
          add (faults, FAULT_CUT, size, "cut", workload->retries ? KIND_SAME : CUT_OFF);
        else
          add_gone (faults, workload, role, FAULT_CUT, size, "cut");
      }
}

GArray *
catalogue_get (const Workload *workload,
               FaultRole       role,
               FaultCall       call,
               guint           nth)
{
  GArray *faults = g_array_new (FALSE, FALSE, sizeof (Fault));

  /* A caller that is killed leaves no process behind that could report. */
  if (role == FAULT_CALLER)
    add (faults, FAULT_KILL, 0, "kill", 0);
  else
    add_gone (faults, workload, role, FAULT_KILL, 0, "kill");
  add (faults, FAULT_STOP, 0, "stop", KIND_SAME);
  if (role != FAULT_CALLER && !workload->blocks)
    {
      add (faults, FAULT_STOP_CANCEL, 0, "stop+cancel", KIND_SAME | KIND_CANCELLED);
      add (faults, FAULT_STOP_FORCE, 0, "stop+force",
           KIND_SAME | KIND_ENDED | KIND_CODE (CLOSED));
    }
  add (faults, FAULT_DELAY, DELAY_MS, "delay", KIND_SAME);
  add_messages (faults, workload, role, call);
  add_failures (faults, workload, role, call, nth);
  return faults;
}
