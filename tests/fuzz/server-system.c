/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* System calls of a server: descriptors, messages, waiting, processes. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include <afork/server/fork.h>
#include <afork/server/seccomp-filter.h>
#include <afork/server/server-state.h>

#include "server-target.h"

/* Descriptors. */

bool
is_server_fd (int fd)
{
  return fd >= 0 && fd < N_FDS && !world.foreign[fd] && (fcntl) (fd, F_GETFD) >= 0;
}

void
drop (int *fd)
{
  if (*fd >= 0)
    (close) (*fd);
  *fd = -1;
}

bool
fails (int what)
{
  return world.fail_in[what] > 0 && --world.fail_in[what] == 0;
}

bool
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
  if (fd == world.death_pipe)
    world.death_pipe = -1;
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

/* /proc, which may not exist. */
int
world_open (const char *path,
            int         flags)
{
  return system_fails (ENOENT) ? -1 : (open) (path, flags);
}

/* A file of /proc. Or a fork that is to be the worker waits for a byte of the process that stays.
 * Only one of the two exists here, so there is no byte. */
ssize_t
world_read (int     fd,
            void   *bytes,
            size_t  n_bytes)
{
  if (!is_server_fd (fd))
    die ("%zu bytes are read from descriptor %d", n_bytes, fd);
  if (n_bytes != 1)
    return system_fails (EIO) ? -1 : (read) (fd, bytes, n_bytes);
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

/* The process keeps its score. */
ssize_t
world_pwrite (int         fd,
              const void *bytes,
              size_t      n_bytes)
{
  (void) bytes;
  if (!is_server_fd (fd))
    die ("%zu bytes are written to descriptor %d", n_bytes, fd);
  return system_fails (EACCES) ? -1 : (ssize_t) n_bytes;
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
  struct stat status;
  va_list arguments;
  int argument;
  int result;

  va_start (arguments, command);
  argument = va_arg (arguments, int);
  va_end (arguments);

  /* If the system cannot change many at once, all possible descriptors are changed. */
  if (command == F_SETFD && !is_server_fd (fd))
    return errno = EBADF, -1;
  if (fd >= 0 && !is_server_fd (fd))
    die ("descriptor %d is changed, which is not open or not the server's", fd);
  switch (command)
    {
    case F_SETSIG:
      if (system_fails (EINVAL))
        return -1;
      world.death_pipe = fd;
      world.death_pipe_inode = (fstat) (fd, &status) == 0 ? status.st_ino : 0;
      return 0;
    case F_SETOWN:
    case F_SETFL:
      return 0;
    case F_DUPFD_CLOEXEC:
      if (system_fails (EMFILE))
        return -1;
      result = (fcntl) (fd, command, argument);
      if (result >= 0 && fd == world.death_pipe)
        world.death_pipe = result;
      return result;
    default:
      return (fcntl) (fd, command, argument);
    }
}

/* For the reports of a process that stays. The caller gets the other end from the worker, which is
 * a fork. If that does not exist here, the caller gets it nevertheless. */
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
  add_link (fds[0], copy_own (fds[1]), false);
  end_own ();
  return 0;
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
      /* The caller has sent another file in place of a socket. */
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
        iterate ();
      deliver (link);
      message->msg_controllen = room;
      n_bytes = (recvmsg) (socket, message, flags | MSG_DONTWAIT);
      if (n_bytes >= 0 || errno != EAGAIN || (flags & MSG_DONTWAIT) != 0)
        return n_bytes;
      /* Too many descriptors are in flight. */
      if (link->n_due > 0)
        hang_up (link);
      if (!iterate ())
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

void
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
      if (iterate ())
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

/* What /proc says about a child. Its name is that of a process which wants to hide the rest. */
FILE *
world_fopen (const char *path,
             const char *mode)
{
  unsigned n_pages = CHILD_KIB / ((unsigned) sysconf (_SC_PAGESIZE) / 1024);
  char text[256];
  FILE *file;
  int pid;

  if (sscanf (path, "/proc/%d/stat", &pid) != 1)
    return (fopen) (path, mode);
  if (system_fails (ENOENT))
    return NULL;

  if (find_child (pid)->state != ALIVE)
    n_pages = 0;
  snprintf (text, sizeof text, "%d (a) S 1 (\n) S %d 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
            "22 23 %u 18446744073709551615\n", pid, (int) getpid (), n_pages);
  file = fmemopen (NULL, sizeof text, "w+");
  if (file == NULL)
    return NULL;

  fputs (text, file);
  rewind (file);
  return file;
}

/* A fork. The script says whether the server continues as the parent, as the child, or not at
 * all. */
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

/* Confinement, of which the target's process must see nothing. */

/* Checks that a filter can be read. */
static void
check_filter (const struct sock_fprog *program)
{
  uint32_t sum = 0;

  if (program->len == 0 || program->len > AFORK_MAX_INSTRUCTIONS + AFORK_GUARD_MAX_INSTRUCTIONS)
    die ("a filter of %u instructions is installed", program->len);
  for (unsigned i = 0; i < program->len; i++)
    sum += program->filter[i].k + program->filter[i].code;
  if (sum == 0)
    die ("an empty filter is installed");
}

int
world_prctl (int option,
             ...)
{
  const void *argument = NULL;
  va_list arguments;

  va_start (arguments, option);
  if (option == PR_SET_NAME)
    argument = va_arg (arguments, const char *);
  else if (option == PR_SET_SECCOMP && va_arg (arguments, int) == SECCOMP_MODE_FILTER)
    argument = va_arg (arguments, const struct sock_fprog *);
  va_end (arguments);

  if (option == PR_SET_NAME)
    return (prctl) (option, argument);
  if (system_fails (EINVAL))
    return -1;
  if (argument != NULL)
    check_filter (argument);
  else if (option != PR_SET_NO_NEW_PRIVS)
    die ("prctl() is called with %d", option);
  return 0;
}

int
world_setrlimit (int                  resource,
                 const struct rlimit *limit)
{
  if (limit->rlim_cur > limit->rlim_max)
    die ("limit %d is higher than it may be", resource);
  return system_fails (EPERM) ? -1 : 0;
}

int
world_setpriority (int  which,
                   id_t who,
                   int  priority)
{
  if (which != PRIO_PROCESS || who != 0 || priority < 1 || priority > 19)
    die ("process %u gets the priority %d", (unsigned) who, priority);
  return system_fails (EACCES) ? -1 : 0;
}

int
world_set_scheduler (pid_t pid,
                     int   policy)
{
  if (pid != 0 || policy != SCHED_IDLE)
    die ("process %d gets the policy %d", (int) pid, policy);
  return system_fails (EPERM) ? -1 : 0;
}

int
world_sigaction (int                     signal,
                 const struct sigaction *action,
                 struct sigaction       *old)
{
  return action != NULL ? 0 : (sigaction) (signal, NULL, old);
}

/* Landlock of ABI 6, whose rulesets are descriptors. */
static long
make_ruleset (const void *attributes,
              unsigned    flags)
{
  if (system_fails (ENOSYS))
    return -1;

  return attributes == NULL && flags == 1 ? 6 : eventfd (0, EFD_CLOEXEC);
}

static long
use_ruleset (int fd)
{
  if (!is_server_fd (fd))
    die ("descriptor %d is used as a ruleset, which is not open or not the server's", fd);
  return system_fails (EINVAL) ? -1 : 0;
}

static long
read_capabilities (void *header,
                   void *data)
{
  return system_fails (EINVAL) ? -1 : (syscall) (SYS_capget, header, data);
}

long
world_syscall (long number,
               ...)
{
  va_list arguments;
  int first, last, flags = 0;
  size_t size = 0;
  void *buffer = NULL;

  va_start (arguments, number);
  if (number == SYS_landlock_create_ruleset || number == SYS_capget)
    {
      void *pointer = va_arg (arguments, void *);

      buffer = number == SYS_capget ? va_arg (arguments, void *) : NULL;
      size = number == SYS_capget ? 0 : va_arg (arguments, size_t);
      flags = number == SYS_capget ? 0 : va_arg (arguments, int);
      va_end (arguments);
      (void) size;
      return number == SYS_capget ? read_capabilities (pointer, buffer)
                                  : make_ruleset (pointer, (unsigned) flags);
    }

  first = va_arg (arguments, int);
  last = number == SYS_close_range ? va_arg (arguments, int) : 0;
  if (number == SYS_close_range)
    flags = va_arg (arguments, int);
  if (number == SYS_getdents64)
    {
      buffer = va_arg (arguments, void *);
      size = va_arg (arguments, size_t);
    }
  va_end (arguments);

  switch (number)
    {
    case SYS_pidfd_open:
      return open_pidfd ((pid_t) first);
    case SYS_close:
      return world_close (first);
    case SYS_close_range:
      return world_close_range ((unsigned) first, (unsigned) last, flags);
    case SYS_getdents64:
      return system_fails (EINVAL) ? -1 : (syscall) (number, first, buffer, size);
    case SYS_rt_sigaction:
      return 0;
    case SYS_landlock_add_rule:
    case SYS_landlock_restrict_self:
      return use_ruleset (first);
    case SYS_pidfd_send_signal:
      /* A child is then signalled by its pid, and this shows which process has it. */
      return errno = world.has_no_pidfds ? ENOSYS : EPERM, -1;
    default:
      die ("system call %ld is not expected", number);
    }
}

int
world_kill (pid_t pid,
            int   signal)
{
  struct pollfd pipe = { .fd = world.death_pipe, .events = POLLIN };

  /* The process group is 1. */
  if (pid == -1 || pid == getpid ())
    {
      if (signal != SIGKILL || world.death_pipe < 0 || poll (&pipe, 1, 0) == 0)
        die ("the process group is killed, and the death pipe has not ended");
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

int
world_waitid (idtype_t   type,
              id_t       id,
              siginfo_t *info,
              int        options)
{
  Child *child = find_child ((pid_t) id);

  if (type != P_PID || (options & WNOHANG) == 0 || (options & WNOWAIT) == 0)
    die ("child %d is waited for", (int) id);
  if (child->state == ZOMBIE && child->stolen)
    return errno = ECHILD, -1;

  info->si_pid = child->state == ZOMBIE ? child->pid : 0;
  return 0;
}

pid_t
world_setsid (void)
{
  return system_fails (EPERM) ? -1 : 1;
}
