/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "pid-watch.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/debug.h"
#include "base/exit-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/pidfd-info.h"
#include "base/turn.h"
#include "system/pidfd.h"

enum
{
  /* How long to wait for the exit status of a process that has exited, until its parent reaps
   * it. */
  REAPED_MS = 3000,
  /* How often to poll a child that has no pidfd, or a process that is held by its tracer. */
  POLL_MS = 10,
  /* How long a process that this one may not kill has to exit, or its parent to reply that it has
   * killed it. */
  KILL_MS = 5000,
};

/* How the exit of the process becomes known. A state may be followed by
 *
 *     PENDING             PENDING_UNREPORTED  REPORTED  CHILD
 *     PENDING_UNREPORTED  UNREPORTED
 *     REPORTED            UNREPORTED
 *     CHILD               HELD
 *     UNREPORTED          UNREAPED  HELD
 *     UNREAPED            HELD
 *
 * and each of them by EXITED, UNWATCHED or CONTEXT_LOST, which are reported as an exit, once. Any
 * state may be followed by INHERITED, which is not reported. */
typedef enum
{
  STATE_PENDING,                /* the pid is not known yet; the parent reports the exit */
  STATE_PENDING_UNREPORTED,     /* the pid is not known yet, and no process reports the exit */
  STATE_REPORTED,               /* the parent, which is another process, reports the exit */
  STATE_CHILD,                  /* of this process: watched until it exits, then reaped */
  STATE_HELD,                   /* it has exited, but its tracer has not released it: polled */
  STATE_UNREPORTED,             /* no process reports the exit: watched until it exits */
  STATE_UNREAPED,               /* it has exited: watched until its parent has reaped it */
  STATE_EXITED,
  STATE_UNWATCHED,              /* nothing can watch it, so it counts as exited */
  STATE_CONTEXT_LOST,           /* the context is gone, so it counts as exited */
  STATE_INHERITED               /* it belongs to the program that this one was forked from */
} State;

/* A kill that this process has no permission for. */
typedef enum
{
  KILL_NONE,
  KILL_DEFERRED,                /* the parent will be asked when KILL_MS are over */
  KILL_ASKED,                   /* the parent was asked, and has not replied */
  KILL_BY_OWNER                 /* send_by_owner() was called, and the process has not exited */
} Kill;

struct _AForkPidWatch
{
  AForkAtforkHook         atfork_hook;      /* the pidfd and the source */
  gatomicrefcount         ref_count;
  GMainContext           *context;
  GPid                    pid;
  int                     pidfd;            /* -1 until it is known, and if there is none */
  AForkHost              *host;             /* where the process is, and no pidfd; NULL for here */
  gboolean                verified;         /* the pidfd belongs to this process */
  gboolean                is_child;         /* this watch reaps it */
  guint                   child_number;     /* among the children of this process; 0 if it never was
                                             * one */
  guint64                 pending_signals;  /* to be sent; signal 1 is bit 0 */
  gboolean                keeps_signals;    /* signals that were sent stay pending */

  State                   state;            /* set by set_state() */
  GSource                *source;           /* on the pidfd, or a timeout; holds a reference */

  AForkDeathPipe         *death_pipe;       /* kept until it has exited, or NULL */
  guint                   after_context_ms; /* how long the process may outlive its context; 0 for
                                             * ever */
  GSource                *exit_timeout;     /* kills it if it has not exited then, or NULL; holds a
                                             * reference */
  int                     wait_status;      /* -1 until it is known */
  gboolean                has_usage;
  guint64                 user_usec;
  guint64                 system_usec;
  guint64                 max_rss_kib;
  gboolean                has_refused_call;
  guint32                 refused_call;     /* the number of the system call that ended it */

  AForkPidWatchSignalFunc signal_func;      /* has the parent signal it, or NULL */
  gpointer                reporter;         /* for signal_func */
  guint32                 number;           /* for signal_func */
  Kill                    kill;
  int                     kill_errno;       /* why it cannot be killed from here */
  GSource                *kill_timeout;     /* for its exit, or for the reply; holds a reference */
  GError                 *kill_error;       /* why it cannot be killed at all, or NULL */

  AForkPidWatchExitedFunc exited_func;
  AForkPidWatchKilledFunc killed_func;
  gpointer                data;             /* for both */
};

static void start_watch        (AForkPidWatch *self,
                                State          state);
static void start_kill_timeout (AForkPidWatch *self,
                                gint64         time);
static void forget_kill        (AForkPidWatch *self);
static void ask_to_kill        (AForkPidWatch *self);

static const char *
get_state_name (State state)
{
  static const char names[][24] = {
    [STATE_PENDING] = "pending",
    [STATE_PENDING_UNREPORTED] = "pending unreported",
    [STATE_REPORTED] = "reported",
    [STATE_CHILD] = "child",
    [STATE_HELD] = "held",
    [STATE_UNREPORTED] = "unreported",
    [STATE_UNREAPED] = "unreaped",
    [STATE_EXITED] = "exited",
    [STATE_UNWATCHED] = "unwatched",
    [STATE_CONTEXT_LOST] = "context lost",
    [STATE_INHERITED] = "inherited",
  };

  return names[state];
}

static gboolean
may_follow (State before,
            State state)
{
  static const guint next[] = {
    [STATE_PENDING] = 1 << STATE_PENDING_UNREPORTED | 1 << STATE_REPORTED | 1 << STATE_CHILD,
    [STATE_PENDING_UNREPORTED] = 1 << STATE_UNREPORTED,
    [STATE_REPORTED] = 1 << STATE_UNREPORTED,
    [STATE_CHILD] = 1 << STATE_HELD,
    [STATE_HELD] = 0,
    [STATE_UNREPORTED] = 1 << STATE_UNREAPED | 1 << STATE_HELD,
    [STATE_UNREAPED] = 1 << STATE_HELD,
  };

  if (state == STATE_INHERITED)
    return TRUE;

  return before < STATE_EXITED && (state >= STATE_EXITED || (next[before] & 1U << state) != 0);
}

static void
set_state (AForkPidWatch *self,
           State          state)
{
  g_assert (may_follow (self->state, state));

  /* In a fork of the program, no log handler of the program is called. Elsewhere it is called only
   * if debug messages are enabled, because this happens several times for each process. */
  if (state != STATE_INHERITED && _afork_debug_is_enabled ())
    g_debug ("Pid watch %p of process %d: %s, was %s", self, (int) self->pid,
             get_state_name (state), get_state_name (self->state));
  self->state = state;
}

static gboolean
has_exited (AForkPidWatch *self)
{
  return self->state >= STATE_EXITED;
}

static gboolean
is_context_lost (AForkPidWatch *self)
{
  return self->state == STATE_CONTEXT_LOST;
}

/* The children that are reaped by a watch. A process that was detached may be taken over in the
 * program that made it: then it has two watches, and only the first reaps it. A child stays in the
 * table until it has been reaped, so its pid is its own while it is found there and the mutex is
 * locked. */
static AForkMutex children_mutex;
static GHashTable *children;    /* pid → child_number, or NULL */
static guint last_child;        /* the last child_number */

static void
lock_children (void)
{
  /* Children of the program that this one was forked from are not children of this one. */
  if (!_afork_mutex_lock (&children_mutex))
    children = NULL;
}

static void
add_child (AForkPidWatch *self)
{
  lock_children ();
  if (children == NULL)
    children = g_hash_table_new (NULL, NULL);
  if (self->child_number == 0)
    self->child_number = ++last_child;
  g_hash_table_insert (children, GINT_TO_POINTER (self->pid),
                       GUINT_TO_POINTER (self->child_number));
  _afork_mutex_unlock (&children_mutex);
  self->is_child = TRUE;
}

/* Call it with the mutex locked. */
static gboolean
is_in_table (AForkPidWatch *self)
{
  return children != NULL && self->child_number != 0
    && g_hash_table_lookup (children, GINT_TO_POINTER (self->pid))
       == GUINT_TO_POINTER (self->child_number);
}

static void
remove_child (AForkPidWatch *self)
{
  if (!self->is_child)
    return;

  lock_children ();
  if (is_in_table (self))
    g_hash_table_remove (children, GINT_TO_POINTER (self->pid));
  _afork_mutex_unlock (&children_mutex);
  self->is_child = FALSE;
}

static gboolean
is_of_another_watch (AForkPidWatch *self)
{
  gboolean found;

  if (self->is_child)
    return FALSE;

  lock_children ();
  found = children != NULL && g_hash_table_contains (children, GINT_TO_POINTER (self->pid));
  _afork_mutex_unlock (&children_mutex);
  return found;
}

/* STATE says how it becomes known that the process has exited. */
static void
end_watch (AForkPidWatch *self,
           State          state,
           int            wait_status)
{
  if (has_exited (self))
    return;

  g_autoptr(AForkPidWatch) kept G_GNUC_UNUSED = _afork_pid_watch_ref (self);

  _afork_source_clear (&self->source);
  remove_child (self);
  forget_kill (self);
  _afork_source_clear (&self->exit_timeout);
  set_state (self, state);
  self->wait_status = wait_status;
  if (state != STATE_CONTEXT_LOST)
    {
      _afork_fd_clear (&self->pidfd);
      g_clear_pointer (&self->death_pipe, _afork_death_pipe_unref);
    }
  if (self->exited_func != NULL)
    self->exited_func (self, self->data);
}

static guint64
to_usec (struct timeval time)
{
  return (guint64) time.tv_sec * G_USEC_PER_SEC + (guint64) time.tv_usec;
}

static int
to_wait_status (const siginfo_t *info)
{
  switch (info->si_code)
    {
    case CLD_EXITED:
      return W_EXITCODE (info->si_status, 0);
    case CLD_DUMPED:
      return W_EXITCODE (0, info->si_status) | WCOREFLAG;
    default:
      return W_EXITCODE (0, info->si_status);
    }
}

/* Some kernels cannot wait for a process by its pidfd, and some sandboxes forbid it. A child keeps
 * its pid until it is reaped here. */
static int
call_waitid (AForkPidWatch *self,
             siginfo_t     *info,
             int            options,
             struct rusage *usage)
{
  int result = -1;

  /* glibc's waitid() drops the system call's fifth argument. */
  if (self->pidfd >= 0)
    {
      result = (int) syscall (SYS_waitid, P_PIDFD, self->pidfd, info, options, usage);
      if (result == 0 || errno == ECHILD || !afork_is_missing (errno))
        return result;
    }
  if (self->pidfd < 0 || self->is_child)
    return (int) syscall (SYS_waitid, P_PID, self->pid, info, options, usage);

  errno = ECHILD;
  return result;
}

/* The same without waiting. A child that is reaped has no pid from then on. */
static int
wait_for (AForkPidWatch *self,
          siginfo_t     *info,
          int            options,
          struct rusage *usage)
{
  int result, saved_errno;

  if (!self->is_child)
    return call_waitid (self, info, options | WNOHANG, usage);

  lock_children ();
  result = call_waitid (self, info, options | WNOHANG, usage);
  saved_errno = errno;
  if (result == 0 && info->si_pid != 0 && is_in_table (self))
    g_hash_table_remove (children, GINT_TO_POINTER (self->pid));
  _afork_mutex_unlock (&children_mutex);
  errno = saved_errno;
  return result;
}

/* Reaps the process if it has exited. Returns false if this process cannot reap it, because it is
 * not a child, or because the program ignores SIGCHLD or waits for any child. */
static gboolean
reap (AForkPidWatch *self)
{
  const int flags = is_of_another_watch (self) ? WNOWAIT : 0;
  struct rusage usage = { 0 };
  siginfo_t info = { 0 };

  if (wait_for (self, &info, WEXITED | flags, &usage) < 0)
    return errno == EINTR;
  if (info.si_pid != 0)
    _afork_pid_watch_set_exited (self, to_wait_status (&info), to_usec (usage.ru_utime),
                                 to_usec (usage.ru_stime), (guint64) usage.ru_maxrss);
  return TRUE;
}

/* The kernel reports the exit of a traced process to its tracer first. Until the tracer has taken
 * notice, the pidfd is readable and there is nothing to reap, so the process is polled. */
static void
look_after_held (AForkPidWatch *self)
{
  if (!has_exited (self) && self->state != STATE_HELD && self->pidfd >= 0)
    start_watch (self, STATE_HELD);
}

/* The pidfd is readable. */
static void
look_at_pidfd (AForkPidWatch *self,
               GIOCondition   condition)
{
  int wait_status;

  /* A process whose parent is gone becomes a child if this process is init or a subreaper. */
  if (reap (self))
    {
      look_after_held (self);
      return;
    }

  /* If the status cannot be read yet, its parent may be about to reap it. The second watch ends
   * with a hang-up, or after REAPED_MS. */
  if (_afork_pidfd_get_unreaped_status (self->pidfd, &wait_status)
      || _afork_pidfd_get_status (self->pidfd, &wait_status)
      || (condition & G_IO_HUP) != 0
      || self->state == STATE_UNREAPED)
    end_watch (self, STATE_EXITED, wait_status);
  else
    start_watch (self, STATE_UNREAPED);
}

/* There is no pidfd, or it does not report how the process has exited. */
static void
look_at_pid (AForkPidWatch *self)
{
  int wait_status = -1;

  if (reap (self))
    return;

  if (self->pidfd >= 0)
    _afork_pidfd_get_status (self->pidfd, &wait_status);
  end_watch (self, STATE_EXITED, wait_status);
}

/* Many processes may exit at once. */
static gboolean
watch_cb (int          fd,
          GIOCondition condition,
          gpointer     data)
{
  AForkPidWatch *self = data;
  AForkTurn turn;

  if (_afork_atfork_is_inherited (&self->atfork_hook))
    {
      _afork_pid_watch_lose_context (self);
      return G_SOURCE_CONTINUE;
    }
  if (!_afork_turn_begin (&turn, NULL))
    return G_SOURCE_CONTINUE;

  look_at_pidfd (self, condition);
  _afork_turn_end (&turn, NULL, NULL, TRUE);
  return G_SOURCE_CONTINUE;
}

static gboolean
poll_cb (gpointer data)
{
  AForkPidWatch *self = data;
  AForkTurn turn;

  if (_afork_atfork_is_inherited (&self->atfork_hook))
    {
      _afork_pid_watch_lose_context (self);
      return G_SOURCE_CONTINUE;
    }
  if (!_afork_turn_begin (&turn, NULL))
    return G_SOURCE_CONTINUE;

  look_at_pid (self);
  _afork_turn_end (&turn, NULL, NULL, TRUE);
  return G_SOURCE_CONTINUE;
}

/* The parent source is dispatched together with this one, and does the work. */
static gboolean
time_over_cb (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

static void
unref_cb (gpointer data)
{
  _afork_pid_watch_unref (data);
}

static void
context_gone_cb (gpointer data)
{
  _afork_pid_watch_lose_context (data);
}

static void
start_watch (AForkPidWatch *self,
             State          state)
{
  /* A pidfd is readable once its process has exited, and hung up once that is reaped. */
  GIOCondition condition = state == STATE_UNREAPED ? G_IO_HUP : G_IO_IN;
  gboolean by_pidfd = self->pidfd >= 0 && state != STATE_HELD;

  _afork_source_clear (&self->source);
  if (self->state != state)
    set_state (self, state);
  self->source = by_pidfd ? g_unix_fd_source_new (self->pidfd, condition)
                          : g_timeout_source_new (POLL_MS);
  g_source_set_static_name (self->source, "[afork] pid watch");
  _afork_source_set_callback (&self->source, by_pidfd ? G_SOURCE_FUNC (watch_cb) : poll_cb,
                              context_gone_cb, _afork_pid_watch_ref (self), unref_cb);
  if (state == STATE_UNREAPED)
    {
      g_autoptr(GSource) timeout = g_timeout_source_new (REAPED_MS);

      g_source_set_callback (timeout, time_over_cb, NULL, NULL);
      g_source_add_child_source (self->source, timeout);
    }
  g_source_attach (self->source, self->context);
}

/* The process is not a child of this one, and is left alone. */
static void
atfork_child_cb (gpointer data)
{
  g_autoptr(AForkPidWatch) self = _afork_pid_watch_ref (data);

  _afork_source_clear (&self->source);
  remove_child (self);
  forget_kill (self);
  _afork_source_clear (&self->exit_timeout);
  self->signal_func = NULL;
  set_state (self, STATE_INHERITED);
  _afork_fd_clear (&self->pidfd);
}

AForkPidWatch *
_afork_pid_watch_new (GMainContext *context)
{
  AForkPidWatch *self = g_new0 (AForkPidWatch, 1);

  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  g_atomic_ref_count_init (&self->ref_count);
  self->context = context;
  self->pidfd = -1;
  self->wait_status = -1;
  return self;
}

AForkPidWatch *
_afork_pid_watch_ref (AForkPidWatch *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_pid_watch_unref (AForkPidWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _afork_atfork_remove_hook (&self->atfork_hook);
  _afork_fd_clear (&self->pidfd);
  g_clear_pointer (&self->death_pipe, _afork_death_pipe_unref);
  g_clear_pointer (&self->host, _afork_host_unref);
  g_free (self);
}

void
_afork_pid_watch_set_funcs (AForkPidWatch           *self,
                            AForkPidWatchExitedFunc  exited,
                            AForkPidWatchKilledFunc  killed,
                            gpointer                 data)
{
  self->exited_func = exited;
  self->killed_func = killed;
  self->data = data;
}

void
_afork_pid_watch_set_reporter (AForkPidWatch           *self,
                               AForkPidWatchSignalFunc  signal_func,
                               gpointer                 reporter,
                               guint32                  number)
{
  self->signal_func = signal_func;
  self->reporter = reporter;
  self->number = number;
}

gpointer
_afork_pid_watch_get_reporter (AForkPidWatch *self,
                               guint32       *number)
{
  *number = self->number;
  return self->reporter;
}

void
_afork_pid_watch_set_context (AForkPidWatch *self,
                              GMainContext  *context)
{
  self->context = context;
  if (self->source != NULL)
    {
      g_autoptr(AForkPidWatch) kept G_GNUC_UNUSED = _afork_pid_watch_ref (self);

      start_watch (self, self->state);
    }
  if (self->kill_timeout != NULL)
    start_kill_timeout (self, g_source_get_ready_time (self->kill_timeout));
}

/* Signals. */

typedef enum
{
  PIDFD_OURS,                   /* of the process with the pid that the kernel reported */
  PIDFD_OTHER,                  /* of another process, or of an unknown one */
  PIDFD_REAPED                  /* its process has been reaped */
} PidfdOwner;

/* Whose pidfd it is. The process itself has sent it, and is not trusted, so this is checked before
 * the pidfd is used to signal. If its process has been reaped, it can do no harm. */
static PidfdOwner
verify_pidfd (AForkPidWatch *self)
{
  int pid;

  if (self->verified)
    return PIDFD_OURS;

  pid = _afork_pidfd_get_pid (self->pidfd);
  self->verified = pid == self->pid;
  if (self->verified)
    return PIDFD_OURS;
  if (pid == -1)
    return PIDFD_REAPED;

  g_debug ("Process %d has sent a descriptor that is not its own pidfd", (int) self->pid);
  return PIDFD_OTHER;
}

/* Returns 0 if SIGNAL was sent to a child of this program, or if that has exited; else an errno.
 * Once the main context is gone, another watch reaps the child, perhaps in another thread. */
static int
send_to_child (AForkPidWatch *self,
               int            signal)
{
  siginfo_t info;
  int error = 0;

  lock_children ();
  if (is_in_table (self)
      && waitid (P_PID, (id_t) self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0
      && kill (self->pid, signal) < 0 && errno != ESRCH)
    error = errno;
  _afork_mutex_unlock (&children_mutex);
  return error;
}

/* Signals a fork without pidfd_send_signal(), which a sandbox may refuse. This is for the case that
 * its template cannot be asked to signal it: the template has exited or does not react, or the main
 * context is gone, and with it the channel to the template. Nothing else could end a worker that
 * ignores the end of its socket. Returns whether it was tried.
 *
 * kill() could hit another process that has the pid by now. So this makes the process the owner of
 * a socket whose owner gets SIGNAL when the socket can be read (F_SETOWN_EX, F_SETSIG, O_ASYNC),
 * and then writes to the other end. The kernel keeps the process itself, and not its pid. If the
 * pidfd is not readable after that, the process had not exited before, so the pid was its own.
 * The kernel checks whether this program may signal the process, but does not report the result. */
static gboolean
send_by_owner (AForkPidWatch *self,
               int            signal)
{
  const struct f_owner_ex owner = { F_OWNER_PID, self->pid };
  struct pollfd end = { .fd = self->pidfd, .events = POLLIN };
  g_auto(AForkFd) socket = -1;
  g_auto(AForkFd) other = -1;
  int fds[2];

  if (self->child_number != 0 || self->pidfd < 0 || verify_pidfd (self) != PIDFD_OURS
      || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return FALSE;

  socket = _afork_fd_register (fds[0]);
  other = _afork_fd_register (fds[1]);
  return fcntl (socket, F_SETSIG, signal) == 0
    && fcntl (socket, F_SETOWN_EX, &owner) == 0
    && poll (&end, 1, 0) == 0
    && fcntl (socket, F_SETFL, O_ASYNC) == 0
    && send (other, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* Returns 0 if SIGNAL was sent, or if the process has exited; else an errno. The pid is used only
 * of a child that has not been reaped: the kernel may have reused any other. */
static int
send_directly (AForkPidWatch *self,
               int            signal)
{
  int error = self->pidfd >= 0 ? EPERM : ENOSYS;

  if (self->pidfd >= 0)
    switch (verify_pidfd (self))
      {
      case PIDFD_REAPED:
        return 0;
      case PIDFD_OURS:
        if (afork_pidfd_send_signal (self->pidfd, signal) == 0 || errno == ESRCH)
          return 0;
        error = errno;
        break;
      default:
        break;
      }

  return self->child_number != 0 ? send_to_child (self, signal) : error;
}

/* The process was killed, or has exited, or another one takes its place. */
static void
forget_kill (AForkPidWatch *self)
{
  self->kill = KILL_NONE;
  _afork_source_clear (&self->kill_timeout);
  g_clear_error (&self->kill_error);
}

static void
report_killed (AForkPidWatch *self)
{
  const gboolean was_pending = self->kill != KILL_NONE;

  forget_kill (self);
  if (was_pending && !has_exited (self) && self->killed_func != NULL)
    self->killed_func (self, NULL, self->data);
}

static void
report_unkillable (AForkPidWatch *self)
{
  g_autoptr(AForkPidWatch) kept G_GNUC_UNUSED = _afork_pid_watch_ref (self);
  const gboolean unanswered = self->kill == KILL_ASKED;
  const char *why = g_strerror (self->kill_errno);

  if (has_exited (self))
    return;

  forget_kill (self);
  self->kill_error = unanswered
    ? g_error_new (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                   _("Process %d cannot be killed from here (%s), and its template, which could, "
                     "does not answer"), (int) self->pid, why)
    : g_error_new (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                   _("Process %d cannot be killed: %s"), (int) self->pid, why);
  if (self->killed_func != NULL)
    self->killed_func (self, self->kill_error, self->data);
}

static gboolean
kill_timeout_cb (gpointer data)
{
  g_autoptr(AForkPidWatch) self = _afork_pid_watch_ref (data);
  AForkTurn turn;

  if (!_afork_turn_begin (&turn, NULL))
    return G_SOURCE_CONTINUE;

  if (self->kill == KILL_DEFERRED)
    ask_to_kill (self);
  else
    report_unkillable (self);
  _afork_turn_end (&turn, NULL, NULL, TRUE);
  return G_SOURCE_REMOVE;
}

static gboolean
ask_reporter (AForkPidWatch *self,
              int            signal)
{
  return self->signal_func != NULL && self->signal_func (self->reporter, self->number, signal);
}

/* The parent may not reply, and the kernel does not report that this program has no right to kill
 * the process, so both are tried. */
static void
kill_indirectly (AForkPidWatch *self)
{
  const gboolean is_sent = send_by_owner (self, SIGKILL);

  if (ask_reporter (self, SIGKILL))
    self->kill = KILL_ASKED;
  else
    self->kill = is_sent ? KILL_BY_OWNER : KILL_NONE;
}

/* The context is being freed, so a fork that takes the place of the process would not become known
 * here. The parent is asked now. */
static void
ask_at_last (AForkPidWatch *self)
{
  if (self->kill == KILL_DEFERRED)
    kill_indirectly (self);
}

static void
kill_context_gone_cb (gpointer data)
{
  ask_at_last (data);
}

static void
start_kill_timeout (AForkPidWatch *self,
                    gint64         time)
{
  _afork_source_clear (&self->kill_timeout);
  self->kill_timeout = _afork_turn_timer_new (time);
  g_source_set_static_name (self->kill_timeout, "[afork] process has to be killed");
  _afork_source_set_callback (&self->kill_timeout, kill_timeout_cb, kill_context_gone_cb,
                              _afork_pid_watch_ref (self), unref_cb);
  g_source_attach (self->kill_timeout, self->context);
}

static void
await_kill (AForkPidWatch *self)
{
  if (self->kill_timeout == NULL)
    start_kill_timeout (self, g_get_monotonic_time () + KILL_MS * G_TIME_SPAN_MILLISECOND);
}

static void
ask_to_kill (AForkPidWatch *self)
{
  _afork_source_clear (&self->kill_timeout);
  kill_indirectly (self);
  if (self->kill != KILL_NONE)
    await_kill (self);
  else
    report_unkillable (self);
}

static void
kill_now (AForkPidWatch *self,
          gboolean       is_exiting)
{
  int error = send_directly (self, SIGKILL);

  if (error == 0)
    {
      report_killed (self);
      return;
    }

  self->kill_errno = error;
  if (has_exited (self))
    {
      /* Its context is gone. */
      send_by_owner (self, SIGKILL);
      return;
    }

  /* A fork may have taken its place, which only this process can kill. It must live as long as it
   * may report that fork. */
  if (self->keeps_signals && self->signal_func != NULL && self->kill == KILL_NONE)
    self->kill = KILL_DEFERRED;
  else if (self->kill == KILL_NONE)
    kill_indirectly (self);

  if (self->kill != KILL_NONE || is_exiting)
    await_kill (self);
  else
    report_unkillable (self);
}

static void
send_now (AForkPidWatch *self,
          int            signal)
{
  int error;

  if (signal == SIGKILL)
    {
      kill_now (self, FALSE);
      return;
    }

  error = send_directly (self, signal);
  if (error != 0 && !self->keeps_signals
      && (has_exited (self) || !ask_reporter (self, signal))
      && !send_by_owner (self, signal))
    g_debug ("Signal %d cannot be sent to process %d: %s", signal, (int) self->pid,
             g_strerror (error));
}

static void
become_known (AForkPidWatch *self,
              GPid           pid,
              int            pidfd)
{
  guint64 signals = self->pending_signals;

  self->pid = pid;
  self->pidfd = _afork_fd_register (pidfd);
  if (!self->keeps_signals)
    self->pending_signals = 0;
  for (int signal = 1; signals != 0; signal++, signals >>= 1)
    if ((signals & 1) != 0)
      send_now (self, signal);
}

void
_afork_pid_watch_watch_child (AForkPidWatch *self,
                              GPid           pid,
                              int            pidfd)
{
  self->verified = pidfd >= 0;
  self->pid = pid;
  add_child (self);
  become_known (self, pid, pidfd);
  start_watch (self, STATE_CHILD);
}

/* Whether the pidfd belongs to another process, which may live for ever. That is unknown of a pidfd
 * whose process has been reaped, and does not matter there. */
static gboolean
is_anothers_pidfd (AForkPidWatch *self)
{
  return verify_pidfd (self) == PIDFD_OTHER && _afork_pidfd_get_pid (self->pidfd) > 0;
}

static void
watch_unreported (AForkPidWatch *self)
{
  if (self->pidfd >= 0 && !is_anothers_pidfd (self))
    {
      start_watch (self, STATE_UNREPORTED);
      return;
    }

  end_watch (self, STATE_UNWATCHED, -1);
}

void
_afork_pid_watch_confirm_fork (AForkPidWatch *self,
                               GPid           pid,
                               int            pidfd)
{
  if (has_exited (self))
    {
      /* The report of its parent came before its own message. */
      self->pid = pid;
      _afork_fd_close (pidfd);
      return;
    }

  if (self->state == STATE_PENDING)
    set_state (self, STATE_REPORTED);
  become_known (self, pid, pidfd);
  if (self->state == STATE_PENDING_UNREPORTED)
    watch_unreported (self);
}

/* Kills the process, which should have exited. */
static void
kill_closed (AForkPidWatch *self)
{
  /* It can no longer report a fork that takes its place. */
  self->keeps_signals = FALSE;
  if (self->kill == KILL_DEFERRED)
    self->kill = KILL_NONE;
  if (self->kill_error == NULL)
    kill_now (self, TRUE);
}

static gboolean
exit_timeout_cb (gpointer data)
{
  AForkPidWatch *self = data;
  AForkTurn turn;

  if (!_afork_turn_begin (&turn, NULL))
    return G_SOURCE_CONTINUE;

  _afork_source_clear (&self->exit_timeout);
  kill_closed (self);
  _afork_turn_end (&turn, NULL, NULL, TRUE);
  return G_SOURCE_REMOVE;
}

static void
start_exit_timeout (AForkPidWatch *self,
                    guint          ms)
{
  self->exit_timeout = _afork_turn_timer_new (g_get_monotonic_time ()
                                              + ms * G_TIME_SPAN_MILLISECOND);
  g_source_set_static_name (self->exit_timeout, "[afork] process has to exit");
  g_source_set_callback (self->exit_timeout, exit_timeout_cb, _afork_pid_watch_ref (self),
                         (GDestroyNotify) _afork_pid_watch_unref);
  g_source_attach (self->exit_timeout, self->context);
}

void
_afork_pid_watch_discard_child (GMainContext *context,
                                GPid          child)
{
  g_autoptr(AForkPidWatch) self = _afork_pid_watch_new (context);

  _afork_pid_watch_watch_child (self, child, -1);
  _afork_pid_watch_send_signal (self, SIGKILL);
}

/* A child still has to be reaped, and a death pipe has to stay open as long as the process lives.
 * The default context is the one that is most likely iterated. This may happen in another thread,
 * so the process gets a new watch there, to which no pointer is kept here. */
static void
leave_to_default_context (AForkPidWatch *self)
{
  int pidfd = self->pidfd >= 0 ? _afork_fd_dup (self->pidfd) : -1;
  g_autoptr(AForkPidWatch) left = _afork_pid_watch_new (NULL);

  /* If there is no second descriptor, a process that is not a child can no longer be signalled from
   * here. */
  if (pidfd < 0)
    pidfd = g_steal_fd (&self->pidfd);
  if (self->death_pipe != NULL)
    _afork_pid_watch_set_death_pipe (left, self->death_pipe);
  /* Once LEFT is watched, it may be used by another thread only. */
  if (self->after_context_ms > 0)
    start_exit_timeout (left, self->after_context_ms);
  if (self->is_child)
    {
      self->is_child = FALSE;
      left->child_number = self->child_number;
      _afork_pid_watch_watch_child (left, self->pid, pidfd);
      return;
    }

  _afork_pid_watch_set_unreported (left);
  _afork_pid_watch_confirm_fork (left, self->pid, pidfd);
}

void
_afork_pid_watch_lose_context (AForkPidWatch *self)
{
  if (has_exited (self))
    return;

  if (!_afork_atfork_is_inherited (&self->atfork_hook))
    ask_at_last (self);
  /* In a fork of the program the process is not a child, and needs no other watch. */
  if (_afork_atfork_is_inherited (&self->atfork_hook))
    self->is_child = FALSE;
  else if (self->is_child
           || (self->pid != 0 && self->host == NULL
               && (self->death_pipe != NULL || self->after_context_ms > 0)))
    leave_to_default_context (self);
  end_watch (self, STATE_CONTEXT_LOST, -1);
}

void
_afork_pid_watch_kill_after_context (AForkPidWatch *self,
                                     guint          ms)
{
  self->after_context_ms = ms;
}

void
_afork_pid_watch_set_exited (AForkPidWatch *self,
                             int            wait_status,
                             guint64        user_usec,
                             guint64        system_usec,
                             guint64        max_rss_kib)
{
  if (has_exited (self))
    return;

  self->has_usage = wait_status >= 0;
  self->user_usec = user_usec;
  self->system_usec = system_usec;
  self->max_rss_kib = max_rss_kib;
  if (wait_status < 0 && self->pidfd >= 0)
    _afork_pidfd_get_status (self->pidfd, &wait_status);
  end_watch (self, STATE_EXITED, wait_status);
}

void
_afork_pid_watch_set_unreported (AForkPidWatch *self)
{
  g_autoptr(AForkPidWatch) kept G_GNUC_UNUSED = _afork_pid_watch_ref (self);

  if (self->state == STATE_PENDING)
    set_state (self, STATE_PENDING_UNREPORTED);
  else if (self->state == STATE_REPORTED)
    watch_unreported (self);
  /* Its parent was asked to kill it, and will not reply. */
  if (!has_exited (self) && self->kill != KILL_NONE)
    {
      self->kill = KILL_NONE;
      kill_now (self, FALSE);
    }
}

static guint64
signal_bit (int signal)
{
  return G_GUINT64_CONSTANT (1) << (signal - 1);
}

/* SIGCONT cancels pending stop signals, and these cancel a pending SIGCONT, as in the kernel. */
static void
keep_signal (AForkPidWatch *self,
             int            signal)
{
  const guint64 stop = signal_bit (SIGSTOP) | signal_bit (SIGTSTP) | signal_bit (SIGTTIN)
    | signal_bit (SIGTTOU);

  if (signal == SIGCONT)
    self->pending_signals &= ~stop;
  else if ((signal_bit (signal) & stop) != 0)
    self->pending_signals &= ~signal_bit (SIGCONT);
  self->pending_signals |= signal_bit (signal);
}

void
_afork_pid_watch_send_signal (AForkPidWatch *self,
                              int            signal)
{
  if ((has_exited (self) && !is_context_lost (self))
      || _afork_atfork_is_inherited (&self->atfork_hook))
    return;

  if (self->pid == 0 || self->keeps_signals)
    keep_signal (self, signal);
  if (self->pid != 0)
    send_now (self, signal);
}

void
_afork_pid_watch_signal_replied (AForkPidWatch *self,
                                 int            signal,
                                 int            error)
{
  if (signal != SIGKILL || has_exited (self)
      || (self->kill != KILL_ASKED && self->kill_error == NULL))
    return;

  self->kill_errno = error;
  /* ESRCH: the parent has no such fork, because it has reported the exit before. */
  if (error == 0 || error == ESRCH)
    {
      self->kill = KILL_ASKED;
      report_killed (self);
    }
  else if (self->kill == KILL_ASKED)
    {
      self->kill = KILL_NONE;
      report_unkillable (self);
    }
}

void
_afork_pid_watch_kill_closed (AForkPidWatch *self,
                              guint          ms)
{
  if (has_exited (self) || self->pid == 0)
    return;

  if (ms == 0)
    kill_closed (self);
  else if (self->exit_timeout == NULL)
    start_exit_timeout (self, ms);
}

const GError *
_afork_pid_watch_get_kill_error (AForkPidWatch *self)
{
  return self->kill_error;
}

gboolean
_afork_pid_watch_is_being_killed (AForkPidWatch *self)
{
  return self->kill != KILL_NONE;
}

void
_afork_pid_watch_keep_signals (AForkPidWatch *self)
{
  self->keeps_signals = TRUE;
}

void
_afork_pid_watch_take_signals (AForkPidWatch *self,
                               AForkPidWatch *other)
{
  self->pending_signals = other->pending_signals;
  other->pending_signals = 0;
  other->keeps_signals = FALSE;
  if (other->kill == KILL_DEFERRED)
    forget_kill (other);
}

void
_afork_pid_watch_set_death_pipe (AForkPidWatch  *self,
                                 AForkDeathPipe *death_pipe)
{
  if (has_exited (self))
    return;

  _afork_death_pipe_ref (death_pipe);
  g_clear_pointer (&self->death_pipe, _afork_death_pipe_unref);
  self->death_pipe = death_pipe;
}

AForkDeathPipe *
_afork_pid_watch_get_death_pipe (AForkPidWatch *self)
{
  return self->death_pipe;
}

void
_afork_pid_watch_set_host (AForkPidWatch *self,
                           AForkHost     *host)
{
  g_assert (self->host == NULL && self->pid == 0);

  self->host = _afork_host_ref (host);
}

AForkHost *
_afork_pid_watch_get_host (AForkPidWatch *self)
{
  return self->host;
}

GPid
_afork_pid_watch_get_pid (AForkPidWatch *self)
{
  return self->host == NULL ? self->pid : 0;
}

int
_afork_pid_watch_get_remote_pid (AForkPidWatch *self)
{
  return self->host != NULL ? (int) self->pid : 0;
}

char *
_afork_pid_watch_get_name (AForkPidWatch *self)
{
  if (self->pid != 0 && self->host != NULL)
    return g_strdup_printf (_("Process %d on “%s”"), (int) self->pid,
                            _afork_host_get_name (self->host));

  return self->pid != 0 ? g_strdup_printf (_("Process %d"), (int) self->pid)
                        : g_strdup (_("The process"));
}

GError *
_afork_pid_watch_new_unknown_error (AForkPidWatch *self)
{
  g_autofree char *name = _afork_pid_watch_get_name (self);

  if (self->state != STATE_EXITED && self->host != NULL)
    {
      GError *lost = _afork_host_new_lost_error (self->host);

      return lost != NULL ? lost
                          : g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                                         _("%s was ended with its template, which has exited"),
                                         name);
    }
  if (self->state == STATE_UNWATCHED)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                        _("%s cannot be watched: its template is gone, and there is no pidfd of "
                          "it"), name);

  return _afork_exit_error_new (name, -1);
}

gboolean
_afork_pid_watch_is_known (AForkPidWatch *self)
{
  return self->pid != 0;
}

gboolean
_afork_pid_watch_is_context_lost (AForkPidWatch *self)
{
  return is_context_lost (self);
}

gboolean
_afork_pid_watch_has_exited (AForkPidWatch *self)
{
  return has_exited (self);
}

gboolean
_afork_pid_watch_poll_exited (AForkPidWatch *self)
{
  struct pollfd end = { .fd = self->pidfd, .events = POLLIN };
  siginfo_t info = { 0 };

  if (has_exited (self) || self->pid == 0)
    return has_exited (self);
  if (self->host != NULL)
    return FALSE;
  if (self->pidfd >= 0)
    return poll (&end, 1, 0) > 0;

  return waitid (P_PID, (id_t) self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0
    && info.si_pid != 0;
}

int
_afork_pid_watch_get_wait_status (AForkPidWatch *self)
{
  return self->wait_status;
}

void
_afork_pid_watch_set_refused_call (AForkPidWatch *self,
                                   guint32        number)
{
  self->has_refused_call = TRUE;
  self->refused_call = number;
}

gboolean
_afork_pid_watch_get_refused_call (AForkPidWatch *self,
                                   guint32       *number)
{
  *number = self->refused_call;
  return self->has_refused_call;
}

gboolean
_afork_pid_watch_get_usage (AForkPidWatch *self,
                            guint64       *user_usec,
                            guint64       *system_usec,
                            guint64       *max_rss_kib)
{
  if (!self->has_usage)
    return FALSE;

  *user_usec = self->user_usec;
  *system_usec = self->system_usec;
  *max_rss_kib = self->max_rss_kib;
  return TRUE;
}
