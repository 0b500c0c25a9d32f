/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The whole caller's side, except the execution of programs: AForkProcess objects whose other ends
 * are controlled by a script (script.h). The script makes and prepares processes, forks, runs,
 * waits for, signals, cancels and drops them. At the other ends it answers as a server would, or in
 * other ways: with frames out of order, damaged or cut, with pidfds of other processes and
 * descriptors that are not pidfds, with too many or too few descriptors. There are no processes:
 * each is a pipe, whose reading end is its pidfd, because it becomes readable and is hung up in the
 * same way.
 *
 * Every operation must return once; nothing may be left at the end; GLib may not log a warning; and
 * a signal may only be sent to a process that the library has made, or that has proved its
 * identity. */

#include <string.h>
#include <sys/socket.h>

#include <afork/base/atfork.h>

#include "process-target.h"

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

enum
{
  OP_NEW,                       /* how, of which process or descriptor */
  OP_PREPARE,                   /* which, how, and with what */
  OP_HAND_OVER,                 /* which, how, with which cancellable */
  OP_WAIT,                      /* for which, with which cancellable, blocking or not */
  OP_CANCEL,                    /* which cancellable */
  OP_DROP,                      /* which process */
  OP_SIGNAL,                    /* which process, what; or how much memory it has */
  OP_ITERATE,                   /* iterates the main context: at most how often */
  OP_MODE,                      /* properties of the target from now on */
  OP_LIMIT,                     /* that many descriptors are left */
  /* From here on, operations at other ends: during a blocking call there are no others. */
  OP_SERVE,                     /* which link: what a server would do now */
  OP_ANSWER,                    /* which link, kind, descriptors, number, and strings */
  OP_SEND,                      /* which link, and how much of what was added */
  OP_CORRUPT,                   /* which link, position from the end, what to change */
  OP_RAW,                       /* which link, bytes */
  OP_STRAY,                     /* which link, descriptors */
  OP_READ,                      /* which link */
  OP_CLOSE,                     /* which link, how */
  OP_END,                       /* which process, how it exits, and whether it is reaped */
  /* Operations of the program again, at the end because of the numbers in the examples. */
  OP_POOL,                      /* of which process, and properties */
  OP_USE_POOL,                  /* which pool, how, with which cancellable, and a number */
  OP_ANSWER_CALL,               /* of other ends: which link, kind, call, number, and data */
  N_OPS
};

static const ScriptOp ops[N_OPS] = {
  [OP_NEW] = { "76", 10 },
  [OP_PREPARE] = { "6*ns", 6 },
  [OP_HAND_OVER] = { "66*", 10 },
  [OP_WAIT] = { "6*4", 5 },
  [OP_CANCEL] = { "4", 3 },
  [OP_DROP] = { "6", 5 },
  [OP_SIGNAL] = { "65", 5 },
  [OP_ITERATE] = { "8", 14 },
  [OP_MODE] = { "*", 4 },
  [OP_LIMIT] = { "8", 1 },
  [OP_SERVE] = { "8", 30 },
  [OP_ANSWER] = { "87*nss.", 24 },
  [OP_SEND] = { "8*", 4 },
  [OP_CORRUPT] = { "8n*", 3 },
  [OP_RAW] = { "8...", 2 },
  [OP_STRAY] = { "88", 2 },
  [OP_READ] = { "8", 6 },
  [OP_CLOSE] = { "83", 5 },
  [OP_END] = { "8*4", 8 },
  [OP_POOL] = { "6*", 6 },
  [OP_USE_POOL] = { "4*8*", 20 },
  [OP_ANSWER_CALL] = { "8**n....", 20 },
};

static const char * const phrases[] = {
  /* A process that is executed and run. */
  "0,0;7,3;10,0;7,3;2,0,0,0;7,3;10,0;7,3;",
  "0,0;2,0,0,0;7,3;10,0;10,0;7,3;8,?;18,0,0,0;7,3;",
  /* A template and a fork of it, which is run, and whose exit is reported. */
  "0,0;7,3;10,0;7,3;0,2,0;2,1,0,0;7,3;10,0;10,1;10,1;7,3;18,1,0,1;11,0,5,0,0;12,0,0;7,3;",
  "0,0;0,2,0;0,2,0;7,3;10,0;10,1;10,2;7,3;",
  "0,2,0;7,3;10,?;10,?;7,3;",
  /* Executing a program, detaching, and taking over. */
  "2,?,1,0;7,3;10,?;7,3;10,?;7,3;",
  "2,?,2,0;7,3;10,?;7,3;0,4,0;7,3;10,?;10,?;7,3;",
  "0,3;7,3;10,0;7,3;2,0,0,0;7,3;10,0;7,3;",
  /* A process on another host: the relay, a server there, and a fork of it. */
  "0,6,3;2,?,0,0;7,3;10,0;7,3;10,1;10,2;7,3;", "0,6,4;0,2,0;7,3;10,?;7,3;10,?;7,3;",
  "11,?,1,?,?;12,?,0;7,2;", "11,?,0,255,?;12,?,0;7,2;",
  /* Exits of all kinds, and waiting for them. */
  "3,?,0,0;18,?,?,0;7,3;18,?,0,1;7,3;",
  "3,?,0,1;", "2,?,3,0;", "4,?;7,2;", "5,?;7,3;", "17,?,0;7,3;", "6,?,?;7,1;",
  "11,?,1,?,?;12,?,0;7,2;", "11,?,2,?,?;12,?,0;7,2;", "11,?,3,?,?;12,?,0;7,2;",
  "6,?,4;7,1;10,?;7,2;", "11,?,8,?,?;12,?,0;7,2;",
  "11,?,4,?,?;12,?,0;7,2;", "11,?,5,?,?;12,?,0;7,2;", "13,?,?,?;12,?,0;7,2;",
  "1,?,11,2;8,4;7,4;",
  /* A fork that its template has to kill. */
  "8,2;6,?,0;7,3;10,0;7,3;", "8,2;2,?,0,0;4,0;7,3;10,?;7,3;", "11,?,7,0,1;12,?,0;7,3;",
  /* A pool whose workers answer, and workers that exit or send nonsense. */
  "0,0;7,3;10,0;19,0,?;20,0,0,8,?;20,0,0,8,?;7,3;10,0;10,1;7,3;10,1;7,3;10,1;7,3;",
  "20,0,0,8,?;7,3;10,?;7,3;10,?;7,3;", "20,0,3,8,?;20,0,4,8,0;7,3;10,?;10,?;7,3;",
  "21,?,?,?,?;12,?,0;7,2;", "21,?,2,0,0;12,?,0;7,3;", "18,?,?,1;17,?,0;7,3;10,?;10,?;7,3;",
  "20,?,8,8,?;7,3;10,?;", "20,?,9;7,2;", "20,?,5;7,2;",
  NULL
};

const ScriptGrammar script_grammar = { ops, N_OPS, phrases };

const char * const script_words[] = {
  "", "echo", AFORK_WIRE_MAGIC, "It \xff\xfe failed", "%s%n", "It failed",
  "a text of some length, as one that says what has failed may well have", NULL
};

enum
{
  MAX_STEPS = 400,
  MAX_TURNS = 5000
};

ProcessWorld world;
int sample;

static bool foreign[N_FDS];

/* Descriptors. */

/* The library must have closed all its descriptors. */
static void
check_fds (void)
{
  bool is_open[N_FDS];

  list_open (is_open, N_FDS);
  for (int fd = 0; fd < N_FDS; fd++)
    if (is_open[fd] != foreign[fd])
      {
        char path[32], target[64] = "";

        g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink (path, target, sizeof target - 1) < 0)
          die ("descriptor %d is closed, and is not the library's", fd);
        die ("descriptor %d is left open: %s", fd, target);
      }
}

static void
limit_fds (unsigned n_left)
{
  bool is_open[N_FDS];
  int limit = N_FDS;

  /* Above all open descriptors: more than the limit are not polled. */
  list_open (is_open, N_FDS);
  while (limit > 16 && !is_open[limit - 1])
    limit--;
  set_fd_limit (MIN ((unsigned) limit + n_left, (unsigned) N_FDS));
}

/* The steps. */

static void
do_caller_step (Step *step)
{
  unsigned n = step_take (step);
  unsigned how;
  /* A caller of a method holds a reference meanwhile. */
  g_autoptr(AForkProcess) kept G_GNUC_UNUSED = NULL;

  if (((step->op >= OP_PREPARE && step->op <= OP_SIGNAL) || step->op == OP_POOL)
      && step->op != OP_CANCEL && step->op != OP_DROP && find_process (n) != NULL)
    kept = g_object_ref (find_process (n));

  switch (step->op)
    {
    case OP_NEW:
      make_process (n, step_take (step));
      break;
    case OP_PREPARE:
      prepare (find_process (n), step);
      break;
    case OP_HAND_OVER:
      how = step_take (step);
      hand_over (find_process (n), how, step_take (step));
      break;
    case OP_WAIT:
      how = step_take (step);
      await_end (find_process (n), how, step_take (step) == 1);
      break;
    case OP_CANCEL:
      cancel (n);
      break;
    case OP_DROP:
      g_clear_object (&world.processes[n % MAX_PROCESSES]);
      break;
    case OP_SIGNAL:
      signal_process (find_process (n), step_take (step));
      break;
    case OP_POOL:
      make_pool (find_process (n), step_take (step));
      break;
    case OP_USE_POOL:
      use_pool (n, step);
      break;
    case OP_MODE:
      world.mode = n;
      break;
    case OP_LIMIT:
      limit_fds (n);
      break;
    default:
      iterate (n);
      break;
    }
}

static void
do_other_step (Step *step)
{
  unsigned n = step_take (step);
  Link *link = world.n_links > 0 ? &world.links[n % world.n_links] : NULL;
  uint32_t number;

  if (step->op == OP_END && world.n_others > 0)
    {
      Other *other = &world.others[n % world.n_others];
      int how = step_take (step);

      if (other->is_stranger)
        return;
      end_other (other, how % 2 == 0 ? how << 8 : how % 64);
      if (step_take (step) == 1 && !other->is_child)
        reap_other (other);
      return;
    }
  if (link == NULL)
    return;

  switch (step->op)
    {
    case OP_SERVE:
      serve (link);
      break;
    case OP_ANSWER:
      if (link->fd >= 0)
        answer (link, step);
      break;
    case OP_ANSWER_CALL:
      if (link->fd >= 0 && link->is_worker)
        answer_call (link, step);
      break;
    case OP_SEND:
      number = step_take (step);
      if (link->fd >= 0)
        outbox_send (&link->outbox, link->fd, number < 0x80 ? SIZE_MAX : number & 0x1f);
      break;
    case OP_CORRUPT:
      number = step_take_number (step);
      if (link->outbox.n_bytes > 0)
        link->outbox.bytes[link->outbox.n_bytes - 1 - number % link->outbox.n_bytes]
          ^= step_take (step);
      break;
    case OP_RAW:
      if (link->fd >= 0 && link->outbox.n_bytes < MAX_PUT)
        outbox_add_bytes (&link->outbox, step->args, step->n_args);
      break;
    case OP_STRAY:
      for (number = step_take (step) % 32; number > 0; number--)
        outbox_add_fd (&link->outbox, sample);
      break;
    case OP_READ:
      read_link (link);
      break;
    case OP_CLOSE:
      if (step_take (step) == 1 && link->fd >= 0)
        shutdown (link->fd, SHUT_WR);
      else
        close_link (link);
      break;
    default:
      break;
    }
}

static bool
is_of_others (unsigned op)
{
  return op >= OP_SERVE && op != OP_POOL && op != OP_USE_POOL;
}

static bool
do_next_step (bool others_only)
{
  Step step;

  if (world.n_steps == MAX_STEPS || !script_next (&world.script, N_OPS, &step))
    return false;

  world.n_steps++;
  if (is_of_others (step.op))
    {
      do_other_step (&step);
    }
  else if (!others_only)
    {
      end_own ();
      do_caller_step (&step);
    }
  return true;
}

/* All other ends close, and all processes there exit, except those that may not be signalled. */
static void
end_others (void)
{
  world.mode &= ~(unsigned) (MODE_STUBBORN | MODE_NEST);
  for (unsigned i = 0; i < world.n_links; i++)
    {
      read_link (&world.links[i]);
      close_link (&world.links[i]);
    }
  for (unsigned i = 0; i < world.n_others; i++)
    if (!world.others[i].is_stranger)
      {
        end_other (&world.others[i], 0);
        if (!world.others[i].is_child)
          reap_other (&world.others[i]);
      }
  end_own ();
}

/* The iterations of a blocking call: meanwhile the other side continues. */
gboolean
world_iterate (GMainContext *context,
               gboolean      may_block)
{
  static unsigned n_turns;
  gboolean any;

  if (!do_next_step (true))
    end_others ();
  else
    n_turns = 0;
  end_own ();
  world.depth++;
  any = g_main_context_iteration (context, FALSE);
  world.depth--;
  if (++n_turns > MAX_TURNS)
    die ("a call that waits is never answered");
  return any;
}

/* Timeouts fire at once, or only at the end. */
GSource *
world_timeout_new (guint ms)
{
  return g_timeout_source_new ((world.mode & MODE_NO_TIME) != 0 ? 0 : ms == 10 ? 0 : 3600 * 1000);
}

/* Nothing that comes from another process may cause a warning. */
static GLogWriterOutput
log_cb (GLogLevelFlags   level,
        const GLogField *fields,
        gsize            n_fields,
        gpointer         data)
{
  if (level <= G_LOG_LEVEL_WARNING)
    for (gsize i = 0; i < n_fields; i++)
      if (strcmp (fields[i].key, "MESSAGE") == 0)
        die ("GLib warns: %s", (const char *) fields[i].value);

  return G_LOG_WRITER_HANDLED;
}

static void
set_up (void)
{
  int ends[2];

  set_up_fds (N_FDS);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    die ("pipe: %s", strerror (errno));
  sample = copy_lasting (ends[0]);
  copy_lasting (ends[1]);
  close (ends[0]);
  close (ends[1]);

  g_log_set_writer_func (log_cb, NULL, NULL);
  end_own ();
}

static void
begin (const uint8_t *bytes,
       size_t         n_bytes)
{
  world.script = (Script) { bytes, n_bytes };
  world.n_steps = world.mode = world.depth = 0;
  world.is_over = false;
  world.n_calls = world.n_pending = world.n_alive = 0;
  world.n_links = world.n_others = world.n_pools = 0;
  world.detached = -1;
  world.context = g_main_context_new ();
  g_main_context_push_thread_default (world.context);
}

static void
drop_all (void)
{
  drop_pools ();
  for (unsigned i = 0; i < MAX_PROCESSES; i++)
    g_clear_object (&world.processes[i]);
  for (unsigned i = 0; i < G_N_ELEMENTS (world.runtimes); i++)
    g_clear_object (&world.runtimes[i]);
}

static void
drop_context (void)
{
  g_main_context_pop_thread_default (world.context);
  g_clear_pointer (&world.context, g_main_context_unref);
}

/* Iterates the main context until all operations have returned and nothing is left. */
static void
come_to_rest (void)
{
  for (unsigned i = 0; world.n_pending > 0 || world.n_alive > 0 || _afork_atfork_has_hooks (); i++)
    {
      end_others ();
      world.depth++;
      g_main_context_iteration (world.context, FALSE);
      world.depth--;
      if (i > MAX_TURNS)
        die ("%u calls are never answered, %u objects are left, and %s", world.n_pending,
             world.n_alive, _afork_atfork_has_hooks () ? "more" : "nothing else");
    }
}

static void
clean_up (void)
{
  set_fd_limit (N_FDS);
  end_own ();

  end_others ();
  drop_all ();
  come_to_rest ();
  drop_context ();
  if (world.detached >= 0)
    close (world.detached);
  for (unsigned i = 0; i < N_CANCELLABLES; i++)
    g_clear_object (&world.cancellables[i]);

  close_own ();
}

/* From its first blocking call on, a thread keeps a main context. */
static void
make_blocking_context (AForkProcess *process)
{
  g_autoptr(GCancellable) cancelled = g_cancellable_new ();

  g_cancellable_cancel (cancelled);
  if (afork_process_wait (process, cancelled, NULL))
    die ("a wait that was cancelled has succeeded");
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  static bool is_set_up;

  if (!is_set_up)
    {
      set_up ();
      begin (NULL, 0);
      /* The first call makes what stays: a thread of GLib, with its descriptor. */
      make_process (0, 0);
      make_blocking_context (find_process (0));
      await_end (find_process (0), 0, false);
      hand_over (find_process (0), 0, 0);
      clean_up ();
    }
  is_set_up = true;

  /* A tool that looks for errors sometimes opens descriptors, too. */
  list_open (foreign, N_FDS);
  begin (bytes, n_bytes);
  while (do_next_step (false))
    ;

  clean_up ();
  check_fds ();
  return 0;
}
