/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The class: its properties, what it tells of its peer, and how it lets go of that. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include "afork-enum-types.h"
#include "afork-error.h"
#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/fd.h"
#include "base/i18n.h"

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

/* What the peer tells. */

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
notify_state (AForkPeer *peer,
              GObject   *owner,
              gpointer   data)
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
return_socket (AForkPeer *peer,
               GObject   *owner,
               gpointer   data)
{
  _afork_process_return_socket (AFORK_PROCESS (owner), data);
}

static void
ready_cb (GObject *owner,
          GSocket *socket)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  if (!self->detached && set_state (self, AFORK_PROCESS_STATE_RUNNING))
    _afork_peer_tell_next_at_once (self->peer, notify_state);
  _afork_peer_tell_next (self->peer, return_socket, socket);
}

static void
failed_cb (GObject      *owner,
           const GError *error)
{
  _afork_process_return_failure (AFORK_PROCESS (owner), error);
}

static void
emit_exited (AForkPeer *peer,
             GObject   *owner,
             gpointer   data)
{
  g_signal_emit (owner, signals[SIGNAL_EXITED], 0,
                 _afork_life_get_wait_status (_afork_peer_get_life (peer)));
}

static void
ended_cb (GObject *owner)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  g_clear_pointer (&self->spares, _afork_spares_free);
  if (set_state (self, AFORK_PROCESS_STATE_EXITED))
    _afork_peer_tell_next_at_once (self->peer, notify_state);
  _afork_peer_tell_next_at_once (self->peer, emit_exited);
  _afork_process_return_cancelled (self);
  _afork_process_return_waits (self);
}

static void
killed_cb (GObject      *owner,
           const GError *error)
{
  AForkProcess *self = AFORK_PROCESS (owner);

  _afork_process_return_cancelled (self);
  if (error == NULL)
    return;

  _afork_process_fail_waits (self);
  if (self->unkillable_func != NULL)
    self->unkillable_func (self, error, self->unkillable_data);
}

static const AForkPeerEvents peer_events = {
  .known = known_cb,
  .ready = ready_cb,
  .failed = failed_cb,
  .killed = killed_cb,
  .ended = ended_cb,
};

void
_afork_process_take_peer (AForkProcess *self,
                          AForkPeer    *peer)
{
  _afork_peer_unref (self->peer);
  self->peer = peer;
  _afork_peer_set_owner (peer, &peer_events, G_OBJECT (self));
}

/* GObject. */

/* Holding its context. */

static GError *
new_hold_error (AForkProcess *self)
{
  if (self->context != NULL && _afork_context_is_lost (self->context))
    return _afork_belonging_new_error ();

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

/* Makes it one that has failed, and belongs to nobody, so that all threads can hold it. Nobody is
 * told: it would be in the other thread. */
static void
refuse_context (AForkProcess *self)
{
  gboolean is_lost = self->template != NULL && _afork_context_is_lost (self->template->context);
  g_autoptr(GError) error = is_lost ? _afork_belonging_new_error () : new_hold_error (self);

  if (!is_lost)
    warn_of_thread ();
  self->context = _afork_context_ref_nowhere ();
  self->peer = _afork_peer_new (self->context, &peer_events, NULL);
  _afork_peer_abandon (self->peer, error);
  _afork_peer_set_begun (self->peer);
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
      self->peer = _afork_peer_new (self->context, &peer_events, object);
      _afork_process_begin (self);
      _afork_peer_set_begun (self->peer);
    }
  g_clear_object (&self->template);
}

/* What is let go with the object. */
typedef struct
{
  AForkPeer   *peer;
  AForkSpares *spares;          /* or NULL */
} Released;

static void
release_cb (gpointer data)
{
  Released *released = data;

  _afork_peer_release (released->peer);
  _afork_peer_unref (released->peer);
  g_clear_pointer (&released->spares, _afork_spares_free);
  g_free (released);
}

/* The peer may be at work in another thread, so it is let go only while the context is held: with
 * our own reference, which is not to be the last in this thread. */
static void
release (AForkProcess *self)
{
  Released *released;

  /* The parent's copy is the one that counts. */
  if (_afork_context_is_lost (self->context))
    return;

  released = g_new0 (Released, 1);
  released->peer = g_steal_pointer (&self->peer);
  released->spares = g_steal_pointer (&self->spares);
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
      _afork_peer_release (self->peer);
      g_clear_pointer (&self->spares, _afork_spares_free);
      /* Operations keep the object, so there are none, unless it is disposed of by force. Nothing
       * that is reported from now on reaches it. */
      _afork_process_fail_disposed (self);
      _afork_process_fail_waits_disposed (self);
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
  g_clear_pointer (&self->preparation, _afork_preparation_free);
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

/* For the library. */

void
_afork_process_notify_function (AForkProcess *self)
{
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_FUNCTION]);
  if (self->title == NULL)
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TITLE]);
}

void
_afork_process_begin_kept (AForkProcess *self)
{
  if (g_atomic_int_add (&self->n_keepers, 1) == 0)
    g_object_unref (self->runtime);
}

void
_afork_process_end_kept (AForkProcess *self)
{
  if (g_atomic_int_dec_and_test (&self->n_keepers))
    g_object_ref (self->runtime);
}

gboolean
_afork_process_is_stranded (AForkProcess *self)
{
  return _afork_peer_is_stranded (self->peer);
}

gboolean
_afork_process_is_open (AForkProcess *self)
{
  if (!self->started)
    return _afork_process_can_prepare (self) && !self->refused;

  return _afork_peer_is_open (self->peer)
    && !_afork_life_is_over (_afork_peer_get_life (self->peer));
}

/* Properties. */

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

  return _afork_life_get_pid (_afork_peer_get_life (self->peer));
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
  _afork_process_tell (self, &frame, -1);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TITLE]);
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
      _afork_process_abandon (self, AFORK_ERROR_FAILED,
                              _("The process is to end with its caller, which cannot be undone"));
      return;
    }

  self->die_with_parent = TRUE;
  if (!afork_runtime_get_can_pass_fds (self->runtime))
    _afork_process_abandon (self, AFORK_ERROR_NOT_SUPPORTED,
                            _("A process of the runtime “%s” cannot be made to end with its "
                              "caller"),
                            afork_runtime_get_name (self->runtime));
  else if (self->started)
    _afork_peer_tie (self->peer);
  _afork_process_discard_spares (self);
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
  if (self->spares == NULL && self->started && _afork_peer_is_open (self->peer))
    self->spares = _afork_spares_new (self->peer);
  if (self->spares != NULL)
    _afork_spares_set_number (self->spares, spare);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_SPARE]);
}
