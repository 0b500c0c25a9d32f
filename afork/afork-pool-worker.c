/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-pool-worker.h"
#include "afork-pool-worker-private.h"

#include "afork-enum-types.h"
#include "afork-process.h"

struct _AForkPoolWorker
{
  GObject                parent_instance;
  AForkProcess          *process;
  char                  *host;          /* or NULL */
  AForkPoolWorkerValues  values;
};

/**
 * AForkPoolWorker:
 *
 * One worker of a pool, for programs that show the workers.
 *
 * [method@AFork.Pool.get_workers] returns a list of these objects. The properties are read-only,
 * and are notified when they change. They are up to date as long as the program has a reference to
 * the list. Use a worker only in the thread of the pool.
 *
 * Since: 0.1
 */
enum
{
  PROP_0,
  PROP_CALLS,
  PROP_HOST,
  PROP_N_JOBS,
  PROP_PID,
  PROP_PROCESS,
  PROP_RSS,
  PROP_STATE,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (AForkPoolWorker, afork_pool_worker, G_TYPE_OBJECT)

static void
afork_pool_worker_finalize (GObject *object)
{
  AForkPoolWorker *self = AFORK_POOL_WORKER (object);

  g_clear_object (&self->process);
  g_free (self->host);
  G_OBJECT_CLASS (afork_pool_worker_parent_class)->finalize (object);
}

static void
afork_pool_worker_get_property (GObject    *object,
                                guint       id,
                                GValue     *value,
                                GParamSpec *pspec)
{
  AForkPoolWorker *self = AFORK_POOL_WORKER (object);

  switch (id)
    {
    case PROP_CALLS:
      g_value_set_uint (value, self->values.calls);
      break;
    case PROP_HOST:
      g_value_set_string (value, afork_pool_worker_get_host (self));
      break;
    case PROP_N_JOBS:
      g_value_set_uint (value, self->values.n_jobs);
      break;
    case PROP_PID:
      g_value_set_int (value, self->values.pid);
      break;
    case PROP_PROCESS:
      g_value_set_object (value, self->process);
      break;
    case PROP_RSS:
      g_value_set_uint64 (value, self->values.rss);
      break;
    case PROP_STATE:
      g_value_set_enum (value, self->values.state);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_pool_worker_class_init (AForkPoolWorkerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = afork_pool_worker_finalize;
  object_class->get_property = afork_pool_worker_get_property;

  /**
   * AForkPoolWorker:calls: (getter get_calls)
   *
   * How many jobs the worker has got.
   *
   * Since: 0.1
   */
  props[PROP_CALLS] =
    g_param_spec_uint ("calls", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPoolWorker:host: (getter get_host)
   *
   * The name of the host that the worker is on, as [method@AFork.Process.dup_host] has it, or
   * `NULL` for this one.
   *
   * Since: 0.1
   */
  props[PROP_HOST] =
    g_param_spec_string ("host", NULL, NULL,
                         NULL,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPoolWorker:n-jobs: (getter get_n_jobs)
   *
   * How many jobs the worker has now.
   *
   * Since: 0.1
   */
  props[PROP_N_JOBS] =
    g_param_spec_uint ("n-jobs", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPoolWorker:pid: (getter get_pid)
   *
   * The process ID, or 0 if it is not known yet or the worker is on another host. See
   * [method@AFork.Process.get_remote_pid].
   *
   * Since: 0.1
   */
  props[PROP_PID] =
    g_param_spec_int ("pid", NULL, NULL,
                      0, G_MAXINT, 0,
                      G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPoolWorker:process: (getter get_process)
   *
   * The process of the worker. Use it only for messages, and to end the worker by
   * [method@AFork.Process.force_exit].
   *
   * Since: 0.1
   */
  props[PROP_PROCESS] =
    g_param_spec_object ("process", NULL, NULL,
                         AFORK_TYPE_PROCESS,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPoolWorker:rss: (getter get_rss)
   *
   * The resident memory of the worker in bytes, or 0 if it is not known. It is measured after jobs,
   * as described for [property@AFork.Pool:max-memory].
   *
   * Since: 0.1
   */
  props[PROP_RSS] =
    g_param_spec_uint64 ("rss", NULL, NULL,
                         0, G_MAXUINT64, 0,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkPoolWorker:state: (getter get_state)
   *
   * What the worker does.
   *
   * Since: 0.1
   */
  props[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL,
                       AFORK_TYPE_POOL_WORKER_STATE, AFORK_POOL_WORKER_STATE_STARTING,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
afork_pool_worker_init (AForkPoolWorker *self)
{
}

AForkPoolWorker *
_afork_pool_worker_new (AForkProcess *process)
{
  AForkPoolWorker *self = g_object_new (AFORK_TYPE_POOL_WORKER, NULL);

  self->process = g_object_ref (process);
  self->host = afork_process_dup_host (process);
  return self;
}

void
_afork_pool_worker_set_values (AForkPoolWorker             *self,
                               const AForkPoolWorkerValues *values)
{
  const AForkPoolWorkerValues old = self->values;
  GObject *object = G_OBJECT (self);

  self->values = *values;
  if (values->pid != old.pid)
    g_object_notify_by_pspec (object, props[PROP_PID]);
  if (values->state != old.state)
    g_object_notify_by_pspec (object, props[PROP_STATE]);
  if (values->calls != old.calls)
    g_object_notify_by_pspec (object, props[PROP_CALLS]);
  if (values->n_jobs != old.n_jobs)
    g_object_notify_by_pspec (object, props[PROP_N_JOBS]);
  if (values->rss != old.rss)
    g_object_notify_by_pspec (object, props[PROP_RSS]);
}

void
_afork_pool_worker_set_exited (AForkPoolWorker *self)
{
  AForkPoolWorkerValues values = self->values;

  values.state = AFORK_POOL_WORKER_STATE_EXITED;
  values.n_jobs = 0;
  g_object_freeze_notify (G_OBJECT (self));
  _afork_pool_worker_set_values (self, &values);
  g_object_thaw_notify (G_OBJECT (self));
}

/**
 * afork_pool_worker_get_process: (get-property process)
 * @self: a worker
 *
 * Gets the process of the worker. Use it only for messages, and to end the worker by
 * [method@AFork.Process.force_exit].
 *
 * Returns: (transfer none): the process
 *
 * Since: 0.1
 */
AForkProcess *
afork_pool_worker_get_process (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), NULL);

  return self->process;
}

/**
 * afork_pool_worker_get_pid: (get-property pid)
 * @self: a worker
 *
 * Gets the process ID of the worker.
 *
 * Returns: the process ID, or 0 if it is not known yet or the worker is on another host
 *
 * Since: 0.1
 */
GPid
afork_pool_worker_get_pid (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), 0);

  return self->values.pid;
}

/**
 * afork_pool_worker_get_host: (get-property host)
 * @self: a worker
 *
 * Gets the name of the host that the worker is on.
 *
 * Returns: (transfer none) (nullable): the name, or `NULL` for this host
 *
 * Since: 0.1
 */
const char *
afork_pool_worker_get_host (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), NULL);

  return self->host;
}

/**
 * afork_pool_worker_get_state: (get-property state)
 * @self: a worker
 *
 * Gets what the worker does.
 *
 * Returns: the state
 *
 * Since: 0.1
 */
AForkPoolWorkerState
afork_pool_worker_get_state (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), AFORK_POOL_WORKER_STATE_EXITED);

  return self->values.state;
}

/**
 * afork_pool_worker_get_calls: (get-property calls)
 * @self: a worker
 *
 * Gets how many jobs the worker has got.
 *
 * Returns: a number of jobs
 *
 * Since: 0.1
 */
guint
afork_pool_worker_get_calls (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), 0);

  return self->values.calls;
}

/**
 * afork_pool_worker_get_n_jobs: (get-property n-jobs)
 * @self: a worker
 *
 * Gets how many jobs the worker has now.
 *
 * Returns: a number of jobs
 *
 * Since: 0.1
 */
guint
afork_pool_worker_get_n_jobs (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), 0);

  return self->values.n_jobs;
}

/**
 * afork_pool_worker_get_rss: (get-property rss)
 * @self: a worker
 *
 * Gets the resident memory of the worker, when it was last measured.
 *
 * Returns: bytes, or 0 if it is not known
 *
 * Since: 0.1
 */
guint64
afork_pool_worker_get_rss (AForkPoolWorker *self)
{
  g_return_val_if_fail (AFORK_IS_POOL_WORKER (self), 0);

  return self->values.rss;
}
