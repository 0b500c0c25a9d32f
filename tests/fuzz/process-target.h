/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The parts of fuzz-process, and the state that they share. */

#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <afork/afork.h>

#include "fd-table.h"
#include "process-world.h"
#include "script.h"

enum
{
  MAX_PROCESSES = 12,
  MAX_POOLS = 4,
  MAX_CALLS = 64,
  MAX_LINKS = 32,
  MAX_OTHERS = 48,
  MAX_REQUESTS = 16,
  MAX_PUT = 512 * 1024,
  N_CANCELLABLES = 4,
  N_FDS = 128,                  /* descriptors of the library */
  FIRST_PID = 4000000           /* no process has such a pid */
};

/* A process at the other end. */
typedef struct
{
  GPid     pid;
  bool     is_child;            /* the library has made it, and reaps it */
  bool     is_stranger;         /* a worker only pretends to be it */
  bool     has_ended;
  bool     is_reaped;
  bool     is_exposed;          /* the library has a pidfd of it */
  int      wait_status;
  int      pidfd;
  int      pipe;                /* the end that makes the pidfd readable */
  ino_t    inode;
} Other;

/* The other end of a channel. */
typedef struct
{
  int      fd;                  /* -1 if closed */
  Other   *other;               /* its process, or NULL as long as there is none */
  bool     has_handshake;       /* it was executed */
  bool     is_remote;           /* it is a relay, or a process on another host */
  bool     is_fork;
  bool     heard;
  bool     is_outcome;
  AForkFrameKind last;          /* the last command that was read */
  Outbox   outbox;
  uint8_t *input;
  size_t   n_input;
  int      fds[64];             /* received, and not taken by a frame */
  size_t   n_fds;
  uint32_t last_number;         /* of its forks */
  uint32_t number;              /* the number of this one at its template */
  AForkFrame requests[MAX_REQUESTS];    /* SIGNAL and MEASURE, without a reply */
  size_t   n_requests;
  bool     is_worker;           /* it was told to run, so there are frames of calls from then on */
  bool     has_setup;
  bool     has_started;
  uint32_t calls[MAX_REQUESTS]; /* the numbers of calls without an answer */
  size_t   n_calls;
} Link;

/* What is called. */
enum
{
  CALL_RUN, CALL_EXEC, CALL_DETACH, CALL_RUN_FUNC, CALL_WAIT, CALL_MEASURE,
  CALL_JOB, CALL_NEXT, CALL_SHUTDOWN
};

typedef struct
{
  gboolean is_done;
  int      how;
} Call;

typedef struct
{
  Script        script;
  unsigned      n_steps;
  unsigned      mode;
  unsigned      depth;          /* how deeply iterations of main contexts are nested */
  bool          is_over;
  GMainContext *context;
  AForkRuntime *runtimes[3];    /* a runtime that can fork, one that cannot, and another host */
  AForkProcess *processes[MAX_PROCESSES];
  AForkPool    *pools[MAX_POOLS];       /* NULL once it was dropped */
  GWeakRef      all_pools[MAX_POOLS];   /* also those that were dropped */
  unsigned      n_pools;
  AForkMap     *map;            /* or NULL */
  unsigned      n_alive;        /* objects */
  GCancellable *cancellables[N_CANCELLABLES];
  Call          calls[MAX_CALLS + MAX_POOLS];   /* the last ones end the pools */
  unsigned      n_calls;
  unsigned      n_pending;
  int           detached;       /* the descriptor of the last process that was detached, or -1 */
  Link          links[MAX_LINKS];
  unsigned      n_links;
  Other         others[MAX_OTHERS];
  unsigned      n_others;
} ProcessWorld;

extern ProcessWorld world;

enum
{
  MODE_OLD_KERNEL = 1 << 0,     /* it has no queries on pidfds */
  MODE_NO_PIDFD_SIGNAL = 1 << 1,
  MODE_NO_TIME = 1 << 2,        /* timeouts fire at once */
  MODE_STUBBORN = 1 << 3,       /* processes that are killed do not exit yet */
  MODE_NO_SPAWN = 1 << 4,
  MODE_NO_PIDFD = 1 << 5,
  MODE_DROP = 1 << 6,           /* callbacks drop their process */
  MODE_NEST = 1 << 7            /* callbacks iterate the main context */
};

/* A descriptor that may be sent in place of any other. */
extern int sample;

/* process-others.c: replacements for other processes. */

Other        *add_other      (GPid          pid,
                              bool          is_child);
void          end_other      (Other        *other,
                              int           wait_status);
void          reap_other     (Other        *other);

/* process-links.c: what the processes do at the other ends. */

int           take_fd        (Link         *link);
Link         *add_link       (int           fd,
                              Other        *other);
void          close_link     (Link         *link);
/* Reads what the library has sent, which must be correct. */
void          read_link      (Link         *link);
/* Does what a server would do now. */
void          serve          (Link         *link);
/* Adds a correct or incorrect answer. */
void          answer         (Link         *link,
                              Step         *step);

/* process-workers.c: what processes do that were told to run. */

/* Takes the next frame of a call that the library has sent. */
bool          take_call_frame (Link        *link,
                               size_t      *start);
void          serve_calls    (Link         *link);
void          answer_call    (Link         *link,
                              Step         *step);

/* process-pools.c: what a program does with pools. */

void          make_pool      (AForkProcess *process,
                              unsigned      how);
void          use_pool       (unsigned      n,
                              Step         *step);
/* Aborts all pools. */
void          drop_pools     (void);

/* process-caller.c: what a program does with the library. */

/* Whether it can still be prepared, which the caller of the library has to know. */
bool          can_prepare    (AForkProcess *process);
Call         *begin_call     (int           how);
GCancellable *find_cancellable (unsigned    n);
/* Iterates the main context, if callbacks are to do that. */
void          nest           (void);
AForkProcess *find_process   (unsigned      n);
void          make_process   (unsigned      how,
                              unsigned      which);
void          prepare        (AForkProcess *process,
                              Step         *step);
void          hand_over      (AForkProcess *process,
                              unsigned      how,
                              unsigned      with);
void          await_end      (AForkProcess *process,
                              unsigned      with,
                              bool          blocks);
void          cancel         (unsigned      n);
void          iterate        (unsigned      n);
void          signal_process (AForkProcess *process,
                              unsigned      signal);
