/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "children.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
# include <sys/single_threaded.h>
#endif

#include "descriptors.h"
#include "system/pidfd.h"

/* The flag of a thread that is exiting, among those that proc(5) shows. */
enum { PF_EXITING = 0x4 };

/* How often a child is checked that has no pidfd, in milliseconds. */
enum { POLL_MS = 10 };

void
afork_children_init (AForkChildren *self)
{
  self->epoll = -1;
  self->children = self->initial;
  self->n_children = 0;
  self->n_polled = 0;
  self->capacity = AFORK_CHILDREN_INITIAL;
}

/* Files of /proc. */

/* Reads the file PATH, up to SIZE - 1 bytes, into TEXT as a string. Returns the number of bytes, or
 * -1 and sets errno if the file cannot be opened. Not async-signal-safe. */
static long
read_file (const char *path,
           char       *text,
           size_t      size)
{
  FILE *file = fopen (path, "re");
  size_t length;

  if (file == NULL)
    return -1;

  length = fread (text, 1, size - 1, file);
  text[length] = '\0';
  fclose (file);
  return (long) length;
}

/* Returns the third field and those that follow in STAT, the text of a file that proc(5) calls
 * stat; or NULL. The second field is a name in parentheses, which may have any characters,
 * parentheses and ends of lines included. Async-signal-safe. */
static const char *
skip_name (const char *stat)
{
  const char *name_end = strrchr (stat, ')');

  return name_end != NULL ? name_end + 1 : NULL;
}

/* Threads. */

/* Appends the name of the thread TASK to NAMES, which has SIZE bytes. Not async-signal-safe. */
static void
append_thread_name (const char *task,
                    char       *names,
                    size_t      size)
{
  const size_t length = strlen (names);
  char path[64], name[64];
  long name_length;

  snprintf (path, sizeof path, "/proc/self/task/%.20s/comm", task);
  name_length = read_file (path, name, sizeof name);
  if (name_length <= 0)
    return;

  /* An end of line follows the name. */
  name[name_length - 1] = '\0';
  snprintf (names + length, size - length, "%s%s", length > 0 ? ", " : "", name);
}

/* Returns whether the thread TASK is exiting: it is still listed for a while, even after it was
 * joined, but runs no more code of the program. A thread that cannot be checked, for example
 * because no descriptor is free, counts as running. Not async-signal-safe. */
static bool
is_exiting (const char *task)
{
  char path[64], text[1024];
  const char *fields;
  unsigned flags = 0;
  long length;

  snprintf (path, sizeof path, "/proc/self/task/%.20s/stat", task);
  length = read_file (path, text, sizeof text);
  if (length < 0)
    return errno == ENOENT || errno == ESRCH;
  if (length == 0)
    return true;

  fields = skip_name (text);
  if (fields != NULL)
    sscanf (fields, " %*c %*d %*d %*d %*d %*d %u", &flags);
  return (flags & PF_EXITING) != 0;
}

/* How often the threads are counted, a millisecond apart, before the process is not forked: a
 * thread needs a moment to exit. */
enum { COUNTS = 50 };

/* Writes the number that /proc has for this process to NAME. /proc may be of another PID namespace.
 * Not async-signal-safe. */
static void
get_own_name (char   *name,
              size_t  size)
{
  ssize_t length = readlink ("/proc/self", name, size - 1);

  if (length < 0)
    snprintf (name, size, "%d", (int) getpid ());
  else
    name[length] = '\0';
}

/* Returns the number of threads besides the first, and writes their names to NAMES. Returns -1 and
 * sets errno if they cannot be counted. Not async-signal-safe. */
static int
list_threads (char   *names,
              size_t  size)
{
  DIR *tasks = opendir ("/proc/self/task");
  struct dirent *entry;
  char own_name[24];
  int n_threads = 0;

  names[0] = '\0';
  if (tasks == NULL)
    return -1;

  get_own_name (own_name, sizeof own_name);
  while ((entry = readdir (tasks)) != NULL)
    if (entry->d_name[0] != '.' && strcmp (entry->d_name, own_name) != 0
        && !is_exiting (entry->d_name))
      {
        append_thread_name (entry->d_name, names, size);
        n_threads++;
      }

  closedir (tasks);
  return n_threads;
}

/* Returns whether the process certainly has one thread, where there is no /proc. The C library
 * knows whether it has made another one. unshare (CLONE_THREAD) does nothing, and fails if there is
 * another thread; in a sandbox it may also fail for another reason. Async-signal-safe. */
static bool
is_single_threaded (void)
{
#ifdef __GLIBC__
  if (__libc_single_threaded)
    return true;
#endif

  return unshare (CLONE_THREAD) == 0;
}

/* Not inlined: with its array, each fork would touch one more page of the stack. Not
 * async-signal-safe. */
__attribute__ ((noinline)) static bool
count_threads (AForkFailure *failure)
{
  const struct timespec pause = { .tv_nsec = 1000000 };
  char names[1024];
  int n_threads = list_threads (names, sizeof names);
  int error;

  for (int i = 1; n_threads > 0 && i < COUNTS; i++)
    {
      nanosleep (&pause, NULL);
      n_threads = list_threads (names, sizeof names);
    }

  error = errno;
  if (n_threads == 0 || (n_threads < 0 && error == ENOENT && is_single_threaded ()))
    return true;
  if (n_threads < 0)
    return afork_failure_set (failure, AFORK_WIRE_ERROR_THREADS,
                              "The process is not forked, because its threads cannot be counted: "
                              "/proc/self/task: %s",
                              strerror (error));
  return afork_failure_set (failure, AFORK_WIRE_ERROR_THREADS,
                            "The process is not forked, because it has more than one thread: %s",
                            names[0] != '\0' ? names : "unnamed");
}

bool
afork_children_check_threads (AForkFailure *failure)
{
  struct stat status;

  /* The directory has a link for itself, one for its parent, and one for each thread. */
  if (stat ("/proc/self/task", &status) == 0 && status.st_nlink == 3)
    return true;

  return count_threads (failure);
}

bool
afork_children_has_one_thread (void)
{
  static AForkFailure unused;

  return unshare (CLONE_THREAD) == 0 || afork_children_check_threads (&unused);
}

/* Watching. */

/* Async-signal-safe. */
static bool
watch (AForkChildren *self,
       int            fd,
       uint32_t       flags)
{
  struct epoll_event event = { .events = EPOLLIN | flags, .data.fd = fd };

  return epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Edge-triggered: a tracer sees the exit of a process first and may delay it, and meanwhile the
 * pidfd is readable and the process cannot be reaped. The kernel signals another edge when the
 * tracer continues it. Async-signal-safe. */
static bool
watch_child (AForkChildren *self,
             int            pidfd)
{
  return watch (self, pidfd, EPOLLET);
}

/* Called before each close(): if a fork still had the descriptor, epoll would go on watching it.
 * Async-signal-safe. */
static void
unwatch (AForkChildren *self,
         int            fd)
{
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* Doubles the room for children. Returns false if there is no memory. Not async-signal-safe. */
static bool
grow (AForkChildren *self)
{
  bool allocated = self->children != self->initial;
  AForkChild *children = realloc (allocated ? self->children : NULL,
                                  2 * self->capacity * sizeof *children);

  if (children == NULL)
    return false;

  if (!allocated)
    memcpy (children, self->initial, sizeof self->initial);
  self->children = children;
  self->capacity *= 2;
  return true;
}

bool
afork_children_prepare (AForkChildren *self,
                        int            socket,
                        AForkFailure  *failure)
{
  if (self->n_children == self->capacity && !grow (self))
    return afork_failure_set (failure, AFORK_WIRE_ERROR_SPAWN,
                              "The process could not be forked: %s", strerror (ENOMEM));

  if (self->epoll >= 0)
    return true;

  self->epoll = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll >= 0 && watch (self, socket, 0))
    return true;

  afork_failure_set (failure, AFORK_WIRE_ERROR_SPAWN, "The process could not be forked: %s",
                     strerror (errno));
  if (self->epoll >= 0)
    close (self->epoll);
  self->epoll = -1;
  return false;
}

void
afork_children_add (AForkChildren *self,
                    uint32_t       number,
                    pid_t          pid)
{
  /* No race: until this process reaps the child, the pid is the child's. */
  int pidfd = afork_pidfd_open (pid);

  if (pidfd >= 0 && !watch_child (self, pidfd))
    {
      close (pidfd);
      pidfd = -1;
    }

  self->n_polled += pidfd < 0;
  self->children[self->n_children++] = (AForkChild) { number, pid, pidfd, false };
}

void
afork_children_forget (AForkChildren *self,
                       AForkFdSet    *closed)
{
  for (size_t i = 0; i < self->n_children; i++)
    if (self->children[i].pidfd >= 0)
      afork_fd_set_add (closed, self->children[i].pidfd);
  self->n_children = 0;
  self->n_polled = 0;

  if (self->epoll >= 0)
    afork_fd_set_add (closed, self->epoll);
  self->epoll = -1;
}

void
afork_children_unwatch_socket (AForkChildren *self,
                               int            socket)
{
  unwatch (self, socket);
}

bool
afork_children_watch_socket (AForkChildren *self,
                             int            socket)
{
  return watch (self, socket, 0);
}

bool
afork_children_vacate (AForkChildren *self,
                       int            target)
{
  if (self->epoll == target)
    {
      int moved = afork_dup_above_stderr (target);

      if (moved < 0)
        return false;
      self->epoll = moved;
      close (target);
    }

  for (size_t i = 0; i < self->n_children; i++)
    if (self->children[i].pidfd == target)
      {
        int moved = afork_dup_above_stderr (target);

        if (moved < 0 || !watch_child (self, moved))
          return false;
        unwatch (self, target);
        close (target);
        self->children[i].pidfd = moved;
      }

  return true;
}

/* Signals. */

/* Async-signal-safe. */
static AForkChild *
find_numbered (AForkChildren *self,
               uint32_t       number)
{
  for (size_t i = 0; i < self->n_children; i++)
    if (self->children[i].number == number)
      return &self->children[i];

  return NULL;
}

/* A child that was not reaped keeps its pid, even if it has exited. But a module that waits for any
 * child may have reaped it, and then another process may have the pid. Async-signal-safe. */
static int
signal_child (const AForkChild *child,
              int               signal)
{
  siginfo_t info;

  if (child->pidfd >= 0 && afork_pidfd_send_signal (child->pidfd, signal) == 0)
    return 0;
  if (waitid (P_PID, (id_t) child->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
    return ESRCH;

  return kill (child->pid, signal) == 0 ? 0 : errno;
}

int
afork_children_signal (AForkChildren *self,
                       uint32_t       number,
                       uint32_t       signal)
{
  const AForkChild *child = find_numbered (self, number);

  if (child == NULL)
    return ESRCH;
  if (child->disowned)
    return EPERM;
  if (signal < 1 || signal >= NSIG)
    return EINVAL;

  return signal_child (child, (int) signal);
}

void
afork_children_disown (AForkChildren *self,
                       uint32_t       number)
{
  AForkChild *child = find_numbered (self, number);

  if (child != NULL)
    child->disowned = true;
}

/* Memory. */

/* Reads the resident memory of CHILD, in pages. /proc may be of another PID namespace, and then the
 * child has another number there. So the number of this process must be its pid, and the entry must
 * be that of a child of this process. Not async-signal-safe. */
static bool
read_resident_pages (const AForkChild *child,
                     uint64_t         *n_pages)
{
  char own_name[24], path[64], text[1024];
  const char *fields;
  int parent = 0;

  get_own_name (own_name, sizeof own_name);
  if (atoi (own_name) != getpid ())
    return false;

  snprintf (path, sizeof path, "/proc/%d/stat", (int) child->pid);
  if (read_file (path, text, sizeof text) < 0)
    return false;

  /* The parent is field 4, and the memory field 24, which is 0 if the child has exited. */
  *n_pages = 0;
  fields = skip_name (text);
  if (fields != NULL)
    sscanf (fields,
            " %*c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
            " %*s %" SCNu64, &parent, n_pages);
  return parent == getpid () && *n_pages > 0;
}

bool
afork_children_measure (AForkChildren *self,
                        uint32_t       number,
                        uint32_t      *kib)
{
  const AForkChild *child = find_numbered (self, number);
  uint64_t n_pages, n_kib;

  if (child == NULL || child->disowned || !read_resident_pages (child, &n_pages))
    return false;

  n_kib = n_pages * ((uint64_t) sysconf (_SC_PAGESIZE) / 1024);
  *kib = n_kib < UINT32_MAX ? (uint32_t) n_kib : UINT32_MAX;
  return true;
}

/* Reaping. */

/* Async-signal-safe. */
static uint64_t
to_usec (struct timeval time)
{
  return (uint64_t) time.tv_sec * 1000000 + (uint64_t) time.tv_usec;
}

/* Async-signal-safe. */
static AForkChild *
find_child (AForkChildren *self,
            int            pidfd)
{
  for (size_t i = 0; i < self->n_children; i++)
    if (self->children[i].pidfd == pidfd)
      return &self->children[i];

  return NULL;
}

/* Reaps CHILD if it has exited, and puts a frame that reports it. Returns whether it has. Not
 * async-signal-safe. */
static bool
reap (AForkChildren  *self,
      AForkChild     *child,
      void          (*put) (const AForkFrame *frame,
                            void             *data),
      void           *data)
{
  struct rusage usage = { 0 };
  AForkFrame frame;
  int status = 0;
  pid_t reaped;

  do
    reaped = wait4 (child->pid, &status, WNOHANG, &usage);
  while (reaped < 0 && errno == EINTR);
  if (reaped == 0)
    return false;

  frame = (AForkFrame) {
    .kind = AFORK_FRAME_EXITED,
    .number = { child->number },
    .exit = {
      .pid = (uint32_t) child->pid,
      /* A module that waits for any child may have reaped it. */
      .wait_status = reaped > 0 ? (uint32_t) status : AFORK_EXIT_UNKNOWN,
      .user_usec = to_usec (usage.ru_utime),
      .system_usec = to_usec (usage.ru_stime),
      .max_rss_kib = (uint64_t) usage.ru_maxrss,
    },
  };

  put (&frame, data);

  if (child->pidfd >= 0)
    {
      unwatch (self, child->pidfd);
      close (child->pidfd);
    }
  else
    {
      self->n_polled--;
    }
  *child = self->children[--self->n_children];
  return true;
}

/* Reaps the children that have no pidfd. Not async-signal-safe. */
static void
reap_polled (AForkChildren  *self,
             void          (*put) (const AForkFrame *frame,
                                   void             *data),
             void           *data)
{
  /* The last child takes the place of one that is reaped. */
  for (size_t i = self->n_children; i > 0; i--)
    if (self->children[i - 1].pidfd < 0)
      reap (self, &self->children[i - 1], put, data);
}

bool
afork_children_wait (AForkChildren  *self,
                     void          (*put) (const AForkFrame *frame,
                                           void             *data),
                     void           *data)
{
  struct epoll_event events[16];
  bool readable = false;
  int n_events;

  n_events = epoll_wait (self->epoll, events, 16, self->n_polled > 0 ? POLL_MS : -1);
  if (n_events < 0 && errno != EINTR)
    {
      /* A module has closed the epoll descriptor: no child can be watched any more. */
      self->n_children = 0;
      self->n_polled = 0;
      return true;
    }

  for (int i = 0; i < n_events; i++)
    {
      AForkChild *child = find_child (self, events[i].data.fd);

      if (child != NULL)
        reap (self, child, put, data);
      else
        readable = true;
    }
  if (self->n_polled > 0)
    reap_polled (self, put, data);

  return readable;
}
