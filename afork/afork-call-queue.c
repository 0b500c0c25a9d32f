/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-call-queue.h"

#include "afork-enum-types.h"
#include "afork-error.h"
#include "afork-job.h"
#include "afork-pool-private.h"
#include "base/i18n.h"

/* The states of the queue.
 *
 *     OPEN ── close (DRAIN) ──> DRAINING ── close (ABORT) ──> ABORTING
 *      │                           │                             │
 *      │                           └── the pool is shut down ────┤
 *      │                                                         v
 *      └── its main context is gone ────────────────────────> CLOSED
 *
 * OPEN becomes ABORTING, too. DRAINING and ABORTING also become CLOSED if the context is gone. A
 * queue without calls that is disposed of is CLOSED at once.
 */
typedef enum
{
  AFORK_CALL_QUEUE_STATE_OPEN,          /* the queue accepts calls */
  AFORK_CALL_QUEUE_STATE_DRAINING,      /* the calls that the queue has are made */
  AFORK_CALL_QUEUE_STATE_ABORTING,      /* these calls fail */
  AFORK_CALL_QUEUE_STATE_CLOSED,        /* there are no calls; results may be left */
} AForkCallQueueState;

/* A call that has not ended. */
typedef struct
{
  GList     link;               /* in `waiting` or in a batch; its data is this struct */
  guint64   id;
  GVariant *args;               /* or NULL */
} Call;

struct _AForkCallQueue
{
  GObject         parent_instance;
  AForkPool      *pool;
  AForkContext   *context;      /* of the pool */
  AForkObjectWatch *watch;      /* on the context; or NULL */

  guint           max_batch;    /* the most calls that a worker gets at a time; 0 for no batches */

  /* Used in the main context of the pool only. */
  guint           batch;        /* how many calls a worker gets at a time now */
  gboolean        shuts_down;   /* the pool was asked to shut down, in the mode `shutdown_mode` */
  AForkShutdownMode shutdown_mode;

  GMutex          mutex;        /* protects the fields below. A fork of the program never locks it,
                                 * because another thread may have locked it at the fork. */
  GCond           cond;         /* there are results, or the state has changed */
  AForkCallQueueState state;
  GQueue          waiting;      /* of Call */
  GHashTable     *calls;        /* those of them that can be removed, by their ids */
  guint           n_due;        /* how many of them cannot: the pool is about to get them */
  guint           n_given;      /* how many batches the pool has */
  guint           limit;        /* how many batches the pool gets at most */
  gboolean        is_scheduled; /* work_cb() is about to be called */
  GArray         *results;      /* of guint64: see afork_call_queue_take() */
  GArray         *taken;        /* the same; the results that were taken last */
};

enum
{
  /* How many batches the pool gets: so many times what its workers can have. The pool needs a batch
   * at once when a worker has answered one. A call that the pool has cannot be removed. */
  LOOK_AHEAD = 2,
  /* The time, in microseconds, from giving a batch to the pool until its answer. If batches take
   * less than the first, they get longer; if they take more than the second, shorter. */
  SHORT_TIME = 2 * 1000,
  LONG_TIME = 8 * 1000,
  /* No call is added to a batch that has more bytes. */
  MAX_BATCH_SIZE = 64 * 1024,
  /* How many numbers a result has. */
  RESULT_SIZE = 3,
};

/**
 * AForkCallQueue:
 *
 * A pool for all threads.
 *
 * Only the thread that owns the main context of a pool may use the pool. A call queue takes calls
 * from any thread, has its pool make them, and keeps the results until a thread takes them. It is
 * made for language bindings. In Python, `AFork.Executor` uses it: Python code does not have to run
 * for each call, only once for all results that have arrived meanwhile. Other programs use an
 * [class@AFork.Pool].
 *
 * One thread serves the pool: it iterates the main context of the pool, for example by
 * [method@AFork.CallQueue.run]. Other threads add calls, wait, and take results. The queue starts
 * no threads.
 *
 * Arguments and results are given by the addresses of their [struct@GLib.Variant], because bindings
 * have faster ways to convert values than by wrapping them.
 *
 * The program must not use the pool for anything else once the queue was made, except to read and
 * set its properties in the thread that serves it. The last reference to the queue may be dropped
 * in any thread. Calls that have not ended hold references to it.
 *
 * Since: 0.1
 */
enum { PROP_0, PROP_MAX_BATCH, PROP_POOL, N_PROPS };
static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (AForkCallQueue, afork_call_queue, G_TYPE_OBJECT)

/* The state. Call these functions with the mutex locked. */

static const char *
get_state_name (AForkCallQueueState state)
{
  static const char *const names[] = {
    [AFORK_CALL_QUEUE_STATE_OPEN] = "open",
    [AFORK_CALL_QUEUE_STATE_DRAINING] = "draining",
    [AFORK_CALL_QUEUE_STATE_ABORTING] = "aborting",
    [AFORK_CALL_QUEUE_STATE_CLOSED] = "closed",
  };

  return names[state];
}

static void
set_state (AForkCallQueue      *self,
           AForkCallQueueState  state)
{
  g_assert (state > self->state);

  g_debug ("Call queue: was %s, is %s", get_state_name (self->state), get_state_name (state));
  self->state = state;
  g_cond_broadcast (&self->cond);
}

static gboolean
is_closed (AForkCallQueue *self)
{
  gboolean closed;

  g_mutex_lock (&self->mutex);
  closed = self->state == AFORK_CALL_QUEUE_STATE_CLOSED;
  g_mutex_unlock (&self->mutex);
  return closed;
}

static gboolean
is_inherited (AForkCallQueue *self)
{
  return _afork_context_is_inherited (self->context);
}

/* Calls that wait, and results. Call these functions with the mutex locked. */

static void
call_free (Call *call)
{
  g_clear_pointer (&call->args, g_variant_unref);
  g_free (call);
}

/* Whether no call waits, and the pool has none. A worker may give calls of a batch back: then they
 * wait again. */
static gboolean
has_no_calls (AForkCallQueue *self)
{
  return self->waiting.head == NULL && self->n_given == 0;
}

/* Takes a call out of the queue. */
static void
unqueue (AForkCallQueue *self,
         Call           *call)
{
  g_queue_unlink (&self->waiting, &call->link);
  if (!g_hash_table_remove (self->calls, &call->id))
    self->n_due--;
}

static GArray *
results_new (void)
{
  return g_array_new (FALSE, FALSE, sizeof (guint64));
}

static void
results_free (GArray *results)
{
  for (guint i = 2; i < results->len; i += RESULT_SIZE)
    g_variant_unref ((GVariant *) (guintptr) g_array_index (results, guint64, i));
  g_array_unref (results);
}

/* Takes VALUE or ERROR. */
static void
add_result (AForkCallQueue *self,
            guint64         id,
            GVariant       *value,
            GError         *error)
{
  guint64 numbers[RESULT_SIZE] = { id };

  if (error != NULL)
    {
      value = g_variant_new ("(sis)", g_quark_to_string (error->domain), (gint32) error->code,
                             error->message);
      g_error_free (error);
      numbers[1] = 1;
    }

  numbers[2] = (guint64) (guintptr) g_variant_take_ref (value);
  g_array_append_vals (self->results, numbers, RESULT_SIZE);
  g_cond_signal (&self->cond);
}

/* Has all calls of QUEUE fail. */
static void
fail_all (AForkCallQueue *self,
          GQueue         *queue,
          const GError   *error)
{
  GList *link;

  while ((link = g_queue_pop_head_link (queue)) != NULL)
    {
      Call *call = link->data;

      add_result (self, call->id, NULL, g_error_copy (error));
      call_free (call);
    }
}

static void
fail_waiting (AForkCallQueue *self,
              const GError   *error)
{
  g_hash_table_remove_all (self->calls);
  self->n_due = 0;
  fail_all (self, &self->waiting, error);
}

/* In the main context of the pool. */

static void work (AForkCallQueue *self);

static GError *
new_closed_error (void)
{
  return g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED, _("The call queue was closed"));
}

/* What a worker gets at a time: one call, or several. */
typedef struct
{
  AForkCallQueue *queue;        /* a reference */
  GQueue          calls;        /* of Call: those that the worker has not answered */
  guint           n_calls;      /* that it got */
  gboolean        was_split;    /* the worker has given some back */
  gint64          given_at;
} Batch;

static void
batch_free (Batch *self)
{
  g_object_unref (self->queue);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Batch, batch_free)

/* The worker has answered the first calls of the batch with ANSWERS. Returns false if these are not
 * as they have to be. */
static gboolean
take_answers (Batch    *self,
              GVariant *answers)
{
  const gsize n_answers = g_variant_n_children (answers);

  if (n_answers > self->calls.length)
    return FALSE;

  for (gsize i = 0; i < n_answers; i++)
    {
      Call *call = g_queue_pop_head_link (&self->calls)->data;
      g_autoptr(GVariant) answer = g_variant_get_child_value (answers, i);

      add_result (self->queue, call->id, g_variant_get_variant (answer), NULL);
      call_free (call);
    }
  return TRUE;
}

/* The worker has not begun with the last N calls of the batch, and gives them back. */
static void
give_back (Batch  *self,
           gint64  n)
{
  AForkCallQueue *queue = self->queue;

  for (; n > 0 && self->calls.length > 0; n--)
    {
      Call *call = g_queue_peek_tail (&self->calls);

      g_queue_unlink (&self->calls, &call->link);
      g_queue_push_head_link (&queue->waiting, &call->link);
      g_hash_table_insert (queue->calls, &call->id, call);
    }
  if (queue->state == AFORK_CALL_QUEUE_STATE_ABORTING)
    {
      g_autoptr(GError) error = new_closed_error ();

      fail_waiting (queue, error);
    }
}

/* A call of the batch takes long: see AForkCallQueue:max-batch. */
static void
progress_cb (AForkJob *job,
             GVariant *progress,
             gpointer  data)
{
  Batch *self = data;
  AForkCallQueue *queue = self->queue;
  g_autoptr(GVariant) answers = NULL;
  gint64 n_back;

  if (!g_variant_is_of_type (progress, G_VARIANT_TYPE ("(avx)")))
    return;

  answers = g_variant_get_child_value (progress, 0);
  g_variant_get_child (progress, 1, "x", &n_back);
  g_mutex_lock (&queue->mutex);
  if (take_answers (self, answers))
    give_back (self, n_back);
  g_mutex_unlock (&queue->mutex);
  self->was_split = TRUE;
  work (queue);
}

/* Chooses how many calls the next batches have. */
static void
adapt (Batch *self)
{
  AForkCallQueue *queue = self->queue;
  const gint64 time = g_get_monotonic_time () - self->given_at;

  if (self->was_split)
    queue->batch = 1;
  else if (time > LONG_TIME)
    queue->batch = MAX (queue->batch / 2, 1);
  else if (time < SHORT_TIME && self->n_calls == queue->batch)
    queue->batch = MIN (queue->batch * 2, MAX (queue->max_batch, 1));
}

/* Takes VALUE or ERROR. */
static void
end_batch (Batch    *self,
           GVariant *value,
           GError   *error)
{
  AForkCallQueue *queue = self->queue;

  adapt (self);
  g_mutex_lock (&queue->mutex);
  queue->n_given--;
  if (error == NULL && queue->max_batch > 0
      && (!g_variant_is_of_type (value, G_VARIANT_TYPE ("av"))
          || g_variant_n_children (value) != self->calls.length))
    error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                                 _("The worker function has not answered each call of a batch"));
  if (error != NULL)
    fail_all (queue, &self->calls, error);
  else if (queue->max_batch > 0)
    take_answers (self, value);
  else
    {
      Call *call = g_queue_pop_head_link (&self->calls)->data;

      add_result (queue, call->id, g_variant_ref (value), NULL);
      call_free (call);
    }
  g_mutex_unlock (&queue->mutex);
  g_clear_error (&error);
  g_clear_pointer (&value, g_variant_unref);
  work (queue);
}

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(Batch) self = data;
  GError *error = NULL;
  GVariant *value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  end_batch (self, value, error);
}

static void
job_run_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  g_autoptr(Batch) self = data;
  GError *error = NULL;
  GVariant *value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  end_batch (self, value, error);
}

/* Takes calls that wait. Leaves enough for the other workers. Returns NULL if there are none, or
 * the pool has enough. */
static Batch *
take_batch (AForkCallQueue *self)
{
  const guint limit = _afork_pool_get_look_ahead (self->pool, LOOK_AHEAD);
  const guint n_workers = _afork_pool_get_max_total (self->pool);
  Batch *batch = NULL;
  gsize size = 0;
  guint n_calls;

  g_mutex_lock (&self->mutex);
  self->limit = limit;
  if (self->waiting.length > 0 && self->n_given < limit)
    {
      n_calls = MIN (self->batch, (self->waiting.length - 1) / n_workers + 1);
      batch = g_new0 (Batch, 1);
      batch->queue = g_object_ref (self);
      g_queue_init (&batch->calls);
      for (; n_calls > 0 && size <= MAX_BATCH_SIZE; n_calls--)
        {
          Call *call = self->waiting.head->data;

          unqueue (self, call);
          g_queue_push_tail_link (&batch->calls, &call->link);
          size += call->args != NULL ? g_variant_get_size (call->args) : 0;
        }
      batch->n_calls = batch->calls.length;
      self->n_given++;
    }
  g_mutex_unlock (&self->mutex);
  return batch;
}

static GVariant *
pack_batch (Batch *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (const GList *link = self->calls.head; link != NULL; link = link->next)
    {
      const Call *call = link->data;
      GVariant *args = call->args != NULL ? call->args : g_variant_new_tuple (NULL, 0);

      g_variant_builder_add_value (&builder, g_variant_new_variant (args));
    }
  return g_variant_builder_end (&builder);
}

/* Gives a batch to the pool. Returns false if there is none, or the pool has enough. */
static gboolean
give_one (AForkCallQueue *self)
{
  Batch *batch = take_batch (self);

  if (batch == NULL)
    return FALSE;

  batch->given_at = g_get_monotonic_time ();
  if (self->max_batch == 0)
    {
      const Call *call = g_queue_peek_head (&batch->calls);

      afork_pool_call_async (self->pool, call->args, NULL, called_cb, batch);
    }
  else if (batch->n_calls == 1)
    {
      afork_pool_call_async (self->pool, pack_batch (batch), NULL, called_cb, batch);
    }
  else
    {
      g_autoptr(AForkJob) job = afork_job_new (pack_batch (batch));

      g_signal_connect (job, "progress", G_CALLBACK (progress_cb), batch);
      afork_pool_run_job_async (self->pool, job, NULL, job_run_cb, batch);
    }
  return TRUE;
}

static void
shut_down_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  g_autoptr(AForkCallQueue) self = data;
  g_autoptr(GError) error = NULL;

  if (!afork_pool_shutdown_finish (AFORK_POOL (object), result, &error))
    g_debug ("The pool of a call queue cannot be shut down: %s", error->message);

  g_mutex_lock (&self->mutex);
  if (self->state < AFORK_CALL_QUEUE_STATE_CLOSED)
    set_state (self, AFORK_CALL_QUEUE_STATE_CLOSED);
  g_mutex_unlock (&self->mutex);
}

static void
shut_down (AForkCallQueue    *self,
           AForkShutdownMode  mode)
{
  if (self->shuts_down && self->shutdown_mode >= mode)
    return;

  self->shuts_down = TRUE;
  self->shutdown_mode = mode;
  afork_pool_shutdown_async (self->pool, mode, NULL, shut_down_cb, g_object_ref (self));
}

/* Does what is to be done now, in the main context of the pool, which is the thread-default one. */
static void
work_in_context (AForkCallQueue *self)
{
  AForkCallQueueState state;
  gboolean is_done;

  while (give_one (self))
    ;

  g_mutex_lock (&self->mutex);
  state = self->state;
  is_done = has_no_calls (self);
  g_mutex_unlock (&self->mutex);
  if (state == AFORK_CALL_QUEUE_STATE_ABORTING)
    shut_down (self, AFORK_SHUTDOWN_MODE_ABORT);
  else if (state == AFORK_CALL_QUEUE_STATE_DRAINING && is_done)
    shut_down (self, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The main context of the pool is gone, so the pool has no calls: their tasks would have references
 * to the context. */
static void
context_gone (GObject *object)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);
  g_autoptr(GError) error = NULL;

  error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                               _("The main context of the pool is gone"));
  g_mutex_lock (&self->mutex);
  fail_waiting (self, error);
  if (self->state < AFORK_CALL_QUEUE_STATE_CLOSED)
    set_state (self, AFORK_CALL_QUEUE_STATE_CLOSED);
  g_mutex_unlock (&self->mutex);
}

static void
work (AForkCallQueue *self)
{
  GMainContext *home = _afork_context_peek (self->context);

  if (home == NULL)
    {
      /* After g_object_run_dispose(), the watch does not call it. */
      if (!is_inherited (self))
        context_gone (G_OBJECT (self));
      return;
    }

  g_main_context_push_thread_default (home);
  work_in_context (self);
  g_main_context_pop_thread_default (home);
}

static void
work_cb (gpointer data)
{
  g_autoptr(AForkCallQueue) self = data;

  g_mutex_lock (&self->mutex);
  self->is_scheduled = FALSE;
  g_mutex_unlock (&self->mutex);
  work (self);
}

/* Has work() called. Unlocks the mutex before. */
static void
unlock_and_schedule (AForkCallQueue *self)
{
  const gboolean was_scheduled = self->is_scheduled;

  self->is_scheduled = TRUE;
  g_mutex_unlock (&self->mutex);
  if (!was_scheduled)
    _afork_context_run (self->context, work_cb, g_object_ref (self));
}

/* Has the calls that wait fail, and shuts the pool down. Unlocks the mutex. */
static void
abort_and_unlock (AForkCallQueue *self)
{
  g_autoptr(GError) error = new_closed_error ();

  set_state (self, AFORK_CALL_QUEUE_STATE_ABORTING);
  fail_waiting (self, error);
  unlock_and_schedule (self);
}

/* The object. */

static void
afork_call_queue_constructed (GObject *object)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);

  G_OBJECT_CLASS (afork_call_queue_parent_class)->constructed (object);

  if (self->pool == NULL)
    {
      self->context = _afork_context_ref_nowhere ();
      self->state = AFORK_CALL_QUEUE_STATE_CLOSED;
      return;
    }

  self->context = _afork_context_ref (_afork_pool_get_context (self->pool));
  self->limit = _afork_pool_get_look_ahead (self->pool, LOOK_AHEAD);
  if (!_afork_context_watch_for (self->context, &self->watch, object, context_gone)
      && !is_inherited (self))
    context_gone (object);
}

/* Calls hold references to the queue, so none are left, unless the program calls
 * g_object_run_dispose(). Then they fail as if the queue was closed. */
static void
afork_call_queue_dispose (GObject *object)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);

  if (!is_inherited (self))
    {
      g_mutex_lock (&self->mutex);
      if (self->state == AFORK_CALL_QUEUE_STATE_OPEN && has_no_calls (self))
        set_state (self, AFORK_CALL_QUEUE_STATE_CLOSED);
      if (self->state < AFORK_CALL_QUEUE_STATE_ABORTING)
        abort_and_unlock (self);
      else
        g_mutex_unlock (&self->mutex);
    }
  G_OBJECT_CLASS (afork_call_queue_parent_class)->dispose (object);
}

/* The queue has no calls: the pool and work_cb() hold references, and calls that wait are given to
 * the pool sooner or later. In a fork of the program, it may have some. */
static void
afork_call_queue_finalize (GObject *object)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);

  _afork_context_unwatch_for (self->context, &self->watch);
  results_free (self->results);
  results_free (self->taken);
  g_hash_table_unref (self->calls);
  while (self->waiting.head != NULL)
    call_free (g_queue_pop_head_link (&self->waiting)->data);
  if (!is_inherited (self))
    {
      g_mutex_clear (&self->mutex);
      g_cond_clear (&self->cond);
    }
  _afork_context_unref (self->context);
  g_clear_object (&self->pool);
  G_OBJECT_CLASS (afork_call_queue_parent_class)->finalize (object);
}

static void
afork_call_queue_get_property (GObject    *object,
                               guint       id,
                               GValue     *value,
                               GParamSpec *pspec)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);

  switch (id)
    {
    case PROP_MAX_BATCH:
      g_value_set_uint (value, self->max_batch);
      break;
    case PROP_POOL:
      g_value_set_object (value, self->pool);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_call_queue_set_property (GObject      *object,
                               guint         id,
                               const GValue *value,
                               GParamSpec   *pspec)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);

  switch (id)
    {
    case PROP_MAX_BATCH:
      self->max_batch = g_value_get_uint (value);
      break;
    case PROP_POOL:
      self->pool = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_call_queue_class_init (AForkCallQueueClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = afork_call_queue_constructed;
  object_class->dispose = afork_call_queue_dispose;
  object_class->finalize = afork_call_queue_finalize;
  object_class->get_property = afork_call_queue_get_property;
  object_class->set_property = afork_call_queue_set_property;

  /**
   * AForkCallQueue:max-batch:
   *
   * The most calls that a worker gets at a time, or 0 if the function of the pool serves single
   * calls.
   *
   * A batch saves most of what a short call costs. The function of the pool gets the arguments of
   * the calls as `av`, and returns their results as `av`, in the same order. The queue makes
   * batches longer while calls are short, so that a batch takes about a millisecond.
   *
   * While one call of a batch takes long, the results of the calls before it must not wait, and
   * those behind it must be made by other workers. So the function reports `(avx)` then, by
   * [method@AFork.Call.report]: the results that it has and has not reported before, and how many
   * calls it gives back. These are the last ones, and the function will not make them. Calls with
   * larger arguments than 64 KiB get batches of their own.
   *
   * Since: 0.1
   */
  props[PROP_MAX_BATCH] =
    g_param_spec_uint ("max-batch", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * AForkCallQueue:pool: (getter get_pool)
   *
   * The pool that makes the calls.
   *
   * Since: 0.1
   */
  props[PROP_POOL] =
    g_param_spec_object ("pool", NULL, NULL,
                         AFORK_TYPE_POOL,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
afork_call_queue_init (AForkCallQueue *self)
{
  g_mutex_init (&self->mutex);
  g_cond_init (&self->cond);
  g_queue_init (&self->waiting);
  self->calls = g_hash_table_new (g_int64_hash, g_int64_equal);
  self->results = results_new ();
  self->taken = results_new ();
  self->batch = 1;
}

/**
 * afork_call_queue_new:
 * @pool: a pool that was not used yet
 *
 * Makes a call queue for @pool. Call this in the thread that owns the main context of the pool.
 *
 * Returns: (transfer full): a call queue
 *
 * Since: 0.1
 */
AForkCallQueue *
afork_call_queue_new (AForkPool *pool)
{
  g_return_val_if_fail (AFORK_IS_POOL (pool), NULL);

  return g_object_new (AFORK_TYPE_CALL_QUEUE, "pool", pool, NULL);
}

/**
 * afork_call_queue_add:
 * @self: a call queue
 * @id: a number that no call of the queue has
 * @args: (nullable): the address of the arguments, a [struct@GLib.Variant] of any type, or `NULL`.
 *   The queue takes the reference.
 *
 * Adds a call. Calls begin in the order in which they were added. If the queue accepts the call, it
 * has exactly one result, unless [method@AFork.CallQueue.remove] removes the call. Call this in any
 * thread.
 *
 * Returns: false if the queue accepts no calls, because it was closed, its main context is gone, or
 *   it belongs to the program that this one was forked from
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_add (AForkCallQueue *self,
                      guint64         id,
                      gpointer        args)
{
  g_autoptr(GVariant) taken = NULL;
  Call *call;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), FALSE);

  taken = args != NULL ? g_variant_take_ref (args) : NULL;
  if (is_inherited (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  if (self->state != AFORK_CALL_QUEUE_STATE_OPEN)
    {
      g_mutex_unlock (&self->mutex);
      return FALSE;
    }

  call = g_new (Call, 1);
  call->link = (GList) { .data = call };
  call->id = id;
  call->args = g_steal_pointer (&taken);
  g_queue_push_tail_link (&self->waiting, &call->link);
  /* So that a call is running soon, as a program expects that did not give it up at once. */
  if (self->n_given + self->n_due < self->limit)
    self->n_due++;
  else
    g_hash_table_insert (self->calls, &call->id, call);
  if (self->n_given < self->limit)
    unlock_and_schedule (self);
  else
    g_mutex_unlock (&self->mutex);
  return TRUE;
}

/**
 * afork_call_queue_remove:
 * @self: a call queue
 * @id: the number of a call
 *
 * Removes a call that the pool has not got and is not about to get. The pool gets some calls more
 * than it has workers, so that no worker waits. A call that was removed has no result. Call this in
 * any thread.
 *
 * Returns: true if the call was removed; false if it cannot be removed any more
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_remove (AForkCallQueue *self,
                         guint64         id)
{
  Call *call;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), FALSE);

  if (is_inherited (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  call = g_hash_table_lookup (self->calls, &id);
  if (call != NULL)
    unqueue (self, call);
  g_mutex_unlock (&self->mutex);
  if (call == NULL)
    return FALSE;

  call_free (call);
  return TRUE;
}

/**
 * afork_call_queue_contains:
 * @self: a call queue
 * @id: the number of a call
 *
 * Gets whether [method@AFork.CallQueue.remove] would remove a call. Call this in any thread.
 *
 * Returns: true if the call could be removed
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_contains (AForkCallQueue *self,
                           guint64         id)
{
  gboolean found;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), FALSE);

  if (is_inherited (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  found = g_hash_table_contains (self->calls, &id);
  g_mutex_unlock (&self->mutex);
  return found;
}

/* Drops the values of results that were taken. */
static void
drop_taken (AForkCallQueue *self)
{
  GArray *taken = NULL;

  g_mutex_lock (&self->mutex);
  if (self->taken->len > 0)
    {
      taken = self->taken;
      self->taken = results_new ();
    }
  g_mutex_unlock (&self->mutex);
  g_clear_pointer (&taken, results_free);
}

/**
 * afork_call_queue_wait:
 * @self: a call queue
 *
 * Blocks until there are results, or there will be none any more: the queue was closed, and all
 * workers have exited. Drops the values of results that were taken before. Call this in the thread
 * that takes the results, which must not be the one that serves the pool.
 *
 * Returns: true if there are results for [method@AFork.CallQueue.take]
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_wait (AForkCallQueue *self)
{
  gboolean has_results;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), FALSE);

  if (is_inherited (self))
    return FALSE;

  drop_taken (self);
  g_mutex_lock (&self->mutex);
  while (self->results->len == 0 && self->state < AFORK_CALL_QUEUE_STATE_CLOSED)
    g_cond_wait (&self->cond, &self->mutex);
  has_results = self->results->len > 0;
  g_mutex_unlock (&self->mutex);
  return has_results;
}

/**
 * afork_call_queue_take:
 * @self: a call queue
 * @n_numbers: (out): how many numbers are returned: three for each result
 *
 * Takes all results that there are. The numbers of a result are:
 *
 * 1. the number of the call
 * 2. 0 if the call has succeeded, or 1 if it has failed
 * 3. the address of a [struct@GLib.Variant]: the result of the call; or `(sis)` if it has failed:
 *    domain, code and message of an error, as [method@AFork.Pool.call_finish] has it
 *
 * The values belong to the queue, and stay until this function or [method@AFork.CallQueue.wait] is
 * called again, or the queue is freed. Call this in any thread, but only one thread at a time may
 * take results and use their values.
 *
 * Returns: (array length=n_numbers) (transfer full) (nullable): the results, or `NULL` if there are
 *   none
 *
 * Since: 0.1
 */
guint64 *
afork_call_queue_take (AForkCallQueue *self,
                       gsize          *n_numbers)
{
  guint64 *numbers = NULL;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), NULL);
  g_return_val_if_fail (n_numbers != NULL, NULL);

  *n_numbers = 0;
  if (is_inherited (self))
    return NULL;

  drop_taken (self);
  g_mutex_lock (&self->mutex);
  if (self->results->len > 0)
    {
      GArray *empty = g_steal_pointer (&self->taken);

      self->taken = self->results;
      self->results = empty;
      *n_numbers = self->taken->len;
      numbers = g_memdup2 (self->taken->data, self->taken->len * sizeof (guint64));
    }
  g_mutex_unlock (&self->mutex);
  return numbers;
}

/**
 * afork_call_queue_close:
 * @self: a call queue
 * @mode: what becomes of calls that have not ended
 *
 * Has the queue accept no more calls, and shuts the pool down when the calls have ended: see
 * [method@AFork.Pool.shutdown_async]. With `AFORK_SHUTDOWN_MODE_ABORT`, calls that have not ended
 * fail with `AFORK_ERROR_CLOSED`. A queue that drains can still be aborted. Does not block. Call
 * this in any thread.
 *
 * Since: 0.1
 */
void
afork_call_queue_close (AForkCallQueue    *self,
                        AForkShutdownMode  mode)
{
  const AForkCallQueueState state = mode == AFORK_SHUTDOWN_MODE_ABORT
    ? AFORK_CALL_QUEUE_STATE_ABORTING : AFORK_CALL_QUEUE_STATE_DRAINING;

  g_return_if_fail (AFORK_IS_CALL_QUEUE (self));

  if (is_inherited (self))
    return;

  g_mutex_lock (&self->mutex);
  if (self->state >= state)
    {
      g_mutex_unlock (&self->mutex);
      return;
    }

  if (state == AFORK_CALL_QUEUE_STATE_ABORTING)
    {
      abort_and_unlock (self);
      return;
    }

  set_state (self, state);
  unlock_and_schedule (self);
}

/**
 * afork_call_queue_run:
 * @self: a call queue
 * @error: return location for an error
 *
 * Serves the pool: iterates its main context until the queue was closed and all workers have
 * exited. Call this in the thread that owns the main context. In another thread, it fails with
 * `AFORK_ERROR_FAILED`.
 *
 * Returns: true if the queue was closed
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_run (AForkCallQueue  *self,
                      GError         **error)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GMainContext) main = NULL;
  g_autoptr(AForkCallQueue) kept = NULL;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self) && self->pool != NULL, FALSE);

  hold = _afork_pool_hold (self->pool, error);
  if (hold == NULL)
    return FALSE;

  kept = g_object_ref (self);
  main = _afork_context_peek (self->context);
  if (main != NULL)
    g_main_context_ref (main);
  while (main != NULL && !is_closed (self))
    g_main_context_iteration (main, TRUE);
  return TRUE;
}

/**
 * afork_call_queue_is_iterated:
 * @self: a call queue
 * @context: a main context of the program
 *
 * Gets whether a thread iterates a main context, or owns it for another reason. A binding that has
 * taken results uses this to choose where to call functions of the program: from the main loop, or
 * from a thread of its own if the program does not run the main loop. Call this in any thread.
 *
 * Returns: true if a thread owns @context
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_is_iterated (AForkCallQueue *self,
                              GMainContext   *context)
{
  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), FALSE);
  g_return_val_if_fail (context != NULL, FALSE);

  return _afork_context_is_owned (context);
}

/**
 * afork_call_queue_get_pool: (get-property pool)
 * @self: a call queue
 *
 * Gets the pool that makes the calls.
 *
 * Returns: (transfer none): a pool
 *
 * Since: 0.1
 */
AForkPool *
afork_call_queue_get_pool (AForkCallQueue *self)
{
  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), NULL);

  return self->pool;
}
