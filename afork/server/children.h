/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The forks of this process that live, and how each ended. Every one of them is reaped here and
 * nothing else is: a module's own children stay the module's. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"
#include "fd-set.h"

typedef struct
{
  uint32_t number;            /* what the caller calls it */
  pid_t    pid;
  int      pidfd;             /* -1 if it cannot be watched */
  bool     disowned;          /* the caller has given it away, and signals it no more */
} AForkChild;

/* As many as need no memory of their own. */
enum { AFORK_CHILDREN_INITIAL = 32 };

typedef struct
{
  int         epoll;          /* the link's socket and every child's pidfd; -1 before the first */
  AForkChild *children;
  size_t      n_children;
  size_t      n_polled;       /* those that are looked after now and then instead */
  size_t      capacity;
  AForkChild  initial[AFORK_CHILDREN_INITIAL];
} AForkChildren;

void   afork_children_init           (AForkChildren      *self);

/* Names the threads of this process if it has a second one, or says that they could not be
 * counted: either way it must not be forked. */
bool   afork_children_check_threads  (AForkFailure       *failure);

/* Makes sure that a child can be watched, before it is made. SOCKET is the link's, watched too. */
bool   afork_children_prepare        (AForkChildren      *self,
                                      int                 socket,
                                      AForkFailure       *failure);

/* Looks after PID, which was forked from this process just now. It may be running a function
 * already, so there is no way back. */
void   afork_children_add            (AForkChildren      *self,
                                      uint32_t            number,
                                      pid_t               pid);

/* In a process that was forked: its siblings are none of its business. What is to be closed is
 * added to CLOSED. */
void   afork_children_forget         (AForkChildren      *self,
                                      AForkFdSet         *closed);

/* Stops watching the link's socket, which is about to be closed or has ended. */
void   afork_children_unwatch_socket (AForkChildren      *self,
                                      int                 socket);

/* Makes ANOTHER socket the one that is watched. */
bool   afork_children_watch_socket   (AForkChildren      *self,
                                      int                 socket);

/* Sends SIGNAL to the child that the caller calls NUMBER. 0 or an errno: see AFORK_FRAME_SIGNAL. */
int    afork_children_signal         (AForkChildren      *self,
                                      uint32_t            number,
                                      uint32_t            signal);

/* From now on that child is not signalled. */
void   afork_children_disown         (AForkChildren      *self,
                                      uint32_t            number);

/* Moves what is kept at descriptor TARGET to another number. */
bool   afork_children_vacate         (AForkChildren      *self,
                                      int                 target);

/* Waits until the socket is readable or children have ended, puts an EXITED frame for each of the
 * latter with PUT, and returns whether the socket is readable. So it does, with no children left,
 * where nothing can be waited for any more. */
bool   afork_children_wait           (AForkChildren      *self,
                                      void              (*put) (const AForkFrame *frame,
                                                                void             *data),
                                      void               *data);
