/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "template.h"

#include "afork-error.h"
#include "afork-process-private.h"
#include "base/i18n.h"

enum
{
  /* How often the process, or workers that start, may exit before the jobs that wait fail. */
  MAX_FAILURES = 3,
  /* The error of jobs that no worker can run has the obstacles of so many templates. */
  MAX_OBSTACLES = 4,
};

/* For how long a host has to work after it was lost, in microseconds, so that the next loss is not
 * one of a series. */
#define STEADY_TIME (30 * G_USEC_PER_SEC)

/* The data of the signal handler. It holds no reference to the pool. */
typedef struct
{
  GWeakRef           pool;
  AForkPoolTemplate *template;  /* valid as long as the pool */
} Watch;

static void
watch_free (gpointer  data,
            GClosure *closure)
{
  Watch *watch = data;

  g_weak_ref_clear (&watch->pool);
  g_free (watch);
}

static void
exited_cb (AForkProcess *process,
           int           wait_status,
           gpointer      data)
{
  Watch *watch = data;
  g_autoptr(GObject) pool = g_weak_ref_get (&watch->pool);

  if (pool != NULL && watch->template->process == process)
    watch->template->exited (pool, watch->template);
}

static const char *
get_state_name (AForkPoolTemplateState state)
{
  static const char *const names[] = {
    [AFORK_POOL_TEMPLATE_USABLE] = "usable",
    [AFORK_POOL_TEMPLATE_EXITED] = "exited",
    [AFORK_POOL_TEMPLATE_LOST] = "lost",
  };

  return names[state];
}

static void
set_state (AForkPoolTemplate      *self,
           AForkPoolTemplateState  state)
{
  g_assert ((self->state == AFORK_POOL_TEMPLATE_EXITED) != (state == AFORK_POOL_TEMPLATE_EXITED));
  g_assert (self->state != AFORK_POOL_TEMPLATE_LOST);

  g_debug ("Template “%s” of a pool: was %s, is %s", afork_process_get_title (self->process),
           get_state_name (self->state), get_state_name (state));
  self->state = state;
}

/* Uses PROCESS, and takes it. */
static void
set_process (AForkPoolTemplate *self,
             AForkProcess      *process)
{
  Watch *watch = g_new0 (Watch, 1);

  if (self->process != NULL)
    g_signal_handler_disconnect (self->process, self->exited_id);
  g_clear_object (&self->process);
  self->process = process;
  self->n_processes++;
  self->is_proven = FALSE;
  g_weak_ref_init (&watch->pool, self->pool);
  watch->template = self;
  self->exited_id = g_signal_connect_data (process, "exited", G_CALLBACK (exited_cb), watch,
                                           watch_free, 0);
}

AForkPoolTemplate *
_afork_pool_template_new (AForkProcess                *process,
                          guint                        max_workers,
                          AForkPoolTemplateExitedFunc  exited,
                          GObject                     *pool)
{
  AForkPoolTemplate *self = g_new0 (AForkPoolTemplate, 1);

  self->given = g_object_ref (process);
  self->max_workers = max_workers;
  self->exited = exited;
  self->pool = pool;
  set_process (self, g_object_ref (process));
  return self;
}

void
_afork_pool_template_free (AForkPoolTemplate *self)
{
  g_signal_handler_disconnect (self->process, self->exited_id);
  g_object_unref (self->process);
  g_object_unref (self->given);
  g_clear_error (&self->error);
  g_clear_error (&self->obstacle);
  g_free (self);
}

gboolean
_afork_pool_template_can_fork (AForkPoolTemplate *self)
{
  return self->state == AFORK_POOL_TEMPLATE_USABLE && _afork_process_can_fork (self->process);
}

/* Returns whether the next process or worker would fail with ERROR as well. If not, this one may
 * have been killed from outside. */
static gboolean
is_lasting (const GError *error)
{
  return !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_EXITED)
    && !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SIGNALED)
    && !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY)
    && !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST)
    && !g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST);
}

/* IS_FINAL says whether the attempt after TIME will probably fail because of ERROR, too. */
static void
set_obstacle (AForkPoolTemplate *self,
              const GError      *error,
              gboolean           is_final,
              gint64             time)
{
  _afork_scheduler_set_template_time (&self->base, time);
  g_clear_error (&self->obstacle);
  self->obstacle_was_reported = FALSE;
  if (is_final)
    self->obstacle = g_error_copy (error);
}

/* Counts a failure that is the loss of a host. A host that is lost again and again, each time soon
 * after its workers have started, gets longer and longer pauses, too. */
static void
count_loss (AForkPoolTemplate *self,
            gint64             now)
{
  if (self->is_proven && now - self->proven_time > STEADY_TIME)
    self->n_losses = 0;
  self->n_losses++;
}

/* The code of an error of the template. A host that has worked and cannot be connected again is
 * lost. */
static int
get_code (AForkPoolTemplate *self,
          const GError      *failure)
{
  return self->base.may_be_slow && self->has_worked
    && g_error_matches (failure, AFORK_ERROR, AFORK_ERROR_SPAWN)
    ? AFORK_ERROR_HOST_LOST : failure->code;
}

void
_afork_pool_template_exit (AForkPoolTemplate *self,
                           const GError      *cause,
                           gint64             now)
{
  const GError *failure = cause != NULL ? cause : _afork_process_get_failure (self->process);
  const char *title = afork_process_get_title (self->process);

  set_state (self, AFORK_POOL_TEMPLATE_EXITED);
  self->n_failures++;
  if (failure != NULL && g_error_matches (failure, AFORK_ERROR, AFORK_ERROR_HOST_LOST))
    count_loss (self, now);
  g_clear_error (&self->error);
  if (failure != NULL)
    self->error = g_error_new (failure->domain, get_code (self, failure),
                               _("The template “%s” of a pool cannot be forked any more: %s"),
                               title, failure->message);
  else
    self->error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                               _("The template “%s” of a pool cannot be forked any more"), title);
  set_obstacle (self, self->error,
                self->n_failures >= MAX_FAILURES
                || (self->n_failures > 1 && is_lasting (self->error)),
                now + _afork_scheduler_get_back_off (MAX (self->n_failures, self->n_losses)));
}

void
_afork_pool_template_note_start_failure (AForkPoolTemplate *self,
                                         const GError      *error,
                                         gint64             now)
{
  self->n_failures++;
  set_obstacle (self, error, is_lasting (error) || self->n_failures >= MAX_FAILURES,
                self->state == AFORK_POOL_TEMPLATE_LOST
                ? G_MAXINT64 : now + _afork_scheduler_get_back_off (self->n_failures));
}

const GError *
_afork_pool_template_get_obstacle (AForkPoolTemplate *self,
                                   gint64             now)
{
  if (self->obstacle_was_reported && now >= self->base.not_before)
    g_clear_error (&self->obstacle);
  return self->obstacle;
}

gboolean
_afork_pool_template_is_failing (AForkPoolTemplate *self)
{
  return self->state == AFORK_POOL_TEMPLATE_LOST || self->n_failures >= 2 || self->n_losses >= 2;
}

void
_afork_pool_template_prove (AForkPoolTemplate *self,
                            gint64             now)
{
  self->n_failures = 0;
  if (!self->is_proven)
    self->proven_time = now;
  self->is_proven = self->has_worked = TRUE;
  g_clear_error (&self->obstacle);
}

AForkProcess *
_afork_pool_template_dup_doubtful (AForkPoolTemplate *self)
{
  return self->process != self->given && !self->is_proven ? g_object_ref (self->process) : NULL;
}

void
_afork_pool_template_recreate (AForkPoolTemplate *self)
{
  g_autoptr(GError) cause = g_steal_pointer (&self->error);
  g_autoptr(GError) error = NULL;
  AForkProcess *process = afork_process_recreate (self->process, &error);

  if (process != NULL)
    {
      set_state (self, AFORK_POOL_TEMPLATE_USABLE);
      set_process (self, process);
      return;
    }

  set_state (self, AFORK_POOL_TEMPLATE_LOST);
  self->error = g_error_new (AFORK_ERROR, AFORK_ERROR_LOST, "%s. %s",
                             cause->message, error->message);
  if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED))
    self->error->code = error->code;
  set_obstacle (self, self->error, TRUE, G_MAXINT64);
}

/* All templates of a pool. */

/* Returns the obstacles of the templates, of which the first one gives the code. */
static GError *
join_obstacles (GPtrArray *templates)
{
  const AForkPoolTemplate *first = templates->pdata[0];
  GError *error = g_error_copy (first->obstacle);

  for (guint i = 1; i < templates->len && i < MAX_OBSTACLES; i++)
    {
      const AForkPoolTemplate *template = templates->pdata[i];
      g_autofree char *before = g_steal_pointer (&error->message);

      error->message = g_strdup_printf ("%s. %s", before, template->obstacle->message);
    }

  return error;
}

GError *
_afork_pool_templates_report_obstacles (GPtrArray *templates,
                                        gint64     now)
{
  for (guint i = 0; i < templates->len; i++)
    if (_afork_pool_template_get_obstacle (templates->pdata[i], now) == NULL)
      return NULL;

  for (guint i = 0; i < templates->len; i++)
    ((AForkPoolTemplate *) templates->pdata[i])->obstacle_was_reported = TRUE;
  return join_obstacles (templates);
}

gboolean
_afork_pool_templates_are_failing (GPtrArray *templates)
{
  for (guint i = 0; i < templates->len; i++)
    if (_afork_pool_template_is_failing (templates->pdata[i]))
      return TRUE;

  return FALSE;
}

gboolean
_afork_pool_templates_have_process (GPtrArray    *templates,
                                    AForkProcess *process)
{
  for (guint i = 0; i < templates->len; i++)
    if (((AForkPoolTemplate *) templates->pdata[i])->given == process)
      return TRUE;

  return FALSE;
}

GPtrArray *
_afork_pool_templates_list_doubtful (GPtrArray *templates)
{
  GPtrArray *processes = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < templates->len; i++)
    {
      AForkProcess *process = _afork_pool_template_dup_doubtful (templates->pdata[i]);

      if (process != NULL)
        g_ptr_array_add (processes, process);
    }

  return processes;
}
