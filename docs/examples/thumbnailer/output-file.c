/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "output-file.h"

#include "auto-fd.h"
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define NAME_TRIES 100
#define RANDOM     "XXXXXX"     /* six characters at the end of a temporary name, as of mkstemp() */

void
output_file_set_error (GError     **error,
                       const char  *path,
                       int          code,
                       const char  *cause)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, code, "%s could not be written: %s", name, cause);
}

void
output_file_set_errno (GError     **error,
                       const char  *path,
                       int          error_number)
{
  output_file_set_error (error, path, descriptors_error_code (error_number),
                         g_strerror (error_number));
}

/* Returns what the temporary names of a file begin with. A long name is cut, between characters. */
static char *
make_prefix (const char *folder,
             const char *basename)
{
  const long name_max = pathconf (folder, _PC_NAME_MAX);
  const gsize longest = (name_max > 0 ? (gsize) name_max : NAME_MAX) - strlen (".." RANDOM);
  gsize length = strlen (basename);

  if (length > longest)
    {
      length = longest;
      while (length > 0 && (basename[length] & 0xc0) == 0x80)
        length--;
    }

  return g_strdup_printf (".%.*s.", (int) length, basename);
}

/* Returns a template for g_mkstemp(): a hidden name in the folder of PATH. */
static char *
make_template (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *basename = g_path_get_basename (path);
  g_autofree char *prefix = make_prefix (folder, basename);
  g_autofree char *hidden = g_strconcat (prefix, RANDOM, NULL);

  return g_build_filename (folder, hidden, NULL);
}

/* A file that has a name before it is complete is locked as long as a process has it open. */
static gboolean
lock (int fd)
{
  return flock (fd, LOCK_EX | LOCK_NB) == 0;
}

/* A file without a name, which is gone with the last process that has it open. Returns -1 if the
 * file system has none, or if it could not get a name later. */
static int
open_unnamed (const char *path,
              int         mode)
{
  g_autofree char *folder = g_path_get_dirname (path);

  if (access ("/proc/self/fd", X_OK) < 0)
    return -1;

  return open (folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
}

/* Locks a file that has just been made, and returns whether it still has its name. Another process
 * may have locked it before, to remove it as one that is left. A file system without locks has no
 * such process. */
static gboolean
lock_new (int fd)
{
  struct stat info;

  return (lock (fd) || errno != EWOULDBLOCK) && fstat (fd, &info) == 0 && info.st_nlink > 0;
}

static int
open_named (const char  *path,
            int          mode,
            char       **temporary)
{
  for (guint i = 0; i < NAME_TRIES; i++)
    {
      g_autofree char *name = make_template (path);
      int fd = g_mkstemp_full (name, O_RDWR | O_CLOEXEC, mode);

      if (fd < 0)
        return -1;
      if (lock_new (fd))
        {
          *temporary = g_steal_pointer (&name);
          return fd;
        }
      g_unlink (name);
      close (fd);
    }

  errno = EBUSY;
  return -1;
}

OutputFile *
output_file_try_new (const char *path,
                     int         mode)
{
  g_autofree char *temporary = NULL;
  OutputFile *self;
  int fd;

  /* Reports this now, and not at the end, when a directory cannot be replaced. */
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      errno = EISDIR;
      return NULL;
    }

  fd = open_unnamed (path, mode);
  if (fd < 0)
    fd = open_named (path, mode, &temporary);
  if (fd < 0)
    return NULL;

  self = g_new0 (OutputFile, 1);
  self->path = g_strdup (path);
  self->temporary = g_steal_pointer (&temporary);
  self->fd = fd;
  self->owns_fd = TRUE;

  return self;
}

OutputFile *
output_file_new (const char  *path,
                 int          mode,
                 GError     **error)
{
  OutputFile *self = output_file_try_new (path, mode);

  if (self == NULL)
    output_file_set_errno (error, path, errno);
  return self;
}

int
output_file_give_fd (OutputFile *self)
{
  self->owns_fd = FALSE;
  return self->fd;
}

static gboolean
link_as (const OutputFile *self,
         const char       *path)
{
  char unnamed[64];

  g_snprintf (unnamed, sizeof unnamed, "/proc/self/fd/%d", self->fd);
  return linkat (AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

/* Gives a file a name that no other file has, in the way of mkstemp(). */
static gboolean
name_it (OutputFile *self)
{
  g_autofree char *path = make_template (self->path);
  char *end = path + strlen (path) - strlen (RANDOM);

  lock (self->fd);
  for (guint i = 0; i < NAME_TRIES; i++)
    {
      g_snprintf (end, strlen (RANDOM) + 1, "%06x", g_random_int () & 0xffffff);
      if (link_as (self, path))
        {
          self->temporary = g_steal_pointer (&path);
          return TRUE;
        }
      if (errno != EEXIST)
        return FALSE;
    }

  return FALSE;
}

/* Drops what is behind the position of the descriptor, to which the whole file has been written. If
 * another process had written more before it crashed, that is still there. */
static gboolean
trim (OutputFile *self)
{
  off_t size = lseek (self->fd, 0, SEEK_CUR);

  return size >= 0 && ftruncate (self->fd, size) == 0;
}

/* A link cannot replace a file, and a file without a name cannot be renamed. So if there is a file
 * already, the new one has a name of its own for a moment. */
gboolean
output_file_commit (OutputFile  *self,
                    GError     **error)
{
  if (!trim (self))
    {
      output_file_set_errno (error, self->path, errno);
      return FALSE;
    }

  if (self->temporary == NULL && link_as (self, self->path))
    return TRUE;

  if ((self->temporary == NULL && (errno != EEXIST || !name_it (self)))
      || g_rename (self->temporary, self->path) < 0)
    {
      output_file_set_errno (error, self->path, errno);
      return FALSE;
    }

  g_clear_pointer (&self->temporary, g_free);
  return TRUE;
}

void
output_file_free (OutputFile *self)
{
  if (self->temporary != NULL)
    g_unlink (self->temporary);

  if (self->owns_fd)
    close (self->fd);
  g_free (self->temporary);
  g_free (self->path);
  g_free (self);
}

/* Whether a process still writes the file. Without locks, this is not known. */
static gboolean
is_locked (const char *path)
{
  g_auto(AutoFd) fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

  return fd >= 0 && !lock (fd) && errno == EWOULDBLOCK;
}

/* Whether NAME is one that mkstemp() or name_it() makes for a file NAME of SUFFIX. */
static gboolean
is_temporary_name (const char *name,
                   const char *suffix)
{
  const char *dot = strrchr (name, '.');

  return name[0] == '.' && dot != NULL && strlen (dot) == strlen ("." RANDOM)
         && (gsize) (dot - name) > strlen (suffix)
         && strncmp (dot - strlen (suffix), suffix, strlen (suffix)) == 0;
}

void
output_file_sweep (const char *folder,
                   const char *suffix,
                   gint64      before)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      GStatBuf info;

      if (is_temporary_name (name, suffix) && g_lstat (path, &info) == 0
          && S_ISREG (info.st_mode) && info.st_mtime < before && !is_locked (path))
        g_unlink (path);
    }
}

/* No process has it open if it can be locked. */
static void
sweep_one (const char *path)
{
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  struct stat info;

  if (fd < 0)
    return;

  if (fstat (fd, &info) == 0 && S_ISREG (info.st_mode) && info.st_uid == geteuid () && lock (fd))
    g_unlink (path);
  close (fd);
}

void
output_file_sweep_for (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *basename = g_path_get_basename (path);
  g_autofree char *prefix = make_prefix (folder, basename);
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *found = g_build_filename (folder, name, NULL);

      if (g_str_has_prefix (name, prefix) && strlen (name) == strlen (prefix) + strlen (RANDOM))
        sweep_one (found);
    }
}
