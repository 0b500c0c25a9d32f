/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The class: what a process is told and tells, how it begins, and how it is handed over and ends.
 * What it can be told by its caller is in afork-process-prepare.c, and the ways of handing it over
 * are in afork-process-run.c. */

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
#include "base/fd.h"
#include "base/i18n.h"
#include "process/launchers.h"

/**
 * AForkProcess:
 *
 * A worker process: created, prepared step by step, and then run.
 *
 * A process is forked from a template, a small process that was kept clean for this, and not from
 * the calling program, so that it costs the same however large the program is; unless the program
 * makes itself the template, with [ctor@AFork.Process.new_template]. What the process is to do is
 * queued: to load modules, to call functions of them, to keep strings, bytes and descriptors. Then
 * [method@AFork.Process.run_async] has it enter a function, which gets a socket that is connected
 * to the caller, and everything that was queued for it.
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
 * Until it is run, a process can itself be a template: [method@AFork.Process.fork] makes another
 * one that has all it was given so far.
 *
 * No call waits for another process, but for those that say so. What cannot be done is told by
 * `run`: with an error that holds the other process's own words, such as why a module could not be
 * loaded. After the first thing that fails, a process does nothing more and ends.
 *
 * A process has no descriptor but 0, 1 and 2, which it inherits, its socket, what it was sent, and
 * one more with [property@AFork.Process:die-with-parent]; its signals are unblocked and have their
 * default actions.
 *
 * Dropping an object neither stops nor delays anything: of a process that was not run, what was
 * queued is still done, and then it exits; one that was run is its function's.
 *
 * An object belongs to the thread-default main context in which it was made. Its work goes on when
 * that context is iterated, and its methods are called in the thread that owns the context. A
 * thread that is not the one that uses the global default context needs one of its own to make
 * processes in, with [method@GLib.MainContext.push_thread_default]. Every other thread is refused:
 * operations fail with `AFORK_ERROR_FAILED`, and what cannot fail does nothing but warn with a
 * critical message. See [the page](processes.html#main-contexts).
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
  if (self->context != NULL && _afork_context_is_lost (self->context))
    return _afork_atfork_new_error ();

  return g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                      _("The process belongs to a main context that another thread uses: this "
                        "thread needs processes of its own, in a main context of its own"));
}

static void
warn_of_thread (void)
{
  g_critical ("A process belongs to the thread-default main context in which it was made, and "
              "another thread uses that: this thread needs one of its own, see "
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

  /* In a fork of the program, running it tells. */
  if (hold == NULL && !_afork_context_is_lost (self->context))
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

/* Preparing it. */

gboolean
_afork_process_can_prepare (AForkProcess *self)
{
  return !self->run_started;
}

gboolean
_afork_process_may_prepare (AForkProcess *self)
{
  if (!self->run_started)
    return TRUE;

  g_debug ("Process %d is told nothing any more: it was run, executed or detached",
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
  _afork_client_kill_with_error (self->client, error);
  if (self->command_log != NULL)
    _afork_command_log_fail (self->command_log, error);
}

gboolean
_afork_process_ignores_commands (AForkProcess *self)
{
  return _afork_client_get_failure (self->client) != NULL && self->command_log == NULL;
}

AForkProcess *
_afork_process_send_command (AForkProcess     *self,
                             const AForkFrame *frame,
                             int               fd)
{
  g_auto(AForkFd) owned_fd = fd;
  g_autoptr(AForkHold) hold = _afork_process_hold_or_warn (self);
  g_autoptr(GError) error = NULL;

  if (hold == NULL || _afork_process_ignores_commands (self))
    return self;

  if (afork_frame_size (frame) == 0)
    error = _afork_client_new_size_error (frame);
  else if (self->command_log != NULL && !_afork_command_log_add (self->command_log, frame, fd))
    error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED, _("A descriptor could not be kept: %s"),
                         g_strerror (errno));
  if (error != NULL)
    {
      _afork_process_fail_command (self, error);
      return self;
    }

  _afork_process_discard_spare_forks (self);
  if (self->started && _afork_client_get_failure (self->client) == NULL)
    _afork_client_send (self->client, frame, g_steal_fd (&owned_fd));
  return self;
}

/* Has the runtime's program executed for it, and tells it what was only kept until now. */
static void
start (AForkProcess *self)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_TITLE,
    .string = { afork_process_get_title (self) },
  };

  self->started = TRUE;
  _afork_launcher_start (_afork_launchers_find (self->runtime), self->runtime, self->client);
  _afork_client_send (self->client, &frame, -1);
  if (self->die_with_parent)
    _afork_client_set_die_with_parent (self->client);
  if (self->command_log != NULL)
    _afork_command_log_replay (self->command_log, self->client);
}

/* Waiting for its end, and bringing it about. */

/* What those are told who wait when the object is disposed of by force. */
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
  g_autofree char *loss = _afork_pid_watch_describe_loss (pid_watch);
  GError *failure = _afork_client_get_failure (self->client);

  if (_afork_pid_watch_get_wait_status (pid_watch) >= 0)
    g_task_return_boolean (task, TRUE);
  else if (failure != NULL)
    g_task_return_error (task, g_error_copy (failure));
  else if (_afork_process_is_context_lost (self))
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_CLOSED,
                             _("The main context of the process is gone"));
  else
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_LOST, "%s", loss);
}

static const GError *
get_kill_error (AForkProcess *self)
{
  return _afork_pid_watch_get_kill_error (_afork_client_get_pid_watch (self->client));
}

static void
return_wait (AForkClient *client,
             GObject     *owner,
             gpointer     data)
{
  return_end (AFORK_PROCESS (owner), data);
}

/* Has RETURN_FUNC answer all of them. */
static void
take_waits (AForkProcess          *self,
            AForkClientNotifyFunc  return_func)
{
  GTask *task;

  while ((task = _afork_task_queue_pop (&self->wait_tasks)) != NULL)
    {
      _afork_client_notify_next (self->client, return_func, task);
      g_object_unref (task);
    }
}

/* Answers those who wait: the process has ended. */
static void
return_waits (AForkProcess *self)
{
  take_waits (self, return_wait);
}

/* Answers TASK now, or when more is known. */
static void
await_exit (AForkProcess *self,
            GTask        *task)
{
  if (self->state == AFORK_PROCESS_STATE_EXITED || _afork_process_is_context_lost (self))
    {
      return_end (self, task);
    }
  else if (get_kill_error (self) != NULL)
    {
      g_task_return_error (task, g_error_copy (get_kill_error (self)));
    }
  else if (self->disposed)
    {
      g_task_return_error (task, new_disposed_error ());
    }
  else
    {
      _afork_task_queue_push (&self->wait_tasks, task);
    }
}

/* It could not be killed; but meanwhile that may be otherwise. */
static void
return_unkillable (AForkClient *client,
                   GObject     *owner,
                   gpointer     data)
{
  await_exit (AFORK_PROCESS (owner), data);
}

/* Answers those who wait: the process cannot be killed. */
static void
fail_waits (AForkProcess *self)
{
  take_waits (self, return_unkillable);
}

void
_afork_process_kill_after_context (AForkProcess *self,
                                   guint         ms)
{
  _afork_client_kill_after_context (self->client, ms);
}

static void
fail_waits_disposed (AForkProcess *self)
{
  GTask *task;

  while ((task = _afork_task_queue_pop (&self->wait_tasks)) != NULL)
    {
      _afork_task_return_error_later (task, new_disposed_error ());
      g_object_unref (task);
    }
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

/* Handing it over: it is taken once, and answered once. */

/* The caller has lost interest, and without it the process has nobody to talk to. */
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

/* Answers TASK, which was cancelled, when it is known whether the process could be killed. */
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

/* Answers who has cancelled a run, and was kept waiting until the process was killed. */
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

/* Answers an object of the library that runs the process. False if there is none. */
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
  int fd = _afork_fd_own (fcntl (g_socket_get_fd (socket), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));

  if (fd < 0)
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_SPAWN,
                             _("The descriptor of the process could not be kept: %s"),
                             g_strerror (errno));
  else
    g_task_return_pointer (task, g_memdup2 (&fd, sizeof fd), fd_free);
}

/* Answers who runs it, if anybody does. */
static void
return_run_socket (AForkProcess *self,
                   GSocket      *socket)
{
  g_autoptr(GTask) task = _afork_pending_task_steal (&self->run_task);

  if (return_ran (self, socket, NULL) || task == NULL)
    return;

  /* The two have come together, and cancelling it kills the process. */
  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      give_up (self);
      return_cancelled (self, task);
    }
  else if (self->detached)
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

/* The object is being disposed of by force: whoever waits for anything is told so when the main
 * context is iterated. */
static void
fail_disposed (AForkProcess *self)
{
  g_autoptr(GError) error = new_disposed_error ();
  g_autoptr(GTask) task = _afork_pending_task_steal (&self->run_task);
  g_autoptr(GTask) cancelled_task = g_steal_pointer (&self->cancelled_task);

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
                   _("The process was told already to run “%s”"), self->function);
      return FALSE;
    }
  if (self->run_started)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED,
                   _("The process was run or detached already"));
      return FALSE;
    }

  self->run_started = TRUE;
  g_clear_pointer (&self->spare_forks, _afork_spare_forks_free);
  return TRUE;
}

gboolean
_afork_process_start_run (AForkProcess *self,
                          GTask        *task)
{
  g_autoptr(GError) error = NULL;

  /* Else the task would hide a process that runs. */
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
  else if (!self->started && _afork_client_get_failure (self->client) == NULL)
    start (self);
  failure = _afork_client_get_failure (self->client);
  if (failure != NULL)
    g_propagate_error (error, g_error_copy (failure));
  return failure == NULL;
}

gboolean
_afork_process_expect_run (AForkProcess *self,
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

/* What the client tells. */

static gboolean
set_state (AForkProcess      *self,
           AForkProcessState  state)
{
  if (state <= self->state)
    return FALSE;

  self->state = state;
  return TRUE;
}

static void
notify_state (AForkClient *client,
              GObject     *owner,
              gpointer     data)
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
return_socket (AForkClient *client,
               GObject     *owner,
               gpointer     data)
{
  return_run_socket (AFORK_PROCESS (owner), data);
}

static void
ready_cb (GObject *owner,
          GSocket *socket)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  if (!self->detached && set_state (self, AFORK_PROCESS_STATE_RUNNING))
    _afork_client_notify_next_at_once (self->client, notify_state);
  _afork_client_notify_next (self->client, return_socket, socket);
}

static void
failed_cb (GObject      *owner,
           const GError *error)
{
  return_run_failure (AFORK_PROCESS (owner), error);
}

static void
emit_exited (AForkClient *client,
             GObject     *owner,
             gpointer     data)
{
  g_signal_emit (owner, signals[SIGNAL_EXITED], 0,
                 _afork_pid_watch_get_wait_status (_afork_client_get_pid_watch (client)));
}

static void
exited_cb (GObject *owner)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  g_clear_pointer (&self->spare_forks, _afork_spare_forks_free);
  if (set_state (self, AFORK_PROCESS_STATE_EXITED))
    _afork_client_notify_next_at_once (self->client, notify_state);
  _afork_client_notify_next_at_once (self->client, emit_exited);
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

  fail_waits (self);
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

/* Makes CLIENT, which is taken, what it stands for. */
static void
take_client (AForkProcess *self,
             AForkClient  *client)
{
  _afork_client_unref (self->client);
  self->client = client;
  _afork_client_set_owner (client, &client_events, G_OBJECT (self));
}

/* Beginning: executed, forked, or taken over. */

/* Its program is executed when it is run, and then told what the template was told. */
static void
start_later (AForkProcess *self,
             AForkProcess *template)
{
  if (template == NULL)
    {
      self->command_log = _afork_command_log_new ();
      return;
    }
  if (template->command_log == NULL)
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                      _("A process of the runtime “%s” that was taken over cannot "
                                        "be forked"),
                                      afork_runtime_get_name (self->runtime));
      return;
    }

  self->command_log = _afork_command_log_copy (template->command_log);
  if (_afork_client_get_failure (template->client) != NULL)
    _afork_client_fail_like_template (self->client, template->client);
}

/* A fork that was made already. */
static void
become_spare (AForkProcess *self,
              AForkClient  *spare)
{
  take_client (self, spare);
  if (_afork_pid_watch_is_known (_afork_client_get_pid_watch (spare)))
    self->state = AFORK_PROCESS_STATE_PREPARING;
}

static void
start_as_fork (AForkProcess *self,
               AForkProcess *template)
{
  AForkClient *spare = NULL;

  self->started = TRUE;
  if (template->spare_forks != NULL)
    spare = _afork_spare_forks_take (template->spare_forks);
  if (spare != NULL)
    become_spare (self, spare);
  else
    _afork_client_fork (self->client, template->client);
}

/* Begins it as its construct properties want it. */
static void
construct (AForkProcess *self)
{
  AForkProcess *template = self->template;

  if (self->fd >= 0)
    {
      self->started = TRUE;
      _afork_client_set_start_timeout (self->client,
                                       afork_runtime_get_start_timeout (self->runtime));
      _afork_client_attach_fd (self->client, g_steal_fd (&self->fd));
      return;
    }

  if (template == NULL && !self->fresh)
    template = afork_runtime_get_template (self->runtime);
  if (template != NULL && !_afork_process_can_prepare (template))
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_CLOSED,
                                      _("The process could not be forked from its template: that "
                                        "was run"));
      return;
    }
  if (template != NULL)
    {
      self->title = g_strdup (template->title);
      self->die_with_parent = template->die_with_parent;
    }

  if (!afork_runtime_get_can_fork (self->runtime))
    {
      start_later (self, template);
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

/* For a template of its runtime: tells it what REPLACED was told, unless that is NULL, and keeps
 * what it is told, so that one that replaces it can be told the same. */
static void
replace (AForkProcess *self,
         AForkProcess *replaced)
{
  g_clear_pointer (&self->command_log, _afork_command_log_free);
  if (replaced == NULL || replaced->command_log == NULL)
    {
      self->command_log = _afork_command_log_new ();
      return;
    }

  self->title = g_strdup (replaced->title);
  self->command_log = _afork_command_log_copy (replaced->command_log);
  if (replaced->die_with_parent)
    afork_process_set_die_with_parent (self, TRUE);
  if (self->started)
    _afork_command_log_replay (self->command_log, self->client);
  afork_process_set_spare (self, replaced->spare);
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
  if (g_atomic_int_add (&self->n_holds, 1) == 0)
    g_object_unref (self->runtime);
}

void
_afork_process_release_as_template (AForkProcess *self)
{
  if (g_atomic_int_dec_and_test (&self->n_holds))
    g_object_ref (self->runtime);
}

gboolean
_afork_process_is_context_lost (AForkProcess *self)
{
  return _afork_client_is_context_lost (self->client);
}

/* Whether it can still be forked. */
static gboolean
is_open (AForkProcess *self)
{
  if (!self->started)
    return _afork_process_can_prepare (self) && !self->refused;

  return _afork_client_is_open (self->client)
    && !_afork_pid_watch_poll_exited (_afork_client_get_pid_watch (self->client));
}

/* The object. */

/* Makes it one that has failed, and belongs to nobody, so that all threads can hold it. Nobody is
 * told: it would be in the other thread. */
static void
refuse_context (AForkProcess *self)
{
  gboolean is_lost = self->template != NULL && _afork_context_is_lost (self->template->context);
  g_autoptr(GError) error = is_lost ? _afork_atfork_new_error () : new_hold_error (self);

  if (!is_lost)
    warn_of_thread ();
  self->context = _afork_context_ref_nowhere ();
  self->client = _afork_client_new (self->context, &client_events, NULL);
  _afork_client_kill_with_error (self->client, error);
  _afork_client_set_started (self->client);
  self->refused = TRUE;
  self->state = AFORK_PROCESS_STATE_EXITED;
}

/* Its own context, and that of the process that it is forked from. */
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

  G_OBJECT_CLASS (afork_process_parent_class)->constructed (object);

  if (self->template != NULL)
    g_set_object (&self->runtime, self->template->runtime);
  if (self->runtime == NULL)
    self->runtime = g_object_ref (afork_runtime_get_default ());

  hold = hold_first (self, &of_template);
  if (hold == NULL)
    {
      refuse_context (self);
    }
  else
    {
      self->client = _afork_client_new (self->context, &client_events, object);
      construct (self);
      _afork_client_set_started (self->client);
    }
  g_clear_object (&self->template);
}

/* What is let go with the object. */
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

/* The client may be at work in another thread, so it is let go only while the context is held: with
 * our own reference, which is not to be the last in this thread. */
static void
release (AForkProcess *self)
{
  Released *released;

  /* The parent's copy is the one that counts. */
  if (_afork_context_is_lost (self->context))
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
      /* Operations keep the object, so there are none, unless it is disposed of by force. Nothing
       * that is reported from now on reaches it. */
      fail_disposed (self);
      fail_waits_disposed (self);
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
  g_clear_pointer (&self->command_log, _afork_command_log_free);
  g_clear_pointer (&self->title, g_free);
  g_clear_pointer (&self->template_title, g_free);
  g_clear_pointer (&self->function, g_free);
  g_clear_object (&self->template);
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
   * What the process executes. `NULL` at construction is the default runtime, or that of
   * [property@AFork.Process:template].
   *
   * Since: 0.1
   */
  props[PROP_RUNTIME] =
    g_param_spec_object ("runtime", NULL, NULL, AFORK_TYPE_RUNTIME,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:template:
   *
   * The process to be forked, one that was not run; see [method@AFork.Process.fork]. `NULL` is the
   * runtime's template.
   *
   * Since: 0.1
   */
  props[PROP_TEMPLATE] =
    g_param_spec_object ("template", NULL, NULL, AFORK_TYPE_PROCESS,
                         G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:fresh:
   *
   * Whether the runtime's program is executed for this process, instead of its template being
   * forked; see [ctor@AFork.Process.new_exec].
   *
   * Since: 0.1
   */
  props[PROP_FRESH] =
    g_param_spec_boolean ("fresh", NULL, NULL, FALSE,
                          G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:fd:
   *
   * The descriptor of a process that is to be taken over, which is then the object's, or -1; see
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
   * The process's number as this process sees it, or 0 until it is known.
   *
   * Since: 0.1
   */
  props[PROP_PID] =
    g_param_spec_int ("pid", NULL, NULL, 0, G_MAXINT, 0,
                      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:state: (getter get_state)
   *
   * How far the process has come. It only goes forward.
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
   * What `ps` shows of the process after `afork: `. If it is not set, that is the function's name
   * after the process was told to run, and before that `template` and the name of the runtime.
   * Forks that are made after it was set have the same title.
   *
   * Since: 0.1
   */
  props[PROP_TITLE] =
    g_param_spec_string ("title", NULL, NULL, NULL,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkProcess:function: (getter get_function)
   *
   * The function that the process was told to run, or `NULL`.
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
   * @wait_status: how it ended, as `waitpid()` has it (for `WIFEXITED()` and the like), or -1 if
   *   nobody can say
   *
   * Emitted once, when the process has ended; also when it never came to be, and when its main
   * context goes before it, for nothing more is heard of it then. Only if the process was refused,
   * because another thread uses its main context, it is not emitted: nobody may be told there.
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
 * Creates a process of the default runtime by forking that runtime's template, which is started
 * first if need be; see [func@AFork.Runtime.get_default].
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
 * Creates a process of @runtime by forking its template, which is started first if need be. If the
 * runtime cannot fork, its program is executed when the process is run, and told then what was
 * queued until then.
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
 * Creates a process by executing the runtime's program, which takes longer than forking its
 * template, but inherits nothing from that: the process has the environment and the folder that
 * this process, or @runtime, has now. Where [func@AFork.early] was called, that process is forked
 * instead of executing the native runtime's program.
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
 * is prepared, forked and run like any other. Functions are looked for in the modules that are
 * loaded there, the newest first, and then in the program itself and in the libraries that it is
 * linked with; `:NAME` names one of the program. What the program is to export, it must be linked
 * for: with `-rdynamic`, in meson with `export_dynamic: true`.
 *
 * The program must have one thread. GLib starts one of its own with the first asynchronous call,
 * this library's among them, so call this before. See the page on [templates of the program
 * itself](templates-of-the-program.html).
 *
 * This call takes as long as forking the program does, which grows with its size; forks of the
 * template are then no matter of the program's. The number of the process is known at once. Its
 * runtime is called `program`.
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
      /* There is no owner to be told, and nothing is left of it. */
      _afork_client_drop_notifications (process->client);
      g_propagate_error (error, g_error_copy (failure));
      return NULL;
    }

  return g_steal_pointer (&process);
}

/**
 * afork_process_new_from_fd: (constructor)
 * @fd: a descriptor that [method@AFork.Process.detach_finish] gave, in this process or in another;
 *   it is the new object's from here on
 *
 * Takes a process over that somebody else has prepared and detached, to go on preparing, forking
 * and running it. It has everything that it was given so far.
 *
 * Whoever has forked the process goes on reaping it. Here, its end is seen all the same, and how
 * it ended where the kernel tells (Linux does from 6.15 on); where it does not, waiting for it
 * fails with `AFORK_ERROR_LOST`, and what it has used is not known. All of that is known of forks
 * of it.
 *
 * The process counts as one of the default runtime; a program with others sets
 * [property@AFork.Process:runtime] along with [property@AFork.Process:fd] instead.
 *
 * What is wrong with @fd is told where the new process is run: `AFORK_ERROR_FAILED` if it is no
 * connected stream socket, `AFORK_ERROR_LOST` if the process has ended, `AFORK_ERROR_PROTOCOL` if
 * the other side is no such process, or one of another version of the protocol. If descriptors or
 * memory are used up, that is `AFORK_ERROR_SPAWN`. A side that never answers is waited for until
 * that is cancelled.
 *
 * Returns: (transfer full): a new process
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_new_from_fd (int fd)
{
  /* What is no descriptor must not be the property's -1, which is for other processes. */
  return g_object_new (AFORK_TYPE_PROCESS, "fd", fd >= 0 ? fd : G_MAXINT, NULL);
}

/**
 * afork_process_fork:
 * @self: a process that was not run
 *
 * Makes another process of this one, with all that was queued for it so far. Both then go on
 * independently of each other. What was queued and could not be done fails both.
 *
 * If @self was run, executed or detached, the new process fails with `AFORK_ERROR_CLOSED`.
 *
 * If @self has more than one thread, started by a module, the new process fails with
 * `AFORK_ERROR_THREADS`, and @self does not.
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

/**
 * afork_process_get_runtime: (get-property runtime)
 * @self: a process
 *
 * Gets the runtime that was given when the process was made, or the default runtime if none was. A
 * fork has the runtime of its template.
 *
 * Returns: (transfer none): its runtime
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
 * Gets the number of the process. It is for messages: to send a signal, use
 * [method@AFork.Process.send_signal], which cannot hit another process that has got the same number
 * since. It changes once, if the process is run while forks of it live: the worker is then a fork
 * of it, and it stays to look after them.
 *
 * Returns: the process's number as this process sees it, or 0 until it is known
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
 * afork_process_get_state: (get-property state)
 * @self: a process
 *
 * Gets how far the process has come. The state only goes forward, from starting to preparing,
 * running and exited. Connect to `notify::state` to be informed of changes. In another thread than
 * that of the process, the value may be out of date.
 *
 * Returns: its state
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
 * Gets what `ps` shows of the process after `afork: `. If no title was set, that is the name of the
 * function that the process was told to run. Before the process was run, it is `template` and the
 * name of its runtime.
 *
 * Returns: (transfer none): its title
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
 * Sets what `ps` shows of the process after `afork: `. A title that is too long for the space that
 * the process has is cut. Forks that are made of the process later have the same title. Does
 * nothing after the process was run.
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
 * Gets the name of the function that the process was told to run, as it was given to
 * [method@AFork.Process.run_async]: a symbol, or `MODULE:SYMBOL`.
 *
 * Returns: (transfer none) (nullable): its name, or `NULL` if the process was not told to run
 *
 * Since: 0.1
 */
const char *
afork_process_get_function (AForkProcess *self)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);

  return self->function;
}

/**
 * afork_process_get_die_with_parent: (get-property die-with-parent)
 * @self: a process
 *
 * Tells whether the process is killed when the calling program ends, that is, whether
 * [method@AFork.Process.set_die_with_parent] was called for the process, or for its template before
 * the fork was made.
 *
 * Returns: whether it is
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
 * @die_with_parent: whether the process is killed when the calling program ends; once that is set,
 *   it cannot be undone, and trying that fails the process with `AFORK_ERROR_FAILED`
 *
 * Sets whether the process is killed when the calling program ends, by whatever means, `SIGKILL`
 * among them. It is busy perhaps, and does not see that its socket has ended: that is what most
 * processes go by. It is killed all the same, and what it has forked or executed with it. If other
 * processes between it and the program end, such as its template, it goes on.
 *
 * Set this before what it is to hold for, for it is done in order with the rest of what the
 * process is told. Forks that are made of the process later have it as well, and so a template
 * that has it makes safe workers at no cost of theirs. It does not reach a child that leaves the
 * process group of its worker, nor a worker that closes descriptors that it knows nothing of. It
 * works as long as the program, or a child of it that has executed nothing else, lives.
 *
 * The process and its forks are in a session and a process group of their own then, so `Ctrl-C` at
 * a terminal no longer reaches them, and they have no controlling terminal. The process leads the
 * session, so a terminal that it opens without `O_NOCTTY` becomes that; forks of it do not. The
 * program has one descriptor open until they have ended.
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
                                      _("The process is to end with its caller, which cannot be "
                                        "undone"));
      return;
    }

  self->die_with_parent = TRUE;
  if (!afork_runtime_get_can_pass_fds (self->runtime))
    _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                    _("A process of the runtime “%s” cannot be made to end with "
                                      "its caller"),
                                    afork_runtime_get_name (self->runtime));
  else if (self->started)
    _afork_client_set_die_with_parent (self->client);
  _afork_process_discard_spare_forks (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_DIE_WITH_PARENT]);
}

/**
 * afork_process_get_spare: (get-property spare)
 * @self: a process
 *
 * Gets how many forks of the process are to be kept ready, as it was set. Fewer may exist: after
 * some were taken, before the process has had nothing to do for a tenth of a second, or while there
 * are not enough descriptors or processes. The default is 0.
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
 * Sets how many forks of the process are kept ready. [method@AFork.Process.fork], and whatever
 * else forks it, then takes one of them if there is one, and so does without the time that forking
 * takes.
 *
 * They are made when the process has not been forked, nor been told anything, for a tenth of a
 * second, so that making them does not slow down what was just started. One that dies is replaced
 * then, too. Each takes two descriptors of this program; where descriptors or processes are used
 * up, there are fewer, and more are tried for now and then.
 *
 * Those that were not taken end when the process is told something more, since they have not got
 * that; when it is run, has ended, or is dropped; and when fewer are wanted.
 *
 * A fork that was kept ready is a fork of the process as it was then: a clock that a module
 * started, or a file that it looked at, may have gone on since.
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
  if (self->spare_forks == NULL && self->started && _afork_client_is_open (self->client))
    self->spare_forks = _afork_spare_forks_new (self->client);
  if (self->spare_forks != NULL)
    _afork_spare_forks_set_number (self->spare_forks, spare);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_SPARE]);
}

/**
 * afork_process_wait_async:
 * @self: a process
 * @cancellable: (nullable): a cancellable, which ends the wait and not the process
 * @callback: (nullable) (scope async): what to call when the process has ended
 * @user_data: data for @callback
 *
 * Waits until the process has ended. Works for every process, whoever's child it is.
 *
 * An operation keeps its object. A process that was not run ends when the last reference to it is
 * dropped, so one that is only waited for does not: have it run, detach it, or kill it with
 * [method@AFork.Process.force_exit].
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
  g_task_set_source_tag (task, afork_process_wait_async);
  g_task_set_name (task, "[afork] process wait");
  if (g_task_return_error_if_cancelled (task))
    return;
  hold = _afork_process_hold_for_task (self, task);
  if (hold != NULL)
    await_exit (self, task);
}

/**
 * afork_process_wait_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Tells whether the process has ended and it is known how, for
 * [method@AFork.Process.get_exit_status] and [method@AFork.Process.get_term_signal].
 *
 * Fails with `AFORK_ERROR_LOST` if it is not known: its template died before it, and the kernel
 * does not tell (Linux does from 6.15 on), and with `AFORK_ERROR_CLOSED` if its main context has
 * gone before it. If the process never came to be, fails as [method@AFork.Process.run_finish] does.
 * If it was to be killed and cannot be, fails with `G_IO_ERROR_PERMISSION_DENIED`, and the process
 * perhaps lives on: see [method@AFork.Process.force_exit].
 *
 * Returns: true if it is known how the process ended
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
 * @cancellable: (nullable): a cancellable, which ends the wait and not the process
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Waits, in this call, until the process has ended. If there are too few descriptors left to wait
 * with, fails with `G_IO_ERROR_TOO_MANY_OPEN_FILES`, as [method@AFork.Process.run] does.
 *
 * Returns: true if it is known how the process ended, as [method@AFork.Process.wait_finish] has it
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
 * Tells whether the process exited by itself.
 *
 * Returns: true if it has ended so, false if it lives, was ended by a signal, or nobody knows
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
 * Tells whether the process was ended by a signal.
 *
 * Returns: true if it has ended so, false if it lives, exited by itself, or nobody knows
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
 * @max_rss_kib: (out): return location for the most memory that was resident at once, in KiB
 *
 * Tells what the process has used, once it has ended and as long as its template or this process
 * could reap it.
 *
 * Of a process that was executed, Linux counts as resident also what this process had then, so
 * @max_rss_kib means something only of forks.
 *
 * Returns: true if that is known
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
 * @signal: a signal's number, 1 to 64; another one is ignored
 *
 * Sends a signal to the process: at once, or as soon as it is known. Does nothing once it has
 * ended. It can never reach another process. Where this program may not send it, the process's
 * template is asked to; see [method@AFork.Process.force_exit].
 *
 * A process that was not run ignores `SIGINT` and `SIGTERM`. Sent by this call, they wait for what
 * it will run, and are sent to that. To end a process that was not run, kill it or drop it.
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
 * Kills the process: at once, or as soon as it is known. A run that was not answered yet fails with
 * `AFORK_ERROR_CLOSED`, and so does one that comes later. Does nothing once the process has ended.
 *
 * Where this program may not signal the process, because it has given up its rights or a sandbox
 * keeps it from that, the template of the process is asked to kill it. If that may not either, does
 * not answer within five seconds, or is not there any more, the process cannot be killed: whoever
 * waits for its end, then or later, gets `G_IO_ERROR_PERMISSION_DENIED`. It lives on until it ends
 * by itself. If it was not run yet, its socket is closed, and so it ends when it has done what it
 * was told.
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

/* Holds the thread-default main context. NULL if another thread uses that. */
static AForkHold *
hold_thread_default (void)
{
  g_autoptr(AForkContext) context = _afork_context_ref_thread_default ();

  return _afork_context_hold (context);
}

/* A template that is none, for a thread that must not have the one there is. It is the thread's
 * until that asks again, or ends. */
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
 * Gets the process that new processes of this runtime are forked from in the thread-default main
 * context, and starts it if need be. It is prepared like any process.
 *
 * If the template could not be started, that is told by what it is used for.
 *
 * Returns: (transfer none): the template; it is good until it dies or is replaced
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
  replace (new, old);
  set_template (self, new, FALSE, generation);
  return new;
}

/**
 * afork_runtime_set_template:
 * @self: a runtime
 * @process: (nullable): a process of this runtime, or `NULL` for none
 *
 * Sets the process that new processes of this runtime are forked from in the thread-default main
 * context. If it dies, it is not replaced, and new processes fail as it has failed. If it was run,
 * or is run later, new processes fail with `AFORK_ERROR_CLOSED`.
 *
 * `NULL` gives up the present template. The runtime starts one when it is next needed.
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

  hold = hold_thread_default ();
  if (hold == NULL)
    {
      g_critical ("A template is set in the thread-default main context, and another thread uses "
                  "that: this thread needs one of its own, see "
                  "g_main_context_push_thread_default()");
      return;
    }

  g_return_if_fail (process == NULL || afork_process_get_runtime (process) == self);
  g_return_if_fail (process == NULL || _afork_context_is_thread_default (process->context));

  set_template (self, process, TRUE, 0);
}
