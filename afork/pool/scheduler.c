/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "scheduler.h"

enum
{
  /* How long no worker is started, in microseconds, after the second failure; and the longest such
   * time. */
  FIRST_BACK_OFF = 100 * 1000,
  MAX_BACK_OFF = 30 * 1000 * 1000,
  /* How many keys the scheduler remembers for each worker. */
  MAX_KEYS = 64,
  /* How many bits the number of a worker, or of a template, has in a key of a heap. */
  WORKER_BITS = 40,
  TEMPLATE_BITS = 30,
};

/* The worker or the template of which NODE is the part MEMBER, or NULL if NODE is NULL. */
#define WORKER(node, member) get_worker (node, G_STRUCT_OFFSET (AForkSchedulerWorker, member))
#define TEMPLATE(node, member) get_template (node, G_STRUCT_OFFSET (AForkSchedulerTemplate, member))
#define FIRST_WORKER(heap, member) WORKER (_afork_heap_peek (heap), member)
#define FIRST_TEMPLATE(heap, member) TEMPLATE (_afork_heap_peek (heap), member)

/* A key of a job that a worker has or had. */
typedef struct
{
  GList                 link;     /* in the worker's keys */
  AForkSchedulerWorker *worker;
  char                 *key;
} Key;

static AForkSchedulerWorker *
get_worker (const AForkHeapNode *node,
            gsize                offset)
{
  return node != NULL ? (AForkSchedulerWorker *) ((char *) node - offset) : NULL;
}

static AForkSchedulerTemplate *
get_template (const AForkHeapNode *node,
              gsize                offset)
{
  return node != NULL ? (AForkSchedulerTemplate *) ((char *) node - offset) : NULL;
}

/* Lists of workers. The data of a link is NULL while the link is not in a list. */

static void
list_add (GQueue               *list,
          GList                *link,
          AForkSchedulerWorker *worker)
{
  if (link->data != NULL)
    return;

  link->data = worker;
  g_queue_push_tail_link (list, link);
}

static void
list_remove (GQueue *list,
             GList  *link)
{
  if (link->data == NULL)
    return;

  link->data = NULL;
  g_queue_unlink (list, link);
}

/* Keys. */

static void
key_free (gpointer data)
{
  Key *key = data;

  g_queue_unlink (&key->worker->keys, &key->link);
  g_free (key->key);
  g_free (key);
}

static void
forget_keys (AForkScheduler       *self,
             AForkSchedulerWorker *worker)
{
  Key *key;

  while ((key = g_queue_peek_head (&worker->keys)) != NULL)
    g_hash_table_remove (self->keys, key->key);
}

/* Notes that WORKER gets a job with this key. */
static void
note_key (AForkScheduler       *self,
          AForkSchedulerWorker *worker,
          const char           *name)
{
  Key *key = g_hash_table_lookup (self->keys, name);

  if (key == NULL)
    {
      key = g_new0 (Key, 1);
      key->link.data = key;
      key->key = g_strdup (name);
      g_hash_table_insert (self->keys, key->key, key);
    }
  else
    {
      g_queue_unlink (&key->worker->keys, &key->link);
    }

  key->worker = worker;
  g_queue_push_tail_link (&worker->keys, &key->link);
  if (worker->keys.length > MAX_KEYS)
    g_hash_table_remove (self->keys, ((Key *) g_queue_peek_head (&worker->keys))->key);
}

/* Counters. While a worker is changed, the counters do not include it. */

static gboolean
is_counted (const AForkSchedulerWorker *worker)
{
  return worker->state <= AFORK_SCHEDULER_WORKER_HELD;
}

static void
count (AForkScheduler             *self,
       const AForkSchedulerWorker *worker,
       int                         sign)
{
  const gboolean serves = worker->state == AFORK_SCHEDULER_WORKER_SERVING;
  AForkSchedulerTemplate *template = worker->template;

  if (worker->n_jobs > 0 && worker->state != AFORK_SCHEDULER_WORKER_ENDED)
    {
      self->n_busy += (guint) sign;
      template->n_busy += (guint) sign;
    }
  if (!is_counted (worker))
    return;

  self->n_counted += (guint) sign;
  template->n_counted += (guint) sign;
  if (worker->state == AFORK_SCHEDULER_WORKER_STARTING)
    {
      self->n_starting += (guint) sign;
      template->n_starting += (guint) sign;
    }
  if (serves && worker->n_jobs == 0 && !worker->retires)
    self->n_idle += (guint) sign;
  if (worker->is_expiring)
    {
      self->n_expiring += (guint) sign;
      template->n_expiring += (guint) sign;
    }
  if (worker->retires)
    self->n_retiring += (guint) sign;
}

/* Heaps. */

/* Makes one number of two. The first is more important; the second has BITS bits. */
static guint64
make_key (guint64 first,
          guint64 second,
          guint   bits)
{
  return MIN (first, G_MAXUINT64 >> bits) << bits
    | (second & ((G_GUINT64_CONSTANT (1) << bits) - 1));
}

static void
put_or_remove (AForkHeap     *heap,
               AForkHeapNode *node,
               gboolean       put,
               guint64        key)
{
  if (put)
    _afork_heap_put (heap, node, key);
  else
    _afork_heap_remove (node);
}

/* If there are too many workers, those without jobs are ended first, then those that start, and
 * then those with jobs. Of each kind, the one that was added last is ended first. */
static guint64
get_end_key (const AForkSchedulerWorker *worker)
{
  guint64 rank = worker->n_jobs == 0 ? 0 : 2;

  if (worker->state == AFORK_SCHEDULER_WORKER_STARTING)
    rank = 1;
  return make_key (rank, ~worker->number, WORKER_BITS);
}

/* Puts WORKER into the heaps where it belongs. */
static void
place_worker (AForkScheduler       *self,
              AForkSchedulerWorker *worker)
{
  const gboolean serves = worker->state == AFORK_SCHEDULER_WORKER_SERVING;
  const gboolean has_jobs = worker->n_jobs > 0;
  AForkSchedulerTemplate *template = worker->template;

  put_or_remove (has_jobs ? &self->busy : &template->idle, &worker->serve,
                 serves && !worker->runs_alone,
                 make_key (worker->n_jobs, worker->number, WORKER_BITS));
  put_or_remove (&template->counted, &worker->counted,
                 is_counted (worker), get_end_key (worker));
  if (worker->retires)
    put_or_remove (has_jobs ? &self->retiring_busy : &self->retiring_idle, &worker->other,
                   is_counted (worker), worker->number);
  else
    put_or_remove (&self->idle, &worker->other, serves && !has_jobs, ~worker->number);
}

/* Returns how many workers of TEMPLATE may start or serve. */
static guint
get_limit (AForkScheduler               *self,
           const AForkSchedulerTemplate *template)
{
  return template->max_workers > 0 ? MIN (template->max_workers, self->limits.max_workers)
                                   : self->limits.max_workers;
}

/* Returns when the workers of TEMPLATE that start are slow, or -1 if they are not going to be. */
static gint64
get_slow_time (const AForkSchedulerTemplate *template)
{
  return template->may_be_slow && template->n_starting > 0
    ? template->started + AFORK_SCHEDULER_PATIENCE : -1;
}

/* Puts TEMPLATE into the heap for starting and ending workers where it belongs. */
static void
place_template_by_room (AForkScheduler         *self,
                        AForkSchedulerTemplate *template,
                        gboolean                is_slow)
{
  const gint64 room = (gint64) get_limit (self, template) + template->n_expiring
    - template->n_counted;

  if (room < 0)
    _afork_heap_put (&self->crowded, &template->room, template->number);
  else if (room == 0 || is_slow || template->not_before == G_MAXINT64)
    _afork_heap_remove (&template->room);
  else if (template->not_before <= self->now)
    _afork_heap_put (&self->usable, &template->room,
                     make_key (2 * (guint64) G_MAXUINT - (guint64) room, template->number,
                               TEMPLATE_BITS));
  else
    _afork_heap_put (&self->later, &template->room, (guint64) template->not_before);
}

/* Puts TEMPLATE into the heaps where it belongs, after its workers have changed. */
static void
place_template (AForkScheduler         *self,
                AForkSchedulerTemplate *template)
{
  const gint64 slow_time = get_slow_time (template);
  const gboolean is_slow = slow_time >= 0 && slow_time <= self->now;
  const AForkSchedulerWorker *idle = FIRST_WORKER (&template->idle, serve);
  const AForkSchedulerWorker *last = FIRST_WORKER (&template->counted, counted);

  put_or_remove (&self->ready, &template->ready,
                 idle != NULL && template->n_busy < get_limit (self, template),
                 idle != NULL ? idle->number : 0);
  put_or_remove (&self->ending, &template->ending,
                 last != NULL, last != NULL ? get_end_key (last) : 0);

  self->n_slow -= template->n_slow;
  template->n_slow = is_slow ? template->n_starting : 0;
  self->n_slow += template->n_slow;
  put_or_remove (&self->waiting, &template->waiting,
                 slow_time >= 0 && !is_slow, (guint64) slow_time);
  place_template_by_room (self, template, is_slow);
}

/* Moves the templates between the heaps as time has passed. */
static void
set_now (AForkScheduler *self,
         gint64          now)
{
  AForkSchedulerTemplate *template;

  self->now = MAX (self->now, now);
  while ((template = FIRST_TEMPLATE (&self->later, room)) != NULL
         && template->not_before <= self->now)
    place_template (self, template);
  while ((template = FIRST_TEMPLATE (&self->waiting, waiting)) != NULL
         && get_slow_time (template) <= self->now)
    place_template (self, template);
}

static void
begin_change (AForkScheduler       *self,
              AForkSchedulerWorker *worker)
{
  count (self, worker, -1);
}

static void
end_change (AForkScheduler       *self,
            AForkSchedulerWorker *worker)
{
  const AForkSchedulerLimits *limits = &self->limits;

  worker->is_expiring = worker->retires
    || (worker->n_given > 0 && limits->max_calls > 0
        && limits->max_calls <= worker->n_given + (guint64) limits->load);
  count (self, worker, 1);

  place_worker (self, worker);
  place_template (self, worker->template);
  if (worker->state == AFORK_SCHEDULER_WORKER_LEAVING && worker->n_jobs == 0)
    list_add (&self->to_end, &worker->end_link, worker);
}

static gboolean
is_step (AForkSchedulerWorkerState from,
         AForkSchedulerWorkerState to)
{
  switch (to)
    {
    case AFORK_SCHEDULER_WORKER_SERVING:
      return from == AFORK_SCHEDULER_WORKER_STARTING || from == AFORK_SCHEDULER_WORKER_HELD;
    case AFORK_SCHEDULER_WORKER_HELD:
      return from == AFORK_SCHEDULER_WORKER_SERVING;
    case AFORK_SCHEDULER_WORKER_LEAVING:
      return from <= AFORK_SCHEDULER_WORKER_HELD;
    case AFORK_SCHEDULER_WORKER_ENDED:
      return from < AFORK_SCHEDULER_WORKER_ENDED;
    case AFORK_SCHEDULER_WORKER_STARTING:
    default:
      return FALSE;
    }
}

static void
set_state (AForkScheduler            *self,
           AForkSchedulerWorker      *worker,
           AForkSchedulerWorkerState  state)
{
  g_assert (is_step (worker->state, state));

  begin_change (self, worker);
  worker->state = state;
  end_change (self, worker);
  if (state < AFORK_SCHEDULER_WORKER_LEAVING)
    return;

  list_remove (&self->young, &worker->age_link);
  forget_keys (self, worker);
  if (state == AFORK_SCHEDULER_WORKER_ENDED)
    {
      list_remove (&self->to_end, &worker->end_link);
      list_remove (&self->workers, &worker->link);
    }
}

static void
leave (AForkScheduler       *self,
       AForkSchedulerWorker *worker)
{
  set_state (self, worker, AFORK_SCHEDULER_WORKER_LEAVING);
}

void
_afork_scheduler_init (AForkScheduler             *self,
                       const AForkSchedulerLimits *limits)
{
  *self = (AForkScheduler) { .limits = *limits, .wait_time = -1, .start_time = -1,
                              .stop_time = -1 };
  _afork_job_queue_init (&self->queue);
  g_queue_init (&self->templates);
  g_queue_init (&self->workers);
  g_queue_init (&self->young);
  g_queue_init (&self->to_end);
  self->keys = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, key_free);
}

void
_afork_scheduler_clear (AForkScheduler *self)
{
  g_assert (g_queue_is_empty (&self->workers));

  _afork_job_queue_clear (&self->queue);
  for (GList *link = self->templates.head; link != NULL; link = link->next)
    {
      AForkSchedulerTemplate *template = link->data;

      _afork_heap_clear (&template->idle);
      _afork_heap_clear (&template->counted);
    }
  _afork_heap_clear (&self->busy);
  _afork_heap_clear (&self->idle);
  _afork_heap_clear (&self->retiring_busy);
  _afork_heap_clear (&self->retiring_idle);
  _afork_heap_clear (&self->ready);
  _afork_heap_clear (&self->ending);
  _afork_heap_clear (&self->waiting);
  _afork_heap_clear (&self->usable);
  _afork_heap_clear (&self->later);
  _afork_heap_clear (&self->crowded);
  g_clear_pointer (&self->keys, g_hash_table_unref);
}

void
_afork_scheduler_set_limits (AForkScheduler             *self,
                             const AForkSchedulerLimits *limits)
{
  const AForkSchedulerLimits old = self->limits;

  self->limits = *limits;
  if (self->start_time >= 0)
    self->start_time += limits->start_delay - old.start_delay;
  if (self->stop_time >= 0)
    self->stop_time += limits->stop_delay - old.stop_delay;

  /* Other workers may be expiring. */
  if (limits->max_calls != old.max_calls || limits->load != old.load)
    for (GList *link = self->workers.head; link != NULL; link = link->next)
      {
        begin_change (self, link->data);
        end_change (self, link->data);
      }
  if (limits->max_workers != old.max_workers)
    for (GList *link = self->templates.head; link != NULL; link = link->next)
      place_template (self, link->data);
}

/* Jobs. */

void
_afork_scheduler_add_job (AForkScheduler    *self,
                          AForkSchedulerJob *job,
                          int                priority,
                          const char        *key)
{
  job->priority = priority;
  job->key = key;
  _afork_job_queue_add (&self->queue, &job->entry, priority);
}

void
_afork_scheduler_remove_job (AForkSchedulerJob *job)
{
  _afork_job_queue_remove (&job->entry);
}

void
_afork_scheduler_set_priority (AForkSchedulerJob *job,
                               int                priority)
{
  job->priority = priority;
  if (_afork_job_queue_has (&job->entry))
    _afork_job_queue_set_priority (&job->entry, priority);
}

/* Takes JOB from its worker. Returns the worker. */
static AForkSchedulerWorker *
take_from_worker (AForkScheduler    *self,
                  AForkSchedulerJob *job)
{
  AForkSchedulerWorker *worker = g_steal_pointer (&job->worker);

  g_assert (worker->n_jobs > 0);

  begin_change (self, worker);
  worker->n_jobs--;
  worker->runs_alone = FALSE;
  end_change (self, worker);
  return worker;
}

void
_afork_scheduler_job_finished (AForkScheduler    *self,
                               AForkSchedulerJob *job)
{
  take_from_worker (self, job)->has_finished = TRUE;
  self->n_failures = 0;
}

void
_afork_scheduler_job_lost (AForkScheduler    *self,
                           AForkSchedulerJob *job)
{
  take_from_worker (self, job);
}

void
_afork_scheduler_put_back (AForkScheduler    *self,
                           AForkSchedulerJob *job)
{
  g_assert (job->worker == NULL);

  _afork_job_queue_put_back (&self->queue, &job->entry, job->priority);
}

void
_afork_scheduler_set_alone (AForkSchedulerJob *job)
{
  g_assert (job->worker == NULL);

  job->is_alone = TRUE;
}

/* Templates. */

void
_afork_scheduler_add_template (AForkScheduler         *self,
                               AForkSchedulerTemplate *template,
                               guint                   max_workers)
{
  *template = (AForkSchedulerTemplate) { .scheduler = self, .max_workers = max_workers };
  template->number = self->templates.length;
  template->link.data = template;
  g_queue_push_tail_link (&self->templates, &template->link);
  place_template (self, template);
}

void
_afork_scheduler_set_template_limit (AForkSchedulerTemplate *template,
                                     guint                   max_workers)
{
  if (template->max_workers == max_workers)
    return;

  template->max_workers = max_workers;
  place_template (template->scheduler, template);
}

void
_afork_scheduler_set_template_slow (AForkSchedulerTemplate *template)
{
  template->may_be_slow = TRUE;
  place_template (template->scheduler, template);
}

void
_afork_scheduler_set_template_time (AForkSchedulerTemplate *template,
                                    gint64                  time)
{
  template->not_before = time;
  place_template (template->scheduler, template);
}

void
_afork_scheduler_not_started (AForkScheduler *self)
{
  self->n_replacements++;
}

/* Returns the template of which the next worker is a fork, or NULL if none has room. */
static AForkSchedulerTemplate *
choose_template (AForkScheduler *self)
{
  AForkSchedulerTemplate *usable = FIRST_TEMPLATE (&self->usable, room);

  return usable != NULL ? usable : FIRST_TEMPLATE (&self->later, room);
}

/* Workers. */

void
_afork_scheduler_add_worker (AForkScheduler         *self,
                             AForkSchedulerTemplate *template,
                             AForkSchedulerWorker   *worker)
{
  *worker = (AForkSchedulerWorker) { .template = template, .number = ++self->last_number };
  g_queue_init (&worker->keys);
  list_add (&self->workers, &worker->link, worker);
  end_change (self, worker);
}

/* Returns the worker that retires and was added first, or NULL. */
static AForkSchedulerWorker *
find_retiring (AForkScheduler *self)
{
  AForkSchedulerWorker *idle = FIRST_WORKER (&self->retiring_idle, other);
  AForkSchedulerWorker *busy = FIRST_WORKER (&self->retiring_busy, other);

  if (idle == NULL || busy == NULL)
    return idle != NULL ? idle : busy;

  return idle->number < busy->number ? idle : busy;
}

void
_afork_scheduler_started (AForkScheduler       *self,
                          AForkSchedulerWorker *worker,
                          gint64                now)
{
  AForkSchedulerWorker *retiring = find_retiring (self);

  /* The worker may be leaving by now. */
  if (worker->state != AFORK_SCHEDULER_WORKER_STARTING)
    return;

  worker->template->started = now;
  set_state (self, worker, AFORK_SCHEDULER_WORKER_SERVING);
  worker->started = now;
  list_add (&self->young, &worker->age_link, worker);
  if (retiring != NULL)
    leave (self, retiring);
}

void
_afork_scheduler_retire (AForkScheduler       *self,
                         AForkSchedulerWorker *worker)
{
  if (worker->retires || (worker->state != AFORK_SCHEDULER_WORKER_SERVING
                          && worker->state != AFORK_SCHEDULER_WORKER_HELD))
    return;

  begin_change (self, worker);
  worker->retires = TRUE;
  end_change (self, worker);
  list_remove (&self->young, &worker->age_link);
}

void
_afork_scheduler_hold (AForkScheduler       *self,
                       AForkSchedulerWorker *worker)
{
  if (worker->state == AFORK_SCHEDULER_WORKER_SERVING)
    set_state (self, worker, AFORK_SCHEDULER_WORKER_HELD);
}

void
_afork_scheduler_release (AForkScheduler       *self,
                          AForkSchedulerWorker *worker)
{
  if (worker->state == AFORK_SCHEDULER_WORKER_HELD)
    set_state (self, worker, AFORK_SCHEDULER_WORKER_SERVING);
}

void
_afork_scheduler_end_worker (AForkScheduler       *self,
                            AForkSchedulerWorker *worker)
{
  if (worker->state == AFORK_SCHEDULER_WORKER_ENDED)
    return;

  set_state (self, worker, AFORK_SCHEDULER_WORKER_ENDED);
  self->n_replacements++;
}

gint64
_afork_scheduler_get_back_off (guint n_failures)
{
  if (n_failures < 2)
    return 0;
  if (n_failures > 16)
    return MAX_BACK_OFF;

  return MIN ((gint64) FIRST_BACK_OFF << (n_failures - 2), MAX_BACK_OFF);
}

void
_afork_scheduler_exited (AForkScheduler       *self,
                         AForkSchedulerWorker *worker,
                         gint64                now)
{
  if (worker->state == AFORK_SCHEDULER_WORKER_ENDED)
    return;

  set_state (self, worker, AFORK_SCHEDULER_WORKER_ENDED);
  self->n_replacements++;
  if (worker->has_finished)
    return;

  self->n_failures++;
  self->no_start_before = now + _afork_scheduler_get_back_off (self->n_failures);
}

/* Decisions. */

/* Has workers retire that have served for max-age. */
static void
retire_old (AForkScheduler *self,
            gint64          now)
{
  AForkSchedulerWorker *worker;

  if (self->limits.max_age == 0)
    return;

  while ((worker = g_queue_peek_head (&self->young)) != NULL
         && now - worker->started >= self->limits.max_age)
    _afork_scheduler_retire (self, worker);
}

/* Returns whether WORKER, which serves, can get JOB. */
static gboolean
has_room (AForkScheduler          *self,
          AForkSchedulerWorker    *worker,
          const AForkSchedulerJob *job)
{
  if (worker->n_jobs == 0)
    return self->n_busy < self->limits.max_workers
      && worker->template->n_busy < get_limit (self, worker->template);

  return worker->n_jobs < self->limits.load && !worker->runs_alone && !job->is_alone;
}

/* Returns the worker that is to get JOB, or NULL. */
static AForkSchedulerWorker *
choose_worker (AForkScheduler    *self,
               AForkSchedulerJob *job)
{
  const Key *key = job->key != NULL ? g_hash_table_lookup (self->keys, job->key) : NULL;
  AForkSchedulerTemplate *template;
  AForkSchedulerWorker *worker;

  if (key != NULL && key->worker->state == AFORK_SCHEDULER_WORKER_SERVING
      && has_room (self, key->worker, job))
    return key->worker;

  template = FIRST_TEMPLATE (&self->ready, ready);
  worker = template != NULL ? FIRST_WORKER (&template->idle, serve) : NULL;
  if (worker != NULL && has_room (self, worker, job))
    return worker;

  worker = FIRST_WORKER (&self->busy, serve);
  return worker != NULL && has_room (self, worker, job) ? worker : NULL;
}

static gboolean
give (AForkScheduler        *self,
      AForkSchedulerSubject *subject)
{
  AForkSchedulerJob *job = (AForkSchedulerJob *) _afork_job_queue_peek (&self->queue);
  AForkSchedulerWorker *worker = job != NULL ? choose_worker (self, job) : NULL;

  if (worker == NULL)
    return FALSE;

  _afork_job_queue_remove (&job->entry);
  job->worker = worker;
  if (job->key != NULL)
    note_key (self, worker, job->key);
  begin_change (self, worker);
  worker->n_jobs++;
  worker->n_given++;
  worker->runs_alone = job->is_alone;
  end_change (self, worker);
  if (self->limits.max_calls > 0 && worker->n_given >= self->limits.max_calls)
    {
      leave (self, worker);
      self->n_replacements++;
    }

  *subject = (AForkSchedulerSubject) { .worker = worker, .job = job };
  return TRUE;
}

static gboolean
end (AForkScheduler        *self,
     AForkSchedulerSubject *subject)
{
  AForkSchedulerWorker *worker = g_queue_peek_head (&self->to_end);

  if (worker == NULL)
    return FALSE;

  set_state (self, worker, AFORK_SCHEDULER_WORKER_ENDED);
  *subject = (AForkSchedulerSubject) { .worker = worker };
  return TRUE;
}

/* Returns a worker to end because there are too many, or NULL. */
static AForkSchedulerWorker *
find_superfluous (AForkScheduler *self)
{
  AForkSchedulerTemplate *template;

  if (self->n_counted > (guint64) self->limits.max_workers + self->n_expiring)
    template = FIRST_TEMPLATE (&self->ending, ending);
  else
    template = FIRST_TEMPLATE (&self->crowded, room);

  return template != NULL ? FIRST_WORKER (&template->counted, counted) : NULL;
}

/* Returns a worker that retires and need not wait until another worker has started, or NULL. */
static AForkSchedulerWorker *
find_dispensable (AForkScheduler *self)
{
  if (self->n_retiring == 0)
    return NULL;
  if (self->n_counted - self->n_starting - self->n_retiring >= self->limits.max_workers)
    return find_retiring (self);
  if (self->queue.n_jobs > 0 || self->n_idle < self->limits.min_idle)
    return NULL;

  return FIRST_WORKER (&self->retiring_idle, other);
}

/* Returns whether more jobs wait than N_STARTING workers have room for. */
static gboolean
lacks_worker (AForkScheduler *self,
              guint           n_starting)
{
  return self->queue.n_jobs > (guint64) n_starting * self->limits.load;
}

/* Returns how many of N_STARTING workers will have no job. */
static guint
count_spare_starting (AForkScheduler *self,
                      guint           n_starting)
{
  const gsize load = self->limits.load;
  const gsize n_used = self->queue.n_jobs / load + (self->queue.n_jobs % load != 0);

  return n_used < n_starting ? n_starting - (guint) n_used : 0;
}

/* Returns whether a worker is to be started, not counting the pauses after workers or templates
 * have exited. HAS_TEMPLATE says whether a template has room for it. */
static gboolean
wants_worker (AForkScheduler *self,
              gboolean        has_template,
              gint64          now)
{
  const guint n_starting = self->n_starting - self->n_slow;
  const gboolean lacks = lacks_worker (self, n_starting);
  const gboolean has_place = has_template
    && self->n_counted < (guint64) self->limits.max_workers + self->n_expiring;

  if (!lacks)
    self->n_replacements = 0;
  if (!lacks || !has_place)
    self->start_time = -1;
  if (!has_place)
    return FALSE;
  if (self->n_retiring > self->n_starting)
    return TRUE;
  if ((guint64) self->n_idle + count_spare_starting (self, n_starting) < self->limits.min_idle)
    return TRUE;
  if (!lacks)
    return FALSE;
  if (self->n_counted == 0 || self->n_replacements > 0 || self->n_expiring > self->n_starting)
    return TRUE;
  /* All workers that there are start, and too slowly. */
  if (n_starting == 0 && self->n_counted == self->n_starting)
    return TRUE;

  if (self->start_time < 0)
    self->start_time = now + self->limits.start_delay;
  return now >= self->start_time;
}

static gboolean
start (AForkScheduler        *self,
       gint64                 now,
       AForkSchedulerSubject *subject)
{
  AForkSchedulerTemplate *template = choose_template (self);
  gint64 time;

  self->wait_time = -1;
  if (!wants_worker (self, template != NULL, now))
    return FALSE;

  time = MAX (self->no_start_before, template->not_before);
  if (now < time)
    {
      self->wait_time = time;
      return FALSE;
    }

  if (self->n_replacements > 0)
    self->n_replacements--;
  self->start_time = now + self->limits.start_delay;
  if (template->n_starting == 0)
    template->started = now;
  *subject = (AForkSchedulerSubject) { .template = template };
  return TRUE;
}

/* Returns an idle worker that is not needed any more, or NULL. */
static AForkSchedulerWorker *
find_unneeded (AForkScheduler *self,
               gint64          now)
{
  if (self->queue.n_jobs > 0 || self->n_idle <= self->limits.min_idle)
    {
      self->stop_time = -1;
      return NULL;
    }

  if (self->stop_time < 0)
    self->stop_time = now + self->limits.stop_delay;
  if (now < self->stop_time)
    return NULL;

  self->stop_time = now + self->limits.stop_delay;
  return FIRST_WORKER (&self->idle, other);
}

AForkSchedulerStep
_afork_scheduler_next (AForkScheduler        *self,
                       gint64                 now,
                       AForkSchedulerSubject *subject)
{
  *subject = (AForkSchedulerSubject) { 0 };
  set_now (self, now);
  retire_old (self, now);
  for (;;)
    {
      AForkSchedulerWorker *worker;

      if (give (self, subject))
        return AFORK_SCHEDULER_GIVE;
      if (end (self, subject))
        return AFORK_SCHEDULER_END;

      worker = find_superfluous (self);
      if (worker == NULL)
        worker = find_dispensable (self);
      if (worker == NULL && start (self, now, subject))
        return AFORK_SCHEDULER_START;
      if (worker == NULL)
        worker = find_unneeded (self, now);
      if (worker == NULL)
        return AFORK_SCHEDULER_WAIT;
      leave (self, worker);
    }
}

static void
take_earlier (gint64 *time,
              gint64  other)
{
  if (*time < 0 || other < *time)
    *time = other;
}

gint64
_afork_scheduler_get_wake_time (AForkScheduler *self)
{
  const AForkSchedulerTemplate *waiting = FIRST_TEMPLATE (&self->waiting, waiting);
  const AForkSchedulerWorker *oldest = g_queue_peek_head (&self->young);
  gint64 time = -1;

  if (self->wait_time >= 0)
    take_earlier (&time, self->wait_time);
  else if (self->start_time >= 0)
    take_earlier (&time, self->start_time);
  if (self->stop_time >= 0)
    take_earlier (&time, self->stop_time);
  if (waiting != NULL)
    take_earlier (&time, get_slow_time (waiting));
  if (oldest != NULL && self->limits.max_age > 0)
    take_earlier (&time, oldest->started + self->limits.max_age);
  return time;
}
