/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-rpc.h"
#include "afork-rpc-private.h"

#include "afork-error.h"
#include "afork-process-private.h"
#include "afork-runtime.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/debug.h"
#include "base/i18n.h"
#include "base/main-context.h"
#include "base/task.h"
#include "base/turn.h"
#include "calls/rpc-calls.h"
#include "calls/worker-link.h"
#include "process/blocking-call.h"

/* The states of the object, from the worker's start to its end.
 *
 *     NEW ── it is constructed ──> OPEN ── close_async() ──> CLOSING
 *      │                            │ │                       │ │
 *      │                            │ └── the worker ends ────┤ │
 *      │                            │                         v │
 *      v                            │                      EXITED
 *   REFUSED                         │       calls end, closed │ │
 *                                   │              is emitted v v
 *                                   └── it is disposed of ─> CLOSED
 *
 * REFUSED: the object got no worker, and belongs to no main context.
 */
typedef enum
{
  AFORK_RPC_STATE_NEW,
  AFORK_RPC_STATE_OPEN,         /* it accepts calls */
  AFORK_RPC_STATE_CLOSING,      /* it accepts no more calls, and the worker is to exit after them */
  AFORK_RPC_STATE_EXITED,       /* the worker has ended; calls that are left end now */
  AFORK_RPC_STATE_CLOSED,       /* AForkRpc::closed has been emitted, or never will be */
  AFORK_RPC_STATE_REFUSED,
} AForkRpcState;

struct _AForkRpc
{
  GObject          parent_instance;
  AForkContext    *context;         /* NULL until the object is constructed */

  AForkProcess    *process;
  char            *function;
  char            *init_function;
  char            *done_function;
  char            *addresses[3];    /* of these, as text, if they were given by address; or NULL */
  gboolean         concurrent;
  gboolean         die_with_parent;
  gboolean         forward_stderr;
  gboolean         trusted;

  const AForkRpcOwnerFuncs *owner_funcs;  /* of an object of the library that owns this, or NULL */
  gpointer         owner_data;
  gboolean         ending;          /* the owner knows that the worker serves no more calls */

  AForkRpcState    state;
  AForkWorkerLink *link;            /* NULL if there is no worker, and once disposed of */
  AForkRpcCalls    calls;
  GError          *failure;         /* why no call can be answered any more, or NULL */
  GQueue           close_tasks;     /* of GTask: see _afork_task_queue_push() */
  AForkWaiter     *pending_end;     /* goes on with ending calls and close_tasks; or NULL */
};

/* A blocking call of an RPC object. AForkBlockingCall moves the process to the context of the
 * blocking call; this also moves the worker link there. */
typedef struct
{
  AForkBlockingCall base;
  AForkHold        *hold;     /* of the object's own context */
  AForkWorkerLink  *link;
  AForkContext     *context;  /* the link's context before the blocking call */
} AForkRpcBlockingCall;

enum
{
  DEFAULT_MAX_IN_FLIGHT = 64,
  MAX_MAX_IN_FLIGHT = 65535,
};

/**
 * AForkRpc:
 *
 * Calls to one worker.
 *
 * An RPC object takes a process that was not run, runs it, and has one of its functions answer
 * calls:
 *
 * ```c
 * AForkProcess *process = afork_process_require (afork_process_new (), "resize");
 * AForkRpc *rpc = afork_rpc_new (process, "resize_image");
 *
 * afork_rpc_call_async (rpc, g_variant_new ("(su)", path, 256), NULL, resized_cb, NULL);
 * ```
 *
 * The function is in a module that is linked with the library. It is an [callback@AFork.CallFunc],
 * which answers one call after the other, or an [callback@AFork.ConcurrentCallFunc] if
 * [property@AFork.Rpc:concurrent] is set. Calls can be made at once: they wait until the worker
 * runs.
 *
 * Every call that was accepted ends exactly once: with the function's result, with the function's
 * error, or with the reason why there will be no answer:
 *
 * - `AFORK_ERROR_EXITED`, `AFORK_ERROR_SIGNALED`, `AFORK_ERROR_OUT_OF_MEMORY` or
 *   `AFORK_ERROR_LOST` if the worker ended too early, with the last lines of its standard error
 *   output
 * - an error of [method@AFork.Process.run_finish] if the worker could not be run
 * - `AFORK_ERROR_FUNCTION` if the worker has no such function
 * - the error of [property@AFork.Rpc:init-function] if that fails
 * - `AFORK_ERROR_TIMED_OUT`, `AFORK_ERROR_LIMIT`, `AFORK_ERROR_OUT_OF_MEMORY` or
 *   `AFORK_ERROR_SANDBOX` if the [class@AFork.Sandbox] of the worker has ended it; the message
 *   names the limit or the system call
 * - `AFORK_ERROR_HOST_LOST` if the worker was on another host, and the connection has ended
 * - `AFORK_ERROR_PROTOCOL` if the worker broke the protocol, and was killed for that
 * - `AFORK_ERROR_CLOSED` if the worker closed its socket, did not exit within five seconds, and was
 *   killed for that
 *
 * Progress, events and answers arrive in the order in which the worker sent them.
 *
 * Each call that has not ended holds a reference to the object, so no calls are left when the last
 * reference is dropped. The worker then has five seconds to exit. To close the worker earlier, or
 * to wait for its exit, use [method@AFork.Rpc.close_async].
 *
 * The worker also ends when this program ends, for whatever reason and in the middle of a call: see
 * [property@AFork.Process:die-with-parent].
 *
 * An RPC object belongs to the thread-default main context in which it was made, like its process.
 * Only the thread that owns this context may use the object, and callbacks are called from it. In
 * other threads, functions fail with `AFORK_ERROR_FAILED`; see
 * [the page](processes.html#main-contexts). The last reference may be dropped in any thread.
 *
 * Since: 0.1
 */
enum
{
  PROP_0,
  PROP_CONCURRENT,
  PROP_DIE_WITH_PARENT,
  PROP_DONE_FUNCTION,
  PROP_FORWARD_STDERR,
  PROP_FUNCTION,
  PROP_INIT_FUNCTION,
  PROP_MAX_IN_FLIGHT,
  PROP_PROCESS,
  PROP_TRUSTED,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

enum { SIGNAL_CLOSED, SIGNAL_EVENT, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (AForkRpc, afork_rpc, G_TYPE_OBJECT)

/* The state. */

static const char *
get_state_name (AForkRpcState state)
{
  static const char *const names[] = {
    [AFORK_RPC_STATE_NEW] = "new",
    [AFORK_RPC_STATE_OPEN] = "open",
    [AFORK_RPC_STATE_CLOSING] = "closing",
    [AFORK_RPC_STATE_EXITED] = "exited",
    [AFORK_RPC_STATE_CLOSED] = "closed",
    [AFORK_RPC_STATE_REFUSED] = "refused",
  };

  return names[state];
}

static gboolean
is_step (AForkRpcState from,
         AForkRpcState to)
{
  switch (to)
    {
    case AFORK_RPC_STATE_OPEN:
    case AFORK_RPC_STATE_REFUSED:
      return from == AFORK_RPC_STATE_NEW;
    case AFORK_RPC_STATE_CLOSING:
      return from == AFORK_RPC_STATE_OPEN;
    case AFORK_RPC_STATE_EXITED:
      return from == AFORK_RPC_STATE_OPEN || from == AFORK_RPC_STATE_CLOSING;
    case AFORK_RPC_STATE_CLOSED:
      return from >= AFORK_RPC_STATE_OPEN && from <= AFORK_RPC_STATE_EXITED;
    case AFORK_RPC_STATE_NEW:
    default:
      return FALSE;
    }
}

static void
set_state (AForkRpc      *self,
           AForkRpcState  state)
{
  g_assert (is_step (self->state, state));

  if (_afork_debug_is_enabled ())
    g_debug ("RPC object of “%s”: was %s, is %s", self->function, get_state_name (self->state),
             get_state_name (state));
  self->state = state;
}

/* Whether there is no worker, or none any more. */
static gboolean
has_exited (AForkRpc *self)
{
  return self->state >= AFORK_RPC_STATE_EXITED;
}

/* The main context. */

static GError *
new_hold_error (AForkRpc *self)
{
  if (self->context != NULL && _afork_context_is_inherited (self->context))
    return _afork_atfork_new_error ();

  return g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                      _("Calls of “%s” belong to a main context that another thread uses: this "
                        "thread needs an object of its own, in a main context of its own"),
                      self->function);
}

/* Holds the main context of the object. Each public function that changes the object begins with
 * this. Returns NULL and sets ERROR if another thread may use the context. */
static AForkHold *
hold_context (AForkRpc  *self,
              GError   **error)
{
  AForkHold *hold = _afork_context_hold (self->context);

  if (hold == NULL)
    g_propagate_error (error, new_hold_error (self));
  return hold;
}

/* Signals. */

static void
event_cb (GObject  *owner,
          GVariant *event)
{
  AForkRpc *self = AFORK_RPC (owner);

  g_signal_emit (self, signals[SIGNAL_EVENT], 0, event);
  if (self->owner_funcs != NULL)
    self->owner_funcs->event (event, self->owner_data);
}

static void
started_cb (GObject *owner)
{
  AForkRpc *self = AFORK_RPC (owner);

  if (self->owner_funcs != NULL)
    self->owner_funcs->started (self->owner_data);
}

static void
retires_cb (GObject *owner)
{
  AForkRpc *self = AFORK_RPC (owner);

  if (self->owner_funcs != NULL)
    self->owner_funcs->retires (self->owner_data);
}

static void
answered_unwanted_cb (GObject *owner,
                      guint32  number)
{
  AForkRpc *self = AFORK_RPC (owner);

  if (self->owner_funcs != NULL)
    self->owner_funcs->answered_unwanted (number, self->owner_data);
}

/* The worker serves no more calls. */
static void
notify_ending (AForkRpc *self)
{
  if (self->ending)
    return;

  self->ending = TRUE;
  if (self->owner_funcs != NULL)
    self->owner_funcs->ending (self->failure, self->owner_data);
}

static void
emit_closed (AForkRpc *self)
{
  g_signal_emit (self, signals[SIGNAL_CLOSED], 0);
  if (self->owner_funcs != NULL)
    self->owner_funcs->closed (self->owner_data);
}

/* The end of the worker, and of what is pending then: calls and close_tasks. */

static void
return_task (AForkRpc *self,
             GTask    *task)
{
  if (self->failure != NULL)
    g_task_return_error (task, g_error_copy (self->failure));
  else
    g_task_return_boolean (task, TRUE);
}

/* Returns close_tasks: the first one in any case, and more for one turn. Returns true if none are
 * left. */
static gboolean
return_closed (AForkRpc *self)
{
  AForkTurn turn;
  gboolean has_time = _afork_turn_begin (&turn, NULL);
  GTask *task;

  while ((task = _afork_task_queue_pop (&self->close_tasks)) != NULL)
    {
      return_task (self, task);
      g_object_unref (task);
      if (!has_time || !_afork_turn_goes_on (&turn))
        break;
    }

  if (has_time)
    _afork_turn_end (&turn, NULL, NULL, FALSE);
  return g_queue_is_empty (&self->close_tasks);
}

/* Ends calls, emits AForkRpc::closed, and returns close_tasks, for one turn. Returns true if
 * nothing is left. */
static gboolean
end_for_turn (AForkRpc *self)
{
  g_autoptr(GError) error = NULL;

  error = self->failure != NULL
    ? g_error_copy (self->failure)
    : g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED, _("The worker exited without an answer"));
  if (!_afork_rpc_calls_fail (&self->calls, error))
    return FALSE;

  if (self->state == AFORK_RPC_STATE_EXITED)
    {
      set_state (self, AFORK_RPC_STATE_CLOSED);
      emit_closed (self);
    }
  return !has_exited (self) || return_closed (self);
}

static gboolean
has_pending (AForkRpc *self)
{
  return _afork_rpc_calls_has_any (&self->calls)
    || (has_exited (self) && self->close_tasks.length > 0);
}

/* The main context in which to go on: the link's, or if that is gone, the one of something that is
 * pending. Callbacks are called in their own contexts in any case. */
static GMainContext *
get_context (AForkRpc *self)
{
  GMainContext *context = NULL;

  if (self->link != NULL)
    context = _afork_context_peek (_afork_worker_link_get_context (self->link));
  if (context != NULL)
    return context;
  context = _afork_rpc_calls_peek_context (&self->calls);
  if (context != NULL)
    return context;
  if (self->close_tasks.length > 0)
    return g_task_get_context (g_queue_peek_head (&self->close_tasks));

  return _afork_get_thread_context ();
}

static void end_pending (AForkRpc *self);

static void
pending_end_cb (gpointer data)
{
  g_autoptr(AForkRpc) self = g_object_ref (data);

  end_pending (self);
}

static void
go_on_later (AForkRpc *self)
{
  AForkWaiter *old = g_steal_pointer (&self->pending_end);

  self->pending_end = _afork_waiter_new_for_iteration (get_context (self), pending_end_cb,
                                                       g_object_ref (self), g_object_unref);
  g_clear_pointer (&old, _afork_waiter_end);
}

/* No call can be answered any more. Ends what is pending, for one turn now, and the rest as the
 * context is iterated. */
static void
end_pending (AForkRpc *self)
{
  g_autoptr(AForkRpc) kept G_GNUC_UNUSED = g_object_ref (self);

  /* The waiter comes first: a handler may iterate the context and wait there for another call. */
  if (has_pending (self))
    go_on_later (self);
  if (end_for_turn (self))
    g_clear_pointer (&self->pending_end, _afork_waiter_end);
}

/* Goes on with that in the context in which the worker is served now. */
static void
move_pending (AForkRpc *self)
{
  if (self->pending_end != NULL)
    go_on_later (self);
}

/* The worker cannot serve because of ERROR, which is taken. */
static void
refused_cb (GObject *owner,
            GError  *error)
{
  AForkRpc *self = AFORK_RPC (owner);

  if (self->failure == NULL)
    self->failure = error;
  else
    g_error_free (error);
  notify_ending (self);
  end_pending (self);
}

static const AForkRpcCallsFuncs calls_funcs = {
  .event = event_cb,
  .refused = refused_cb,
  .started = started_cb,
  .retires = retires_cb,
  .answered_unwanted = answered_unwanted_cb,
};

/* The worker has ended because of ERROR, or properly if that is NULL. */
static void
handle_worker_end (AForkRpc     *self,
                   const GError *error)
{
  if (self->failure == NULL && error != NULL)
    self->failure = g_error_copy (error);
  if (!has_exited (self))
    {
      set_state (self, AFORK_RPC_STATE_EXITED);
      _afork_rpc_calls_end (&self->calls);
    }
  notify_ending (self);
  end_pending (self);
}

/* The object has been disposed of, and has no link to its worker any more. */
static void
close_disposed (AForkRpc *self)
{
  if (self->failure == NULL)
    self->failure = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                         _("The object that calls go through has been disposed "
                                           "of"));
  if (!has_exited (self))
    set_state (self, AFORK_RPC_STATE_CLOSED);

  /* No handler can be called now. */
  if (has_pending (self))
    go_on_later (self);
}

/* The worker link. */

static void
room_cb (AForkWorkerLink *link,
         gpointer         data)
{
  AForkRpc *self = data;

  _afork_rpc_calls_send_waiting (&self->calls);
}

static void
sent_cb (AForkWorkerLink *link,
         guint64          n_sent,
         gpointer         data)
{
  AForkRpc *self = data;

  _afork_rpc_calls_note_sent (&self->calls, n_sent);
}

static void
received_cb (AForkWorkerLink *link,
             guint64          n_received,
             gpointer         data)
{
  AForkRpc *self = data;

  _afork_rpc_calls_note_received (&self->calls, n_received);
}

static gboolean
message_cb (AForkWorkerLink   *link,
            AForkCallMessage  *message,
            gpointer           data,
            GError           **error)
{
  AForkRpc *self = data;

  return _afork_rpc_calls_receive (&self->calls, message, error);
}

static void
resume_cb (AForkWorkerLink *link,
           gpointer         data)
{
  g_autoptr(AForkRpc) self = g_object_ref (data);

  if (self->failure != NULL)
    end_pending (self);
}

static void
exited_cb (AForkWorkerLink *link,
           const GError    *error,
           gpointer         data)
{
  g_autoptr(AForkRpc) self = g_object_ref (data);

  handle_worker_end (self, error);
}

static const AForkWorkerLinkEvents link_events = {
  .room = room_cb,
  .sent = sent_cb,
  .message = message_cb,
  .received = received_cb,
  .resume = resume_cb,
  .exited = exited_cb,
};

/* Blocking calls. */

static gboolean
begin_blocking (AForkRpc              *self,
                AForkRpcBlockingCall  *blocking,
                GError               **error)
{
  g_autoptr(AForkHold) hold = hold_context (self, error);
  g_autoptr(AForkContext) context = NULL;

  if (hold == NULL)
    return FALSE;
  if (self->link == NULL)
    {
      g_propagate_error (error, g_error_copy (self->failure));
      return FALSE;
    }
  if (!_afork_process_begin_blocking (self->process, &blocking->base, G_OBJECT (self), error))
    return FALSE;

  blocking->hold = g_steal_pointer (&hold);
  blocking->link = _afork_worker_link_ref (self->link);
  blocking->context = _afork_context_ref (_afork_worker_link_get_context (self->link));
  context = _afork_context_ref_thread_default ();
  _afork_worker_link_set_context (self->link, context);
  return TRUE;
}

static GAsyncResult *
end_blocking (AForkRpc             *self,
              AForkRpcBlockingCall *blocking)
{
  g_autoptr(AForkRpc) kept G_GNUC_UNUSED = g_object_ref (self);
  g_autoptr(AForkContext) context = g_steal_pointer (&blocking->context);
  GAsyncResult *result = _afork_blocking_call_end (&blocking->base);

  _afork_worker_link_set_context (blocking->link, context);
  move_pending (self);
  g_clear_pointer (&blocking->link, _afork_worker_link_unref);
  _afork_hold_release (blocking->hold);
  return result;
}

/* The object. */

/* The object got no worker because of ERROR, which is taken. */
static void
refuse (AForkRpc *self,
        GError   *error)
{
  self->failure = error;
  self->context = _afork_context_ref_nowhere ();
  set_state (self, AFORK_RPC_STATE_REFUSED);
}

/* Another thread may use the main context of the process, or the one of this thread. */
static void
refuse_context (AForkRpc *self)
{
  gboolean is_inherited = _afork_context_is_inherited (_afork_process_get_context (self->process));

  if (!is_inherited)
    g_critical ("An object for calls belongs to the thread-default main context in which it was "
                "made, as its process does, and another thread uses that: this thread needs one of "
                "its own, see g_main_context_push_thread_default()");
  refuse (self, is_inherited ? _afork_atfork_new_error () : new_hold_error (self));
}

/* Sets the title of the process to the function that answers calls, unless the program has set one.
 * The usual title would name the library's function that serves calls, which is always the same. */
static void
set_title (AForkRpc *self)
{
  const char *name = afork_runtime_get_name (afork_process_get_runtime (self->process));
  g_autofree char *usual = g_strdup_printf ("template %s", name);

  if (g_strcmp0 (afork_process_get_title (self->process), usual) == 0)
    afork_process_set_title (self->process, self->function);
}

/* Makes the link to the worker, which runs the process. */
static void
start (AForkRpc *self)
{
  const gboolean can_pass_fds =
    afork_runtime_get_can_pass_fds (afork_process_get_runtime (self->process));
  const AForkRpcCallsSetup setup = {
    .function = self->function,
    .init_function = self->init_function,
    .done_function = self->done_function,
    .concurrent = self->concurrent,
    .trusted = self->trusted,
    .can_pass_fds = can_pass_fds,
  };

  /* A process that was run before is left alone, and calls fail with that reason. */
  if (_afork_process_can_prepare (self->process))
    {
      set_title (self);
      if (self->die_with_parent && can_pass_fds)
        afork_process_set_die_with_parent (self->process, TRUE);
    }
  set_state (self, AFORK_RPC_STATE_OPEN);
  self->link = _afork_worker_link_new (self->process, self->forward_stderr, &link_events, self);
  _afork_rpc_calls_set_link (&self->calls, self->link, &setup);
}

static void
afork_rpc_constructed (GObject *object)
{
  AForkRpc *self = AFORK_RPC (object);
  g_autoptr(AForkContext) context = NULL;
  g_autoptr(AForkHold) of_process = NULL;
  g_autoptr(AForkHold) hold = NULL;
  GError *error = NULL;

  G_OBJECT_CLASS (afork_rpc_parent_class)->constructed (object);
  if (self->process == NULL || self->function == NULL)
    {
      g_critical ("Calls need a process and a function to be made to");
      refuse (self, g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                         _("Calls need a process and a function to be made to")));
      return;
    }
  if (!_afork_main_context_ensure_default (&error))
    {
      refuse (self, error);
      return;
    }

  context = _afork_context_ref_thread_default ();
  of_process = _afork_context_hold (_afork_process_get_context (self->process));
  hold = of_process != NULL ? _afork_context_add_object (context) : NULL;
  if (hold == NULL)
    {
      refuse_context (self);
      return;
    }

  self->context = g_steal_pointer (&context);
  start (self);
}

/* What the object releases when it is disposed of. */
typedef struct
{
  AForkWorkerLink *link;
  gboolean         has_unanswered;
} Released;

static void
release_cb (gpointer data)
{
  Released *released = data;

  _afork_worker_link_forget (released->link, released->has_unanswered);
  _afork_worker_link_unref (released->link);
  g_free (released);
}

/* Drops the link while the context is held, because another thread may be using the link. The
 * reference moves along, so that this thread does not drop the last one. */
static void
release (AForkRpc *self)
{
  AForkWorkerLink *link = g_steal_pointer (&self->link);
  Released *released;

  _afork_rpc_calls_unset_link (&self->calls);
  /* In a fork of the program, the parent's copy is the one that counts. */
  if (_afork_context_is_inherited (self->context))
    return;

  released = g_new0 (Released, 1);
  released->link = link;
  released->has_unanswered = _afork_rpc_calls_has_unanswered (&self->calls);
  _afork_context_run (self->context, release_cb, released);
}

static void
afork_rpc_dispose (GObject *object)
{
  AForkRpc *self = AFORK_RPC (object);

  /* Calls hold references to the object, so none are left unless a caller runs dispose. The worker
   * may still be at calls that have ended here. */
  if (self->link != NULL)
    {
      release (self);
      close_disposed (self);
    }
  g_clear_object (&self->process);
  G_OBJECT_CLASS (afork_rpc_parent_class)->dispose (object);
}

static void
afork_rpc_finalize (GObject *object)
{
  AForkRpc *self = AFORK_RPC (object);

  g_clear_pointer (&self->pending_end, _afork_waiter_end);
  _afork_rpc_calls_clear (&self->calls);
  if (self->state != AFORK_RPC_STATE_REFUSED)
    _afork_context_remove_object (self->context);
  _afork_context_unref (self->context);
  g_clear_error (&self->failure);
  g_free (self->function);
  for (guint i = 0; i < G_N_ELEMENTS (self->addresses); i++)
    g_free (self->addresses[i]);
  g_free (self->init_function);
  g_free (self->done_function);
  G_OBJECT_CLASS (afork_rpc_parent_class)->finalize (object);
}

static void
afork_rpc_get_property (GObject    *object,
                        guint       id,
                        GValue     *value,
                        GParamSpec *pspec)
{
  AForkRpc *self = AFORK_RPC (object);

  switch (id)
    {
    case PROP_CONCURRENT:
      g_value_set_boolean (value, self->concurrent);
      break;
    case PROP_DIE_WITH_PARENT:
      g_value_set_boolean (value, self->die_with_parent);
      break;
    case PROP_DONE_FUNCTION:
      g_value_set_string (value, self->done_function);
      break;
    case PROP_FORWARD_STDERR:
      g_value_set_boolean (value, self->forward_stderr);
      break;
    case PROP_FUNCTION:
      g_value_set_string (value, self->function);
      break;
    case PROP_INIT_FUNCTION:
      g_value_set_string (value, self->init_function);
      break;
    case PROP_MAX_IN_FLIGHT:
      g_value_set_uint (value, self->calls.max_in_flight);
      break;
    case PROP_PROCESS:
      g_value_set_object (value, self->process);
      break;
    case PROP_TRUSTED:
      g_value_set_boolean (value, self->trusted);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_rpc_set_property (GObject      *object,
                        guint         id,
                        const GValue *value,
                        GParamSpec   *pspec)
{
  AForkRpc *self = AFORK_RPC (object);

  switch (id)
    {
    case PROP_CONCURRENT:
      self->concurrent = g_value_get_boolean (value);
      break;
    case PROP_DIE_WITH_PARENT:
      self->die_with_parent = g_value_get_boolean (value);
      break;
    case PROP_DONE_FUNCTION:
      self->done_function = g_value_dup_string (value);
      break;
    case PROP_FORWARD_STDERR:
      self->forward_stderr = g_value_get_boolean (value);
      break;
    case PROP_FUNCTION:
      self->function = g_value_dup_string (value);
      break;
    case PROP_INIT_FUNCTION:
      self->init_function = g_value_dup_string (value);
      break;
    case PROP_MAX_IN_FLIGHT:
      afork_rpc_set_max_in_flight (self, g_value_get_uint (value));
      break;
    case PROP_PROCESS:
      self->process = g_value_dup_object (value);
      break;
    case PROP_TRUSTED:
      self->trusted = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_rpc_class_init (AForkRpcClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = afork_rpc_constructed;
  object_class->dispose = afork_rpc_dispose;
  object_class->finalize = afork_rpc_finalize;
  object_class->get_property = afork_rpc_get_property;
  object_class->set_property = afork_rpc_set_property;

  /* A worker's errors are recognized by domains that are registered here. */
  (void) AFORK_ERROR;
  (void) G_IO_ERROR;

  /**
   * AForkRpc:concurrent: (getter get_concurrent)
   *
   * Whether the worker serves many calls at a time: its function is then an
   * [callback@AFork.ConcurrentCallFunc], and calls end in any order.
   *
   * Since: 0.1
   */
  props[PROP_CONCURRENT] =
    g_param_spec_boolean ("concurrent", NULL, NULL,
                          FALSE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:die-with-parent: (getter get_die_with_parent)
   *
   * Whether [property@AFork.Process:die-with-parent] is set for the worker. Without effect if the
   * worker's runtime cannot pass descriptors: see [property@AFork.Runtime:can-pass-fds].
   *
   * Since: 0.1
   */
  props[PROP_DIE_WITH_PARENT] =
    g_param_spec_boolean ("die-with-parent", NULL, NULL,
                          TRUE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:done-function: (getter get_done_function)
   *
   * A function that the worker calls when all calls are answered and no more will come, an
   * [callback@AFork.CallDoneFunc], or `NULL`. It may take as long as it needs, unless the last
   * reference to the object is dropped.
   *
   * Since: 0.1
   */
  props[PROP_DONE_FUNCTION] =
    g_param_spec_string ("done-function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:forward-stderr: (getter get_forward_stderr)
   *
   * Whether the standard error output of the worker and its children is forwarded to that of this
   * program. The end of it is kept in any case, for the errors of calls.
   *
   * This program never waits for its own output. While that has no room, up to 64 KiB of text are
   * kept, and the worker waits. After one second without room, text is dropped, and the worker goes
   * on. See [Calls](calls.html#what-went-wrong).
   *
   * Since: 0.1
   */
  props[PROP_FORWARD_STDERR] =
    g_param_spec_boolean ("forward-stderr", NULL, NULL,
                          TRUE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:function: (getter get_function)
   *
   * The function that answers calls, named as for [method@AFork.Process.call].
   *
   * Since: 0.1
   */
  props[PROP_FUNCTION] =
    g_param_spec_string ("function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:init-function: (getter get_init_function)
   *
   * A function that the worker calls before it serves calls, an [callback@AFork.CallInitFunc],
   * which gets what was queued for the process; or `NULL`. If it fails, all calls fail with its
   * error.
   *
   * Since: 0.1
   */
  props[PROP_INIT_FUNCTION] =
    g_param_spec_string ("init-function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:max-in-flight: (getter get_max_in_flight) (setter set_max_in_flight)
   *
   * How many calls the worker has at a time. More calls wait in this program. With
   * [property@AFork.Rpc:concurrent], this is how many calls the worker serves at a time.
   *
   * Since: 0.1
   */
  props[PROP_MAX_IN_FLIGHT] =
    g_param_spec_uint ("max-in-flight", NULL, NULL,
                       1, MAX_MAX_IN_FLIGHT, DEFAULT_MAX_IN_FLIGHT,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:process: (getter get_process)
   *
   * The process of the worker. It must not have been run when the object is made.
   *
   * Since: 0.1
   */
  props[PROP_PROCESS] =
    g_param_spec_object ("process", NULL, NULL,
                         AFORK_TYPE_PROCESS,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:trusted: (getter get_trusted)
   *
   * Whether the worker may send blobs in memory that it can still write to.
   *
   * Large blobs of a trusted worker arrive in memory that it uses again and again, which is fast.
   * If the worker does not keep to the protocol, it can change them while they are read. Set this
   * to false for a worker that an attacker may take over, such as one that parses untrusted
   * files: its blobs are then copied, or arrive in memory that no process can change any more.
   * In both cases the whole blob can be read, whatever the worker does.
   *
   * Since: 0.1
   */
  props[PROP_TRUSTED] =
    g_param_spec_boolean ("trusted", NULL, NULL,
                          TRUE,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AForkRpc::closed:
   * @self: the object
   *
   * Emitted once, after the worker and all calls have ended.
   *
   * Since: 0.1
   */
  signals[SIGNAL_CLOSED] =
    g_signal_new ("closed", AFORK_TYPE_RPC, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 0);

  /**
   * AForkRpc::event:
   * @self: the object
   * @event: the value that the worker emitted
   *
   * Emitted for each [func@AFork.worker_emit] of the worker, in order with its answers.
   *
   * Since: 0.1
   */
  signals[SIGNAL_EVENT] =
    g_signal_new ("event", AFORK_TYPE_RPC, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_VARIANT);
}

static void
afork_rpc_init (AForkRpc *self)
{
  _afork_rpc_calls_init (&self->calls, G_OBJECT (self), &calls_funcs);
  self->calls.max_in_flight = DEFAULT_MAX_IN_FLIGHT;
}

/* Making calls. */

/* Why no call can be accepted, or NULL. */
static GError *
find_obstacle (AForkRpc *self)
{
  if (self->failure != NULL)
    return g_error_copy (self->failure);
  if (self->state != AFORK_RPC_STATE_OPEN)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED, _("The worker of “%s” has been closed"),
                        self->function);
  return NULL;
}

/* Takes CALL. */
static void
accept (AForkRpc         *self,
        AForkPendingCall *call)
{
  GError *error = NULL;
  g_autoptr(AForkHold) hold = hold_context (self, &error);

  if (hold != NULL)
    error = find_obstacle (self);
  if (error == NULL && _afork_pending_call_is_cancelled (call))
    error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
  if (error != NULL)
    {
      _afork_pending_call_fail (call, error);
      g_object_unref (call);
      return;
    }

  _afork_rpc_calls_add (&self->calls, call);
}

/* For an object of the library that owns this. */

void
_afork_rpc_set_owner (AForkRpc                 *self,
                      const AForkRpcOwnerFuncs *funcs,
                      gpointer                  data)
{
  self->owner_funcs = funcs;
  self->owner_data = data;
}

gboolean
_afork_rpc_run_call (AForkRpc         *self,
                     AForkPendingCall *call)
{
  if (self->failure != NULL || self->state != AFORK_RPC_STATE_OPEN)
    return FALSE;

  _afork_rpc_calls_add (&self->calls, g_object_ref (call));
  return TRUE;
}

void
_afork_rpc_begin_close (AForkRpc *self)
{
  if (self->state != AFORK_RPC_STATE_OPEN)
    return;

  set_state (self, AFORK_RPC_STATE_CLOSING);
  _afork_rpc_calls_close (&self->calls);
}

const GError *
_afork_rpc_get_failure (AForkRpc *self)
{
  return self->failure;
}

void
_afork_rpc_get_traffic (AForkRpc *self,
                        guint64  *n_sent,
                        guint64  *n_received)
{
  *n_sent = 0;
  *n_received = 0;
  if (self->link != NULL)
    _afork_worker_link_get_traffic (self->link, n_sent, n_received);
}

struct _AForkRpcLoan
{
  AForkRpc        *rpc;
  AForkWorkerLink *link;
  AForkContext    *context;     /* the link's context before */
  GArray          *borrowed;    /* of AForkBorrowedClient */
};

AForkRpcLoan *
_afork_rpc_borrow (AForkRpc *self)
{
  g_autoptr(AForkContext) context = _afork_context_ref_thread_default ();
  AForkRpcLoan *loan;

  if (self->link == NULL)
    return NULL;

  loan = g_new0 (AForkRpcLoan, 1);
  loan->rpc = g_object_ref (self);
  loan->link = _afork_worker_link_ref (self->link);
  loan->context = _afork_context_ref (_afork_worker_link_get_context (self->link));
  loan->borrowed = _afork_client_borrow (_afork_process_get_client (self->process),
                                         _afork_get_thread_context ());
  _afork_worker_link_set_context (self->link, context);
  move_pending (self);
  return loan;
}

void
_afork_rpc_give_back (AForkRpcLoan *loan)
{
  if (loan == NULL)
    return;

  _afork_client_give_back (loan->borrowed);
  _afork_worker_link_set_context (loan->link, loan->context);
  move_pending (loan->rpc);
  _afork_worker_link_unref (loan->link);
  _afork_context_unref (loan->context);
  g_object_unref (loan->rpc);
  g_free (loan);
}

/* Runs JOB. A job that was run before fails, and keeps the result of its first run. */
static void
run_job (AForkRpc            *self,
         AForkJob            *job,
         GCancellable        *cancellable,
         GAsyncReadyCallback  callback,
         gpointer             user_data)
{
  const gboolean is_new = afork_job_get_state (job) == AFORK_JOB_STATE_NEW;
  AForkPendingCall *call;

  call = _afork_pending_call_new (G_OBJECT (self), afork_rpc_run_job_async,
                                  afork_job_get_args (job), is_new ? job : NULL,
                                  cancellable, callback, user_data);
  if (is_new)
    {
      accept (self, call);
      return;
    }

  _afork_pending_call_fail (call, g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                               _("The job was run already")));
  g_object_unref (call);
}

/**
 * afork_rpc_new:
 * @process: a process that was not run
 * @function: a function of a module that it has loaded or will have, named as for
 *   [method@AFork.Process.call]
 *
 * Runs @process, in which @function then answers calls, one after the other. For other options, see
 * the properties.
 *
 * If @process was run, executed or detached before, the object does nothing to it, and calls fail
 * with `AFORK_ERROR_CLOSED`.
 *
 * Returns: (transfer full): an RPC object
 *
 * Since: 0.1
 */
AForkRpc *
afork_rpc_new (AForkProcess *process,
               const char   *function)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (process), NULL);
  g_return_val_if_fail (function != NULL, NULL);

  return g_object_new (AFORK_TYPE_RPC, "process", process, "function", function, NULL);
}

void
_afork_rpc_set_funcs (AForkRpc          *self,
                      AForkCallFunc      func,
                      AForkCallInitFunc  init_func,
                      AForkCallDoneFunc  done_func)
{
  self->addresses[0] = _afork_process_describe_func ((gconstpointer) func);
  self->addresses[1] = _afork_process_describe_func ((gconstpointer) init_func);
  self->addresses[2] = _afork_process_describe_func ((gconstpointer) done_func);
  _afork_rpc_calls_set_functions (&self->calls, self->addresses[0], self->addresses[1],
                                  self->addresses[2]);
}

/**
 * afork_rpc_new_for_func: (skip)
 * @process: (nullable): a process that was not run, or `NULL` for a new process of
 *   [func@AFork.Runtime.get_self]
 * @func: a function of this program, or of a shared object that is loaded; it need not be
 *   exported, and may be static
 *
 * Does what [ctor@AFork.Rpc.new] does, with the address of a function instead of a name. So a
 * program can have a worker call one of its own functions, without a module. If @process is `NULL`,
 * the program must have called [func@AFork.init].
 *
 * The process must have the program or shared object that contains the function, as for
 * [method@AFork.Process.run_func_async]. If it does not, or if that has no build ID, all calls fail
 * with `AFORK_ERROR_FUNCTION`. [property@AFork.Rpc:function] is the name of the function if it is
 * exported, or else its object and offset.
 *
 * Returns: (transfer full): an RPC object
 *
 * Since: 0.1
 */
AForkRpc *
afork_rpc_new_for_func (AForkProcess  *process,
                        AForkCallFunc  func)
{
  return afork_rpc_new_for_funcs (process, func, NULL, NULL);
}

/**
 * afork_rpc_new_for_funcs: (skip)
 * @process: (nullable): a process, as for [ctor@AFork.Rpc.new_for_func]
 * @func: a function, as there
 * @init_func: (nullable): what the worker calls before the first call, as for
 *   [property@AFork.Rpc:init-function], or `NULL`
 * @done_func: (nullable): what the worker calls last, as for [property@AFork.Rpc:done-function], or
 *   `NULL`
 *
 * Does what [ctor@AFork.Rpc.new_for_func] does, and gives all functions of the worker by address.
 * The properties [property@AFork.Rpc:init-function] and [property@AFork.Rpc:done-function] are then
 * their names, as [property@AFork.Rpc:function] is.
 *
 * Returns: (transfer full): an RPC object
 *
 * Since: 0.1
 */
AForkRpc *
afork_rpc_new_for_funcs (AForkProcess      *process,
                         AForkCallFunc      func,
                         AForkCallInitFunc  init_func,
                         AForkCallDoneFunc  done_func)
{
  g_autoptr(AForkProcess) own = NULL;
  g_autofree char *name = _afork_process_name_func ((gconstpointer) func);
  g_autofree char *init_name = _afork_process_name_func ((gconstpointer) init_func);
  g_autofree char *done_name = _afork_process_name_func ((gconstpointer) done_func);
  AForkRpc *self;

  g_return_val_if_fail (process == NULL || AFORK_IS_PROCESS (process), NULL);
  g_return_val_if_fail (func != NULL, NULL);

  if (process == NULL)
    process = own = afork_process_new_for_runtime (afork_runtime_get_self ());
  self = g_object_new (AFORK_TYPE_RPC,
                       "process", process,
                       "function", name,
                       "init-function", init_name,
                       "done-function", done_name,
                       NULL);
  _afork_rpc_set_funcs (self, func, init_func, done_func);
  return self;
}

/**
 * afork_rpc_call_async:
 * @self: an RPC object
 * @args: (nullable): arguments, any value up to 1 GiB; a floating one is taken, and `NULL` is `()`
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls the worker's function. Does not block: the call is sent when the main context is iterated,
 * together with all other calls made until then.
 *
 * Cancelling the call ends it at once. The worker does not begin with it; or if it has begun,
 * [method@AFork.Call.get_cancellable] is cancelled there.
 *
 * Since: 0.1
 */
void
afork_rpc_call_async (AForkRpc            *self,
                      GVariant            *args,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  accept (self, _afork_pending_call_new (G_OBJECT (self), afork_rpc_call_async,
                                         args, NULL,
                                         cancellable, callback, user_data));
}

/**
 * afork_rpc_call_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], a [error@Gio.IOErrorEnum], or an error of the
 *   worker's function
 *
 * Returns the answer, or fails:
 *
 * - with the error of the worker's function, or with `AFORK_ERROR_FAILED` if this program does not
 *   know the domain of that error
 * - with `G_IO_ERROR_CANCELLED` if the call was cancelled before it was answered
 * - with `AFORK_ERROR_CLOSED` if the call was made after [method@AFork.Rpc.close_async]
 * - with `G_IO_ERROR_MESSAGE_TOO_LARGE` if the arguments or the result are larger than 1 GiB
 * - with an error that [class@AFork.Rpc] lists if there can be no answer any more; all calls that
 *   are not answered by then, or are made later, have the same error
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_call_finish (AForkRpc      *self,
                       GAsyncResult  *result,
                       GError       **error)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (_afork_pending_call_is_result (result, self, afork_rpc_call_async), NULL);
  g_return_val_if_fail (_afork_pending_call_has_end (result), NULL);

  return _afork_pending_call_propagate (result, error);
}

/**
 * afork_rpc_call:
 * @self: an RPC object
 * @args: (nullable): arguments, as for [method@AFork.Rpc.call_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.call_finish] has it
 *
 * Blocking version of [method@AFork.Rpc.call_async]. While this function waits, the worker's events
 * are emitted, and no other source of the program is dispatched. If there are too few descriptors
 * left to wait with, fails with `G_IO_ERROR_TOO_MANY_OPEN_FILES`, as [method@AFork.Process.run]
 * does; then the call was not made.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_call (AForkRpc      *self,
                GVariant      *args,
                GCancellable  *cancellable,
                GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) owned = NULL;
  AForkRpcBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  owned = args != NULL ? g_variant_ref_sink (args) : NULL;
  if (!begin_blocking (self, &blocking, error))
    return NULL;

  afork_rpc_call_async (self, owned, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = end_blocking (self, &blocking);
  return afork_rpc_call_finish (self, result, error);
}

/**
 * afork_rpc_run_job_async:
 * @self: an RPC object
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls the worker's function with the arguments, descriptors and blobs of @job. Apart from that,
 * works like [method@AFork.Rpc.call_async]. [method@AFork.Job.cancel] also cancels the call.
 *
 * Since: 0.1
 */
void
afork_rpc_run_job_async (AForkRpc            *self,
                         AForkJob            *job,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (AFORK_IS_JOB (job));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  run_job (self, job, cancellable, callback, user_data);
}

/**
 * afork_rpc_run_job_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an error, as for [method@AFork.Rpc.call_finish]
 *
 * Returns the answer. The job has the descriptors and blobs that came with it. Fails like
 * [method@AFork.Rpc.call_finish]; also with `AFORK_ERROR_TIMED_OUT` if the job took longer than
 * [property@AFork.Job:timeout], and with `AFORK_ERROR_CLOSED` if the job was run before. A job that
 * is run again keeps its state and results.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_run_job_finish (AForkRpc      *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (_afork_pending_call_is_result (result, self, afork_rpc_run_job_async),
                        NULL);
  g_return_val_if_fail (_afork_pending_call_has_end (result), NULL);

  return _afork_pending_call_propagate (result, error);
}

/**
 * afork_rpc_run_job:
 * @self: an RPC object
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.run_job_finish] has it
 *
 * Blocking version of [method@AFork.Rpc.run_job_async]. Waits as [method@AFork.Rpc.call] does.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_run_job (AForkRpc      *self,
                   AForkJob      *job,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkRpcBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (AFORK_IS_JOB (job), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!begin_blocking (self, &blocking, error))
    return NULL;

  afork_rpc_run_job_async (self, job, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = end_blocking (self, &blocking);
  return afork_rpc_run_job_finish (self, result, error);
}

/**
 * afork_rpc_close_async:
 * @self: an RPC object
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the worker has ended
 * @user_data: data for @callback
 *
 * Lets the worker exit after all calls that were made until now. Later calls fail. May be called
 * more than once. @callback is called when the worker has ended. Cancelling only ends this wait.
 *
 * The worker is killed if it does not exit within five seconds after the last call has ended,
 * unless it has a [property@AFork.Rpc:done-function]. A worker with a done-function may take
 * as long as it needs; but it has five seconds, too, while it does not read its socket, or is still
 * at a call that was cancelled or took too long.
 *
 * Since: 0.1
 */
void
afork_rpc_close_async (AForkRpc            *self,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;
  g_autoptr(GError) error = NULL;

  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_name (task, "[afork] calls closed");
  g_task_set_source_tag (task, afork_rpc_close_async);
  hold = hold_context (self, &error);
  if (hold == NULL)
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  if (self->state == AFORK_RPC_STATE_OPEN)
    set_state (self, AFORK_RPC_STATE_CLOSING);
  g_task_set_check_cancellable (task, FALSE);
  if (self->state >= AFORK_RPC_STATE_CLOSED && !has_pending (self))
    {
      return_task (self, task);
      return;
    }

  /* The object is closed all the same; the caller only does not wait for it. */
  if (g_cancellable_is_cancelled (cancellable))
    _afork_task_return_cancelled (task);
  else
    _afork_task_queue_push (&self->close_tasks, task);
  if (!has_exited (self))
    _afork_rpc_calls_close (&self->calls);
}

/**
 * afork_rpc_close_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Checks whether the worker exited with status 0 after it was closed. If not, fails with the error
 * that calls fail with.
 *
 * Returns: true if the worker exited properly
 *
 * Since: 0.1
 */
gboolean
afork_rpc_close_finish (AForkRpc      *self,
                        GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_rpc_close_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * afork_rpc_close:
 * @self: an RPC object
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.close_finish] has it
 *
 * Blocking version of [method@AFork.Rpc.close_async]. Waits as [method@AFork.Rpc.call] does.
 *
 * Returns: true if the worker exited properly
 *
 * Since: 0.1
 */
gboolean
afork_rpc_close (AForkRpc      *self,
                 GCancellable  *cancellable,
                 GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkRpcBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (!begin_blocking (self, &blocking, error))
    return FALSE;

  afork_rpc_close_async (self, cancellable, _afork_blocking_call_cb, &blocking.base);
  result = end_blocking (self, &blocking);
  return afork_rpc_close_finish (self, result, error);
}

/**
 * afork_rpc_get_process: (get-property process)
 * @self: an RPC object
 *
 * Gets the process of the worker, as it was given when the object was made. Use it to read the pid
 * or the exit status, or to kill the worker by [method@AFork.Process.force_exit]. It cannot be
 * prepared or run any more.
 *
 * Returns: (transfer none): the worker
 *
 * Since: 0.1
 */
AForkProcess *
afork_rpc_get_process (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);

  return self->process;
}

/**
 * afork_rpc_get_function: (get-property function)
 * @self: an RPC object
 *
 * Gets the name of the function that serves the calls, as it was given when the object was made: a
 * symbol, or `MODULE:SYMBOL`.
 *
 * Returns: (transfer none): its name
 *
 * Since: 0.1
 */
const char *
afork_rpc_get_function (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);

  return self->function;
}

/**
 * afork_rpc_get_init_function: (get-property init-function)
 * @self: an RPC object
 *
 * Gets the name of the function that the worker calls before it serves calls, an
 * [callback@AFork.CallInitFunc].
 *
 * Returns: (transfer none) (nullable): its name, or `NULL`
 *
 * Since: 0.1
 */
const char *
afork_rpc_get_init_function (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);

  return self->init_function;
}

/**
 * afork_rpc_get_done_function: (get-property done-function)
 * @self: an RPC object
 *
 * Gets the name of the function that the worker calls when all calls have ended and no more will
 * come, an [callback@AFork.CallDoneFunc].
 *
 * Returns: (transfer none) (nullable): its name, or `NULL`
 *
 * Since: 0.1
 */
const char *
afork_rpc_get_done_function (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);

  return self->done_function;
}

/**
 * afork_rpc_get_concurrent: (get-property concurrent)
 * @self: an RPC object
 *
 * Returns whether the worker's function is an [callback@AFork.ConcurrentCallFunc], which serves
 * many calls at a time. Otherwise it is an [callback@AFork.CallFunc], which serves one call after
 * the other.
 *
 * Returns: whether the worker serves many calls at a time
 *
 * Since: 0.1
 */
gboolean
afork_rpc_get_concurrent (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);

  return self->concurrent;
}

/**
 * afork_rpc_get_die_with_parent: (get-property die-with-parent)
 * @self: an RPC object
 *
 * Gets whether the worker exits when this program exits.
 *
 * Returns: true if it does
 *
 * Since: 0.1
 */
gboolean
afork_rpc_get_die_with_parent (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);

  return self->die_with_parent;
}

/**
 * afork_rpc_get_forward_stderr: (get-property forward-stderr)
 * @self: an RPC object
 *
 * Gets whether the standard error output of the worker is forwarded to that of this program.
 *
 * Returns: true if it is forwarded
 *
 * Since: 0.1
 */
gboolean
afork_rpc_get_forward_stderr (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);

  return self->forward_stderr;
}

/**
 * afork_rpc_get_trusted: (get-property trusted)
 * @self: an RPC object
 *
 * Gets whether the worker may send blobs in memory that it can still write to.
 *
 * Returns: true if it may
 *
 * Since: 0.1
 */
gboolean
afork_rpc_get_trusted (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);

  return self->trusted;
}

/**
 * afork_rpc_get_max_in_flight: (get-property max-in-flight)
 * @self: an RPC object
 *
 * Gets how many calls are with the worker at a time. Further calls wait in this program, in the
 * order in which they were made.
 *
 * Returns: a number of calls
 *
 * Since: 0.1
 */
guint
afork_rpc_get_max_in_flight (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), 0);

  return self->calls.max_in_flight;
}

/**
 * afork_rpc_set_max_in_flight: (set-property max-in-flight)
 * @self: an RPC object
 * @max_in_flight: a number of calls, 1 to 65535; another one counts as the nearest of these
 *
 * Sets how many calls are with the worker at a time. Further calls wait in this program. With a
 * larger number, waiting calls are sent at once. With a smaller one, calls that the worker has stay
 * there, and no more are sent until there are fewer.
 *
 * With [property@AFork.Rpc:concurrent], this is how many calls the worker serves at a time. Without
 * it, this is how many calls the worker finds in its socket when it has finished one.
 *
 * Since: 0.1
 */
void
afork_rpc_set_max_in_flight (AForkRpc *self,
                             guint     max_in_flight)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_RPC (self));

  /* No other thread has the object while it is constructed. */
  if (self->context != NULL && (hold = hold_context (self, NULL)) == NULL)
    {
      if (!_afork_context_is_inherited (self->context))
        g_critical ("An object for calls belongs to a main context that another thread uses");
      return;
    }

  max_in_flight = CLAMP (max_in_flight, 1, MAX_MAX_IN_FLIGHT);
  if (self->calls.max_in_flight == max_in_flight)
    return;

  g_object_ref (self);
  self->calls.max_in_flight = max_in_flight;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MAX_IN_FLIGHT]);
  _afork_rpc_calls_send_waiting (&self->calls);
  g_object_unref (self);
}
