/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "pidfd-info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork-error.h"
#include "i18n.h"
#include "system/pidfd.h"

/* struct pidfd_info of include/uapi/linux/pidfd.h, which may be older on this system. The kernel
 * keeps it while there is a pidfd of the process: since Linux 6.13, and with the exit code since
 * 6.15. */
typedef struct
{
  guint64 mask;
  guint64 cgroupid;
  guint32 pid;
  guint32 ids[10];
  gint32  exit_code;
} PidfdInfo;

G_STATIC_ASSERT (sizeof (PidfdInfo) == 64);

#define GET_INFO      _IOWR (0xFF, 11, PidfdInfo)
#define INFO_EXIT     (1 << 3)

/* Even if the program has reaped CHILD already, no other process has its pid yet: the kernel does
 * not reuse a pid so soon. */
gboolean
_afork_pidfd_open_child (int      child,
                         int     *pidfd,
                         GError **error)
{
  int fd = afork_pidfd_open (child);

  if (fd < 0 && errno != ESRCH && errno != ENOSYS)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("Process %d could not be watched: %s"), child, g_strerror (errno));
      return FALSE;
    }

  *pidfd = fd;
  return TRUE;
}

gboolean
_afork_pidfd_get_status (int  pidfd,
                         int *wait_status)
{
  PidfdInfo info = { .mask = INFO_EXIT };
  int result;

  *wait_status = -1;
  result = ioctl (pidfd, GET_INFO, &info);
  /* The process was reaped while the kernel worked on this call. */
  if (result < 0 && errno == ESRCH)
    result = ioctl (pidfd, GET_INFO, &info);
  if (result < 0)
    return TRUE;
  if ((info.mask & INFO_EXIT) == 0)
    return FALSE;

  *wait_status = info.exit_code;
  return TRUE;
}

/* /proc. */

/* Returns what follows NAME in the first line of TEXT that begins with it, or NULL. */
static const char *
find_line (const char *text,
           const char *name)
{
  for (const char *line = text; line != NULL; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (g_str_has_prefix (line, name))
        return line + strlen (name);
    }

  return NULL;
}

/* Returns what /proc says about a pidfd, or NULL. If /proc shows a PID namespace that does not
 * contain this process, it has no /proc/self. */
static char *
read_fdinfo (int pidfd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", pidfd);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : NULL;
}

/* Returns the pid in the PID namespace of /proc. It is -1 if the process was reaped, and 0 if it
 * has no pid there. */
static int
get_proc_number (const char *fdinfo)
{
  const char *line = fdinfo != NULL ? find_line (fdinfo, "Pid:") : NULL;

  return line != NULL ? atoi (line) : 0;
}

/* Parses the numbers of a line, N_MOST at most, and returns how many it has found. */
static guint
split_numbers (const char *line,
               int        *numbers,
               guint       n_most)
{
  guint n_numbers = 0;
  char *end;

  while (n_numbers < n_most)
    {
      numbers[n_numbers] = (int) strtol (line, &end, 10);
      if (end == line)
        break;

      n_numbers++;
      line = end;
      if (*line != '\t' && *line != ' ')
        break;
    }

  return n_numbers;
}

/* Linux nests no more PID namespaces. */
enum { MAX_NAMESPACES = 33 };

/* Returns the pid in the PID namespace of this process. If /proc belongs to an outer namespace, it
 * lists the pids of a process from that namespace inwards. The last pid of this process has the
 * position of its namespace in all such lists. */
static int
get_number_here (const char *fdinfo)
{
  const char *line = find_line (fdinfo, "NSpid:");
  int numbers[MAX_NAMESPACES], own[MAX_NAMESPACES];
  g_autofree char *status = NULL;
  guint n_numbers, n_own = 0;

  if (line == NULL)
    return get_proc_number (fdinfo);

  n_numbers = split_numbers (line, numbers, MAX_NAMESPACES);
  if (g_file_get_contents ("/proc/self/status", &status, NULL, NULL)
      && (line = find_line (status, "NSpid:")) != NULL)
    n_own = split_numbers (line, own, MAX_NAMESPACES);

  return n_own > 0 && n_own <= n_numbers ? numbers[n_own - 1] : 0;
}

int
_afork_pidfd_get_pid (int pidfd)
{
  g_autofree char *fdinfo = NULL;
  PidfdInfo info = { 0 };
  int number;

  if (ioctl (pidfd, GET_INFO, &info) == 0)
    return (int) info.pid;
  if (errno == ESRCH)
    return -1;

  fdinfo = read_fdinfo (pidfd);
  number = get_proc_number (fdinfo);
  return number > 0 ? get_number_here (fdinfo) : number;
}

/* Whether this program may read what /proc shows only to a process with the right to trace. A
 * process that has exited has no executable there, but the kernel checks the right first. */
static gboolean
can_read_proc (int number)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/exe", number);
  char target;

  return readlink (path, &target, 1) >= 0 || errno == ENOENT;
}

static int
read_proc_number (int pidfd)
{
  g_autofree char *fdinfo = read_fdinfo (pidfd);

  return get_proc_number (fdinfo);
}

gboolean
_afork_pidfd_get_unreaped_status (int  pidfd,
                                  int *wait_status)
{
  /* Fields 3 and 52, counted from the end of field 2, the name. */
  enum { STATE = 1, EXIT_CODE = 50 };
  const int number = read_proc_number (pidfd);
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", number);
  g_autofree char *text = NULL;
  g_auto(GStrv) fields = NULL;
  const char *name_end;

  if (number <= 0 || !g_file_get_contents (path, &text, NULL, NULL)
      || (name_end = strrchr (text, ')')) == NULL)
    return FALSE;

  fields = g_strsplit (name_end, " ", -1);
  /* Until the process is reaped, no other process has its pid. */
  if (g_strv_length (fields) <= EXIT_CODE || !g_str_equal (fields[STATE], "Z")
      || !can_read_proc (number) || read_proc_number (pidfd) != number)
    return FALSE;

  *wait_status = atoi (fields[EXIT_CODE]);
  return TRUE;
}

/* Any descriptor. */

/* Checks with other operations on pidfds. Signal 0 sends no signal. A directory of /proc can be
 * signalled as well, but is not a pidfd: it does not become readable. */
static gboolean
check_otherwise (int fd)
{
  g_autofree char *fdinfo = NULL;
  PidfdInfo info = { 0 };
  struct stat status;

  if (ioctl (fd, GET_INFO, &info) == 0 || errno == ESRCH)
    return TRUE;

  fdinfo = read_fdinfo (fd);
  if (fdinfo != NULL)
    return find_line (fdinfo, "Pid:") != NULL;

  return fstat (fd, &status) == 0 && !S_ISDIR (status.st_mode)
    && (afork_pidfd_send_signal (fd, 0) == 0 || errno == ESRCH || errno == EPERM);
}

gboolean
_afork_pidfd_check (int fd)
{
  siginfo_t info;

  if (waitid (P_PIDFD, (id_t) fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno == ECHILD)
    return TRUE;

  return afork_is_missing (errno) && check_otherwise (fd);
}
