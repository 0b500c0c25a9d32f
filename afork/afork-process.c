/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include "afork-blocking-private.h"
#include "afork-context-private.h"
#include "afork-enum-types.h"
#include "afork-error.h"
#include "afork-i18n-private.h"
#include "afork-runtime.h"
#include "afork-runtime-private.h"

/**
 * AForkProcess:
 *
 * A worker process: created, prepared step by step, and then run.
 *
 * A process is forked from a template, a small process that was kept clean for this, and never from
 * the calling program, so that it costs the same however large the program is. What it is to do is
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
 * A process has no descriptor but 0, 1 and 2, which it inherits, its socket, and what it was sent;
 * its signals are unblocked and have their default actions.
 *
 * Dropping an object neither stops nor delays anything: of a process that was not run, what was
 * queued is still done, and then it exits; one that was run is its function's.
 *
 * An object belongs to the thread-default main context in which it was made, and its methods are to
 * be called in that thread. Its work goes on when that context turns.
 *
 * Since: 0.1
 */

enum
{
  PROP_0,
  PROP_RUNTIME,
  PROP_TEMPLATE,
  PROP_FRESH,
  PROP_PID,
  PROP_STATE,
  PROP_TITLE,
  PROP_FUNCTION,
  N_PROPS
};

enum { SIGNAL_EXITED, N_SIGNALS };

static GParamSpec *props[N_PROPS];
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (AForkProcess, afork_process, G_TYPE_OBJECT)

/* What the peer tells. */

static void
set_state (AForkProcess      *self,
           AForkProcessState  state)
{
  if (state <= self->state)
    return;

  self->state = state;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_STATE]);
}

static void
known_cb (GObject *owner)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  set_state (self, AFORK_PROCESS_STATE_PREPARING);
  g_object_notify_by_pspec (owner, props[PROP_PID]);
}

/* The task of a run that is to be answered now, or NULL if it has been. */
static GTask *
take_run_task (AForkProcess *self)
{
  if (self->run_task != NULL)
    _afork_process_unwatch_cancellable (self->run_task);

  return g_steal_pointer (&self->run_task);
}

static void
ready_cb (GObject *owner,
          GSocket *socket)
{
  AForkProcess *self = AFORK_PROCESS (owner);
  g_autoptr(GTask) task = take_run_task (self);

  set_state (self, AFORK_PROCESS_STATE_RUNNING);
  if (task == NULL)
    return;

  /* The two have come together, and cancelling it kills the process. */
  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      _afork_process_abandon (self, AFORK_ERROR_CLOSED, _("Running “%s” was cancelled"),
                              self->function);
      _afork_process_return_cancelled (task);
      return;
    }

  g_task_return_pointer (task, g_socket_connection_factory_create_connection (socket),
                         g_object_unref);
}

static void
failed_cb (GObject      *owner,
           const GError *error)
{
  AForkProcess *self = AFORK_PROCESS (owner);
  g_autoptr(GTask) task = take_run_task (self);

  if (task != NULL)
    g_task_return_error (task, g_error_copy (error));
}

static void
ended_cb (GObject *owner)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  set_state (self, AFORK_PROCESS_STATE_EXITED);
  g_signal_emit (self, signals[SIGNAL_EXITED], 0,
                 _afork_life_get_wait_status (_afork_peer_get_life (self->peer)));
  _afork_process_return_waits (self);
}

static const AForkPeerEvents peer_events = { known_cb, ready_cb, failed_cb, ended_cb };

/* Has a program executed for it. */
static void
start (AForkProcess *self)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_TITLE,
    .string = { afork_process_get_title (self) },
  };

  self->started = TRUE;
  _afork_runtime_spawn (self->runtime, self->peer);
  _afork_peer_send (self->peer, &frame, -1);
  if (self->preparation != NULL)
    _afork_preparation_replay (self->preparation, self->peer);
}

/* GObject. */

/* Its program is executed when it is run, and then told what the template was told. */
static void
begin_later (AForkProcess *self,
             AForkProcess *template)
{
  GError *failure;

  if (template == NULL)
    {
      self->preparation = _afork_preparation_new ();
      return;
    }

  self->preparation = _afork_preparation_copy (template->preparation);
  failure = _afork_peer_get_failure (template->peer);
  if (failure != NULL)
    _afork_process_abandon (self, failure->code,
                            _("The process could not be forked from its template: %s"),
                            failure->message);
}

static void
begin (AForkProcess *self)
{
  AForkProcess *template = self->template;

  if (template == NULL && !self->fresh)
    template = afork_runtime_get_template (self->runtime);

  if (!afork_runtime_get_can_fork (self->runtime))
    {
      begin_later (self, template);
    }
  else if (template == NULL)
    {
      start (self);
    }
  else
    {
      self->started = TRUE;
      _afork_peer_fork (self->peer, template->peer);
    }
}

static void
afork_process_constructed (GObject *object)
{
  AForkProcess *self = AFORK_PROCESS (object);

  G_OBJECT_CLASS (afork_process_parent_class)->constructed (object);

  if (self->template != NULL)
    {
      g_set_object (&self->runtime, self->template->runtime);
      self->title = g_strdup (self->template->title);
    }
  if (self->runtime == NULL)
    self->runtime = g_object_ref (afork_runtime_get_default ());

  self->thread = g_thread_self ();
  self->context = _afork_get_thread_context ();
  self->peer = _afork_peer_new (self->context, &peer_events, object);
  begin (self);
  g_clear_object (&self->template);
}

static gboolean
release_cb (gpointer data)
{
  _afork_peer_release (data);
  return G_SOURCE_REMOVE;
}

/* The peer may be at work in the thread that it belongs to, so only that lets it go. Where it has
 * no work, there may be no context any more either. */
static void
release_peer (AForkProcess *self)
{
  g_autoptr(GSource) source = NULL;

  if (self->thread == g_thread_self () || !_afork_peer_has_work (self->peer))
    {
      _afork_peer_release (self->peer);
      return;
    }

  source = g_idle_source_new ();
  g_source_set_static_name (source, "[afork] process release");
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, release_cb, _afork_peer_ref (self->peer),
                         (GDestroyNotify) _afork_peer_unref);
  g_source_attach (source, self->context);
}

static void
afork_process_dispose (GObject *object)
{
  AForkProcess *self = AFORK_PROCESS (object);

  release_peer (self);

  G_OBJECT_CLASS (afork_process_parent_class)->dispose (object);
}

static void
afork_process_finalize (GObject *object)
{
  AForkProcess *self = AFORK_PROCESS (object);

  _afork_peer_unref (self->peer);
  g_clear_pointer (&self->wait_tasks, g_ptr_array_unref);
  g_clear_pointer (&self->preparation, _afork_preparation_free);
  g_clear_pointer (&self->title, g_free);
  g_clear_pointer (&self->template_title, g_free);
  g_clear_pointer (&self->function, g_free);
  g_clear_object (&self->template);
  g_clear_object (&self->runtime);

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
    case PROP_TITLE:
      afork_process_set_title (self, g_value_get_string (value));
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
   * How far the process has come.
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
   * What `ps` shows of the process behind `afork: `. Unless it is set, that is the function's name
   * once the process was told to run, and before that `template` and the name of the runtime. Forks
   * made after it was set have the same.
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

  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AForkProcess::exited:
   * @self: the process
   * @wait_status: how it ended, as `waitpid()` has it (for `WIFEXITED()` and the like), or -1 if
   *   nobody can say
   *
   * Emitted once, when the process has ended; also when it never came to be.
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

/* For the library. */

void
_afork_process_replace (AForkProcess *self,
                        AForkProcess *replaced)
{
  g_clear_pointer (&self->preparation, _afork_preparation_free);
  if (replaced == NULL || replaced->preparation == NULL)
    {
      self->preparation = _afork_preparation_new ();
      return;
    }

  self->preparation = _afork_preparation_copy (replaced->preparation);
  if (self->started)
    _afork_preparation_replay (self->preparation, self->peer);
}

void
_afork_process_begin_kept (AForkProcess *self)
{
  if (self->n_keepers++ == 0)
    g_object_unref (self->runtime);
}

void
_afork_process_end_kept (AForkProcess *self)
{
  if (--self->n_keepers == 0)
    g_object_ref (self->runtime);
}

gboolean
_afork_process_is_open (AForkProcess *self)
{
  if (!self->started)
    return _afork_process_can_prepare (self);

  return _afork_peer_is_open (self->peer)
    && !_afork_life_is_over (_afork_peer_get_life (self->peer));
}

/* Making processes. */

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
 * this process, or @runtime, has now.
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
 * afork_process_fork:
 * @self: a process that was not run
 *
 * Makes another process of this one, with all that was queued for it so far. Both then go on
 * independently of each other. What was queued and could not be done fails both.
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
  g_return_val_if_fail (_afork_process_can_prepare (self), NULL);

  return g_object_new (AFORK_TYPE_PROCESS, "template", self, NULL);
}

/* Running them. */

/* The caller has lost interest, and without it the process has nobody to talk to. */
static gboolean
run_cancelled_cb (GCancellable *cancellable,
                  gpointer      data)
{
  AForkProcess *self = g_task_get_source_object (data);
  g_autoptr(GTask) task = take_run_task (self);

  if (task == NULL)
    return G_SOURCE_REMOVE;

  _afork_process_abandon (self, AFORK_ERROR_CLOSED, _("Running “%s” was cancelled"),
                          self->function);
  _afork_process_return_cancelled (task);
  return G_SOURCE_REMOVE;
}

void
_afork_process_watch_cancellable (GTask       *task,
                                  GSourceFunc  callback)
{
  g_autoptr(GSource) source = NULL;

  if (g_task_get_cancellable (task) == NULL)
    return;

  source = g_cancellable_source_new (g_task_get_cancellable (task));
  g_source_set_static_name (source, "[afork] process cancellation");
  g_task_attach_source (task, source, callback);
  g_task_set_task_data (task, g_steal_pointer (&source), (GDestroyNotify) g_source_unref);
}

void
_afork_process_return_cancelled (GTask *task)
{
  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
}

void
_afork_process_unwatch_cancellable (GTask *task)
{
  GSource *source = g_task_get_task_data (task);

  /* It has a reference to the task, and so would keep it for ever. */
  if (source != NULL)
    g_source_destroy (source);
}

/**
 * afork_process_run_async:
 * @self: a process that was not run
 * @function: a function of a module that was loaded, in C an `AForkRunFunc`; named as for
 *   [method@AFork.Process.call]
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the function is about to be entered, or
 *   when it is known that it will not be
 * @user_data: data for @callback
 *
 * Has the process enter a function, with a socket that is connected to the caller and the items
 * that were queued. When the function returns, the process exits with status 0.
 *
 * From this call on, the process cannot be prepared any more. Cancelling it kills the process.
 *
 * Since: 0.1
 */
void
afork_process_run_async (AForkProcess        *self,
                         const char          *function,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr(GTask) task = NULL;
  GError *failure;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (function != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_process_run_async);
  g_task_set_name (task, "[afork] process run");
  /* Else the task would hide a process that runs. */
  g_task_set_check_cancellable (task, FALSE);
  if (self->function != NULL)
    {
      g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_CLOSED,
                               _("The process was told already to run “%s”"), self->function);
      return;
    }

  self->function = g_strdup (function);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_FUNCTION]);
  if (self->title == NULL)
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TITLE]);

  if (g_task_return_error_if_cancelled (task))
    {
      _afork_process_abandon (self, AFORK_ERROR_CLOSED, _("Running “%s” was cancelled"), function);
      return;
    }

  if (!self->started && _afork_peer_get_failure (self->peer) == NULL)
    start (self);
  failure = _afork_peer_get_failure (self->peer);
  if (failure != NULL)
    {
      g_task_return_error (task, g_error_copy (failure));
      return;
    }

  _afork_process_watch_cancellable (task, G_SOURCE_FUNC (run_cancelled_cb));
  self->run_task = g_steal_pointer (&task);
  _afork_peer_run (self->peer, function, afork_process_get_title (self));
}

/**
 * afork_process_run_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Returns the socket. It is a stream of bytes; what the function writes can be read here, and the
 * other way round. When the process ends, it ends.
 *
 * Fails as the process has failed, with the code of the first thing that could not be done:
 * `AFORK_ERROR_SPAWN` if there was no process, `AFORK_ERROR_MODULE`, `AFORK_ERROR_EVAL`,
 * `AFORK_ERROR_FUNCTION`, `AFORK_ERROR_NOT_SUPPORTED` or `AFORK_ERROR_FAILED` if it could not be
 * prepared, `AFORK_ERROR_THREADS` if its template could not be forked, `AFORK_ERROR_EXITED` or
 * `AFORK_ERROR_SIGNALED` if it ended too early, `AFORK_ERROR_LOST` if nobody can say how,
 * `AFORK_ERROR_PROTOCOL` if it sent what it may not. If it was its template that failed, the code
 * is the template's. `AFORK_ERROR_CLOSED` if the process was told to run before.
 *
 * Returns: (transfer full): a connection, or `NULL` on error
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_run_finish (AForkProcess  *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_run_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * afork_process_run:
 * @self: a process that was not run
 * @function: a function of a module that was loaded, as for [method@AFork.Process.run_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Does what [method@AFork.Process.run_async] does, and waits until the function is about to be
 * entered, however long that takes. For programs that have nothing else to do meanwhile.
 *
 * Waiting takes a descriptor. If there is none left, fails with `G_IO_ERROR_TOO_MANY_OPEN_FILES`,
 * and the process has not been run.
 *
 * Returns: (transfer full): a connection, or `NULL` on error, as
 *   [method@AFork.Process.run_finish] has it
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_run (AForkProcess  *self,
                   const char    *function,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!_afork_blocking_begin (&blocking, G_OBJECT (self), self->peer, error))
    return NULL;

  afork_process_run_async (self, function, cancellable, _afork_blocking_cb, &blocking);
  result = _afork_blocking_end (&blocking);
  return afork_process_run_finish (self, result, error);
}

/* Properties. */

/**
 * afork_process_get_runtime: (get-property runtime)
 * @self: a process
 *
 * Gets what the process executes.
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

  return _afork_life_get_pid (_afork_peer_get_life (self->peer));
}

/**
 * afork_process_get_state: (get-property state)
 * @self: a process
 *
 * Gets how far the process has come.
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
 * Gets what `ps` shows of the process behind `afork: `.
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

  if (self->template_title == NULL)
    self->template_title = g_strdup_printf ("template %s", afork_runtime_get_name (self->runtime));
  return self->template_title;
}

/**
 * afork_process_get_function: (get-property function)
 * @self: a process
 *
 * Gets the function that the process was told to run.
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
 * afork_process_set_title: (set-property title)
 * @self: a process that was not run
 * @title: (nullable): a title, or `NULL` for the usual one
 *
 * Sets what `ps` shows of the process behind `afork: `, as far as there is room for it.
 *
 * Since: 0.1
 */
void
afork_process_set_title (AForkProcess *self,
                         const char   *title)
{
  AForkFrame frame = { .kind = AFORK_FRAME_TITLE };

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (_afork_process_can_prepare (self));

  if (g_strcmp0 (self->title, title) == 0)
    return;

  g_free (self->title);
  self->title = g_strdup (title);
  frame.string[0] = afork_process_get_title (self);
  _afork_process_tell (self, &frame, -1);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TITLE]);
}
