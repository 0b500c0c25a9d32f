/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Everything that a worker module should not do. */

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

enum { NOBODY = 65534 };

/* Ends itself by SIGNAL, whatever handles it, and without a core file. */
__attribute__ ((noreturn)) static void
die (int number)
{
  setrlimit (RLIMIT_CORE, &(struct rlimit) { 0, 0 });
  signal (number, SIG_DFL);
  raise (number);
  _exit (1);
}

__attribute__ ((noreturn)) static void
hang (void)
{
  for (;;)
    pause ();
}

static void
write_all (int         fd,
           const void *data,
           size_t      size)
{
  if (write (fd, data, size) != (ssize_t) size)
    _exit (1);
}

/* To be called. */

AFORK_WORKER_EXPORT void call_exit          (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_signal        (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_hang          (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_notify        (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_await         (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_close         (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_daemon        (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_garbage       (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_thread        (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_joined_thread (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_few_fds       (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void call_no_forks      (int argc, const char * const *argv);

/* STATUS */
void
call_exit (int                argc,
           const char * const *argv)
{
  exit (atoi (argv[0]));
}

/* SIGNAL */
void
call_signal (int                argc,
             const char * const *argv)
{
  die (atoi (argv[0]));
}

void
call_hang (int                argc,
           const char * const *argv)
{
  hang ();
}

/* FD TEXT: writes the text. */
void
call_notify (int                 argc,
             const char * const *argv)
{
  write_all (atoi (argv[0]), argv[1], strlen (argv[1]));
}

/* FD: reads until the end. */
void
call_await (int                argc,
            const char * const *argv)
{
  char byte;

  while (read (atoi (argv[0]), &byte, 1) > 0)
    ;
}

/* Closes all descriptors that do not belong to it. */
void
call_close (int                argc,
            const char * const *argv)
{
  close_range (STDERR_FILENO + 1, ~0U, 0);
}

/* FD STATUS: exits, but leaves a process behind that has all descriptors. It lives until FD, which
 * is the reading end of a pipe, is at its end. */
void
call_daemon (int                argc,
             const char * const *argv)
{
  if (fork () == 0)
    {
      call_await (1, argv);
      _exit (0);
    }

  _exit (atoi (argv[1]));
}

/* Writes to the command socket what no server writes, and does not return. */
void
call_garbage (int                argc,
              const char * const *argv)
{
  static const char garbage[] = "This is not what the caller waits for.";
  const int n_fds = getdtablesize () < 4096 ? getdtablesize () : 4096;

  for (int fd = STDERR_FILENO + 1; fd < n_fds; fd++)
    {
      socklen_t size = sizeof (int);
      int type;

      if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0)
        write_all (fd, garbage, sizeof garbage);
    }

  hang ();
}

static void *
thread_main (void *data)
{
  hang ();
}

static void *
short_thread_main (void *data)
{
  return data;
}

/* Starts and joins a thread. */
void
call_joined_thread (int                argc,
                    const char * const *argv)
{
  pthread_t thread;

  if (pthread_create (&thread, NULL, short_thread_main, NULL) != 0
      || pthread_join (thread, NULL) != 0)
    abort ();
}

/* NAME, optional: leaves a thread of that name running. */
void
call_thread (int                argc,
             const char * const *argv)
{
  pthread_t thread;

  if (pthread_create (&thread, NULL, thread_main, NULL) != 0
      || (argc > 0 && pthread_setname_np (thread, argv[0]) != 0))
    _exit (1);
}

/* N: from now on descriptors must be below N. */
void
call_few_fds (int                argc,
              const char * const *argv)
{
  struct rlimit limit;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = (rlim_t) atoi (argv[0]);
  if (setrlimit (RLIMIT_NOFILE, &limit) < 0)
    _exit (1);
}

/* From now on this user, who is not root, must not have more processes. */
void
call_no_forks (int                argc,
               const char * const *argv)
{
  if (geteuid () == 0 && setresuid (NOBODY, NOBODY, NOBODY) < 0)
    _exit (1);
  if (setrlimit (RLIMIT_NPROC, &(struct rlimit) { 0, 0 }) < 0)
    _exit (1);
}

/* To be run. */

AFORK_WORKER_EXPORT void run_return (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void run_exit   (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void run_signal (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void run_hang   (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void run_notify (int socket, const AForkItem *items, size_t n_items);

void
run_return (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
}

/* STATUS */
void
run_exit (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
  exit (atoi (items[0].data));
}

/* SIGNAL */
void
run_signal (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  die (atoi (items[0].data));
}

/* Lives on, even if the caller is gone. */
void
run_hang (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
  hang ();
}

/* Writes a byte to each descriptor among its items, and then lives on. */
void
run_notify (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_FD)
      write_all (items[i].fd, "", 1);

  hang ();
}
