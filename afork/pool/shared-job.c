/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "shared-job.h"

#include "afork-job-private.h"
#include "base/memory.h"

enum
{
  /* How many bytes of blobs are copied at a time: this takes some tenths of a millisecond. */
  COPY_STEP = 1024 * 1024,
};

struct AForkSharedJob
{
  AForkSharedJobs     *jobs;
  AForkSharedJobState  state;
  AForkJobIdentity     identity;        /* its fields belong to `job` */
  AForkJob            *job;             /* what the worker gets, and sends back */
  AForkPendingCall    *call;            /* runs `job`; NULL once it has ended */
  AForkPoolJob        *pool_job;        /* the pool's; NULL once it has ended */
  guint                n_runs;          /* how often it was put back */
  GMainContext        *served_in;       /* of the members; NULL: each has its own */
  GVariant            *value;           /* or NULL */
  GError              *error;           /* or NULL */
  GPtrArray           *copies;          /* of blobs of the result, for the next member; or NULL */
  guint8              *copy;            /* of the blob after these, not complete; or NULL */
  gsize                n_copied;        /* bytes of it */

  GQueue               members;         /* of Member, with a reference each, in the order in which
                                         * they have joined */
  GQueue               late;            /* of Member: those whose time is over, and that wait, or
                                         * have waited, until this program has read what their
                                         * worker has sent */
  AForkJobQueue        priorities;      /* the members by their priority */
  int                  priority;        /* the highest one */

  GQueue               notices;         /* of Notice; the members are informed of the first one */
  GList               *next;            /* the next member that has to be informed, or NULL */
  GList                notices_link;    /* in `with_notices` if there are notices */
};

/* A call of the program. */
typedef struct
{
  AForkJobQueueEntry  entry;            /* first; in `priorities` */
  GList               link;             /* in `members` */
  GList               late_link;        /* in `late`; data is NULL if the member is not there */
  AForkSharedJob     *shared;
  AForkPendingCall   *call;
  guint               n_runs;           /* to which run its time limit belongs */
} Member;

typedef enum
{
  NOTICE_LIMIT,                         /* the time limits start, or do not count any more */
  NOTICE_RUNNING,
  NOTICE_PROGRESS,
  NOTICE_END,
} NoticeKind;

typedef struct
{
  NoticeKind  kind;
  GVariant   *progress;                 /* or NULL */
} Notice;

static void
drop_copies (AForkSharedJob *self)
{
  gsize n_blobs;
  GBytes **blobs = afork_job_get_result_blobs (self->job, &n_blobs);

  if (self->copy != NULL)
    _afork_memory_free (self->copy, g_bytes_get_size (blobs[self->copies->len]));
  self->copy = NULL;
  self->n_copied = 0;
  g_clear_pointer (&self->copies, g_ptr_array_unref);
}

static void
shared_job_clear (gpointer data)
{
  AForkSharedJob *self = data;

  g_assert (g_queue_is_empty (&self->members));
  g_assert (g_queue_is_empty (&self->notices));

  drop_copies (self);
  g_object_unref (self->job);
  g_clear_object (&self->call);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  _afork_job_queue_clear (&self->priorities);
}

static void
shared_job_unref (AForkSharedJob *self)
{
  g_rc_box_release_full (self, shared_job_clear);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkSharedJob, shared_job_unref)

/* The state. */

static gboolean
is_step (AForkSharedJobState from,
         AForkSharedJobState to)
{
  switch (to)
    {
    case AFORK_SHARED_JOB_WAITING:
      return from != AFORK_SHARED_JOB_ENDED;
    case AFORK_SHARED_JOB_READY:
      return from == AFORK_SHARED_JOB_WAITING;
    case AFORK_SHARED_JOB_RUNNING:
      return from == AFORK_SHARED_JOB_WAITING || from == AFORK_SHARED_JOB_READY;
    case AFORK_SHARED_JOB_ENDED:
      return from != AFORK_SHARED_JOB_ENDED;
    default:
      return FALSE;
    }
}

static void
set_state (AForkSharedJob      *self,
           AForkSharedJobState  state)
{
  g_assert (is_step (self->state, state));

  self->state = state;
}

/* Notices. */

static void
add_notice (AForkSharedJob *self,
            NoticeKind      kind,
            GVariant       *progress)
{
  Notice *notice = g_new (Notice, 1);

  *notice = (Notice) {
    .kind = kind, .progress = progress != NULL ? g_variant_ref (progress) : NULL
  };
  if (g_queue_is_empty (&self->notices))
    {
      self->next = self->members.head;
      g_rc_box_acquire (self);
      g_queue_push_tail_link (&self->jobs->with_notices, &self->notices_link);
    }
  g_queue_push_tail (&self->notices, notice);
}

/* All members are informed of the first notice. */
static void
drop_notice (AForkSharedJob *self)
{
  Notice *notice = g_queue_pop_head (&self->notices);

  g_clear_pointer (&notice->progress, g_variant_unref);
  g_free (notice);
  self->next = self->members.head;
  if (!g_queue_is_empty (&self->notices))
    return;

  g_queue_unlink (&self->jobs->with_notices, &self->notices_link);
  shared_job_unref (self);
}

static void
progress_cb (AForkJob       *job,
             GVariant       *progress,
             AForkSharedJob *self)
{
  add_notice (self, NOTICE_PROGRESS, progress);
  self->jobs->has_notices (self->jobs->data);
}

/* Members. */

static void
update_priority (AForkSharedJob *self)
{
  Member *first = (Member *) _afork_job_queue_peek (&self->priorities);
  int priority;

  if (first == NULL || self->state == AFORK_SHARED_JOB_ENDED)
    return;

  priority = afork_job_get_priority (first->call->job);
  if (self->priority == priority)
    return;

  self->priority = priority;
  _afork_scheduler_set_priority (&self->pool_job->base, priority);
}

static void
priority_changed_cb (gpointer data)
{
  Member *member = data;

  _afork_job_queue_set_priority (&member->entry, afork_job_get_priority (member->call->job));
  update_priority (member->shared);
}

/* Removes MEMBER, and returns its call, which is not watched any more. */
static AForkPendingCall *
take_member (Member *member)
{
  AForkSharedJob *self = member->shared;
  AForkPendingCall *call = member->call;

  _afork_pending_call_unwatch (call);
  _afork_job_watch_priority (call->job, NULL, NULL);
  if (self->next == &member->link)
    self->next = member->link.next;
  g_queue_unlink (&self->members, &member->link);
  if (member->late_link.data != NULL)
    g_queue_unlink (&self->late, &member->late_link);
  _afork_job_queue_remove (&member->entry);
  self->jobs->n_members--;
  g_free (member);
  update_priority (self);
  shared_job_unref (self);
  return call;
}

/* Copies the next part of the blobs of the result. The program may write to a blob, so each member
 * gets copies of its own; the last member gets the blobs themselves. Returns whether the next
 * member can have its blobs now. If there is no memory, `copies` has fewer than there are blobs. */
static gboolean
copy_blobs (AForkSharedJob *self)
{
  gsize n_blobs, size, n;
  GBytes **blobs = afork_job_get_result_blobs (self->job, &n_blobs);
  const guint8 *data;

  if (n_blobs == 0 || self->members.length == 1)
    return TRUE;

  if (self->copies == NULL)
    self->copies = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  if (self->copies->len == n_blobs)
    return TRUE;

  data = g_bytes_get_data (blobs[self->copies->len], &size);
  if (size == 0)
    {
      g_ptr_array_add (self->copies, g_bytes_ref (blobs[self->copies->len]));
      return FALSE;
    }
  if (self->copy == NULL)
    self->copy = _afork_memory_new (size);
  if (self->copy == NULL)
    return TRUE;

  n = MIN (size - self->n_copied, (gsize) COPY_STEP);
  memcpy (self->copy + self->n_copied, data + self->n_copied, n);
  self->n_copied += n;
  if (self->n_copied == size)
    {
      g_ptr_array_add (self->copies, _afork_memory_to_bytes (g_steal_pointer (&self->copy), size));
      self->n_copied = 0;
    }
  return FALSE;
}

/* Gives the results of the shared job to JOB, the next one that ends. IS_LAST: no other member
 * needs them. Returns false and an error if there is no memory. */
static gboolean
give_results (AForkSharedJob  *self,
              AForkJob        *job,
              gboolean         is_last,
              GError         **error)
{
  gsize n_blobs, size = 0;
  GBytes **blobs = afork_job_get_result_blobs (self->job, &n_blobs);
  const gboolean is_complete = is_last || n_blobs == 0 || self->copies->len == n_blobs;

  if (is_complete)
    _afork_job_copy_results (job, self->job, is_last ? NULL : self->copies);
  else
    size = g_bytes_get_size (blobs[self->copies->len]);
  drop_copies (self);
  return is_complete || _afork_memory_set_error (error, size);
}

/* Ends MEMBER as the shared job has ended. Its blobs have been copied. */
static void
end_member (Member *member)
{
  g_autoptr(AForkSharedJob) self = g_rc_box_acquire (member->shared);
  g_autoptr(AForkPendingCall) call = take_member (member);
  g_autoptr(GError) error = NULL;

  /* A caller that has cancelled a job expects this error. */
  if (_afork_pending_call_is_cancelled (call))
    {
      _afork_pending_call_end (call, NULL, _afork_pending_call_new_cancelled_error ());
      return;
    }

  if (!give_results (self, call->job, g_queue_is_empty (&self->members), &error))
    _afork_pending_call_end (call, NULL, g_steal_pointer (&error));
  else if (self->error != NULL)
    _afork_pending_call_end (call, NULL, g_error_copy (self->error));
  else
    _afork_pending_call_end (call, g_variant_ref (self->value), NULL);
}

/* MEMBER was cancelled, or took too long, as ERROR says. Takes ERROR. */
static void
cancel_cb (AForkPendingCall *call,
           GError           *error,
           gpointer          data)
{
  Member *member = data;
  g_autoptr(AForkSharedJob) self = g_rc_box_acquire (member->shared);
  g_autoptr(AForkPendingCall) owned = NULL;

  /* If the time of the member is over, the answer has come before. */
  if (self->state == AFORK_SHARED_JOB_ENDED)
    {
      g_error_free (error);
      while (!copy_blobs (self))
        continue;
      end_member (member);
      return;
    }

  owned = take_member (member);
  if (g_queue_is_empty (&self->members))
    self->call->funcs->cancel (self->call, g_error_copy (error), self->call->funcs_data);
  _afork_pending_call_end (owned, NULL, error);
}

static gboolean
defer_limit_cb (AForkPendingCall *call,
                gpointer          data)
{
  Member *member = data;
  AForkSharedJob *self = member->shared;

  if (self->call == NULL || !self->call->funcs->defer_limit (call, self->call->funcs_data))
    return FALSE;

  if (member->late_link.data == NULL)
    {
      member->late_link.data = member;
      g_queue_push_tail_link (&self->late, &member->late_link);
    }
  return TRUE;
}

static const AForkPendingCallFuncs member_funcs = {
  .cancel = cancel_cb,
  .defer_limit = defer_limit_cb,
};

/* Counts the time limit of MEMBER as the state of the shared job says. */
static void
update_limit (Member *member)
{
  AForkSharedJob *self = member->shared;
  AForkPendingCall *call = member->call;

  if (member->n_runs != self->n_runs)
    {
      member->n_runs = self->n_runs;
      _afork_pending_call_reset (call);
      _afork_pending_call_watch (call, &member_funcs, member);
    }
  if (self->state == AFORK_SHARED_JOB_READY || self->state == AFORK_SHARED_JOB_RUNNING)
    _afork_pending_call_start_limit (call);
  if (self->state == AFORK_SHARED_JOB_RUNNING)
    _afork_pending_call_begin (call);
}

/* A handler of the program may do anything. */
static void
set_job_running (AForkJob *job)
{
  if (afork_job_get_state (job) == AFORK_JOB_STATE_QUEUED)
    _afork_job_set_state (job, AFORK_JOB_STATE_RUNNING);
}

/* Informs one member of the first notice, or does a part of the work that is needed for that. */
static void
inform_next (AForkSharedJob *self,
             AForkTurn      *turn)
{
  const Notice *notice = g_queue_peek_head (&self->notices);
  Member *member = self->next->data;
  g_autoptr(AForkJob) job = g_object_ref (member->call->job);
  g_autoptr(GVariant) progress = NULL;

  if (notice->kind == NOTICE_END && !copy_blobs (self))
    {
      if (turn != NULL)
        _afork_turn_check_clock (turn);
      return;
    }

  self->next = self->next->next;
  switch (notice->kind)
    {
    case NOTICE_LIMIT:
      update_limit (member);
      break;
    case NOTICE_RUNNING:
      update_limit (member);
      set_job_running (job);
      break;
    case NOTICE_PROGRESS:
      progress = g_variant_ref (notice->progress);
      _afork_job_emit_progress (job, progress);
      break;
    case NOTICE_END:
    default:
      end_member (member);
    }
}

/* Members that wait until this program has read what their worker has sent do not wait any more,
 * because the worker may be gone when they are informed. */
static void
leave_queues (AForkSharedJob *self)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&self->late)) != NULL)
    {
      Member *member = g_steal_pointer (&link->data);

      _afork_pending_call_leave_queue (member->call);
    }
}

/* All shared jobs of a pool. */

void
_afork_shared_jobs_init (AForkSharedJobs  *self,
                         void            (*has_notices) (gpointer data),
                         gpointer          data)
{
  *self = (AForkSharedJobs) { .has_notices = has_notices, .data = data };
  g_queue_init (&self->with_notices);
}

void
_afork_shared_jobs_clear (AForkSharedJobs *self)
{
  g_assert (self->jobs == NULL);
  g_assert (self->n_members == 0);

  /* There may be notices for members that have left. */
  _afork_shared_jobs_inform (self, NULL);
}

AForkSharedJob *
_afork_shared_jobs_find (AForkSharedJobs        *self,
                         const AForkJobIdentity *identity)
{
  return self->jobs != NULL ? g_hash_table_lookup (self->jobs, identity) : NULL;
}

gboolean
_afork_shared_jobs_inform (AForkSharedJobs *self,
                           AForkTurn       *turn)
{
  AForkSharedJob *job;

  while ((job = g_queue_peek_head (&self->with_notices)) != NULL)
    {
      if (job->next == NULL)
        drop_notice (job);
      else if (turn == NULL || _afork_turn_goes_on (turn))
        inform_next (job, turn);
      else
        return FALSE;
    }

  return TRUE;
}

static void
remove_job (AForkSharedJobs *self,
            AForkSharedJob  *job)
{
  g_hash_table_remove (self->jobs, &job->identity);
  if (g_hash_table_size (self->jobs) == 0)
    g_clear_pointer (&self->jobs, g_hash_table_unref);
}

/* One shared job. */

AForkSharedJob *
_afork_shared_job_new (AForkSharedJobs        *jobs,
                       const AForkJobIdentity *identity,
                       GObject                *pool)
{
  AForkSharedJob *self = g_rc_box_new0 (AForkSharedJob);

  self->jobs = jobs;
  self->job = afork_job_new (identity->args);
  afork_job_set_key (self->job, identity->key);
  for (guint i = 0; identity->blobs != NULL && i < identity->blobs->len; i++)
    afork_job_add_blob (self->job, g_ptr_array_index (identity->blobs, i));
  g_signal_connect (self->job, "progress", G_CALLBACK (progress_cb), self);

  self->identity = *identity;
  self->identity.key = afork_job_get_key (self->job);
  self->identity.args = afork_job_get_args (self->job);
  self->identity.blobs = _afork_job_get_blobs (self->job);
  if (jobs->jobs == NULL)
    jobs->jobs = g_hash_table_new (_afork_job_identity_hash, _afork_job_identity_equal);
  g_hash_table_insert (jobs->jobs, &self->identity, self);

  /* The call never calls back, its job is never cancelled, and its members count their time. So it
   * uses no context, and must keep none alive: the default one is never freed. The time limit only
   * has the worker's calls report when it starts. */
  self->call = _afork_pending_call_new (pool, NULL, self->identity.args, self->job,
                                        NULL, NULL, NULL);
  g_main_context_unref (self->call->context);
  self->call->context = g_main_context_ref (g_main_context_default ());
  _afork_pending_call_serve_in (self->call, self->call->context);
  self->call->limit = G_MAXUINT;

  g_queue_init (&self->members);
  g_queue_init (&self->late);
  _afork_job_queue_init (&self->priorities);
  g_queue_init (&self->notices);
  self->notices_link.data = self;
  return self;
}

AForkPendingCall *
_afork_shared_job_get_call (AForkSharedJob *self)
{
  return self->call;
}

void
_afork_shared_job_set_pool_job (AForkSharedJob *self,
                                AForkPoolJob   *job)
{
  self->pool_job = job;
}

void
_afork_shared_job_join (AForkSharedJob   *self,
                        AForkPendingCall *call)
{
  g_autoptr(AForkSharedJob) kept G_GNUC_UNUSED = g_rc_box_acquire (self);
  g_autoptr(AForkJob) job = g_object_ref (call->job);
  Member *member = g_new0 (Member, 1);

  member->link.data = member;
  member->shared = g_rc_box_acquire (self);
  member->call = call;
  member->n_runs = self->n_runs;
  g_queue_push_tail_link (&self->members, &member->link);
  self->jobs->n_members++;
  _afork_job_queue_add (&self->priorities, &member->entry, afork_job_get_priority (job));
  update_priority (self);
  self->pool_job->n_retries = MAX (self->pool_job->n_retries, afork_job_get_retries (job));

  _afork_job_watch_priority (job, priority_changed_cb, member);
  if (self->served_in != NULL)
    _afork_pending_call_serve_in (call, self->served_in);
  _afork_pending_call_watch (call, &member_funcs, member);
  update_limit (member);
  /* A handler of the program may do anything. */
  _afork_job_set_state (job, AFORK_JOB_STATE_QUEUED);
  if (self->state == AFORK_SHARED_JOB_RUNNING)
    set_job_running (job);
}

void
_afork_shared_job_set_ready (AForkSharedJob *self)
{
  if (self->state != AFORK_SHARED_JOB_WAITING)
    return;

  set_state (self, AFORK_SHARED_JOB_READY);
  add_notice (self, NOTICE_LIMIT, NULL);
}

void
_afork_shared_job_set_running (AForkSharedJob *self)
{
  if (self->state == AFORK_SHARED_JOB_RUNNING)
    return;

  set_state (self, AFORK_SHARED_JOB_RUNNING);
  _afork_job_set_begun (self->job);
  add_notice (self, NOTICE_RUNNING, NULL);
}

void
_afork_shared_job_set_waiting (AForkSharedJob *self)
{
  if (self->state == AFORK_SHARED_JOB_WAITING)
    return;

  set_state (self, AFORK_SHARED_JOB_WAITING);
  self->n_runs++;
  leave_queues (self);
  add_notice (self, NOTICE_LIMIT, NULL);
}

gboolean
_afork_shared_job_is_cancelled (AForkSharedJob *self)
{
  for (GList *link = self->members.head; link != NULL; link = link->next)
    if (!_afork_pending_call_is_cancelled (((Member *) link->data)->call))
      return FALSE;

  return TRUE;
}

void
_afork_shared_job_serve_in (AForkSharedJob *self,
                            GMainContext   *context)
{
  if (self->served_in == context)
    return;

  self->served_in = context;
  for (GList *link = self->members.head; link != NULL; link = link->next)
    {
      AForkPendingCall *call = ((Member *) link->data)->call;

      _afork_pending_call_serve_in (call, context != NULL ? context : call->context);
    }
}

void
_afork_shared_job_end (AForkSharedJob *self,
                       GVariant       *value,
                       GError         *error)
{
  set_state (self, AFORK_SHARED_JOB_ENDED);
  remove_job (self->jobs, self);
  g_signal_handlers_disconnect_by_data (self->job, self);
  leave_queues (self);
  self->value = value;
  self->error = error;
  self->pool_job = NULL;
  g_clear_object (&self->call);
  add_notice (self, NOTICE_END, NULL);
  shared_job_unref (self);
}
