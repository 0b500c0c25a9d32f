/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"
#include "scheduler.h"

G_BEGIN_DECLS

/* One template of a pool: the process that workers are forked from, and another one in its place
 * when it has exited.
 *
 *     USABLE <── recreate() ── EXITED ── recreate() fails ──> LOST
 *        └────────── exit() ─────^
 */
typedef enum
{
  AFORK_POOL_TEMPLATE_USABLE,
  AFORK_POOL_TEMPLATE_EXITED,   /* the process cannot be forked any more */
  AFORK_POOL_TEMPLATE_LOST,     /* the same, and it cannot be created again */
} AForkPoolTemplateState;

typedef struct _AForkPoolTemplate AForkPoolTemplate;

/* The process has exited. Called in the main context in which the process is served. */
typedef void (*AForkPoolTemplateExitedFunc) (GObject           *pool,
                                             AForkPoolTemplate *template);

struct _AForkPoolTemplate
{
  AForkSchedulerTemplate      base;     /* first */
  AForkProcess               *given;    /* the first process, by the caller of the pool */
  AForkProcess               *process;
  gulong                      exited_id;
  AForkPoolTemplateExitedFunc exited;
  GObject                    *pool;     /* not a reference */

  AForkPoolTemplateState      state;
  guint                       n_processes;  /* how many processes it has had */
  guint                       max_workers;  /* its limit as the caller gave it; 0: that of the
                                             * first template */
  gboolean                    is_proven;    /* a worker of its process has started */
  gint64                      proven_time;  /* when, if so */
  gboolean                    has_worked;   /* a worker of it has started, of any process */
  guint                       n_failures;   /* how often its process, or a worker that started, has
                                             * exited since a worker of it has started */
  guint                       n_losses;     /* how often its host was lost, each time soon after a
                                             * worker had started there */
  GError                     *error;    /* why it is EXITED or LOST, or NULL */
  GError                     *obstacle; /* why it is not expected to have workers again; or NULL */
  gboolean                    obstacle_was_reported;    /* jobs have failed because of it */
};

/* MAX_WORKERS is its limit, or 0. */
AForkPoolTemplate *_afork_pool_template_new      (AForkProcess                *process,
                                                  guint                        max_workers,
                                                  AForkPoolTemplateExitedFunc  exited,
                                                  GObject                     *pool);
/* Any thread may call this. */
void               _afork_pool_template_free     (AForkPoolTemplate           *self);

/* Whether the process can be forked. */
gboolean           _afork_pool_template_can_fork (AForkPoolTemplate           *self);
/* The process, which was USABLE, cannot be forked any more, because of CAUSE if that is not NULL.
 * Until some time after NOW, other templates are used. */
void               _afork_pool_template_exit     (AForkPoolTemplate           *self,
                                                  const GError                *cause,
                                                  gint64                       now);
/* The same if a worker could not start because of ERROR. */
void               _afork_pool_template_note_start_failure (AForkPoolTemplate *self,
                                                  const GError                *error,
                                                  gint64                       now);
/* Returns why no worker is expected, or NULL. When jobs have failed because of that and the time of
 * other templates is over, the next job causes another attempt. */
const GError      *_afork_pool_template_get_obstacle (AForkPoolTemplate       *self,
                                                  gint64                       now);
/* Whether it makes the pool unhealthy. */
gboolean           _afork_pool_template_is_failing (AForkPoolTemplate         *self);
/* A worker has started at NOW. */
void               _afork_pool_template_prove    (AForkPoolTemplate           *self,
                                                  gint64                       now);
/* Returns a reference to the process if the pool has created it, and it may never serve, because no
 * worker of it has started. Otherwise returns NULL. */
AForkProcess      *_afork_pool_template_dup_doubtful (AForkPoolTemplate       *self);
/* Creates the process again. The thread-default main context must be that of the pool. */
void               _afork_pool_template_recreate (AForkPoolTemplate           *self);

/* All templates of a pool: arrays of AForkPoolTemplate. */

/* Returns why no template is expected to have workers, for the jobs that fail because of that, or
 * NULL if one is. The error has the code of the first template. */
GError            *_afork_pool_templates_report_obstacles (GPtrArray          *templates,
                                                  gint64                       now);
/* Whether one of them makes the pool unhealthy. */
gboolean           _afork_pool_templates_are_failing (GPtrArray               *templates);
/* Whether PROCESS was given for one of them. */
gboolean           _afork_pool_templates_have_process (GPtrArray              *templates,
                                                  AForkProcess                *process);
/* Returns the processes that the pool has created and that may never serve. When the pool does not
 * need them any more, they have to be ended: a template that serves exits by itself. */
GPtrArray         *_afork_pool_templates_list_doubtful (GPtrArray             *templates);

G_END_DECLS
