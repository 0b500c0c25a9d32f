/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The state of the server, which the files of the command loop share. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "children.h"
#include "command-link.h"
#include "items.h"
#include "module-cache.h"
#include "runtime.h"

typedef struct AForkConfinementState AForkConfinementState;     /* confinement.c */
typedef struct AForkFilterProgram AForkFilterProgram;           /* seccomp-filter.c */

/* One for each RESTRICT. The kernel has as many domains of Landlock for a process at most. */
enum { AFORK_MAX_RULESETS = 16 };

/* A process has one server, which lasts until the process ends, and nothing of it is ever freed.
 * The fields that every fork needs stand together at the front, in one page of memory: a fork
 * costs as much as the pages that it touches. */
typedef struct
{
  bool                      forked;          /* the process was forked, and not executed */
  bool                      unreported;      /* the caller does not have this process's pidfd yet */
  bool                      has_pidfd;       /* `pidfd` is to be sent with the next reply */
  bool                      ignores[2];      /* no module has changed this of the ignored signals */
  bool                      discards;        /* all further input is dropped */
  const AForkWorkerRuntime *runtime;
  void                     *runtime_data;
  pid_t                   (*fork) (void);
  AForkItems                items;
  AForkItems                taken;           /* by the function that is run */
  int                      *mapped;          /* numbers that descriptors were mapped to, or NULL */
  size_t                    n_mapped;
  int                       pidfd;           /* of this process, or -1 if the system has none */
  int                       exec_status;     /* the socket for a failure of exec, or -1 */
  int                       death_pipe;      /* the inherited end of the death pipe, or -1 */
  int                       own_death_pipe;  /* the same pipe, opened by this process, or -1 */
  ino_t                     death_pipe_inode;
  int                       reports;         /* for the caller, with READY: see refork.h. Or -1 */
  int                       relay;           /* to the outer process, see refork.c; or -1 */
  int                       root;            /* for the last step of namespaces.h, or -1 */
  AForkCachedModule        *receives;        /* the file whose bytes come next, or NULL */
  AForkConfinementState    *confinement;     /* what RESTRICT has prepared, or NULL */
  AForkFilterProgram       *filters;         /* to be installed when the process is run: a list */
  int                       rulesets[AFORK_MAX_RULESETS];   /* of Landlock, to be enforced then */
  size_t                    n_rulesets;
  AForkChildren             children;
  AForkLink                 link;
  AForkFailure              failure;
} AForkServerState;

/* The signals that a server ignores. Ctrl-C at a terminal and a service manager's stop are meant
 * for workers and for the caller, which ends this process by closing the socket. A caller that
 * handles them may still need its templates. */
#define AFORK_IGNORED_SIGNALS { SIGINT, SIGTERM }

extern AForkServerState afork_server __attribute__ ((visibility ("hidden")));
