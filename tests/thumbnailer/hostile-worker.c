/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The thumbnailer's own worker module is built into this one, with two functions under other
 * names, so that what is no order to misbehave is a picture as any other. */
#include "worker.h"

#undef prepare
#undef thumbnail

AFORK_WORKER_EXPORT
void prepare (int                 argc,
              const char * const *argv);
AFORK_WORKER_EXPORT
void thumbnail (int              socket,
                const AForkItem *items,
                size_t           n_items);

typedef struct
{
  const char *order;      /* how a file begins that wants this */
  void     (* obey) (int socket,
                     int output);
} Misdeed;

/* A sanitizer would make a report and an exit of it. */
static void
crash (int socket,
       int output)
{
  signal (SIGSEGV, SIG_DFL);
  raise (SIGSEGV);
}

static void
be_killed (int socket,
           int output)
{
  raise (SIGKILL);
}

/* The first that the C library leaves to programs has the number 34. */
static void
raise_real_time_signal (int socket,
                        int output)
{
  raise (SIGRTMIN);
}

static void
exit_early (int socket,
            int output)
{
  exit (3);
}

/* Leaves its output half written, tells the test that it is there, and stays. */
static void
hang (int socket,
      int output)
{
  const char *door = getenv ("HOSTILE_DOOR");

  dprintf (output, "half of a thumb");
  if (door != NULL)
    dprintf (open (door, O_WRONLY), "%d\n", (int) getpid ());

  for (;;)
    pause ();
}

static void
say_nothing (int socket,
             int output)
{
  exit (0);
}

static void
say_too_much (int socket,
              int output)
{
  for (;;)
    dprintf (socket, "ok 1 1 and ever so much more besides\n");
}

static void
write_nonsense (int socket,
                int output)
{
  dprintf (output, "no thumbnail");
  dprintf (socket, "ok 1 1\n");
  exit (0);
}

static void
kill_template (int socket,
               int output)
{
  kill (getppid (), SIGKILL);
  raise (SIGSEGV);
}

/* Nobody tells of its end then. */
static void
stop_template (int socket,
               int output)
{
  kill (getppid (), SIGSTOP);
  raise (SIGSEGV);
}

static void
stop_template_and_hang (int socket,
                        int output)
{
  kill (getppid (), SIGSTOP);
  hang (socket, output);
}

static const Misdeed misdeeds[] = {
  { "crash", crash },
  { "be killed", be_killed },
  { "raise", raise_real_time_signal },
  { "exit", exit_early },
  { "hang", hang },
  { "say nothing", say_nothing },
  { "say too much", say_too_much },
  { "write nonsense", write_nonsense },
  { "kill template", kill_template },
  { "stop template", stop_template },
  { "stop template and hang", stop_template_and_hang },
};

/* Where a file says so, and that is taken away, the template hangs. */
void
prepare (int                 argc,
         const char * const *argv)
{
  const char *bed = getenv ("HOSTILE_BED");

  ordinary_prepare (argc, argv);
  if (bed != NULL && unlink (bed) == 0)
    raise (SIGSTOP);
}

void
thumbnail (int              socket,
           const AForkItem *items,
           size_t           n_items)
{
  char start[64] = "";

  if (pread (items[0].fd, start, sizeof start - 1, 0) > 0)
    for (size_t i = 0; i < sizeof misdeeds / sizeof *misdeeds; i++)
      if (strcmp (start, misdeeds[i].order) == 0)
        misdeeds[i].obey (socket, items[1].fd);

  ordinary_thumbnail (socket, items, n_items);
}
