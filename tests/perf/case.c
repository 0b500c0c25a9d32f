/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "case.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void
case_fail (const char *format,
           ...)
{
  va_list args;

  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
  exit (1);
}

void
case_fail_errno (const char *what)
{
  case_fail ("%s: %s", what, strerror (errno));
}

/* Writes to every page, and asks for small pages. These are what an ordinary program has, unless
 * the system uses huge pages for all memory, and what makes a fork expensive. The memory is kept
 * until the process exits. */
static void
make_resident (int megabytes)
{
  size_t page_size = (size_t) sysconf (_SC_PAGESIZE);
  size_t size = (size_t) megabytes * 1024 * 1024;
  char *memory;

  if (size == 0)
    return;

  memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    case_fail_errno ("mmap");
  /* A kernel without huge pages refuses this, and does not need it. */
  (void) madvise (memory, size, MADV_NOHUGEPAGE);
  for (size_t offset = 0; offset < size; offset += page_size)
    memory[offset] = 1;
}

static int
parse_number (const char *option,
              const char *text)
{
  char *end;
  long number = strtol (text, &end, 10);

  if (end == text || *end != '\0' || number < 0 || number > INT_MAX)
    case_fail ("--%s: “%s” is not a number of things", option, text);

  return (int) number;
}

void
case_init (CaseOptions  *options,
           int           argc,
           char        **argv)
{
  enum { COUNT, WARM_UP, IN_FLIGHT, RESIDENT_MB, WORKERS, LOAD, INSIDE };
  static const struct option long_options[] = {
    { "count",       required_argument, NULL, COUNT },
    { "warm-up",     required_argument, NULL, WARM_UP },
    { "in-flight",   required_argument, NULL, IN_FLIGHT },
    { "resident-mb", required_argument, NULL, RESIDENT_MB },
    { "workers",     required_argument, NULL, WORKERS },
    { "load",        required_argument, NULL, LOAD },
    { "inside",      no_argument,       NULL, INSIDE },
    { NULL,          0,                 NULL, 0 },
  };
  int option, index;

  *options = (CaseOptions) { .count = 100, .warm_up = 10, .in_flight = 1, .workers = 1, .load = 1 };
  while ((option = getopt_long (argc, argv, "", long_options, &index)) != -1)
    switch (option)
      {
      case COUNT:
        options->count = parse_number (long_options[index].name, optarg);
        break;
      case WARM_UP:
        options->warm_up = parse_number (long_options[index].name, optarg);
        break;
      case IN_FLIGHT:
        options->in_flight = parse_number (long_options[index].name, optarg);
        break;
      case RESIDENT_MB:
        options->resident_mb = parse_number (long_options[index].name, optarg);
        break;
      case WORKERS:
        options->workers = parse_number (long_options[index].name, optarg);
        break;
      case LOAD:
        options->load = parse_number (long_options[index].name, optarg);
        break;
      case INSIDE:
        options->inside = true;
        break;
      default:
        exit (2);
      }

  if (options->count < 1 || options->in_flight < 1 || options->workers < 1 || options->load < 1)
    case_fail ("--count, --in-flight, --workers and --load are at least 1");
  if (optind < argc)
    options->variant = argv[optind];

  make_resident (options->resident_mb);
}

int64_t
case_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
case_get_memory (void)
{
  FILE *file = fopen ("/proc/self/statm", "re");
  long n_all, n_resident;

  if (file == NULL || fscanf (file, "%ld %ld", &n_all, &n_resident) != 2)
    case_fail ("/proc does not report the size of memory");
  fclose (file);
  return (int64_t) n_resident * sysconf (_SC_PAGESIZE);
}

static int
compare (const void *a,
         const void *b)
{
  int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;

  return (left > right) - (left < right);
}

void
case_sort (int64_t *values,
           size_t   n_values)
{
  qsort (values, n_values, sizeof *values, compare);
}

char *
case_sibling (const char *name)
{
  char self[PATH_MAX];
  ssize_t length = readlink ("/proc/self/exe", self, sizeof self - 1);
  char *slash, *path;

  if (length < 0)
    case_fail_errno ("/proc/self/exe");

  self[length] = '\0';
  slash = strrchr (self, '/');
  if (asprintf (&path, "%.*s/%s", (int) (slash - self), self, name) < 0)
    case_fail ("out of memory");

  return path;
}

void
case_print_series (const char    *name,
                   const int64_t *values,
                   size_t         n_values)
{
  fputs (name, stdout);
  for (size_t i = 0; i < n_values; i++)
    printf (" %lld", (long long) values[i]);
  putchar ('\n');
}

/* One pending creation. */
typedef struct
{
  int64_t began;
  pid_t   pid;
} Creation;

static void
creation_begin (Creation      *creation,
                struct pollfd *socket,
                CaseCreate     create)
{
  int pair[2];

  creation->began = case_now ();
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    case_fail_errno ("socketpair");

  creation->pid = create (pair[1]);
  close (pair[1]);
  socket->fd = pair[0];
  socket->events = POLLIN;
}

/* Returns when it ended, or 0 if it has not ended yet. */
static int64_t
creation_end (Creation      *creation,
              struct pollfd *socket)
{
  char byte;
  ssize_t n_read = read (socket->fd, &byte, 1);
  int status = 0;

  if (n_read < 0 && errno == EINTR)
    return 0;
  if (n_read != 0)
    case_fail ("a process was to end, and did not");

  if (creation->pid > 0
      && (waitpid (creation->pid, &status, 0) < 0 || status != 0))
    case_fail ("process %d did not exit with status 0", (int) creation->pid);

  close (socket->fd);
  socket->fd = -1;
  return case_now ();
}

/* Sets LATENCIES to how long each of COUNT creations took, in the order in which they ended.
 * Returns how long all of them took. */
static int64_t
run_creations (int         count,
               int         in_flight,
               CaseCreate  create,
               int64_t    *latencies)
{
  Creation *creations = calloc (in_flight, sizeof *creations);
  struct pollfd *sockets = calloc (in_flight, sizeof *sockets);
  int64_t began = case_now ();
  int n_begun = 0, n_ended = 0;

  if (creations == NULL || sockets == NULL)
    case_fail ("out of memory");

  for (int i = 0; i < in_flight; i++)
    sockets[i].fd = -1;

  while (n_ended < count)
    {
      for (int i = 0; i < in_flight && n_begun < count; i++)
        if (sockets[i].fd < 0)
          {
            creation_begin (&creations[i], &sockets[i], create);
            n_begun++;
          }

      if (poll (sockets, in_flight, -1) < 0 && errno != EINTR)
        case_fail_errno ("poll");

      for (int i = 0; i < in_flight; i++)
        if (sockets[i].fd >= 0 && sockets[i].revents != 0)
          {
            int64_t ended = creation_end (&creations[i], &sockets[i]);

            if (ended > 0)
              latencies[n_ended++] = ended - creations[i].began;
          }
    }

  free (creations);
  free (sockets);
  return case_now () - began;
}

void
case_run (const CaseOptions *options,
          CaseCreate         create)
{
  size_t most = options->count > options->warm_up ? options->count : options->warm_up;
  int64_t *latencies = calloc (most, sizeof *latencies);
  int64_t elapsed;

  if (latencies == NULL)
    case_fail ("out of memory");

  run_creations (options->warm_up, options->in_flight, create, latencies);
  elapsed = run_creations (options->count, options->in_flight, create, latencies);
  case_print_series ("elapsed-ns", &elapsed, 1);
  case_print_series ("latency-ns", latencies, options->count);
  free (latencies);
}
