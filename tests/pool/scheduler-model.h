/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A second implementation of the rules of pool/scheduler.h, which is easy to read and slow: it
 * finds everything by searching, and counts anew each time. Workers and jobs are numbers. */

#pragma once

#include "pool/scheduler.h"

G_BEGIN_DECLS

typedef struct ModelWorker ModelWorker;

typedef struct
{
  guint        id;
  guint64      order;
  int          priority;
  char         key[8];            /* empty if there is none */
  gboolean     is_alone;
  ModelWorker *worker;            /* the worker that has the job, or NULL */
} ModelJob;

typedef struct
{
  guint        max_workers;       /* 0: any number */
  gint64       not_before;
  gboolean     may_be_slow;
  gint64       started;           /* when a worker has started, or before, when the first one of
                                   * those that start was begun */
} ModelTemplate;

enum { MODEL_MAX_TEMPLATES = 12 };

struct ModelWorker
{
  guint        id;
  guint        template;          /* the index of its template */
  AForkSchedulerWorkerState state;
  gboolean     retires;
  gboolean     has_finished;
  gint64       started;
  guint        n_given;
  GPtrArray   *keys;              /* of strings; the most recent key is last */
};

typedef struct
{
  AForkSchedulerLimits limits;
  ModelTemplate templates[MODEL_MAX_TEMPLATES];
  guint        n_templates;
  GPtrArray   *workers;           /* of ModelWorker: those that have not ended, by number */
  GPtrArray   *gone;              /* of ModelWorker: those that have ended; may have jobs */
  GPtrArray   *waiting;           /* of ModelJob, in any order */
  GPtrArray   *running;           /* of ModelJob */
  guint        n_workers;         /* all workers that were ever started */
  guint64      n_orders;
  guint        n_replacements;
  guint        n_failures;
  gint64       no_start_before;
  gint64       wait_time;
  gint64       start_time;
  gint64       stop_time;
} Model;

void               model_init          (Model                      *self,
                                        const AForkSchedulerLimits *limits);
void               model_clear         (Model                      *self);
void               model_set_limits    (Model                      *self,
                                        const AForkSchedulerLimits *limits);

void               model_add_template  (Model                      *self,
                                        guint                       max_workers);
void               model_set_template_limit (Model                 *self,
                                        guint                       template,
                                        guint                       max_workers);
void               model_set_template_slow (Model                  *self,
                                        guint                       template);
void               model_set_template_time (Model                  *self,
                                        guint                       template,
                                        gint64                      time);

ModelWorker       *model_find_worker   (Model                      *self,
                                        guint                       id);
guint              model_count_jobs    (Model                      *self,
                                        ModelWorker                *worker);

void               model_add_job       (Model                      *self,
                                        guint                       id,
                                        int                         priority,
                                        const char                 *key);
void               model_remove_job    (Model                      *self,
                                        guint                       id);
void               model_set_priority  (Model                      *self,
                                        guint                       id,
                                        int                         priority);
void               model_job_finished  (Model                      *self,
                                        guint                       id);
void               model_put_back      (Model                      *self,
                                        guint                       id);
/* Has a job that waits run alone. */
void               model_set_alone     (Model                      *self,
                                        guint                       id);
void               model_job_lost      (Model                      *self,
                                        guint                       id);

void               model_started       (Model                      *self,
                                        guint                       id,
                                        gint64                      now);
void               model_retire        (Model                      *self,
                                        guint                       id);
void               model_hold          (Model                      *self,
                                        guint                       id);
void               model_release       (Model                      *self,
                                        guint                       id);
void               model_end_worker       (Model                      *self,
                                        guint                       id);
void               model_exited        (Model                      *self,
                                        guint                       id,
                                        gint64                      now);

/* Sets WORKER and JOB to numbers, and TEMPLATE to an index. Adds the worker if one is to be
 * started. */
AForkSchedulerStep model_next          (Model                      *self,
                                        gint64                      now,
                                        guint                      *template,
                                        guint                      *worker,
                                        guint                      *job);
gint64             model_get_wake_time (Model                      *self,
                                        gint64                      now);

G_END_DECLS
