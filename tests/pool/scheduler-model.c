/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "scheduler-model.h"

#include <string.h>

enum { MAX_KEYS = 64 };

static ModelWorker *
worker_at (Model *self,
           guint  i)
{
  return g_ptr_array_index (self->workers, i);
}

static ModelJob *
job_at (GPtrArray *jobs,
        guint      i)
{
  return g_ptr_array_index (jobs, i);
}

static void
worker_free (gpointer data)
{
  ModelWorker *worker = data;

  g_ptr_array_unref (worker->keys);
  g_free (worker);
}

void
model_init (Model                      *self,
            const AForkSchedulerLimits *limits)
{
  *self = (Model) { .limits = *limits, .wait_time = -1, .start_time = -1,
                     .stop_time = -1 };
  self->workers = g_ptr_array_new_with_free_func (worker_free);
  self->gone = g_ptr_array_new_with_free_func (worker_free);
  self->waiting = g_ptr_array_new_with_free_func (g_free);
  self->running = g_ptr_array_new_with_free_func (g_free);
}

void
model_clear (Model *self)
{
  g_ptr_array_unref (self->workers);
  g_ptr_array_unref (self->gone);
  g_ptr_array_unref (self->waiting);
  g_ptr_array_unref (self->running);
}

void
model_set_limits (Model                      *self,
                  const AForkSchedulerLimits *limits)
{
  if (self->start_time >= 0)
    self->start_time += limits->start_delay - self->limits.start_delay;
  if (self->stop_time >= 0)
    self->stop_time += limits->stop_delay - self->limits.stop_delay;
  self->limits = *limits;
}

void
model_add_template (Model *self,
                    guint  max_workers)
{
  self->templates[self->n_templates++] = (ModelTemplate) { .max_workers = max_workers };
}

void
model_set_template_limit (Model *self,
                          guint  template,
                          guint  max_workers)
{
  self->templates[template].max_workers = max_workers;
}

void
model_set_template_slow (Model *self,
                         guint  template)
{
  self->templates[template].may_be_slow = TRUE;
}

void
model_set_template_time (Model  *self,
                         guint   template,
                         gint64  time)
{
  self->templates[template].not_before = time;
}

ModelWorker *
model_find_worker (Model *self,
                   guint  id)
{
  for (guint i = 0; i < self->workers->len; i++)
    if (worker_at (self, i)->id == id)
      return worker_at (self, i);

  return NULL;
}

/* Counting. */

guint
model_count_jobs (Model       *self,
                  ModelWorker *worker)
{
  guint n = 0;

  for (guint i = 0; i < self->running->len; i++)
    n += job_at (self->running, i)->worker == worker;
  return n;
}

static gboolean
is_counted (ModelWorker *worker)
{
  return worker->state == AFORK_SCHEDULER_WORKER_STARTING
    || worker->state == AFORK_SCHEDULER_WORKER_SERVING
    || worker->state == AFORK_SCHEDULER_WORKER_HELD;
}

static gboolean
is_starting (Model       *self,
             ModelWorker *worker)
{
  return worker->state == AFORK_SCHEDULER_WORKER_STARTING;
}

static gboolean
counts (Model       *self,
        ModelWorker *worker)
{
  return is_counted (worker);
}

static gboolean
is_retiring (Model       *self,
             ModelWorker *worker)
{
  return is_counted (worker) && worker->retires;
}

static gboolean
is_expiring (Model       *self,
             ModelWorker *worker)
{
  const guint max = self->limits.max_calls;

  return is_counted (worker)
    && (worker->retires || (max > 0 && worker->n_given > 0
                            && max <= worker->n_given + self->limits.load));
}

static gboolean
is_idle (Model       *self,
         ModelWorker *worker)
{
  return worker->state == AFORK_SCHEDULER_WORKER_SERVING && !worker->retires
    && model_count_jobs (self, worker) == 0;
}

static gboolean
is_busy (Model       *self,
         ModelWorker *worker)
{
  return model_count_jobs (self, worker) > 0;
}

static guint
count (Model      *self,
       gboolean  (*is) (Model       *self,
                        ModelWorker *worker))
{
  guint n = 0;

  for (guint i = 0; i < self->workers->len; i++)
    n += is (self, worker_at (self, i)) ? 1 : 0;
  return n;
}

/* The same for the workers of one template. */
static guint
count_of (Model      *self,
          guint       template,
          gboolean  (*is) (Model       *self,
                           ModelWorker *worker))
{
  guint n = 0;

  for (guint i = 0; i < self->workers->len; i++)
    n += worker_at (self, i)->template == template && is (self, worker_at (self, i)) ? 1 : 0;
  return n;
}

static guint
get_limit (Model *self,
           guint  template)
{
  const guint own = self->templates[template].max_workers;

  return own > 0 && own < self->limits.max_workers ? own : self->limits.max_workers;
}

static int
get_room (Model *self,
          guint  template)
{
  return (int) get_limit (self, template) + (int) count_of (self, template, is_expiring)
    - (int) count_of (self, template, counts);
}

/* Returns when the workers of TEMPLATE that start are slow, or -1. */
static gint64
get_slow_time (Model *self,
               guint  template)
{
  const ModelTemplate *it = &self->templates[template];

  return it->may_be_slow && count_of (self, template, is_starting) > 0
    ? it->started + AFORK_SCHEDULER_PATIENCE : -1;
}

static gboolean
is_slow (Model  *self,
         guint   template,
         gint64  now)
{
  const gint64 time = get_slow_time (self, template);

  return time >= 0 && time <= now;
}

/* Events. */

static ModelJob *
find_job (GPtrArray *jobs,
          guint      id)
{
  for (guint i = 0; i < jobs->len; i++)
    if (job_at (jobs, i)->id == id)
      return job_at (jobs, i);

  return NULL;
}

void
model_add_job (Model      *self,
               guint       id,
               int         priority,
               const char *key)
{
  ModelJob *job = g_new0 (ModelJob, 1);

  job->id = id;
  job->priority = priority;
  job->order = ++self->n_orders;
  g_strlcpy (job->key, key != NULL ? key : "", sizeof job->key);
  g_ptr_array_add (self->waiting, job);
}

void
model_remove_job (Model *self,
                  guint  id)
{
  g_ptr_array_remove (self->waiting, find_job (self->waiting, id));
}

void
model_set_priority (Model *self,
                    guint  id,
                    int    priority)
{
  ModelJob *job = find_job (self->waiting, id);

  if (job != NULL && job->priority != priority)
    job->order = ++self->n_orders;
  if (job == NULL)
    job = find_job (self->running, id);
  job->priority = priority;
}

static void
move_job (GPtrArray *from,
          GPtrArray *to,
          ModelJob  *job)
{
  guint i;

  g_assert_true (g_ptr_array_find (from, job, &i));
  g_ptr_array_add (to, g_ptr_array_steal_index (from, i));
}

void
model_job_finished (Model *self,
                    guint  id)
{
  ModelJob *job = find_job (self->running, id);

  job->worker->has_finished = TRUE;
  self->n_failures = 0;
  g_ptr_array_remove (self->running, job);
}

void
model_job_lost (Model *self,
                guint  id)
{
  g_ptr_array_remove (self->running, find_job (self->running, id));
}

void
model_put_back (Model *self,
                guint  id)
{
  ModelJob *job = find_job (self->running, id);

  job->worker = NULL;
  move_job (self->running, self->waiting, job);
}

void
model_set_alone (Model *self,
                 guint  id)
{
  find_job (self->waiting, id)->is_alone = TRUE;
}

static void
leave (ModelWorker *worker)
{
  worker->state = AFORK_SCHEDULER_WORKER_LEAVING;
  g_ptr_array_set_size (worker->keys, 0);
}

static ModelWorker *
find_retiring (Model *self)
{
  for (guint i = 0; i < self->workers->len; i++)
    if (is_retiring (self, worker_at (self, i)))
      return worker_at (self, i);

  return NULL;
}

void
model_started (Model  *self,
               guint   id,
               gint64  now)
{
  ModelWorker *worker = model_find_worker (self, id);
  ModelWorker *retiring = find_retiring (self);

  if (worker == NULL || worker->state != AFORK_SCHEDULER_WORKER_STARTING)
    return;

  worker->state = AFORK_SCHEDULER_WORKER_SERVING;
  worker->started = now;
  self->templates[worker->template].started = now;
  if (retiring != NULL)
    leave (retiring);
}

void
model_retire (Model *self,
              guint  id)
{
  ModelWorker *worker = model_find_worker (self, id);

  if (worker != NULL && (worker->state == AFORK_SCHEDULER_WORKER_SERVING
                         || worker->state == AFORK_SCHEDULER_WORKER_HELD))
    worker->retires = TRUE;
}

void
model_hold (Model *self,
            guint  id)
{
  ModelWorker *worker = model_find_worker (self, id);

  if (worker != NULL && worker->state == AFORK_SCHEDULER_WORKER_SERVING)
    worker->state = AFORK_SCHEDULER_WORKER_HELD;
}

void
model_release (Model *self,
               guint  id)
{
  ModelWorker *worker = model_find_worker (self, id);

  if (worker != NULL && worker->state == AFORK_SCHEDULER_WORKER_HELD)
    worker->state = AFORK_SCHEDULER_WORKER_SERVING;
}

static void
end_worker (Model       *self,
            ModelWorker *worker)
{
  guint i;

  worker->state = AFORK_SCHEDULER_WORKER_ENDED;
  g_ptr_array_set_size (worker->keys, 0);
  g_assert_true (g_ptr_array_find (self->workers, worker, &i));
  g_ptr_array_add (self->gone, g_ptr_array_steal_index (self->workers, i));
}

void
model_end_worker (Model *self,
                  guint  id)
{
  ModelWorker *worker = model_find_worker (self, id);

  if (worker == NULL)
    return;

  end_worker (self, worker);
  self->n_replacements++;
}

void
model_exited (Model  *self,
              guint   id,
              gint64  now)
{
  ModelWorker *worker = model_find_worker (self, id);
  gint64 back_off = 0;

  if (worker == NULL)
    return;

  end_worker (self, worker);
  self->n_replacements++;
  if (worker->has_finished)
    return;

  self->n_failures++;
  for (guint i = 2; i <= self->n_failures; i++)
    back_off = i == 2 ? 100 * 1000 : MIN (back_off * 2, 30 * 1000 * 1000);
  self->no_start_before = now + back_off;
}

/* Decisions. */

static ModelJob *
find_first_job (Model *self)
{
  ModelJob *first = NULL;

  for (guint i = 0; i < self->waiting->len; i++)
    {
      ModelJob *job = job_at (self->waiting, i);

      if (first == NULL || job->priority > first->priority
          || (job->priority == first->priority && job->order < first->order))
        first = job;
    }

  return first;
}

static gboolean
runs_alone (Model       *self,
            ModelWorker *worker)
{
  for (guint i = 0; i < self->running->len; i++)
    if (job_at (self->running, i)->worker == worker && job_at (self->running, i)->is_alone)
      return TRUE;

  return FALSE;
}

static gboolean
has_room (Model       *self,
          ModelWorker *worker,
          ModelJob    *job)
{
  const guint n_jobs = model_count_jobs (self, worker);

  return worker->state == AFORK_SCHEDULER_WORKER_SERVING
    && n_jobs < self->limits.load
    && (n_jobs == 0 || (!job->is_alone && !runs_alone (self, worker)))
    && (n_jobs > 0 || (count (self, is_busy) < self->limits.max_workers
                       && count_of (self, worker->template, is_busy)
                          < get_limit (self, worker->template)));
}

static gboolean
has_key (ModelWorker *worker,
         const char  *key,
         guint       *i)
{
  return g_ptr_array_find_with_equal_func (worker->keys, key, g_str_equal, i);
}

static ModelWorker *
choose_worker (Model    *self,
               ModelJob *job)
{
  ModelWorker *best = NULL;

  for (guint i = 0; i < self->workers->len; i++)
    {
      ModelWorker *worker = worker_at (self, i);

      if (!has_room (self, worker, job))
        continue;
      if (*job->key != '\0' && has_key (worker, job->key, NULL))
        return worker;
      if (best == NULL || model_count_jobs (self, worker) < model_count_jobs (self, best))
        best = worker;
    }

  return best;
}

static void
note_key (Model       *self,
          ModelWorker *worker,
          const char  *key)
{
  guint at;

  for (guint i = 0; i < self->workers->len; i++)
    if (has_key (worker_at (self, i), key, &at))
      g_ptr_array_remove_index (worker_at (self, i)->keys, at);

  g_ptr_array_add (worker->keys, g_strdup (key));
  if (worker->keys->len > MAX_KEYS)
    g_ptr_array_remove_index (worker->keys, 0);
}

static gboolean
give (Model *self,
      guint *worker_id,
      guint *job_id)
{
  ModelJob *job = find_first_job (self);
  ModelWorker *worker = job != NULL ? choose_worker (self, job) : NULL;

  if (worker == NULL)
    return FALSE;

  if (*job->key != '\0')
    note_key (self, worker, job->key);
  job->worker = worker;
  move_job (self->waiting, self->running, job);
  worker->n_given++;
  if (self->limits.max_calls > 0 && worker->n_given >= self->limits.max_calls)
    {
      leave (worker);
      self->n_replacements++;
    }

  *worker_id = worker->id;
  *job_id = job->id;
  return TRUE;
}

/* Returns whether the worker ONE_OF, which the scheduler has chosen, can be ended. Of the workers
 * that leave and have no jobs, the scheduler ends the one first that has been so for longest. */
static gboolean
can_end (Model *self,
         guint  one_of)
{
  ModelWorker *worker = model_find_worker (self, one_of);

  return worker != NULL && worker->state == AFORK_SCHEDULER_WORKER_LEAVING
    && model_count_jobs (self, worker) == 0;
}

static gboolean
has_to_end (Model *self)
{
  for (guint i = 0; i < self->workers->len; i++)
    if (can_end (self, worker_at (self, i)->id))
      return TRUE;

  return FALSE;
}

/* Returns whether the worker is of TEMPLATE, or of any template if that is -1. */
static gboolean
is_of (ModelWorker *worker,
       int          template)
{
  return is_counted (worker) && (template < 0 || worker->template == (guint) template);
}

static ModelWorker *
find_last (Model *self,
           int    template)
{
  ModelWorker *idle = NULL;
  ModelWorker *starting = NULL;
  ModelWorker *last = NULL;

  for (guint i = 0; i < self->workers->len; i++)
    {
      ModelWorker *worker = worker_at (self, i);

      if (!is_of (worker, template))
        continue;

      last = worker;
      if (is_starting (self, worker))
        starting = worker;
      else if (!is_busy (self, worker))
        idle = worker;
    }

  return idle != NULL ? idle : starting != NULL ? starting : last;
}

static ModelWorker *
find_superfluous (Model *self)
{
  if (count (self, counts) > self->limits.max_workers + count (self, is_expiring))
    return find_last (self, -1);
  for (guint i = 0; i < self->n_templates; i++)
    if (get_room (self, i) < 0)
      return find_last (self, (int) i);

  return NULL;
}

static ModelWorker *
find_dispensable (Model *self)
{
  guint n_others = 0;

  for (guint i = 0; i < self->workers->len; i++)
    {
      ModelWorker *worker = worker_at (self, i);

      n_others += is_counted (worker) && !is_starting (self, worker) && !worker->retires;
    }
  if (find_retiring (self) != NULL && n_others >= self->limits.max_workers)
    return find_retiring (self);
  if (self->waiting->len > 0 || count (self, is_idle) < self->limits.min_idle)
    return NULL;

  for (guint i = 0; i < self->workers->len; i++)
    if (is_retiring (self, worker_at (self, i)) && !is_busy (self, worker_at (self, i)))
      return worker_at (self, i);

  return NULL;
}

/* Returns the index of the template of which the next worker is a fork, or -1. */
static int
choose_template (Model  *self,
                 gint64  now)
{
  int best = -1;

  for (guint i = 0; i < self->n_templates; i++)
    {
      const gint64 time = self->templates[i].not_before;
      const gint64 best_time = best >= 0 ? self->templates[best].not_before : 0;

      if (time == G_MAXINT64 || get_room (self, i) <= 0 || is_slow (self, i, now))
        continue;
      if (best < 0 || (best_time > now && time < best_time)
          || ((time == best_time || (time <= now && best_time <= now))
              && get_room (self, i) > get_room (self, (guint) best)))
        best = (int) i;
    }

  return best;
}

/* Returns how many workers start and are not slow to do so. */
static guint
count_starting (Model  *self,
                gint64  now)
{
  guint n = 0;

  for (guint i = 0; i < self->n_templates; i++)
    if (!is_slow (self, i, now))
      n += count_of (self, i, is_starting);
  return n;
}

static gboolean
wants_worker (Model    *self,
              gboolean  has_template,
              gint64    now)
{
  const guint load = self->limits.load;
  const guint n_all_starting = count (self, is_starting);
  const guint n_starting = count_starting (self, now);
  const gboolean lacks = self->waiting->len > n_starting * load;
  const gboolean has_place = has_template
    && count (self, counts) < self->limits.max_workers + count (self, is_expiring);
  const guint n_used = (self->waiting->len + load - 1) / load;
  const guint n_spare = n_starting > n_used ? n_starting - n_used : 0;

  if (!lacks)
    self->n_replacements = 0;
  if (!lacks || !has_place)
    self->start_time = -1;
  if (!has_place)
    return FALSE;
  if (count (self, is_retiring) > n_all_starting
      || count (self, is_idle) + n_spare < self->limits.min_idle)
    return TRUE;
  if (!lacks)
    return FALSE;
  if (count (self, counts) == 0 || self->n_replacements > 0
      || count (self, is_expiring) > n_all_starting)
    return TRUE;
  if (n_starting == 0 && count (self, counts) == n_all_starting)
    return TRUE;

  if (self->start_time < 0)
    self->start_time = now + self->limits.start_delay;
  return now >= self->start_time;
}

static gboolean
start (Model  *self,
       gint64  now,
       guint  *template,
       guint  *worker_id)
{
  const int best = choose_template (self, now);
  ModelWorker *worker;

  self->wait_time = -1;
  if (!wants_worker (self, best >= 0, now))
    return FALSE;
  if (now < self->no_start_before)
    self->wait_time = self->no_start_before;
  if (now < self->templates[best].not_before)
    self->wait_time = MAX (self->wait_time, self->templates[best].not_before);
  if (self->wait_time >= 0)
    return FALSE;

  if (self->n_replacements > 0)
    self->n_replacements--;
  self->start_time = now + self->limits.start_delay;
  if (count_of (self, (guint) best, is_starting) == 0)
    self->templates[best].started = now;
  worker = g_new0 (ModelWorker, 1);
  worker->id = ++self->n_workers;
  worker->template = (guint) best;
  worker->keys = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->workers, worker);
  *worker_id = worker->id;
  *template = worker->template;
  return TRUE;
}

static ModelWorker *
find_unneeded (Model  *self,
               gint64  now)
{
  ModelWorker *found = NULL;

  if (self->waiting->len > 0 || count (self, is_idle) <= self->limits.min_idle)
    {
      self->stop_time = -1;
      return NULL;
    }

  if (self->stop_time < 0)
    self->stop_time = now + self->limits.stop_delay;
  if (now < self->stop_time)
    return NULL;

  self->stop_time = now + self->limits.stop_delay;
  for (guint i = 0; i < self->workers->len; i++)
    if (is_idle (self, worker_at (self, i)))
      found = worker_at (self, i);

  return found;
}

static void
retire_old (Model  *self,
            gint64  now)
{
  for (guint i = 0; i < self->workers->len; i++)
    {
      ModelWorker *worker = worker_at (self, i);

      if (self->limits.max_age > 0 && is_counted (worker) && !is_starting (self, worker)
          && now - worker->started >= self->limits.max_age)
        worker->retires = TRUE;
    }
}

AForkSchedulerStep
model_next (Model  *self,
            gint64  now,
            guint  *template,
            guint  *worker_id,
            guint  *job_id)
{
  retire_old (self, now);
  for (;;)
    {
      ModelWorker *worker;

      if (give (self, worker_id, job_id))
        return AFORK_SCHEDULER_GIVE;
      if (has_to_end (self))
        {
          g_assert_true (can_end (self, *worker_id));
          end_worker (self, model_find_worker (self, *worker_id));
          return AFORK_SCHEDULER_END;
        }

      worker = find_superfluous (self);
      if (worker == NULL)
        worker = find_dispensable (self);
      if (worker == NULL && start (self, now, template, worker_id))
        return AFORK_SCHEDULER_START;
      if (worker == NULL)
        worker = find_unneeded (self, now);
      if (worker == NULL)
        return AFORK_SCHEDULER_WAIT;
      leave (worker);
    }
}

gint64
model_get_wake_time (Model  *self,
                     gint64  now)
{
  gint64 time = G_MAXINT64;

  if (self->wait_time >= 0)
    time = self->wait_time;
  else if (self->start_time >= 0)
    time = self->start_time;
  if (self->stop_time >= 0)
    time = MIN (time, self->stop_time);
  for (guint i = 0; self->limits.max_age > 0 && i < self->workers->len; i++)
    {
      ModelWorker *worker = worker_at (self, i);

      if (is_counted (worker) && !is_starting (self, worker) && !worker->retires)
        time = MIN (time, worker->started + self->limits.max_age);
    }

  for (guint i = 0; i < self->n_templates; i++)
    if (get_slow_time (self, i) > now)
      time = MIN (time, get_slow_time (self, i));

  return time == G_MAXINT64 ? -1 : time;
}
