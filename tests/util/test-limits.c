/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-limits.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

gboolean
need_descriptors (guint n_fds)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  if (limit.rlim_max < n_fds)
    {
      g_autofree char *reason = NULL;

      reason = g_strdup_printf ("A process may not have %u descriptors here", n_fds);
      g_test_skip (reason);
      return FALSE;
    }
  if (limit.rlim_cur < n_fds)
    {
      limit.rlim_cur = n_fds;
      g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
    }

  return TRUE;
}

guint
allow_forks (guint max_forks)
{
  enum { FDS_PER_FORK = 4, OTHER_FDS = 200 };
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  limit.rlim_cur = MAX (limit.rlim_cur, MIN (limit.rlim_max, max_forks * FDS_PER_FORK + OTHER_FDS));
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  return (guint) MIN (max_forks, (limit.rlim_cur - OTHER_FDS) / FDS_PER_FORK);
}

static void
set_memory_limit (rlim_t size)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_AS, &limit));
  limit.rlim_cur = MIN (size, limit.rlim_max);
  g_assert_no_errno (setrlimit (RLIMIT_AS, &limit));
}

void
limit_memory (gsize more)
{
  g_autofree char *text = NULL;
  guint64 n_pages;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  n_pages = g_ascii_strtoull (text, NULL, 10);
  set_memory_limit (n_pages * (guint64) sysconf (_SC_PAGESIZE) + more);
}

void
unlimit_memory (void)
{
  set_memory_limit (RLIM_INFINITY);
}

enum { NOBODY = 65534 };

gboolean
become_ordinary_user (void)
{
  return geteuid () != 0 || setresuid (NOBODY, NOBODY, NOBODY) == 0;
}

gboolean
need_ordinary_user (void)
{
  int status;
  pid_t pid;

  pid = fork ();
  g_assert_no_errno (pid);
  if (pid == 0)
    _exit (become_ordinary_user () ? 0 : 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (status == 0)
    return TRUE;

  g_test_skip ("Root cannot become an ordinary user here");
  return FALSE;
}
