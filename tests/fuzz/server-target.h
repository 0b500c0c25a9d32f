/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The parts of fuzz-server, and the state that they share. */

#pragma once

#include <setjmp.h>

#include <afork/server/native.h>
#include <afork/server/objects.h>
#include <afork/server/server.h>
#include <afork/worker/afork-worker.h>

#include "fd-table.h"
#include "script.h"
#include "server-world.h"

enum
{
  MAX_LINKS = 32,
  MAX_CHILDREN = 64,
  MAX_OUTPUT = 32 * 1024,
  MAX_PUT = 2 * 1024 * 1024,
  MAX_WAITS = 20000,
  N_FDS = 256,                  /* descriptors of the server */
  CHILD_KIB = 4096,             /* resident memory of a child */
  N_SAMPLES = 4
};

typedef enum { ALIVE, ZOMBIE, REAPED } ChildState;

typedef struct
{
  pid_t      pid;
  ChildState state;
  bool       ours;              /* children of the process that the server is now */
  bool       stolen;            /* another process has reaped it */
  bool       reported;
  int        status;
  int        event;             /* readable once the child has exited, as its pidfd is; or -1 */
} Child;

/* An end of a socket that the caller has. */
typedef struct
{
  int      fd;                  /* -1 if the caller has closed it */
  ino_t    other;               /* the end of the server */
  Outbox   outbox;
  size_t   n_due;               /* how much of that may arrive */
  uint8_t  output[MAX_OUTPUT];
  size_t   n_output;
  size_t   n_output_fds;        /* that no frame has taken */
  size_t   n_signals;           /* commands without a reply */
  size_t   n_measures;          /* the same */
  bool     lacks_pidfd;         /* the last frame was NO_PIDFD */
  bool     is_damaged;          /* what was added differs from the frames that were sent */
  bool     is_fork;
  bool     heard;
  bool     ready;               /* the last frame was READY */
  bool     gave_up;
  bool     raw;                 /* it belongs to a function or a program */
} Link;

typedef struct Memory
{
  struct Memory *previous;
  struct Memory *next;
  size_t         size;
} Memory;

typedef struct
{
  jmp_buf  end;
  Script   script;
  bool     is_over;             /* the script has ended, and the caller is gone */
  bool     hung_up;
  unsigned n_waits;
  unsigned next_fork;
  bool     interrupted;
  bool     calls;               /* a preparing function is searched for or called */
  bool     standard_changed;
  bool     copy_failed;         /* mapping a descriptor to its own number */
  bool     best_effort;         /* a process may lack effects that were asked for */
  bool     notified;            /* HELLO has come */
  unsigned fail_in[2];          /* 0 if nothing fails */
  bool     has_no_pidfds;       /* system calls */
  int      death_pipe;          /* the descriptor of it that was set up last, or -1 */
  ino_t    death_pipe_inode;
  bool     kept[N_FDS];         /* taken as items, so they belong to a module */
  bool     foreign[N_FDS];      /* descriptors that do not belong to the server */
  Link     links[MAX_LINKS];
  size_t   n_links;
  size_t   link;                /* the process that the caller talks to */
  Child    children[MAX_CHILDREN];
  size_t   n_children;
  Memory   memory;
} ServerWorld;

extern ServerWorld world;

/* What exists before the first script. */
extern int samples[N_SAMPLES];
extern AForkNative pristine;
extern char object_id[AFORK_OBJECT_ID_SIZE];
extern uint64_t object_offset;

/* server-caller.c: what the caller sends, and how it checks what the server sends. */

Link              *add_link      (int              server_end,
                                  int              callers_end,
                                  bool             is_fork);
Link              *find_link     (int              server_end);
void               hang_up       (Link            *link);
void               hang_up_all   (void);
void               deliver       (Link            *link);
void               put_frame     (Link            *link,
                                  Step            *step);
void               put_restrict  (Link            *link,
                                  Step            *step);
void               add_fds       (Link            *link,
                                  unsigned         n_fds,
                                  unsigned         kind,
                                  uint32_t         number);
void               corrupt       (Link            *link,
                                  uint32_t         place,
                                  uint8_t          change);
/* Reads what the server has sent, and checks it. */
void               check_output  (Link            *link);

/* server-system.c: the system calls of the server. */

bool               is_server_fd  (int              fd);
void               drop          (int             *fd);
/* Whether the next system call of the server fails. */
bool               fails         (int              what);
bool               system_fails  (int              error);
void               end_nth_child (unsigned         n,
                                  bool             stolen,
                                  int              status);

/* server-memory.c */

void               free_all      (void);

/* server-worker.c: modules, functions and programs. */

void               run           (int              socket,
                                  const AForkItem *items,
                                  size_t           n_items);
/* The native runtime, with only these functions. */
AForkWorkerRuntime make_runtime  (void);

/* fuzz-server.c: does the steps up to the next turn. Returns false if there was none. */
bool               iterate       (void);
