/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture.h"

#include "auto-fd.h"
#include "descriptors.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <sys/stat.h>

static gboolean
has_parent_component (const char *filename)
{
  g_auto(GStrv) components = g_strsplit (filename, "/", -1);

  return g_strv_contains ((const char * const *) components, "..");
}

/* Returns the path that file managers have for a file. Behind a link, `..` leads to the parent of
 * the folder that the link leads to. So if a name has it, the folder is resolved by the system.
 * Other links stay in the path, because they are also in the URI that other programs have. */
static char *
make_path (const char *filename)
{
  g_autofree char *folder = g_path_get_dirname (filename);
  g_autofree char *basename = g_path_get_basename (filename);
  char *real = NULL;
  char *path;

  if (has_parent_component (folder) && !g_str_equal (basename, ".."))
    real = realpath (folder, NULL);
  if (real == NULL)
    return g_canonicalize_filename (filename, NULL);

  path = g_build_filename (real, basename, NULL);
  free (real);
  return path;
}

Picture *
picture_new (const char *filename)
{
  Picture *self = g_new0 (Picture, 1);

  self->name = text_from_filename (filename);
  self->path = make_path (filename);
  self->uri = g_filename_to_uri (self->path, NULL, NULL);

  return self;
}

void
picture_free (Picture *self)
{
  g_free (self->name);
  g_free (self->path);
  g_free (self->uri);
  g_free (self->thumbnail);
  g_clear_error (&self->error);
  g_free (self);
}

const char *
picture_describe_kind (mode_t mode)
{
  switch (mode & S_IFMT)
    {
    case S_IFDIR:
      return "a folder";
    case S_IFIFO:
      return "a named pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "a device";
    }
}

static void
set_error_from_errno (GError **error)
{
  int saved_errno = errno;

  g_set_error_literal (error, G_IO_ERROR, descriptors_error_code (saved_errno),
                       g_strerror (saved_errno));
}

static gboolean
check_kind (const struct stat  *info,
            GError            **error)
{
  if (S_ISREG (info->st_mode))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
               "It is %s, not a file", picture_describe_kind (info->st_mode));
  return FALSE;
}

/* The name may be that of any file. A socket cannot be opened, and a device may do something when
 * it is opened. Another file may get the name meanwhile: the open must not wait for the writer of a
 * pipe, and a terminal must not become the controlling terminal. */
int
picture_open (Picture  *self,
              GError  **error)
{
  struct stat info;
  g_auto(AutoFd) fd = -1;

  if (stat (self->path, &info) == 0 && !check_kind (&info, error))
    return -1;

  fd = open (self->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0 || fstat (fd, &info) < 0)
    {
      set_error_from_errno (error);
      return -1;
    }
  if (!check_kind (&info, error))
    return -1;

  self->size = info.st_size;
  self->mtime = info.st_mtime;

  return g_steal_fd (&fd);
}

gboolean
picture_has_changed (const Picture *self,
                     int            fd)
{
  struct stat info;

  return fstat (fd, &info) == 0
         && ((guint64) info.st_size != self->size || info.st_mtime != self->mtime);
}

static void
end_with (Picture        *self,
          PictureOutcome  outcome,
          GError         *error)
{
  g_assert (self->error == NULL);

  self->outcome = outcome;
  self->error = error;
}

void
picture_fail (Picture *self,
              GError  *error)
{
  end_with (self, PICTURE_FAILED, error);
}

void
picture_leave (Picture *self,
               GError  *error)
{
  end_with (self, PICTURE_LEFT, error);
}
