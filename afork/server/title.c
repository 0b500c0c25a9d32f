/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "title.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The kernel places the arguments and the environment in one run of strings. It reads the command
 * line from there, and continues past the end of the arguments if their last byte is not NUL. */
static char  *room;
static size_t room_size;

/* The copy of the environment. setenv() may replace the array, but does not free it. */
static char **variables;

/* Sets `room` to the longest run of adjacent strings that starts at argv[0]. Async-signal-safe. */
static void
measure_room (int    argc,
              char **argv)
{
  char *end = argv[0];

  for (int i = 0; i < argc && argv[i] == end; i++)
    end += strlen (argv[i]) + 1;
  for (int i = 0; environ[i] != NULL; i++)
    if (environ[i] == end)
      end += strlen (environ[i]) + 1;

  room = argv[0];
  room_size = (size_t) (end - argv[0]);
}

void
afork_title_init (int    argc,
                  char **argv)
{
  size_t n_variables = 0;

  if (argc < 1)
    return;

  measure_room (argc, argv);
  while (environ[n_variables] != NULL)
    n_variables++;

  variables = calloc (n_variables + 1, sizeof *variables);
  for (size_t i = 0; variables != NULL && i < n_variables; i++)
    if ((variables[i] = strdup (environ[i])) == NULL)
      variables = NULL;

  if (variables == NULL)
    {
      room_size = 0;
      return;
    }

  environ = variables;
  memset (room, '\0', room_size);
  afork_title_set ("server");
}

void
afork_title_init_memory (char   *memory,
                         size_t  size)
{
  room = memory;
  room_size = size;
  memset (room, '\0', room_size);
  afork_title_set ("server");
}

/* Writes "afork: TEXT" to OUT, cut to SIZE bytes with its NUL, and overwrites the rest of the
 * previous title with NULs. Every worker does this, and touching new memory, code included, costs
 * more than the copying. So this calls no function of the C library. Async-signal-safe. */
static void
write_title (const char    *text,
             volatile char *out,
             size_t         size)
{
  static const char prefix[] = "afork: ";
  size_t length = 0;

  for (const char *from = prefix; *from != '\0' && length < size - 1; from++)
    out[length++] = *from;
  for (const char *from = text; *from != '\0' && length < size - 1; from++)
    out[length++] = *from;
  for (size_t i = length; i < size && out[i] != '\0'; i++)
    out[i] = '\0';
}

void
afork_title_set (const char *text)
{
  char name[16] = "";

  write_title (text, name, sizeof name);
  prctl (PR_SET_NAME, name);

  if (room_size > 0)
    write_title (text, room, room_size);
}
