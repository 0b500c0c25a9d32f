/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Writing without waiting and without a signal, to all kinds of files. */

#include "config.h"

#include "afork/base/write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { NOBODY = 65534 };

typedef struct
{
  int writer;                   /* the descriptor to write to */
  int reader;
} Ends;

static void
open_pipe (Ends *ends)
{
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  *ends = (Ends) { .writer = fds[1], .reader = fds[0] };
}

static void
open_socket (Ends *ends)
{
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  *ends = (Ends) { .writer = fds[1], .reader = fds[0] };
}

static void
open_terminal (Ends *ends)
{
  struct termios settings;

  g_assert_no_errno (openpty (&ends->reader, &ends->writer, NULL, NULL, NULL));
  g_assert_no_errno (tcgetattr (ends->writer, &settings));
  cfmakeraw (&settings);
  g_assert_no_errno (tcsetattr (ends->writer, TCSANOW, &settings));
}

static void
close_ends (Ends *ends)
{
  if (ends->writer >= 0)
    close (ends->writer);
  if (ends->reader >= 0)
    close (ends->reader);
}

static void
assert_fails (int fd,
              int number)
{
  g_assert_cmpint (_afork_write_now (fd, "text", 4), ==, -1);
  g_assert_cmpint (errno, ==, number);
}

/* Writes until there is no room, and returns the number of bytes. */
static gsize
fill (int fd)
{
  char page[PIPE_BUF];
  gsize n_bytes = 0;
  gssize n_written;

  memset (page, 'x', sizeof page);
  while ((n_written = _afork_write_now (fd, page, sizeof page)) > 0)
    n_bytes += (gsize) n_written;
  g_assert_cmpint (n_written, ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  return n_bytes;
}

/* Everything that was reported as written arrives, and then there is room again. */
static void
drain (int   fd,
       gsize n_bytes)
{
  char bytes[PIPE_BUF];

  while (n_bytes > 0)
    {
      gssize n_read = read (fd, bytes, MIN (n_bytes, sizeof bytes));

      g_assert_cmpint (n_read, >, 0);
      for (gssize i = 0; i < n_read; i++)
        g_assert_cmpint (bytes[i], ==, 'x');
      n_bytes -= (gsize) n_read;
    }
}

static void
check_full (Ends *ends)
{
  const int flags = fcntl (ends->writer, F_GETFL);

  for (int i = 0; i < 3; i++)
    drain (ends->reader, fill (ends->writer));
  /* Other processes have the same file description, and still wait in write(). */
  g_assert_cmpint (fcntl (ends->writer, F_GETFL), ==, flags);
  g_assert_cmpint (flags & O_NONBLOCK, ==, 0);
}

static void
test_full (gconstpointer data)
{
  void (*open_ends) (Ends *ends) = data;
  Ends ends;

  open_ends (&ends);
  check_full (&ends);
  close_ends (&ends);
}

/* Runs FUNCTION where the file of the writer cannot be opened again. */
static void
run_without_permission (Ends  *ends,
                        void (*function) (Ends *ends))
{
  const uid_t user = geteuid ();

  g_assert_no_errno (fchmod (ends->writer, 0));
  if (user == 0)
    g_assert_no_errno (seteuid (NOBODY));
  function (ends);
  if (user == 0)
    g_assert_no_errno (seteuid (user));
}

static void
test_pipe_of_another (void)
{
  Ends ends;

  open_pipe (&ends);
  run_without_permission (&ends, check_full);
  close_ends (&ends);
}

static void
check_refused (Ends *ends)
{
  assert_fails (ends->writer, EOPNOTSUPP);
}

static void
test_terminal_of_another (void)
{
  Ends ends;

  open_terminal (&ends);
  run_without_permission (&ends, check_refused);
  close_ends (&ends);
}

/* Runs FUNCTION, which returns whether it succeeded, in a new session with the terminal as its
 * controlling terminal. */
static void
run_in_session (gboolean (*function) (Ends *ends))
{
  Ends ends;
  pid_t child;
  int status;

  open_terminal (&ends);
  child = fork ();
  g_assert_no_errno (child);
  if (child == 0)
    {
      if (setsid () < 0 || ioctl (ends.writer, TIOCSCTTY, 0) < 0)
        _exit (1);
      _exit (function (&ends) ? 0 : 2);
    }

  g_assert_cmpint (waitpid (child, &status, WUNTRACED), ==, child);
  if (WIFSTOPPED (status))
    kill (child, SIGKILL);
  g_assert_cmpint (status, ==, 0);
  close_ends (&ends);
}

static gboolean
write_without_permission (Ends *ends)
{
  if (fchmod (ends->writer, 0) < 0 || (geteuid () == 0 && seteuid (NOBODY) < 0))
    return FALSE;

  return _afork_write_now (ends->writer, "text", 4) == 4;
}

/* The user may open neither the device nor its entry in /proc, as after su. */
static void
test_terminal_controlling (void)
{
  run_in_session (write_without_permission);
}

static gboolean
write_in_background (Ends *ends)
{
  struct termios settings;
  pid_t other = fork ();
  gboolean written;

  if (other == 0)
    {
      pause ();
      _exit (0);
    }

  signal (SIGTTOU, SIG_IGN);
  if (other < 0 || setpgid (other, other) < 0 || tcsetpgrp (ends->writer, other) < 0
      || tcgetattr (ends->writer, &settings) < 0)
    return FALSE;
  settings.c_lflag |= TOSTOP;
  if (tcsetattr (ends->writer, TCSANOW, &settings) < 0)
    return FALSE;
  signal (SIGTTOU, SIG_DFL);

  written = _afork_write_now (ends->writer, "text", 4) == 4;
  kill (other, SIGKILL);
  waitpid (other, NULL, 0);
  return written;
}

/* If a terminal stops background processes that write to it, it does not stop this one. */
static void
test_terminal_background (void)
{
  run_in_session (write_in_background);
}

/* Instead of a signal that ends the program there is an error. A signal that was pending stays
 * pending. */
static void
test_broken (gconstpointer data)
{
  void (*open_ends) (Ends *ends) = data;
  void (*old) (int number) = signal (SIGPIPE, SIG_DFL);
  sigset_t signals, pending, before;
  Ends ends;

  open_ends (&ends);
  close (g_steal_fd (&ends.reader));
  assert_fails (ends.writer, EPIPE);

  sigemptyset (&signals);
  sigaddset (&signals, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &signals, &before);
  raise (SIGPIPE);
  assert_fails (ends.writer, EPIPE);
  sigpending (&pending);
  g_assert_true (sigismember (&pending, SIGPIPE));
  signal (SIGPIPE, SIG_IGN);
  pthread_sigmask (SIG_SETMASK, &before, NULL);

  signal (SIGPIPE, old);
  close_ends (&ends);
}

static void
test_broken_pipe_of_another (void)
{
  void (*old) (int number) = signal (SIGPIPE, SIG_DFL);
  Ends ends;

  open_pipe (&ends);
  close (g_steal_fd (&ends.reader));
  g_assert_no_errno (fchmod (ends.writer, 0));
  if (geteuid () == 0)
    g_assert_no_errno (seteuid (NOBODY));
  assert_fails (ends.writer, EPIPE);
  if (getuid () == 0)
    g_assert_no_errno (seteuid (0));
  signal (SIGPIPE, old);
  close_ends (&ends);
}

/* The other end of the terminal is closed. */
static void
test_terminal_broken (void)
{
  Ends ends;

  open_terminal (&ends);
  close (g_steal_fd (&ends.reader));
  g_assert_cmpint (_afork_write_now (ends.writer, "text", 4), ==, -1);
  g_assert_cmpint (errno, !=, EAGAIN);
  close_ends (&ends);
}

static void
test_file (void)
{
  struct rlimit old, limit;
  char bytes[16] = { 0 };
  int fd = memfd_create ("file", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_cmpint (_afork_write_now (fd, "some ", 5), ==, 5);
  g_assert_cmpint (_afork_write_now (fd, "text", 4), ==, 4);
  g_assert_cmpint (pread (fd, bytes, sizeof bytes, 0), ==, 9);
  g_assert_cmpstr (bytes, ==, "some text");

  g_assert_no_errno (getrlimit (RLIMIT_FSIZE, &old));
  limit = old;
  limit.rlim_cur = 9;
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &limit));
  assert_fails (fd, EFBIG);
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &old));
  close (fd);
}

static void
test_devices (void)
{
  int null = open ("/dev/null", O_WRONLY | O_CLOEXEC);
  int full = open ("/dev/full", O_WRONLY | O_CLOEXEC);
  int master = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);

  g_assert_no_errno (null);
  g_assert_no_errno (full);
  g_assert_no_errno (master);
  g_assert_cmpint (_afork_write_now (null, "text", 4), ==, 4);
  assert_fails (full, ENOSPC);
  assert_fails (master, EOPNOTSUPP);
  close (null);
  close (full);
  close (master);
}

static void
test_not_writable (void)
{
  int file = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  Ends ends;

  g_assert_no_errno (file);
  open_pipe (&ends);
  assert_fails (file, EBADF);
  assert_fails (ends.reader, EBADF);
  assert_fails (-1, EBADF);
  close_ends (&ends);
  close (file);
}

/* If no descriptor is left, a pipe is written to nevertheless, and a terminal has no room for
 * now. */
static void
test_no_descriptor (void)
{
  struct rlimit old, limit;
  Ends pipe_ends, terminal_ends;

  open_pipe (&pipe_ends);
  open_terminal (&terminal_ends);
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &old));
  limit = old;
  limit.rlim_cur = 0;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  g_assert_cmpint (_afork_write_now (pipe_ends.writer, "text", 4), ==, 4);
  assert_fails (terminal_ends.writer, EAGAIN);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &old));
  close_ends (&terminal_ends);
  close_ends (&pipe_ends);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/write/full/pipe", open_pipe, test_full);
  g_test_add_data_func ("/write/full/socket", open_socket, test_full);
  g_test_add_data_func ("/write/full/terminal", open_terminal, test_full);
  g_test_add_func ("/write/of-another/pipe", test_pipe_of_another);
  g_test_add_func ("/write/of-another/terminal", test_terminal_of_another);
  g_test_add_func ("/write/terminal/controlling", test_terminal_controlling);
  g_test_add_func ("/write/terminal/background", test_terminal_background);
  g_test_add_func ("/write/terminal/broken", test_terminal_broken);
  g_test_add_data_func ("/write/broken/pipe", open_pipe, test_broken);
  g_test_add_data_func ("/write/broken/socket", open_socket, test_broken);
  g_test_add_func ("/write/broken/pipe-of-another", test_broken_pipe_of_another);
  g_test_add_func ("/write/file", test_file);
  g_test_add_func ("/write/devices", test_devices);
  g_test_add_func ("/write/not-writable", test_not_writable);
  g_test_add_func ("/write/no-descriptor", test_no_descriptor);

  return g_test_run ();
}
