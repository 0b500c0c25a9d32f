/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Namespaces: this process and its forks get a user namespace, and in it their own mounts, pids,
 * network, IPC objects and host name. Their root directory has only what they may read or write.
 * A process cannot move into a new PID namespace: the first process that it forks afterwards is
 * init there. So this takes two steps. None of these functions is async-signal-safe. */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/afork-frame.h"

typedef struct
{
  int          wanted;          /* CLONE_NEWUSER and other flags of unshare(2). All others need
                                 * CLONE_NEWUSER */
  bool         limits_write;    /* with CLONE_NEWNS: all but write_paths is read-only */
  bool         limits_read;     /* with limits_write: only read_paths and write_paths are visible */
  bool         shows_proc;      /* with CLONE_NEWPID and limits_read: /proc of the new namespace is
                                 * visible. It is also visible if a path names it */
  AForkStrings read_paths;      /* absolute */
  AForkStrings write_paths;
} AForkNamespacesRules;

typedef struct
{
  int          in_force;        /* CLONE_NEWUSER, … */
  bool         limits_read;     /* whether the root directory is in force */
  bool         limits_write;
  bool         is_last;         /* no process in it can make another user namespace */
  bool         drops_caps;      /* no process in it has or can get a capability */
  int          error;           /* the errno value of the first step that has failed, or 0 */
  const char  *call;            /* what has failed, or NULL */
} AForkNamespacesResult;

/* The first step: makes the user namespace, and has the next process that is forked be init of a
 * PID namespace, if that is wanted. Initializes RESULT, and returns whether the user namespace is
 * in force. If not, nothing has changed. The process must have one thread, and should not do
 * anything afterwards but to wait for that process. */
bool afork_namespaces_enter  (const AForkNamespacesRules *rules,
                              AForkNamespacesResult      *result);

/* The second step, in the first process in the PID namespace, or in the same process if no PID
 * namespace is wanted. Paths where nothing is, or that the process cannot reach, are ignored. The
 * process loses all capabilities. Each part that fails is left out. */
void afork_namespaces_settle (const AForkNamespacesRules *rules,
                              AForkNamespacesResult      *result);
