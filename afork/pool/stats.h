/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "histogram.h"

G_BEGIN_DECLS

/* Why a worker exited. */
typedef enum
{
  AFORK_EXIT_CAUSE_NONE,            /* the cause is not known yet */
  AFORK_EXIT_CAUSE_CANCELLED,       /* the worker did not stop with a job that was cancelled */
  AFORK_EXIT_CAUSE_CPU_TIME,        /* the worker had used the time of more than one job */
  AFORK_EXIT_CAUSE_EXITED,          /* the worker exited by itself */
  AFORK_EXIT_CAUSE_FAILED,          /* the worker could not start, or could not serve */
  AFORK_EXIT_CAUSE_HOST_LOST,       /* the host of the worker was lost */
  AFORK_EXIT_CAUSE_LOST,            /* it is not known how the worker has exited */
  AFORK_EXIT_CAUSE_MAX_AGE,
  AFORK_EXIT_CAUSE_MAX_CALLS,
  AFORK_EXIT_CAUSE_MAX_MEMORY,
  AFORK_EXIT_CAUSE_NOT_NEEDED,      /* the worker was idle, or there were too many workers */
  AFORK_EXIT_CAUSE_OUT_OF_MEMORY,
  AFORK_EXIT_CAUSE_PROTOCOL,        /* the worker sent what it must not send */
  AFORK_EXIT_CAUSE_RETIRED,         /* the worker asked to be replaced */
  AFORK_EXIT_CAUSE_SHUTDOWN,
  AFORK_EXIT_CAUSE_SIGNALED,        /* the worker was killed, not by the pool */
  AFORK_EXIT_CAUSE_TIMED_OUT,       /* the worker did not stop with a job that took too long */
  AFORK_EXIT_CAUSE_N,
} AForkExitCause;

/* Returns the cause if a worker exited unexpectedly because of ERROR. */
AForkExitCause _afork_exit_cause_from_error    (const GError         *error);

const char    *_afork_exit_cause_get_name      (AForkExitCause        cause);

/* What a pool counts, since it was made. Filled with zeros at first. */
typedef struct
{
  guint64        n_accepted;
  guint64        n_results;
  guint64        n_errors;
  guint64        n_cancelled;       /* of `n_errors` */
  guint64        n_timed_out;       /* of `n_errors` */
  guint64        n_retried;
  guint64        n_quarantined;
  guint64        n_overloaded;
  guint64        n_started;         /* workers */
  guint64        n_exited[AFORK_EXIT_CAUSE_N];
  guint64        n_bytes_sent;      /* to workers that have exited */
  guint64        n_bytes_received;  /* from workers that have exited */
  AForkHistogram wait;
  AForkHistogram run;
} AForkPoolStats;

/* A job has ended. ERROR is NULL if it has a result. */
void           _afork_pool_stats_count_end     (AForkPoolStats       *self,
                                                const GError         *error);
/* Adds the entries of these numbers to a builder of a dictionary, except the bytes. */
void           _afork_pool_stats_build         (const AForkPoolStats *self,
                                                GVariantBuilder      *builder);

G_END_DECLS
