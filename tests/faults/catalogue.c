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
  { CALLER | FORK, FAULT_CALL_DUP_FD, { EMFILE }, KIND_CODE (FAILED) },
  { FORK, FAULT_CALL_DUP2, { EMFILE, EBUSY }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_SETENV, { ENOMEM }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_CHDIR, { ENOMEM }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_SETPGID, { EPERM }, KIND_CODE (FAILED) },
  { SERVER, FAULT_CALL_DLOPEN, { ENOMEM }, KIND_CODE (MODULE) },
  { SERVER, FAULT_CALL_MALLOC, { ENOMEM }, KIND_CODE (FAILED) | KIND_SAME },
};

static void
add (GArray      *faults,
     FaultAction  action,
     int          value,
     const char  *name,
     guint32      kinds)
{
  const Fault fault = { action, value, name, kinds };

  g_array_append_val (faults, fault);
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

static void
add_failures (GArray    *faults,
              FaultRole  role,
              FaultCall  call)
{
  for (gsize i = 0; i < G_N_ELEMENTS (failures); i++)
    if (failures[i].call == call && (failures[i].roles & 1u << role) != 0)
      for (guint j = 0; j < MAX_ERRORS && failures[i].errors[j] != 0; j++)
        add (faults, FAULT_FAIL, failures[i].errors[j], name_error (failures[i].errors[j]),
             failures[i].kinds);
}

/* A process that is gone: what was to be done with it fails and says how it ended, or is done. */
#define GONE \
  (KIND_SAME | KIND_ENDED | KIND_UNKNOWN | KIND_CODE (SIGNALED) | KIND_CODE (LOST))

/* The program itself, executed again, is taken for one that does not serve if it never answers. */
#define TEMPLATE_GONE (GONE | KIND_CODE (SPAWN))

static void
add_messages (GArray    *faults,
              FaultRole  role,
              FaultCall  call)
{
  if (call != FAULT_CALL_SENDMSG && call != FAULT_CALL_RECVMSG)
    return;

  add (faults, FAULT_SHORT, 1, "short", KIND_SAME);
  if (call == FAULT_CALL_RECVMSG)
    add (faults, FAULT_LOSE_FDS, 0, "no fds", KIND_SAME | KIND_CODE (SPAWN));
  if (call == FAULT_CALL_SENDMSG)
    {
      const guint32 kinds = role == FAULT_CALLER
        ? GONE | KIND_CODE (EXITED) | KIND_CODE (SPAWN) : GONE;

      add (faults, FAULT_CUT, 1, "cut", kinds);
      add (faults, FAULT_CUT, 0, "cut", kinds);
    }
}

GArray *
catalogue_get (FaultRole role,
               FaultCall call,
               gboolean  blocks)
{
  GArray *faults = g_array_new (FALSE, FALSE, sizeof (Fault));

  add (faults, FAULT_KILL, 0, "kill",
       role == FAULT_CALLER ? 0 : role == FAULT_TEMPLATE ? TEMPLATE_GONE : GONE);
  add (faults, FAULT_STOP, 0, "stop", KIND_SAME);
  if (role != FAULT_CALLER && !blocks)
    {
      add (faults, FAULT_STOP_CANCEL, 0, "stop+cancel", KIND_SAME | KIND_CANCELLED);
      add (faults, FAULT_STOP_FORCE, 0, "stop+force",
           KIND_SAME | KIND_ENDED | KIND_CODE (CLOSED));
    }
  add (faults, FAULT_DELAY, DELAY_MS, "delay", KIND_SAME);
  add_messages (faults, role, call);
  add_failures (faults, role, call);
  return faults;
}
