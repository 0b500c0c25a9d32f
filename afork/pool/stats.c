/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "stats.h"

#include <gio/gio.h>

#include "afork-error.h"

AForkExitCause
_afork_exit_cause_from_error (const GError *error)
{
  if (error->domain != AFORK_ERROR)
    return AFORK_EXIT_CAUSE_FAILED;

  switch (error->code)
    {
    case AFORK_ERROR_EXITED:
      return AFORK_EXIT_CAUSE_EXITED;
    case AFORK_ERROR_HOST_LOST:
      return AFORK_EXIT_CAUSE_HOST_LOST;
    case AFORK_ERROR_LOST:
      return AFORK_EXIT_CAUSE_LOST;
    case AFORK_ERROR_OUT_OF_MEMORY:
      return AFORK_EXIT_CAUSE_OUT_OF_MEMORY;
    case AFORK_ERROR_PROTOCOL:
      return AFORK_EXIT_CAUSE_PROTOCOL;
    case AFORK_ERROR_TIMED_OUT:
      return AFORK_EXIT_CAUSE_TIMED_OUT;
    case AFORK_ERROR_LIMIT:
    case AFORK_ERROR_SANDBOX:
    case AFORK_ERROR_SIGNALED:
      return AFORK_EXIT_CAUSE_SIGNALED;
    default:
      return AFORK_EXIT_CAUSE_FAILED;
    }
}

const char *
_afork_exit_cause_get_name (AForkExitCause cause)
{
  static const char *const names[AFORK_EXIT_CAUSE_N] = {
    [AFORK_EXIT_CAUSE_NONE] = "unknown",
    [AFORK_EXIT_CAUSE_CANCELLED] = "cancelled",
    [AFORK_EXIT_CAUSE_CPU_TIME] = "cpu-time",
    [AFORK_EXIT_CAUSE_EXITED] = "exited",
    [AFORK_EXIT_CAUSE_FAILED] = "failed",
    [AFORK_EXIT_CAUSE_HOST_LOST] = "host-lost",
    [AFORK_EXIT_CAUSE_LOST] = "lost",
    [AFORK_EXIT_CAUSE_MAX_AGE] = "max-age",
    [AFORK_EXIT_CAUSE_MAX_CALLS] = "max-calls",
    [AFORK_EXIT_CAUSE_MAX_MEMORY] = "max-memory",
    [AFORK_EXIT_CAUSE_NOT_NEEDED] = "not-needed",
    [AFORK_EXIT_CAUSE_OUT_OF_MEMORY] = "out-of-memory",
    [AFORK_EXIT_CAUSE_PROTOCOL] = "protocol",
    [AFORK_EXIT_CAUSE_RETIRED] = "retired",
    [AFORK_EXIT_CAUSE_SHUTDOWN] = "shutdown",
    [AFORK_EXIT_CAUSE_SIGNALED] = "signaled",
    [AFORK_EXIT_CAUSE_TIMED_OUT] = "timed-out",
  };

  return names[cause];
}

void
_afork_pool_stats_count_end (AForkPoolStats *self,
                             const GError   *error)
{
  if (error == NULL)
    {
      self->n_results++;
      return;
    }

  self->n_errors++;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    self->n_cancelled++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT))
    self->n_timed_out++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_QUARANTINED))
    self->n_quarantined++;
}

static void
add_number (GVariantBuilder *builder,
            const char      *key,
            guint64          number)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_uint64 (number));
}

static void
add_durations (GVariantBuilder      *builder,
               const char           *name,
               const AForkHistogram *histogram)
{
  const guint percents[] = { 50, 90, 99 };
  g_autofree char *max = g_strconcat (name, "-max", NULL);
  g_autofree char *total = g_strconcat (name, "-total", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (percents); i++)
    {
      g_autofree char *key = g_strdup_printf ("%s-p%u", name, percents[i]);

      add_number (builder, key, _afork_histogram_get_quantile (histogram, percents[i]));
    }

  add_number (builder, max, histogram->max);
  add_number (builder, total, histogram->total);
}

static GVariant *
new_exits (const AForkPoolStats *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{st}"));
  for (guint i = AFORK_EXIT_CAUSE_NONE + 1; i < AFORK_EXIT_CAUSE_N; i++)
    g_variant_builder_add (&builder, "{st}", _afork_exit_cause_get_name (i), self->n_exited[i]);
  return g_variant_builder_end (&builder);
}

void
_afork_pool_stats_build (const AForkPoolStats *self,
                         GVariantBuilder      *builder)
{
  add_number (builder, "accepted", self->n_accepted);
  add_number (builder, "results", self->n_results);
  add_number (builder, "errors", self->n_errors);
  add_number (builder, "cancelled", self->n_cancelled);
  add_number (builder, "timed-out", self->n_timed_out);
  add_number (builder, "retried", self->n_retried);
  add_number (builder, "quarantined", self->n_quarantined);
  add_number (builder, "overloaded", self->n_overloaded);
  add_durations (builder, "wait", &self->wait);
  add_durations (builder, "run", &self->run);
  add_number (builder, "workers-started", self->n_started);
  g_variant_builder_add (builder, "{sv}", "workers-exited", new_exits (self));
}
