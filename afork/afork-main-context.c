/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-main-context-private.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "afork-fd-private.h"
#include "afork-i18n-private.h"

/* A context has one descriptor, an eventfd, and GLib ends the program if it cannot make it. No
 * descriptor can be kept free for GLib: another thread may take it. So the eventfd is made here,
 * where a failure is an error. GLib then makes the context in a child that shares the memory but
 * has its own copy of the descriptors, so that no other thread takes any. In the copy, the number
 * of the eventfd is freed, and GLib's eventfd gets this number. The context is in the shared
 * memory, and finds the eventfd that was made here under its number. */

enum { CHILD_STACK_SIZE = 256 * 1024 };

typedef struct
{
  int           fd;             /* the eventfd */
  GMainContext *context;        /* NULL if the child could not make it */
  gboolean      is_shared;      /* the child was seen in this memory, and has run */
} Child;

static int
make_eventfd (void)
{
  return eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* In the child. As after vfork(), the thread that made it waits, so the child uses that thread's
 * data in its place. The other threads run on, so a lock that one of them has is released: unlike
 * after fork(), memory may be allocated and GLib may be called. */
static int
child_main (void *data)
{
  Child *self = data;
  int fd;

  self->is_shared = TRUE;
  /* Fill all numbers below. */
  while ((fd = dup (self->fd)) >= 0 && fd < self->fd)
    ;
  if (fd >= 0)
    close (fd);
  close (self->fd);

  /* Whether the next one gets the number, which may lie above a limit that was lowered. */
  fd = make_eventfd ();
  if (fd >= 0)
    close (fd);
  if (fd == self->fd)
    self->context = g_main_context_new ();

  _exit (0);
}

/* Returns 0 or an errno value. The child has exited when this returns. It sends no SIGCHLD. */
static int
run_child (Child *self)
{
  sigset_t all, before;
  int cancel_state, result;
  pid_t pid;
  char *stack = mmap (NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

  if (stack == MAP_FAILED)
    return errno;

  sigfillset (&all);
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel_state);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pid = clone (child_main, stack + CHILD_STACK_SIZE, CLONE_VM | CLONE_VFORK, self);
  result = pid < 0 ? errno : 0;
  while (pid > 0 && waitpid (pid, NULL, __WCLONE) < 0 && errno == EINTR)
    ;
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  pthread_setcancelstate (cancel_state, NULL);
  munmap (stack, CHILD_STACK_SIZE);
  return result;
}

/* The descriptor by which GLib wakes the context, if there is nothing else in it; -1 if there
 * is. */
static int
get_only_fd (GMainContext *context)
{
  GPollFD poll_fds[2];
  int n_fds, timeout;

  if (!g_main_context_acquire (context))
    return -1;

  n_fds = g_main_context_query (context, G_MAXINT, &timeout, poll_fds, G_N_ELEMENTS (poll_fds));
  g_main_context_release (context);
  return n_fds == 1 ? poll_fds[0].fd : -1;
}

/* Whether no other thread can take a descriptor. */
static gboolean
is_only_thread (void)
{
  struct stat status;

  /* The folder itself has two links, and each thread's folder one. */
  return stat ("/proc/self/task", &status) == 0 && status.st_nlink == 3;
}

/* Whether there are so many that other threads are not likely to take all of them before the next
 * one is made here. */
static gboolean
has_descriptors (void)
{
  enum { N_WANTED = 64 };
  int fds[N_WANTED];
  int n_fds = 0;

  while (n_fds < N_WANTED && (fds[n_fds] = make_eventfd ()) >= 0)
    n_fds++;
  for (int i = 0; i < n_fds; i++)
    _afork_fd_close (fds[i]);

  return n_fds == N_WANTED;
}

static GMainContext *
fail (GError **error,
      int      cause)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause),
               _("There are too few descriptors left to wait with: %s"), g_strerror (cause));
  return NULL;
}

static GMainContext *
make_context (GError **error)
{
  int number = make_eventfd ();
  g_auto(AForkFd) fd = number < 0 ? -1 : _afork_fd_avoid_standard (number);
  Child child = { .fd = fd };
  int result;

  if (fd < 0)
    return fail (error, errno);

  if (is_only_thread ())
    {
      _afork_fd_clear (&fd);
      return g_main_context_new ();
    }

  result = run_child (&child);
  if (result == EAGAIN || result == ENOMEM)
    return fail (error, result);
  /* A sandbox refuses the child, or valgrind gives it memory of its own. */
  if (result != 0 || !child.is_shared)
    {
      _afork_fd_clear (&fd);
      return has_descriptors () ? g_main_context_new () : fail (error, EMFILE);
    }
  if (child.context == NULL)
    return fail (error, EMFILE);

  /* If GLib uses other descriptors, they were the child's, so the context is of no use, and to free
   * it would close others. */
  if (get_only_fd (child.context) != fd)
    return fail (error, ENOTSUP);

  fd = -1;
  return child.context;
}

GMainContext *
_afork_main_context_new (GError **error)
{
  GMainContext *context = make_context (error);
  const int fd = context != NULL ? get_only_fd (context) : -1;

  if (fd >= 0)
    _afork_fd_own_wakeup (fd, context);
  return context;
}

void
_afork_main_context_unref (GMainContext *context)
{
  _afork_fd_disown_wakeup (context);
  g_main_context_unref (context);
}
