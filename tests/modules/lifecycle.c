/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that live and exit in many ways. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#define WORKER(name) \
  AFORK_WORKER_EXPORT void name (int socket, const AForkItem *items, size_t n_items); \
  void name (int socket, const AForkItem *items, size_t n_items)

#define CALLED(name) \
  AFORK_WORKER_EXPORT void name (int argc, const char * const *argv); \
  void name (int argc, const char * const *argv)

/* Returns at once. */
WORKER (done)
{
}

/* Lives until the caller closes the socket. */
WORKER (until_closed)
{
  char byte;

  while (read (socket, &byte, 1) > 0)
    ;
}

/* Lives until it is killed. */
WORKER (forever)
{
  for (;;)
    pause ();
}

/* Sends its pid, and lives until the caller closes the socket. */
WORKER (write_pid)
{
  char byte;

  dprintf (socket, "%d\n", getpid ());
  while (read (socket, &byte, 1) > 0)
    ;
}

/* Writes so many bytes, and exits at once. */
WORKER (write_much)
{
  char bytes[4096] = "";

  for (long left = atol (items[0].data); left > 0;)
    {
      ssize_t n_bytes = write (socket, bytes, left < 4096 ? (size_t) left : sizeof bytes);

      if (n_bytes < 0)
        exit (1);
      left -= n_bytes;
    }
}

/* Exits with a status. */
WORKER (exit_with)
{
  exit (atoi (items[0].data));
}

/* The same, but only when the caller closes the socket. */
WORKER (exit_with_when_closed)
{
  until_closed (socket, items, n_items);
  exit_with (socket, items, n_items);
}

/* Kills itself with a signal. */
WORKER (die_of)
{
  raise (atoi (items[0].data));
}

/* Uses that many milliseconds of CPU time, and that many MiB. */
WORKER (burn)
{
  clock_t end = clock () + atol (items[0].data) * CLOCKS_PER_SEC / 1000;
  size_t size = (size_t) atol (items[1].data) * 1024 * 1024;
  volatile char *memory = malloc (size);

  if (memory == NULL)
    exit (1);
  for (size_t i = 0; i < size; i += 1024)
    memory[i] = 1;
  while (clock () < end)
    for (size_t i = 0; i < 1024 && i < size; i++)
      memory[i]++;
  free ((char *) memory);
}

/* Counts the SIGUSR1 that come, up to 9, and sends the count after each, until the caller closes
 * the socket. */

static int count_socket;

static void
count_signal (int signal)
{
  static char line[] = "0\n";

  line[0]++;
  if (write (count_socket, line, 2) != 2)
    _exit (1);
}

WORKER (count_signals)
{
  struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };

  count_socket = socket;
  sigaction (SIGUSR1, &action, NULL);
  dprintf (socket, "ready\n");
  until_closed (socket, items, n_items);
}

/* Writes a text to a descriptor. */
CALLED (note)
{
  if (argc != 2 || dprintf (atoi (argv[0]), "%s", argv[1]) < 0)
    abort ();
}

/* Opens that many descriptors, which an executed program would get, some with high numbers. */
CALLED (open_inheritable)
{
  for (int i = 0; i < atoi (argv[0]); i++)
    if (fcntl (STDERR_FILENO, F_DUPFD, i % 2 == 0 ? 3 : 100 + i) < 0)
      abort ();
}

/* Leaves a child that has all descriptors of this process until the pipe of one of them is
 * closed. */
CALLED (leave_child)
{
  char byte;
  pid_t child = fork ();

  if (child < 0)
    abort ();
  while (child == 0)
    if (read (atoi (argv[0]), &byte, 1) <= 0)
      _exit (0);
}

/* Exits with the status in the argument. If that is negative, such as -6, the process raises the
 * signal of this number instead. */
CALLED (end)
{
  const int how = atoi (argv[0]);

  /* A confined process cannot look for leaks, as an instrumented one would do in exit(). */
  if (how >= 0)
    _exit (how);
  signal (-how, SIG_DFL);
  raise (-how);
}

/* Closes all descriptors but the standard ones, and lives until it is killed. */
CALLED (close_all)
{
  close_range (STDERR_FILENO + 1, ~0U, 0);
  for (;;)
    pause ();
}

/* Stops this process until it is continued. */
CALLED (stop)
{
  raise (SIGSTOP);
}
