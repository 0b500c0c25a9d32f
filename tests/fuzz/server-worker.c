/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The worker: modules, their functions, and programs that are executed; and what they are given. */

#include <stdarg.h>

#include <afork/server/server-prepare.h>
#include <afork/server/server.h>

#include "server-target.h"

/* The process has the end that it was sent, and one that it has opened itself. */
static bool
is_death_pipe (int fd)
{
  struct stat status;

  return world.death_pipe_inode != 0 && (fstat) (fd, &status) == 0
    && status.st_ino == world.death_pipe_inode;
}

/* Whether every open descriptor is one that a function or a program must have. */
static void
check_fds (int              socket,
           const AForkItem *items,
           size_t           n_items)
{
  bool is_open[N_FDS];

  list_open (is_open, N_FDS);
  for (int fd = STDERR_FILENO + 1; fd < N_FDS; fd++)
    {
      bool is_item = false;

      if (!is_open[fd] || world.foreign[fd] || world.kept[fd] || fd == socket
          || is_death_pipe (fd) || ((fcntl) (fd, F_GETFD) & FD_CLOEXEC) == 0)
        continue;

      for (size_t i = 0; i < n_items; i++)
        is_item |= items[i].kind == AFORK_ITEM_FD && items[i].fd == fd;
      if (!is_item)
        die ("descriptor %d is open, and is nothing that was sent", fd);
    }
}

/* So that a tool sees reads where there is nothing to read. */
static void
look_at (const char *bytes,
         size_t      n_bytes)
{
  static volatile char seen;

  for (size_t i = 0; i < n_bytes; i++)
    seen = bytes[i];
  (void) seen;
}

static void
check_items (const AForkItem *items,
             size_t           n_items)
{
  for (size_t i = 0; i < n_items; i++)
    {
      const AForkItem *item = &items[i];

      if (item->kind == AFORK_ITEM_FD)
        {
          if (!is_server_fd (item->fd) || ((fcntl) (item->fd, F_GETFD) & FD_CLOEXEC) == 0
              || item->data != NULL || item->size != 0)
            die ("an item is no descriptor that is to be one");
          continue;
        }

      look_at (item->data, item->size);
      if (item->fd != -1 || item->data[item->size] != '\0')
        die ("an item has no end");
    }
}

/* The function or the program has the socket now. The caller must have been told. */
static void
hand_over (int socket)
{
  Link *link = find_link (socket);

  if (link == NULL)
    die ("the socket is no link");
  check_output (link);
  if (link->fd >= 0 && !link->ready)
    die ("a function is entered, and the caller has not been told");
  link->raw = true;
  for (size_t i = 0; i < world.n_children; i++)
    if (world.children[i].ours && world.children[i].state != REAPED)
      die ("a function is entered in a process that has forks");
}

int
world_execvp (const char  *file,
              char       **argv)
{
  if (file == NULL || argv[0] == NULL)
    die ("a program is executed that has no name");
  if ((fcntl) (STDIN_FILENO, F_GETFD) < 0 || (fcntl) (STDOUT_FILENO, F_GETFD) < 0)
    die ("a program is executed that has no standard input or output");
  if (world.death_pipe >= 0 && ((fcntl) (world.death_pipe, F_GETFD) & FD_CLOEXEC) != 0)
    die ("a program is executed that does not have the death pipe");
  for (int fd = STDERR_FILENO + 1; fd < N_FDS; fd++)
    if (is_server_fd (fd) && !is_death_pipe (fd) && !afork_server_is_mapped (fd)
        && ((fcntl) (fd, F_GETFD) & FD_CLOEXEC) == 0)
      die ("a program is executed that has descriptor %d, which nobody has mapped", fd);
  if (strcmp (file, "run") != 0)
    return errno = ENOENT, -1;

  longjmp (world.end, 1);
}

void
world_exit (int status)
{
  (void) status;
  longjmp (world.end, 1);
}

void
world_quick_exit (int status)
{
  world_exit (status);
}

/* The state of the process. */

int
world_setenv (const char *name,
              const char *value,
              int         overwrite)
{
  (void) overwrite;
  if (*name == '\0' || strchr (name, '=') != NULL)
    return errno = EINVAL, -1;
  return strlen (value) > 20000 || system_fails (ENOMEM) ? -1 : 0;
}

int
world_unsetenv (const char *name)
{
  return *name == '\0' || strchr (name, '=') != NULL ? errno = EINVAL, -1 : 0;
}

int
world_chdir (const char *path)
{
  return strcmp (path, "/") == 0 ? 0 : (errno = ENOENT, -1);
}

/* The directory of the threads has one more link for each. */
int
world_stat (const char  *path,
            struct stat *status)
{
  (void) path;
  status->st_nlink = world.next_fork == 3 ? 4 : 3;
  return 0;
}

DIR *
world_opendir (const char *path)
{
  (void) path;
  world.next_fork = 0;
  errno = EACCES;
  return NULL;
}

/* Modules. */

int
world_access (const char *path,
              int         mode)
{
  (void) mode;
  return strstr (path, "echo") != NULL ? 0 : (errno = ENOENT, -1);
}

void *
world_dlopen (const char *path,
              int         flags)
{
  (void) flags;
  return strstr (path, "echo") != NULL || strstr (path, "other") != NULL ? samples : NULL;
}

char *
world_dlerror (void)
{
  static char text[] = "there is no such object";

  return text;
}

void
run (int              socket,
     const AForkItem *items,
     size_t           n_items)
{
  size_t n_more = 1;

  hand_over (socket);
  check_items (items, n_items);
  check_fds (socket, items, n_items);
  if (afork_worker_take_items (&n_more) != NULL || n_more != 0)
    die ("there are items left when a function has got them");
  if ((send) (socket, "raw", 3, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
    die ("the socket is none");
}

static void
init (int                 argc,
      const char * const *argv)
{
  for (int i = 0; i < argc; i++)
    look_at (argv[i], strlen (argv[i]));
  if (argv[argc] != NULL)
    die ("the arguments have no end");
}

static void
take (int                 argc,
      const char * const *argv)
{
  size_t n_items;
  const AForkItem *items = afork_worker_take_items (&n_items);

  init (argc, argv);
  check_items (items, n_items);
  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_FD)
      world.kept[items[i].fd] = true;
}

static void
leave (int                 argc,
       const char * const *argv)
{
  init (argc, argv);
  world_exit (argc);
}

void *
world_dlsym (void       *handle,
             const char *symbol)
{
  (void) handle;
  if (strcmp (symbol, "run") == 0)
    return world.calls ? NULL : (void *) run;
  if (!world.calls)
    return NULL;
  if (strcmp (symbol, "init") == 0)
    return (void *) init;
  if (strcmp (symbol, "take") == 0)
    return (void *) take;
  if (strcmp (symbol, "leave") == 0)
    return (void *) leave;
  return NULL;
}

/* The caller and its modules know the type of a function. Here, no function is called with another
 * type. */
static bool
call (void               *data,
      const char         *function,
      int                 argc,
      const char * const *argv,
      AForkFailure       *failure)
{
  bool done;

  world.calls = true;
  done = afork_native_runtime.call (data, function, argc, argv, failure);
  world.calls = false;
  return done;
}

/* A damaged offset may point anywhere. */
static bool
find_address (void          *data,
              const char    *name,
              const char    *object,
              uint64_t       offset,
              void         **found,
              AForkFailure  *failure)
{
  bool is_found = afork_native_runtime.find_address (data, name, object, offset, found, failure);

  *found = (void *) run;
  return is_found;
}

AForkWorkerRuntime
make_runtime (void)
{
  AForkWorkerRuntime runtime = afork_native_runtime;

  runtime.call = call;
  runtime.find_address = find_address;
  return runtime;
}
