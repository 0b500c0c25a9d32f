/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The whole native server, and a caller that sends correct and incorrect frames in any pieces and
 * with any descriptors. Its forks exit at any time, and memory, descriptors and system calls fail.
 * A script (script.h) is the life of one server in this process: after a fork, it continues as the
 * parent or the child, as the script says, and what would end the process ends the script.
 *
 * The server must keep to its side of the protocol; close nothing twice, and no descriptors of
 * others; affect no process but its children; never wait for what cannot come; and give a function
 * its items and descriptors, and no others. */

#include <afork/server/fork.h>
#include <afork/server/server-state.h>

#include "server-target.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

enum
{
  OP_FRAME,                     /* kind, more or fewer descriptors than named, and the fields */
  OP_ITERATE,                   /* sends all that was added, or that many bytes of it */
  OP_RAW,                       /* bytes */
  OP_CORRUPT,                   /* position from the end, what to change */
  OP_STRAY,                     /* descriptors that no frame names */
  OP_FORK_AS,                   /* what the next fork is: see afork_fork() */
  OP_CHILD_ENDS,                /* which, whether another process reaps it, status */
  OP_FAIL,                      /* what fails, and after how many calls; or all pidfds */
  OP_LIMIT,                     /* that many descriptors are left */
  OP_HANG_UP,                   /* the caller closes its end */
  OP_INTERRUPT,                 /* the next wait is interrupted */
  OP_LINK,                      /* the process that the caller talks to from now on */
  OP_RESTRICT,                  /* a description: see put_restrict() */
  N_OPS
};

static const ScriptOp ops[N_OPS] = {
  [OP_FRAME] = { "*9nssssss.", 40 },
  [OP_ITERATE] = { "n", 14 },
  [OP_RAW] = { "...", 2 },
  [OP_CORRUPT] = { "n*", 2 },
  [OP_STRAY] = { "n", 2 },
  [OP_FORK_AS] = { "4", 4 },
  [OP_CHILD_ENDS] = { "44*", 6 },
  [OP_FAIL] = { "38", 3 },
  [OP_LIMIT] = { "6", 1 },
  [OP_HANG_UP] = { "4", 1 },
  [OP_INTERRUPT] = { "", 1 },
  [OP_LINK] = { "6", 4 },
  [OP_RESTRICT] = { "4**8****8****8****", 6 },
};

/* REQUIRE 7, CALL 9, ITEM_BYTES 10, ITEM_FDS 11, FORK 12, RUN 13, LOOK_UP 14, EXEC 15, DEATH_PIPE
 * 16, DETACH 17, IDENTIFY 18, RUN_FUNC 19, LIBRARY 20, MAP_FD 6, SIGNAL 21, DISOWN 22, LEAVE 23,
 * MEASURE 24. */
static const char * const phrases[] = {
  "0,7,0,0,1;0,13,0,0,2,1;1;",
  "0,7,0,0,1;0,9,0,0,5,0,?,?,?;",
  "0,10,0,0,?,?,?,?,?;0,11,0,3;0,10,0,1,255;0,10,0,0,?;",
  "0,7,0,0,1;5,0;0,12,0,7;1;11,0;0,13,0,0,2,1;1;6,0,0,0;",
  "5,1;0,12,0,7;1;0,7,0,0,1;0,13,0,0,2,1;1;",
  "5,1;0,12,0,7;0,14,0,0,2;1;5,0;0,12,0,8;1;6,1,0,9;1;",
  "0,12,0,5;1;0,15,0,0,1,1,2,3;1;",
  "0,17,0,0;1;0,18,0,1;0,7,0,0,1;1;0,13,0,0,2,1;1;",
  "0,16,0,0;0,12,0,5;1;6,0,0,11;1;",
  "0,6,0,0;0,6,0,1;0,6,0,?;",
  "0,19,0,1;1;",
  "0,7,0,0,1;0,20,0,0,16;0,13,0,0,8,1;1;",
  "5,0;0,12,0,5;1;0,21,0,5,9;1;",
  "5,0;0,12,0,5;1;0,23,0,0;1;0,21,0,5,?;0,21,0,?,9;1;6,0,0,0;1;",
  "5,0;0,12,0,5;1;0,22,0,5;0,21,0,5,9;1;",
  "5,0;0,12,0,5;1;0,24,0,5;1;0,23,0,0;6,0,0,0;0,24,0,5;0,24,0,?;1;",
  "8,?;0,11,0,9;1;",
  "0,12,0,?;0,12,0,?;0,12,0,?;0,12,0,?;1;6,?,?,?;1;",
  "0,7,0,0,1;12,0,3,0,0,0,?,?,0,7,?,?;0,13,0,0,2,1;1;",
  "0,7,0,0,1;12,0,0,31,4,0,?,?,4,1,?,?,5,0,3,6,?;5,0;0,12,0,7;1;0,13,0,0,2,1;1;6,0,0,0;1;",
  "12,0,0,31,4,1,?,?,6,63;5,1;0,12,0,7;1;0,7,0,0,1;0,13,0,0,2,1;1;",
  "12,1,?,?,2,3,?,7,?;12,0,64,0,1,?;1;0,7,0,0,1;0,13,0,0,2,1;1;",
  "12,0,0,3,5,0,?,?,5,1,?,?;0,6,0,?;0,7,0,0,1;0,13,0,0,2,1;1;",
  "12,2,0,4,4,1,?,?;0,12,0,5;0,15,0,0,1,1,2,3;1;",
  NULL
};

const ScriptGrammar script_grammar = { ops, N_OPS, phrases };

/* The first words name the first call, so that random scripts do something. */
const char * const script_words[] = {
  "", "echo", "run", "echo:run", "echo", "init", "take", "leave", "other", "other:run", ":run",
  "nothing:run", "/", "/nowhere", "HOME", "A=B", "/folder/echo.so", "/modules", NULL
};

ServerWorld world;

/* What exists before the first script. */
static int standard[3];
int samples[N_SAMPLES];
AForkNative pristine;
char object_id[AFORK_OBJECT_ID_SIZE];
uint64_t object_offset;

static void
limit_fds (unsigned n_left)
{
  bool is_open[N_FDS];
  rlim_t limit = 3;

  list_open (is_open, N_FDS);
  while (limit < N_FDS && (is_open[limit] || n_left-- > 0))
    limit++;
  set_fd_limit (limit);
}

/* Sends what was added, or that many bytes of it. */
static void
let_arrive (uint32_t n_bytes)
{
  for (size_t i = 0; i < world.n_links; i++)
    {
      Link *link = &world.links[i];

      link->n_due = n_bytes == 0 || n_bytes > link->outbox.n_bytes ? link->outbox.n_bytes : n_bytes;
      deliver (link);
    }
}

static bool
do_step (Step *step)
{
  Link *link = &world.links[world.link];
  unsigned number;

  switch (step->op)
    {
    case OP_FRAME:
      put_frame (link, step);
      return true;
    case OP_ITERATE:
      let_arrive (step_take_number (step));
      return false;
    case OP_RAW:
      link->is_damaged = true;
      world.best_effort = true;
      if (link->outbox.n_bytes < MAX_PUT)
        outbox_add_bytes (&link->outbox, step->args, step->n_args);
      return true;
    case OP_CORRUPT:
      number = step_take_number (step);
      corrupt (link, number, step_take (step));
      return true;
    case OP_STRAY:
      add_fds (link, step_take (step), 0, 0);
      return true;
    case OP_FORK_AS:
      world.next_fork = step_take (step) % 4;
      return true;
    case OP_CHILD_ENDS:
      number = step_take (step);
      end_nth_child (number, step_take (step) == 3, step_take (step));
      return true;
    case OP_FAIL:
      number = step_take (step) % 3;
      if (number < 2)
        world.fail_in[number] = 1u + step_take (step);
      else
        world.has_no_pidfds = true;
      return true;
    case OP_LIMIT:
      limit_fds (step_take (step));
      return true;
    case OP_HANG_UP:
      hang_up (&world.links[step_take (step) % world.n_links]);
      return true;
    case OP_INTERRUPT:
      world.interrupted = true;
      return true;
    case OP_RESTRICT:
      put_restrict (link, step);
      return true;
    default:
      world.link = step_take (step) % world.n_links;
      return true;
    }
}

/* Does the steps up to the next turn. Returns false if there was none. */
bool
iterate (void)
{
  Step step;
  bool more = true, any = false;

  while (more && script_next (&world.script, N_OPS, &step))
    {
      any = true;
      more = do_step (&step);
    }

  end_own ();
  return any;
}

/* A script. */

static void
set_up (void)
{
  static int pipe_ends[2];

  set_up_fds (N_FDS);
  for (int fd = 0; fd < 3; fd++)
    standard[fd] = copy_lasting (fd);
  for (int i = 0; i < N_SAMPLES; i++)
    {
      if (pipe2 (pipe_ends, O_CLOEXEC) < 0)
        abort ();
      samples[i] = copy_lasting (pipe_ends[0]);
      /* The first has exited. */
      if (i > 0)
        copy_lasting (pipe_ends[1]);
      (close) (pipe_ends[0]);
      (close) (pipe_ends[1]);
    }
  end_own ();

  afork_native_init (&pristine);
  if (!afork_object_describe ((void *) run, object_id, &object_offset))
    *object_id = '\0';
}

static void
begin (const uint8_t *bytes,
       size_t         n_bytes)
{
  world.script = (Script) { bytes, n_bytes };
  world.hung_up = world.interrupted = world.calls = world.standard_changed = world.notified = false;
  world.copy_failed = world.best_effort = false;
  world.has_no_pidfds = false;
  world.n_waits = world.next_fork = world.fail_in[0] = world.fail_in[1] = 0;
  world.death_pipe = -1;
  world.death_pipe_inode = 0;
  memset (world.kept, 0, sizeof world.kept);
  world.n_links = world.link = world.n_children = 0;
  world.memory.next = world.memory.previous = &world.memory;
  /* A tool that looks for errors sometimes opens descriptors, too. */
  list_open (world.foreign, N_FDS);
}

/* Closes everything that was not open before, and frees what the server had. */
static void
clean_up (void)
{
  if (world.standard_changed)
    for (int fd = 0; fd < 3; fd++)
      (dup2) (standard[fd], fd);
  for (unsigned fd = 3, first = fd; fd <= N_FDS; fd++)
    if (fd == N_FDS || world.foreign[fd])
      {
        if (fd > first)
          (close_range) (first, fd - 1, 0);
        first = fd + 1;
      }
  close_own ();
  set_fd_limit (N_FDS);
  end_own ();
  free_all ();
  for (size_t i = 0; i < world.n_links; i++)
    outbox_clear (&world.links[i].outbox);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  static bool is_set_up;
  static AForkWorkerRuntime runtime;
  static AForkNative native;
  static int ends[2];
  AForkServerOptions options = { .runtime = &runtime, .runtime_data = &native };

  if (!is_set_up)
    set_up ();
  is_set_up = true;

  begin (bytes, n_bytes);
  memset (&afork_server, 0, sizeof afork_server);
  native = pristine;
  runtime = make_runtime ();
  if ((socketpair) (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("socketpair: %s", strerror (errno));
  add_link (ends[0], move_own (ends[1]), false);
  end_own ();

  if (setjmp (world.end) == 0)
    {
      options.socket = ends[0];
      options.fork = afork_fork;
      afork_serve (&options);
    }

  clean_up ();
  return 0;
}
