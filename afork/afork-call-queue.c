/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-call-queue.h"

#include "afork-enum-types.h"
#include "afork-error.h"
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
 * OPEN becomes ABORTING, too. DRAINING and ABORTING also become CLOSED if the context is gone.
 */
typedef enum
{
  AFORK_CALL_QUEUE_STATE_OPEN,          /* the queue accepts calls */
  AFORK_CALL_QUEUE_STATE_DRAINING,      /* the calls that the queue has are made */
  AFORK_CALL_QUEUE_STATE_ABORTING,      /* these calls fail */
  AFORK_CALL_QUEUE_STATE_CLOSED,        /* there are no calls; results may be left */
} AForkCallQueueState;

/* A call that waits for the pool. */
typedef struct
{
  GList     link;               /* in `waiting`; its data is this struct */
  guint64   id;
  GVariant *args;               /* or NULL */
} Call;

struct _AForkCallQueue
{
  GObject         parent_instance;
  AForkPool      *pool;
  AForkContext   *context;      /* of the pool */
  GWeakRef       *watch;        /* data of the watch on the context; or NULL */

  /* Used in the main context of the pool only. */
  gboolean        shuts_down;   /* the pool was told to shut down, in the mode `shutdown_mode` */
  AForkShutdownMode shutdown_mode;

  GMutex          mutex;        /* protects the fields below. A fork of the program never locks it,
                                 * because another thread may have locked it at the fork. */
  GCond           cond;         /* there are results, or the state has changed */
  AForkCallQueueState state;
  GQueue          waiting;      /* of Call */
  GHashTable     *calls;        /* the same, by their ids */
  guint           n_given;      /* how many calls the pool has */
  guint           limit;        /* how many calls the pool gets at most */
  gboolean        is_scheduled; /* work_cb() is about to be called */
  GArray         *results;      /* of guint64: see afork_call_queue_take() */
};

enum
{
  /* How many calls the pool gets: so many times the calls that its workers can have. The pool needs
   * a call at once when a worker has answered one. A call that the pool has cannot be removed. */
  LOOK_AHEAD = 2,
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
enum { PROP_0, PROP_POOL, N_PROPS };
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

/* Takes a call out of the queue, and returns its arguments. */
static GVariant *
take_call (AForkCallQueue *self,
           Call           *call)
{
  GVariant *args = call->args;

  g_queue_unlink (&self->waiting, &call->link);
  g_hash_table_remove (self->calls, &call->id);
  g_free (call);
  return args;
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

static void
fail_waiting (AForkCallQueue *self,
              const GError   *error)
{
  while (self->waiting.head != NULL)
    {
      Call *call = self->waiting.head->data;
      const guint64 id = call->id;
      GVariant *args = take_call (self, call);

      g_clear_pointer (&args, g_variant_unref);
      add_result (self, id, NULL, g_error_copy (error));
    }
}

/* In the main context of the pool. */

static void work (AForkCallQueue *self);

/* What the pool is asked for. */
typedef struct
{
  AForkCallQueue *queue;        /* a reference */
  guint64         id;
} Given;

static void
given_free (Given *self)
{
  g_object_unref (self->queue);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Given, given_free)

static void
answered_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  g_autoptr(Given) given = data;
  AForkCallQueue *self = given->queue;
  GError *error = NULL;
  GVariant *value = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  g_mutex_lock (&self->mutex);
  self->n_given--;
  add_result (self, given->id, value, error);
  g_mutex_unlock (&self->mutex);
  work (self);
}

static guint
get_limit (AForkCallQueue *self)
{
  const guint64 n_calls = (guint64) afork_pool_get_max_workers (self->pool)
    * afork_pool_get_load (self->pool);

  return (guint) MIN (n_calls * LOOK_AHEAD, G_MAXUINT);
}

/* Gives one call to the pool. Returns false if there is none, or the pool has enough. */
static gboolean
give_one (AForkCallQueue *self)
{
  const guint limit = get_limit (self);
  GVariant *args = NULL;
  Given *given = NULL;

  g_mutex_lock (&self->mutex);
  self->limit = limit;
  if (self->waiting.head != NULL && self->n_given < self->limit)
    {
      Call *call = self->waiting.head->data;

      given = g_new (Given, 1);
      given->queue = g_object_ref (self);
      given->id = call->id;
      args = take_call (self, call);
      self->n_given++;
    }
  g_mutex_unlock (&self->mutex);
  if (given == NULL)
    return FALSE;

  afork_pool_call_async (self->pool, args, NULL, answered_cb, given);
  g_clear_pointer (&args, g_variant_unref);
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
  gboolean has_waiting;

  while (give_one (self))
    ;

  g_mutex_lock (&self->mutex);
  state = self->state;
  has_waiting = self->waiting.head != NULL;
  g_mutex_unlock (&self->mutex);
  if (state == AFORK_CALL_QUEUE_STATE_ABORTING)
    shut_down (self, AFORK_SHUTDOWN_MODE_ABORT);
  else if (state == AFORK_CALL_QUEUE_STATE_DRAINING && !has_waiting)
    shut_down (self, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
work (AForkCallQueue *self)
{
  GMainContext *home = _afork_context_peek (self->context);

  /* If it is gone, context_gone_cb() ends the calls. */
  if (home == NULL)
    return;

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

/* The main context of the pool is gone. The pool ends the calls that it has. */
static void
context_gone_cb (gpointer data)
{
  g_autoptr(AForkCallQueue) self = g_weak_ref_get (data);
  g_autoptr(GError) error = NULL;

  g_weak_ref_clear (data);
  g_free (data);
  if (self == NULL)
    return;

  error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                               _("The main context of the pool is gone"));
  g_mutex_lock (&self->mutex);
  self->watch = NULL;
  fail_waiting (self, error);
  if (self->state < AFORK_CALL_QUEUE_STATE_CLOSED)
    set_state (self, AFORK_CALL_QUEUE_STATE_CLOSED);
  g_mutex_unlock (&self->mutex);
}

/* The object. */

static void
afork_call_queue_constructed (GObject *object)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);
  GWeakRef *watch = g_new (GWeakRef, 1);

  G_OBJECT_CLASS (afork_call_queue_parent_class)->constructed (object);

  if (self->pool == NULL)
    {
      self->context = _afork_context_ref_nowhere ();
      self->state = AFORK_CALL_QUEUE_STATE_CLOSED;
      g_free (watch);
      return;
    }

  self->context = _afork_context_ref (_afork_pool_get_context (self->pool));
  g_weak_ref_init (watch, self);
  self->watch = watch;
  if (_afork_context_watch (self->context, context_gone_cb, watch))
    return;

  if (!is_inherited (self))
    {
      context_gone_cb (watch);
      return;
    }

  g_weak_ref_clear (watch);
  g_free (g_steal_pointer (&self->watch));
}

/* The queue has no calls: the pool and work_cb() hold references, and calls that wait are given to
 * the pool sooner or later. In a fork of the program, it may have some. */
static void
afork_call_queue_finalize (GObject *object)
{
  AForkCallQueue *self = AFORK_CALL_QUEUE (object);

  if (self->watch != NULL
      && _afork_context_unwatch (self->context, context_gone_cb, self->watch))
    {
      g_weak_ref_clear (self->watch);
      g_free (self->watch);
    }
  for (guint i = 2; i < self->results->len; i += RESULT_SIZE)
    g_variant_unref ((GVariant *) (guintptr) g_array_index (self->results, guint64, i));
  g_array_unref (self->results);
  while (self->waiting.head != NULL)
    {
      GVariant *args = take_call (self, self->waiting.head->data);

      g_clear_pointer (&args, g_variant_unref);
    }
  g_hash_table_unref (self->calls);
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
  object_class->finalize = afork_call_queue_finalize;
  object_class->get_property = afork_call_queue_get_property;
  object_class->set_property = afork_call_queue_set_property;

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
  self->results = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->limit = G_MAXUINT;
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
 * Removes a call that the pool has not got. The pool has some calls more than its workers, so that
 * no worker waits. A call that was removed has no result. Call this in any thread.
 *
 * Returns: true if the call was removed; false if the pool has it, or it has ended
 *
 * Since: 0.1
 */
gboolean
afork_call_queue_remove (AForkCallQueue *self,
                         guint64         id)
{
  g_autoptr(GVariant) args = NULL;
  Call *call;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), FALSE);

  if (is_inherited (self))
    return FALSE;

  g_mutex_lock (&self->mutex);
  call = g_hash_table_lookup (self->calls, &id);
  if (call != NULL)
    args = take_call (self, call);
  g_mutex_unlock (&self->mutex);
  return call != NULL;
}

/**
 * afork_call_queue_contains:
 * @self: a call queue
 * @id: the number of a call
 *
 * Gets whether [method@AFork.CallQueue.remove] would remove a call. Call this in any thread.
 *
 * Returns: true if the pool has not got the call yet
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

/**
 * afork_call_queue_wait:
 * @self: a call queue
 *
 * Blocks until there are results, or there will be none any more: the queue was closed, and all
 * workers have exited. If several threads wait, one of them is woken for a result. Call this in any
 * thread but the one that serves the pool.
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
 * 3. the address of a [struct@GLib.Variant], whose reference the caller gets: the result of the
 *    call; or `(sis)` if it has failed: domain, code and message of an error, as
 *    [method@AFork.Pool.call_finish] has it
 *
 * Call this in any thread. Results that are never taken are freed with the queue.
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
  GArray *empty, *results;
  guint64 *numbers;

  g_return_val_if_fail (AFORK_IS_CALL_QUEUE (self), NULL);
  g_return_val_if_fail (n_numbers != NULL, NULL);

  *n_numbers = 0;
  if (is_inherited (self))
    return NULL;

  empty = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_mutex_lock (&self->mutex);
  results = g_steal_pointer (&self->results);
  self->results = empty;
  g_mutex_unlock (&self->mutex);
  numbers = g_array_steal (results, n_numbers);
  g_array_unref (results);
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

  set_state (self, state);
  if (state == AFORK_CALL_QUEUE_STATE_ABORTING)
    {
      g_autoptr(GError) error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                                     _("The call queue was closed"));

      fail_waiting (self, error);
    }
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
