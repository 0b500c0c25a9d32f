/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-job.h"
#include "afork-job-private.h"

#include "afork-enum-types.h"
#include "base/atfork.h"

/**
 * AForkJob:
 *
 * A call with descriptors, blobs, a time limit, and progress.
 *
 * Descriptors, blobs and a time limit can be set before the job is run. While the job runs, it
 * reports its state and its progress. Afterwards it has the descriptors and blobs that came with
 * the result. A job is run once, by [method@AFork.Rpc.run_job_async] or
 * [method@AFork.Pool.run_job_async].
 *
 * Blobs are bytes that are sent beside the arguments and the result. Large data, such as an image,
 * is copied less often as a blob than as a part of a value, and does not count to the value's size.
 *
 * A job belongs to the thread of the object that runs it; [method@AFork.Job.cancel] may be called
 * from any thread.
 *
 * Since: 0.1
 */
struct _AForkJob
{
  GObject        parent_instance;

  GVariant      *args;
  GUnixFDList   *fds;
  GPtrArray     *blobs;
  guint          timeout;
  int            priority;
  char          *key;
  guint          retries;
  gboolean       coalesce;
  void         (*priority_func) (gpointer data);  /* or NULL */
  gpointer       priority_data;
  void         (*end_func) (gpointer data);       /* or NULL */
  gpointer       end_data;
  AForkJobState  state;
  gboolean       begun;
  AForkMutex     cancel_lock;   /* protects the fields below up to cancel_data */
  gboolean       is_cancelled;
  void         (*cancel_func) (gpointer data);  /* or NULL */
  gpointer       cancel_data;
  GUnixFDList   *result_fds;
  GPtrArray     *result_blobs;
  GVariant      *result;        /* or NULL */
  GError        *error;         /* or NULL */
  guint          index;         /* or G_MAXUINT */
};

enum
{
  PROP_0,
  PROP_ARGS,
  PROP_BEGUN,
  PROP_COALESCE,
  PROP_ERROR,
  PROP_FDS,
  PROP_INDEX,
  PROP_KEY,
  PROP_PRIORITY,
  PROP_RESULT,
  PROP_RESULT_FDS,
  PROP_RETRIES,
  PROP_STATE,
  PROP_TIMEOUT,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

enum { SIGNAL_PROGRESS, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (AForkJob, afork_job, G_TYPE_OBJECT)

/* Whether the job can still be changed. Setters do nothing to a job that was run. */
static gboolean
is_new (AForkJob *self)
{
  if (self->state == AFORK_JOB_STATE_NEW)
    return TRUE;

  g_debug ("A job that was run cannot be changed");
  return FALSE;
}

static void
afork_job_dispose (GObject *object)
{
  AForkJob *self = AFORK_JOB (object);

  g_clear_object (&self->fds);
  g_clear_object (&self->result_fds);
  G_OBJECT_CLASS (afork_job_parent_class)->dispose (object);
}

static void
afork_job_finalize (GObject *object)
{
  AForkJob *self = AFORK_JOB (object);

  g_clear_pointer (&self->args, g_variant_unref);
  g_clear_pointer (&self->result, g_variant_unref);
  g_clear_error (&self->error);
  g_free (self->key);
  g_clear_pointer (&self->blobs, g_ptr_array_unref);
  g_clear_pointer (&self->result_blobs, g_ptr_array_unref);
  G_OBJECT_CLASS (afork_job_parent_class)->finalize (object);
}

static void
afork_job_constructed (GObject *object)
{
  AForkJob *self = AFORK_JOB (object);

  if (self->args == NULL)
    self->args = g_variant_ref_sink (g_variant_new_tuple (NULL, 0));
  G_OBJECT_CLASS (afork_job_parent_class)->constructed (object);
}

static void
afork_job_get_property (GObject    *object,
                        guint       id,
                        GValue     *value,
                        GParamSpec *pspec)
{
  AForkJob *self = AFORK_JOB (object);

  switch (id)
    {
    case PROP_ARGS:
      g_value_set_variant (value, self->args);
      break;
    case PROP_BEGUN:
      g_value_set_boolean (value, self->begun);
      break;
    case PROP_COALESCE:
      g_value_set_boolean (value, self->coalesce);
      break;
    case PROP_ERROR:
      g_value_set_boxed (value, self->error);
      break;
    case PROP_FDS:
      g_value_set_object (value, self->fds);
      break;
    case PROP_INDEX:
      g_value_set_uint (value, self->index);
      break;
    case PROP_KEY:
      g_value_set_string (value, self->key);
      break;
    case PROP_PRIORITY:
      g_value_set_int (value, self->priority);
      break;
    case PROP_RESULT:
      g_value_set_variant (value, self->result);
      break;
    case PROP_RESULT_FDS:
      g_value_set_object (value, self->result_fds);
      break;
    case PROP_RETRIES:
      g_value_set_uint (value, self->retries);
      break;
    case PROP_STATE:
      g_value_set_enum (value, self->state);
      break;
    case PROP_TIMEOUT:
      g_value_set_uint (value, self->timeout);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_job_set_property (GObject      *object,
                        guint         id,
                        const GValue *value,
                        GParamSpec   *pspec)
{
  AForkJob *self = AFORK_JOB (object);

  switch (id)
    {
    case PROP_ARGS:
      self->args = g_value_dup_variant (value);
      break;
    case PROP_COALESCE:
      afork_job_set_coalesce (self, g_value_get_boolean (value));
      break;
    case PROP_FDS:
      afork_job_set_fds (self, g_value_get_object (value));
      break;
    case PROP_KEY:
      afork_job_set_key (self, g_value_get_string (value));
      break;
    case PROP_PRIORITY:
      afork_job_set_priority (self, g_value_get_int (value));
      break;
    case PROP_RETRIES:
      afork_job_set_retries (self, g_value_get_uint (value));
      break;
    case PROP_TIMEOUT:
      afork_job_set_timeout (self, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
afork_job_class_init (AForkJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = afork_job_dispose;
  object_class->finalize = afork_job_finalize;
  object_class->constructed = afork_job_constructed;
  object_class->get_property = afork_job_get_property;
  object_class->set_property = afork_job_set_property;

  /**
   * AForkJob:args: (getter get_args)
   *
   * The arguments: any value up to 1 GiB; `()` if none were given. A handle (`h`) in it is an index
   * into [property@AFork.Job:fds]. If the value is larger, or there are too many descriptors or
   * blobs, the job fails with `G_IO_ERROR_MESSAGE_TOO_LARGE`.
   *
   * Since: 0.1
   */
  props[PROP_ARGS] =
    g_param_spec_variant ("args", NULL, NULL,
                          G_VARIANT_TYPE_ANY, NULL,
                          G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:begun: (getter get_begun)
   *
   * Whether the worker's function was entered for the job. This stays when the job has ended: a job
   * that failed because its worker crashed, and was not begun, has done nothing.
   *
   * Since: 0.1
   */
  props[PROP_BEGUN] =
    g_param_spec_boolean ("begun", NULL, NULL,
                          FALSE,
                          G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:coalesce: (getter get_coalesce) (setter set_coalesce)
   *
   * Whether the job may share one run with equal jobs of the same pool. If another job with this
   * property waits or runs there, and has the same [property@AFork.Job:key], arguments and blobs,
   * the worker's function is called once for both of them. Values are equal if they have the same
   * type and are equal byte by byte. Jobs with descriptors, and jobs with more than 1 MiB of key,
   * arguments and blobs, are always run by themselves.
   *
   * Each of the jobs ends by itself:
   *
   * - All of them get the result, or a copy of the error. They also get the same descriptors, and
   *   each has its own copy of the blobs.
   * - If one of them is cancelled, the others go on. The work is cancelled when all of them are.
   * - Each has its own [property@AFork.Job:timeout]. If the work has begun before, the time starts
   *   when the job is run.
   * - Each reports its state and its progress: the progress since the job was run.
   * - The highest [property@AFork.Job:priority] counts, and the highest
   *   [property@AFork.Job:retries]: if their worker exits, all of them are run again.
   *
   * Together they count as one job for [property@AFork.Pool:queue-limit],
   * [property@AFork.Pool:n-queued] and [property@AFork.Pool:n-running]. A job that joins another
   * one is accepted even if the queue is full.
   *
   * Since: 0.1
   */
  props[PROP_COALESCE] =
    g_param_spec_boolean ("coalesce", NULL, NULL,
                          FALSE,
                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:error: (getter get_error)
   *
   * Why the job failed, or `NULL` if it has not ended or has succeeded.
   *
   * Since: 0.1
   */
  props[PROP_ERROR] =
    g_param_spec_boxed ("error", NULL, NULL,
                        G_TYPE_ERROR,
                        G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:fds: (getter get_fds) (setter set_fds)
   *
   * Descriptors that are sent with the arguments, at most 1024. They cannot be changed once the job
   * is run. If the worker's runtime cannot pass descriptors
   * ([property@AFork.Runtime:can-pass-fds]), the job fails with `AFORK_ERROR_NOT_SUPPORTED`.
   *
   * Both processes need room for that many more descriptors. For more than a few hundred, raise the
   * limit (`RLIMIT_NOFILE`), which is usually 1024.
   *
   * Since: 0.1
   */
  props[PROP_FDS] =
    g_param_spec_object ("fds", NULL, NULL,
                         G_TYPE_UNIX_FD_LIST,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:index: (getter get_index)
   *
   * The index of the item of an [class@AFork.Map] that the job belongs to, or `G_MAXUINT` if no map
   * has run the job. If the items are a list, this is the position of the job when the map returned
   * it, and `G_MAXUINT` before.
   *
   * Since: 0.1
   */
  props[PROP_INDEX] =
    g_param_spec_uint ("index", NULL, NULL,
                       0, G_MAXUINT, G_MAXUINT,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:key: (getter get_key) (setter set_key)
   *
   * What the job works on, or `NULL`. A pool prefers to give a job to the worker that last had one
   * with the same key, because that may have kept what it needs: a font, for example, or an open
   * file. The job then waits behind fewer than [property@AFork.Pool:load] others.
   *
   * Since: 0.1
   */
  props[PROP_KEY] =
    g_param_spec_string ("key", NULL, NULL,
                         NULL,
                         G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:priority: (getter get_priority) (setter set_priority)
   *
   * The priority of the job among those that wait in a pool. Jobs with a higher priority are run
   * first, and those of one priority in the order in which they were queued.
   *
   * Since: 0.1
   */
  props[PROP_PRIORITY] =
    g_param_spec_int ("priority", NULL, NULL,
                      G_MININT, G_MAXINT, 0,
                      G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:result: (getter get_result)
   *
   * The result, or `NULL` if the job has not ended or has failed.
   *
   * Since: 0.1
   */
  props[PROP_RESULT] =
    g_param_spec_variant ("result", NULL, NULL,
                          G_VARIANT_TYPE_ANY, NULL,
                          G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:result-fds: (getter get_result_fds)
   *
   * Descriptors that came with the result. A handle (`h`) in the result is an index into them.
   *
   * Since: 0.1
   */
  props[PROP_RESULT_FDS] =
    g_param_spec_object ("result-fds", NULL, NULL,
                         G_TYPE_UNIX_FD_LIST,
                         G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:retries: (getter get_retries) (setter set_retries)
   *
   * How many more times a pool may run the job if its worker exits while it runs. Set this only if
   * running the job twice does no harm. A job that has ended two workers is not run again. If a
   * worker exits before it begins with the job, no retry is used up.
   *
   * Since: 0.1
   */
  props[PROP_RETRIES] =
    g_param_spec_uint ("retries", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:state: (getter get_state)
   *
   * How far the job has come. The state only goes forward.
   *
   * Since: 0.1
   */
  props[PROP_STATE] =
    g_param_spec_enum ("state", NULL, NULL,
                       AFORK_TYPE_JOB_STATE, AFORK_JOB_STATE_NEW,
                       G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  /**
   * AForkJob:timeout: (getter get_timeout) (setter set_timeout)
   *
   * How long the job may take, in milliseconds, or 0 for no limit. A job that takes longer fails
   * with `AFORK_ERROR_TIMED_OUT`, and in the worker [method@AFork.Call.get_cancellable] is
   * cancelled.
   *
   * The time starts when the worker can begin with the job: the job has been sent, the worker's
   * init-function has returned, and if the worker serves one call at a time, earlier calls have
   * ended. It starts again, once, when the worker reports that it begins with the job. So the time
   * that a job waits for other calls does not count, and a worker that reports nothing has the same
   * time.
   *
   * A job whose answer arrives in time succeeds, also if this program reads the answer later.
   *
   * Since: 0.1
   */
  props[PROP_TIMEOUT] =
    g_param_spec_uint ("timeout", NULL, NULL,
                       0, G_MAXUINT, 0,
                       G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);

  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AForkJob::progress:
   * @self: the job
   * @progress: what the worker reported
   *
   * Emitted for each [method@AFork.Call.report] of the worker, in order, before the job ends.
   *
   * Since: 0.1
   */
  signals[SIGNAL_PROGRESS] =
    g_signal_new ("progress", AFORK_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_VARIANT);
}

static void
afork_job_init (AForkJob *self)
{
  self->index = G_MAXUINT;
}

/* In a fork of the program, what watched the job belongs to the parent. */
static void
lock_cancel (AForkJob *self)
{
  if (!_afork_mutex_lock (&self->cancel_lock))
    self->cancel_func = NULL;
}

/**
 * afork_job_new:
 * @args: (nullable): the arguments, any value up to 1 GiB; a floating one is taken, and `NULL` is
 *   `()`
 *
 * Creates a job.
 *
 * Returns: (transfer full): a job
 *
 * Since: 0.1
 */
AForkJob *
afork_job_new (GVariant *args)
{
  return g_object_new (AFORK_TYPE_JOB, "args", args, NULL);
}

/**
 * afork_job_get_args: (get-property args)
 * @self: a job
 *
 * Gets the arguments that the worker's function gets, as they were given to [ctor@AFork.Job.new]. A
 * job that was made without arguments has the empty tuple `()`.
 *
 * Returns: (transfer none): the arguments
 *
 * Since: 0.1
 */
GVariant *
afork_job_get_args (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);

  return self->args;
}

/**
 * afork_job_get_fds: (get-property fds)
 * @self: a job
 *
 * Gets the list of descriptors that go with the arguments. The list belongs to the job. The worker
 * gets duplicates of the descriptors, from [method@AFork.Call.get_fds].
 *
 * Returns: (transfer none) (nullable): the descriptors, or `NULL`
 *
 * Since: 0.1
 */
GUnixFDList *
afork_job_get_fds (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);

  return self->fds;
}

/**
 * afork_job_set_fds: (set-property fds)
 * @self: a job that was not run
 * @fds: (nullable): descriptors, or `NULL`
 *
 * Sets the descriptors that go with the arguments, at most 1024. The arguments refer to them by
 * handles (`h`), which are indices into the list. The job keeps a reference to the list until it is
 * freed; a descriptor that was added by [method@Gio.UnixFDList.append] is a duplicate, so the
 * original may be closed at once. Does nothing after the job was run.
 *
 * If the worker's runtime cannot pass descriptors, running the job fails with
 * `AFORK_ERROR_NOT_SUPPORTED`.
 *
 * Since: 0.1
 */
void
afork_job_set_fds (AForkJob    *self,
                   GUnixFDList *fds)
{
  g_return_if_fail (AFORK_IS_JOB (self));
  g_return_if_fail (fds == NULL || G_IS_UNIX_FD_LIST (fds));
  if (!is_new (self))
    return;

  if (g_set_object (&self->fds, fds))
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_FDS]);
}

/**
 * afork_job_add_blob:
 * @self: a job that was not run
 * @blob: bytes
 *
 * Adds a blob, which is sent to the worker beside the arguments. A job can have 1024 blobs with
 * 1 GiB together. The worker gets them from [method@AFork.Call.get_blobs].
 *
 * Returns: the index of the blob, from 0; or `G_MAXUINT` if the job was run before: then the blob
 *   is not added
 *
 * Since: 0.1
 */
guint
afork_job_add_blob (AForkJob *self,
                    GBytes   *blob)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), 0);
  g_return_val_if_fail (blob != NULL, 0);
  if (!is_new (self))
    return G_MAXUINT;

  if (self->blobs == NULL)
    self->blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_ptr_array_add (self->blobs, g_bytes_ref (blob));
  return self->blobs->len - 1;
}

GPtrArray *
_afork_job_get_blobs (AForkJob *self)
{
  return self->blobs;
}

/**
 * afork_job_get_timeout: (get-property timeout)
 * @self: a job
 *
 * Gets how long the job may take, in milliseconds, before it fails with `AFORK_ERROR_TIMED_OUT`.
 * The default is 0, which is no limit. Time that the job waits for other calls does not count: see
 * [property@AFork.Job:timeout].
 *
 * Returns: milliseconds, or 0
 *
 * Since: 0.1
 */
guint
afork_job_get_timeout (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), 0);

  return self->timeout;
}

/**
 * afork_job_set_timeout: (set-property timeout)
 * @self: a job that was not run
 * @timeout: milliseconds, or 0
 *
 * Sets how long the job may take before it fails with `AFORK_ERROR_TIMED_OUT`. The time starts when
 * the worker can begin with the job, and once more when the worker reports that it does. Time that
 * the job waits for other calls does not count. Does nothing after the job was run.
 *
 * The worker is not killed when the time is over. Its function can notice it by
 * [method@AFork.Call.get_cancellable].
 *
 * Since: 0.1
 */
void
afork_job_set_timeout (AForkJob *self,
                       guint     timeout)
{
  g_return_if_fail (AFORK_IS_JOB (self));
  if (!is_new (self))
    return;

  if (self->timeout == timeout)
    return;

  self->timeout = timeout;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TIMEOUT]);
}

/**
 * afork_job_get_priority: (get-property priority)
 * @self: a job
 *
 * Gets the priority of the job among those that wait in a pool. The default is 0.
 *
 * Returns: any number; a job with a higher one is run first
 *
 * Since: 0.1
 */
int
afork_job_get_priority (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), 0);

  return self->priority;
}

/**
 * afork_job_set_priority: (set-property priority)
 * @self: a job that was not run, or is queued
 * @priority: any number; a job with a higher one is run first
 *
 * Sets the priority of the job among those that wait in a pool. A job that waits goes behind all
 * others of @priority. Does nothing once the job runs, and has no effect on a job that is run
 * without a pool.
 *
 * Since: 0.1
 */
void
afork_job_set_priority (AForkJob *self,
                        int       priority)
{
  g_return_if_fail (AFORK_IS_JOB (self));

  if (self->state > AFORK_JOB_STATE_QUEUED)
    {
      g_debug ("The priority of a job that runs, or has ended, cannot be changed");
      return;
    }
  if (self->priority == priority)
    return;

  g_object_ref (self);
  self->priority = priority;
  if (self->priority_func != NULL)
    self->priority_func (self->priority_data);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_PRIORITY]);
  g_object_unref (self);
}

void
_afork_job_watch_priority (AForkJob  *self,
                           void     (*func) (gpointer data),
                           gpointer   data)
{
  self->priority_func = func;
  self->priority_data = data;
}

/**
 * afork_job_get_key: (get-property key)
 * @self: a job
 *
 * Gets what the job works on: see [property@AFork.Job:key].
 *
 * Returns: (transfer none) (nullable): a string of the program's choice, or `NULL`
 *
 * Since: 0.1
 */
const char *
afork_job_get_key (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);

  return self->key;
}

/**
 * afork_job_set_key: (set-property key)
 * @self: a job that was not run
 * @key: (nullable): a string of the program's choice, or `NULL`
 *
 * Sets what the job works on. A pool prefers to give jobs with the same key to the same worker: see
 * [property@AFork.Job:key]. Does nothing after the job was run, and has no effect on a job that is
 * run without a pool.
 *
 * Since: 0.1
 */
void
afork_job_set_key (AForkJob   *self,
                   const char *key)
{
  g_return_if_fail (AFORK_IS_JOB (self));
  if (!is_new (self) || g_strcmp0 (self->key, key) == 0)
    return;

  g_free (self->key);
  self->key = g_strdup (key);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_KEY]);
}

/**
 * afork_job_get_retries: (get-property retries)
 * @self: a job
 *
 * Gets how many more times a pool may run the job if its worker exits while it runs. The default is
 * 0: the job then fails.
 *
 * Returns: a number of times
 *
 * Since: 0.1
 */
guint
afork_job_get_retries (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), 0);

  return self->retries;
}

/**
 * afork_job_set_retries: (set-property retries)
 * @self: a job that was not run
 * @retries: a number of times
 *
 * Sets how many more times a pool may run the job if its worker exits while it runs. If the worker
 * had not begun with the job, another worker gets it in any case, and this does not count. Does
 * nothing after the job was run, and has no effect on a job that is run without a pool.
 *
 * Since: 0.1
 */
void
afork_job_set_retries (AForkJob *self,
                       guint     retries)
{
  g_return_if_fail (AFORK_IS_JOB (self));
  if (!is_new (self) || self->retries == retries)
    return;

  self->retries = retries;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_RETRIES]);
}

/**
 * afork_job_get_coalesce: (get-property coalesce)
 * @self: a job
 *
 * Returns whether the job may share one run with equal jobs: see [property@AFork.Job:coalesce].
 *
 * Returns: whether it may
 *
 * Since: 0.1
 */
gboolean
afork_job_get_coalesce (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), FALSE);

  return self->coalesce;
}

/**
 * afork_job_set_coalesce: (set-property coalesce)
 * @self: a job that was not run
 * @coalesce: whether the job may share one run with equal jobs
 *
 * Sets whether the job may share one run with equal jobs of the same pool: see
 * [property@AFork.Job:coalesce]. Does nothing after the job was run, and has no effect on a job
 * that is run without a pool.
 *
 * Since: 0.1
 */
void
afork_job_set_coalesce (AForkJob *self,
                        gboolean  coalesce)
{
  g_return_if_fail (AFORK_IS_JOB (self));
  if (!is_new (self) || self->coalesce == !!coalesce)
    return;

  self->coalesce = !!coalesce;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_COALESCE]);
}

/**
 * afork_job_get_state: (get-property state)
 * @self: a job
 *
 * Gets how far the job has come. The state only goes forward, from new to queued, running, and
 * succeeded, failed or cancelled. Connect to `notify::state` to be informed of changes.
 *
 * Returns: its state
 *
 * Since: 0.1
 */
AForkJobState
afork_job_get_state (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), AFORK_JOB_STATE_NEW);

  return self->state;
}

/**
 * afork_job_get_begun: (get-property begun)
 * @self: a job
 *
 * Returns whether the worker's function was entered for the job. The value stays after the job has
 * ended. If a job failed because its worker crashed, and had not begun, it has had no effect and
 * can be given to another worker, as a new job with the same arguments.
 *
 * Returns: whether the worker has begun with it
 *
 * Since: 0.1
 */
gboolean
afork_job_get_begun (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), FALSE);

  return self->begun;
}

void
_afork_job_set_begun (AForkJob *self)
{
  if (self->begun)
    return;

  self->begun = TRUE;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_BEGUN]);
}

void
_afork_job_set_state (AForkJob      *self,
                      AForkJobState  state)
{
  g_autoptr(AForkJob) kept G_GNUC_UNUSED = g_object_ref (self);

  self->state = state;
  if (state == AFORK_JOB_STATE_RUNNING)
    _afork_job_set_begun (self);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_STATE]);
}

static AForkJobState
get_end_state (const GError *error)
{
  if (error == NULL)
    return AFORK_JOB_STATE_SUCCEEDED;

  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
    ? AFORK_JOB_STATE_CANCELLED : AFORK_JOB_STATE_FAILED;
}

void
_afork_job_set_end (AForkJob     *self,
                    GVariant     *value,
                    const GError *error)
{
  g_autoptr(AForkJob) kept G_GNUC_UNUSED = g_object_ref (self);
  void (*end_func) (gpointer data);

  if (value != NULL)
    self->result = g_variant_ref (value);
  if (error != NULL)
    self->error = g_error_copy (error);
  end_func = g_steal_pointer (&self->end_func);
  if (end_func != NULL)
    end_func (self->end_data);
  _afork_job_set_state (self, get_end_state (error));
  if (value != NULL)
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_RESULT]);
  if (error != NULL)
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_ERROR]);
}

void
_afork_job_watch_end (AForkJob  *self,
                      void     (*func) (gpointer data),
                      gpointer   data)
{
  self->end_func = func;
  self->end_data = data;
}

gboolean
_afork_job_is_observed (AForkJob *self)
{
  static guint notify;          /* atomic */

  if (g_atomic_int_get (&notify) == 0)
    g_atomic_int_set (&notify, g_signal_lookup ("notify", G_TYPE_OBJECT));

  return g_signal_handler_find (self, G_SIGNAL_MATCH_ID, g_atomic_int_get (&notify), 0, NULL,
                                NULL, NULL) != 0;
}

/**
 * afork_job_get_result_fds: (get-property result-fds)
 * @self: a job
 *
 * Gets the descriptors that came with the result. A handle (`h`) in the result is an index into
 * this list; check that it is less than the number of descriptors, because the worker chose it.
 *
 * The list belongs to the job, and the descriptors are closed when the job is freed. To keep a
 * descriptor longer, take a duplicate by [method@Gio.UnixFDList.get].
 *
 * Returns: (transfer none) (nullable): the descriptors, or `NULL` if none came
 *
 * Since: 0.1
 */
GUnixFDList *
afork_job_get_result_fds (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);

  return self->result_fds;
}

/**
 * afork_job_get_result_blobs:
 * @self: a job
 * @n_blobs: (out): how many there are
 *
 * Returns the blobs that came with the result, as [method@AFork.Call.add_result_blob] numbers them.
 *
 * Large blobs are in memory that is shared with the worker. This memory is used again once all
 * references to the blob are dropped: drop them soon, in any thread. See
 * [property@AFork.Rpc:trusted].
 *
 * Returns: (transfer none) (array length=n_blobs) (nullable): the blobs, or `NULL` if none came
 *
 * Since: 0.1
 */
GBytes **
afork_job_get_result_blobs (AForkJob *self,
                            gsize    *n_blobs)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);
  g_return_val_if_fail (n_blobs != NULL, NULL);

  *n_blobs = self->result_blobs != NULL ? self->result_blobs->len : 0;
  return self->result_blobs != NULL ? (GBytes **) self->result_blobs->pdata : NULL;
}

void
_afork_job_set_results (AForkJob    *self,
                        GUnixFDList *fds,
                        GPtrArray   *blobs)
{
  if (blobs != NULL)
    self->result_blobs = g_ptr_array_ref (blobs);
  if (g_set_object (&self->result_fds, fds))
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_RESULT_FDS]);
}

void
_afork_job_copy_results (AForkJob  *self,
                         AForkJob  *other,
                         GPtrArray *blobs)
{
  if (other->begun)
    _afork_job_set_begun (self);
  _afork_job_set_results (self, other->result_fds, blobs != NULL ? blobs : other->result_blobs);
}

void
_afork_job_emit_progress (AForkJob *self,
                          GVariant *progress)
{
  g_signal_emit (self, signals[SIGNAL_PROGRESS], 0, progress);
}

/**
 * afork_job_get_result: (get-property result)
 * @self: a job
 *
 * Gets the result of the job, which the function that finishes the job also returns.
 *
 * Returns: (transfer none) (nullable): the result, or `NULL` if the job has not ended or has failed
 *
 * Since: 0.1
 */
GVariant *
afork_job_get_result (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);

  return self->result;
}

/**
 * afork_job_get_error: (get-property error)
 * @self: a job
 *
 * Gets why the job failed: a copy of the error that the function that finishes the job returns.
 *
 * Returns: (transfer none) (nullable): the error, or `NULL` if the job has not ended or has
 *   succeeded
 *
 * Since: 0.1
 */
const GError *
afork_job_get_error (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), NULL);

  return self->error;
}

/**
 * afork_job_get_index: (get-property index)
 * @self: a job
 *
 * Gets the index of the item of an [class@AFork.Map] that the job belongs to: see
 * [property@AFork.Job:index].
 *
 * Returns: an index, from 0, or `G_MAXUINT` if no map has run the job
 *
 * Since: 0.1
 */
guint
afork_job_get_index (AForkJob *self)
{
  g_return_val_if_fail (AFORK_IS_JOB (self), G_MAXUINT);

  return self->index;
}

void
_afork_job_set_index (AForkJob *self,
                      guint     index)
{
  if (self->index == index)
    return;

  self->index = index;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_INDEX]);
}

/**
 * afork_job_cancel:
 * @self: a job
 *
 * Cancels the job, which then fails with `G_IO_ERROR_CANCELLED`, unless it has ended. The worker
 * does not begin with it; or if it has begun, [method@AFork.Call.get_cancellable] is cancelled
 * there. A job that was not run yet fails as soon as it is run. May be called from any thread.
 *
 * Since: 0.1
 */
void
afork_job_cancel (AForkJob *self)
{
  g_return_if_fail (AFORK_IS_JOB (self));

  lock_cancel (self);
  if (!self->is_cancelled && self->cancel_func != NULL)
    self->cancel_func (self->cancel_data);
  self->is_cancelled = TRUE;
  _afork_mutex_unlock (&self->cancel_lock);
}

gboolean
_afork_job_is_cancelled (AForkJob *self)
{
  gboolean is_cancelled;

  lock_cancel (self);
  is_cancelled = self->is_cancelled;
  _afork_mutex_unlock (&self->cancel_lock);
  return is_cancelled;
}

void
_afork_job_watch_cancel (AForkJob  *self,
                         void     (*func) (gpointer data),
                         gpointer   data)
{
  lock_cancel (self);
  self->cancel_func = func;
  self->cancel_data = data;
  if (func != NULL && self->is_cancelled)
    func (data);
  _afork_mutex_unlock (&self->cancel_lock);
}
