/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "module-cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "system/size-signal.h"

enum
{
  PIECE_SIZE = 16 * 1024,       /* read at once */
  MAX_SUFFIX = 16,              /* characters of a file name's suffix that are kept */
  DAY = 24 * 60 * 60,
  UNUSED_DAYS = 30,             /* after these, a file is deleted */
  TEMPORARY_DAYS = 1,           /* after these, a file that was not completed */
};

#define TEMPORARY_PREFIX ".new-"

/* Directories. */

/* Sets the failure to why the module NAME cannot be kept at PATH. */
static bool
fail_at (AForkFailure *failure,
         const char   *name,
         const char   *path,
         const char   *why)
{
  return afork_failure_set (failure, AFORK_WIRE_ERROR_MODULE,
                            "Module “%.255s” could not be kept in %.2000s: %s", name, path, why);
}

/* Returns why what is in DIRECTORY could be replaced by another user, or NULL. Users may put the
 * caches of all programs into a directory such as /tmp, but not those of one program. */
static const char *
check_directory (int  directory,
                 bool is_own)
{
  struct stat status;

  if (fstat (directory, &status) < 0)
    return strerror (errno);
  if (status.st_uid != geteuid () && (is_own || status.st_uid != 0))
    return "the directory belongs to another user";
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (is_own || (status.st_mode & S_ISVTX) == 0))
    return "other users may write to the directory";

  return NULL;
}

/* Makes the directory PATH, and those above it that are missing. */
static void
make_directories (char *path)
{
  for (char *slash = strchr (path + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/'))
    {
      *slash = '\0';
      mkdir (path, 0700);
      *slash = '/';
    }
  mkdir (path, 0700);
}

/* Opens the directory NAME in PARENT, which is closed, and makes it if it is missing. Returns -1
 * and sets errno or *WHY if it cannot be used. */
static int
open_own_directory (int          parent,
                    const char  *name,
                    const char **why)
{
  int directory, saved_errno;

  mkdirat (parent, name, 0700);
  directory = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  saved_errno = errno;
  close (parent);
  if (directory >= 0 && (*why = check_directory (directory, true)) != NULL)
    {
      close (directory);
      directory = -1;
    }
  errno = saved_errno;
  return directory;
}

/* Returns the path of the user's directory for caches, by the XDG Base Directory Specification, or
 * NULL. */
static char *
dup_cache_home (void)
{
  const char *cache = getenv ("XDG_CACHE_HOME");
  const char *home = getenv ("HOME");
  char *path = NULL;

  if (cache != NULL && cache[0] == '/')
    return strdup (cache);
  if (home == NULL || home[0] != '/' || asprintf (&path, "%s/.cache", home) < 0)
    return NULL;

  return path;
}

/* Opens the directory of modules, and sets *PATH to its path. If it cannot be used, returns -1 and
 * sets the failure, which names the directory that is at fault. */
static int
open_modules (const char    *name,
              char         **path,
              AForkFailure  *failure)
{
  static const char *const names[] = { "afork-1", "modules" };
  char *home = dup_cache_home ();
  const char *why = NULL;
  size_t length;
  int directory;

  if (home == NULL || asprintf (path, "%s/%s/%s", home, names[0], names[1]) < 0)
    {
      free (home);
      *path = NULL;
      afork_failure_set (failure, AFORK_WIRE_ERROR_MODULE,
                         "Module “%.255s” could not be kept: neither XDG_CACHE_HOME nor HOME is "
                         "the path of a directory", name);
      return -1;
    }

  make_directories (home);
  directory = open (home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  length = strlen (home);
  free (home);
  if (directory >= 0 && (why = check_directory (directory, false)) != NULL)
    {
      close (directory);
      directory = -1;
    }
  for (size_t i = 0; directory >= 0 && i < sizeof names / sizeof *names; i++)
    {
      directory = open_own_directory (directory, names[i], &why);
      length += 1 + strlen (names[i]);
    }
  if (directory < 0)
    {
      (*path)[length] = '\0';
      fail_at (failure, name, *path, why != NULL ? why : strerror (errno));
    }
  return directory;
}

/* Returns whether NAME is that of a file here, and sets *DAYS to how long it is kept. */
static bool
is_ours (const char *name,
         int        *days)
{
  if (strncmp (name, TEMPORARY_PREFIX, sizeof TEMPORARY_PREFIX - 1) == 0)
    {
      *days = TEMPORARY_DAYS;
      return true;
    }

  *days = UNUSED_DAYS;
  return strspn (name, "0123456789abcdef") == AFORK_SHA256_TEXT_SIZE - 1;
}

/* Deletes NAME if it is a file that was not completed, and whose process has ended. Until then, the
 * file is locked. Returns whether NAME was such a file. */
static bool
delete_incomplete (int         directory,
                   const char *name)
{
  bool incomplete;
  int fd;

  if (strncmp (name, TEMPORARY_PREFIX, sizeof TEMPORARY_PREFIX - 1) != 0)
    return false;

  fd = openat (directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  incomplete = fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0;
  /* The process that creates it may wait for the lock, and finds then that it is gone. */
  if (incomplete)
    unlinkat (directory, name, 0);
  if (fd >= 0)
    close (fd);
  return incomplete;
}

/* Deletes the files that were not used for long, and those that no process completes any more. */
static void
delete_old (int directory)
{
  const time_t now = time (NULL);
  int copy = openat (directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = copy >= 0 ? fdopendir (copy) : NULL;
  struct dirent *entry;

  if (entries == NULL)
    {
      if (copy >= 0)
        close (copy);
      return;
    }

  while ((entry = readdir (entries)) != NULL)
    {
      struct stat status;
      int days;

      if (!delete_incomplete (directory, entry->d_name) && is_ours (entry->d_name, &days)
          && fstatat (directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0
          && now - status.st_mtime > (time_t) days * DAY)
        unlinkat (directory, entry->d_name, 0);
    }
  closedir (entries);
}

/* Files. */

static bool
is_digest (const char *digest)
{
  return strlen (digest) == AFORK_SHA256_TEXT_SIZE - 1
    && strspn (digest, "0123456789abcdef") == AFORK_SHA256_TEXT_SIZE - 1;
}

/* Returns the suffix of NAME with its dot, or an empty string. Loaders may need it, and nothing
 * else of the name. */
static const char *
find_suffix (const char *name)
{
  const char *dot = strrchr (name, '.');

  if (dot == NULL || strlen (dot) > MAX_SUFFIX
      || strspn (dot + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
           != strlen (dot + 1))
    return "";

  return dot;
}

/* Returns whether the open file FD is of this user alone, and has the content. Another process of
 * the user might change it later, but such a process can do all that this one can. */
static bool
is_intact (const AForkCachedModule *self,
           int                      fd)
{
  char digest[AFORK_SHA256_TEXT_SIZE];
  uint8_t bytes[PIECE_SIZE];
  struct stat status;
  AForkSha256 sum;
  ssize_t n_read;

  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode) || status.st_uid != geteuid ()
      || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0 || (uint64_t) status.st_size != self->size)
    return false;

  afork_sha256_init (&sum);
  while ((n_read = read (fd, bytes, sizeof bytes)) > 0 || (n_read < 0 && errno == EINTR))
    if (n_read > 0)
      afork_sha256_add (&sum, bytes, (size_t) n_read);
  afork_sha256_finish (&sum, digest);
  return n_read == 0 && strcmp (digest, self->digest) == 0;
}

/* Looks for the file, and notes that it is used. */
static bool
find (AForkCachedModule *self)
{
  int fd = openat (self->directory, self->file_name,
                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  bool found;

  if (fd < 0)
    return false;

  found = is_intact (self, fd);
  if (found)
    futimens (fd, NULL);
  close (fd);
  return found;
}

/* Locks the new file FD, and returns whether it still has its name. */
static bool
lock (int fd)
{
  struct stat status;

  while (flock (fd, LOCK_EX) < 0 && errno == EINTR)
    ;
  return fstat (fd, &status) == 0 && status.st_nlink > 0;
}

/* Creates the file that receives the content. */
static bool
create (AForkCachedModule *self)
{
  struct timespec now;

  for (unsigned i = 0; i < 100; i++)
    {
      clock_gettime (CLOCK_MONOTONIC, &now);
      snprintf (self->temporary, sizeof self->temporary, TEMPORARY_PREFIX "%d-%lx-%u",
                (int) getpid (), (unsigned long) now.tv_nsec, i);
      self->fd = openat (self->directory, self->temporary,
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
      if (self->fd >= 0 && lock (self->fd))
        return true;
      if (self->fd >= 0)
        close (self->fd);
      else if (errno != EEXIST)
        break;
      self->fd = -1;
    }

  self->temporary[0] = '\0';
  return false;
}

AForkCachedModule *
afork_module_cache_open (const char   *name,
                         const char   *digest,
                         uint64_t      size,
                         bool         *found,
                         AForkFailure *failure)
{
  AForkCachedModule *self;
  char *directory = NULL;
  int length;

  if (!is_digest (digest))
    {
      afork_failure_set (failure, AFORK_WIRE_ERROR_PROTOCOL, "A file came without its SHA-256");
      return NULL;
    }

  self = calloc (1, sizeof *self);
  if (self == NULL)
    {
      afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));
      return NULL;
    }

  self->fd = -1;
  self->size = size;
  memcpy (self->digest, digest, sizeof self->digest);
  afork_sha256_init (&self->sum);
  self->name = strdup (name);
  self->directory = open_modules (name, &directory, failure);
  length = self->directory >= 0
    ? asprintf (&self->path, "%s/%s%s", directory, digest, find_suffix (name)) : 0;
  free (directory);
  if (length < 0)
    self->path = NULL;
  if (self->directory < 0)
    {
      afork_module_cache_free (self);
      return NULL;
    }
  if (self->path == NULL || self->name == NULL)
    {
      afork_failure_set (failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));
      afork_module_cache_free (self);
      return NULL;
    }

  self->file_name = strrchr (self->path, '/') + 1;
  *found = find (self);
  if (*found || create (self))
    return self;

  fail_at (failure, name, self->path, strerror (errno));
  afork_module_cache_free (self);
  return NULL;
}

/* Returns false and sets errno if not all can be written, also if the file would exceed a limit. */
static bool
write_all (int            fd,
           const uint8_t *bytes,
           size_t         n_bytes)
{
  AForkSizeSignal size_signal;
  ssize_t n_written = 0;

  afork_size_signal_hold (&size_signal);
  while (n_bytes > 0 && (n_written >= 0 || errno == EINTR))
    {
      n_written = write (fd, bytes, n_bytes);
      if (n_written > 0)
        {
          bytes += n_written;
          n_bytes -= (size_t) n_written;
        }
    }
  afork_size_signal_release (&size_signal);
  return n_bytes == 0;
}

bool
afork_module_cache_add (AForkCachedModule *self,
                        const uint8_t     *bytes,
                        size_t             n_bytes,
                        AForkFailure      *failure)
{
  if (n_bytes > self->size - self->n_received)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "A file came with more bytes than it has");

  afork_sha256_add (&self->sum, bytes, n_bytes);
  self->n_received += n_bytes;
  return write_all (self->fd, bytes, n_bytes)
    || fail_at (failure, self->name, self->path, strerror (errno));
}

bool
afork_module_cache_finish (AForkCachedModule *self,
                           AForkFailure      *failure)
{
  char digest[AFORK_SHA256_TEXT_SIZE];
  bool done;

  afork_sha256_finish (&self->sum, digest);
  if (strcmp (digest, self->digest) != 0)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_MODULE,
                              "Module “%.255s” was changed while it was copied: its SHA-256 is not "
                              "that which was announced", self->name);

  /* Errors of some file systems only come with close(). */
  done = fchmod (self->fd, 0400) == 0;
  if (close (self->fd) < 0)
    done = false;
  self->fd = -1;
  if (!done || renameat (self->directory, self->temporary, self->directory, self->file_name) < 0)
    return fail_at (failure, self->name, self->path, strerror (errno));

  self->temporary[0] = '\0';
  delete_old (self->directory);
  return true;
}

void
afork_module_cache_free (AForkCachedModule *self)
{
  if (self->temporary[0] != '\0')
    unlinkat (self->directory, self->temporary, 0);
  if (self->fd >= 0)
    close (self->fd);
  if (self->directory >= 0)
    close (self->directory);
  free (self->path);
  free (self->name);
  free (self);
}
