/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The forks of this process that live. They are reaped and reported here. Children that a module
 * has made are not touched. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"
#include "fd-set.h"

typedef struct
{
  uint32_t number;            /* the caller's number for it */
  pid_t    pid;
  int      pidfd;             /* -1 if it has none, and is polled */
  bool     disowned;          /* the caller cannot signal it any more */
} AForkChild;

/* How many children need no allocated memory. */
enum { AFORK_CHILDREN_INITIAL = 32 };

typedef struct
{
  int         epoll;          /* of the link's socket and each pidfd; -1 before the first child */
  AForkChild *children;
  size_t      n_children;
  size_t      n_polled;       /* of the children, those without a pidfd */
  size_t      capacity;
  AForkChild  initial[AFORK_CHILDREN_INITIAL];
} AForkChildren;

/* Initializes SELF with no children. Async-signal-safe. */
void   afork_children_init           (AForkChildren      *self);

/* Returns whether this process may be forked: it has one thread. If not, the failure names the
 * other threads, or says why they cannot be counted. Not async-signal-safe. */
bool   afork_children_check_threads  (AForkFailure       *failure);

/* Whether this process certainly has one thread. Async-signal-safe, unless it has others. */
bool   afork_children_has_one_thread (void);

/* Prepares for one more child before it is forked. SOCKET is the link's, which is watched, too.
 * Returns false and sets the failure if a child could not be watched. Not async-signal-safe. */
bool   afork_children_prepare        (AForkChildren      *self,
                                      int                 socket,
                                      AForkFailure       *failure);

/* Adds PID, which was just forked. This cannot fail, because the child may be running a function
 * already: a child whose pidfd cannot be opened or watched is polled. Async-signal-safe. */
void   afork_children_add            (AForkChildren      *self,
                                      uint32_t            number,
                                      pid_t               pid);

/* In a fork: forgets the children, which are its siblings. Adds the descriptors to close to CLOSED.
 * Async-signal-safe. */
void   afork_children_forget         (AForkChildren      *self,
                                      AForkFdSet         *closed);

/* Stops watching the link's socket, before it is closed or after it has ended.
 * Async-signal-safe. */
void   afork_children_unwatch_socket (AForkChildren      *self,
                                      int                 socket);

/* Watches another socket of the link. Returns false and sets errno if it cannot.
 * Async-signal-safe. */
bool   afork_children_watch_socket   (AForkChildren      *self,
                                      int                 socket);

/* Sends SIGNAL to the child NUMBER. Returns 0 or an errno value: see AFORK_FRAME_SIGNAL.
 * Async-signal-safe. */
int    afork_children_signal         (AForkChildren      *self,
                                      uint32_t            number,
                                      uint32_t            signal);

/* Makes later signals to the child NUMBER fail with EPERM, and its memory unknown.
 * Async-signal-safe. */
void   afork_children_disown         (AForkChildren      *self,
                                      uint32_t            number);

/* Sets *KIB to the resident memory of the child NUMBER, or to UINT32_MAX if it is more than that.
 * Returns false if it is unknown: see AFORK_FRAME_MEASURE. Not async-signal-safe. */
bool   afork_children_measure        (AForkChildren      *self,
                                      uint32_t            number,
                                      uint32_t           *kib);

/* If descriptor TARGET is used here, moves it to another number. Returns false and sets errno if it
 * cannot. Async-signal-safe. */
bool   afork_children_vacate         (AForkChildren      *self,
                                      int                 target);

/* Waits until the socket is readable or children have exited. Calls PUT with an EXITED frame for
 * each child that it reaps. Returns whether the socket is readable. If waiting fails, forgets the
 * children and returns true. Not async-signal-safe. */
bool   afork_children_wait           (AForkChildren      *self,
                                      void              (*put) (const AForkFrame *frame,
                                                                void             *data),
                                      void               *data);
