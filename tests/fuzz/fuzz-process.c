/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The caller's side, all of it but the execution of programs: AForkProcess objects whose other ends
 * are in the hands of a script (script.h). That makes and prepares processes, forks, runs, waits
 * for, signals, cancels and drops them, and at the other ends answers as a server would, or sends
 * what no server would: frames out of place, damaged or cut, other processes' pidfds and what is
 * none, too many descriptors or too few. Processes there are none: a pipe stands for one, and the
 * end that is read is its pidfd, for it becomes readable and is hung up as that does.
 *
 * Whatever comes, every call must be answered once; nothing may be left when all is over; no
 * warning may come from GLib; and no signal may go to a process but to one that the library has
 * made, or that has proved which one it is. */

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <afork/afork.h>
#include <afork/afork-belonging-private.h>
#include <afork/afork-spawn-private.h>

#include "process-world.h"
#include "script.h"

int  LLVMFuzzerTestOneInput    (const uint8_t *bytes,
                                size_t         n_bytes);
void __sanitizer_set_report_fd (void *fd) __attribute__ ((weak));

enum
{
  OP_NEW,                       /* how, of which process or descriptor */
  OP_PREPARE,                   /* which, how, and with what */
  OP_HAND_OVER,                 /* which, how, with which cancellable */
  OP_WAIT,                      /* for which, with which cancellable, blocking or not */
  OP_CANCEL,                    /* which cancellable */
  OP_DROP,                      /* which process */
  OP_SIGNAL,                    /* which process, what */
  OP_TURN,                      /* the main context, how often at most */
  OP_MODE,                      /* how the world is from now on */
  OP_LIMIT,                     /* so many descriptors are left */
  /* From here on, what is done at other ends: while a blocking call waits, nothing else is. */
  OP_SERVE,                     /* which link: what a server would do now */
  OP_ANSWER,                    /* which link, kind, descriptors, number, and strings */
  OP_SEND,                      /* which link, and how much of what was put there */
  OP_CORRUPT,                   /* which link, place from the end, what to change */
  OP_RAW,                       /* which link, bytes */
  OP_STRAY,                     /* which link, descriptors */
  OP_READ,                      /* which link */
  OP_CLOSE,                     /* which link, how */
  OP_END,                       /* which process, how it ends; and whether it is reaped */
  N_OPS
};

static const ScriptOp ops[N_OPS] = {
  [OP_NEW] = { "76", 10 },
  [OP_PREPARE] = { "6*ns", 6 },
  [OP_HAND_OVER] = { "66*", 10 },
  [OP_WAIT] = { "6*4", 5 },
  [OP_CANCEL] = { "4", 3 },
  [OP_DROP] = { "6", 5 },
  [OP_SIGNAL] = { "64", 4 },
  [OP_TURN] = { "8", 14 },
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
};

static const char * const phrases[] = {
  /* One that is executed, and run. */
  "0,0;7,3;10,0;7,3;2,0,0,0;7,3;10,0;7,3;",
  "0,0;2,0,0,0;7,3;10,0;10,0;7,3;8,?;18,0,0,0;7,3;",
  /* A template, a fork of it, which is run; its end is reported. */
  "0,0;7,3;10,0;7,3;0,2,0;2,1,0,0;7,3;10,0;10,1;10,1;7,3;18,1,0,1;11,0,5,0,0;12,0,0;7,3;",
  "0,0;0,2,0;0,2,0;7,3;10,0;10,1;10,2;7,3;",
  "0,2,0;7,3;10,?;10,?;7,3;",
  /* Executing a program; detaching; and taking over. */
  "2,?,1,0;7,3;10,?;7,3;10,?;7,3;",
  "2,?,2,0;7,3;10,?;7,3;0,4,0;7,3;10,?;10,?;7,3;",
  "0,3;7,3;10,0;7,3;2,0,0,0;7,3;10,0;7,3;",
  /* Ends of all kinds, and waiting for them. */
  "3,?,0,0;18,?,?,0;7,3;18,?,0,1;7,3;",
  "3,?,0,1;", "2,?,3,0;", "4,?;7,2;", "5,?;7,3;", "17,?,0;7,3;", "6,?,?;7,1;",
  "11,?,1,?,?;12,?,0;7,2;", "11,?,2,?,?;12,?,0;7,2;", "11,?,3,?,?;12,?,0;7,2;",
  "11,?,4,?,?;12,?,0;7,2;", "11,?,5,?,?;12,?,0;7,2;", "13,?,?,?;12,?,0;7,2;",
  "1,?,11,2;8,4;7,4;",
  NULL
};

const ScriptGrammar script_grammar = { ops, N_OPS, phrases };

const char * const script_words[] = {
  "", "echo", AFORK_WIRE_MAGIC, "It \xff\xfe failed", "%s%n", "It failed",
  "a text of some length, as one that says what has failed may well have", NULL
};

enum
{
  MAX_PROCESSES = 12,
  MAX_CALLS = 64,
  MAX_LINKS = 32,
  MAX_OTHERS = 48,
  MAX_RECEIVED = 256 * 1024,
  MAX_PUT = 512 * 1024,
  MAX_STEPS = 400,
  MAX_TURNS = 5000,
  N_CANCELLABLES = 4,
  N_FDS = 128,                  /* that the library may have */
  FIRST_OWN_FD = 256,           /* those of the world lie from here on … */
  FIRST_LASTING_FD = 700,       /* … and those that outlast a script from here on */
  OWN_LIMIT = 1000,
  FIRST_PID = 4000000           /* no process has such a number */
};

/* A process at the other end. */
typedef struct
{
  GPid     pid;
  bool     is_child;            /* the library has made it, and reaps it */
  bool     is_stranger;         /* a worker only pretends to be it */
  bool     has_ended;
  bool     is_reaped;
  bool     is_exposed;          /* a pidfd of it is in the library's hands */
  int      wait_status;
  int      pidfd;
  int      pipe;                /* what makes the pidfd readable */
  ino_t    inode;
} Other;

/* The other end of a channel. */
typedef struct
{
  int      fd;                  /* -1 if closed */
  Other   *other;               /* whose it is, or NULL so far */
  bool     greets;              /* it was executed */
  bool     is_fork;
  bool     heard;
  bool     is_outcome;
  AForkFrameKind last;          /* command that was read */
  Outbox   outbox;
  uint8_t *input;
  size_t   n_input;
  int      fds[64];             /* that came, and no frame has taken */
  size_t   n_fds;
  uint32_t last_number;         /* of its forks */
  uint32_t number;              /* as the template of this one calls it */
} Link;

typedef struct
{
  gboolean is_done;
  int      how;
} Call;

static struct
{
  Script        script;
  unsigned      n_steps;
  unsigned      mode;
  unsigned      depth;          /* of main contexts, one in another's callback */
  bool          is_over;
  rlim_t        limit;
  bool          is_own;
  GMainContext *context;
  AForkRuntime *runtimes[2];    /* one that can fork, one that cannot */
  AForkProcess *processes[MAX_PROCESSES];
  unsigned      n_alive;        /* objects */
  GCancellable *cancellables[N_CANCELLABLES];
  Call          calls[MAX_CALLS];
  unsigned      n_calls;
  unsigned      n_pending;
  int           detached;       /* what the last one that was detached left, or -1 */
  Link          links[MAX_LINKS];
  unsigned      n_links;
  Other         others[MAX_OTHERS];
  unsigned      n_others;
} world;

enum
{
  MODE_OLD_KERNEL = 1 << 0,     /* it tells nothing by a pidfd */
  MODE_NO_PIDFD_SIGNAL = 1 << 1,
  MODE_NO_TIME = 1 << 2,        /* what is to happen later happens at once */
  MODE_STUBBORN = 1 << 3,       /* who is killed does not end yet */
  MODE_NO_SPAWN = 1 << 4,
  MODE_NO_PIDFD = 1 << 5,
  MODE_DROP = 1 << 6,           /* callbacks drop their process … */
  MODE_NEST = 1 << 7            /* … or turn the main context */
};

static int standard_error;
static int sample;
static bool foreign[N_FDS];

__attribute__ ((noreturn, format (printf, 1, 2))) static void
die (const char *format,
     ...)
{
  va_list arguments;

  va_start (arguments, format);
  vdprintf (standard_error, format, arguments);
  va_end (arguments);
  dprintf (standard_error, "\n");
  /* Whoever shows where this was needs some, too. */
  setrlimit (RLIMIT_NOFILE, &(struct rlimit) { 4096, 4096 });
  abort ();
}

/* Descriptors. */

static void
set_limit (rlim_t limit)
{
  static struct rlimit files;

  if (files.rlim_max == 0)
    getrlimit (RLIMIT_NOFILE, &files);
  if (files.rlim_cur == limit)
    return;

  files.rlim_cur = limit;
  if (setrlimit (RLIMIT_NOFILE, &files) < 0)
    die ("the limit of descriptors cannot be set: %s", strerror (errno));
}

/* What the world does needs descriptors of its own; it may go on until the library is next. */
static void
begin_own (void)
{
  if (!world.is_own)
    set_limit (OWN_LIMIT);
  world.is_own = true;
}

static void
end_own (void)
{
  if (world.is_own)
    set_limit (world.limit);
  world.is_own = false;
}

/* A copy of FD where no descriptor of the library is. */
static int
copy_own (int fd)
{
  int copy;

  begin_own ();
  copy = fcntl (fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
  if (copy < 0)
    die ("there are no descriptors left");
  return copy;
}

static int
move_own (int fd)
{
  int moved = copy_own (fd);

  close (fd);
  return moved;
}

static void
list_open (bool *is_open)
{
  struct pollfd fds[N_FDS];

  for (int fd = 0; fd < N_FDS; fd++)
    fds[fd] = (struct pollfd) { .fd = fd };
  if (poll (fds, N_FDS, 0) < 0)
    die ("poll: %s", strerror (errno));
  for (int fd = 0; fd < N_FDS; fd++)
    is_open[fd] = (fds[fd].revents & POLLNVAL) == 0;
}

/* The library must have given back all it had. */
static void
check_fds (void)
{
  bool is_open[N_FDS];

  list_open (is_open);
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

  /* Above all that are open: more than the limit are not polled. */
  begin_own ();
  list_open (is_open);
  while (limit > 16 && !is_open[limit - 1])
    limit--;
  world.limit = MIN ((unsigned) limit + n_left, (unsigned) N_FDS);
}

/* Processes at other ends. */

static Other *
add_other (GPid pid,
           bool is_child)
{
  struct stat status;
  Other *other;
  int fds[2];

  if (world.n_others == MAX_OTHERS)
    return NULL;

  begin_own ();
  if (pipe2 (fds, O_CLOEXEC) < 0)
    die ("pipe: %s", strerror (errno));
  other = &world.others[world.n_others++];
  *other = (Other) {
    .pid = pid,
    .is_child = is_child,
    .pidfd = move_own (fds[0]),
    .pipe = move_own (fds[1]),
  };
  if (fstat (other->pidfd, &status) < 0)
    die ("fstat: %s", strerror (errno));
  other->inode = status.st_ino;
  return other;
}

static Other *
find_by_pidfd (int fd)
{
  struct stat status;

  if (fd < 0 || fstat (fd, &status) < 0 || !S_ISFIFO (status.st_mode))
    return NULL;
  for (unsigned i = 0; i < world.n_others; i++)
    if (world.others[i].inode == status.st_ino)
      return &world.others[i];

  return NULL;
}

static void
end_other (Other *other,
           int    wait_status)
{
  if (other->has_ended)
    return;

  other->has_ended = true;
  other->wait_status = wait_status;
  if (write (other->pipe, "", 1) < 0)
    die ("write: %s", strerror (errno));
}

static void
reap_other (Other *other)
{
  if (!other->has_ended || other->is_reaped)
    return;

  other->is_reaped = true;
  close (other->pipe);
}

static void
signal_other (Other *other,
              int    signal)
{
  if (other->is_stranger)
    die ("signal %d is sent to a stranger", signal);
  if (signal == SIGKILL && (world.mode & MODE_STUBBORN) == 0)
    end_other (other, SIGKILL);
}

static void
fill_in (Other     *other,
         siginfo_t *info)
{
  info->si_pid = other->pid;
  info->si_code = (other->wait_status & 0x7f) != 0 ? CLD_KILLED : CLD_EXITED;
  info->si_status = info->si_code == CLD_KILLED ? other->wait_status & 0x7f
                                                : other->wait_status >> 8;
}

int
world_waitid (idtype_t   type,
              id_t       id,
              siginfo_t *info,
              int        options)
{
  Other *other = NULL;

  if ((options & WNOHANG) == 0)
    die ("the library waits for a process");
  if (type == P_PIDFD && (other = find_by_pidfd ((int) id)) == NULL)
    return (waitid) (type, id, info, options);
  for (unsigned i = 0; type == P_PID && i < world.n_others; i++)
    if (world.others[i].is_child && world.others[i].pid == (GPid) id)
      other = &world.others[i];
  if (other == NULL || !other->is_child || other->is_reaped)
    return errno = ECHILD, -1;

  info->si_pid = 0;
  if (!other->has_ended)
    return 0;
  fill_in (other, info);
  if ((options & WNOWAIT) == 0)
    reap_other (other);
  return 0;
}

int
world_kill (pid_t pid,
            int   signal)
{
  for (unsigned i = 0; i < world.n_others; i++)
    if (world.others[i].pid == pid && !world.others[i].is_reaped && world.others[i].is_exposed
        && !world.others[i].is_stranger)
      {
        signal_other (&world.others[i], signal);
        return 0;
      }

  die ("signal %d is sent to process %d, which is none of the library's", signal, (int) pid);
}

long
world_syscall (long number,
               ...)
{
  va_list arguments;
  int first, second;
  siginfo_t *info;
  Other *other;

  va_start (arguments, number);
  first = va_arg (arguments, int);
  second = va_arg (arguments, int);
  info = number == SYS_waitid ? va_arg (arguments, siginfo_t *) : NULL;
  va_end (arguments);

  switch (number)
    {
    case SYS_waitid:
      return world_waitid ((idtype_t) first, (id_t) second, info, WEXITED | WNOHANG);
    case SYS_pidfd_send_signal:
      other = find_by_pidfd (first);
      if (other == NULL)
        die ("signal %d is sent by what is no pidfd", second);
      if ((world.mode & MODE_NO_PIDFD_SIGNAL) != 0)
        return errno = ENOSYS, -1;
      signal_other (other, second);
      return other->is_reaped ? (errno = ESRCH, -1) : 0;
    default:
      die ("system call %ld is not expected", number);
    }
}

/* What afork-life.c asks of a pidfd. */
typedef struct
{
  guint64 mask;
  guint64 cgroupid;
  guint32 pid;
  guint32 ids[10];
  gint32  exit_code;
} PidfdInfo;

int
world_ioctl (int            fd,
             unsigned long  request,
             void          *argument)
{
  PidfdInfo *info = argument;
  Other *other = find_by_pidfd (fd);

  if (request != _IOWR (0xFF, 11, PidfdInfo))
    die ("ioctl %lx is not expected", request);
  if (other == NULL || (world.mode & MODE_OLD_KERNEL) != 0)
    return errno = ENOTTY, -1;
  if (other->is_reaped && (info->mask & 1 << 3) == 0)
    return errno = ESRCH, -1;

  info->pid = (guint32) other->pid;
  info->exit_code = other->wait_status;
  info->mask = other->is_reaped ? 1 << 3 : 0;
  return 0;
}

gboolean
world_get_contents (const char  *path,
                    char       **contents,
                    gsize       *length,
                    GError     **error)
{
  int fd = -1;
  Other *other;

  if (sscanf (path, "/proc/self/fdinfo/%d", &fd) != 1)
    die ("%s is read", path);
  other = find_by_pidfd (fd);
  if (other == NULL)
    return g_file_get_contents (path, contents, length, error);

  *contents = g_strdup_printf ("pos:\t0\nPid:\t%d\n", other->is_reaped ? -1 : (int) other->pid);
  return TRUE;
}

/* Other ends. */

static Link *
add_link (int    fd,
          Other *other)
{
  Link *link;

  if (world.n_links == MAX_LINKS)
    {
      close (fd);
      return NULL;
    }

  link = &world.links[world.n_links++];
  link->fd = move_own (fd);
  link->other = other;
  link->greets = link->is_fork = link->heard = link->is_outcome = false;
  link->last = 0;
  link->n_input = link->n_fds = 0;
  link->last_number = link->number = 0;
  return link;
}

static void
close_link (Link *link)
{
  if (link->fd >= 0)
    close (link->fd);
  link->fd = -1;
  for (size_t i = 0; i < link->n_fds; i++)
    close (link->fds[i]);
  link->n_fds = 0;
  outbox_clear (&link->outbox);
}

/* Takes the place of the function that executes a program. */
gboolean
_afork_spawn (const char * const  *argv,
              const char * const  *environment,
              const char          *working_directory,
              AForkSpawnSocket     how,
              int                  socket,
              GPid                *pid,
              int                 *pidfd,
              GError             **error)
{
  Other *other = NULL;
  Link *link;

  if ((world.mode & MODE_NO_SPAWN) == 0)
    other = add_other (FIRST_PID + (GPid) world.n_others, true);
  if (other == NULL)
    {
      close (socket);
      end_own ();
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN, "“%s” is not executed", argv[0]);
      return FALSE;
    }

  link = add_link (socket, other);
  if (link != NULL)
    link->greets = true;
  end_own ();
  other->is_exposed = true;
  *pid = other->pid;
  *pidfd = -1;
  if ((world.mode & MODE_NO_PIDFD) == 0)
    *pidfd = fcntl (other->pidfd, F_DUPFD_CLOEXEC, 3);
  if (*pidfd < 0 && (world.mode & MODE_NO_PIDFD) == 0)
    {
      end_other (other, SIGKILL);
      reap_other (other);
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN, "“%s” cannot be watched", argv[0]);
      return FALSE;
    }
  return TRUE;
}

gboolean
_afork_spawn_watch (GPid     child,
                    int     *pidfd,
                    GError **error)
{
  die ("the program is forked");
}

static int
take_fd (Link *link)
{
  int fd = link->n_fds > 0 ? link->fds[0] : -1;

  if (fd < 0)
    die ("the library sends a frame without its descriptors");
  memmove (link->fds, link->fds + 1, --link->n_fds * sizeof (int));
  return fd;
}

static void
command_came (Link             *link,
              const AForkFrame *frame)
{
  Link *made;
  int fd;

  if (frame->kind >= AFORK_FRAME_HELLO)
    die ("the library sends %s", afork_frame_kind_name (frame->kind));

  link->last = frame->kind;
  for (unsigned i = 0; i < frame->n_fds; i++)
    {
      fd = take_fd (link);
      if (frame->kind != AFORK_FRAME_FORK && frame->kind != AFORK_FRAME_EXEC)
        {
          close (fd);
          continue;
        }

      made = add_link (fd, NULL);
      if (frame->kind == AFORK_FRAME_FORK)
        link->last_number = frame->number[0];
      if (made == NULL)
        continue;
      made->is_fork = frame->kind == AFORK_FRAME_FORK;
      made->is_outcome = frame->kind == AFORK_FRAME_EXEC;
      made->number = frame->number[0];
    }
}

static bool
receive (Link *link)
{
  char control[CMSG_SPACE (64 * sizeof (int))];
  struct iovec vector = { link->input + link->n_input, MAX_RECEIVED - link->n_input };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_bytes;

  if (vector.iov_len == 0)
    return false;
  n_bytes = recvmsg (link->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n_bytes <= 0)
    return false;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message);
       header != NULL;
       header = CMSG_NXTHDR (&message, header))
    for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN (0)) / sizeof (int); i++)
      {
        int fd;

        memcpy (&fd, CMSG_DATA (header) + i * sizeof fd, sizeof fd);
        if (link->n_fds == sizeof link->fds / sizeof link->fds[0])
          close (fd);
        else
          link->fds[link->n_fds++] = move_own (fd);
      }
  link->n_input += (size_t) n_bytes;
  return true;
}

/* Reads what the library has sent, which must be right. */
static void
read_link (Link *link)
{
  AForkFrameResult result;
  AForkFrame frame;
  const char *why;
  size_t size, start = 0;

  if (link->fd < 0)
    return;
  if (link->input == NULL)
    link->input = malloc (MAX_RECEIVED);

  begin_own ();
  while (receive (link))
    ;
  while ((result = afork_frame_parse (link->input + start, link->n_input - start,
                                      &frame, &size, &why)) == AFORK_FRAME_OK)
    {
      command_came (link, &frame);
      start += size;
    }
  if (result == AFORK_FRAME_INVALID)
    die ("the library sends nonsense: %s", why);
  link->n_input -= start;
  memmove (link->input, link->input + start, link->n_input);
}

/* The process at the other end of LINK, which comes to be when somebody asks for it. What is not
 * our child has the number by which the kernel knows who sends. */
static Other *
get_other (Link *link)
{
  if (link->other == NULL)
    link->other = add_other (getpid (), false);
  return link->other;
}

/* A descriptor to be sent: CHOICE is 4 for a stranger's, 5 for what is no pidfd, 6 for that of some
 * process of ours, and else what is right. What is not among them is the other end of LINK itself:
 * who holds that keeps the channel open, and docs/security.md says so. */
static void
add_pidfd (Link     *link,
           unsigned  choice)
{
  Other *other = NULL;

  if (choice == 5)
    {
      outbox_add_fd (&link->outbox, sample);
      return;
    }

  if (choice == 6 && world.n_others > 0)
    {
      other = &world.others[link->number % world.n_others];
    }
  else if (choice != 4)
    {
      other = get_other (link);
    }
  else if ((other = add_other (1, false)) != NULL)
    {
      other->is_stranger = true;
    }
  if (other != NULL && outbox_add_fd (&link->outbox, other->pidfd))
    other->is_exposed = true;
}

/* A socket on which forks are reported. */
static void
add_reports (Link     *link,
             unsigned  choice)
{
  int ends[2];
  Link *made;

  if (choice != 0)
    {
      add_pidfd (link, choice);
      return;
    }

  begin_own ();
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    die ("socketpair: %s", strerror (errno));
  made = add_link (ends[0], NULL);
  if (made != NULL)
    made->last_number = link->last_number;
  /* It is closed with all the rest. */
  ends[1] = move_own (ends[1]);
  if (!outbox_add_fd (&link->outbox, ends[1]))
    close (ends[1]);
}

static void
put (Link       *link,
     AForkFrame  frame,
     Step       *step)
{
  if (link->fd >= 0 && link->outbox.n_bytes < MAX_PUT)
    outbox_add_frame (&link->outbox, &frame, step);
}

static void
send_all (Link *link)
{
  if (link->fd >= 0)
    outbox_send (&link->outbox, link->fd, SIZE_MAX);
}

/* Does what a server would do now. */
static void
serve (Link *link)
{
  Step none = { 0 };
  AForkFrame frame = { 0 };

  read_link (link);
  if (link->is_outcome)
    {
      close_link (link);
      return;
    }

  if (link->greets && !link->heard)
    {
      frame.kind = AFORK_FRAME_HELLO;
      frame.string[0] = AFORK_WIRE_MAGIC;
      frame.number[0] = AFORK_WIRE_VERSION;
    }
  else if (link->last == AFORK_FRAME_RUN || link->last == AFORK_FRAME_RUN_FUNC
           || link->last == AFORK_FRAME_EXEC || link->last == AFORK_FRAME_DETACH)
    {
      frame.kind = AFORK_FRAME_READY;
      if ((link->is_fork && !link->heard) || link->last_number > 0)
        add_pidfd (link, 0);
      if (link->last_number > 0)
        add_reports (link, 0);
      frame.n_fds = (uint16_t) link->outbox.n_fds;
      if (link->last == AFORK_FRAME_DETACH)
        {
          link->is_fork = true;
          link->heard = false;
        }
      link->last = 0;
    }
  else if ((link->is_fork && !link->heard) || link->last == AFORK_FRAME_IDENTIFY)
    {
      frame.kind = AFORK_FRAME_BORN;
      frame.n_fds = 1;
      add_pidfd (link, 0);
      link->last = 0;
    }

  if (frame.kind != 0)
    {
      link->heard = true;
      put (link, frame, &none);
    }
  send_all (link);
}

static void
answer (Link *link,
        Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_FRAME_HELLO, AFORK_FRAME_BORN, AFORK_FRAME_READY, AFORK_FRAME_ERROR,
    AFORK_FRAME_FORK_FAILED, AFORK_FRAME_EXITED, AFORK_FRAME_RUN
  };
  AForkFrame frame = { .kind = kinds[step_take (step) % sizeof kinds] };
  unsigned choice = step_take (step);
  unsigned n_fds = 0;
  uint32_t number = step_take_number (step);

  frame.number[0] = number < 0x80 ? number % (link->last_number + 2) : number;
  frame.number[1] = number % (AFORK_WIRE_ERROR_SPAWN + 2);
  frame.exit = (AForkExitReport) {
    .pid = number,
    .wait_status = number < 0x40 ? number << 8 : number,
    .user_usec = UINT64_MAX,
  };
  switch ((int) frame.kind)
    {
    case AFORK_FRAME_HELLO:
      frame.string[0] = choice < 0xc0 ? AFORK_WIRE_MAGIC : NULL;
      frame.number[0] = choice < 0x80 ? AFORK_WIRE_VERSION : number;
      break;
    case AFORK_FRAME_BORN:
      n_fds = 1;
      break;
    case AFORK_FRAME_READY:
      n_fds = choice / 8 % 3;
      break;
    case AFORK_FRAME_ERROR:
      n_fds = choice / 8 % 2;
      frame.number[0] = number;
      break;
    default:
      break;
    }

  frame.n_fds = (uint16_t) n_fds;
  if (n_fds > 0)
    add_pidfd (link, choice % 8);
  if (n_fds > 1)
    add_reports (link, choice >= 0x80 ? choice % 8 : 0);
  link->heard = true;
  put (link, frame, step);
}

/* The caller. */

static unsigned
get_index (AForkProcess *process)
{
  for (unsigned i = 0; i < MAX_PROCESSES; i++)
    if (world.processes[i] == process)
      return i;

  return MAX_PROCESSES;
}

static void
process_gone_cb (gpointer  data,
                 GObject  *gone)
{
  world.n_alive--;
}

/* What a program's callbacks may do. */
static void
react (AForkProcess *process)
{
  unsigned index = get_index (process);

  if ((world.mode & MODE_DROP) != 0 && index < MAX_PROCESSES)
    g_clear_object (&world.processes[index]);
  if ((world.mode & MODE_NEST) != 0 && world.depth < 3)
    {
      world.depth++;
      g_main_context_iteration (world.context, FALSE);
      world.depth--;
    }
}

static void
exited_cb (AForkProcess *process,
           int           wait_status,
           gpointer      data)
{
  if (afork_process_get_state (process) != AFORK_PROCESS_STATE_EXITED)
    die ("a process has exited, and says that it has not");
  react (process);
}

static void
add_process (AForkProcess *process)
{
  unsigned index = get_index (NULL);

  world.n_alive++;
  g_object_weak_ref (G_OBJECT (process), process_gone_cb, NULL);
  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), NULL);
  if (index < MAX_PROCESSES)
    world.processes[index] = process;
  else
    g_object_unref (process);
}

static AForkProcess *
find_process (unsigned n)
{
  return world.processes[n % MAX_PROCESSES];
}

/* Whether it may be prepared still, which the library takes for granted. */
static bool
can_prepare (AForkProcess *process)
{
  return process != NULL && g_object_get_data (G_OBJECT (process), "handed-over") == NULL;
}

/* Whether there will be an end that can be waited for. One that cannot be forked is not there
 * before it is run. */
static bool
is_begun (AForkProcess *process)
{
  return process != NULL
    && (afork_runtime_get_can_fork (afork_process_get_runtime (process)) || !can_prepare (process));
}

static AForkRuntime *
get_runtime (unsigned n)
{
  static const char * const argv[] = { "server", NULL };

  if (world.runtimes[n] == NULL)
    world.runtimes[n] = g_object_new (AFORK_TYPE_RUNTIME,
                                      "name", "fuzz",
                                      "argv", argv,
                                      "can-fork", n == 0,
                                      "can-pass-fds", n == 0,
                                      NULL);
  return world.runtimes[n];
}

static void
make_process (unsigned how,
              unsigned which)
{
  AForkProcess *process = find_process (which);
  int ends[2];
  Link *link;

  switch (how % 7)
    {
    case 0:
      add_process (afork_process_new_exec (get_runtime (0)));
      break;
    case 1:
      add_process (afork_process_new_for_runtime (get_runtime (which % 2)));
      break;
    case 2:
      if (can_prepare (process))
        add_process (afork_process_fork (process));
      break;
    case 3:
      if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        break;
      link = add_link (ends[0], NULL);
      end_own ();
      if (link != NULL)
        link->is_fork = true;
      add_process (afork_process_new_from_fd (ends[1]));
      break;
    case 4:
      if (world.detached >= 0)
        {
          int fd = world.detached;

          world.detached = -1;
          add_process (afork_process_new_from_fd (fd));
        }
      break;
    case 5:
      /* Any number at all, for it need not be open. */
      if (which % 3 > 0)
        {
          int fd = fcntl (sample, F_DUPFD_CLOEXEC, 3);

          if (fd >= 0)
            add_process (afork_process_new_from_fd (fd));
        }
      break;
    default:
      add_process (afork_process_new_exec (get_runtime (1)));
      break;
    }
}

static void
prepare (AForkProcess *process,
         Step         *step)
{
  static char large[100 * 1024];
  unsigned how = step_take (step);
  unsigned n = step_take (step);
  const char *word = script_words[step_take (step) % 7];
  const char * const args[] = { "a", word, NULL };
  g_autoptr(GBytes) bytes = NULL;

  if (!can_prepare (process))
    return;

  switch (how % 13)
    {
    case 0:
      afork_process_require (process, word);
      break;
    case 1:
      afork_process_eval (process, word, NULL);
      break;
    case 2:
      afork_process_call (process, word, args);
      break;
    case 3:
      afork_process_send_arg (process, word);
      break;
    case 4:
      bytes = g_bytes_new_static (large, n * 401);
      afork_process_send_bytes (process, bytes);
      break;
    case 5:
      afork_process_send_fd (process, n == 0 ? 9999 : sample);
      break;
    case 6:
      afork_process_setenv (process, "NAME", n % 2 > 0 ? word : NULL);
      break;
    case 7:
      afork_process_chdir (process, word);
      break;
    case 8:
      afork_process_map_fd (process, sample, (int) n);
      break;
    case 9:
      afork_process_set_title (process, g_utf8_validate (word, -1, NULL) ? word : NULL);
      break;
    case 10:
      afork_process_set_die_with_parent (process, TRUE);
      break;
    case 11:
      afork_process_set_spare (process, n % 4);
      break;
    default:
      memset (large, 'x', sizeof large - 1);
      afork_process_send_arg (process, large);
      memset (large, 0, sizeof large);
      break;
    }
}

enum { RUN, EXEC, DETACH, RUN_FUNC, WAIT };

static void
check_result (gboolean      success,
              const GError *error)
{
  if (success != (error == NULL))
    die ("a call has succeeded and failed, or neither");
  if (error != NULL && error->domain != AFORK_ERROR && error->domain != G_IO_ERROR)
    die ("a call fails in an unknown way: %s", error->message);
  if (error != NULL && !g_utf8_validate (error->message, -1, NULL))
    die ("an error says what cannot be read");
}

static void
finish (AForkProcess *process,
        GAsyncResult *result,
        int           how)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  gboolean success;
  int fd;

  switch (how)
    {
    case RUN:
      connection = afork_process_run_finish (process, result, &error);
      success = connection != NULL;
      break;
    case EXEC:
      connection = afork_process_exec_finish (process, result, &error);
      success = connection != NULL;
      break;
    case RUN_FUNC:
      connection = afork_process_run_func_finish (process, result, &error);
      success = connection != NULL;
      break;
    case DETACH:
      fd = afork_process_detach_finish (process, result, &error);
      success = fd >= 0;
      if (world.detached >= 0)
        close (world.detached);
      world.detached = fd;
      break;
    default:
      success = afork_process_wait_finish (process, result, &error);
      if (afork_process_get_state (process) != AFORK_PROCESS_STATE_EXITED
          && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        die ("a process that was waited for has not ended");
      break;
    }

  check_result (success, error);
}

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Call *call = data;

  if (call->is_done)
    die ("a call is answered twice");
  call->is_done = TRUE;
  world.n_pending--;
  finish (AFORK_PROCESS (object), result, call->how);
  react (AFORK_PROCESS (object));
}

static Call *
begin_call (int how)
{
  Call *call = &world.calls[world.n_calls++];

  *call = (Call) { .how = how };
  world.n_pending++;
  return call;
}

static GCancellable *
get_cancellable (unsigned n)
{
  if (world.cancellables[n] == NULL)
    world.cancellables[n] = g_cancellable_new ();
  return world.cancellables[n];
}

static GCancellable *
find_cancellable (unsigned n)
{
  return n % 8 < N_CANCELLABLES ? get_cancellable (n % 8) : NULL;
}

static void
run_func (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
}

static void
hand_over (AForkProcess *process,
           unsigned      how,
           unsigned      with)
{
  static const char * const argv[] = { "program", "argument", NULL };
  GCancellable *cancellable = find_cancellable (with);
  bool could_prepare;
  Call *call;

  if (process == NULL || world.n_calls == MAX_CALLS)
    return;

  could_prepare = can_prepare (process);
  g_object_set_data (G_OBJECT (process), "handed-over", process);
  switch (how % 5)
    {
    case 0:
      call = begin_call (RUN);
      afork_process_run_async (process, "echo", cancellable, called_cb, call);
      break;
    case 1:
      call = begin_call (EXEC);
      afork_process_exec_async (process, argv, cancellable, called_cb, call);
      break;
    case 2:
      call = begin_call (DETACH);
      afork_process_detach_async (process, cancellable, called_cb, call);
      break;
    case 3:
      call = begin_call (RUN_FUNC);
      afork_process_run_func_async (process, run_func, cancellable, called_cb, call);
      break;
    default:
      if (world.depth == 0)
        {
          g_autoptr(GSocketConnection) connection = NULL;
          g_autoptr(GError) error = NULL;

          connection = afork_process_run (process, "echo", cancellable, &error);
          check_result (connection != NULL, error);
          /* Where there was no descriptor to wait with, it has not been run. */
          if (could_prepare && afork_process_get_function (process) == NULL)
            g_object_set_data (G_OBJECT (process), "handed-over", NULL);
        }
      break;
    }
}

static void
await_end (AForkProcess *process,
           unsigned      with,
           bool          blocks)
{
  GCancellable *cancellable = find_cancellable (with);

  if (!is_begun (process) || world.n_calls == MAX_CALLS)
    return;

  if (blocks && world.depth == 0)
    {
      g_autoptr(GError) error = NULL;
      gboolean success;

      success = afork_process_wait (process, cancellable, &error);
      check_result (success, error);
    }
  else
    {
      afork_process_wait_async (process, cancellable, called_cb, begin_call (WAIT));
    }
}

static void
turn (unsigned n)
{
  world.depth++;
  for (unsigned i = 0; i < n && g_main_context_iteration (world.context, FALSE); i++)
    ;
  world.depth--;
}

static void
signal_process (AForkProcess *process,
                unsigned      signal)
{
  if (process == NULL)
    return;

  if (signal == 0)
    afork_process_force_exit (process);
  else
    afork_process_send_signal (process, signal == 1 ? SIGKILL : (int) (signal % 64) + 1);
}

/* The steps. */

static void
do_caller_step (Step *step)
{
  unsigned n = step_take (step);
  unsigned how;
  /* Whoever calls a method has a reference meanwhile. */
  g_autoptr(AForkProcess) kept G_GNUC_UNUSED = NULL;

  if (step->op >= OP_PREPARE && step->op <= OP_SIGNAL && step->op != OP_CANCEL
      && step->op != OP_DROP && find_process (n) != NULL)
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
      n %= N_CANCELLABLES;
      if (g_cancellable_is_cancelled (get_cancellable (n)))
        g_cancellable_reset (get_cancellable (n));
      else
        g_cancellable_cancel (get_cancellable (n));
      break;
    case OP_DROP:
      g_clear_object (&world.processes[n % MAX_PROCESSES]);
      break;
    case OP_SIGNAL:
      signal_process (find_process (n), step_take (step));
      break;
    case OP_MODE:
      world.mode = n;
      break;
    case OP_LIMIT:
      limit_fds (n);
      break;
    default:
      turn (n);
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
do_next_step (bool others_only)
{
  Step step;

  if (world.n_steps == MAX_STEPS || !script_next (&world.script, N_OPS, &step))
    return false;

  world.n_steps++;
  if (step.op >= OP_SERVE)
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

/* All other ends close, and all processes there end, but those that nobody here may touch. */
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

/* What a blocking call waits in: meanwhile the other side goes on. */
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

/* What would happen after a time happens at once, or else not before the end. */
GSource *
world_timeout_new (guint ms)
{
  return g_timeout_source_new ((world.mode & MODE_NO_TIME) != 0 ? 0 : ms == 10 ? 0 : 3600 * 1000);
}

/* Nothing that comes from another process may lead to a warning. */
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

  begin_own ();
  standard_error = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, FIRST_LASTING_FD);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    abort ();
  sample = fcntl (ends[0], F_DUPFD_CLOEXEC, FIRST_LASTING_FD);
  fcntl (ends[1], F_DUPFD_CLOEXEC, FIRST_LASTING_FD);
  close (ends[0]);
  close (ends[1]);
  if (__sanitizer_set_report_fd != NULL)
    __sanitizer_set_report_fd ((void *) (intptr_t) standard_error);

  g_log_set_writer_func (log_cb, NULL, NULL);
  world.limit = N_FDS;
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
  world.n_links = world.n_others = 0;
  world.detached = -1;
  world.context = g_main_context_new ();
  g_main_context_push_thread_default (world.context);
}

static void
drop_all (void)
{
  for (unsigned i = 0; i < MAX_PROCESSES; i++)
    g_clear_object (&world.processes[i]);
  for (unsigned i = 0; i < 2; i++)
    g_clear_object (&world.runtimes[i]);
}

static void
drop_context (void)
{
  g_main_context_pop_thread_default (world.context);
  g_clear_pointer (&world.context, g_main_context_unref);
}

/* Turns the main context until everything is answered and gone. */
static void
come_to_rest (void)
{
  for (unsigned i = 0; world.n_pending > 0 || world.n_alive > 0 || _afork_belonging_is_any (); i++)
    {
      end_others ();
      world.depth++;
      g_main_context_iteration (world.context, FALSE);
      world.depth--;
      if (i > MAX_TURNS)
        die ("%u calls are never answered, %u objects are left, and %s", world.n_pending,
             world.n_alive, _afork_belonging_is_any () ? "more" : "nothing else");
    }
}

static void
clean_up (void)
{
  world.limit = N_FDS;
  world.is_own = true;
  end_own ();

  end_others ();
  drop_all ();
  come_to_rest ();
  drop_context ();
  if (world.detached >= 0)
    close (world.detached);
  for (unsigned i = 0; i < N_CANCELLABLES; i++)
    g_clear_object (&world.cancellables[i]);

  close_range (FIRST_OWN_FD, FIRST_LASTING_FD - 1, 0);
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
      /* The first call of all makes what stays: a thread of GLib's, with its descriptor. */
      make_process (0, 0);
      await_end (find_process (0), 0, false);
      hand_over (find_process (0), 0, 0);
      clean_up ();
    }
  is_set_up = true;

  /* What looks for faults opens some, too, now and then. */
  list_open (foreign);
  begin (bytes, n_bytes);
  while (do_next_step (false))
    ;

  clean_up ();
  check_fds ();
  return 0;
}
