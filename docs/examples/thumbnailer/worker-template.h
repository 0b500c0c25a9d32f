/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>

/*
 * The process that workers are forked from: it has loaded the worker module, and that has loaded
 * all it needs, so that a fresh worker for each picture costs next to nothing.
 */
typedef struct
{
  char         *module;      /* its name, or the path of its file */
  int           messages;    /* where what workers say on their standard error goes */
  AForkProcess *process;     /* once a worker has been wanted */
} WorkerTemplate;

/* Workers are heard only if @verbose: the libraries that decode complain of many a good picture. */
WorkerTemplate *worker_template_new     (const char     *module,
                                         gboolean        verbose);
void            worker_template_free    (WorkerTemplate *self);

AForkProcess   *worker_template_fork    (WorkerTemplate *self);

/* Kills @process, which workers were forked from and which does not answer: the next worker comes
 * from another one. */
void            worker_template_replace (WorkerTemplate *self,
                                         AForkProcess   *process);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (WorkerTemplate, worker_template_free)
