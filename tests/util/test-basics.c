/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-basics.h"

#include <malloc.h>
#include <string.h>
#include <time.h>

gboolean
is_under_valgrind (void)
{
  return g_getenv ("AFORK_TEST_VALGRIND") != NULL;
}

gboolean
skip_under_valgrind (const char *why)
{
  if (!is_under_valgrind ())
    return FALSE;

  g_test_skip (why);
  return TRUE;
}

gboolean
is_instrumented (void)
{
#if defined (__SANITIZE_ADDRESS__) || defined (__SANITIZE_THREAD__)
  return TRUE;
#else
  return is_under_valgrind ();
#endif
}

gboolean
is_own_program (void)
{
  if (g_test_subprocess ())
    return TRUE;

  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
  return FALSE;
}

gsize
get_heap_size (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

char
get_process_state (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
  g_autofree char *text = NULL;
  const char *name_end;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  name_end = strrchr (text, ')');
  g_assert_nonnull (name_end);
  return name_end[2];
}

gint64
get_own_time (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}
