/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The standard error output of a worker: which of it is in errors, which is forwarded, and that it
 * never blocks the program. */

#include "config.h"

#include "test-rpc-util.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum
{
  KIB = 1024,
  /* As calls/stderr-capture.c has them. */
  MAX_KEPT = 2 * KIB,
  MAX_LINES = 10,
};

static AForkRpc *
new_stderr_rpc (gboolean forward)
{
  g_autoptr(AForkProcess) process = new_module_process ("bounds");

  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", "bounds_do", "forward-stderr", forward,
                       NULL);
}

/* The error of a worker that writes, and exits with status 5. */
static char *
get_message (AForkRpc *rpc,
             AForkJob *job)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (run_job (rpc, job, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EXITED);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_nonnull (strstr (error->message, "status 5"));
  return g_strdup (error->message);
}

/* The end of what it wrote, as it is in the error of such a worker. */
static char *
get_tail (const char *what,
          guint32     number)
{
  const char * const before = "Standard error: ";
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (FALSE);
  g_autoptr(AForkJob) job = afork_job_new (do_args (what, number));
  g_autofree char *message = get_message (rpc, job);
  char *tail = strstr (message, before);

  return g_strdup (tail != NULL ? tail + strlen (before) : "");
}

static void
test_tail_lines (void)
{
  const guint32 counts[] = { 0, 1, MAX_LINES, MAX_LINES + 1, 100000 };

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      g_autofree char *tail = get_tail ("lines", counts[i]);
      g_autoptr(GString) expected = g_string_new (NULL);

      for (guint32 k = counts[i] > MAX_LINES ? counts[i] - MAX_LINES : 0; k < counts[i]; k++)
        g_string_append_printf (expected, "%sline %u", expected->len > 0 ? "\n" : "", k);
      g_assert_cmpstr (tail, ==, expected->str);
    }
}

/* A line that does not end, and is longer than a pipe. */
static void
test_tail_line (void)
{
  const guint32 sizes[] = { 2, 100, MAX_KEPT, MAX_KEPT + 1, 1000000 };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *tail = get_tail ("line", sizes[i]);

      g_assert_cmpuint (strlen (tail), ==, MIN (sizes[i], MAX_KEPT));
      g_assert_true (g_str_has_suffix (tail, ">"));
      g_assert_cmpint (tail[0], ==, sizes[i] <= MAX_KEPT ? '<' : 'l');
    }
}

/* All bytes: the message is valid UTF-8, with replacements for others. */
static void
test_tail_binary (void)
{
  g_autofree char *tail = get_tail ("binary", 64 * KIB);

  g_assert_true (g_utf8_validate (tail, -1, NULL));
  g_assert_nonnull (strstr (tail, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
  g_assert_cmpuint (strlen (tail), <=, 3 * MAX_KEPT);
}

/* The standard error output of this program, replaced for a while. */
typedef struct
{
  int saved;
  int end;                      /* reads what was written; or -1 */
} Redirect;

/* The replaced one, or NULL. */
static Redirect *current;

/* Whether a write to the standard error output may wait for room. */
static gboolean
may_wait (void)
{
  const int flags = fcntl (STDERR_FILENO, F_GETFL);
  struct stat status;

  return flags >= 0 && (flags & O_NONBLOCK) == 0 && fstat (STDERR_FILENO, &status) == 0
    && !S_ISREG (status.st_mode);
}

/* Replaces the function of the C library, also for AFork. */
ssize_t
write (int         fd,
       const void *bytes,
       size_t      n_bytes)
{
  if (fd == STDERR_FILENO && current != NULL && may_wait ())
    {
      g_assert_no_errno (dup2 (current->saved, STDERR_FILENO));
      g_error ("The program would wait for its own standard error output");
    }

  return syscall (SYS_write, fd, bytes, n_bytes);
}

static void
redirect_to (Redirect *redirect,
             int       fd,
             int       end)
{
  fflush (stderr);
  redirect->saved = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  g_assert_no_errno (redirect->saved);
  g_assert_no_errno (dup2 (fd, STDERR_FILENO));
  redirect->end = end;
  current = redirect;
}

/* Uses a pipe. */
static void
redirect_begin (Redirect *redirect)
{
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC | O_NONBLOCK));
  redirect_to (redirect, fds[1], fds[0]);
  close (fds[1]);
}

static void
redirect_end (Redirect *redirect)
{
  current = NULL;
  g_assert_no_errno (dup2 (redirect->saved, STDERR_FILENO));
  close (redirect->saved);
  if (redirect->end >= 0)
    close (redirect->end);
}

static gboolean
read_cb (int          fd,
         GIOCondition condition,
         gpointer     data)
{
  char bytes[4 * KIB];
  gssize n_read = read (fd, bytes, sizeof bytes);

  g_assert_cmpint (n_read, >, 0);
  g_string_append_len (data, bytes, n_read);
  return G_SOURCE_CONTINUE;
}

/* Checks that TEXT has so many lines. */
static void
assert_text (const char *text,
             guint32     n_lines)
{
  g_autoptr(GString) expected = g_string_new (NULL);

  for (guint32 i = 0; i < n_lines; i++)
    g_string_append_printf (expected, "line %u\n", i);
  g_assert_cmpuint (strlen (text), ==, expected->len);
  g_assert_true (g_str_equal (text, expected->str));
}

/* All of it is forwarded, in order, although it is more than a pipe holds. */
static void
test_forward (void)
{
  enum { N_LINES = 50000 };
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("lines", N_LINES));
  g_autofree char *message = NULL;
  g_autofree char *text = g_malloc0 (16 * N_LINES);
  Redirect redirect;
  int file = memfd_create ("output", MFD_CLOEXEC);

  g_assert_no_errno (file);
  assert_serves (rpc);
  redirect_to (&redirect, file, -1);
  message = get_message (rpc, job);
  redirect_end (&redirect);
  g_assert_cmpint (pread (file, text, 16 * N_LINES - 1, 0), >, 0);
  close (file);
  assert_text (text, N_LINES);
}

/* It is not forwarded if the property is cleared. */
static void
test_kept_back (void)
{
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (FALSE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("lines", 1000));
  g_autofree char *message = NULL;
  Redirect redirect;
  char byte;

  assert_serves (rpc);
  redirect_begin (&redirect);
  message = get_message (rpc, job);
  g_assert_cmpint (read (redirect.end, &byte, 1), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
  redirect_end (&redirect);
  g_assert_nonnull (strstr (message, "line 999"));
}

/* While the output of this program is not read, the worker waits for a moment, and other calls do
 * not. No text is lost if it is read in time. Text that was not written when the worker has exited
 * is written after that. */
static void
test_forward_slow (void)
{
  enum { N_LINES = 50000 };
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(AForkRpc) other = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("lines", N_LINES));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GString) text = g_string_new (NULL);
  g_autoptr(GError) error = NULL;
  Redirect redirect;
  guint source;

  assert_serves (rpc);
  redirect_begin (&redirect);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  while (poll (&(struct pollfd) { .fd = STDERR_FILENO, .events = POLLOUT }, 1, 0) > 0)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < 10; i++)
    assert_serves (other);
  g_assert_null (result);
  g_assert_cmpint (afork_process_get_state (afork_rpc_get_process (rpc)), <,
                   AFORK_PROCESS_STATE_EXITED);

  source = g_unix_fd_add (redirect.end, G_IO_IN, read_cb, text);
  await_result (&result);
  await_text (text, "line 49999\n");
  g_source_remove (source);
  redirect_end (&redirect);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_EXITED, "line 49999");
  assert_text (text->str, N_LINES);
  close_rpc (other);
}

/* An output that is not read. */

static void
open_pipe (int *fd,
           int *end)
{
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  *fd = fds[1];
  *end = fds[0];
}

static void
open_socket (int *fd,
             int *end)
{
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  *fd = fds[1];
  *end = fds[0];
}

static void
open_terminal (int *fd,
               int *end)
{
  struct termios settings;

  g_assert_no_errno (openpty (end, fd, NULL, NULL, NULL));
  g_assert_no_errno (tcgetattr (*fd, &settings));
  cfmakeraw (&settings);
  g_assert_no_errno (tcsetattr (*fd, TCSANOW, &settings));
}

/* How many bytes were dropped, according to the lines in TEXT, minus the length of these lines. */
static gsize
count_dropped (const char *text,
               gsize      *n_notices)
{
  gsize n_dropped = 0;
  const char *end;

  for (*n_notices = 0; (text = strchr (text, '[')) != NULL; text = end)
    {
      end = strchr (text, '\n') + 1;
      g_assert_cmpint (end[-2], ==, ']');
      n_dropped += strtoul (text + 1, NULL, 10) - (gsize) (end - text);
      (*n_notices)++;
    }

  return n_dropped;
}

/* Checks that TEXT is what a worker wrote, twice N_LINES lines, except for what was dropped, which
 * a line reports. Returns whether it is complete. */
static gboolean
is_complete (const char *text,
             guint32     n_lines)
{
  g_autofree char *last = g_strdup_printf ("line %u\n", n_lines - 1);
  gsize n_expected = 0, n_notices, n_bytes;

  if (!g_str_has_suffix (text, last))
    return FALSE;

  for (guint32 i = 0; i < 2 * n_lines; i++)
    n_expected += (gsize) snprintf (NULL, 0, "line %u\n", i % n_lines);
  n_bytes = strlen (text) + count_dropped (text, &n_notices);
  if (n_bytes < n_expected)
    return FALSE;

  /* A line that is cut there may have got a line end. */
  g_assert_cmpuint (n_notices, >, 0);
  g_assert_cmpuint (n_bytes, <=, n_expected + n_notices);
  return TRUE;
}

/* Waits for the answer, which is empty. */
static void
expect_done (AForkRpc      *rpc,
             GAsyncResult **result)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  await_result (result);
  value = afork_rpc_call_finish (rpc, *result, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "()");
  g_clear_object (result);
}

/* The worker answers, although it writes more than is kept, and other calls do not even wait. When
 * the output is read again, a line says how much is missing, and later text is written. */
static void
check_unread (gconstpointer data)
{
  enum { N_LINES = 50000 };
  void (*open_output) (int *fd, int *end) = data;
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(AForkRpc) other = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GString) text = g_string_new (NULL);
  Redirect redirect;
  int fd, end;
  guint source;

  assert_serves (rpc);
  open_output (&fd, &end);
  redirect_to (&redirect, fd, end);
  begin_call (rpc, "write-lines", N_LINES, NULL, &result);
  assert_serves (other);
  expect_done (rpc, &result);

  g_unix_set_fd_nonblocking (end, TRUE, NULL);
  source = g_unix_fd_add (end, G_IO_IN, read_cb, text);
  begin_call (rpc, "write-lines", N_LINES, NULL, &result);
  expect_done (rpc, &result);
  while (!is_complete (text->str, N_LINES))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (source);
  g_assert_true (g_str_has_prefix (text->str, "line 0\nline 1\n"));
  close (fd);
  redirect_end (&redirect);
  close_rpc (other);
  close_rpc (rpc);
}

static void
test_unread_pipe (void)
{
  check_unread (open_pipe);
}

static void
test_unread_socket (void)
{
  check_unread (open_socket);
}

static void
test_unread_terminal (void)
{
  check_unread (open_terminal);
}

/* A process that writes to the same pipe as this one whenever there is room. */
static pid_t
start_other_writer (int fd)
{
  char page[4 * KIB] = { 0 };
  pid_t child = fork ();

  g_assert_no_errno (child);
  while (child == 0)
    if (write (fd, page, sizeof page) < 0)
      _exit (0);

  return child;
}

/* Other processes write to the pipe as well, and take the room that was just there. */
static void
test_forward_contended (void)
{
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GString) text = g_string_new (NULL);
  Redirect redirect;
  int fd, end;
  guint source;
  pid_t other;

  assert_serves (rpc);
  open_pipe (&fd, &end);
  redirect_to (&redirect, fd, end);
  other = start_other_writer (fd);
  source = g_unix_fd_add (end, G_IO_IN, read_cb, text);
  begin_call (rpc, "write-lines", 20000, NULL, &result);
  expect_done (rpc, &result);
  g_source_remove (source);

  kill (other, SIGKILL);
  g_assert_cmpint (waitpid (other, NULL, 0), ==, other);
  close (fd);
  redirect_end (&redirect);
  close_rpc (rpc);
}

/* The text of a worker that exits properly is not cut. */
static void
test_forward_last (void)
{
  enum { N_LINES = 5000 };
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GString) text = g_string_new (NULL);
  Redirect redirect;
  guint source;

  assert_serves (rpc);
  redirect_begin (&redirect);
  begin_call (rpc, "write-lines", N_LINES, NULL, &result);
  close_rpc (rpc);
  expect_done (rpc, &result);
  g_clear_object (&rpc);
  source = g_unix_fd_add (redirect.end, G_IO_IN, read_cb, text);
  await_text (text, "line 4999\n");
  g_source_remove (source);
  redirect_end (&redirect);
  assert_text (text->str, N_LINES);
}

/* The exit of a worker is reported even if there is no room for its text, which is in the error.
 * The text is written when there is room again. */
static void
test_forward_full_died (void)
{
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("lines", 100));
  g_autoptr(GString) text = g_string_new (NULL);
  g_autofree char *message = NULL;
  char page[4 * KIB] = { 0 };
  Redirect redirect;
  guint source;

  assert_serves (rpc);
  redirect_begin (&redirect);
  while (write (STDERR_FILENO, page, sizeof page) > 0)
    ;
  message = get_message (rpc, job);
  g_clear_object (&rpc);
  g_assert_nonnull (strstr (message, "line 99"));

  while (read (redirect.end, page, sizeof page) > 0)
    ;
  source = g_unix_fd_add (redirect.end, G_IO_IN, read_cb, text);
  await_text (text, "line 99\n");
  g_source_remove (source);
  redirect_end (&redirect);
  assert_text (text->str, 100);
}

/* The reader of this program's output is gone: this ends neither the worker nor the program. */
static void
test_forward_broken (void)
{
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("lines", 50000));
  g_autofree char *message = NULL;
  Redirect redirect;
  void (*handler) (int number);

  assert_serves (rpc);
  /* GIO ignores the signal. */
  handler = signal (SIGPIPE, SIG_DFL);
  redirect_begin (&redirect);
  close (g_steal_fd (&redirect.end));
  message = get_message (rpc, job);
  redirect_end (&redirect);
  signal (SIGPIPE, handler);
  g_assert_nonnull (strstr (message, "line 49999"));
}

/* This program has no standard error output. */
static void
test_forward_closed (void)
{
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (TRUE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("lines", 50000));
  g_autofree char *message = NULL;
  Redirect redirect;

  assert_serves (rpc);
  redirect_begin (&redirect);
  close (STDERR_FILENO);
  message = get_message (rpc, job);
  redirect_end (&redirect);
  g_assert_nonnull (strstr (message, "line 49999"));
}

/* A child of the worker outlives it, and keeps its standard error output and its socket: the exit
 * is reported nevertheless. */
static void
check_child (const char *what)
{
  g_autoptr(AForkRpc) rpc = new_stderr_rpc (FALSE);
  g_autoptr(AForkJob) job = NULL;
  g_autofree char *message = NULL;
  int ends[2];

  g_assert_no_errno (pipe2 (ends, O_CLOEXEC));
  job = new_fd_job (what, 0, ends[0]);
  message = get_message (rpc, job);
  g_test_message ("%.100s …", message);
  if (g_str_equal (what, "child"))
    g_assert_nonnull (strstr (message, "Standard error: it has a child"));
  else
    g_assert_nonnull (strstr (message, "and on"));
  close (ends[1]);
}

static void
test_child_quiet (void)
{
  check_child ("child");
}

static void
test_child_floods (void)
{
  check_child ("child-floods");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/rpc-stderr/tail/lines", test_tail_lines, run_with_census);
  g_test_add_data_func ("/rpc-stderr/tail/line", test_tail_line, run_with_census);
  g_test_add_data_func ("/rpc-stderr/tail/binary", test_tail_binary, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/all", test_forward, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/none", test_kept_back, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/last", test_forward_last, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/slow", test_forward_slow, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/contended", test_forward_contended, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/full-died", test_forward_full_died, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/broken", test_forward_broken, run_with_census);
  g_test_add_data_func ("/rpc-stderr/forward/closed", test_forward_closed, run_with_census);
  g_test_add_data_func ("/rpc-stderr/unread/pipe", test_unread_pipe, run_with_census);
  g_test_add_data_func ("/rpc-stderr/unread/socket", test_unread_socket, run_with_census);
  g_test_add_data_func ("/rpc-stderr/unread/terminal", test_unread_terminal, run_with_census);
  g_test_add_data_func ("/rpc-stderr/child/quiet", test_child_quiet, run_with_census);
  g_test_add_data_func ("/rpc-stderr/child/floods", test_child_floods, run_with_census);

  return g_test_run ();
}
