/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-rpc.h"

#include "afork-blocking-private.h"
#include "afork-cancel-watch-private.h"
#include "afork-error.h"
#include "afork-i18n-private.h"
#include "afork-job-private.h"
#include "afork-process-private.h"
#include "afork-rpc-link-private.h"
#include "afork-runtime.h"
#include "afork-task-private.h"

enum
{
  DEFAULT_MAX_IN_FLIGHT = 64,
  MAX_MAX_IN_FLIGHT = 65535,
  /* With more than this gathered for the worker, calls wait as what they are. */
  MAX_UNSENT = 1024 * 1024,
};

/**
 * AForkRpc:
 *
 * Calls to one worker.
 *
 * An RPC object takes a process that was not run, runs it, and has a function of it answer calls:
 *
 * ```c
 * AForkProcess *process = afork_process_require (afork_process_new (), "resize");
 * AForkRpc *rpc = afork_rpc_new (process, "resize_image");
 *
 * afork_rpc_call_async (rpc, g_variant_new ("(su)", path, 256), NULL, resized_cb, NULL);
 * ```
 *
 * The function is in a module that is linked with the library, and is an [callback@AFork.CallFunc],
 * which answers one call after the other, or if [property@AFork.Rpc:concurrent] is set an
 * [callback@AFork.ConcurrentCallFunc]. Calls can be made at once: they wait until the worker is
 * there.
 *
 * Every call that was accepted ends exactly once: with the function's result, with its error, or
 * with why there will be none. If the worker ends too early that is `AFORK_ERROR_EXITED`,
 * `AFORK_ERROR_SIGNALED`, `AFORK_ERROR_OUT_OF_MEMORY` or `AFORK_ERROR_LOST`, with what it last
 * wrote to its standard error output; if it could not be run, an error of
 * [method@AFork.Process.run_finish]; if it sent what it may not, `AFORK_ERROR_PROTOCOL`, and it was
 * killed.
 *
 * What the worker reports, emits and answers arrives in the order in which it did that.
 *
 * When the last reference to the object goes, there are no calls left: a call that has not ended
 * has one. The worker then ends. [method@AFork.Rpc.close_async] does it earlier, and tells when.
 *
 * The worker also ends when this program does, by whatever means, in the middle of a call: see
 * [property@AFork.Process:die-with-parent].
 *
 * An RPC object is used in the thread in which it was made, and calls its callbacks there, from the
 * thread-default main context of then.
 *
 * Since: 0.1
 */
struct _AForkRpc
{
  GObject        parent_instance;

  AForkProcess  *process;
  char          *function;
  char          *init_function;
  char          *done_function;
  gboolean       concurrent;
  gboolean       die_with_parent;
  gboolean       forward_stderr;
  gboolean       trusted;
  guint          max_in_flight;

  AForkRpcLink  *link;
  gboolean       set_up;          /* SETUP has been sent */
  gboolean       started;         /* the worker has said that it serves */
  GQueue         waiting;         /* of Call: not sent yet */
  GHashTable    *in_flight;       /* of number to Call: sent, and not answered by the worker */
  guint          n_in_flight;     /* … those of them that have not ended here */
  guint32        last_number;

  gboolean       closing;
  gboolean       ended;
  GError        *failure;         /* why no call can be answered any more, or NULL */
  GPtrArray     *close_tasks;     /* of GTask */
};

typedef struct
{
  guint32           number;        /* 0 until it is sent */
  GTask            *task;          /* NULL once it has ended here; the worker goes unheard then */
  GVariant         *args;
  AForkJob         *job;           /* or NULL */
  AForkCancelWatch *cancelled;     /* or NULL */
  AForkCancelWatch *job_cancelled; /* or NULL */
  GSource          *timeout;       /* or NULL */
} Call;

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

static const AForkRpcLinkEvents link_events;

G_DEFINE_FINAL_TYPE (AForkRpc, afork_rpc, G_TYPE_OBJECT)

/* Calls. */

static void
clear_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
call_clear_sources (Call *call)
{
  g_clear_pointer (&call->cancelled, _afork_cancel_watch_end);
  g_clear_pointer (&call->job_cancelled, _afork_cancel_watch_end);
  clear_source (&call->timeout);
}

static void
call_free (gpointer data)
{
  Call *call = data;

  g_assert (call->task == NULL);
  call_clear_sources (call);
  g_variant_unref (call->args);
  g_clear_object (&call->job);
  g_free (call);
}

/* Ends CALL here, with VALUE or ERROR, both of which are taken. Its callback may do anything. */
static void
call_end (Call     *call,
          GVariant *value,
          GError   *error)
{
  g_autoptr(GTask) task = g_steal_pointer (&call->task);
  g_autoptr(AForkJob) job = g_steal_pointer (&call->job);

  call_clear_sources (call);
  if (job != NULL)
    _afork_job_set_state (job, error == NULL ? AFORK_JOB_STATE_SUCCEEDED : AFORK_JOB_STATE_FAILED);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, value, (GDestroyNotify) g_variant_unref);
}

/* The worker is to stop, or not to begin. It answers all the same. */
static void
send_cancel (AForkRpc *self,
             Call     *call)
{
  const AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_CANCEL, .number = call->number };
  AForkCallStream *stream = _afork_rpc_link_get_stream (self->link);

  if (stream != NULL)
    _afork_call_stream_send (stream, &frame);
}

static void send_waiting (AForkRpc *self);

/* Ends CALL before the worker has answered it, with ERROR, which is taken. */
static void
abandon (Call   *call,
         GError *error)
{
  g_autoptr(AForkRpc) self = g_object_ref (g_task_get_source_object (call->task));

  if (call->number != 0)
    {
      if (g_hash_table_contains (self->in_flight, GUINT_TO_POINTER (call->number)))
        self->n_in_flight--;
      send_cancel (self, call);
      call_end (call, NULL, error);
      send_waiting (self);
      return;
    }

  g_queue_remove (&self->waiting, call);
  call_end (call, NULL, error);
  call_free (call);
  send_waiting (self);
}

static void
cancelled_cb (gpointer data)
{
  abandon (data, g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled")));
}

static gboolean
timed_out_cb (gpointer data)
{
  Call *call = data;

  abandon (call, g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                              _("The job took longer than %u ms"),
                              afork_job_get_timeout (call->job)));
  return G_SOURCE_REMOVE;
}

static AForkCancelWatch *
watch_cancellable (Call         *call,
                   GCancellable *cancellable)
{
  if (cancellable == NULL)
    return NULL;

  return _afork_cancel_watch_new (cancellable, g_task_get_context (call->task), cancelled_cb, call,
                                  NULL);
}

static void
start_timeout (Call *call)
{
  guint timeout = afork_job_get_timeout (call->job);

  if (timeout == 0 || call->timeout != NULL)
    return;

  call->timeout = g_timeout_source_new (timeout);
  g_source_set_static_name (call->timeout, "[afork] job's time limit");
  g_source_set_callback (call->timeout, timed_out_cb, call, NULL);
  g_source_attach (call->timeout, g_task_get_context (call->task));
}

/* Sending. */

static guint32
new_number (AForkRpc *self)
{
  do
    self->last_number++;
  while (self->last_number == 0
         || g_hash_table_contains (self->in_flight, GUINT_TO_POINTER (self->last_number)));

  return self->last_number;
}

static void
send_setup (AForkRpc        *self,
            AForkCallStream *stream)
{
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_SETUP,
    .flags = (self->concurrent ? AFORK_CALL_FRAME_CONCURRENT : 0)
      | (self->trusted ? 0 : AFORK_CALL_FRAME_UNTRUSTED),
    .number = AFORK_CALL_WIRE_VERSION,
    .string = {
      self->function,
      self->init_function != NULL ? self->init_function : "",
      self->done_function != NULL ? self->done_function : "",
    },
  };

  if (self->trusted)
    _afork_call_stream_accept_segments (stream);
  _afork_call_stream_send (stream, &frame);
  self->set_up = TRUE;
}

/* Gathers CALL, or ends it because it cannot be sent. */
static void
send_call (AForkRpc        *self,
           AForkCallStream *stream,
           Call            *call)
{
  g_autoptr(GError) error = NULL;
  guint32 number = new_number (self);
  gboolean sent;

  sent = _afork_call_stream_send_value (stream, AFORK_CALL_FRAME_CALL,
                                        call->job != NULL ? AFORK_CALL_FRAME_TELL_BEGIN : 0, number,
                                        call->args,
                                        call->job != NULL ? afork_job_get_fds (call->job) : NULL,
                                        call->job != NULL ? _afork_job_get_blobs (call->job) : NULL,
                                        &error);
  if (!sent)
    {
      call_end (call, NULL, g_steal_pointer (&error));
      call_free (call);
      return;
    }

  call->number = number;
  self->n_in_flight++;
  g_hash_table_insert (self->in_flight, GUINT_TO_POINTER (number), call);
}

/* Sends as many calls as the worker is to have at a time. */
static void
send_waiting (AForkRpc *self)
{
  AForkCallStream *stream = _afork_rpc_link_get_stream (self->link);

  if (stream == NULL)
    return;

  if (!self->set_up)
    send_setup (self, stream);
  while (!g_queue_is_empty (&self->waiting)
         && self->n_in_flight < self->max_in_flight
         && _afork_call_stream_get_unsent (stream) < MAX_UNSENT)
    send_call (self, stream, g_queue_pop_head (&self->waiting));

  /* Until then there may be something to be cancelled. */
  if (self->closing && g_queue_is_empty (&self->waiting) && self->n_in_flight == 0)
    _afork_rpc_link_close (self->link);
}

/* What the worker sends. */

static gboolean
breach (GError     **error,
        const char  *what,
        guint32      number)
{
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
               _("The worker does not keep to the protocol: it sent %s for call %u"), what, number);
  return FALSE;
}

/* An error of the worker's, in this program's terms. Its text is one, whatever has come. */
static GError *
import_error (AForkCallMessage *message)
{
  GQuark domain = g_quark_try_string (message->string[0]);
  g_autofree char *text = g_utf8_make_valid (message->string[1], -1);

  if (domain == 0)
    return g_error_new_literal (AFORK_ERROR, AFORK_ERROR_FAILED, text);
  return g_error_new_literal (domain, message->code, text);
}

/* In the order in which they were made; those that were not sent are last, and stay as they are. */
static int
compare_calls (gconstpointer a,
               gconstpointer b,
               gpointer      data)
{
  guint32 first = ((const Call *) a)->number - 1;
  guint32 second = ((const Call *) b)->number - 1;

  return first < second ? -1 : first > second;
}

/* Ends all calls with ERROR. */
static void
fail_calls (AForkRpc     *self,
            const GError *error)
{
  GHashTableIter iter;
  gpointer value;
  Call *call;

  /* A callback may make more calls, which fail at once, and so are none of these. */
  g_hash_table_iter_init (&iter, self->in_flight);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      g_hash_table_iter_steal (&iter);
      self->n_in_flight = 0;
      g_queue_push_head (&self->waiting, value);
    }
  g_queue_sort (&self->waiting, compare_calls, NULL);

  while ((call = g_queue_pop_head (&self->waiting)) != NULL)
    {
      if (call->task != NULL)
        call_end (call, NULL, g_error_copy (error));
      call_free (call);
    }
}

/* The worker cannot serve. It ends by itself. */
static gboolean
receive_refusal (AForkRpc          *self,
                 AForkCallMessage  *message,
                 GError           **error)
{
  if (self->started || self->failure != NULL)
    return breach (error, "a refusal", 0);

  self->failure = import_error (message);
  fail_calls (self, self->failure);
  return TRUE;
}

static gboolean
receive_answer (AForkRpc          *self,
                AForkCallMessage  *message,
                GError           **error)
{
  gpointer key = GUINT_TO_POINTER (message->number);
  Call *call = g_hash_table_lookup (self->in_flight, key);

  if (call == NULL || !self->started)
    return breach (error, "an answer", message->number);

  g_hash_table_steal (self->in_flight, key);
  if (call->task != NULL)
    self->n_in_flight--;
  if (call->task != NULL && message->kind == AFORK_CALL_FRAME_FAILED)
    call_end (call, NULL, import_error (message));
  else if (call->task != NULL)
    {
      if (call->job != NULL)
        _afork_job_set_results (call->job, message->fds, message->blobs);
      call_end (call, g_steal_pointer (&message->value), NULL);
    }

  call_free (call);
  send_waiting (self);
  return TRUE;
}

/* What belongs to a call that goes on. */
static gboolean
receive_news (AForkRpc          *self,
              AForkCallMessage  *message,
              GError           **error)
{
  Call *call = g_hash_table_lookup (self->in_flight, GUINT_TO_POINTER (message->number));
  g_autoptr(AForkJob) job = NULL;

  if (call == NULL || !self->started)
    return breach (error, afork_call_frame_kind_name (message->kind), message->number);
  if (call->job == NULL || call->task == NULL)
    return TRUE;

  job = g_object_ref (call->job);
  if (message->kind == AFORK_CALL_FRAME_PROGRESS)
    _afork_job_emit_progress (job, message->value);
  else if (afork_job_get_state (job) == AFORK_JOB_STATE_QUEUED)
    {
      start_timeout (call);
      _afork_job_set_state (job, AFORK_JOB_STATE_RUNNING);
    }
  return TRUE;
}

static gboolean
message_cb (AForkRpcLink      *link,
            AForkCallMessage  *message,
            gpointer           data,
            GError           **error)
{
  g_autoptr(AForkRpc) self = g_object_ref (data);

  switch (message->kind)
    {
    case AFORK_CALL_FRAME_STARTED:
      if (self->started)
        return breach (error, "STARTED", 0);
      self->started = TRUE;
      return TRUE;
    case AFORK_CALL_FRAME_EVENT:
      g_signal_emit (self, signals[SIGNAL_EVENT], 0, message->value);
      return TRUE;
    case AFORK_CALL_FRAME_FAILED:
      return message->number == 0 ? receive_refusal (self, message, error)
                                  : receive_answer (self, message, error);
    case AFORK_CALL_FRAME_RESULT:
      return receive_answer (self, message, error);
    case AFORK_CALL_FRAME_BEGUN:
    case AFORK_CALL_FRAME_PROGRESS:
      return receive_news (self, message, error);
    default:
      return breach (error, afork_call_frame_kind_name (message->kind), message->number);
    }
}

static void
room_cb (AForkRpcLink *link,
         gpointer      data)
{
  send_waiting (data);
}

/* The end. */

static void
close_cancelled_cb (gpointer data)
{
  g_autoptr(GTask) task = g_object_ref (data);
  AForkRpc *self = g_task_get_source_object (task);

  if (!g_ptr_array_remove (self->close_tasks, task))
    return;

  _afork_task_unwatch_cancellable (task);
  _afork_task_return_cancelled (task);
}

static void
add_close_task (AForkRpc *self,
                GTask    *task)
{
  g_task_set_check_cancellable (task, FALSE);
  _afork_task_watch_cancellable (task, close_cancelled_cb);
  g_ptr_array_add (self->close_tasks, g_object_ref (task));
}

static void
return_closed (AForkRpc *self)
{
  while (self->close_tasks->len > 0)
    {
      g_autoptr(GTask) task = g_ptr_array_steal_index (self->close_tasks, 0);

      _afork_task_unwatch_cancellable (task);
      if (self->failure != NULL)
        g_task_return_error (task, g_error_copy (self->failure));
      else
        g_task_return_boolean (task, TRUE);
    }
}

static void
ended_cb (AForkRpcLink *link,
          const GError *error,
          gpointer      data)
{
  g_autoptr(AForkRpc) self = g_object_ref (data);
  g_autoptr(GError) unanswered = NULL;

  if (self->failure == NULL && error != NULL)
    self->failure = g_error_copy (error);
  unanswered = self->failure != NULL
    ? g_error_copy (self->failure)
    : g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED, _("The worker exited without an answer"));
  self->ended = TRUE;

  fail_calls (self, unanswered);
  g_signal_emit (self, signals[SIGNAL_CLOSED], 0);
  return_closed (self);
}

static const AForkRpcLinkEvents link_events = {
  .room = room_cb,
  .message = message_cb,
  .ended = ended_cb,
};

/* The object. */

/* The usual title of a process that is run tells what is run. Here that is the same for all. */
static void
set_title (AForkRpc *self)
{
  const char *name = afork_runtime_get_name (afork_process_get_runtime (self->process));
  g_autofree char *usual = g_strdup_printf ("template %s", name);

  if (g_strcmp0 (afork_process_get_title (self->process), usual) == 0)
    afork_process_set_title (self->process, self->function);
}

static void
afork_rpc_constructed (GObject *object)
{
  AForkRpc *self = AFORK_RPC (object);

  G_OBJECT_CLASS (afork_rpc_parent_class)->constructed (object);
  g_return_if_fail (self->process != NULL);
  g_return_if_fail (self->function != NULL);

  set_title (self);
  if (self->die_with_parent)
    afork_process_set_die_with_parent (self->process, TRUE);
  self->link = _afork_rpc_link_new (self->process, self->forward_stderr, &link_events, self);
}

static void
afork_rpc_dispose (GObject *object)
{
  AForkRpc *self = AFORK_RPC (object);

  /* Calls keep the object, so there are none; what the worker still works on nobody waits for. */
  if (self->link != NULL)
    {
      _afork_rpc_link_forget (self->link);
      g_clear_pointer (&self->link, _afork_rpc_link_unref);
    }
  g_hash_table_remove_all (self->in_flight);
  g_clear_object (&self->process);
  G_OBJECT_CLASS (afork_rpc_parent_class)->dispose (object);
}

static void
afork_rpc_finalize (GObject *object)
{
  AForkRpc *self = AFORK_RPC (object);

  g_assert (g_queue_is_empty (&self->waiting));
  g_hash_table_unref (self->in_flight);
  g_ptr_array_unref (self->close_tasks);
  g_clear_error (&self->failure);
  g_free (self->function);
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
      g_value_set_uint (value, self->max_in_flight);
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
   * AForkRpc:die-with-parent:
   *
   * Whether [property@AFork.Process:die-with-parent] is set for the worker.
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
   * [callback@AFork.CallDoneFunc], or `NULL`.
   *
   * Since: 0.1
   */
  props[PROP_DONE_FUNCTION] =
    g_param_spec_string ("done-function", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:forward-stderr:
   *
   * Whether what the worker writes to its standard error output is passed on to this program's. The
   * end of it is kept in any case, for the errors of calls.
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
   * How many calls the worker is given at a time; more wait here. With
   * [property@AFork.Rpc:concurrent], how many it works on at a time.
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
   * The worker. Given when the object is made, a process that was not run.
   *
   * Since: 0.1
   */
  props[PROP_PROCESS] =
    g_param_spec_object ("process", NULL, NULL,
                         AFORK_TYPE_PROCESS,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkRpc:trusted:
   *
   * Whether the worker may answer with blobs in memory that it can write to as long as it wants.
   *
   * Large blobs of a worker that is trusted come in memory that it uses again and again, which is
   * fast; only its keeping to the protocol keeps them from changing while they are read. Set this
   * to false for a worker that works on what a stranger has sent, and may fall into his hands: its
   * blobs are then copied, or come in memory that nobody can change any more. In any case all of a
   * blob can be read, whatever the worker does.
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
   * Emitted once, when the worker has ended, after all calls have.
   *
   * Since: 0.1
   */
  signals[SIGNAL_CLOSED] =
    g_signal_new ("closed", AFORK_TYPE_RPC, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 0);

  /**
   * AForkRpc::event:
   * @self: the object
   * @event: what the worker tells
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
  self->max_in_flight = DEFAULT_MAX_IN_FLIGHT;
  g_queue_init (&self->waiting);
  self->in_flight = g_hash_table_new_full (NULL, NULL, NULL, call_free);
  self->close_tasks = g_ptr_array_new_with_free_func (g_object_unref);
}

/**
 * afork_rpc_new:
 * @process: a process that was not run
 * @function: a function of a module that it has loaded or will have, named as for
 *   [method@AFork.Process.call]
 *
 * Runs @process, to have calls answered by @function, one after the other. For other ways see the
 * properties.
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

/* Calling. */

/* Why no call can be accepted, or NULL. */
static GError *
find_obstacle (AForkRpc *self)
{
  if (self->failure != NULL)
    return g_error_copy (self->failure);
  if (self->closing || self->ended)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED, _("The worker of “%s” has been closed"),
                        self->function);
  return NULL;
}

static gboolean
is_cancelled (GTask    *task,
              AForkJob *job)
{
  GCancellable *cancellable = g_task_get_cancellable (task);

  return g_cancellable_is_cancelled (cancellable)
    || (job != NULL && g_cancellable_is_cancelled (_afork_job_get_cancellable (job)));
}

/* Takes TASK; JOB is NULL for a plain call. */
static void
accept_call (AForkRpc *self,
             GTask    *task,
             GVariant *args,
             AForkJob *job)
{
  GError *error = find_obstacle (self);
  Call *call = g_new0 (Call, 1);

  /* Whether it was cancelled in time is known here. */
  g_task_set_check_cancellable (task, FALSE);
  call->task = task;
  call->args = g_variant_ref_sink (args != NULL ? args : g_variant_new_tuple (NULL, 0));
  g_set_object (&call->job, job);
  if (error == NULL && is_cancelled (task, job))
    error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
  if (error != NULL)
    {
      call_end (call, NULL, error);
      call_free (call);
      return;
    }

  call->cancelled = watch_cancellable (call, g_task_get_cancellable (task));
  if (job != NULL)
    {
      call->job_cancelled = watch_cancellable (call, _afork_job_get_cancellable (job));
      _afork_job_set_state (job, AFORK_JOB_STATE_QUEUED);
    }
  g_queue_push_tail (&self->waiting, call);
  send_waiting (self);
}

/**
 * afork_rpc_call_async:
 * @self: an RPC object
 * @args: (nullable): arguments, any value up to 1 GiB; a floating one is taken, and `NULL` is `()`
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls the worker's function. Nothing waits: the call leaves when the main context turns, with all
 * that were made until then.
 *
 * Cancelling it ends it at once. The worker does not begin with it, or is told by
 * [method@AFork.Call.get_cancellable].
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
  GTask *task;

  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_rpc_call_async);
  g_task_set_name (task, "[afork] call");
  accept_call (self, task, args, NULL);
}

/**
 * afork_rpc_call_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], a [error@Gio.IOErrorEnum], or an error of the
 *   worker's function
 *
 * Returns the answer. [class@AFork.Rpc] tells how a call can fail; besides, it fails with
 * `G_IO_ERROR_CANCELLED` if it was cancelled first, with `AFORK_ERROR_CLOSED` if it was made after
 * [method@AFork.Rpc.close_async], and with `G_IO_ERROR_MESSAGE_TOO_LARGE` if the arguments or the
 * result are over the limit.
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
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_rpc_call_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* Blocking. */

static gboolean
begin_blocking (AForkRpc       *self,
                AForkBlocking  *blocking,
                GError        **error)
{
  if (!_afork_blocking_begin (blocking, G_OBJECT (self), self->process->peer, error))
    return FALSE;

  _afork_rpc_link_set_context (self->link, blocking->context);
  return TRUE;
}

static GAsyncResult *
end_blocking (AForkRpc      *self,
              AForkBlocking *blocking,
              GMainContext  *context)
{
  g_autoptr(AForkRpc) kept G_GNUC_UNUSED = g_object_ref (self);
  GAsyncResult *result = _afork_blocking_end (blocking);

  _afork_rpc_link_set_context (self->link, context);
  return result;
}

/**
 * afork_rpc_call:
 * @self: an RPC object
 * @args: (nullable): arguments, as for [method@AFork.Rpc.call_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.call_finish] has it
 *
 * Does what [method@AFork.Rpc.call_async] does, and waits for the answer. Meanwhile the worker's
 * events are emitted, and nothing else of the program runs. Waiting takes a descriptor: if there is
 * none left, fails with `G_IO_ERROR_TOO_MANY_OPEN_FILES`, and the call was not made.
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
  g_autoptr(GMainContext) context = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) owned = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  owned = args != NULL ? g_variant_ref_sink (args) : NULL;
  context = g_main_context_ref (_afork_rpc_link_get_context (self->link));
  if (!begin_blocking (self, &blocking, error))
    return NULL;

  afork_rpc_call_async (self, owned, cancellable, _afork_blocking_cb, &blocking);
  result = end_blocking (self, &blocking, context);
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
 * Calls the worker's function with what @job has. Otherwise like [method@AFork.Rpc.call_async];
 * [method@AFork.Job.cancel] cancels it, too.
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
  GTask *task;

  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (AFORK_IS_JOB (job));
  g_return_if_fail (afork_job_get_state (job) == AFORK_JOB_STATE_NEW);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_rpc_run_job_async);
  g_task_set_name (task, "[afork] job");
  accept_call (self, task, afork_job_get_args (job), job);
}

/**
 * afork_rpc_run_job_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an error, as for [method@AFork.Rpc.call_finish]
 *
 * Returns the answer; what came with it, @job has. Also fails with `AFORK_ERROR_TIMED_OUT` if it
 * took longer than [property@AFork.Job:timeout].
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
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_rpc_run_job_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * afork_rpc_run_job:
 * @self: an RPC object
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.run_job_finish] has it
 *
 * Does what [method@AFork.Rpc.run_job_async] does, and waits for the answer, as
 * [method@AFork.Rpc.call] does.
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
  g_autoptr(GMainContext) context = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (AFORK_IS_JOB (job), NULL);
  g_return_val_if_fail (afork_job_get_state (job) == AFORK_JOB_STATE_NEW, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  context = g_main_context_ref (_afork_rpc_link_get_context (self->link));
  if (!begin_blocking (self, &blocking, error))
    return NULL;

  afork_rpc_run_job_async (self, job, cancellable, _afork_blocking_cb, &blocking);
  result = end_blocking (self, &blocking, context);
  return afork_rpc_run_job_finish (self, result, error);
}

/**
 * afork_rpc_close_async:
 * @self: an RPC object
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the worker has ended
 * @user_data: data for @callback
 *
 * Has the worker end when all calls that were made until now are answered. More are refused. May be
 * called more than once. Cancelling it only means not to wait any longer.
 *
 * Since: 0.1
 */
void
afork_rpc_close_async (AForkRpc            *self,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_rpc_close_async);
  g_task_set_name (task, "[afork] calls closed");
  self->closing = TRUE;
  add_close_task (self, task);
  if (self->ended)
    return_closed (self);
  else
    send_waiting (self);
}

/**
 * afork_rpc_close_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Tells whether the worker ended properly: it exited with status 0 after it was closed. If not,
 * fails with what calls would fail with.
 *
 * Returns: true if it did
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
 * Does what [method@AFork.Rpc.close_async] does, and waits until the worker has ended, as
 * [method@AFork.Rpc.call] does for an answer.
 *
 * Returns: true if the worker ended properly
 *
 * Since: 0.1
 */
gboolean
afork_rpc_close (AForkRpc      *self,
                 GCancellable  *cancellable,
                 GError       **error)
{
  g_autoptr(GMainContext) context = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  context = g_main_context_ref (_afork_rpc_link_get_context (self->link));
  if (!begin_blocking (self, &blocking, error))
    return FALSE;

  afork_rpc_close_async (self, cancellable, _afork_blocking_cb, &blocking);
  result = end_blocking (self, &blocking, context);
  return afork_rpc_close_finish (self, result, error);
}

/* Properties. */

/**
 * afork_rpc_get_process: (get-property process)
 * @self: an RPC object
 *
 * Returns [property@AFork.Rpc:process].
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
 * Returns [property@AFork.Rpc:function].
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
 * Returns [property@AFork.Rpc:init-function].
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
 * Returns [property@AFork.Rpc:done-function].
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
 * Returns [property@AFork.Rpc:concurrent].
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
 * afork_rpc_get_max_in_flight: (get-property max-in-flight)
 * @self: an RPC object
 *
 * Returns [property@AFork.Rpc:max-in-flight].
 *
 * Returns: a number of calls
 *
 * Since: 0.1
 */
guint
afork_rpc_get_max_in_flight (AForkRpc *self)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), 0);

  return self->max_in_flight;
}

/**
 * afork_rpc_set_max_in_flight: (set-property max-in-flight)
 * @self: an RPC object
 * @max_in_flight: a number of calls, 1 to 65535
 *
 * Sets [property@AFork.Rpc:max-in-flight].
 *
 * Since: 0.1
 */
void
afork_rpc_set_max_in_flight (AForkRpc *self,
                             guint     max_in_flight)
{
  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (max_in_flight >= 1 && max_in_flight <= MAX_MAX_IN_FLIGHT);

  if (self->max_in_flight == max_in_flight)
    return;

  self->max_in_flight = max_in_flight;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MAX_IN_FLIGHT]);
  if (self->link != NULL)
    send_waiting (self);
}
