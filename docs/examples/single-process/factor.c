/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The worker module of single-process: factors numbers, one in each line, until the end of the
 * input. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

static void
print_factors (FILE     *answer,
               uint64_t  number)
{
  fprintf (answer, "%" PRIu64 ":", number);
  for (uint64_t factor = 2; factor <= number / factor; factor++)
    for (; number % factor == 0 && number > factor; number /= factor)
      fprintf (answer, " %" PRIu64, factor);
  if (number > 1)
    fprintf (answer, " %" PRIu64, number);
  fputc ('\n', answer);
}

AFORK_WORKER_EXPORT void factor (int socket, const AForkItem *items, size_t n_items);

/* The socket belongs to the function alone, and is in blocking mode. When the function returns, the
 * process exits. */
void
factor (int              socket,
        const AForkItem *items,
        size_t           n_items)
{
  FILE *questions = fdopen (socket, "r");
  FILE *answers = fdopen (dup (socket), "w");
  size_t size = 0;
  char *line = NULL;

  if (questions == NULL || answers == NULL)
    exit (1);

  while (getline (&line, &size, questions) >= 0)
    {
      print_factors (answers, strtoull (line, NULL, 10));
      fflush (answers);
    }
}
