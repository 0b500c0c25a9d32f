/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The class: how a process starts, runs and exits. The functions that prepare a process are in
 * afork-process-prepare.c, and those that run it are in afork-process-run.c. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "afork-enum-types.h"
#include "afork-error.h"
#include "afork-runtime-private.h"
#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/debug.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/main-context.h"
#include "process/launchers.h"
#include "sandbox/filter.h"

/**
 * AForkProcess:
 *
 * A worker process: created, prepared step by step, and then run.
 *
 * A process is forked from a template, a small and clean process, and not from the calling program.
 * So the cost of a process does not depend on the size of the program. Only
 * [ctor@AFork.Process.new_template] makes a template of the program itself.
 *
 * The caller queues commands for the process: load a module, call a function, keep a string, bytes
 * or a descriptor. Then [method@AFork.Process.run_async] runs a function in it. The function gets a
 * socket that is connected to the caller, and the items that were queued.
 *
 * ```c
 * AForkProcess *process = afork_process_new ();
 *
 * afork_process_require (process, "upper");
 * afork_process_send_arg (process, "Hello");
 * afork_process_run_async (process, "upper", NULL, run_cb, NULL);
 * g_object_unref (process);
 * ```
 *
 * A process that was not run can itself be a template: [method@AFork.Process.fork] makes another
 * process that has everything that was queued so far.
 *
 * A method waits for another process only if its description says so. If a command fails, `run`
 * returns the error with the message of the other process, for example why a module could not be
 * loaded. After the first failure, a process executes no more commands and exits.
 *
 * A process has the descriptors 0, 1 and 2, which it inherits, its socket, the descriptors that it
 * was sent, and one more with [property@AFork.Process:die-with-parent]. Its signals are unblocked
 * and have their default actions.
 *
 * Dropping the object does not stop or delay the process. A process that was not run executes the
 * queued commands and exits. A process that was run goes on until its function returns.
 *
 * An object belongs to the thread-default main context in which it was created. It works when that
 * context is iterated, and its methods must be called in the thread that owns the context. A thread
 * that does not use the global default context needs a context of its own; see
 * [method@GLib.MainContext.push_thread_default]. In any other thread, operations fail with
 * `AFORK_ERROR_FAILED`, and functions that return no error log a critical message and do nothing.
 * See [the page](processes.html#main-contexts).
 *
 * Since: 0.1
 */

enum
{
  PROP_0,
  PROP_RUNTIME,
  PROP_TEMPLATE,
  PROP_FRESH,
  PROP_FD,
  PROP_PID,
  PROP_STATE,
  PROP_TITLE,
  PROP_FUNCTION,
  PROP_DIE_WITH_PARENT,
  PROP_SPARE,
  N_PROPS
};

enum { SIGNAL_EXITED, N_SIGNALS };

static GParamSpec *props[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (AForkProcess, afork_process, G_TYPE_OBJECT)

/* Holding its context. */

static GError *
new_hold_error (AForkProcess *self)
{
  if (self->context != NULL && _afork_context_is_inherited (self->context))
    return _afork_atfork_new_error ();

  return g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                      _("The process belongs to a main context that another thread uses; this "
                        "thread needs processes of its own, in a main context of its own"));
}

static void
warn_of_thread (void)
{
  g_critical ("A process belongs to the thread-default main context in which it was created, and "
              "another thread uses it: this thread needs a main context of its own, see "
              "g_main_context_push_thread_default()");
}

AForkHold *
_afork_process_hold (AForkProcess  *self,
                     GError       **error)
{
  AForkHold *hold = _afork_context_hold (self->context);

  if (hold == NULL)
    g_propagate_error (error, new_hold_error (self));
  return hold;
}

AForkHold *
_afork_process_hold_or_warn (AForkProcess *self)
{
  AForkHold *hold = _afork_context_hold (self->context);

  /* In a fork of the program, running the process returns the error. */
  if (hold == NULL && !_afork_context_is_inherited (self->context))
    warn_of_thread ();
  return hold;
}

AForkHold *
_afork_process_hold_for_task (AForkProcess *self,
                              GTask        *task)
{
  AForkHold *hold = _afork_context_hold (self->context);

  if (hold == NULL)
    g_task_return_error (task, new_hold_error (self));
  return hold;
}

gboolean
_afork_process_begin_blocking (AForkProcess       *self,
                               AForkBlockingCall  *blocking,
                               GObject            *object,
                               GError            **error)
{
  AForkHold *hold = _afork_process_hold (self, error);

  return hold != NULL
    && _afork_blocking_call_begin (blocking, object, hold, self->client, error);
}

AForkClient *
_afork_process_get_client (AForkProcess *self)
{
  return self->client;
}

AForkContext *
_afork_process_get_context (AForkProcess *self)
{
  return self->context;
}

/* Its states. */

static const char *
get_phase_name (AForkProcessPhase phase)
{
  static const char names[][16] = {
    [AFORK_PROCESS_PHASE_UNSTARTED] = "unstarted",
    [AFORK_PROCESS_PHASE_STARTED] = "started",
    [AFORK_PROCESS_PHASE_RUN_UNSTARTED] = "run, unstarted",
    [AFORK_PROCESS_PHASE_RUN] = "run",
  };

  return names[phase];
}

static gboolean
may_follow (AForkProcessPhase before,
            AForkProcessPhase phase)
{
  switch (before)
    {
    case AFORK_PROCESS_PHASE_UNSTARTED:
      return phase == AFORK_PROCESS_PHASE_STARTED || phase == AFORK_PROCESS_PHASE_RUN_UNSTARTED;
    case AFORK_PROCESS_PHASE_STARTED:
    case AFORK_PROCESS_PHASE_RUN_UNSTARTED:
      return phase == AFORK_PROCESS_PHASE_RUN;
    case AFORK_PROCESS_PHASE_RUN:
    default:
      return FALSE;
    }
}

static void
set_phase (AForkProcess      *self,
           AForkProcessPhase  phase)
{
  g_assert (may_follow (self->phase, phase));

  if (_afork_debug_is_enabled ())
    g_debug ("Process object %p: %s, was %s", self, get_phase_name (phase),
             get_phase_name (self->phase));
  self->phase = phase;
}

/* A process was started: executed, forked or taken over. */
static void
set_started (AForkProcess *self)
{
  set_phase (self, self->phase == AFORK_PROCESS_PHASE_UNSTARTED ? AFORK_PROCESS_PHASE_STARTED
                                                                : AFORK_PROCESS_PHASE_RUN);
}

gboolean
_afork_process_is_started (AForkProcess *self)
{
  return self->phase == AFORK_PROCESS_PHASE_STARTED || self->phase == AFORK_PROCESS_PHASE_RUN;
}

/* Sets the state that the caller sees. It only goes forward:
 *
 *     STARTING ──> PREPARING ──> RUNNING ──> EXITED
 *
 * Any of these may be skipped. Returns whether the state has changed; then the caller of this
 * function notifies it. */
static gboolean
set_state (AForkProcess      *self,
           AForkProcessState  state)
{
  if (state <= self->state)
    return FALSE;

  if (_afork_debug_is_enabled ())
    g_debug ("Process object %p: state %d, was %d", self, (int) state, (int) self->state);
  self->state = state;
  return TRUE;
}

/* Preparing it. */

gboolean
_afork_process_can_prepare (AForkProcess *self)
{
  return self->phase == AFORK_PROCESS_PHASE_UNSTARTED || self->phase == AFORK_PROCESS_PHASE_STARTED;
}

gboolean
_afork_process_may_prepare (AForkProcess *self)
{
  if (_afork_process_can_prepare (self))
    return TRUE;

  g_debug ("Process %d cannot be prepared: it was run, executed or detached",
           (int) afork_process_get_pid (self));
  return FALSE;
}

void
_afork_process_discard_spare_forks (AForkProcess *self)
{
  if (self->spare_forks != NULL)
    _afork_spare_forks_discard (self->spare_forks);
}

void
_afork_process_trim_spare_forks (AForkProcess *self)
{
  if (self->spare_forks != NULL)
    _afork_spare_forks_trim (self->spare_forks);
}

void
_afork_process_kill_with_error (AForkProcess *self,
                                int           code,
                                const char   *format,
                                ...)
{
  g_autoptr(GError) error = NULL;
  va_list arguments;

  va_start (arguments, format);
  error = g_error_new_valist (AFORK_ERROR, code, format, arguments);
  va_end (arguments);
  _afork_client_kill_with_error (self->client, error);
}

void
_afork_process_fail_command (AForkProcess *self,
                             const GError *error)
{
  if (_afork_client_get_failure (self->client) == NULL)
    _afork_client_kill_with_error (self->client, error);
  _afork_command_log_add_failure (&self->command_log, error);
}

static gboolean
keeps_all_commands (AForkProcess *self)
{
  return self->keeps_commands || self->starts_later;
}

/* Adds a command to the log. If the commands may not be needed again, a descriptor is not kept open
 * for them, nor much memory. Returns false and sets errno if FD cannot be kept. */
static gboolean
log_command (AForkProcess     *self,
             const AForkFrame *frame,
             int               fd)
{
  if (keeps_all_commands (self))
    return _afork_command_log_add (&self->command_log, frame, fd);

  if (fd >= 0)
    _afork_command_log_lose (&self->command_log, AFORK_COMMAND_LOG_HAD_FD);
  else
    _afork_command_log_add (&self->command_log, frame, -1);
  _afork_command_log_limit (&self->command_log);
  return TRUE;
}

void
_afork_process_log_item (AForkProcess *self,
                         GBytes       *bytes)
{
  _afork_command_log_add_item (&self->command_log, bytes);
  if (!keeps_all_commands (self))
    _afork_command_log_limit (&self->command_log);
}

AForkProcess *
_afork_process_send_command (AForkProcess     *self,
                             const AForkFrame *frame,
                             int               fd)
{
  g_auto(AForkFd) owned_fd = fd;
  g_autoptr(AForkHold) hold = _afork_process_hold_or_warn (self);
  g_autoptr(GError) error = NULL;

  if (hold == NULL)
    return self;

  if (afork_frame_size (frame) == 0)
    error = _afork_client_new_size_error (frame);
  else if (!log_command (self, frame, fd))
    error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED, _("A descriptor could not be kept: %s"),
                         g_strerror (errno));
  if (error != NULL)
    {
      _afork_process_fail_command (self, error);
      return self;
    }

  _afork_process_discard_spare_forks (self);
  if (_afork_process_is_started (self) && _afork_client_get_failure (self->client) == NULL)
    _afork_client_send (self->client, frame, g_steal_fd (&owned_fd));
  return self;
}

/* The process is run, and cannot be created again. */
static void
drop_command_log (AForkProcess *self)
{
  if (!keeps_all_commands (self))
    g_clear_pointer (&self->command_log, _afork_command_log_unref);
}

static void start_as_fork (AForkProcess *self,
                           AForkProcess *template);
static void start         (AForkProcess *self);

/* Starts a process that was to be a fork of its template when it is needed. Returns false if the
 * template cannot be forked any more, or has got other commands since. */
static gboolean
start_as_later_fork (AForkProcess *self)
{
  g_autoptr(AForkProcess) template = g_steal_pointer (&self->later_template);
  AForkCommandLog *base = self->later_base;

  if (template == NULL || !_afork_process_can_fork (template) || template->command_log != base
      || _afork_process_is_context_lost (template))
    return FALSE;

  if (!_afork_process_is_started (template))
    start (template);
  start_as_fork (self, template);
  _afork_command_log_replay_after (self->command_log, base, self->client);
  return TRUE;
}

/* The process has all commands that were logged. */
static void
end_start_later (AForkProcess *self)
{
  self->starts_later = FALSE;
  g_clear_object (&self->later_template);
  g_clear_pointer (&self->later_base, _afork_command_log_unref);
  if (self->phase == AFORK_PROCESS_PHASE_RUN)
    drop_command_log (self);
  else if (!self->keeps_commands)
    _afork_command_log_limit (&self->command_log);
}

/* Whether an agent on another host ends the process when this program ends, in any case. */
static gboolean
is_elsewhere (AForkProcess *self)
{
  return _afork_runtime_get_kind (self->runtime) == AFORK_RUNTIME_KIND_AGENT;
}

/* Starts a process of the runtime, and sends it the commands that were only logged until now. */
static void
start_fresh (AForkProcess *self)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_TITLE,
    .string = { afork_process_get_title (self) },
  };

  _afork_debug (AFORK_DEBUG_PROCESS, 0, "A process of the runtime “%s” (%s) is started",
                afork_runtime_get_name (self->runtime), afork_process_get_title (self));
  set_started (self);
  _afork_launcher_start (_afork_launchers_find (self->runtime), self->runtime, self->client);
  _afork_client_send (self->client, &frame, -1);
  if (self->die_with_parent && !is_elsewhere (self))
    _afork_client_set_die_with_parent (self->client);
  if (self->command_log != NULL)
    _afork_command_log_replay (self->command_log, self->client);
}

static void
start (AForkProcess *self)
{
  if (!start_as_later_fork (self))
    start_fresh (self);
  if (self->starts_later)
    end_start_later (self);
}

/* Waiting for the process to exit, and killing it. */

/* For operations that wait when the caller disposes of the object by force. */
static GError *
new_disposed_error (void)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                      _("The process object has been disposed of"));
}

static void
return_end (AForkProcess *self,
            GTask        *task)
{
  AForkPidWatch *pid_watch = _afork_client_get_pid_watch (self->client);
  GError *failure = _afork_client_get_failure (self->client);

  if (_afork_pid_watch_get_wait_status (pid_watch) >= 0)
    g_task_return_boolean (task, TRUE);
  else if (failure != NULL)
    g_task_return_error (task, g_error_copy (failure));
  else if (_afork_process_is_context_lost (self))
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_CLOSED,
                             _("The main context of the process is gone"));
  else
    g_task_return_error (task, _afork_pid_watch_new_unknown_error (pid_watch));
}

static const GError *
get_kill_error (AForkProcess *self)
{
  return _afork_pid_watch_get_kill_error (_afork_client_get_pid_watch (self->client));
}

/* Whether a task that waits for the exit returns now. */
static gboolean
is_wait_over (AForkProcess *self)
{
  return self->state == AFORK_PROCESS_STATE_EXITED || _afork_process_is_context_lost (self)
    || get_kill_error (self) != NULL || self->disposed;
}

/* Returns from TASK, because the wait is over. */
static void
return_wait (AForkProcess *self,
             GTask        *task)
{
  if (self->state == AFORK_PROCESS_STATE_EXITED || _afork_process_is_context_lost (self))
    return_end (self, task);
  else if (get_kill_error (self) != NULL)
    g_task_return_error (task, g_error_copy (get_kill_error (self)));
  else
    g_task_return_error (task, new_disposed_error ());
}

static void
return_wait_cb (gpointer data)
{
  return_wait (g_task_get_source_object (data), data);
}

/* Returns from TASK when the process has exited: in the next iteration if it has exited before. */
static void
await_exit (AForkProcess *self,
            GTask        *task)
{
  if (is_wait_over (self))
    _afork_waiter_run_later (g_task_get_context (task), return_wait_cb, g_object_ref (task),
                             g_object_unref);
  else
    _afork_task_queue_push (&self->wait_tasks, task);
}

/* Returns from the next of the tasks that are due. */
static void
return_next_wait (gpointer  client,
                  GObject  *owner,
                  gpointer  data)
{
  AForkProcess *self = AFORK_PROCESS (owner);
  g_autoptr(GTask) task = NULL;

  if (self->n_due_waits == 0)
    return;

  self->n_due_waits--;
  task = _afork_task_queue_pop (&self->wait_tasks);
  if (self->n_due_waits > 0)
    _afork_client_insert_notification (client, return_next_wait, NULL, FALSE);
  /* A process that could not be killed may be killed now. */
  if (task != NULL && is_wait_over (self))
    return_wait (self, task);
  else if (task != NULL)
    _afork_task_queue_push (&self->wait_tasks, task);
}

/* The process has exited, or cannot be killed. Returns from the tasks that wait, in as many
 * iterations as that takes. */
static void
return_waits (AForkProcess *self)
{
  self->n_due_waits = self->wait_tasks.length;
  if (self->n_due_waits > 0)
    _afork_client_insert_notification (self->client, return_next_wait, NULL, FALSE);
}

void
_afork_process_kill_after_context (AForkProcess *self,
                                   guint         ms)
{
  _afork_client_kill_after_context (self->client, ms);
}

GStrv
_afork_process_dup_modules (AForkProcess *self)
{
  return _afork_command_log_dup_modules (self->command_log);
}

AForkLimits *
_afork_process_get_limits (AForkProcess *self)
{
  return self->limits;
}

GError *
_afork_process_new_lost_error (AForkProcess *self)
{
  AForkPidWatch *pid_watch = _afork_client_get_pid_watch (self->client);

  if (_afork_pid_watch_get_host (pid_watch) == NULL
      || _afork_pid_watch_get_wait_status (pid_watch) >= 0)
    return NULL;

  return _afork_pid_watch_new_unknown_error (pid_watch);
}

char *
_afork_process_dup_refused_call (AForkProcess *self)
{
  guint32 number;

  return _afork_pid_watch_get_refused_call (_afork_client_get_pid_watch (self->client), &number)
    ? _afork_filter_name_system_call (number) : NULL;
}

void
_afork_process_measure (AForkProcess      *self,
                        AForkMeasuredFunc  func,
                        gpointer           data)
{
  _afork_client_measure (self->client, func, data);
}

void
_afork_process_watch_unkillable (AForkProcess        *self,
                                 AForkUnkillableFunc  func,
                                 gpointer             data)
{
  if (self->unkillable_func != NULL)
    return;

  self->unkillable_func = func;
  self->unkillable_data = data;
}

void
_afork_process_unwatch_unkillable (AForkProcess *self,
                                   gpointer      data)
{
  if (self->unkillable_data != data)
    return;

  self->unkillable_func = NULL;
  self->unkillable_data = NULL;
}

/* Running it: it is run once, and the caller gets one result. */

/* The caller has cancelled the run. Without a caller, the process has no use. */
static void
give_up (AForkProcess *self)
{
  if (self->function != NULL)
    _afork_process_kill_with_error (self, AFORK_ERROR_CLOSED, _("Running “%s” was cancelled"),
                                    self->function);
  else
    _afork_process_kill_with_error (self, AFORK_ERROR_CLOSED,
                                    _("Running the process was cancelled"));
}

/* Returns from TASK, which was cancelled, as soon as it is known whether the process could be
 * killed. */
static void
return_cancelled (AForkProcess *self,
                  GTask        *task)
{
  const GError *error = get_kill_error (self);

  if (_afork_pid_watch_is_being_killed (_afork_client_get_pid_watch (self->client)))
    g_set_object (&self->cancelled_task, task);
  else if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else
    _afork_task_return_cancelled (task);
}

/* Returns from the cancelled task that waits until the process is killed, if there is one. */
static void
return_cancelled_task (AForkProcess *self)
{
  g_autoptr(GTask) task = g_steal_pointer (&self->cancelled_task);

  if (task != NULL)
    return_cancelled (self, task);
}

static void
fd_free (gpointer data)
{
  _afork_fd_close (*(int *) data);
  g_free (data);
}

/* Calls the function of the library object that runs the process. Returns false if there is
 * none. */
static gboolean
return_ran (AForkProcess *self,
            GSocket      *socket,
            const GError *error)
{
  AForkRanFunc func = g_steal_pointer (&self->ran_func);
  g_autoptr(GSocketConnection) connection = NULL;

  if (func == NULL)
    return FALSE;

  if (socket != NULL)
    connection = g_socket_connection_factory_create_connection (socket);
  func (self, connection, error, self->ran_data);
  return TRUE;
}

static void
return_descriptor (GTask   *task,
                   GSocket *socket)
{
  int fd = _afork_fd_register (_afork_fd_dup (g_socket_get_fd (socket)));

  if (fd < 0)
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_SPAWN,
                             _("The descriptor of the process could not be kept: %s"),
                             g_strerror (errno));
  else
    g_task_return_pointer (task, g_memdup2 (&fd, sizeof fd), fd_free);
}

/* Gives SOCKET to the operation that runs the process, if there is one. */
static void
return_run_socket (AForkProcess *self,
                   GSocket      *socket)
{
  g_autoptr(GTask) task = _afork_pending_task_steal (&self->run_task);

  if (return_ran (self, socket, NULL) || task == NULL)
    return;

  /* The task was cancelled at the same time. Cancelling a run kills the process. */
  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      give_up (self);
      return_cancelled (self, task);
    }
  else if (_afork_client_is_detached (self->client))
    return_descriptor (task, socket);
  else
    g_task_return_pointer (task, g_socket_connection_factory_create_connection (socket),
                           g_object_unref);
}

static void
return_run_failure (AForkProcess *self,
                    const GError *error)
{
  g_autoptr(GTask) task = _afork_pending_task_steal (&self->run_task);

  if (!return_ran (self, NULL, error) && task != NULL)
    g_task_return_error (task, g_error_copy (error));
}

static void
run_cancelled_cb (gpointer data)
{
  AForkProcess *self = data;
  g_autoptr(GTask) task = _afork_pending_task_steal (&self->run_task);

  give_up (self);
  return_cancelled (self, task);
}

/* The caller disposes of the object by force. The operations that wait fail when the main context
 * is iterated. */
static void
fail_disposed (AForkProcess *self)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GTask) task = _afork_pending_task_steal (&self->run_task);
  g_autoptr(GTask) cancelled_task = g_steal_pointer (&self->cancelled_task);

  if (task == NULL && cancelled_task == NULL && self->ran_func == NULL)
    return;

  error = new_disposed_error ();
  if (task != NULL)
    _afork_task_return_error_later (task, g_error_copy (error));
  if (cancelled_task != NULL)
    _afork_task_return_error_later (cancelled_task, g_error_copy (error));
  return_ran (self, NULL, error);
}

gboolean
_afork_process_mark_run (AForkProcess  *self,
                         GError       **error)
{
  if (self->disposed)
    {
      g_propagate_error (error, new_disposed_error ());
      return FALSE;
    }
  if (self->function != NULL)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED,
                   _("The process has already been started with “%s”"), self->function);
      return FALSE;
    }
  if (!_afork_process_can_prepare (self))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED,
                   _("The process was already run, executed or detached"));
      return FALSE;
    }

  set_phase (self, _afork_process_is_started (self) ? AFORK_PROCESS_PHASE_RUN
                                                    : AFORK_PROCESS_PHASE_RUN_UNSTARTED);
  g_clear_pointer (&self->spare_forks, _afork_spare_forks_free);
  drop_command_log (self);
  return TRUE;
}

gboolean
_afork_process_start_run (AForkProcess *self,
                          GTask        *task)
{
  g_autoptr(GError) error = NULL;

  /* Otherwise a cancelled task would hide the connection of a process that runs. */
  g_task_set_check_cancellable (task, FALSE);
  if (_afork_process_mark_run (self, &error))
    return TRUE;

  g_task_return_error (task, g_steal_pointer (&error));
  return FALSE;
}

gboolean
_afork_process_ensure_started (AForkProcess  *self,
                               GError       **error)
{
  GError *failure;

  if (_afork_client_get_failure (self->client) == NULL && _afork_process_is_context_lost (self))
    _afork_process_kill_with_error (self, AFORK_ERROR_CLOSED,
                                    _("The main context of the process is gone"));
  else if (!_afork_process_is_started (self) && _afork_client_get_failure (self->client) == NULL)
    start (self);
  failure = _afork_client_get_failure (self->client);
  if (failure != NULL)
    g_propagate_error (error, g_error_copy (failure));
  return failure == NULL;
}

gboolean
_afork_process_set_run_task (AForkProcess *self,
                             GTask        *task)
{
  g_autoptr(GError) error = NULL;

  if (g_task_return_error_if_cancelled (task))
    {
      give_up (self);
      return FALSE;
    }
  if (!_afork_process_ensure_started (self, &error))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return FALSE;
    }

  _afork_pending_task_set (&self->run_task, task, run_cancelled_cb, self);
  return TRUE;
}

/* The events of the client. */

static void
notify_state (gpointer  client,
              GObject  *owner,
              gpointer  data)
{
  g_object_notify_by_pspec (owner, props[PROP_STATE]);
}

static void
known_cb (GObject *owner)
{
  if (set_state (AFORK_PROCESS (owner), AFORK_PROCESS_STATE_PREPARING))
    g_object_notify_by_pspec (owner, props[PROP_STATE]);
  g_object_notify_by_pspec (owner, props[PROP_PID]);
}

static void
return_socket (gpointer  client,
               GObject  *owner,
               gpointer  data)
{
  return_run_socket (AFORK_PROCESS (owner), data);
}

static void
ready_cb (GObject *owner,
          GSocket *socket)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  _afork_debug (AFORK_DEBUG_PROCESS, afork_process_get_pid (self), "Process %d (%s) runs",
                afork_process_get_pid (self), afork_process_get_title (self));
  if (!_afork_client_is_detached (self->client) && set_state (self, AFORK_PROCESS_STATE_RUNNING))
    _afork_client_insert_notification (self->client, notify_state, NULL, TRUE);
  _afork_client_insert_notification (self->client, return_socket, socket, FALSE);
}

static void
failed_cb (GObject      *owner,
           const GError *error)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  _afork_debug (AFORK_DEBUG_PROCESS, afork_process_get_pid (self), "Process %d (%s) has failed: %s",
                afork_process_get_pid (self), afork_process_get_title (self), error->message);
  return_run_failure (self, error);
}

static void
emit_exited (gpointer  client,
             GObject  *owner,
             gpointer  data)
{
  g_signal_emit (owner, signals[SIGNAL_EXITED], 0,
                 _afork_pid_watch_get_wait_status (_afork_client_get_pid_watch (client)));
}

/* Writes how the process has exited. */
static void
debug_exit (AForkProcess *self)
{
  const int status =
    _afork_pid_watch_get_wait_status (_afork_client_get_pid_watch (self->client));
  const int pid = afork_process_get_pid (self);
  const char *title = afork_process_get_title (self);

  if (status == -1)
    _afork_debug_write (AFORK_DEBUG_PROCESS, pid, "Process %d (%s) has exited, status unknown", pid,
                        title);
  else if (WIFSIGNALED (status))
    _afork_debug_write (AFORK_DEBUG_PROCESS, pid, "Process %d (%s) was killed by signal %d", pid,
                        title, WTERMSIG (status));
  else
    _afork_debug_write (AFORK_DEBUG_PROCESS, pid, "Process %d (%s) has exited with status %d", pid,
                        title, WEXITSTATUS (status));
}

static void
exited_cb (GObject *owner)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  if (_afork_debug_wants (AFORK_DEBUG_PROCESS))
    debug_exit (self);
  g_clear_pointer (&self->spare_forks, _afork_spare_forks_free);
  if (set_state (self, AFORK_PROCESS_STATE_EXITED))
    _afork_client_insert_notification (self->client, notify_state, NULL, TRUE);
  _afork_client_insert_notification (self->client, emit_exited, NULL, TRUE);
  return_cancelled_task (self);
  return_waits (self);
}

static void
killed_cb (GObject      *owner,
           const GError *error)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  return_cancelled_task (self);
  if (error == NULL)
    return;

  return_waits (self);
  if (self->unkillable_func != NULL)
    self->unkillable_func (self, error, self->unkillable_data);
}

static const AForkClientEvents client_events = {
  .known = known_cb,
  .ready = ready_cb,
  .failed = failed_cb,
  .killed = killed_cb,
  .exited = exited_cb,
};

/* Replaces the client by CLIENT, which is taken. */
static void
take_client (AForkProcess *self,
             AForkClient  *client)
{
  _afork_client_unref (self->client);
  self->client = client;
  _afork_client_set_owner (client, &client_events, G_OBJECT (self));
}

/* Starting it: executed, forked, or taken over. */

/* The program is executed when the process is run, and then gets the commands of the template. */
static void
start_later (AForkProcess *self,
             AForkProcess *template)
{
  self->keeps_commands = TRUE;
  if (template == NULL)
    return;
  if (!template->keeps_commands)
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                      _("A process of the runtime “%s” that was taken over cannot "
                                        "be forked"),
                                      afork_runtime_get_name (self->runtime));
      return;
    }

  if (_afork_client_get_failure (template->client) != NULL)
    _afork_client_fail_like_template (self->client, template->client);
}

/* The process is started when it is run or forked, so that its host is only connected when it is
 * needed: as a fork of TEMPLATE, which was not started either, unless that is NULL. */
static void
start_when_needed (AForkProcess *self,
                   AForkProcess *template)
{
  self->starts_later = TRUE;
  if (template == NULL)
    return;

  self->later_template = g_object_ref (template);
  self->later_base = _afork_command_log_ref (template->command_log);
}

/* Uses SPARE, a fork that was made in advance. */
static void
become_spare (AForkProcess *self,
              AForkClient  *spare)
{
  take_client (self, spare);
  if (_afork_pid_watch_is_known (_afork_client_get_pid_watch (spare)))
    set_state (self, AFORK_PROCESS_STATE_PREPARING);
}

static void
start_as_fork (AForkProcess *self,
               AForkProcess *template)
{
  AForkClient *spare = NULL;

  _afork_debug (AFORK_DEBUG_PROCESS, afork_process_get_pid (template),
                "Process %d (%s) is to be forked", afork_process_get_pid (template),
                afork_process_get_title (template));
  set_started (self);
  if (template->spare_forks != NULL)
    spare = _afork_spare_forks_take (template->spare_forks);
  if (spare != NULL)
    become_spare (self, spare);
  else
    _afork_client_fork (self->client, template->client);
}

static gboolean
can_start_later (AForkProcess *self)
{
  return self->starts_later && _afork_process_get_failure (self) == NULL
    && !_afork_process_is_context_lost (self);
}

/* Starts the process as the construct properties say. */
static void
construct (AForkProcess *self)
{
  const gboolean is_elsewhere = _afork_runtime_get_kind (self->runtime) == AFORK_RUNTIME_KIND_AGENT;
  AForkProcess *template = self->template;

  if (self->fd >= 0)
    {
      set_started (self);
      _afork_command_log_lose (&self->command_log, AFORK_COMMAND_LOG_TAKEN_OVER);
      _afork_client_set_start_timeout (self->client,
                                       afork_runtime_get_start_timeout (self->runtime));
      _afork_client_attach_fd (self->client, g_steal_fd (&self->fd));
      return;
    }

  if (template != NULL && can_start_later (template))
    start (template);
  if (template == NULL && !self->fresh)
    template = afork_runtime_get_template (self->runtime);
  if (template != NULL && !_afork_process_can_prepare (template))
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_CLOSED,
                                      _("The process could not be forked from its template, which "
                                        "was run"));
      return;
    }
  if (template != NULL)
    {
      self->title = g_strdup (template->title);
      self->die_with_parent = template->die_with_parent;
      self->command_log = _afork_command_log_ref (template->command_log);
      self->limits = _afork_limits_ref (template->limits);
    }

  if (!afork_runtime_get_can_fork (self->runtime))
    {
      start_later (self, template);
    }
  else if (is_elsewhere && (template == NULL || can_start_later (template)))
    {
      start_when_needed (self, template);
    }
  else if (template == NULL)
    {
      start (self);
    }
  else
    {
      start_as_fork (self, template);
    }
}

/* Prepares SELF, which is new, like OTHER. */
static void
prepare_like (AForkProcess *self,
              AForkProcess *other)
{
  self->title = g_strdup (other->title);
  self->command_log = _afork_command_log_ref (other->command_log);
  self->limits = _afork_limits_ref (other->limits);
  if (other->die_with_parent)
    afork_process_set_die_with_parent (self, TRUE);
  if (_afork_process_is_started (self))
    _afork_command_log_replay (self->command_log, self->client);
  afork_process_set_spare (self, other->spare);
}

/* For the library. */

void
_afork_process_notify_function (AForkProcess *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_FUNCTION]);
  if (self->title == NULL)
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TITLE]);
}

void
_afork_process_hold_as_template (AForkProcess *self)
{
  if (g_atomic_int_add (&self->n_template_holds, 1) == 0)
    g_object_unref (self->runtime);
}

void
_afork_process_release_as_template (AForkProcess *self)
{
  if (g_atomic_int_dec_and_test (&self->n_template_holds))
    g_object_ref (self->runtime);
}

gboolean
_afork_process_is_context_lost (AForkProcess *self)
{
  return _afork_client_is_context_lost (self->client);
}

/* Whether the process can still be forked. */
static gboolean
is_open (AForkProcess *self)
{
  if (!_afork_process_is_started (self))
    return _afork_process_can_prepare (self) && !self->refused;

  return _afork_client_is_open (self->client)
    && !_afork_process_poll_exited (self);
}

const GError *
_afork_process_get_failure (AForkProcess *self)
{
  return _afork_client_get_failure (self->client);
}

gboolean
_afork_process_can_fork (AForkProcess *self)
{
  /* If it has exited and this was not reported yet, forks wait for the reason. */
  return _afork_process_can_prepare (self) && _afork_process_get_failure (self) == NULL
    && self->state != AFORK_PROCESS_STATE_EXITED;
}

gboolean
_afork_process_poll_exited (AForkProcess *self)
{
  return _afork_pid_watch_poll_exited (_afork_client_get_pid_watch (self->client));
}

/* The object. */

/* Makes SELF a process that has failed with ERROR and belongs to no context, so that any thread can
 * hold it. Nothing is notified, because another thread may use the context of the process. */
static void
refuse (AForkProcess *self,
        const GError *error)
{
  self->context = _afork_context_ref_nowhere ();
  self->client = _afork_client_new (self->context, &client_events, NULL);
  _afork_client_kill_with_error (self->client, error);
  _afork_client_set_started (self->client);
  self->refused = TRUE;
  set_state (self, AFORK_PROCESS_STATE_EXITED);
}

/* Another thread uses the context of the process or of its template. */
static void
refuse_context (AForkProcess *self)
{
  gboolean is_inherited = self->template != NULL
    && _afork_context_is_inherited (self->template->context);
  g_autoptr(GError) error = is_inherited ? _afork_atfork_new_error () : new_hold_error (self);

  if (!is_inherited)
    warn_of_thread ();
  refuse (self, error);
}

/* Holds the context of the process, and that of its template. */
static AForkHold *
hold_first (AForkProcess  *self,
            AForkHold    **of_template)
{
  AForkHold *hold;

  if (self->template != NULL)
    {
      *of_template = _afork_context_hold (self->template->context);
      if (*of_template == NULL)
        return NULL;
    }

  self->context = _afork_context_ref_thread_default ();
  hold = _afork_context_add_object (self->context);
  if (hold == NULL)
    g_clear_pointer (&self->context, _afork_context_unref);
  return hold;
}

static void
afork_process_constructed (GObject *object)
{
  AForkProcess *self = AFORK_PROCESS (object);
  g_autoptr(AForkHold) of_template = NULL;
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GError) error = NULL;

  G_OBJECT_CLASS (afork_process_parent_class)->constructed (object);

  if (self->template != NULL)
    g_set_object (&self->runtime, self->template->runtime);
  if (self->runtime == NULL)
    self->runtime = g_object_ref (afork_runtime_get_default ());

  if (!_afork_main_context_ensure_default (&error))
    refuse (self, error);
  else if ((hold = hold_first (self, &of_template)) == NULL)
    refuse_context (self);
  else
    {
      self->client = _afork_client_new (self->context, &client_events, object);
      construct (self);
      _afork_client_set_started (self->client);
    }
  g_clear_object (&self->template);
}

/* What is released with the object. */
typedef struct
{
  AForkClient     *client;
  AForkSpareForks *spare_forks; /* or NULL */
} Released;

static void
release_cb (gpointer data)
{
  Released *released = data;

  _afork_client_release (released->client);
  _afork_client_unref (released->client);
  g_clear_pointer (&released->spare_forks, _afork_spare_forks_free);
  g_free (released);
}

/* Another thread may be using the client, so the client is released only while the context is held.
 * The reference goes with it, because the last one must not be dropped in this thread. */
static void
release (AForkProcess *self)
{
  Released *released;

  /* In a fork of the program: the parent releases its own. */
  if (_afork_context_is_inherited (self->context))
    return;

  released = g_new0 (Released, 1);
  released->client = g_steal_pointer (&self->client);
  released->spare_forks = g_steal_pointer (&self->spare_forks);
  _afork_context_run (self->context, release_cb, released);
}

static void
afork_process_dispose (GObject *object)
{
  AForkProcess *self = AFORK_PROCESS (object);
  g_autoptr(AForkHold) hold = _afork_context_hold_once (self->context);

  self->disposed = TRUE;
  if (hold != NULL)
    {
      _afork_client_release (self->client);
      g_clear_pointer (&self->spare_forks, _afork_spare_forks_free);
      /* An operation keeps the object, so operations are pending only if the caller disposes of it
       * by force. No event reaches the object from now on. */
      fail_disposed (self);
      if (!g_queue_is_empty (&self->wait_tasks))
        _afork_task_queue_fail_later (&self->wait_tasks, object, new_disposed_error ());
    }

  G_OBJECT_CLASS (afork_process_parent_class)->dispose (object);
}

static void
afork_process_finalize (GObject *object)
{
  AForkProcess *self = AFORK_PROCESS (object);

  release (self);
  if (!self->refused)
    _afork_context_remove_object (self->context);
  _afork_context_unref (self->context);
  g_clear_pointer (&self->command_log, _afork_command_log_unref);
  g_clear_pointer (&self->limits, _afork_limits_unref);
  g_clear_pointer (&self->title, g_free);
  g_clear_pointer (&self->template_title, g_free);
  g_clear_pointer (&self->function, g_free);
  g_clear_object (&self->template);
  g_clear_object (&self->later_template);
  g_clear_pointer (&self->later_base, _afork_command_log_unref);
  g_clear_object (&self->runtime);
  _afork_fd_clear (&self->fd);

  G_OBJECT_CLASS (afork_process_parent_class)->finalize (object);
}

static void
afork_process_get_property (GObject    *object,
                            guint       prop_id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  AForkProcess *self = AFORK_PROCESS (object);

  switch (prop_id)
    {
    case PROP_RUNTIME:
      g_value_set_object (value, afork_process_get_runtime (self));
      break;
    case PROP_PID:
      g_value_set_int (value, afork_process_get_pid (self));
      break;
    case PROP_STATE:
      g_value_set_enum (value, afork_process_get_state (self));
      break;
    case PROP_TITLE:
      g_value_set_string (value, afork_process_get_title (self));
      break;
    case PROP_FUNCTION:
      g_value_set_string (value, afork_process_get_function (self));
      break;
    case PROP_DIE_WITH_PARENT:
      g_value_set_boolean (value, afork_process_get_die_with_parent (self));
      break;
    case PROP_SPARE:
      g_value_set_uint (value, afork_process_get_spare (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
afork_process_set_property (GObject      *object,
                            guint         prop_id,
                            const GValue *value,
                            GParamSpec   *pspec)
{
  AForkProcess *self = AFORK_PROCESS (object);

  switch (prop_id)
    {
    case PROP_RUNTIME:
      self->runtime = g_value_dup_object (value);
      break;
    case PROP_TEMPLATE:
      self->template = g_value_dup_object (value);
      break;
    case PROP_FRESH:
      self->fresh = g_value_get_boolean (value);
      break;
    case PROP_FD:
      self->fd = g_value_get_int (value);
      break;
    case PROP_TITLE:
      afork_process_set_title (self, g_value_get_string (value));
      break;
    case PROP_DIE_WITH_PARENT:
      afork_process_set_die_with_parent (self, g_value_get_boolean (value));
      break;
    case PROP_SPARE:
      afork_process_set_spare (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
afork_process_class_init (AForkProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = afork_process_constructed;
  object_class->dispose = afork_process_dispose;
  object_class->finalize = afork_process_finalize;
  object_class->get_property = afork_process_get_property;
  object_class->set_property = afork_process_set_property;

  /**
   * AForkProcess:runtime: (getter get_runtime)
   *
   * What the process executes. If it is `NULL` at construction, the process has the runtime of
   * [property@AFork.Process:template], or the default runtime.
   *
   * Since: 0.1
   */
  props[PROP_RUNTIME] =
    g_param_spec_object ("runtime", NULL, NULL, AFORK_TYPE_RUNTIME,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:template:
   *
   * The process to fork, which was not run; see [method@AFork.Process.fork]. `NULL` is the template
   * of the runtime.
   *
   * Since: 0.1
   */
  props[PROP_TEMPLATE] =
    g_param_spec_object ("template", NULL, NULL, AFORK_TYPE_PROCESS,
                         G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:fresh:
   *
   * Whether the process executes the runtime's program instead of being forked from its template;
   * see [ctor@AFork.Process.new_exec].
   *
   * Since: 0.1
   */
  props[PROP_FRESH] =
    g_param_spec_boolean ("fresh", NULL, NULL, FALSE,
                          G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:fd:
   *
   * The descriptor of a process to take over, or -1. The object owns it from then on; see
   * [ctor@AFork.Process.new_from_fd].
   *
   * Since: 0.1
   */
  props[PROP_FD] =
    g_param_spec_int ("fd", NULL, NULL, -1, G_MAXINT, -1,
                      G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:pid: (getter get_pid)
   *
   * The process ID, in the PID namespace of this process, or 0 until it is known.
   *
   * Since: 0.1
   */
  props[PROP_PID] =
    g_param_spec_int ("pid", NULL, NULL, 0, G_MAXINT, 0,
                      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:state: (getter get_state)
   *
   * The state of the process. It only goes forward.
   *
   * Since: 0.1
   */
  props[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL,
                       AFORK_TYPE_PROCESS_STATE, AFORK_PROCESS_STATE_STARTING,
                       G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:title: (getter get_title) (setter set_title)
   *
   * What `ps` shows of the process after `afork: `. If it is not set, the title is the name of the
   * function after the process was run, and before that `template` and the name of the runtime.
   * Forks that are made later have the same title.
   *
   * Since: 0.1
   */
  props[PROP_TITLE] =
    g_param_spec_string ("title", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:function: (getter get_function)
   *
   * The function that the process runs, or `NULL` if it was not run.
   *
   * Since: 0.1
   */
  props[PROP_FUNCTION] =
    g_param_spec_string ("function", NULL, NULL, NULL,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:die-with-parent: (getter get_die_with_parent) (setter set_die_with_parent)
   *
   * Whether the process is killed when the calling program ends; see
   * [method@AFork.Process.set_die_with_parent].
   *
   * Since: 0.1
   */
  props[PROP_DIE_WITH_PARENT] =
    g_param_spec_boolean ("die-with-parent", NULL, NULL, FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:spare: (getter get_spare) (setter set_spare)
   *
   * How many forks of the process are kept ready for [method@AFork.Process.fork]; see
   * [method@AFork.Process.set_spare].
   *
   * Since: 0.1
   */
  props[PROP_SPARE] =
    g_param_spec_uint ("spare", NULL, NULL, 0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AForkProcess::exited:
   * @self: the process
   * @wait_status: the exit status as from `waitpid()`, for `WIFEXITED()` and similar macros, or -1
   *   if it is unknown
   *
   * Emitted once, when the process has exited. It is also emitted if the process could not be
   * started, and if its main context is freed before the process exits, because the exit cannot be
   * noticed then. It is not emitted if the process was refused because another thread uses the main
   * context.
   *
   * Since: 0.1
   */
  signals[SIGNAL_EXITED] =
    g_signal_new ("exited", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_INT);
}

static void
afork_process_init (AForkProcess *self)
{
}

/**
 * afork_process_new: (constructor)
 *
 * Creates a process of the default runtime by forking the runtime's template, which is started if
 * there is none; see [func@AFork.Runtime.get_default].
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new (void)
{
  return g_object_new (AFORK_TYPE_PROCESS, NULL);
}

/**
 * afork_process_new_for_runtime: (constructor)
 * @runtime: a runtime
 *
 * Creates a process of @runtime by forking its template, which is started if there is none. If the
 * runtime cannot fork, its program is executed when the process is run, and then gets the commands
 * that were queued.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_for_runtime (AForkRuntime *runtime)
{
  g_return_val_if_fail (AFORK_IS_RUNTIME (runtime), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "runtime", runtime, NULL);
}

/**
 * afork_process_new_exec: (constructor)
 * @runtime: (nullable): a runtime, or `NULL` for the default one
 *
 * Creates a process by executing the runtime's program. This takes longer than forking its
 * template, but inherits nothing from the template: the process has the environment and the working
 * directory that @runtime has, or else those of this process. If [func@AFork.early] was called, the
 * early template is forked instead of executing the native runtime's program.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_exec (AForkRuntime *runtime)
{
  g_return_val_if_fail (runtime == NULL || AFORK_IS_RUNTIME (runtime), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "runtime", runtime, "fresh", TRUE, NULL);
}

/**
 * afork_process_new_template: (constructor)
 * @error: return location for an [error@AFork.Error]
 *
 * Forks the calling program as it is now, with everything that it has loaded, into a process that
 * can be prepared, forked and run like any other. Functions are looked up in the modules that are
 * loaded there, the newest first, and then in the program and in the libraries that it is linked
 * with. `:NAME` names a function of the program. To export its functions, link the program with
 * `-rdynamic`, in meson with `export_dynamic: true`.
 *
 * The program must have one thread. GLib starts a thread of its own at the first asynchronous call,
 * including those of this library, so call this function before. See the page on [templates of the
 * program itself](templates-of-the-program.html).
 *
 * This call takes as long as forking the program, which grows with its size. The cost of forking
 * the template later does not depend on the size of the program. The process ID is known at once.
 * The runtime of the process is called `program`.
 *
 * Fails with `AFORK_ERROR_THREADS`, and the names of the threads, if the program has more than one,
 * and with `AFORK_ERROR_SPAWN` if the system is out of processes, descriptors or memory.
 *
 * Returns: (transfer full): a new process, or `NULL` on error
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_template (GError **error)
{
  g_autoptr(AForkProcess) process = NULL;
  GError *failure;

  process = g_object_new (AFORK_TYPE_PROCESS,
                          "runtime", _afork_runtime_get_program (),
                          "fresh", TRUE,
                          NULL);
  failure = _afork_client_get_failure (process->client);
  if (failure != NULL)
    {
      /* The caller does not get the object, so nothing has to be notified. */
      _afork_client_drop_notifications (process->client);
      g_propagate_error (error, g_error_copy (failure));
      return NULL;
    }

  return g_steal_pointer (&process);
}

/**
 * afork_process_new_from_fd: (constructor)
 * @fd: a descriptor that [method@AFork.Process.detach_finish] returned in this process or in
 *   another; the new object owns it
 *
 * Takes over a process that another caller has prepared and detached. The new object can prepare,
 * fork and run it. The process has everything that it was given so far.
 *
 * The process that forked it still reaps it. This process notices its exit as well, and gets its
 * exit status from the kernel (Linux 6.15 or later). With an older kernel, waiting for it fails
 * with `AFORK_ERROR_LOST`. Its resource usage is unknown. For forks of the process, all of this is
 * known.
 *
 * The process has the default runtime. For another runtime, set [property@AFork.Process:runtime]
 * together with [property@AFork.Process:fd] instead.
 *
 * If @fd cannot be used, running the process fails: with `AFORK_ERROR_FAILED` if @fd is not a
 * connected stream socket, with `AFORK_ERROR_LOST` if the process has exited, with
 * `AFORK_ERROR_PROTOCOL` if the other side is not such a process or has another version of the
 * protocol, and with `AFORK_ERROR_SPAWN` if there are too few descriptors or too little memory, or
 * if the other side does not answer within [property@AFork.Runtime:start-timeout].
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_from_fd (int fd)
{
  /* An invalid descriptor must not become -1, which means that the property is not set. */
  return g_object_new (AFORK_TYPE_PROCESS, "fd", fd >= 0 ? fd : G_MAXINT, NULL);
}

/**
 * afork_process_fork:
 * @self: a process that was not run
 *
 * Creates a fork of this process, which has everything that was queued so far. From then on, both
 * are independent of each other. If a queued command fails, both processes fail.
 *
 * If @self was run, executed or detached, the new process fails with `AFORK_ERROR_CLOSED`.
 *
 * If a module has started a thread in @self, the new process fails with `AFORK_ERROR_THREADS`, and
 * @self does not fail.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_fork (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "template", self, NULL);
}

/* Fails if the process cannot be created again. */
static gboolean
check_recreate (AForkProcess  *self,
                GError       **error)
{
  g_autofree char *name = _afork_pid_watch_get_name (_afork_client_get_pid_watch (self->client));

  if (self->refused)
    {
      g_propagate_error (error, g_error_copy (_afork_process_get_failure (self)));
      return FALSE;
    }
  if (!_afork_process_can_prepare (self))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED,
                   _("%s cannot be created again, because it was run, executed or detached"), name);
      return FALSE;
    }

  switch (_afork_command_log_get_loss (self->command_log))
    {
    case AFORK_COMMAND_LOG_TAKEN_OVER:
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                   _("%s cannot be created again, because it was taken over"), name);
      return FALSE;
    case AFORK_COMMAND_LOG_TOO_LARGE:
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                   _("%s cannot be created again, because its commands and items are too large to "
                     "keep them"), name);
      return FALSE;
    case AFORK_COMMAND_LOG_HAD_FD:
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                   _("%s cannot be created again, because a descriptor was sent to it, which this "
                     "program does not keep"), name);
      return FALSE;
    case AFORK_COMMAND_LOG_COMPLETE:
    default:
      return _afork_launcher_check_again (_afork_launchers_find (self->runtime), self->runtime,
                                          name, error);
    }
}

/**
 * afork_process_recreate:
 * @self: a process that was not run; it may have exited, or failed
 * @error: return location for an [error@AFork.Error]
 *
 * Creates another process that is prepared like @self: executes the program of the runtime, and
 * gives it all commands that @self was given, including those that came from the template of @self.
 * The new process does not depend on @self. It also has its title, and the same
 * [property@AFork.Process:die-with-parent] and [property@AFork.Process:spare].
 *
 * This is for a template that has exited, for example because it was killed, so that it cannot be
 * forked any more. The new template is not an exact copy. The commands are executed again: a module
 * is loaded as it is now, and what the program of the runtime inherits may have changed. If a
 * command fails again, the new process fails as @self did.
 *
 * For this, the library keeps the commands and items until @self is run or dropped, unless they
 * take more than 1 MiB. It does not keep descriptors. But for the template of a runtime, and for a
 * process of a runtime that cannot fork, it keeps everything.
 *
 * Fails with `AFORK_ERROR_NOT_SUPPORTED` and the reason if the process cannot be created again:
 *
 * - A descriptor was sent to @self, or the commands and items are too large.
 * - @self was made by [ctor@AFork.Process.new_template] or [ctor@AFork.Process.new_from_fd], or is
 *   a fork of such a process.
 * - [func@AFork.early] was called, and the early template has exited.
 *
 * Fails with `AFORK_ERROR_CLOSED` if @self was run, executed or detached, and with
 * `AFORK_ERROR_FAILED` if another thread uses the main context of @self. If the program cannot be
 * executed, the new process fails, as with [ctor@AFork.Process.new_exec].
 *
 * Returns: (transfer full): a new process, or `NULL` on error
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_recreate (AForkProcess  *self,
                        GError       **error)
{
  g_autoptr(AForkHold) hold = NULL;
  AForkProcess *process;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  hold = _afork_process_hold (self, error);
  if (hold == NULL || !check_recreate (self, error))
    return NULL;

  process = g_object_new (AFORK_TYPE_PROCESS, "runtime", self->runtime, "fresh", TRUE, NULL);
  prepare_like (process, self);
  return process;
}

/**
 * afork_process_get_runtime: (get-property runtime)
 * @self: a process
 *
 * Gets the runtime of the process: the one that was given when it was created, or else the default
 * runtime. A fork has the runtime of its template.
 *
 * Returns: (transfer none): the runtime
 *
 * Since: 0.1
 */
AForkRuntime *
afork_process_get_runtime (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  return self->runtime;
}

/**
 * afork_process_get_pid: (get-property pid)
 * @self: a process
 *
 * Gets the process ID, for messages. To send a signal, use [method@AFork.Process.send_signal],
 * which cannot reach another process that has got the same ID since.
 *
 * The process ID changes once if the process is run while forks of it live. The worker is then a
 * fork of the process, and the process stays to report the exit of its forks.
 *
 * A process on another host has no process ID here; see
 * [method@AFork.Process.get_remote_pid].
 *
 * Returns: the process ID, in the PID namespace of this process, or 0 until it is known and for a
 *   process on another host
 *
 * Since: 0.1
 */
GPid
afork_process_get_pid (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), 0);

  return _afork_pid_watch_get_pid (_afork_client_get_pid_watch (self->client));
}

/**
 * afork_process_dup_host:
 * @self: a process
 *
 * Gets the name of the host where the process is: that of its runtime, if this is one of
 * [ctor@AFork.Runtime.new_ssh] or [ctor@AFork.Runtime.new_agent].
 *
 * Returns: (transfer full) (nullable): the name of another host, or `NULL` for this one
 *
 * Since: 0.1
 */
char *
afork_process_dup_host (AForkProcess *self)
{
  AForkHost *host;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  host = _afork_pid_watch_get_host (_afork_client_get_pid_watch (self->client));
  if (host != NULL)
    return g_strdup (_afork_host_get_name (host));

  /* It was not started, or could not be. */
  return _afork_runtime_get_kind (self->runtime) == AFORK_RUNTIME_KIND_AGENT
    ? g_strdup (afork_runtime_get_name (self->runtime)) : NULL;
}

/**
 * afork_process_get_remote_pid:
 * @self: a process
 *
 * Gets the process ID that a process on another host has there, for messages.
 *
 * Returns: the process ID, in the PID namespace of the agent there, or 0 until it is known and for
 *   a process on this host
 *
 * Since: 0.1
 */
int
afork_process_get_remote_pid (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), 0);

  return _afork_pid_watch_get_remote_pid (_afork_client_get_pid_watch (self->client));
}

/**
 * afork_process_get_state: (get-property state)
 * @self: a process
 *
 * Gets the state of the process. It only goes forward: from starting to preparing, running and
 * exited. Connect to `notify::state` to be informed of changes. In another thread than that of the
 * process, the value may be out of date.
 *
 * Returns: the state
 *
 * Since: 0.1
 */
AForkProcessState
afork_process_get_state (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), AFORK_PROCESS_STATE_EXITED);

  return self->state;
}

/**
 * afork_process_get_title: (get-property title)
 * @self: a process
 *
 * Gets what `ps` shows of the process after `afork: `. If no title was set, it is the name of the
 * function that the process runs. Before the process is run, it is `template` and the name of its
 * runtime.
 *
 * Returns: (transfer none): the title
 *
 * Since: 0.1
 */
const char *
afork_process_get_title (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  if (self->title != NULL)
    return self->title;
  if (self->function != NULL)
    return self->function;

  if (g_once_init_enter (&self->template_title))
    g_once_init_leave (&self->template_title,
                       g_strdup_printf ("template %s", afork_runtime_get_name (self->runtime)));
  return self->template_title;
}

/**
 * afork_process_set_title: (set-property title)
 * @self: a process that was not run
 * @title: (nullable): a title, or `NULL` for the usual one
 *
 * Sets what `ps` shows of the process after `afork: `. A title that does not fit is cut. Forks that
 * are made later have the same title. Does nothing after the process was run.
 *
 * Since: 0.1
 */
void
afork_process_set_title (AForkProcess *self,
                         const char   *title)
{
  AForkFrame frame = { .kind = AFORK_FRAME_TITLE };
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL)
    return;
  if (!_afork_process_may_prepare (self) || g_strcmp0 (self->title, title) == 0)
    return;

  g_free (self->title);
  self->title = g_strdup (title);
  frame.string[0] = afork_process_get_title (self);
  _afork_process_send_command (self, &frame, -1);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TITLE]);
}

/**
 * afork_process_get_function: (get-property function)
 * @self: a process
 *
 * Gets the name of the function that the process runs, as it was given to
 * [method@AFork.Process.run_async]: a symbol, or `MODULE:SYMBOL`.
 *
 * Returns: (transfer none) (nullable): the name, or `NULL` if the process was not run
 *
 * Since: 0.1
 */
const char *
afork_process_get_function (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  return self->function;
}

/* Returns the layers of REPORT that give EFFECT, a `as`. */
static GVariant *
list_layers_for (const AForkConfinementReport *report,
                 guint32                       effect)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (int i = 0; i < AFORK_N_LAYERS; i++)
    if ((report->layers[i].gives & effect) != 0)
      g_variant_builder_add (&builder, "s", afork_layer_name ((AForkLayer) i));

  return g_variant_builder_end (&builder);
}

static GVariant *
list_effects (const AForkConfinementReport *report)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{sas}"));
  for (guint i = 0; i < AFORK_N_EFFECTS; i++)
    if ((report->wanted & 1u << i) != 0)
      g_variant_builder_add (&builder, "{s@as}", afork_effect_name (1u << i),
                             list_layers_for (report, 1u << i));

  return g_variant_builder_end (&builder);
}

static GVariant *
list_layers (const AForkConfinementReport *report)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  for (int i = 0; i < AFORK_N_LAYERS; i++)
    {
      const AForkLayerReport *layer = &report->layers[i];
      const char *text = afork_layer_state_text (layer->state);

      if (layer->state != AFORK_LAYER_STATE_UNUSED)
        g_variant_builder_add (&builder, "{ss}", afork_layer_name ((AForkLayer) i),
                               text != NULL ? text : g_strerror ((int) layer->error));
    }

  return g_variant_builder_end (&builder);
}

/**
 * afork_process_get_confinement:
 * @self: a process
 *
 * Gets what [method@AFork.Process.restrict] has brought about in this process, or in the process
 * that it was forked from. It is known once the process was run. The process itself has reported it
 * before its function was entered. The dictionary has:
 *
 * - `effects`, `a{sas}`: for each effect that was asked for, the layers that give it. If there are
 *   none, the effect could not be had, which [property@AFork.Sandbox:best-effort] has permitted.
 *   The effects are `memory`, `cpu-time`, `open-files`, `file-size`, `processes`, `core-size`,
 *   `priority`, `network`, `read-paths`, `write-paths`, `system-calls`, and with
 *   [enum@AFork.SystemCalls.compute] `new-processes` and `other-processes`: the process makes no
 *   other, and reaches no other.
 * - `layers`, `a{ss}`: for each layer that was tried, `in force`, or why it is not. The layers are
 *   `rlimits`, `priority`, `no-new-privs`, `seccomp`, `landlock`, `seccomp-supervisor` and
 *   `namespaces`.
 *
 * Returns: (transfer full) (nullable): an `a{sv}`, or `NULL` if the process is not restricted or
 *   was not run
 *
 * Since: 0.1
 */
GVariant *
afork_process_get_confinement (AForkProcess *self)
{
  const AForkConfinementReport *report;
  GVariantDict dict;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  report = _afork_client_get_confinement (self->client);
  if (report == NULL)
    return NULL;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, "effects", list_effects (report));
  g_variant_dict_insert_value (&dict, "layers", list_layers (report));
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

/**
 * afork_process_get_die_with_parent: (get-property die-with-parent)
 * @self: a process
 *
 * Gets whether the process is killed when the calling program exits, that is, whether
 * [method@AFork.Process.set_die_with_parent] was called for the process, or for its template before
 * it was forked.
 *
 * Returns: true if the process is killed with the calling program
 *
 * Since: 0.1
 */
gboolean
afork_process_get_die_with_parent (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);

  return self->die_with_parent;
}

/**
 * afork_process_set_die_with_parent: (set-property die-with-parent)
 * @self: a process that was not run
 * @die_with_parent: true to kill the process when the calling program exits; to set false after
 *   true fails the process with `AFORK_ERROR_FAILED`
 *
 * Sets whether the process is killed when the calling program exits for any reason, including
 * `SIGKILL`. Without this, a worker exits when it reads the end of its socket, which a busy worker
 * does late or never. The processes that the worker has forked or executed are killed as well. The
 * process is not killed when another process between it and the program exits, such as its
 * template.
 *
 * This is a command, executed in the order of the queue, so call it before the commands that it
 * should cover. Forks that are made later have the property as well, so the workers of a template
 * that has it get it at no cost.
 *
 * It does not reach a child that leaves the process group of its worker, nor a worker that closes
 * descriptors that it did not open. It works as long as the program lives, or a child of the
 * program that has not executed another program.
 *
 * The process and its forks are in a session and a process group of their own, so `Ctrl-C` at a
 * terminal does not reach them, and they have no controlling terminal. The process is the session
 * leader, so a terminal that it opens without `O_NOCTTY` becomes its controlling terminal. Its
 * forks are not session leaders. The program has one descriptor open until all of them have exited.
 *
 * A process on another host is killed in any case, so this has no effect for it.
 *
 * If it cannot be done, the process fails with `AFORK_ERROR_FAILED`, or with
 * `AFORK_ERROR_NOT_SUPPORTED` if descriptors cannot be sent to it.
 *
 * Since: 0.1
 */
void
afork_process_set_die_with_parent (AForkProcess *self,
                                   gboolean      die_with_parent)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL)
    return;
  if (!_afork_process_may_prepare (self) || self->die_with_parent == !!die_with_parent)
    return;
  if (!die_with_parent)
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_FAILED,
                                      _("The process is killed with its caller, and this cannot be "
                                        "reverted"));
      return;
    }

  self->die_with_parent = TRUE;
  if (!is_elsewhere (self) && !afork_runtime_get_can_pass_fds (self->runtime))
    _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                    _("A process of the runtime “%s” cannot be killed with its "
                                      "caller"),
                                    afork_runtime_get_name (self->runtime));
  else if (!is_elsewhere (self) && _afork_process_is_started (self))
    _afork_client_set_die_with_parent (self->client);
  _afork_process_discard_spare_forks (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_DIE_WITH_PARENT]);
}

/**
 * afork_process_get_spare: (get-property spare)
 * @self: a process
 *
 * Gets how many forks of the process are kept ready, as it was set. Fewer may exist: after some
 * were taken, until the process has been idle for a tenth of a second, and while there are too few
 * descriptors or processes. The default is 0.
 *
 * Returns: a number of processes
 *
 * Since: 0.1
 */
guint
afork_process_get_spare (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), 0);

  return self->spare;
}

/**
 * afork_process_set_spare: (set-property spare)
 * @self: a process that was not run
 * @spare: a number of processes, 0 for none
 *
 * Sets how many forks of the process are kept ready, in advance. [method@AFork.Process.fork] and
 * other functions that fork the process take one of them if there is one, which saves the time of
 * forking.
 *
 * The forks are made when the process was not forked and got no command for a tenth of a second, so
 * that they do not slow down processes that were just started. A fork that dies is replaced in the
 * same way. Each fork uses two descriptors of this program. If there are too few descriptors or
 * processes, fewer forks are kept ready, and the library tries again from time to time.
 *
 * Forks that were not taken exit when the process gets another command, because they do not have
 * it; when the process is run, exits or is dropped; and when the number is reduced.
 *
 * A fork that was kept ready is a fork of the process as it was when the fork was made. For
 * example, a file that a module has read may have changed since.
 *
 * This has no effect on processes of a runtime that cannot fork.
 *
 * Since: 0.1
 */
void
afork_process_set_spare (AForkProcess *self,
                         guint         spare)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL)
    return;
  if (!_afork_process_may_prepare (self) || self->spare == spare)
    return;

  self->spare = spare;
  if (spare > 0 && can_start_later (self))
    start (self);
  if (self->spare_forks == NULL && _afork_process_is_started (self)
      && _afork_client_is_open (self->client))
    self->spare_forks = _afork_spare_forks_new (self->client);
  if (self->spare_forks != NULL)
    _afork_spare_forks_set_number (self->spare_forks, spare);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_SPARE]);
}

/**
 * afork_process_wait_async:
 * @self: a process
 * @cancellable: (nullable): a cancellable, which cancels the wait and does not kill the process
 * @callback: (nullable) (scope async): what to call when the process has exited
 * @user_data: data for @callback
 *
 * Waits until the process has exited. This works for every process, even if it is not a child of
 * this process.
 *
 * The operation holds a reference to the object. A process that was not run exits when the last
 * reference to it is dropped, so it does not exit as long as this operation waits. Run it, detach
 * it, or kill it with [method@AFork.Process.force_exit].
 *
 * Since: 0.1
 */
void
afork_process_wait_async (AForkProcess        *self,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_name (task, "[afork] process wait");
  g_task_set_source_tag (task, afork_process_wait_async);
  if (g_task_return_error_if_cancelled (task))
    return;
  hold = _afork_process_hold_for_task (self, task);
  if (hold != NULL)
    await_exit (self, task);
}

/**
 * afork_process_wait_finish:
 * @self: a process
 * @result: the result that the callback got
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Finishes an operation started with [method@AFork.Process.wait_async]. On success, the exit status
 * is known, for [method@AFork.Process.get_exit_status] and [method@AFork.Process.get_term_signal].
 *
 * Fails with `AFORK_ERROR_LOST` if the exit status is unknown, because the template died before the
 * process and the kernel does not report it (Linux does since 6.15). Fails with
 * `AFORK_ERROR_CLOSED` if the main context was freed before the process exited. If the process
 * could not be started, fails as [method@AFork.Process.run_finish] does. If the process cannot be
 * killed, fails with `G_IO_ERROR_PERMISSION_DENIED`, and the process may still be alive; see
 * [method@AFork.Process.force_exit].
 *
 * Returns: true if the exit status is known
 *
 * Since: 0.1
 */
gboolean
afork_process_wait_finish (AForkProcess  *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_wait_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * afork_process_wait:
 * @self: a process
 * @cancellable: (nullable): a cancellable, which cancels the wait and does not kill the process
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Blocks until the process has exited, and otherwise does what [method@AFork.Process.wait_async]
 * does. If there are too few descriptors left to wait with, fails with
 * `G_IO_ERROR_TOO_MANY_OPEN_FILES`, as [method@AFork.Process.run] does.
 *
 * Returns: true if the exit status is known, as with [method@AFork.Process.wait_finish]
 *
 * Since: 0.1
 */
gboolean
afork_process_wait (AForkProcess  *self,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (!_afork_process_begin_blocking (self, &blocking, G_OBJECT (self), error))
    return FALSE;

  afork_process_wait_async (self, cancellable, _afork_blocking_call_cb, &blocking);
  result = _afork_blocking_call_end (&blocking);
  return afork_process_wait_finish (self, result, error);
}

/**
 * afork_process_get_exit_status:
 * @self: a process
 * @exit_status: (out) (optional): return location for the status it exited with, 0 to 255
 *
 * Gets the exit status of the process, if it exited by itself.
 *
 * Returns: true if the process exited by itself; false if it is alive, was killed by a signal, or
 *   its exit status is unknown
 *
 * Since: 0.1
 */
gboolean
afork_process_get_exit_status (AForkProcess *self,
                               int          *exit_status)
{
  int wait_status;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);

  wait_status = _afork_pid_watch_get_wait_status (_afork_client_get_pid_watch (self->client));
  if (wait_status < 0 || !WIFEXITED (wait_status))
    return FALSE;

  if (exit_status != NULL)
    *exit_status = WEXITSTATUS (wait_status);
  return TRUE;
}

/**
 * afork_process_get_term_signal:
 * @self: a process
 * @signal: (out) (optional): return location for the signal's number
 *
 * Gets the signal that killed the process, if it was killed by a signal.
 *
 * Returns: true if a signal killed the process; false if it is alive, exited by itself, or its exit
 *   status is unknown
 *
 * Since: 0.1
 */
gboolean
afork_process_get_term_signal (AForkProcess *self,
                               int          *signal)
{
  int wait_status;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);

  wait_status = _afork_pid_watch_get_wait_status (_afork_client_get_pid_watch (self->client));
  if (wait_status < 0 || !WIFSIGNALED (wait_status))
    return FALSE;

  if (signal != NULL)
    *signal = WTERMSIG (wait_status);
  return TRUE;
}

/**
 * afork_process_get_usage:
 * @self: a process
 * @user_usec: (out): return location for the processor time spent in the program, in microseconds
 * @system_usec: (out): return location for the processor time spent in the kernel, in microseconds
 * @max_rss_kib: (out): return location for the maximum resident set size, in KiB
 *
 * Gets the resource usage of the process. It is known after the process has exited, if its template
 * or this process has reaped it.
 *
 * For a process that was executed, Linux counts the resident memory of this process as well, so
 * @max_rss_kib is meaningful only for forks.
 *
 * Returns: true if the usage is known
 *
 * Since: 0.1
 */
gboolean
afork_process_get_usage (AForkProcess *self,
                         guint64      *user_usec,
                         guint64      *system_usec,
                         guint64      *max_rss_kib)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (user_usec != NULL, FALSE);
  g_return_val_if_fail (system_usec != NULL, FALSE);
  g_return_val_if_fail (max_rss_kib != NULL, FALSE);

  return _afork_pid_watch_get_usage (_afork_client_get_pid_watch (self->client),
                                     user_usec, system_usec, max_rss_kib);
}

/**
 * afork_process_send_signal:
 * @self: a process
 * @signal: the number of a signal, 1 to 64; other numbers are ignored
 *
 * Sends a signal to the process, at once or as soon as the process is known. Does nothing if the
 * process has exited. The signal never reaches another process. If this program is not permitted to
 * send it, the template of the process sends it; see [method@AFork.Process.force_exit].
 *
 * A process that was not run ignores `SIGINT` and `SIGTERM`. This call keeps these two, and sends
 * them when the process runs. To end a process that was not run, kill it or drop the object.
 *
 * Since: 0.1
 */
void
afork_process_send_signal (AForkProcess *self,
                           int           signal)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  if (signal < 1 || signal > 64)
    {
      g_debug ("There is no signal %d", signal);
      return;
    }

  hold = _afork_process_hold_or_warn (self);
  if (hold != NULL)
    _afork_client_send_signal (self->client, signal);
}

/**
 * afork_process_force_exit:
 * @self: a process
 *
 * Kills the process, at once or as soon as the process is known. A run that is pending fails with
 * `AFORK_ERROR_CLOSED`, and so does a later run. Does nothing if the process has exited.
 *
 * If this program is not permitted to signal the process, because it has dropped its privileges or
 * runs in a sandbox, the template of the process kills it. If the template is not permitted either,
 * does not answer within five seconds, or has exited, the process cannot be killed: operations that
 * wait for its exit, now or later, fail with `G_IO_ERROR_PERMISSION_DENIED`, and the process lives
 * until it exits by itself. If the process was not run, its socket is closed, so it exits after the
 * queued commands.
 *
 * Since: 0.1
 */
void
afork_process_force_exit (AForkProcess *self)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autofree char *name = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));

  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL)
    return;

  name = _afork_pid_watch_get_name (_afork_client_get_pid_watch (self->client));
  _afork_process_kill_with_error (self, AFORK_ERROR_CLOSED, _("%s was killed by its caller"), name);
}

/* Templates of runtimes. A runtime has a table of them and knows no process. */

typedef struct
{
  AForkProcess *process;
  gboolean      given;          /* by the caller, so it is not replaced */
  guint         generation;     /* of the runtime's properties when the process was started */
} Template;

/* Any thread may call this: it may remove the value of any context. */
static void
template_removed_cb (gpointer data)
{
  Template *template = data;

  _afork_process_release_as_template (template->process);
  g_object_unref (template->process);
  g_free (template);
}

static void
template_copy_cb (gpointer value,
                  gpointer copied)
{
  Template *copy = copied;

  *copy = *(Template *) value;
  g_object_ref (copy->process);
}

/* Makes PROCESS, or NULL for none, the template of RUNTIME in the thread-default main context. */
static void
set_template (AForkRuntime *runtime,
              AForkProcess *process,
              gboolean      given,
              guint         generation)
{
  AForkContextTable *templates = _afork_runtime_get_templates (runtime);
  Template *template;

  if (process == NULL)
    {
      _afork_context_table_set (templates, NULL, NULL);
      return;
    }

  template = g_new0 (Template, 1);
  template->process = g_object_ref (process);
  template->given = given;
  template->generation = generation;
  _afork_process_hold_as_template (process);
  _afork_context_table_set (templates, template, template_removed_cb);
}

/* Holds the thread-default main context. Returns NULL if another thread uses it. */
static AForkHold *
hold_thread_default (void)
{
  g_autoptr(AForkContext) context = _afork_context_ref_thread_default ();

  return _afork_context_hold (context);
}

/* Returns a template that has failed, for a thread that does not own its main context or has none.
 * The thread keeps it until it calls this again, or ends. */
static AForkProcess *
new_refused_template (AForkRuntime *self)
{
  static GPrivate refused = G_PRIVATE_INIT (g_object_unref);
  AForkProcess *process = g_object_new (AFORK_TYPE_PROCESS, "runtime", self, "fresh", TRUE, NULL);

  g_private_replace (&refused, process);
  return process;
}

/**
 * afork_runtime_get_template:
 * @self: a runtime
 *
 * Gets the process from which new processes of this runtime are forked in the thread-default main
 * context, and starts it if there is none. It can be prepared like any process.
 *
 * If the template cannot be started, the processes that are forked from it fail.
 *
 * Returns: (transfer none): the template, which is valid until it is replaced
 *
 * Since: 0.1
 */
AForkProcess *
afork_runtime_get_template (AForkRuntime *self)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(AForkProcess) old = NULL;
  g_autoptr(AForkProcess) new = NULL;
  Template template = { NULL };
  guint generation;

  g_return_val_if_fail (AFORK_IS_RUNTIME (self), NULL);

  if (_afork_main_context_ensure_default (NULL))
    hold = hold_thread_default ();
  if (hold == NULL)
    return new_refused_template (self);

  generation = _afork_runtime_get_generation (self);
  /* The table keeps the process that is returned. */
  _afork_context_table_get (_afork_runtime_get_templates (self), template_copy_cb, &template);
  old = template.process;
  /* In a fork of the program: the template belongs to the parent, and its commands cannot be
   * replayed, because their descriptors are closed here. */
  if (old != NULL && _afork_process_is_context_lost (old))
    g_clear_object (&old);
  if (old != NULL
      && (template.given || (template.generation == generation && is_open (old))))
    return old;

  new = g_object_new (AFORK_TYPE_PROCESS, "runtime", self, "fresh", TRUE, NULL);
  new->keeps_commands = TRUE;
  if (old != NULL)
    prepare_like (new, old);
  set_template (self, new, FALSE, generation);
  return new;
}

/**
 * afork_runtime_set_template:
 * @self: a runtime
 * @process: (nullable): a process of this runtime, or `NULL` for none
 *
 * Sets the process from which new processes of this runtime are forked in the thread-default main
 * context. If it dies, it is not replaced, and new processes fail with its error. If it was run, or
 * is run later, new processes fail with `AFORK_ERROR_CLOSED`.
 *
 * `NULL` removes the current template. The runtime starts another when it is next needed.
 *
 * Since: 0.1
 */
void
afork_runtime_set_template (AForkRuntime *self,
                            AForkProcess *process)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_RUNTIME (self));
  g_return_if_fail (process == NULL || AFORK_IS_PROCESS (process));

  /* If no context can be made, the runtime has no template in it, and the process has failed. */
  if (!_afork_main_context_ensure_default (NULL))
    return;

  hold = hold_thread_default ();
  if (hold == NULL)
    {
      g_critical ("A template is set in the thread-default main context, and another thread uses "
                  "it: this thread needs a main context of its own, see "
                  "g_main_context_push_thread_default()");
      return;
    }

  g_return_if_fail (process == NULL || afork_process_get_runtime (process) == self);
  g_return_if_fail (process == NULL || _afork_context_is_thread_default (process->context));

  set_template (self, process, TRUE, 0);
}
