/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>

/* The process that workers are forked from: it has loaded the worker module and everything that the
 * module needs, so that a fresh worker for each picture costs little. */
typedef struct
{
  char         *module;      /* its name, or the path of its file */
  int           messages;    /* where the standard error output of workers goes */
  AForkProcess *process;     /* once a worker was needed */
} WorkerTemplate;

/* The output of workers is shown only if @verbose: the decoding libraries warn about many valid
 * pictures. */
WorkerTemplate *worker_template_new     (const char     *module,
                                         gboolean        verbose);
void            worker_template_free    (WorkerTemplate *self);

AForkProcess   *worker_template_fork    (WorkerTemplate *self);

/* Kills @process, a template that does not answer: the next worker is forked from another one. */
void            worker_template_replace (WorkerTemplate *self,
                                         AForkProcess   *process);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (WorkerTemplate, worker_template_free)
