/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "main-context.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "fd.h"
#include "i18n.h"
#include "shared-child.h"
#include "system/system-calls.h"

/* Other threads wake a main context by a descriptor of it: an eventfd, or a pipe if eventfd() is
 * refused. GLib ends the program if it cannot open the descriptor. It is not enough to check for a
 * free descriptor before, because another thread may take it. This also holds for the default
 * context, which GLib makes when it is first needed.
 *
 * So this code opens the descriptors itself, and a failure is an error. Then GLib makes the context
 * in a child that shares the memory of the program, but has its own copy of the descriptor table,
 * where no other thread takes a descriptor. There, the child closes its copies and makes sure that
 * these numbers are the lowest free ones. So GLib gets the same numbers. The child's descriptors
 * are closed when it exits. The context is in the shared memory, and finds the descriptors of the
 * program under its numbers.
 *
 * A thread with a descriptor table of its own, by unshare(), could do the same. But the library
 * starts no thread in the program. And if GLib fails nevertheless, because the system has no file
 * left, only the child exits. */

/* The descriptors of a main context, in ascending order, as GLib gets them. The second is -1 if the
 * first is an eventfd. */
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

/* Moves the descriptors above the standard ones, and the second above the first. */
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

/* g_main_context_new() or g_main_context_default(). */
typedef GMainContext *(*MakeFunc) (void);

typedef struct
{
  MakeFunc      make;
  Wakeup        wakeup;
  pid_t         parent;
  GMainContext *context;        /* NULL if the child could not make it */
  gboolean      has_begun;      /* to make it */
  gboolean      uses_wakeup;    /* it was made, and has not been there before */
  gboolean      is_shared;      /* the child has run, and shares this memory */
} Child;

static void
child_end_cb (int signal)
{
  _exit (EXIT_FAILURE);
}

/* Protects the program from the child. If the program exits while the child waits for a lock of one
 * of its threads, the child would wait for ever. If GLib calls abort() in the child, this would
 * call the handler of the program, or dump core; kernels before 5.16 then kill all processes that
 * share the memory. */
static gboolean
child_protect (Child *self)
{
  const struct sigaction end = { .sa_handler = child_end_cb };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  sigaction (SIGABRT, &end, NULL);
  return getppid () == self->parent;
}

/* Runs in the child. As after vfork(), the thread that made the child waits, and the child uses the
 * data of that thread. The other threads run on and release their locks. So, unlike after fork(),
 * the child may allocate memory and call GLib. The function returns and does not call _exit(),
 * because the address sanitizer would then confuse its stack with that of the thread. */
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

  /* Fill all free numbers below. */
  while ((fd = dup (fds[0])) >= 0 && fd < MAX (fds[0], fds[1]))
    ;
  if (fd >= 0)
    close (fd);
  close (fds[0]);
  if (fds[1] >= 0)
    close (fds[1]);

  /* Check that the next descriptor gets the number. It may be above a limit that was lowered. */
  if (!wakeup_open (&probe))
    return EXIT_FAILURE;
  close (probe.fds[0]);
  if (probe.fds[1] >= 0)
    close (probe.fds[1]);
  if (probe.fds[0] != fds[0] || probe.fds[1] != fds[1])
    return EXIT_FAILURE;

  self->has_begun = TRUE;
  self->context = self->make ();
  /* Both numbers are closed here, unless GLib has opened them again. */
  self->uses_wakeup = fcntl (fds[0], F_GETFD) >= 0;
  return EXIT_SUCCESS;
}

/* Returns 0 or an errno value. The child has exited when this returns. It sends no SIGCHLD. */
static int
run_child (Child *self)
{
  GPid pid = -1;
  int result = _afork_shared_child_run (child_main, self, 0, &pid);

  while (result == 0 && waitpid (pid, NULL, __WCLONE) < 0 && errno == EINTR)
    ;
  return result;
}

/* Sanitizers of newer compilers intercept clone(), and assume that a child has memory of its
 * own. */
extern char __interceptor_clone __attribute__ ((weak));

/* If the program has called unshare() for a new PID namespace, its first child becomes the init
 * process there, and no process can be made in the namespace once it has exited. */
static gboolean
can_make_child (void)
{
  struct stat own, of_children;

  return &__interceptor_clone == NULL
    && (stat ("/proc/self/ns/pid", &own) < 0
        || stat ("/proc/self/ns/pid_for_children", &of_children) < 0
        || own.st_ino == of_children.st_ino);
}

/* The descriptor by which GLib wakes the context, or -1 if the context polls others as well. */
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

  /* The directory has two links, and one more for each thread. */
  return stat ("/proc/self/task", &status) == 0 && status.st_nlink == 3;
}

/* Whether so many descriptors are free that other threads will hardly take all of them before GLib
 * opens its own. */
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

/* Makes the context in this process, if many descriptors are free. This is for systems where the
 * child cannot be used, because a sandbox refuses it or valgrind gives it memory of its own. */
static GMainContext *
make_here (MakeFunc   make,
           Wakeup    *wakeup,
           GError   **error)
{
  if (!has_descriptors (wakeup))
    return fail (error, EMFILE);

  wakeup_clear (wakeup);
  return make ();
}

/* Whether GLib has failed to make the default context. It holds a lock then, and
 * g_main_context_default() never returns. */
static int default_is_broken;   /* atomic */

static GMainContext *
make_context (MakeFunc   make,
              GError   **error)
{
  g_auto(Wakeup) wakeup = { { -1, -1 } };
  Child child = { .make = make, .parent = getpid () };
  int result;

  if (!wakeup_open (&wakeup) || !wakeup_move (&wakeup))
    return fail (error, errno);

  if (is_only_thread ())
    {
      wakeup_clear (&wakeup);
      return make ();
    }
  if (!can_make_child ())
    return make_here (make, &wakeup, error);

  child.wakeup = wakeup;
  result = run_child (&child);
  /* The limit of processes is reached, or there is no memory. */
  if (result == EAGAIN || result == ENOMEM)
    return fail (error, ENOMEM);
  if (result != 0 || !child.is_shared)
    return make_here (make, &wakeup, error);
  if (child.context == NULL)
    {
      if (make == g_main_context_default && child.has_begun)
        g_atomic_int_set (&default_is_broken, TRUE);
      return fail (error, EMFILE);
    }

  if (make == g_main_context_default && !child.uses_wakeup)
    return child.context;
  /* If GLib uses other descriptors, they were closed with the child, and the context is useless. It
   * is leaked, because to free it would close descriptors of the program. */
  if (make == g_main_context_new && get_only_fd (child.context) != wakeup.fds[0])
    return make_here (make, &wakeup, error);

  wakeup = (Wakeup) { { -1, -1 } };
  return child.context;
}

GMainContext *
_afork_main_context_new (GError **error)
{
  GMainContext *context = make_context (g_main_context_new, error);
  const int fd = context != NULL ? get_only_fd (context) : -1;

  if (fd >= 0)
    _afork_fd_register_wakeup (fd, context);
  return context;
}

gboolean
_afork_main_context_ensure_default (GError **error)
{
  static int is_made;           /* atomic */
  g_autoptr(GError) cause = NULL;

  if (g_atomic_int_get (&is_made))
    return TRUE;

  if (g_atomic_int_get (&default_is_broken))
    fail (&cause, ENFILE);
  else if (make_context (g_main_context_default, &cause) != NULL)
    g_atomic_int_set (&is_made, TRUE);
  if (cause != NULL)
    g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                 _("The default main context could not be made: %s"), cause->message);
  return cause == NULL;
}

void
_afork_main_context_unref (GMainContext *context)
{
  _afork_fd_unregister_wakeup (context);
  g_main_context_unref (context);
}

/* Not a reference, because a blocking call keeps its context until it leaves. */
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
