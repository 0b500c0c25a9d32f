/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* There are no processes: each is a pipe, whose reading end is its pidfd. These are all operations
 * of the library on other processes. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "process-target.h"

Other *
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

void
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

void
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

static void
signal_owner (pid_t pid,
              int   signal)
{
  for (unsigned i = 0; i < world.n_others; i++)
    if (world.others[i].pid == pid && !world.others[i].is_reaped)
      {
        signal_other (&world.others[i], signal);
        return;
      }

  die ("signal %d is sent to process %d, which is none of the library's", signal, (int) pid);
}

/* A socket whose owner is signalled when it can be read: send_by_owner() of client/pid-watch.c. */
int
world_fcntl (int fd,
             int command,
             ...)
{
  static int owner_signal;
  static pid_t owner;
  gintptr argument;
  va_list arguments;

  va_start (arguments, command);
  argument = va_arg (arguments, gintptr);
  va_end (arguments);

  switch (command)
    {
    case F_SETSIG:
      owner_signal = (int) argument;
      return 0;
    case F_SETOWN_EX:
      owner = ((const struct f_owner_ex *) argument)->pid;
      return 0;
    case F_SETFL:
      if ((argument & O_ASYNC) != 0)
        {
          signal_owner (owner, owner_signal);
          return 0;
        }
      return (fcntl) (fd, command, argument);
    default:
      return (fcntl) (fd, command, argument);
    }
}

/* The query of base/pidfd-info.c. */
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

  /* How much of what was sent has not arrived. */
  if (request == FIONREAD)
    return (ioctl) (fd, request, argument);
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

/* /proc shows of every other process only what is public. */
static bool
may_be_traced (const Other *other)
{
  return (other - world.others) % 2 == 0;
}

static Other *
find_unreaped (int pid)
{
  for (unsigned i = 0; i < world.n_others; i++)
    if (world.others[i].pid == pid && !world.others[i].is_reaped)
      return &world.others[i];

  return NULL;
}

/* The fields between the state and the exit code do not matter. */
static char *
describe_other (const Other *other)
{
  GString *text = g_string_new (NULL);

  g_string_printf (text, "%d (a name) with) %c", (int) other->pid, other->has_ended ? 'Z' : 'S');
  for (int field = 4; field < 52; field++)
    g_string_append (text, " 1");
  g_string_append_printf (text, " %d\n", may_be_traced (other) ? other->wait_status : 0);
  return g_string_free (text, FALSE);
}

ssize_t
world_readlink (const char *path,
                char       *target,
                size_t      size)
{
  int pid = 0;
  Other *other;

  if (sscanf (path, "/proc/%d/exe", &pid) != 1)
    die ("%s is looked up", path);
  other = find_unreaped (pid);
  if (other != NULL && !may_be_traced (other))
    return errno = EACCES, -1;
  if (other == NULL || other->has_ended)
    return errno = ENOENT, -1;

  *target = '/';
  return 1;
}

gboolean
world_get_contents (const char  *path,
                    char       **contents,
                    gsize       *length,
                    GError     **error)
{
  int pid = 0, fd = -1;
  Other *other;

  if (sscanf (path, "/proc/%d/stat", &pid) == 1)
    {
      other = find_unreaped (pid);
      *contents = other != NULL ? describe_other (other) : NULL;
      return other != NULL;
    }
  /* How often memory has run out. */
  if (g_str_equal (path, "/proc/self/cgroup") || g_str_equal (path, "/proc/self/mountinfo")
      || g_str_has_prefix (path, "/sys/fs/cgroup/"))
    return g_file_get_contents (path, contents, length, error);
  if (sscanf (path, "/proc/self/fdinfo/%d", &fd) != 1)
    die ("%s is read", path);
  other = find_by_pidfd (fd);
  if (other == NULL)
    return g_file_get_contents (path, contents, length, error);

  *contents = g_strdup_printf ("pos:\t0\nPid:\t%d\n", other->is_reaped ? -1 : (int) other->pid);
  return TRUE;
}
