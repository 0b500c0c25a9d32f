/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Parses any bytes as what RESTRICT and CONFINED have. A description must be within bounds, and
 * must be the same when it is written and parsed again; a report must have the same bytes. */

#include <stdlib.h>
#include <string.h>

#include <afork/wire/afork-confinement.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
check (bool condition)
{
  if (!condition)
    abort ();
}

static void
check_paths (AForkStrings paths)
{
  const char *path;

  check (paths.n_strings <= AFORK_MAX_PATHS);
  while ((path = afork_strings_next (&paths)) != NULL)
    check (path[0] == '/' && strlen (path) <= AFORK_MAX_PATH_LENGTH);
  check (paths.n_bytes == 0);
}

static void
check_bounds (const AForkConfinement *confinement,
              const uint8_t          *bytes,
              size_t                  n_bytes)
{
  check (confinement->nice <= 19 && confinement->oom_score <= 1000);
  check (confinement->n_filters <= AFORK_MAX_FILTERS);
  for (unsigned i = 0; i < AFORK_N_LIMITS; i++)
    check (confinement->limits[i].soft <= confinement->limits[i].hard);
  for (unsigned i = 0; i < confinement->n_filters; i++)
    {
      const AForkFilter *filter = &confinement->filters[i];
      size_t size = (size_t) filter->n_instructions * AFORK_INSTRUCTION_SIZE;

      check (filter->n_instructions > 0 && filter->n_instructions <= AFORK_MAX_INSTRUCTIONS);
      check (filter->instructions >= bytes && filter->instructions + size <= bytes + n_bytes);
      check ((unsigned) filter->stage < AFORK_N_STAGES);
    }
  for (unsigned i = 0; i < 2; i++)
    check_paths (confinement->paths[i]);
  for (unsigned i = 0; i < AFORK_N_LAYERS; i++)
    check ((unsigned) confinement->missing[i] < AFORK_N_LAYER_STATES);
}

static void
check_description (const uint8_t *bytes,
                   size_t         n_bytes)
{
  AForkConfinement confinement, again;
  uint8_t *written, *rewritten;
  const char *why;
  size_t size;

  if (!afork_confinement_parse (bytes, n_bytes, &confinement, &why))
    {
      check (why != NULL);
      return;
    }

  check (why == NULL);
  check_bounds (&confinement, bytes, n_bytes);
  size = afork_confinement_size (&confinement);
  written = malloc (size);
  rewritten = malloc (size);
  afork_confinement_write (&confinement, written);
  check (afork_confinement_parse (written, size, &again, &why));
  check (afork_confinement_size (&again) == size);
  afork_confinement_write (&again, rewritten);
  check (memcmp (written, rewritten, size) == 0);
  free (written);
  free (rewritten);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  AForkConfinementReport report;
  uint8_t written[AFORK_CONFINEMENT_REPORT_SIZE];

  check_description (bytes, n_bytes);
  if (!afork_confinement_report_parse (bytes, n_bytes, &report))
    return 0;

  check (n_bytes == sizeof written);
  check ((afork_confinement_report_had (&report) & ~report.wanted) == 0);
  afork_confinement_report_write (&report, written);
  check (memcmp (written, bytes, n_bytes) == 0);
  return 0;
}
