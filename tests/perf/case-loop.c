/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "case-loop.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-object.h>
#include <glib-unix.h>
#include <unistd.h>

/* The time inside is the time in which the main loop does not wait in poll(): in the calls that
 * create a process, and in the dispatch of events that follow. During this time, a window would not
 * be drawn. Blocking counts. Time in which the thread could have run, but another thread had the
 * one processor that the benchmark is pinned to, does not count: that is the work of the new
 * processes, which is done in parallel on other machines. */
typedef struct
{
  int     schedstat;          /* -1 when it is not measured */
  int64_t spent;
  int64_t running_since;
} InsideClock;

typedef struct
{
  CaseLoopCreate  create;
  int             count;
  int             n_begun;
  int             n_ended;
  int64_t        *latencies;
  int64_t        *start_inside;
  int64_t        *life_inside;
} Run;

struct _CaseCreation
{
  Run      *run;
  int64_t   began;
  int64_t   inside_at_start;
  int64_t   inside_when_connected;
  guint     n_awaited;
  GObject  *process;
  GObject  *connection;
};

static InsideClock inside_clock = { .schedstat = -1 };

/* How long the thread was ready to run and did not run, in nanoseconds: the second number. */
static int64_t
read_run_delay (void)
{
  char text[96];
  ssize_t length = pread (inside_clock.schedstat, text, sizeof text - 1, 0);
  char *second;

  if (length <= 0)
    case_fail_errno ("/proc/thread-self/schedstat");

  text[length] = '\0';
  g_ascii_strtoull (text, &second, 10);
  return (int64_t) g_ascii_strtoull (second, NULL, 10);
}

static void
inside_clock_continue (void)
{
  if (inside_clock.schedstat < 0)
    return;

  inside_clock.running_since = -read_run_delay ();
  inside_clock.running_since += case_now ();
}

static void
inside_clock_pause (void)
{
  int64_t now;

  if (inside_clock.schedstat < 0)
    return;

  now = case_now ();
  inside_clock.spent += now - read_run_delay () - inside_clock.running_since;
}

/* The time of the clock, which is stopped meanwhile. */
static int64_t
inside_clock_read (void)
{
  inside_clock_pause ();
  inside_clock_continue ();
  return inside_clock.spent;
}

static int
poll_outside (GPollFD *fds,
              guint    n_fds,
              int      timeout)
{
  int result;

  inside_clock_pause ();
  result = g_poll (fds, n_fds, timeout);
  inside_clock_continue ();
  return result;
}

static void
inside_clock_start (void)
{
  inside_clock.schedstat = open ("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  if (inside_clock.schedstat < 0)
    case_fail_errno ("/proc/thread-self/schedstat");

  inside_clock_continue ();
  g_main_context_set_poll_func (NULL, poll_outside);
}

static void
creation_begin (Run *run)
{
  CaseCreation *creation = g_new0 (CaseCreation, 1);

  creation->run = run;
  creation->n_awaited = 2;
  creation->inside_at_start = inside_clock_read ();
  creation->began = case_now ();
  run->n_begun++;
  run->create (creation);
}

/* One of the two awaited events has come. After the second, the next creation begins. */
static void
creation_advance (CaseCreation *creation)
{
  Run *run = creation->run;

  if (--creation->n_awaited > 0)
    return;

  run->latencies[run->n_ended] = case_now () - creation->began;
  g_clear_object (&creation->connection);
  g_clear_object (&creation->process);
  run->start_inside[run->n_ended] = creation->inside_when_connected - creation->inside_at_start;
  run->life_inside[run->n_ended] = inside_clock_read () - creation->inside_at_start;
  run->n_ended++;
  g_free (creation);

  if (run->n_begun < run->count)
    creation_begin (run);
}

static gboolean
socket_readable_cb (int          socket,
                    GIOCondition condition,
                    gpointer     data)
{
  char byte;
  ssize_t n_read = read (socket, &byte, 1);

  if (n_read < 0 && (errno == EINTR || errno == EAGAIN))
    return G_SOURCE_CONTINUE;
  if (n_read != 0)
    case_fail ("a process was to end, and did not");

  creation_advance (data);
  return G_SOURCE_REMOVE;
}

static void
set_owners (CaseCreation *creation,
            gpointer      process,
            gpointer      connection)
{
  creation->inside_when_connected = inside_clock_read ();
  creation->process = process;
  creation->connection = connection;
}

void
case_creation_connected (CaseCreation *creation,
                         int           socket,
                         gpointer      process,
                         gpointer      connection)
{
  set_owners (creation, process, connection);
  g_unix_fd_add (socket, G_IO_IN, socket_readable_cb, creation);
}

void
case_creation_started (CaseCreation *creation,
                       gpointer      process,
                       gpointer      connection)
{
  set_owners (creation, process, connection);
  creation_advance (creation);
}

void
case_creation_exited (CaseCreation *creation,
                      int           wait_status)
{
  if (wait_status != 0)
    case_fail ("a process ended with wait status %d", wait_status);

  creation_advance (creation);
}

/* Returns how long all of them took. */
static int64_t
run_creations (Run *run,
               int  count,
               int  in_flight)
{
  int64_t began = case_now ();

  run->count = count;
  run->n_begun = run->n_ended = 0;
  while (run->n_begun < MIN (in_flight, count))
    creation_begin (run);
  while (run->n_ended < count)
    g_main_context_iteration (NULL, TRUE);

  return case_now () - began;
}

void
case_loop_run (const CaseOptions *options,
               CaseLoopCreate     create)
{
  size_t most = MAX (options->count, options->warm_up);
  g_autofree int64_t *latencies = g_new0 (int64_t, most);
  g_autofree int64_t *start_inside = g_new0 (int64_t, most);
  g_autofree int64_t *life_inside = g_new0 (int64_t, most);
  Run run = { create, .latencies = latencies, .start_inside = start_inside,
              .life_inside = life_inside };
  int64_t elapsed;

  if (options->inside)
    inside_clock_start ();

  run_creations (&run, options->warm_up, options->in_flight);
  elapsed = run_creations (&run, options->count, options->in_flight);

  case_print_series ("elapsed-ns", &elapsed, 1);
  case_print_series ("latency-ns", latencies, options->count);
  if (options->inside)
    {
      case_print_series ("start-inside-ns", start_inside, options->count);
      case_print_series ("life-inside-ns", life_inside, options->count);
    }
}
