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

/* Calls that fail. An error is only listed where the system may really give it. */
static const struct
{
  unsigned  roles;
  FaultCall call;
  int       errors[MAX_ERRORS];
  guint32   kinds;
} failures[] = {
  /* It is told to try again, and does. */
  { CALLER | SERVER, FAULT_CALL_SENDMSG, { EAGAIN, EINTR }, KIND_SAME },
  { CALLER | SERVER, FAULT_CALL_RECVMSG, { EAGAIN, EINTR }, KIND_SAME },
  { SERVER, FAULT_CALL_EPOLL_WAIT, { EINTR }, KIND_SAME },
  { SERVER, FAULT_CALL_WAIT, { EINTR }, KIND_SAME },

  /* There is a way without. */
  { CALLER, FAULT_CALL_PIDFD_OPEN, { ENOSYS }, KIND_SAME },
  { CALLER, FAULT_CALL_PIDFD_SIGNAL, { ENOSYS }, KIND_SAME },
  { CALLER, FAULT_CALL_IOCTL, { ENOTTY }, KIND_SAME | KIND_UNKNOWN },
  { SERVER, FAULT_CALL_STAT, { ENOMEM }, KIND_SAME },
  { SERVER, FAULT_CALL_EVENTFD, { EMFILE }, KIND_SAME },

  /* Descriptors, memory or processes are used up. */
  { CALLER | SERVER, FAULT_CALL_SOCKETPAIR, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_SPAWN_ACTION, { ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_SPAWN, { EAGAIN, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER | SERVER, FAULT_CALL_FORK, { EAGAIN, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_PIDFD_OPEN, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_SETSOCKOPT, { ENOMEM }, KIND_CODE (SPAWN) | KIND_SAME },
  { CALLER, FAULT_CALL_SENDMSG, { ENOBUFS, ENOMEM, ETOOMANYREFS },
    KIND_CODE (SPAWN) | KIND_SAME },
  { SERVER, FAULT_CALL_EPOLL_CREATE, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) },
  { SERVER, FAULT_CALL_EXEC, { EAGAIN, ENOMEM }, KIND_CODE (SPAWN) },
  { CALLER, FAULT_CALL_EVENTFD, { EMFILE }, KIND_TOO_MANY },
  { CALLER, FAULT_CALL_EVENTFD, { ENOMEM }, KIND_NO_SPACE },

  /* What a process needs for itself, or for a fork of it, which is also watched without. */
  { TEMPLATE, FAULT_CALL_PIDFD_OPEN, { EMFILE, ENFILE, ENOMEM }, KIND_SAME },
  { FORK, FAULT_CALL_PIDFD_OPEN, { EMFILE, ENFILE, ENOMEM }, KIND_CODE (SPAWN) | KIND_SAME },
  { SERVER, FAULT_CALL_EPOLL_CTL, { ENOMEM, ENOSPC }, KIND_CODE (SPAWN) | KIND_SAME },

  /* A command's server takes the socket away from its standard input and output. */
  { TEMPLATE, FAULT_CALL_DUP_FD, { EMFILE }, KIND_CODE (SPAWN) | KIND_SAME },
  { TEMPLATE, FAULT_CALL_DUP2, { EMFILE, EBUSY }, KIND_SAME },

  /* A template that has nothing more to do anyway. */
  { SERVER, FAULT_CALL_RECVMSG, { ENOMEM, ENOBUFS }, KIND_CODE (SPAWN) | KIND_SAME },

  /* A report may be lost as well; then the kernel tells, or nobody does. */
  { CALLER, FAULT_CALL_RECVMSG, { ENOMEM, ENOBUFS }, REPORT },
  { SERVER, FAULT_CALL_SENDMSG, { ENOBUFS, ENOMEM, ETOOMANYREFS }, REPORT },

  /* One step of the preparation cannot be done. */
  { CALLER, FAULT_CALL_PIPE2, { EMFILE, ENFILE }, KIND_CODE (FAILED) },
  /* A place is kept for a fork's pidfd before the fork is made, or later if it has been taken. */
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

/* A spare that cannot be made is not missed: what is asked for then is forked like any other. */
static gboolean
is_of_spare (const Workload *workload,
             FaultCall       call,
             guint           nth)
{
  return workload->spares
    && ((call == FAULT_CALL_SOCKETPAIR && nth > 1) || call == FAULT_CALL_FORK
        || call == FAULT_CALL_EPOLL_CREATE);
}

/* Before a template of this program greets, it shows the library to modules, and those that use
 * nothing of it do without; then it looks for its own functions, and ends if it cannot. */
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
  const guint32 absorbed = is_of_spare (workload, call, nth) ? KIND_SAME : 0;

  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++)
    if (failures[i].call == call && (failures[i].roles & 1u << role) != 0)
      for (guint j = 0; j < MAX_ERRORS && failures[i].errors[j] != 0; j++)
        add (faults, FAULT_FAIL, failures[i].errors[j], name_error (failures[i].errors[j]),
             before_handshake != 0 ? before_handshake : failures[i].kinds | absorbed);
}

/* A process that is gone: what was to be done with it fails and says how it ended, or is done. */
#define GONE \
  (KIND_SAME | KIND_ENDED | KIND_UNKNOWN | KIND_CODE (SIGNALED) | KIND_CODE (LOST))

/* This program, executed once more, is taken for one that never calls afork_init() if it is gone
 * before it has greeted. That is the one case in which a signal is told as SPAWN: what else is
 * executed is known to be a server, and what is forked is one already. */
static void
add_gone (GArray         *faults,
          const Workload *workload,
          FaultRole       role,
          FaultAction     action,
          int             value,
          const char     *name)
{
  Fault *fault = add (faults, action, value, name, GONE);

  if (workload->self && role == FAULT_TEMPLATE)
    fault->kinds_before_handshake = KIND_CODE (SPAWN);
}

/* Whoever is cut off by the caller finds its socket closed, and exits; one that was executed
 * perhaps before it has greeted. */
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
          add (faults, FAULT_CUT, size, "cut", CUT_OFF);
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

  /* Of a caller that is killed, nothing is left that could tell. */
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
