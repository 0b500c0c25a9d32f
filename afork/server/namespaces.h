/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Namespaces: this process and its forks get a user namespace, and in it their own mounts, pids,
 * network, IPC objects and host name. A process cannot move into a new PID namespace: the first
 * process that it forks afterwards is init there. And a template needs files that its forks must
 * not have once they are run. So this takes three steps. None of these functions is
 * async-signal-safe. */

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
                                 * visible in the last step, too. It also is if a path names it */
  AForkStrings read_paths;      /* absolute */
  AForkStrings write_paths;
} AForkNamespacesRules;

typedef struct
{
  int          in_force;        /* CLONE_NEWUSER, … */
  int          root;            /* what the last step needs, a close-on-exec descriptor; or -1 */
  bool         has_proc;        /* whether /proc is that of the PID namespace */
  bool         limits_read;     /* whether only the paths are visible after the last step */
  bool         limits_write;
  bool         is_last;         /* no process in it can make another user namespace */
  bool         drops_caps;      /* no process has or can get a capability after the last step */
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
 * namespace is wanted: makes the other namespaces, and prepares a root directory. Paths where
 * nothing is, or that the process cannot reach, are ignored. Afterwards the process sees the same
 * files as before, but /proc is that of the PID namespace, where the kernel allows that. It has no
 * capability but those that the last step needs. Each part that fails is left out. */
void afork_namespaces_set_up (const AForkNamespacesRules *rules,
                              AForkNamespacesResult      *result);

/* The last step, in a fork that is run: moves it to the root directory, closes RESULT->root, and
 * drops all capabilities. Returns false and sets errno if it fails, and `limits_read` and so on to
 * false. */
bool afork_namespaces_finish (AForkNamespacesResult      *result);
