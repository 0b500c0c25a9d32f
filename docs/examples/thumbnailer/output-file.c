/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <unistd.h>

static void
set_error (GError     **error,
           const char  *path,
           int          saved_errno)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
               "%s could not be written: %s", name, g_strerror (saved_errno));
}

OutputFile *
output_file_new (const char  *path,
                 int          mode,
                 GError     **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *basename = g_path_get_basename (path);
  g_autofree char *hidden = g_strdup_printf (".%s.XXXXXX", basename);
  g_autofree char *temporary = g_build_filename (folder, hidden, NULL);
  OutputFile *self;
  int fd;

  /* Reports this now, and not at the end, when a directory cannot be replaced. */
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      set_error (error, path, EISDIR);
      return NULL;
    }

  fd = g_mkstemp_full (temporary, O_RDWR | O_CLOEXEC, mode);
  if (fd < 0)
    {
      set_error (error, path, errno);
      return NULL;
    }

  self = g_new (OutputFile, 1);
  self->path = g_strdup (path);
  self->temporary = g_steal_pointer (&temporary);
  self->fd = fd;

  return self;
}

gboolean
output_file_commit (OutputFile  *self,
                    GError     **error)
{
  g_assert (self->temporary != NULL);

  if (g_rename (self->temporary, self->path) < 0)
    {
      set_error (error, self->path, errno);
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

  close (self->fd);
  g_free (self->temporary);
  g_free (self->path);
  g_free (self);
}
