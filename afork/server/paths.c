/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* So many links and steps upwards are followed. The kernel follows as many links. */
enum { MAX_RESTARTS = 40 };

bool
afork_path_is_unreachable (int error)
{
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP
    || error == ENAMETOOLONG;
}

char *
afork_path_dup_real (int fd)
{
  char link[32], path[PATH_MAX];
  ssize_t length;

  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink (link, path, sizeof path - 1);
  if (length <= 0 || path[0] != '/')
    return NULL;

  path[length] = '\0';
  return strdup (path);
}

/* One name of a path is opened after the other. A link is not followed: its target takes its place
 * in the path, and the walk begins again at the root. */
typedef struct
{
  int         root;
  dev_t       device;           /* of the root */
  int         fd;               /* where the walk is: `root`, or a descriptor that is closed then */
  char        done[PATH_MAX];   /* the way to it, in which there are no links */
  char        rest[PATH_MAX];
  char        name[NAME_MAX + 1];
  unsigned    n_restarts;
} Walk;

/* Continues at FD, which is taken. */
static void
go_to (Walk *self,
       int   fd)
{
  if (self->fd != self->root)
    close (self->fd);
  self->fd = fd;
}

/* Begins again with START, a slash and the rest. START is DONE, or something else. */
static bool
restart (Walk       *self,
         const char *start)
{
  const size_t start_size = strlen (start), rest_size = strlen (self->rest);

  if (++self->n_restarts > MAX_RESTARTS || start_size + rest_size + 2 > sizeof self->rest)
    {
      errno = self->n_restarts > MAX_RESTARTS ? ELOOP : ENAMETOOLONG;
      return false;
    }

  memmove (self->rest + start_size + 1, self->rest, rest_size + 1);
  memcpy (self->rest, start, start_size);
  self->rest[start_size] = '/';
  self->done[0] = '\0';
  go_to (self, self->root);
  return true;
}

/* Takes the next name from the rest. Returns whether there was one: errno is 0 if not. */
static bool
take_name (Walk *self)
{
  const size_t n_slashes = strspn (self->rest, "/");
  const size_t length = strcspn (self->rest + n_slashes, "/");

  errno = length > NAME_MAX ? ENAMETOOLONG : 0;
  if (length == 0 || length > NAME_MAX)
    return false;

  memcpy (self->name, self->rest + n_slashes, length);
  self->name[length] = '\0';
  memmove (self->rest, self->rest + n_slashes + length,
           strlen (self->rest + n_slashes + length) + 1);
  return true;
}

static bool
is_last (const Walk *self)
{
  return self->rest[strspn (self->rest, "/")] == '\0';
}

/* Adds NAME to DONE. */
static bool
note_name (Walk       *self,
           const char *name)
{
  const size_t length = strlen (self->done);

  if (length + 1 + strlen (name) >= sizeof self->done)
    {
      errno = ENAMETOOLONG;
      return false;
    }

  self->done[length] = '/';
  strcpy (self->done + length + 1, name);
  return true;
}

/* To the directory above, which is the root itself above the root. */
static bool
go_up (Walk *self)
{
  char *slash = strrchr (self->done, '/');

  if (slash != NULL)
    *slash = '\0';
  return restart (self, self->done);
}

static bool
follow (Walk *self,
        int   link)
{
  char target[PATH_MAX];
  const ssize_t length = readlinkat (link, "", target, sizeof target - 1);

  close (link);
  if (length < 0)
    return false;

  target[length] = '\0';
  if (target[0] == '/')
    return restart (self, target);
  return note_name (self, target) && restart (self, self->done);
}

static bool
make_missing (Walk          *self,
              AForkPathMake  make,
              const char    *target)
{
  struct stat status;
  int fd;

  if (fstat (self->fd, &status) < 0)
    return false;
  if (status.st_dev != self->device)
    {
      errno = EROFS;
      return false;
    }

  if (!is_last (self) || make == AFORK_PATH_MAKE_DIRECTORY)
    return mkdirat (self->fd, self->name, 0755) == 0;
  if (make == AFORK_PATH_MAKE_LINK)
    return symlinkat (target, self->fd, self->name) == 0;

  fd = openat (self->fd, self->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
  if (fd >= 0)
    close (fd);
  return fd >= 0;
}

static int
open_name (Walk          *self,
           AForkPathMake  make,
           const char    *target)
{
  const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat (self->fd, self->name, flags);

  if (fd < 0 && errno == ENOENT && make_missing (self, make, target))
    fd = openat (self->fd, self->name, flags);
  return fd;
}

/* One name further. */
static bool
step (Walk          *self,
      AForkPathMake  make,
      const char    *target)
{
  struct stat status;
  int fd;

  if (strcmp (self->name, ".") == 0)
    return true;
  if (strcmp (self->name, "..") == 0)
    return go_up (self);

  fd = open_name (self, make, target);
  if (fd < 0)
    return false;
  if (fstat (fd, &status) == 0 && S_ISLNK (status.st_mode))
    return follow (self, fd);

  go_to (self, fd);
  return note_name (self, self->name);
}

int
afork_path_open_in_root (int            root,
                         const char    *path,
                         AForkPathMake  make,
                         const char    *target)
{
  Walk walk = { .root = root, .fd = root };
  struct stat status;
  int saved_errno;

  if (strlen (path) >= sizeof walk.rest)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  if (fstat (root, &status) < 0)
    return -1;

  walk.device = status.st_dev;
  strcpy (walk.rest, path);
  while (take_name (&walk))
    if (!step (&walk, make, target))
      break;

  if (errno == 0)
    return walk.fd != root ? walk.fd : fcntl (root, F_DUPFD_CLOEXEC, 0);

  saved_errno = errno;
  go_to (&walk, root);
  errno = saved_errno;
  return -1;
}
