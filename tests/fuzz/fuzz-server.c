/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The native server, all of it, and a caller that sends it right and wrong frames in any pieces and
 * with any descriptors, whose forks end when they like, and whom memory, descriptors and the system
 * fail. A script (script.h) is one life of the server in this process: a fork goes on as whichever
 * of the two the script says, and what would end the process ends the script.
 *
 * Whatever comes, the server must keep to its own side of the protocol; close nothing twice nor
 * what is not its own; touch no process but its children; never wait where nothing will come; and
 * give a function the items and descriptors that it is to have, and no others. */

#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include <afork/worker/afork-worker.h>
#include <afork/worker/fork.h>
#include <afork/worker/native.h>
#include <afork/worker/objects.h>
#include <afork/worker/serve.h>
#include <afork/worker/server-parts.h>

#include "script.h"
#include "server-world.h"

int  LLVMFuzzerTestOneInput    (const uint8_t *bytes,
                                size_t         n_bytes);
void __sanitizer_set_report_fd (void *fd) __attribute__ ((weak));

enum
{
  OP_FRAME,                     /* kind, descriptors more or fewer than named, and its fields */
  OP_TURN,                      /* what was put may arrive; all, or so many bytes of it */
  OP_RAW,                       /* bytes */
  OP_CORRUPT,                   /* place from the end, what to change */
  OP_STRAY,                     /* descriptors that no frame names */
  OP_FORK_AS,                   /* what the next fork is: see afork_fork() */
  OP_CHILD_ENDS,                /* which, whether somebody else reaps it, status */
  OP_FAIL,                      /* what, and after how many that go well; or all pidfds */
  OP_LIMIT,                     /* so many descriptors are left */
  OP_HANG_UP,                   /* the caller closes its end */
  OP_INTERRUPT,                 /* the next wait is interrupted */
  OP_LINK,                      /* whom the caller talks to from now on */
  N_OPS
};

static const ScriptOp ops[N_OPS] = {
  [OP_FRAME] = { "*9nssssss.", 40 },
  [OP_TURN] = { "n", 14 },
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
};

/* REQUIRE 7, CALL 9, ITEM_BYTES 10, ITEM_FDS 11, FORK 12, RUN 13, EXPECT 14, EXEC 15, LIFELINE 16,
 * DETACH 17, IDENTIFY 18, RUN_FUNC 19, MAP_FD 6. */
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
  "8,?;0,11,0,9;1;",
  "0,12,0,?;0,12,0,?;0,12,0,?;0,12,0,?;1;6,?,?,?;1;",
  NULL
};

const ScriptGrammar script_grammar = { ops, N_OPS, phrases };

/* The first call is named by the first words, so that scripts made by chance do something. */
const char * const script_words[] = {
  "", "echo", "run", "echo:run", "echo", "init", "take", "leave", "other", "other:run", ":run",
  "nothing:run", "/", "/nowhere", "HOME", "A=B", "/folder/echo.so", "/modules", NULL
};

/* The world. */

enum
{
  MAX_LINKS = 32,
  MAX_CHILDREN = 64,
  MAX_OUTPUT = 32 * 1024,
  MAX_PUT = 2 * 1024 * 1024,
  MAX_WAITS = 20000,
  N_FDS = 256,                  /* that the server may have */
  FIRST_OWN_FD = 512,           /* those of the world lie from here on … */
  FIRST_LASTING_FD = 1000,      /* … and those that outlast a script from here on */
  OWN_LIMIT = 2000,
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

static struct
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
  rlim_t   limit;               /* of descriptors, for the server */
  bool     is_own;              /* now it is another, for the world */
  bool     told;                /* HELLO has come */
  unsigned fail_in[2];          /* 0 if nothing fails */
  bool     has_no_pidfds;       /* the system */
  int      lifeline;
  bool     kept[N_FDS];         /* taken as items, and so a module's */
  bool     foreign[N_FDS];      /* descriptors that are not the server's */
  Link     links[MAX_LINKS];
  size_t   n_links;
  size_t   link;                /* whom the caller talks to */
  Child    children[MAX_CHILDREN];
  size_t   n_children;
  Memory   memory;
} world;

/* What is there before the first script. */
static int standard[3];
static int samples[N_SAMPLES];
static AForkNative pristine;
static char object_id[AFORK_OBJECT_ID_SIZE];
static uint64_t object_offset;

__attribute__ ((noreturn, format (printf, 1, 2))) static void
die (const char *format,
     ...)
{
  va_list arguments;

  va_start (arguments, format);
  vdprintf (standard[2], format, arguments);
  dprintf (standard[2], "\n");
  /* Whoever shows where this was needs some, too. */
  setrlimit (RLIMIT_NOFILE, &(struct rlimit) { 4096, 4096 });
  va_end (arguments);
  abort ();
}

/* Descriptors. */

static void
set_limit (rlim_t limit)
{
  struct rlimit files;

  getrlimit (RLIMIT_NOFILE, &files);
  files.rlim_cur = limit;
  if (setrlimit (RLIMIT_NOFILE, &files) < 0)
    die ("the limit of descriptors cannot be set: %s", strerror (errno));
}

/* Makes room in the descriptor table for what the world itself needs. Returns whether it had to. */
static bool
begin_own (void)
{
  if (world.is_own)
    return false;

  set_limit (OWN_LIMIT);
  world.is_own = true;
  return true;
}

/* The server goes on. */
static void
end_own (void)
{
  if (world.is_own)
    set_limit (world.limit);
  world.is_own = false;
}

/* Which of N_FDS descriptors are open. */
static void
list_open (bool *is_open)
{
  struct pollfd fds[N_FDS];
  /* The system does not look at more than there may be. */
  bool began = world.limit < N_FDS && begin_own ();

  for (int fd = 0; fd < N_FDS; fd++)
    fds[fd] = (struct pollfd) { .fd = fd };
  if (poll (fds, N_FDS, 0) < 0)
    die ("poll: %s", strerror (errno));
  for (int fd = 0; fd < N_FDS; fd++)
    is_open[fd] = (fds[fd].revents & POLLNVAL) == 0;
  if (began)
    end_own ();
}

static bool
is_server_fd (int fd)
{
  return fd >= 0 && fd < N_FDS && !world.foreign[fd] && (fcntl) (fd, F_GETFD) >= 0;
}

/* Moves FD to where no descriptor of the server is. */
static int
keep (int fd)
{
  int kept;

  begin_own ();
  kept = (fcntl) (fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
  if (kept < 0)
    die ("there are no descriptors left");
  (close) (fd);
  return kept;
}

static void
drop (int *fd)
{
  if (*fd >= 0)
    (close) (*fd);
  *fd = -1;
}

static bool
fails (int what)
{
  return world.fail_in[what] > 0 && --world.fail_in[what] == 0;
}

static bool
system_fails (int error)
{
  if (!fails (1))
    return false;

  errno = error;
  return true;
}

int
world_close (int fd)
{
  if (!is_server_fd (fd))
    die ("descriptor %d is closed, which is not open or not the server's", fd);
  world.kept[fd] = false;
  if (fd == world.lifeline)
    world.lifeline = -1;
  return (close) (fd);
}

int
world_close_range (unsigned first,
                   unsigned last,
                   int      flags)
{
  if (system_fails (ENOSYS))
    return -1;
  if (flags == CLOSE_RANGE_CLOEXEC)
    {
      for (unsigned fd = first; fd <= last && fd < N_FDS; fd++)
        if (is_server_fd ((int) fd))
          (fcntl) ((int) fd, F_SETFD, FD_CLOEXEC);
      return 0;
    }

  for (unsigned fd = first; fd <= last; fd++)
    world_close ((int) fd);
  return 0;
}

/* A fork that is to be the worker waits for the byte that the one that stays sends it. Only one of
 * the two comes to be here, so there is none in fact. */
ssize_t
world_read (int     fd,
            void   *bytes,
            size_t  n_bytes)
{
  if (!is_server_fd (fd) || n_bytes != 1)
    die ("%zu bytes are read from descriptor %d", n_bytes, fd);
  memset (bytes, 0, n_bytes);
  return fails (1) ? 0 : 1;
}

ssize_t
world_send (int         fd,
            const void *bytes,
            size_t      n_bytes,
            int         flags)
{
  (void) bytes, (void) flags;
  if (!is_server_fd (fd) || n_bytes != 1)
    die ("%zu bytes are sent to descriptor %d", n_bytes, fd);
  return 1;
}

int
world_dup2 (int fd,
            int target)
{
  if (!is_server_fd (fd))
    die ("descriptor %d is copied, which is not open or not the server's", fd);
  if (system_fails (EBADF))
    return world.copy_failed = true, -1;
  if (target >= 0 && target <= STDERR_FILENO)
    world.standard_changed = true;
  else if (target >= 0 && target < N_FDS && world.foreign[target])
    return world.copy_failed = true, errno = EBUSY, -1;
  if ((dup2) (fd, target) < 0)
    return world.copy_failed = true, -1;
  return target;
}

int
world_fcntl (int fd,
             int command,
             ...)
{
  va_list arguments;
  int argument;
  int result;

  va_start (arguments, command);
  argument = va_arg (arguments, int);
  va_end (arguments);

  /* All that there may be are changed where the system cannot change many at once. */
  if (command == F_SETFD && !is_server_fd (fd))
    return errno = EBADF, -1;
  if (fd >= 0 && !is_server_fd (fd))
    die ("descriptor %d is changed, which is not open or not the server's", fd);
  switch (command)
    {
    case F_SETSIG:
      if (system_fails (EINVAL))
        return -1;
      world.lifeline = fd;
      return 0;
    case F_SETOWN:
    case F_SETFL:
      return 0;
    case F_DUPFD_CLOEXEC:
      if (system_fails (EMFILE))
        return -1;
      result = (fcntl) (fd, command, argument);
      if (result >= 0 && fd == world.lifeline)
        world.lifeline = result;
      return result;
    default:
      return (fcntl) (fd, command, argument);
    }
}

static Link *add_link (int  server_end,
                       int  callers_end,
                       bool is_fork);

/* For the reports of a process that stays behind. The caller gets the other end from the worker,
 * which is a fork; where that does not come to be here, it has it all the same. */
int
world_socketpair (int  domain,
                  int  type,
                  int  protocol,
                  int *fds)
{
  if (world.n_links == MAX_LINKS || system_fails (EMFILE))
    return errno = EMFILE, -1;
  if ((socketpair) (domain, type, protocol, fds) < 0)
    return -1;

  begin_own ();
  add_link (fds[0], (fcntl) (fds[1], F_DUPFD_CLOEXEC, FIRST_OWN_FD), false);
  end_own ();
  return 0;
}

/* Memory. All that a server allocates is its process's until that ends. */

static void *
track (Memory *memory,
       size_t  size)
{
  if (memory == NULL)
    return NULL;

  memory->size = size;
  memory->previous = &world.memory;
  memory->next = world.memory.next;
  world.memory.next->previous = memory;
  world.memory.next = memory;
  return memory + 1;
}

static Memory *
untrack (void *bytes)
{
  Memory *memory = (Memory *) bytes - 1;

  memory->previous->next = memory->next;
  memory->next->previous = memory->previous;
  return memory;
}

void *
world_malloc (size_t size)
{
  if (fails (0))
    return errno = ENOMEM, NULL;
  return track (malloc (sizeof (Memory) + size), size);
}

void *
world_calloc (size_t n,
              size_t size)
{
  void *bytes;

  if (n > 0 && size > SIZE_MAX / 2 / n)
    return errno = ENOMEM, NULL;
  bytes = world_malloc (n * size);
  return bytes != NULL ? memset (bytes, 0, n * size) : NULL;
}

/* Always moves. */
void *
world_realloc (void   *bytes,
               size_t  size)
{
  void *moved = world_malloc (size);

  if (moved != NULL && bytes != NULL)
    {
      size_t old = ((Memory *) bytes - 1)->size;

      memcpy (moved, bytes, old < size ? old : size);
      free (untrack (bytes));
    }
  return moved;
}

char *
world_strdup (const char *string)
{
  size_t size = strlen (string) + 1;
  char *copy = world_malloc (size);

  return copy != NULL ? memcpy (copy, string, size) : NULL;
}

void
world_free (void *bytes)
{
  if (bytes != NULL)
    free (untrack (bytes));
}

/* The caller. */

static Link *
add_link (int  server_end,
          int  callers_end,
          bool is_fork)
{
  Link *link = &world.links[world.n_links++];
  struct stat status;

  if ((fstat) (server_end, &status) < 0)
    die ("fstat: %s", strerror (errno));
  link->fd = callers_end;
  link->other = status.st_ino;
  link->n_due = 0;
  link->n_output = 0;
  link->n_output_fds = 0;
  link->is_fork = is_fork;
  link->heard = link->ready = link->gave_up = link->raw = false;
  return link;
}

static Link *
find_link (int server_end)
{
  struct stat status;

  if (!is_server_fd (server_end) || (fstat) (server_end, &status) < 0)
    return NULL;
  for (size_t i = 0; i < world.n_links; i++)
    if (world.links[i].other == status.st_ino)
      return &world.links[i];

  return NULL;
}

static void
hang_up (Link *link)
{
  drop (&link->fd);
  outbox_clear (&link->outbox);
  link->n_due = 0;
}

static void
hang_up_all (void)
{
  for (size_t i = 0; i < world.n_links; i++)
    hang_up (&world.links[i]);
  world.hung_up = true;
}

static void
deliver (Link *link)
{
  size_t n_before = link->outbox.n_bytes;

  if (link->fd < 0 || link->n_due == 0)
    return;

  outbox_send (&link->outbox, link->fd, link->n_due);
  link->n_due -= n_before - link->outbox.n_bytes;
}

/* A socket for a fork, or one that tells how executing a program went: the end that the server
 * gets, which is closed here with all the rest. */
static int
make_socket (bool is_fork)
{
  int ends[2];

  if (world.n_links == MAX_LINKS)
    return -1;
  begin_own ();
  if ((socketpair) (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("socketpair: %s", strerror (errno));

  ends[0] = keep (ends[0]);
  add_link (ends[0], keep (ends[1]), is_fork);
  return ends[0];
}

/* Descriptors for a frame of KIND that has NUMBER, or for none. */
static void
add_fds (Link     *link,
         unsigned  n_fds,
         unsigned  kind,
         uint32_t  number)
{
  const bool is_fork = kind == AFORK_FRAME_FORK;
  /* The first sample has ended, and who hangs on that is killed. */
  const unsigned first = kind == AFORK_FRAME_LIFELINE && number == 0 ? 1 : 0;

  for (unsigned i = 0; i < n_fds; i++)
    {
      int fd = i == 0 && (is_fork || kind == AFORK_FRAME_EXEC) ? make_socket (is_fork) : -1;

      outbox_add_fd (&link->outbox, fd >= 0 ? fd : samples[(first + i) % N_SAMPLES]);
    }
}

static void
put_frame (Link *link,
           Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_FRAME_HELLO, AFORK_FRAME_BORN, AFORK_FRAME_READY, AFORK_FRAME_ERROR,
    AFORK_FRAME_FORK_FAILED, AFORK_FRAME_EXITED,
  };
  uint8_t kind = (uint8_t) (step_take (step) % (AFORK_FRAME_RUN_FUNC + 2));
  uint8_t delta = step_take (step);
  uint32_t number = step_take_number (step);
  AForkFrame frame = { .kind = kind, .number = { number, 0 } };
  unsigned n_fds = 0;

  switch (kind)
    {
    case 0:
    case AFORK_FRAME_RUN_FUNC + 1:
      frame.kind = kinds[number % sizeof kinds];
      frame.string[0] = "";
      break;
    case AFORK_FRAME_ITEM_FDS:
      n_fds = number % AFORK_FRAME_MAX_FDS + 1;
      break;
    case AFORK_FRAME_MAP_FD:
    case AFORK_FRAME_FORK:
    case AFORK_FRAME_EXEC:
    case AFORK_FRAME_LIFELINE:
      n_fds = 1;
      break;
    case AFORK_FRAME_ITEM_BYTES:
      frame.flags = number & AFORK_FRAME_MORE;
      break;
    case AFORK_FRAME_RUN_FUNC:
      if ((number & 1) != 0)
        {
          frame.string[0] = object_id;
          frame.number[0] = (uint32_t) object_offset;
          frame.number[1] = (uint32_t) (object_offset >> 32);
        }
      break;
    default:
      break;
    }

  frame.n_fds = (uint16_t) n_fds;
  if (link->outbox.n_bytes < MAX_PUT)
    outbox_add_frame (&link->outbox, &frame, step);
  add_fds (link, delta == 7 && n_fds > 0 ? n_fds - 1 : delta == 8 ? n_fds + 1 : n_fds,
           kind, number);
}

static void
corrupt (Link    *link,
         uint32_t place,
         uint8_t  change)
{
  if (link->outbox.n_bytes > 0)
    link->outbox.bytes[link->outbox.n_bytes - 1 - place % link->outbox.n_bytes] ^= change;
}

static void
end_child (Child *child,
           bool   stolen,
           int    status)
{
  uint64_t one = 1;

  if (child->state != ALIVE)
    return;

  child->state = ZOMBIE;
  child->stolen = stolen;
  child->status = status;
  if (child->event >= 0 && write (child->event, &one, sizeof one) < 0)
    die ("write: %s", strerror (errno));
}

static void
end_nth_child (unsigned n,
               bool     stolen,
               int      status)
{
  for (size_t i = 0; i < world.n_children; i++)
    if (world.children[i].state == ALIVE && world.children[i].ours && n-- == 0)
      {
        end_child (&world.children[i], stolen, status);
        return;
      }
}

static void
limit_fds (unsigned n_left)
{
  bool is_open[N_FDS];
  rlim_t limit = 3;

  list_open (is_open);
  while (limit < N_FDS && (is_open[limit] || n_left-- > 0))
    limit++;
  begin_own ();
  world.limit = limit;
}

/* Lets what was put arrive, or so much of it. */
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
    case OP_TURN:
      let_arrive (step_take_number (step));
      return false;
    case OP_RAW:
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
    default:
      world.link = step_take (step) % world.n_links;
      return true;
    }
}

/* Does the steps up to the next turn. False if there was none. */
static bool
turn (void)
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

/* What the server says. */

static void
check_exited (const AForkFrame *frame)
{
  for (size_t i = 0; i < world.n_children; i++)
    if ((uint32_t) world.children[i].pid == frame->exit.pid)
      {
        Child *child = &world.children[i];

        if (child->state != REAPED || child->reported)
          die ("the end of child %d is reported, which lives or was reported", (int) child->pid);
        child->reported = true;
        return;
      }

  die ("the end of process %u is reported, which is no child", frame->exit.pid);
}

static void
check_frame (Link             *link,
             const AForkFrame *frame)
{
  const bool is_report = frame->kind == AFORK_FRAME_EXITED;

  if (frame->n_fds > link->n_output_fds)
    die ("the server sends %s without its descriptors", afork_frame_kind_name (frame->kind));
  link->n_output_fds -= frame->n_fds;

  if (link->raw)
    die ("the server sends %s where a function has the socket",
         afork_frame_kind_name (frame->kind));
  if (link->gave_up && !is_report)
    die ("the server sends %s when it has given up", afork_frame_kind_name (frame->kind));
  if (!world.told && frame->kind != AFORK_FRAME_HELLO)
    die ("the server sends %s before HELLO", afork_frame_kind_name (frame->kind));

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_HELLO:
      if (world.told || strcmp (frame->string[0], AFORK_WIRE_MAGIC) != 0
          || frame->number[0] != AFORK_WIRE_VERSION)
        die ("the server sends HELLO twice, or a wrong one");
      world.told = true;
      break;
    case AFORK_FRAME_ERROR:
      if (frame->number[0] > AFORK_WIRE_ERROR_SPAWN)
        die ("the server sends an error %u, which there is not", frame->number[0]);
      link->gave_up = true;
      break;
    case AFORK_FRAME_BORN:
    case AFORK_FRAME_READY:
      if (frame->kind == AFORK_FRAME_READY && world.copy_failed)
        die ("the server sends READY where a descriptor could not be mapped");
      if (frame->kind == AFORK_FRAME_READY && link->is_fork && !link->heard && frame->n_fds == 0)
        die ("a fork sends READY first, and no pidfd");
      break;
    case AFORK_FRAME_FORK_FAILED:
      break;
    case AFORK_FRAME_EXITED:
      check_exited (frame);
      break;
    default:
      die ("the server sends %s", afork_frame_kind_name (frame->kind));
    }

  link->heard = true;
  link->ready = frame->kind == AFORK_FRAME_READY;
}

static void
count_fds (Link          *link,
           struct msghdr *message)
{
  for (struct cmsghdr *control = CMSG_FIRSTHDR (message);
       control != NULL;
       control = CMSG_NXTHDR (message, control))
    {
      size_t n_fds = (control->cmsg_len - CMSG_LEN (0)) / sizeof (int);

      for (size_t i = 0; i < n_fds; i++)
        {
          int fd;

          memcpy (&fd, CMSG_DATA (control) + i * sizeof fd, sizeof fd);
          (close) (fd);
        }
      link->n_output_fds += n_fds;
    }
}

static bool
read_output (Link *link)
{
  char control[CMSG_SPACE (8 * sizeof (int))];
  struct iovec vector = { link->output + link->n_output, MAX_OUTPUT - link->n_output };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes = (recvmsg) (link->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  if (n_bytes <= 0)
    return false;

  count_fds (link, &message);
  link->n_output += (size_t) n_bytes;
  return true;
}

/* Takes what the server has sent, and looks whether it is right. */
static void
check_output (Link *link)
{
  AForkFrameResult result;
  AForkFrame frame;
  const char *why;
  size_t size, start;

  if (link->fd < 0 || link->raw)
    return;

  while (read_output (link))
    {
      start = 0;
      while ((result = afork_frame_parse (link->output + start, link->n_output - start,
                                          &frame, &size, &why)) == AFORK_FRAME_OK)
        {
          check_frame (link, &frame);
          start += size;
        }
      if (result == AFORK_FRAME_INVALID)
        die ("the server sends nonsense: %s", why);
      link->n_output -= start;
      memmove (link->output, link->output + start, link->n_output);
    }
}

/* Receiving and sending. */

static void
count_wait (void)
{
  if (++world.n_waits > MAX_WAITS)
    die ("the server waits again and again, and never ends");
}

ssize_t
world_recvmsg (int            socket,
               struct msghdr *message,
               int            flags)
{
  const size_t room = message->msg_controllen;
  Link *link = find_link (socket);
  ssize_t n_bytes;

  if (!is_server_fd (socket))
    die ("the server reads from descriptor %d, which is not open or not its own", socket);
  if (link == NULL)
    {
      /* The caller has sent what is no socket where one is to be. */
      n_bytes = (recvmsg) (socket, message, flags | MSG_DONTWAIT);
      count_wait ();
      if (n_bytes < 0 && errno == EAGAIN)
        die ("the server reads what will never come");
      return n_bytes;
    }
  world.link = (size_t) (link - world.links);

  for (bool first = true;; first = false)
    {
      count_wait ();
      if (world.interrupted)
        {
          world.interrupted = false;
          return errno = EINTR, -1;
        }

      if (first && (flags & MSG_DONTWAIT) != 0)
        turn ();
      deliver (link);
      message->msg_controllen = room;
      n_bytes = (recvmsg) (socket, message, flags | MSG_DONTWAIT);
      if (n_bytes >= 0 || errno != EAGAIN || (flags & MSG_DONTWAIT) != 0)
        return n_bytes;
      /* Too many descriptors are on their way. */
      if (link->n_due > 0)
        hang_up (link);
      if (!turn ())
        hang_up_all ();
    }
}

ssize_t
world_sendmsg (int                  socket,
               const struct msghdr *message,
               int                  flags)
{
  Link *link = find_link (socket);
  ssize_t n_sent;

  count_wait ();
  n_sent = (sendmsg) (socket, message, flags | MSG_DONTWAIT);
  if (n_sent < 0 && errno == EAGAIN && link != NULL)
    die ("the caller reads all there is, and there is no room");
  if (n_sent < 0 && errno == EAGAIN)
    return errno = EPIPE, -1;
  if (link != NULL)
    {
      if (message->msg_control != NULL)
        begin_own ();
      check_output (link);
      end_own ();
    }
  return n_sent;
}

int
world_epoll_create (int flags)
{
  return system_fails (EMFILE) ? -1 : (epoll_create1) (flags);
}

int
world_epoll_ctl (int                 epoll,
                 int                 op,
                 int                 fd,
                 struct epoll_event *event)
{
  if (op == EPOLL_CTL_ADD && system_fails (ENOSPC))
    return -1;
  return (epoll_ctl) (epoll, op, fd, event);
}

static bool
end_children (void)
{
  bool any = false;

  for (size_t i = 0; i < world.n_children; i++)
    if (world.children[i].ours && world.children[i].state == ALIVE)
      {
        end_child (&world.children[i], false, 9);
        any = true;
      }

  return any;
}

int
world_epoll_wait (int                 epoll,
                  struct epoll_event *events,
                  int                 max_events,
                  int                 timeout)
{
  for (;;)
    {
      int n_events;

      count_wait ();
      if (world.interrupted)
        {
          world.interrupted = false;
          return errno = EINTR, -1;
        }

      for (size_t i = 0; i < world.n_links; i++)
        deliver (&world.links[i]);
      n_events = (epoll_wait) (epoll, events, max_events, 0);
      if (n_events != 0)
        return n_events;
      if (turn ())
        ;
      else if (!world.hung_up)
        hang_up_all ();
      else if (!end_children () && timeout < 0)
        die ("the server waits for what will never come");
      if (timeout >= 0)
        return 0;
    }
}

/* Processes. */

static Child *
find_child (pid_t pid)
{
  for (size_t i = 0; i < world.n_children; i++)
    if (world.children[i].pid == pid && world.children[i].ours
        && world.children[i].state != REAPED)
      return &world.children[i];

  die ("process %d is touched, which is no child, or was reaped", (int) pid);
}

/* A fork, of which the script says whether it goes on as the parent, as the child, or not. */
pid_t
afork_fork (void)
{
  unsigned as = world.next_fork;
  Child *child;

  world.next_fork = 0;
  if (as == 2 || world.n_children == MAX_CHILDREN)
    return errno = EAGAIN, -1;
  if (as == 1)
    {
      for (size_t i = 0; i < world.n_children; i++)
        world.children[i].ours = false;
      return 0;
    }

  child = &world.children[world.n_children++];
  *child = (Child) {
    .pid = 100000 + (pid_t) world.n_children,
    .ours = true,
    .event = -1,
  };
  return child->pid;
}

static int
open_pidfd (pid_t pid)
{
  Child *child;
  int fd;

  if (world.has_no_pidfds)
    return errno = ENOSYS, -1;
  if (system_fails (EMFILE))
    return -1;
  fd = eventfd (0, EFD_CLOEXEC);
  if (fd < 0 || pid == getpid ())
    return fd;

  child = find_child (pid);
  begin_own ();
  drop (&child->event);
  child->event = (fcntl) (fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
  end_own ();
  if (child->state != ALIVE)
    {
      child->state = ALIVE;
      end_child (child, child->stolen, child->status);
    }
  return fd;
}

long
world_syscall (long number,
               ...)
{
  va_list arguments;
  int first, last;

  va_start (arguments, number);
  first = va_arg (arguments, int);
  last = number == SYS_close_range ? va_arg (arguments, int) : 0;
  va_end (arguments);

  switch (number)
    {
    case SYS_pidfd_open:
      return open_pidfd ((pid_t) first);
    case SYS_close:
      return world_close (first);
    case SYS_close_range:
      return world_close_range ((unsigned) first, (unsigned) last, 0);
    case SYS_rt_sigaction:
      return 0;
    default:
      die ("system call %ld is not expected", number);
    }
}

int
world_kill (pid_t pid,
            int   signal)
{
  struct pollfd pipe = { .fd = world.lifeline, .events = POLLIN };

  if (pid == 0)
    {
      if (signal != SIGKILL || world.lifeline < 0 || poll (&pipe, 1, 0) == 0)
        die ("the process group is killed, and the lifeline has not ended");
      longjmp (world.end, 1);
    }

  end_child (find_child (pid), false, signal);
  return 0;
}

pid_t
world_wait4 (pid_t          pid,
             int           *status,
             int            options,
             struct rusage *usage)
{
  Child *child = find_child (pid);

  if (child->state == ALIVE && (options & WNOHANG) == 0)
    die ("child %d is waited for, which lives", (int) pid);
  if (child->state == ALIVE)
    return 0;

  child->state = REAPED;
  if (child->stolen)
    return errno = ECHILD, -1;
  if (status != NULL)
    *status = child->status;
  if (usage != NULL)
    usage->ru_maxrss = 1;
  return pid;
}

pid_t
world_setsid (void)
{
  return system_fails (EPERM) ? -1 : 1;
}

/* Whether every descriptor that is open is one that a function or a program is to have. */
static void
check_fds (int              socket,
           const AForkItem *items,
           size_t           n_items)
{
  bool is_open[N_FDS];

  list_open (is_open);
  for (int fd = STDERR_FILENO + 1; fd < N_FDS; fd++)
    {
      bool is_item = false;

      if (!is_open[fd] || world.foreign[fd] || world.kept[fd] || fd == socket
          || fd == world.lifeline || ((fcntl) (fd, F_GETFD) & FD_CLOEXEC) == 0)
        continue;

      for (size_t i = 0; i < n_items; i++)
        is_item |= items[i].kind == AFORK_ITEM_FD && items[i].fd == fd;
      if (!is_item)
        die ("descriptor %d is open, and is nothing that was sent", fd);
    }
}

/* So that a tool sees where there is nothing to be read. */
static void
look_at (const char *bytes,
         size_t      n_bytes)
{
  static volatile char seen;

  for (size_t i = 0; i < n_bytes; i++)
    seen = bytes[i];
  (void) seen;
}

static void
check_items (const AForkItem *items,
             size_t           n_items)
{
  for (size_t i = 0; i < n_items; i++)
    {
      const AForkItem *item = &items[i];

      if (item->kind == AFORK_ITEM_FD)
        {
          if (!is_server_fd (item->fd) || ((fcntl) (item->fd, F_GETFD) & FD_CLOEXEC) == 0
              || item->data != NULL || item->size != 0)
            die ("an item is no descriptor that is to be one");
          continue;
        }

      look_at (item->data, item->size);
      if (item->fd != -1 || item->data[item->size] != '\0')
        die ("an item has no end");
    }
}

/* The function, or the program, has the socket now. The caller must have been told. */
static void
hand_over (int socket)
{
  Link *link = find_link (socket);

  if (link == NULL)
    die ("the socket is no link");
  check_output (link);
  if (link->fd >= 0 && !link->ready)
    die ("a function is entered, and the caller has not been told");
  link->raw = true;
  for (size_t i = 0; i < world.n_children; i++)
    if (world.children[i].ours && world.children[i].state != REAPED)
      die ("a function is entered in a process that has forks");
}

int
world_execvp (const char  *file,
              char       **argv)
{
  if (file == NULL || argv[0] == NULL)
    die ("a program is executed that has no name");
  if ((fcntl) (STDIN_FILENO, F_GETFD) < 0 || (fcntl) (STDOUT_FILENO, F_GETFD) < 0)
    die ("a program is executed that has no standard input or output");
  if (world.lifeline >= 0 && ((fcntl) (world.lifeline, F_GETFD) & FD_CLOEXEC) != 0)
    die ("a program is executed that does not have the lifeline");
  for (int fd = STDERR_FILENO + 1; fd < N_FDS; fd++)
    if (is_server_fd (fd) && fd != world.lifeline && !afork_server_is_mapped (fd)
        && ((fcntl) (fd, F_GETFD) & FD_CLOEXEC) == 0)
      die ("a program is executed that has descriptor %d, which nobody has mapped", fd);
  if (strcmp (file, "run") != 0)
    return errno = ENOENT, -1;

  longjmp (world.end, 1);
}

void
world_exit (int status)
{
  (void) status;
  longjmp (world.end, 1);
}

void
world_quick_exit (int status)
{
  world_exit (status);
}

/* What the process is. */

int
world_setenv (const char *name,
              const char *value,
              int         overwrite)
{
  (void) overwrite;
  if (*name == '\0' || strchr (name, '=') != NULL)
    return errno = EINVAL, -1;
  return strlen (value) > 20000 || system_fails (ENOMEM) ? -1 : 0;
}

int
world_unsetenv (const char *name)
{
  return *name == '\0' || strchr (name, '=') != NULL ? errno = EINVAL, -1 : 0;
}

int
world_chdir (const char *path)
{
  return strcmp (path, "/") == 0 ? 0 : (errno = ENOENT, -1);
}

/* The folder of the threads has one link more for each. */
int
world_stat (const char  *path,
            struct stat *status)
{
  (void) path;
  status->st_nlink = world.next_fork == 3 ? 4 : 3;
  return 0;
}

DIR *
world_opendir (const char *path)
{
  (void) path;
  world.next_fork = 0;
  errno = EACCES;
  return NULL;
}

/* Modules. */

int
world_access (const char *path,
              int         mode)
{
  (void) mode;
  return strstr (path, "echo") != NULL ? 0 : (errno = ENOENT, -1);
}

void *
world_dlopen (const char *path,
              int         flags)
{
  (void) flags;
  return strstr (path, "echo") != NULL || strstr (path, "other") != NULL ? samples : NULL;
}

static void
run (int              socket,
     const AForkItem *items,
     size_t           n_items)
{
  size_t n_more = 1;

  hand_over (socket);
  check_items (items, n_items);
  check_fds (socket, items, n_items);
  if (afork_worker_take_items (&n_more) != NULL || n_more != 0)
    die ("there are items left when a function has got them");
  if ((send) (socket, "raw", 3, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
    die ("the socket is none");
}

static void
init (int                 argc,
      const char * const *argv)
{
  for (int i = 0; i < argc; i++)
    look_at (argv[i], strlen (argv[i]));
  if (argv[argc] != NULL)
    die ("the arguments have no end");
}

static void
take (int                 argc,
      const char * const *argv)
{
  size_t n_items;
  const AForkItem *items = afork_worker_take_items (&n_items);

  init (argc, argv);
  check_items (items, n_items);
  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_FD)
      world.kept[items[i].fd] = true;
}

static void
leave (int                 argc,
       const char * const *argv)
{
  init (argc, argv);
  world_exit (argc);
}

void *
world_dlsym (void       *handle,
             const char *symbol)
{
  (void) handle;
  if (strcmp (symbol, "run") == 0)
    return world.calls ? NULL : (void *) run;
  if (!world.calls)
    return NULL;
  if (strcmp (symbol, "init") == 0)
    return (void *) init;
  if (strcmp (symbol, "take") == 0)
    return (void *) take;
  if (strcmp (symbol, "leave") == 0)
    return (void *) leave;
  return NULL;
}

/* What a function is, is between a caller and its modules: here, none is taken for another. */
static bool
call (void               *data,
      const char         *function,
      int                 argc,
      const char * const *argv,
      AForkFailure       *failure)
{
  bool done;

  world.calls = true;
  done = afork_native_runtime.call (data, function, argc, argv, failure);
  world.calls = false;
  return done;
}

/* A damaged offset may lead anywhere at all. */
static bool
find_address (void          *data,
              const char    *name,
              const char    *object,
              uint64_t       offset,
              void         **found,
              AForkFailure  *failure)
{
  bool is_found = afork_native_runtime.find_address (data, name, object, offset, found, failure);

  *found = (void *) run;
  return is_found;
}

/* A script. */

static void
set_up (void)
{
  static int pipe_ends[2];

  set_limit (OWN_LIMIT);
  for (int fd = 0; fd < 3; fd++)
    standard[fd] = (fcntl) (fd, F_DUPFD_CLOEXEC, FIRST_LASTING_FD);
  for (int i = 0; i < N_SAMPLES; i++)
    {
      if (pipe2 (pipe_ends, O_CLOEXEC) < 0)
        abort ();
      samples[i] = (fcntl) (pipe_ends[0], F_DUPFD_CLOEXEC, FIRST_LASTING_FD);
      /* The first has ended. */
      if (i > 0)
        (fcntl) (pipe_ends[1], F_DUPFD_CLOEXEC, FIRST_LASTING_FD);
      (close) (pipe_ends[0]);
      (close) (pipe_ends[1]);
    }
  set_limit (N_FDS);
  world.limit = N_FDS;

  if (__sanitizer_set_report_fd != NULL)
    __sanitizer_set_report_fd ((void *) (intptr_t) standard[2]);
  afork_native_init (&pristine);
  if (!afork_object_describe ((void *) run, object_id, &object_offset))
    *object_id = '\0';
}

static void
begin (const uint8_t *bytes,
       size_t         n_bytes)
{
  world.script = (Script) { bytes, n_bytes };
  world.hung_up = world.interrupted = world.calls = world.standard_changed = world.told = false;
  world.copy_failed = false;
  world.has_no_pidfds = false;
  world.n_waits = world.next_fork = world.fail_in[0] = world.fail_in[1] = 0;
  world.lifeline = -1;
  memset (world.kept, 0, sizeof world.kept);
  world.n_links = world.link = world.n_children = 0;
  world.memory.next = world.memory.previous = &world.memory;
  /* What looks for faults opens some, too, now and then. */
  list_open (world.foreign);
}

/* Closes all that was not open before, and gives back what the server had. */
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
  (close_range) (FIRST_OWN_FD, FIRST_LASTING_FD - 1, 0);
  world.limit = N_FDS;
  world.is_own = true;
  end_own ();
  while (world.memory.next != &world.memory)
    free (untrack (world.memory.next + 1));
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

  if (!is_set_up)
    set_up ();
  is_set_up = true;

  begin (bytes, n_bytes);
  memset (&afork_server, 0, sizeof afork_server);
  native = pristine;
  runtime = afork_native_runtime;
  runtime.call = call;
  runtime.find_address = find_address;
  if ((socketpair) (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("socketpair: %s", strerror (errno));
  add_link (ends[0], keep (ends[1]), false);
  end_own ();

  if (setjmp (world.end) == 0)
    afork_serve (ends[0], false, &runtime, &native);

  clean_up ();
  return 0;
}
