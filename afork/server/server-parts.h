/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the parts of a server share: the command loop is in server.c, replies and the end are in
 * server-reply.c, and what it can be told is in server-prepare.c and server-run.c. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "children.h"
#include "command-link.h"
#include "items.h"
#include "runtime.h"

/* There is one server in a process, and it lives as long: nothing of it is ever freed. What every
 * fork needs stands together at the front, in one page of memory, for that is what a fork pays
 * by. */
typedef struct
{
  bool                      forked;
  bool                      unreported;  /* the caller has not got the pidfd that it is to get */
  bool                      ignores[2];     /* AFORK_IGNORED_SIGNALS: no module has changed that */
  bool                      discards;    /* what still comes means nothing */
  const AForkWorkerRuntime *runtime;
  void                     *runtime_data;
  AForkItems                items;
  AForkItems                taken;       /* by the function that is run */
  int                      *mapped;      /* numbers that descriptors were mapped to, or NULL */
  size_t                    n_mapped;
  int                       exec_status; /* the socket that tells how executing went, or -1 */
  int                       death_pipe;  /* the pipe whose end ends the process group, or -1 … */
  int                       own_death_pipe; /* … and opened again, for this process, or -1 */
  ino_t                     death_pipe_inode;
  AForkChildren             children;
  AForkLink                 link;
  AForkFailure              failure;
} AForkServerState;

/* What a server ignores. Ctrl-C at a terminal and a service manager's stop are for workers and
 * for the caller, which ends this process by closing the socket. A caller that handles them may
 * still need its templates. */
#define AFORK_IGNORED_SIGNALS { SIGINT, SIGTERM }

extern AForkServerState afork_server __attribute__ ((visibility ("hidden")));

/* Answers. */

/* Sends FRAME, which has no descriptors yet. With the first that a forked process sends goes its
 * pidfd; then EXTRA_FD, unless that is -1. */
bool         afork_server_reply            (AForkFrame       *frame,
                                            int               extra_fd);
/* The first that a forked process says, unless it has something else to say. It is said before
 * any code of a module runs in it: that may never come back, and the caller can end only what it
 * knows. */
bool         afork_server_report_fork      (void);
/* Puts a report of afork_children_wait() up for sending. */
void         afork_server_put_report       (const AForkFrame *frame,
                                            void             *data);
/* Whether all reports so far have been put up or sent; if not, sets the failure. */
bool         afork_server_check_reports    (void);

/* Ends. */

/* Ends the process at once. Exit handlers and destructors run in the process that was executed,
 * for which they were made: in a fork they would undo what is its template's, and cost it more
 * than all the rest of its end. */
void         afork_server_end              (int               status) __attribute__ ((noreturn));
/* Ends the process, but not before it has reaped and reported its forks. */
void         afork_server_leave            (int               status) __attribute__ ((noreturn));
/* The same, with the failure. */
void         afork_server_fail             (void) __attribute__ ((noreturn));

/* NULL and a failure if memory is out. The strings are the frame's. */
const char **afork_server_strings_to_array (AForkStrings      strings);

/* Whether something was mapped to FD. */
bool         afork_server_is_mapped        (int               fd);
/* Has a program that is executed get 0, 1, 2, what was mapped, and KEPT, unless that is -1. False
 * and a failure if it would perhaps get more. */
bool         afork_server_hide_unmapped    (int               kept);

/* In a fork: has it killed when the death pipe ends, whatever the others do that have that, too. */
void         afork_server_open_death_pipe  (void);

/* Commands. Each that returns false has set the failure. */

bool         afork_serve_module_path       (const AForkFrame *frame);
bool         afork_serve_library           (const char       *path);
/* What is done by code of a module. */
bool         afork_serve_module_code       (const AForkFrame *frame);
bool         afork_serve_setenv            (const char       *name,
                                            const char       *value);
bool         afork_serve_chdir             (const char       *path);
bool         afork_serve_item_bytes        (const AForkFrame *frame);
bool         afork_serve_item_fds          (uint16_t          n_fds);
bool         afork_serve_map_fd            (int               target);
bool         afork_serve_death_pipe        (void);
bool         afork_serve_fork              (uint32_t          number,
                                            int               socket);
bool         afork_serve_run               (const char       *function,
                                            const char       *title);
bool         afork_serve_run_func          (const AForkFrame *frame);
bool         afork_serve_exec              (const AForkFrame *frame);
bool         afork_serve_detach            (void);
bool         afork_serve_identify          (uint32_t          version);
bool         afork_serve_signal            (uint32_t          number,
                                            uint32_t          signal);
bool         afork_serve_disown            (uint32_t          number);
