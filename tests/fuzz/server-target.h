/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The parts of fuzz-server, and the world that they have in common. */

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
  N_FDS = 256,                  /* that the server may have */
  N_SAMPLES = 4
};

typedef enum { ALIVE, ZOMBIE, REAPED } ChildState;

typedef struct
{
  pid_t      pid;
  ChildState state;
  bool       ours;              /* of the process that the server is now */
  bool       stolen;            /* somebody else reaped it */
  bool       reported;
  int        status;
  int        event;             /* readable from its end on, as its pidfd is; or -1 */
} Child;

/* What the caller has at its end. */
typedef struct
{
  int      fd;                  /* -1 if it has closed it */
  ino_t    other;               /* the server's end */
  Outbox   outbox;
  size_t   n_due;               /* of that, may arrive */
  uint8_t  output[MAX_OUTPUT];
  size_t   n_output;
  size_t   n_output_fds;        /* that no frame has taken */
  size_t   n_signals;           /* that were asked for, and not answered */
  bool     lacks_pidfd;         /* the last that came was NO_PIDFD */
  bool     is_damaged;          /* what was put is not what its frames were */
  bool     is_fork;
  bool     heard;
  bool     ready;               /* the last that came was READY */
  bool     gave_up;
  bool     raw;                 /* it is a function's, or a program's */
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
  bool     is_over;             /* the script, and the caller has gone */
  bool     hung_up;
  unsigned n_waits;
  unsigned next_fork;
  bool     interrupted;
  bool     calls;               /* a function that prepares is looked for or called */
  bool     standard_changed;
  bool     copy_failed;         /* of a descriptor to a number of its own */
  bool     notified;            /* HELLO has come */
  unsigned fail_in[2];          /* 0 if nothing fails */
  bool     has_no_pidfds;       /* the system */
  int      death_pipe;
  bool     kept[N_FDS];         /* taken as items, and so a module's */
  bool     foreign[N_FDS];      /* descriptors that are not the server's */
  Link     links[MAX_LINKS];
  size_t   n_links;
  size_t   link;                /* whom the caller talks to */
  Child    children[MAX_CHILDREN];
  size_t   n_children;
  Memory   memory;
} ServerWorld;

extern ServerWorld world;

/* What is there before the first script. */
extern int samples[N_SAMPLES];
extern AForkNative pristine;
extern char object_id[AFORK_OBJECT_ID_SIZE];
extern uint64_t object_offset;

/* server-caller.c: what the caller sends, and looks for in what the server says. */

Link              *add_link      (int              server_end,
                                  int              callers_end,
                                  bool             is_fork);
Link              *find_link     (int              server_end);
void               hang_up       (Link            *link);
void               hang_up_all   (void);
void               deliver       (Link            *link);
void               put_frame     (Link            *link,
                                  Step            *step);
void               add_fds       (Link            *link,
                                  unsigned         n_fds,
                                  unsigned         kind,
                                  uint32_t         number);
void               corrupt       (Link            *link,
                                  uint32_t         place,
                                  uint8_t          change);
/* Takes what the server has sent, and looks whether it is right. */
void               check_output  (Link            *link);

/* server-system.c: what the server asks of the system. */

bool               is_server_fd  (int              fd);
void               drop          (int             *fd);
/* Whether what the server asks for fails now. */
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
/* The native runtime, but that it knows these functions only. */
AForkWorkerRuntime make_runtime  (void);

/* fuzz-server.c: does the steps up to the next turn. False if there was none. */
bool               iterate       (void);
