/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "main-context.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.h"
#include "i18n.h"
#include "system/system-calls.h"

/* A main context has a descriptor, by which other threads wake it up: an eventfd, or a pipe where
 * eventfd() is refused. GLib ends the program if it cannot make it. To look for a free descriptor
 * first is not enough, because another thread may take it, and none can be kept free for GLib: the
 * threads of a process share all numbers, and the limit on them.
 *
 * So the descriptors are made here, where a failure is an error. GLib then makes the context in a
 * child that shares the memory but has a copy of the table of descriptors, where no other thread
 * takes any. In the copy, their numbers are the lowest ones that are free, so GLib gets the same
 * numbers. Its own descriptors go with the child; the context, which is in the shared memory, finds
 * under these numbers those that were made here.
 *
 * A thread that gives up the common table by unshare() could do the same. But the program's process
 * gets no thread of the library's, and if GLib fails all the same, because the whole system has no
 * file left, it is only the child that ends. */

enum { CHILD_STACK_SIZE = 256 * 1024 };

/* In ascending order, as GLib gets them; the second is -1 for an eventfd. */
typedef struct
{
  int fds[2];
} Wakeup;

static gboolean
wakeup_open (Wakeup *self)
{
  *self = (Wakeup) { { eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK), -1 } };
  if (self->fds[0] >= 0)
    return TRUE;

  return afork_is_missing (errno) && pipe2 (self->fds, O_CLOEXEC | O_NONBLOCK) == 0;
}

static void
wakeup_clear (Wakeup *self)
{
  _afork_fd_clear (&self->fds[0]);
  _afork_fd_clear (&self->fds[1]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Wakeup, wakeup_clear)

/* Moves them away from the standard ones, and the second above the first. */
static gboolean
wakeup_move (Wakeup *self)
{
  self->fds[0] = _afork_fd_avoid_standard (self->fds[0]);
  if (self->fds[0] >= 0 && self->fds[1] >= 0 && self->fds[1] < self->fds[0])
    {
      int moved = fcntl (self->fds[1], F_DUPFD_CLOEXEC, self->fds[0] + 1);

      _afork_fd_close (self->fds[1]);
      self->fds[1] = moved;
      return moved >= 0;
    }

  return self->fds[0] >= 0;
}

typedef struct
{
  Wakeup        wakeup;
  pid_t         parent;
  GMainContext *context;        /* NULL if the child could not make it */
  gboolean      is_shared;      /* the child was seen in this memory, and has run */
} Child;

static void
child_end_cb (int signal)
{
  _exit (EXIT_FAILURE);
}

/* What must not befall the program: that the child waits for ever for a lock of a thread that ended
 * with the program, or that GLib ends the child by abort(), which calls the program's handler, or
 * dumps core, and then kernels before 5.16 kill all that share the memory. */
static gboolean
child_protect (Child *self)
{
  const struct sigaction end = { .sa_handler = child_end_cb };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  sigaction (SIGABRT, &end, NULL);
  return getppid () == self->parent;
}

/* In the child. As after vfork(), the thread that made it waits, so the child uses that thread's
 * data in its place. The other threads run on, so a lock that one of them has is released: unlike
 * after fork(), memory may be allocated and GLib may be called. It returns, because address
 * sanitizers take a stack that a function leaves by _exit() for the thread's own. */
static int
child_main (void *data)
{
  Child *self = data;
  const int *fds = self->wakeup.fds;
  Wakeup probe;
  int fd;

  self->is_shared = TRUE;
  if (!child_protect (self))
    return EXIT_FAILURE;

  /* Fill all other numbers below. */
  while ((fd = dup (fds[0])) >= 0 && fd < MAX (fds[0], fds[1]))
    ;
  if (fd >= 0)
    close (fd);
  close (fds[0]);
  if (fds[1] >= 0)
    close (fds[1]);

  /* Whether the next one gets the number, which may lie above a limit that was lowered. */
  if (!wakeup_open (&probe))
    return EXIT_FAILURE;
  close (probe.fds[0]);
  if (probe.fds[1] >= 0)
    close (probe.fds[1]);
  if (probe.fds[0] != fds[0] || probe.fds[1] != fds[1])
    return EXIT_FAILURE;

  self->context = g_main_context_new ();
  return EXIT_SUCCESS;
}

/* Returns NULL if there is no memory. Below it lies a page that cannot be used. */
static char *
stack_new (void)
{
  char *stack = mmap (NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

  if (stack == MAP_FAILED)
    return NULL;

  mprotect (stack, (gsize) sysconf (_SC_PAGESIZE), PROT_NONE);
  return stack;
}

/* Returns 0 or an errno value. The child has ended when this returns. It sends no SIGCHLD. */
static int
run_child (Child *self)
{
  sigset_t all, before;
  int cancel_state, result;
  pid_t pid;
  char *stack = stack_new ();

  if (stack == NULL)
    return ENOMEM;

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

/* Of sanitizers, those of later compilers stand before clone() and take every child for one that
 * has memory of its own. */
extern char __interceptor_clone __attribute__ ((weak));

/* The first child of a program that has called unshare() would be the init process of the new PID
 * namespace, and that ends with it. */
static gboolean
can_make_child (void)
{
  struct stat own, of_children;

  return &__interceptor_clone == NULL
    && (stat ("/proc/self/ns/pid", &own) < 0
        || stat ("/proc/self/ns/pid_for_children", &of_children) < 0
        || own.st_ino == of_children.st_ino);
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
has_descriptors (const Wakeup *wakeup)
{
  enum { N_WANTED = 64 };
  int fds[N_WANTED];
  int n_fds = 0;

  while (n_fds < N_WANTED && (fds[n_fds] = fcntl (wakeup->fds[0], F_DUPFD_CLOEXEC, 0)) >= 0)
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
               cause == ENOMEM ? _("There is too little memory left to wait with: %s")
                               : _("There are too few descriptors left to wait with: %s"),
               g_strerror (cause));
  return NULL;
}

/* Where no child can be made, because a sandbox refuses it or valgrind gives it memory of its own,
 * many descriptors have to be there. That is all that can be done. */
static GMainContext *
make_here (Wakeup  *wakeup,
           GError **error)
{
  if (!has_descriptors (wakeup))
    return fail (error, EMFILE);

  wakeup_clear (wakeup);
  return g_main_context_new ();
}

static GMainContext *
make_context (GError **error)
{
  g_auto(Wakeup) wakeup = { { -1, -1 } };
  Child child = { .parent = getpid () };
  int result;

  if (!wakeup_open (&wakeup) || !wakeup_move (&wakeup))
    return fail (error, errno);

  if (is_only_thread ())
    {
      wakeup_clear (&wakeup);
      return g_main_context_new ();
    }
  if (!can_make_child ())
    return make_here (&wakeup, error);

  child.wakeup = wakeup;
  result = run_child (&child);
  /* There is no process or no memory left. */
  if (result == EAGAIN || result == ENOMEM)
    return fail (error, ENOMEM);
  if (result != 0 || !child.is_shared)
    return make_here (&wakeup, error);
  if (child.context == NULL)
    return fail (error, EMFILE);

  /* If GLib uses other descriptors, they were the child's, so the context is of no use, and to free
   * it would close others. */
  if (get_only_fd (child.context) != wakeup.fds[0])
    return make_here (&wakeup, error);

  wakeup = (Wakeup) { { -1, -1 } };
  return child.context;
}

GMainContext *
_afork_main_context_new (GError **error)
{
  GMainContext *context = make_context (error);
  const int fd = context != NULL ? get_only_fd (context) : -1;

  if (fd >= 0)
    _afork_fd_register_wakeup (fd, context);
  return context;
}

void
_afork_main_context_unref (GMainContext *context)
{
  _afork_fd_unregister_wakeup (context);
  g_main_context_unref (context);
}

/* A blocking call holds its context until it has left it, so this is no reference. */
static GPrivate blocking;       /* GMainContext */

GMainContext *
_afork_main_context_enter_blocking (GMainContext *context)
{
  GMainContext *outer = g_private_get (&blocking);

  g_private_set (&blocking, context);
  return outer;
}

void
_afork_main_context_leave_blocking (GMainContext *outer)
{
  g_private_set (&blocking, outer);
}

GMainContext *
_afork_main_context_get_blocking (void)
{
  return g_private_get (&blocking);
}
