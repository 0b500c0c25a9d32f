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

/* The kernel's own record of a process, kept as long as there is a pidfd of it: Linux 6.13,
 * and how it ended from 6.15 on, include/uapi/linux/pidfd.h, whose names may not be on this
 * system. */
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

/* No other process has the pid of CHILD yet, even if the program reaps its children at once: the
 * kernel does not use a pid again so soon. */
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
  /* The process was reaped between the kernel's two looks, for its record and for the process. */
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

/* The line of TEXT that begins with NAME, behind that, or NULL. */
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

/* What /proc has of a pidfd, or NULL. Where it is that of a PID namespace which this process is
 * not in, there is no /proc/self. */
static char *
read_fdinfo (int pidfd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", pidfd);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : NULL;
}

/* The number by which /proc has the process; -1 if that was reaped, and 0 if it has none
 * there. */
static int
get_proc_number (const char *fdinfo)
{
  const char *line = fdinfo != NULL ? find_line (fdinfo, "Pid:") : NULL;

  return line != NULL ? atoi (line) : 0;
}

/* The numbers of a line, of which N_MOST are looked at. */
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

/* Linux allows no more PID namespaces within one another. */
enum { MAX_NAMESPACES = 33 };

/* /proc may belong to a namespace around this process's own. Then it has a line of all numbers
 * that a process has, from its own namespace inwards, and this process's is as deep in there as
 * its own last number is. */
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

/* Whether /proc tells this program of a process what it tells only those who may trace it. The
 * executable of one that has ended is not there, but a program that may not know is told so
 * first. */
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
  /* The third field of all and the 52nd, counted from the end of the name, which is the
   * second. */
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
  /* As long as it is not reaped, the number is its own. */
  if (g_strv_length (fields) <= EXIT_CODE || !g_str_equal (fields[STATE], "Z")
      || !can_read_proc (number) || read_proc_number (pidfd) != number)
    return FALSE;

  *wait_status = atoi (fields[EXIT_CODE]);
  return TRUE;
}

/* Any descriptor. */

/* The same by what else there is for pidfds. Signal 0 is none. A folder of /proc can be signalled
 * as well, but never tells of an end. */
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
