/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The commands that set a process up before it is run. */

#define _GNU_SOURCE
#include "server-prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "descriptors.h"
#include "landlock.h"
#include "server-reply.h"
#include "server-state.h"

const char **
afork_server_strings_to_array (AForkStrings strings)
{
  const char **array = calloc ((size_t) strings.n_strings + 1, sizeof *array);

  if (array == NULL)
    afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED, "%s", strerror (ENOMEM));
  for (size_t i = 0; array != NULL && strings.n_strings > 0; i++)
    array[i] = afork_strings_next (&strings);

  return array;
}

bool
afork_server_check_threads (void)
{
  const AForkWorkerRuntime *runtime = afork_server.runtime;

  if (runtime->before_fork != NULL)
    runtime->before_fork (afork_server.runtime_data);
  if (afork_children_check_threads (&afork_server.failure))
    return true;

  if (runtime->describe_threads != NULL)
    runtime->describe_threads (afork_server.runtime_data, &afork_server.failure);
  return false;
}

bool
afork_serve_module_path (const AForkFrame *frame)
{
  const char **directories = afork_server_strings_to_array (frame->strings);
  bool done = directories != NULL
    && afork_server.runtime->set_module_path (afork_server.runtime_data, directories,
                                              &afork_server.failure);

  free (directories);
  return done;
}

bool
afork_serve_library (const char *path)
{
  return afork_server.runtime->set_library == NULL
    || afork_server.runtime->set_library (afork_server.runtime_data, path, &afork_server.failure);
}

/* Does EVAL and CALL. Not async-signal-safe. */
static bool
serve_call (const AForkFrame *frame)
{
  const char **arguments = afork_server_strings_to_array (frame->strings);
  int n_arguments = (int) frame->strings.n_strings;
  bool done = arguments != NULL;

  if (done && frame->kind == AFORK_FRAME_CALL)
    done = afork_server.runtime->call (afork_server.runtime_data, frame->string[0],
                                       n_arguments, arguments, &afork_server.failure);
  else if (done)
    done = afork_server.runtime->eval (afork_server.runtime_data, frame->string[0],
                                       n_arguments, arguments, &afork_server.failure);

  free (arguments);
  return done;
}

/* Returns whether FD is still the death pipe. Code of a module may have closed descriptors that it
 * does not know, and opened another file under the same number. Async-signal-safe. */
static bool
is_death_pipe (int fd)
{
  struct stat status;

  return fd >= 0 && fstat (fd, &status) == 0 && S_ISFIFO (status.st_mode)
    && status.st_ino == afork_server.death_pipe_inode;
}

/* Code of a module may have changed the user. Sets the owner again, because the kernel checks
 * whether the user who set it may signal the process. Async-signal-safe. */
static void
renew_death_pipe (void)
{
  if (is_death_pipe (afork_server.own_death_pipe))
    fcntl (afork_server.own_death_pipe, F_SETOWN, getpid ());
}

/* Loads the file at PATH as the module NAME. The server would wait for ever for some kinds of
 * files. */
static bool
load_file (const char *path,
           const char *name)
{
  struct stat status;

  if (afork_server.runtime->require_file == NULL)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_NOT_SUPPORTED,
                              "The process has no means to load the file “%.2000s”", path);
  if (stat (path, &status) < 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_MODULE,
                              "Module “%.2000s” could not be loaded: %s", path, strerror (errno));
  if (!S_ISREG (status.st_mode))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_MODULE,
                              "Module “%.2000s” could not be loaded: it is not a regular file",
                              path);

  return afork_server.runtime->require_file (afork_server.runtime_data, path, name,
                                             &afork_server.failure);
}

/* Code of a module has run. */
static void
end_module_code (void)
{
  const int ignored[] = AFORK_IGNORED_SIGNALS;
  struct sigaction action;

  /* Output in stdio buffers is written now, or each fork would write it again. */
  fflush (NULL);
  renew_death_pipe ();
  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
    {
      sigaction (ignored[i], NULL, &action);
      afork_server.ignores[i] = action.sa_handler == SIG_IGN;
    }
}

bool
afork_serve_module_code (const AForkFrame *frame)
{
  bool done;

  if (!afork_server_report_fork ())
    return false;

  if (frame->kind == AFORK_FRAME_REQUIRE)
    done = afork_server.runtime->require (afork_server.runtime_data, frame->string[0],
                                          &afork_server.failure);
  else if (frame->kind == AFORK_FRAME_REQUIRE_FILE)
    done = load_file (frame->string[0], frame->string[1]);
  else
    done = serve_call (frame);

  end_module_code ();
  return done;
}

/* Files of other hosts. */

void
afork_server_drop_file (void)
{
  if (afork_server.receives != NULL)
    afork_module_cache_free (afork_server.receives);
  afork_server.receives = NULL;
}

/* All bytes are there. */
static bool
complete_file (void)
{
  AForkCachedModule *module = afork_server.receives;
  bool done = afork_module_cache_finish (module, &afork_server.failure);

  if (done)
    {
      done = load_file (module->path, module->name);
      end_module_code ();
    }
  afork_server_drop_file ();
  return done;
}

bool
afork_serve_file (const AForkFrame *frame)
{
  const uint64_t size = frame->number[0] | (uint64_t) frame->number[1] << 32;
  AForkFrame wanted = { .kind = AFORK_FRAME_FILE_WANTED };
  AForkCachedModule *module;
  bool found, done;

  if (!afork_server_report_fork ())
    return false;

  module = afork_module_cache_open (frame->string[0], frame->string[1], size, &found,
                                    &afork_server.failure);
  if (module == NULL)
    return false;

  wanted.number[0] = found ? 0 : 1;
  done = afork_server_reply (&wanted, -1);
  if (!done || !found)
    {
      afork_server.receives = module;
      return done && (size > 0 || complete_file ());
    }

  done = load_file (module->path, module->name);
  end_module_code ();
  afork_module_cache_free (module);
  return done;
}

bool
afork_serve_file_bytes (const AForkFrame *frame)
{
  AForkCachedModule *module = afork_server.receives;

  if (module == NULL || frame->n_bytes == 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "Bytes of a file came where there is none");
  if (!afork_module_cache_add (module, frame->bytes, frame->n_bytes, &afork_server.failure))
    return false;

  return module->n_received < module->size || complete_file ();
}

bool
afork_serve_fail (const AForkFrame *frame)
{
  const AForkWireError code = (AForkWireError) frame->number[0];

  if (!afork_server_report_fork ())
    return false;

  return afork_failure_set (&afork_server.failure,
                            code <= AFORK_WIRE_ERROR_HOST_LOST ? code : AFORK_WIRE_ERROR_FAILED,
                            "%s", frame->string[0]);
}

bool
afork_serve_setenv (const char *name,
                    const char *value)
{
  int result;

  if (afork_server.runtime->set_variable != NULL)
    return afork_server.runtime->set_variable (afork_server.runtime_data, name, value,
                                               &afork_server.failure);

  result = value != NULL ? setenv (name, value, 1) : unsetenv (name);
  if (result < 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                              "Environment variable “%s” could not be set: %s", name,
                              strerror (errno));
  return true;
}

bool
afork_serve_chdir (const char *path)
{
  if (chdir (path) < 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                              "The working directory could not be changed to “%s”: %s", path,
                              strerror (errno));
  return true;
}

bool
afork_serve_item_fds (uint16_t n_fds)
{
  for (uint16_t i = 0; i < n_fds; i++)
    if (!afork_items_add_fd (&afork_server.items, afork_link_take_fd (&afork_server.link)))
      return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                                "A descriptor could not be kept: %s", strerror (ENOMEM));
  return true;
}

bool
afork_serve_item_bytes (const AForkFrame *frame)
{
  if (!afork_items_add_bytes (&afork_server.items, frame->bytes, frame->n_bytes,
                              frame->flags))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                              "An item of bytes could not be kept: %s", strerror (ENOMEM));
  return true;
}

/* Has the kernel send SIGKILL to OWNER, a process or group as F_SETOWN takes it, when the pipe
 * ends. The kernel then checks whether the current user of this process may signal OWNER.
 * Async-signal-safe. */
static bool
watch_death_pipe (int fd,
                  int owner)
{
  struct pollfd ended = { .fd = fd, .events = POLLIN };

  if (fcntl (fd, F_SETSIG, SIGKILL) < 0
      || fcntl (fd, F_SETOWN, owner) < 0
      || fcntl (fd, F_SETFL, O_ASYNC) < 0)
    return false;

  /* If the caller has exited already, the kernel sends nothing. */
  if (poll (&ended, 1, 0) != 0)
    kill (owner, SIGKILL);
  return true;
}

/* Writes the path of FD in /proc to PATH. Async-signal-safe. */
static void
print_fd_path (int  fd,
               char path[32])
{
  const char directory[] = "/proc/self/fd/";
  char digits[12];
  size_t n_digits = 0;
  char *end = path + sizeof directory - 1;

  memcpy (path, directory, sizeof directory - 1);
  do
    digits[n_digits++] = (char) ('0' + fd % 10);
  while ((fd /= 10) > 0);
  while (n_digits > 0)
    *end++ = digits[--n_digits];
  *end = '\0';
}

/* Opens the pipe again. The settings of the inherited descriptor belong to all processes that have
 * it, and each of them can change these for the others. The new one belongs to this process alone,
 * and has its current user. Where it cannot be opened, for example without /proc, the process
 * relies on the inherited one. A fork calls this first. */
void
afork_server_open_death_pipe (void)
{
  char path[32];
  int fd;

  if (afork_server.death_pipe < 0)
    return;

  if (is_death_pipe (afork_server.own_death_pipe))
    close (afork_server.own_death_pipe);
  afork_server.own_death_pipe = -1;
  if (!is_death_pipe (afork_server.death_pipe))
    return;

  print_fd_path (afork_server.death_pipe, path);
  fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  /* 0, 1 and 2 are for the worker, even if a module has closed them. */
  if (fd > STDERR_FILENO && watch_death_pipe (fd, getpid ()))
    afork_server.own_death_pipe = fd;
  else if (fd >= 0)
    close (fd);
}

/* Has the kernel kill this process and all its forks when the pipe ends. They are a process group,
 * and the kernel watches the pipe as long as one of them has it open. The group gets a session of
 * its own. Without one, the kernel would send SIGHUP to this group or the caller's when it becomes
 * orphaned while one of its processes is stopped. */
bool
afork_serve_death_pipe (void)
{
  struct stat status;

  if (afork_server.death_pipe >= 0)
    close (afork_server.death_pipe);

  afork_server.death_pipe = afork_link_take_fd (&afork_server.link);
  if ((getpgrp () != getpid () && setsid () < 0)
      || !watch_death_pipe (afork_server.death_pipe, -getpgrp ()))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                              "The process could not be made to end with its caller: %s",
                              strerror (errno));

  afork_server.death_pipe_inode = fstat (afork_server.death_pipe, &status) == 0 ? status.st_ino : 0;
  afork_server_open_death_pipe ();
  return true;
}

/* Items that a module has taken stay in memory until the process ends. This list keeps them
 * reachable, so that leak checkers do not report them. */
typedef struct Kept
{
  struct Kept     *next;
  const AForkItem *items;
} Kept;

static Kept *all_kept;

/* Adds ITEMS to that list. If there is no memory, they only look like a leak. Not
 * async-signal-safe. */
static void
keep (const AForkItems *items)
{
  Kept *kept = items->n_items > 0 ? malloc (sizeof *kept) : NULL;

  if (kept == NULL)
    return;

  *kept = (Kept) { all_kept, items->items };
  all_kept = kept;
}

/* Not async-signal-safe. */
const AForkItem *
afork_worker_take_items (size_t *n_items)
{
  AForkItems items = afork_server.items;

  keep (&items);
  afork_server.items = (AForkItems) { 0 };
  *n_items = items.n_items;
  return items.items;
}

/* Not async-signal-safe. */
void *
afork_worker_find_function (const char *function,
                            char       *why,
                            size_t      size)
{
  AForkFailure failure;
  void *found = NULL;

  if (afork_server.runtime == NULL)
    afork_failure_set (&failure, AFORK_WIRE_ERROR_FUNCTION,
                       "There is no function “%s”, because this is not a worker process", function);
  else if (afork_server.runtime->find (afork_server.runtime_data, function, &found, &failure))
    return found;

  if (why != NULL)
    snprintf (why, size, "%s", failure.text);
  return NULL;
}

/* Mapping descriptors to numbers that the caller chose. */

/* Moves *FD to another number if it is TARGET. Returns false and sets errno if it cannot.
 * Async-signal-safe. */
static bool
vacate_fd (int *fd,
           int  target)
{
  int moved;

  if (*fd != target)
    return true;

  moved = afork_dup_above_stderr (target);
  if (moved < 0)
    return false;

  *fd = moved;
  return true;
}

/* Moves whatever the server has at descriptor TARGET to another number. TARGET itself stays open:
 * dup2() closes it. Returns false and sets errno if a descriptor cannot be moved.
 * Async-signal-safe. */
static bool
vacate (int target)
{
  bool socket_moves = afork_server.link.socket == target;
  bool done = vacate_fd (&afork_server.link.socket, target)
    && vacate_fd (&afork_server.death_pipe, target)
    && vacate_fd (&afork_server.own_death_pipe, target)
    && afork_landlock_vacate (target)
    && vacate_fd (&afork_server.reports, target)
    && vacate_fd (&afork_server.relay, target)
    && vacate_fd (&afork_server.root, target)
    && afork_children_vacate (&afork_server.children, target);

  if (done && socket_moves && afork_server.children.epoll >= 0)
    {
      afork_children_unwatch_socket (&afork_server.children, target);
      done = afork_children_watch_socket (&afork_server.children, afork_server.link.socket);
    }
  for (size_t i = 0; done && i < afork_server.link.n_fds; i++)
    done = vacate_fd (&afork_server.link.fds[i], target);
  for (size_t i = 0; done && i < afork_server.items.n_items; i++)
    if (afork_server.items.items[i].kind == AFORK_ITEM_FD)
      done = vacate_fd (&afork_server.items.items[i].fd, target);

  return done;
}

bool
afork_server_is_mapped (int fd)
{
  for (size_t i = 0; i < afork_server.n_mapped; i++)
    if (afork_server.mapped[i] == fd)
      return true;

  return false;
}

/* Adds FD to the numbers that descriptors were mapped to. Returns false if there is no memory. Not
 * async-signal-safe. */
static bool
note_mapped (int fd)
{
  int *mapped;

  if (afork_server_is_mapped (fd))
    return true;

  mapped = realloc (afork_server.mapped, (afork_server.n_mapped + 1) * sizeof *mapped);
  if (mapped == NULL)
    return false;

  afork_server.mapped = mapped;
  mapped[afork_server.n_mapped++] = fd;
  return true;
}

bool
afork_server_hide_unmapped (int kept)
{
  if (!afork_hide_from (STDERR_FILENO + 1))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                              "No program is executed, because it could inherit descriptors that "
                              "were not mapped: some from %d on may be open, and without "
                              "close_range() and /proc they cannot be found", AFORK_LAST_SOUGHT_FD);

  for (size_t i = 0; i < afork_server.n_mapped; i++)
    fcntl (afork_server.mapped[i], F_SETFD, 0);
  if (kept >= 0)
    fcntl (kept, F_SETFD, 0);
  return true;
}

/* Returns whether the runtime needs descriptor TARGET under its number. Not async-signal-safe. */
static bool
is_needed (int target)
{
  const AForkWorkerRuntime *runtime = afork_server.runtime;

  return runtime->needs_fd != NULL && runtime->needs_fd (afork_server.runtime_data, target);
}

bool
afork_serve_map_fd (int target)
{
  int fd = afork_link_take_fd (&afork_server.link);
  bool done;

  if (is_needed (target))
    {
      close (fd);
      return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                                "A descriptor could not be mapped to %d: a main context of the "
                                "process uses that descriptor to wake up", target);
    }

  /* Output in stdio buffers is written to the descriptor that TARGET has been until now. */
  fflush (NULL);
  /* Programs that the worker executes inherit a mapped descriptor, so it is not close-on-exec. */
  if (fd == target)
    done = fcntl (fd, F_SETFD, 0) == 0;
  else
    done = vacate (target) && dup2 (fd, target) >= 0;
  if (done && !note_mapped (target))
    done = afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                              "A descriptor could not be mapped to %d: %s", target,
                              strerror (ENOMEM));
  else if (!done)
    /* dup2() fails with EBADF for a number over the limit. FD itself is valid. */
    afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                       "A descriptor could not be mapped to %d: %s", target,
                       strerror (errno == EBADF ? EMFILE : errno));

  if (fd != target)
    close (fd);
  return done;
}
