/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "work-file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

WorkFile
work_file_for_bytes (GBytes *content)
{
  return (WorkFile) { .fd = -1, .content = g_bytes_ref (content) };
}

void
work_file_clear (WorkFile *self)
{
  g_clear_pointer (&self->content, g_bytes_unref);
  g_clear_pointer (&self->written, g_byte_array_unref);
}

gssize
work_file_peek (WorkFile *self,
                gsize     offset,
                void     *buffer,
                gsize     size)
{
  const guint8 *content;
  gsize n_content;

  if (self->fd >= 0)
    return TEMP_FAILURE_RETRY (pread (self->fd, buffer, size, (off_t) offset));

  content = g_bytes_get_data (self->content, &n_content);
  if (offset >= n_content)
    return 0;

  size = MIN (size, n_content - offset);
  memcpy (buffer, content + offset, size);
  return (gssize) size;
}

gssize
work_file_read (WorkFile *self,
                void     *buffer,
                gsize     size)
{
  gssize n_read;

  if (self->fd >= 0)
    return TEMP_FAILURE_RETRY (read (self->fd, buffer, size));

  n_read = work_file_peek (self, self->position, buffer, size);
  self->position += (gsize) n_read;
  return n_read;
}

gboolean
work_file_rewind (WorkFile *self)
{
  self->position = 0;
  return self->fd < 0 || lseek (self->fd, 0, SEEK_SET) == 0;
}

gboolean
work_file_write (WorkFile   *self,
                 const void *bytes,
                 gsize       size)
{
  const guint8 *next = bytes;

  if (self->fd < 0)
    {
      if (self->written == NULL)
        self->written = g_byte_array_new ();
      g_byte_array_append (self->written, bytes, (guint) size);
      return TRUE;
    }

  while (size > 0)
    {
      gssize n_written = TEMP_FAILURE_RETRY (write (self->fd, next, size));

      if (n_written < 0)
        return FALSE;

      next += n_written;
      size -= (gsize) n_written;
    }

  return TRUE;
}
