/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Files that have a temporary name, because the file system has none without a name, and other
 * processes that sweep such names at the worst moment. */

#include "output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LATER (g_get_real_time () / G_USEC_PER_SEC + 1000)

typedef struct
{
  char *folder;
  char *path;       /* of the file that is written */
} Fixture;

static int n_sweeps;            /* by another process, just before a file is locked */
static int n_held;              /* files that another process locks before, to remove them */
static gboolean has_locks = TRUE;
static const char *swept;

/* The functions of the C library that the file uses. */

int
open (const char *path,
      int         flags,
      ...)
{
  mode_t mode = 0;
  va_list arguments;

  va_start (arguments, flags);
  if ((flags & O_CREAT) != 0)
    mode = (mode_t) va_arg (arguments, int);
  va_end (arguments);

  if ((flags & O_TMPFILE) == O_TMPFILE)
    {
      errno = EOPNOTSUPP;
      return -1;
    }
  return (int) syscall (SYS_openat, AT_FDCWD, path, flags, mode);
}

int
flock (int fd,
       int operation)
{
  if (!has_locks)
    {
      errno = ENOLCK;
      return -1;
    }
  if (n_held > 0)
    {
      n_held--;
      errno = EWOULDBLOCK;
      return -1;
    }
  if (n_sweeps > 0)
    {
      n_sweeps--;
      output_file_sweep_for (swept);
    }
  return (int) syscall (SYS_flock, fd, operation);
}

static guint
count_files (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->folder = g_dir_make_tmp ("output-file-XXXXXX", NULL);
  fixture->path = g_build_filename (fixture->folder, "a.png", NULL);
  swept = fixture->path;
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  g_unlink (fixture->path);
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static OutputFile *
open_file (Fixture *fixture)
{
  g_autoptr(GError) error = NULL;
  OutputFile *file = output_file_new (fixture->path, 0600, &error);

  g_assert_no_error (error);
  g_assert_nonnull (file->temporary);
  g_assert_cmpint (write (file->fd, "whole", 5), ==, 5);
  return file;
}

static void
commit (Fixture    *fixture,
        OutputFile *file)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *content = NULL;

  output_file_commit (file, &error);
  g_assert_no_error (error);
  g_file_get_contents (fixture->path, &content, NULL, NULL);
  g_assert_cmpstr (content, ==, "whole");
  g_assert_cmpuint (count_files (fixture->folder), ==, 1);
}

static void
test_ends (Fixture       *fixture,
           gconstpointer  data)
{
  output_file_free (open_file (fixture));
  g_assert_cmpuint (count_files (fixture->folder), ==, 0);

  for (int i = 0; i < 2; i++)
    {
      g_autoptr(OutputFile) file = open_file (fixture);

      commit (fixture, file);
    }
}

/* Another process is in the way of the next two files that are made, as COUNTER says. */
static void
test_disturbed (Fixture       *fixture,
                gconstpointer  counter)
{
  g_autoptr(OutputFile) file = NULL;
  int *n_left = (int *) counter;

  *n_left = 2;
  file = open_file (fixture);
  g_assert_cmpint (*n_left, ==, 0);
  commit (fixture, file);
}

static void
test_without_locks (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr(OutputFile) file = NULL;

  has_locks = FALSE;
  file = open_file (fixture);
  has_locks = TRUE;
  commit (fixture, file);
}

/* A picture may take longer than the time after which files are taken for left. */
static void
test_sweep_spares_what_is_written (Fixture       *fixture,
                                   gconstpointer  data)
{
  g_autoptr(OutputFile) file = open_file (fixture);
  g_autofree char *left = g_build_filename (fixture->folder, ".b.png.AbC123", NULL);

  g_assert_true (g_file_set_contents (left, "half", -1, NULL));
  output_file_sweep (fixture->folder, ".png", LATER);
  output_file_sweep_for (fixture->path);
  g_assert_false (g_file_test (left, G_FILE_TEST_EXISTS));
  commit (fixture, file);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add ("/output-file/ends", Fixture, NULL, set_up, test_ends, tear_down);
  g_test_add ("/output-file/swept-before-lock", Fixture, &n_sweeps, set_up, test_disturbed,
              tear_down);
  g_test_add ("/output-file/locked-before", Fixture, &n_held, set_up, test_disturbed, tear_down);
  g_test_add ("/output-file/without-locks", Fixture, NULL, set_up, test_without_locks, tear_down);
  g_test_add ("/output-file/sweep-spares-what-is-written", Fixture, NULL, set_up,
              test_sweep_spares_what_is_written, tear_down);

  return g_test_run ();
}
