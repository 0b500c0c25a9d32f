/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-outbox.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"
#include "protocol-error.h"
#include "system/size-signal.h"

struct _AForkCallOutbox
{
  AForkCallOutboxHeader *header;
  guint8                *bytes;     /* after the header */
  gsize                  capacity;  /* the size of `bytes` */
  gsize                  start;     /* where the bytes begin that were not sent */
  gsize                  end;       /* where the bytes end that were added */
};

/* The worker's half. The worker may crash between any two instructions. */

static void
store (guint32 *word,
       guint32  value)
{
  __atomic_store_n (word, value, __ATOMIC_RELEASE);
}

AForkCallOutbox *
_afork_call_outbox_new (int fd)
{
  AForkCallOutbox *self;
  struct stat status;
  gpointer memory;

  if (fstat (fd, &status) < 0
      || status.st_size <= AFORK_CALL_OUTBOX_HEADER_SIZE
      || status.st_size > AFORK_CALL_OUTBOX_CONCURRENT_SIZE)
    return NULL;

  memory = mmap (NULL, (gsize) status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    return NULL;

  self = g_new0 (AForkCallOutbox, 1);
  self->header = memory;
  self->bytes = (guint8 *) memory + AFORK_CALL_OUTBOX_HEADER_SIZE;
  self->capacity = (gsize) status.st_size - AFORK_CALL_OUTBOX_HEADER_SIZE;
  store (&self->header->in_use, 1);
  return self;
}

void
_afork_call_outbox_free (AForkCallOutbox *self)
{
  munmap (self->header, AFORK_CALL_OUTBOX_HEADER_SIZE + self->capacity);
  g_free (self);
}

guint8 *
_afork_call_outbox_add (AForkCallOutbox *self,
                        gsize            size,
                        guint64          n_sent)
{
  guint8 *out;

  if (self->start == self->end)
    {
      self->start = self->end = 0;
      store (&self->header->size, 0);
      __atomic_store_n (&self->header->base, n_sent, __ATOMIC_RELEASE);
    }
  if (size > self->capacity - self->end)
    return NULL;

  out = self->bytes + self->end;
  self->end += size;
  return out;
}

void
_afork_call_outbox_publish (AForkCallOutbox *self)
{
  if (self->start < self->end)
    store (&self->header->size, (guint32) self->end);
}

const guint8 *
_afork_call_outbox_peek (AForkCallOutbox *self,
                         gsize           *size)
{
  *size = self->end - self->start;
  return self->bytes + self->start;
}

void
_afork_call_outbox_remove (AForkCallOutbox *self,
                           gsize            size)
{
  self->start += size;
}

void
_afork_call_outbox_clear (AForkCallOutbox *self)
{
  store (&self->header->size, 0);
  self->start = self->end = 0;
}

void
_afork_call_outbox_set_begun (AForkCallOutbox *self,
                              guint32          number)
{
  store (&self->header->begun, number);
}

/* The caller's half. */

/* Without this, the kernel would end the program by SIGXFSZ if SIZE exceeds RLIMIT_FSIZE. */
static int
set_size (int   fd,
          gsize size)
{
  AForkSizeSignal held;
  int result;

  afork_size_signal_hold (&held);
  result = ftruncate (fd, (off_t) size);
  afork_size_signal_release (&held);
  return result;
}

int
_afork_call_outbox_make (gsize size)
{
  g_auto(AForkFd) fd = memfd_create ("afork-outbox", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd >= 0)
    fd = _afork_fd_register (_afork_fd_avoid_standard (fd));
  if (fd < 0
      || set_size (fd, size) < 0
      || fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    return -1;

  return g_steal_fd (&fd);
}

/* The outbox is sealed, so that the worker cannot change its size. */
static gboolean
read_all (int       fd,
          gpointer  bytes,
          gsize     size,
          gsize     offset,
          GError  **error)
{
  gssize result = pread (fd, bytes, size, (off_t) offset);

  return result == (gssize) size || _afork_protocol_error_set (error, "its outbox cannot be read");
}

GBytes *
_afork_call_outbox_read (int       fd,
                         gsize     size,
                         guint64   n_received,
                         gboolean *in_use,
                         guint32  *begun,
                         GError  **error)
{
  g_autofree guint8 *bytes = NULL;
  AForkCallOutboxHeader header;
  AForkCallOutboxRest rest;
  const char *why;

  *in_use = FALSE;
  if (!read_all (fd, &header, sizeof header, 0, error))
    return NULL;

  if (!afork_call_outbox_parse (&header, size, n_received, &rest, &why))
    {
      _afork_protocol_error_set (error, "%s", why);
      return NULL;
    }

  *in_use = rest.in_use;
  *begun = rest.begun;
  if (rest.size == 0)
    return NULL;

  bytes = g_try_malloc (rest.size);
  if (bytes == NULL)
    {
      _afork_memory_set_error (error, rest.size);
      return NULL;
    }
  if (!read_all (fd, bytes, rest.size, rest.offset, error))
    return NULL;

  return g_bytes_new_take (g_steal_pointer (&bytes), rest.size);
}
