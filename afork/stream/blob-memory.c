/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "blob-memory.h"

#include <gio/gio.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/i18n.h"
#include "base/memory.h"
#include "protocol-error.h"
#include "system/size-signal.h"

/* The entries of /proc/self/pagemap, as proc_pid_pagemap(5) has them. */
#define ENTRY_PRESENT (G_GUINT64_CONSTANT (1) << 63)
#define ENTRY_SWAPPED (G_GUINT64_CONSTANT (1) << 62)
#define ENTRY_OF_FILE (G_GUINT64_CONSTANT (1) << 61)

enum
{
  /* How many entries are read at a time. */
  ENTRIES_PER_READ = 512,
};

int
_afork_blob_memory_new (void)
{
  int fd = memfd_create ("afork-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  return fd < 0 ? -1 : _afork_fd_register (_afork_fd_avoid_standard (fd));
}

/* Sending. */

gboolean
_afork_blob_memory_reserve (int   fd,
                            gsize offset,
                            gsize size)
{
  AForkSizeSignal held;
  int result;

  afork_size_signal_hold (&held);
  do
    result = fallocate (fd, 0, (off_t) offset, (off_t) size);
  while (result < 0 && errno == EINTR);
  afork_size_signal_release (&held);

  return result == 0;
}

gboolean
_afork_blob_memory_write (int           fd,
                          gconstpointer data,
                          gsize         size)
{
  AForkSizeSignal held;
  gsize n_written = 0;
  gssize result;

  afork_size_signal_hold (&held);
  do
    {
      result = write (fd, (const guint8 *) data + n_written, size - n_written);
      if (result > 0)
        n_written += (gsize) result;
    }
  while (n_written < size && (result > 0 || (result < 0 && errno == EINTR)));
  afork_size_signal_release (&held);

  return n_written == size;
}

/* Receiving. */

/* The number of blocks would not do, because it includes blocks beyond the end of the file. */
gboolean
_afork_blob_memory_is_complete (int     fd,
                                guint64 size)
{
  off_t hole = lseek (fd, 0, SEEK_HOLE);

  return hole >= 0 && (guint64) hole == size;
}

gboolean
_afork_blob_memory_can_check (void)
{
  /* Atomic. 0: unknown; 1: it cannot; 2: it can. Two threads may both find out. */
  static int known;

  if (g_atomic_int_get (&known) == 0)
    {
      g_auto(AForkFd) fd = _afork_blob_memory_new ();

      /* There is no memfd to try now, perhaps because there are too few descriptors. */
      if (fd < 0)
        return TRUE;

      g_atomic_int_set (&known, fcntl (fd, F_GET_SEALS) >= 0 ? 2 : 1);
    }

  return g_atomic_int_get (&known) == 2;
}

gboolean
_afork_blob_memory_check (int       fd,
                          guint64   size,
                          int       seals,
                          GError  **error)
{
  int actual_seals = fcntl (fd, F_GET_SEALS);
  struct statfs system;
  struct stat status;

  /* Check the seals first, because other calls may block on another kind of file. */
  if (actual_seals < 0 && _afork_blob_memory_can_check ())
    return _afork_protocol_error_set (error, "a descriptor of a blob is not shared memory");
  if (actual_seals >= 0 && (actual_seals & seals) != seals)
    return _afork_protocol_error_set (error, "the memory of a blob is not sealed");
  if (fstatfs (fd, &system) < 0 || system.f_type != TMPFS_MAGIC)
    return _afork_protocol_error_set (error, "the memory of a blob is of the wrong kind");
  if (fstat (fd, &status) < 0 || (guint64) status.st_size != size)
    return _afork_protocol_error_set (error,
                                      "the memory of a blob has not the size that was announced");
  if (!_afork_blob_memory_is_complete (fd, size))
    return _afork_protocol_error_set (error, "the memory of a blob has holes");

  return TRUE;
}

void *
_afork_blob_memory_map (int       fd,
                        guint64   size,
                        GError  **error)
{
  /* Without MAP_POPULATE, pages are mapped when they are read, several at a time. This is as fast
   * in total, and the other side cannot make this process map pages that are not read. */
  void *data = mmap (NULL, (gsize) size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  int saved_errno = errno;

  if (data != MAP_FAILED)
    {
      /* If the program has called mlockall(), these pages are locked. A locked page is copied as
       * soon as it is writable, and its copy cannot be dropped. */
      munlock (data, (gsize) size);
      /* mlockall() also maps all pages at once, and would copy them if they were writable. So they
       * become writable only now. */
      if (mprotect (data, (gsize) size, PROT_READ | PROT_WRITE) == 0)
        return data;

      saved_errno = errno;
      munmap (data, (gsize) size);
    }

  if (saved_errno == ENOMEM)
    _afork_memory_set_error (error, (gsize) size);
  else
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
                 _("The memory of a blob could not be mapped: %s"), g_strerror (saved_errno));
  return NULL;
}

/* Copies of pages. */

/* Returns the number of page faults of this process, or 0 if the system does not count them. */
static guint64
count_faults (void)
{
  struct rusage usage;

  if (getrusage (RUSAGE_SELF, &usage) < 0)
    return 0;
  return (guint64) usage.ru_minflt + (guint64) usage.ru_majflt;
}

static gboolean
drop_pages (guint8 *data,
            gsize   size)
{
  if (size == 0 || madvise (data, size, MADV_DONTNEED) == 0)
    return TRUE;

  /* The program has called mlockall() meanwhile. */
  return munlock (data, size) == 0 && madvise (data, size, MADV_DONTNEED) == 0;
}

static gboolean
is_copy (guint64 entry)
{
  return (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0 && (entry & ENTRY_OF_FILE) == 0;
}

/* Reads from /proc which pages are copies, and drops them. This is several times as fast as
 * dropping all pages, which have to be mapped again one by one. Returns false if /proc does not
 * say. */
static gboolean
drop_found_copies (guint8 *data,
                   gsize   size)
{
  const gsize page_size = (gsize) sysconf (_SC_PAGESIZE);
  const gsize n_pages = (size + page_size - 1) / page_size;
  g_auto(AForkFd) fd = _afork_fd_register (open ("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  guint64 entries[ENTRIES_PER_READ];
  gsize n_entries;

  if (fd < 0)
    return FALSE;

  for (gsize first = 0; first < n_pages; first += n_entries)
    {
      off_t offset = (off_t) (((gsize) data / page_size + first) * sizeof *entries);
      gsize n_copies = 0;

      n_entries = MIN (n_pages - first, (gsize) ENTRIES_PER_READ);
      if (pread (fd, entries, n_entries * sizeof *entries, offset)
          != (gssize) (n_entries * sizeof *entries))
        return FALSE;

      for (gsize i = 0; i <= n_entries; i++)
        if (i < n_entries && is_copy (entries[i]))
          n_copies++;
        else if (n_copies > 0)
          {
            if (!drop_pages (data + (first + i - n_copies) * page_size, n_copies * page_size))
              return FALSE;
            n_copies = 0;
          }
    }

  return TRUE;
}

gboolean
_afork_blob_memory_drop_copies (void    *data,
                                gsize    size,
                                guint64 *n_faults)
{
  const guint64 n_faults_before = *n_faults;

  /* A page becomes a copy by a page fault. If there was none since the last time, in any thread,
   * there is no copy. To read the counter costs almost nothing. */
  *n_faults = count_faults ();
  if (*n_faults != 0 && *n_faults == n_faults_before)
    return TRUE;

  return drop_found_copies (data, size) || drop_pages (data, size);
}
