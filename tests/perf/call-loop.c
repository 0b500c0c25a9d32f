/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t *began;          /* when the call of a ticket began; then how long it took */
static int      n_counted;

/* The calls of the warm-up, or those that are measured. */
static struct Series
{
  int        count;
  int        in_flight;
  int        n_begun;
  int        n_ended;
  bool       beginning;
  CallBegin  begin;
  void      *data;
} series;

bool
call_parse_variant (const char *variant,
                    const char *kind,
                    size_t     *size)
{
  size_t length = strlen (kind);
  char *end;

  if (variant == NULL || strncmp (variant, kind, length) != 0 || variant[length] != ':')
    return false;

  *size = strtoul (variant + length + 1, &end, 10);
  if (*end != '\0' || *size == 0)
    case_fail ("“%s” does not end in a size", variant);
  return true;
}

char *
call_make_result (size_t size)
{
  char *data = malloc (size);

  if (data == NULL)
    case_fail ("out of memory");
  memset (data, CALL_FILLING, size);
  return data;
}

void
call_check_result (const void *data,
                   size_t      size,
                   size_t      expected)
{
  const char *bytes = data;
  size_t page_size = (size_t) sysconf (_SC_PAGESIZE);

  if (size != expected)
    case_fail ("%zu bytes came instead of %zu", size, expected);

  for (size_t offset = 0; offset < size; offset += page_size)
    if (bytes[offset] != CALL_FILLING)
      case_fail ("byte %zu of %zu is wrong", offset, size);
  if (bytes[size - 1] != CALL_FILLING)
    case_fail ("the last of %zu bytes is wrong", size);
}

/* Begins as many calls as may be pending. Calls that end meanwhile make room for more. */
static void
begin_calls (void)
{
  if (series.beginning)
    return;

  series.beginning = true;
  while (series.n_begun < series.count && series.n_begun - series.n_ended < series.in_flight)
    {
      began[series.n_begun] = case_now ();
      series.begin (series.n_begun++, series.data);
    }
  series.beginning = false;
}

static void
run_calls (int        count,
           int        in_flight,
           CallBegin  begin,
           CallTurn   turn,
           void      *data)
{
  series = (struct Series) {
    .count = count, .in_flight = in_flight, .begin = begin, .data = data
  };

  begin_calls ();
  while (series.n_ended < count)
    turn (data);
}

int64_t
call_run (const CaseOptions *options,
          CallBegin          begin,
          CallTurn           turn,
          void              *data)
{
  int n_most = options->count > options->warm_up ? options->count : options->warm_up;
  int64_t start, elapsed;

  began = calloc ((size_t) n_most, sizeof *began);
  if (began == NULL)
    case_fail ("out of memory");

  run_calls (options->warm_up, options->in_flight, begin, turn, data);
  start = case_now ();
  run_calls (options->count, options->in_flight, begin, turn, data);
  elapsed = case_now () - start;

  n_counted = options->count;
  case_print_series ("elapsed-ns", &elapsed, 1);
  case_print_series ("latency-ns", began, (size_t) options->count);
  return elapsed;
}

void
call_ended (int ticket)
{
  began[ticket] = case_now () - began[ticket];
  series.n_ended++;
  begin_calls ();
}

void
call_print_median (void)
{
  case_sort (began, (size_t) n_counted);
  case_print_series ("first-answer-ns", &began[n_counted / 2], 1);
}
