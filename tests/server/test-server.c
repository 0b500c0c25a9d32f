/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server by itself: what it does with its command line, with frames, and with other bytes. */

#include "config.h"

#include "server-caller.h"
#include "test-limits.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The command line. */

static void
expect_usage (const char * const *argv,
              int                 socket,
              int                 number)
{
  g_autofree char *text = g_malloc0 (4096);
  gsize size = 0;
  gssize n_read;
  int reading, writing;
  int fds[2];
  pid_t pid;

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  reading = fds[0];
  writing = fds[1];
  pid = spawn_server (argv, socket, number, writing);
  close_fd (&writing);
  while ((n_read = read (reading, text + size, 4095 - size)) > 0)
    size += (gsize) n_read;
  g_assert_nonnull (strstr (text, "--socket=N"));
  expect_status (pid, 2);
  close_fd (&reading);
}

static void
test_usage (guint         *n_fds,
            gconstpointer  data)
{
  const char *server = get_server ();
  int ours, theirs, datagram, null;

  open_sockets (&ours, &theirs);
  datagram = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  expect_usage (STRV (server), null, STDIN_FILENO);
  expect_usage (STRV (server), datagram, STDIN_FILENO);
  expect_usage (STRV (server, "--socket=3"), -1, -1);
  expect_usage (STRV (server, "--socket=3"), null, SERVER_SOCKET);
  expect_usage (STRV (server, "--socket=3"), datagram, SERVER_SOCKET);
  expect_usage (STRV (server, "--socket=3x"), theirs, SERVER_SOCKET);
  expect_usage (STRV (server, "--socket="), theirs, SERVER_SOCKET);
  expect_usage (STRV (server, "--socket=-1"), theirs, SERVER_SOCKET);
  expect_usage (STRV (server, "--help"), theirs, SERVER_SOCKET);
  expect_usage (STRV (server, "3"), theirs, SERVER_SOCKET);
  expect_usage (STRV (server, "--socket=3", "--socket=3"), theirs, SERVER_SOCKET);

  close_fd (&ours);
  close_fd (&theirs);
  close_fd (&datagram);
  close_fd (&null);
}

/* Without arguments the socket is its standard input. */
static void
test_standard (guint         *n_fds,
               gconstpointer  data)
{
  Caller caller;
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_init (&caller, ours);
  caller.pid = spawn_server (STRV (get_server ()), theirs, STDIN_FILENO, -1);
  close_fd (&theirs);
  caller_expect (&caller, AFORK_FRAME_HELLO);
  caller_require (&caller, "echo");
  caller_run (&caller, "echo");
  caller_expect (&caller, AFORK_FRAME_READY);
  caller_expect_echo (&caller, "");
  caller_finish (&caller, 0);
}

/* Wrong frames. */

typedef struct
{
  const char *path;
  const char *bytes;
  gsize       n_bytes;
  const char *text;
} Garbage;

#define BYTES(BYTES) BYTES, sizeof BYTES - 1

static const Garbage garbage[] = {
  { "text", BYTES ("GET / HTTP/1.0\r\n\r\n"), "no known kind" },
  { "zeroes", BYTES ("\0\0\0\0\0\0\0\0\0\0"), "no known kind" },
  { "longest", BYTES ("\377\377\377\377\7\0\0\0"), "too large" },
  { "too-long", BYTES ("\1\0\20\0\7\0\0\0"), "too large" },
  { "flags", BYTES ("\0\0\0\0\12\4\0\0"), "flags" },
  { "fds", BYTES ("\0\0\0\0\7\0\1\0"), "number of descriptors" },
  { "payload", BYTES ("\4\0\0\0\7\0\0\0\1\0\0\0"), "payload" },
  { "missing-fd", BYTES ("\0\0\0\0\13\0\1\0"), "ITEM_FDS came without the descriptors" },
  { "hello", BYTES ("\16\0\0\0\100\0\0\0\5\0\0\0AFork\0\1\0\0\0"),
    "HELLO, which only servers send" },
};

/* Sent at once, and byte by byte. */
static void
test_garbage (guint         *n_fds,
              gconstpointer  data)
{
  const Garbage *self = data;
  Caller at_once, in_pieces;

  caller_start (&at_once);
  caller_send_bytes (&at_once, self->bytes, self->n_bytes, NULL, 0);
  caller_expect_error (&at_once, AFORK_WIRE_ERROR_PROTOCOL, self->text);
  caller_expect_end (&at_once);
  caller_finish (&at_once, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);

  caller_start (&in_pieces);
  for (gsize i = 0; i < self->n_bytes; i++)
    caller_send_bytes (&in_pieces, self->bytes + i, 1, NULL, 0);
  caller_expect_error (&in_pieces, AFORK_WIRE_ERROR_PROTOCOL, self->text);
  caller_finish (&in_pieces, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
}

/* The caller exits in the middle of a frame. */
static void
test_end_in_frame (guint         *n_fds,
                   gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
  for (guint n_bytes = 0; n_bytes < bytes->len; n_bytes++)
    {
      Caller caller;

      caller_start (&caller);
      caller_send_bytes (&caller, bytes->data, n_bytes, NULL, 0);
      g_assert_no_errno (shutdown (caller.socket, SHUT_WR));
      caller_expect_end (&caller);
      caller_finish (&caller, 0);
    }
}

/* Commands. */

static void
fail_module (Caller *self)
{
  caller_require (self, "no-such-module");
}

static void
fail_function (Caller *self)
{
  caller_run (self, "no_such_function");
}

static void
fail_eval (Caller *self)
{
  caller_send (self, FRAME (SETENV, .string = { "AFORK_EVAL", "/afork/no-such-plugin.so" }));
  caller_send (self, FRAME (EVAL, .string = { "code" }));
}

static void
fail_chdir (Caller *self)
{
  caller_send (self, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
}

static void
fail_protocol (Caller *self)
{
  caller_send (self, FRAME (FORKED, .n_fds = 0));
}

/* There must be no room when the descriptor arrives, so the server first sends that there is
 * none. */
static void
fail_spawn (Caller *self)
{
  int fds[2];
  char byte;

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  caller_require (self, "faults");
  caller_send_with_fd (self, FRAME (MAP_FD, .number = { 20 }), fds[1]);
  caller_call (self, "call_few_fds", STRV ("3"));
  caller_call (self, "call_notify", STRV ("20", "x"));
  g_assert_cmpint (read (fds[0], &byte, 1), ==, 1);
  close_fd (&fds[0]);
  close_fd (&fds[1]);
  caller_send_with_fd (self, FRAME (ITEM_FDS, .n_fds = 1), STDERR_FILENO);
}

typedef struct
{
  const char     *path;
  void          (*fail) (Caller *self);
  AForkWireError  code;
} Failure;

/* The leak sanitizer would need some of the used-up descriptors when the server exits. */
static void
start_without_sanitizer (Caller *self)
{
  g_autofree char *options = g_strdup (g_getenv ("ASAN_OPTIONS"));

  g_setenv ("ASAN_OPTIONS", "detect_leaks=0", TRUE);
  caller_start (self);
  if (options != NULL)
    g_setenv ("ASAN_OPTIONS", options, TRUE);
  else
    g_unsetenv ("ASAN_OPTIONS");
}

static const Failure failures[] = {
  { "failed", fail_chdir, AFORK_WIRE_ERROR_FAILED },
  { "protocol", fail_protocol, AFORK_WIRE_ERROR_PROTOCOL },
  { "module", fail_module, AFORK_WIRE_ERROR_MODULE },
  { "function", fail_function, AFORK_WIRE_ERROR_FUNCTION },
  { "not-supported", fail_eval, AFORK_WIRE_ERROR_NOT_SUPPORTED },
  { "spawn", fail_spawn, AFORK_WIRE_ERROR_SPAWN },
};

/* Each kind of error has its own exit status, in an executed server and in a fork. */
static void
test_failure (guint         *n_fds,
              gconstpointer  data)
{
  const Failure *self = data;
  Caller caller, fork;

  start_without_sanitizer (&caller);
  caller_fork (&caller, 1, &fork);
  self->fail (&fork);
  caller_expect_error (&fork, self->code, NULL);
  caller_expect_end (&fork);
  caller_finish (&fork, 0);
  caller_expect_exited (&caller, 1, AFORK_EXIT_BASE + (int) self->code);

  self->fail (&caller);
  caller_expect_error (&caller, self->code, NULL);
  caller_expect_end (&caller);
  caller_finish (&caller, AFORK_EXIT_BASE + (int) self->code);
}

/* A program without a name cannot be executed. */
static void
test_exec_nothing (guint         *n_fds,
                   gconstpointer  data)
{
  Caller caller;
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_start (&caller);
  caller_send_with_fd (&caller, FRAME (EXEC, .strings = { 0 }), theirs);
  caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "EXEC");
  caller_expect_end (&caller);
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
  close_fd (&ours);
  close_fd (&theirs);
}

static gboolean
is_nosuid (const char *folder)
{
  struct statvfs status;

  g_assert_no_errno (statvfs (folder, &status));
  return (status.f_flag & ST_NOSUID) != 0;
}

/* A server with more rights than the user who started it does not let that user choose what it
 * loads. */
static void
test_more_rights (guint         *n_fds,
                  gconstpointer  data)
{
  g_autofree char *folder = NULL;
  g_autofree char *server = NULL;
  g_autofree char *content = NULL;
  Caller caller;
  gsize size;
  int ours, theirs, fd;

  if (getuid () != 0 || is_under_valgrind ())
    {
      g_test_skip ("Only root can make such a server, and valgrind cannot execute it");
      return;
    }
  if (!need_ordinary_user ())
    return;
  if (prctl (PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0 || is_nosuid (g_get_tmp_dir ()))
    {
      g_test_skip ("Programs get no more rights than their callers here");
      return;
    }

  folder = g_dir_make_tmp ("afork-XXXXXX", NULL);
  server = g_build_filename (folder, "server", NULL);
  g_assert_no_errno (chmod (folder, 0755));
  g_assert_true (g_file_get_contents (get_server (), &content, &size, NULL));
  g_assert_true (g_file_set_contents (server, content, (gssize) size, NULL));
  g_assert_no_errno (chmod (server, 04755));
  fd = open (server, O_RDONLY | O_CLOEXEC);
  g_assert_no_errno (fd);

  open_sockets (&ours, &theirs);
  caller_init (&caller, ours);
  caller.pid = fork ();
  g_assert_cmpint (caller.pid, >=, 0);
  if (caller.pid == 0)
    {
      char * const argv[] = { server, (char *) "--socket=3", NULL };

      /* The directory may be below one that the user cannot enter, such as /root. */
      if (fd == SERVER_SOCKET)
        fd = fcntl (fd, F_DUPFD_CLOEXEC, SERVER_SOCKET + 1);
      if (dup2 (theirs, SERVER_SOCKET) == SERVER_SOCKET && become_ordinary_user ())
        fexecve (fd, argv, environ);
      _exit (99);
    }
  close_fd (&theirs);
  close_fd (&fd);
  caller_expect (&caller, AFORK_FRAME_HELLO);
  caller_require (&caller, "echo");
  caller_expect_error (&caller, AFORK_WIRE_ERROR_MODULE, "echo");
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_MODULE);
  g_assert_no_errno (unlink (server));
  g_assert_no_errno (rmdir (folder));
}

/* A whole conversation, in two parts, divided at each byte. */
static void
test_divided (guint         *n_fds,
              gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, FRAME (TITLE, .string = { "divided" }));
  add_frame (bytes, FRAME (SETENV, .string = { "NAME", "value" }));
  add_frame (bytes, FRAME (UNSETENV, .string = { "NAME" }));
  add_frame (bytes, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "on", .n_bytes = 2,
                           .flags = AFORK_FRAME_MORE));
  add_frame (bytes, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "e,", .n_bytes = 2));
  add_frame (bytes, FRAME (ITEM_FDS, .n_fds = 2));
  add_frame (bytes, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "two", .n_bytes = 3));
  add_frame (bytes, FRAME (REQUIRE, .string = { "echo" }));
  add_frame (bytes, FRAME (RUN, .string = { "echo", "echo" }));

  for (guint at = 0; at < bytes->len; at++)
    {
      const int fds[] = { STDERR_FILENO, STDERR_FILENO };
      Caller caller;

      /* Descriptors come with the first byte of the message. */
      caller_start (&caller);
      caller_send_bytes (&caller, bytes->data, at, fds, at > 0 ? 2 : 0);
      caller_await_read (&caller);
      caller_send_bytes (&caller, bytes->data + at, bytes->len - at, fds, at > 0 ? 0 : 2);
      caller_expect (&caller, AFORK_FRAME_READY);
      caller_expect_echo (&caller, "one,two");
      caller_finish (&caller, 0);
    }
}

/* No byte of the function is taken for a command, and no command for a byte of the function. */
static void
test_behind_run (guint         *n_fds,
                 gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  const int fds[] = { STDERR_FILENO };
  Caller caller;

  add_frame (bytes, FRAME (REQUIRE, .string = { "echo" }));
  add_frame (bytes, FRAME (RUN, .string = { "echo", "echo" }));

  caller_start (&caller);
  caller_send_bytes (&caller, bytes->data, bytes->len, fds, 1);
  caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "Input followed the last command");
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);

  caller_start (&caller);
  caller_send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
  caller_expect (&caller, AFORK_FRAME_READY);
  caller_send_bytes (&caller, "raw bytes", 9, NULL, 0);
  caller_expect_echo (&caller, "raw bytes");
  caller_finish (&caller, 0);

  add_frame (bytes, FRAME (TITLE, .string = { "title" }));
  caller_start (&caller);
  caller_send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
  caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "Input followed the last command");
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
}

/* Detached and taken over. The new caller gets the pidfd once. Items that the old caller has queued
 * are still there. */
static void
test_identify (guint         *n_fds,
               gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  Caller caller;

  caller_start (&caller);
  caller_send (&caller, FRAME (REQUIRE, .string = { "echo" }));
  caller_send (&caller, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "kept ", .n_bytes = 5));
  caller_send (&caller, FRAME (DETACH));
  caller_expect (&caller, AFORK_FRAME_READY);
  g_assert_cmpuint (caller.fds->len, ==, 0);

  caller_send (&caller, FRAME (IDENTIFY, .number = { AFORK_WIRE_VERSION }));
  g_assert_cmpuint (caller_expect (&caller, AFORK_FRAME_FORKED).n_fds, ==, 1);
  close (caller_take_fd (&caller));

  add_frame (bytes, FRAME (DETACH));
  caller_send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
  g_assert_cmpuint (caller_expect (&caller, AFORK_FRAME_READY).n_fds, ==, 0);

  g_byte_array_set_size (bytes, 0);
  add_frame (bytes, FRAME (IDENTIFY, .number = { AFORK_WIRE_VERSION }));
  add_frame (bytes, FRAME (RUN, .string = { "echo", "echo" }));
  caller_send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
  g_assert_cmpuint (caller_expect (&caller, AFORK_FRAME_READY).n_fds, ==, 1);
  close (caller_take_fd (&caller));
  caller_expect_echo (&caller, "kept ");
  caller_finish (&caller, 0);
}

/* A caller of another version of the library gets an error, and none of its commands is done. */
static void
test_identify_version (guint         *n_fds,
                       gconstpointer  data)
{
  const guint32 versions[] = { AFORK_WIRE_VERSION + 1, 0, G_MAXUINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (versions); i++)
    {
      g_autoptr(GByteArray) bytes = g_byte_array_new ();
      g_autofree char *text = g_strdup_printf ("version %u of the protocol", versions[i]);
      Caller caller;

      caller_start (&caller);
      caller_send (&caller, FRAME (DETACH));
      caller_expect (&caller, AFORK_FRAME_READY);
      add_frame (bytes, FRAME (IDENTIFY, .number = { versions[i] }));
      add_frame (bytes, FRAME (REQUIRE, .string = { "/no/such/module.so" }));
      caller_send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
      caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, text);
      caller_expect_end (&caller);
      caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
    }
}

/* More and more descriptors that no frame names, each message with one byte of an incomplete
 * frame. */
static void
test_stray_fds (guint         *n_fds,
                gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree char *title = g_strnfill (1000, 'x');
  int fds[AFORK_FRAME_MAX_FDS];
  Caller caller;

  /* An ordinary user may have as many descriptors in flight as a process may have open. */
  if (!need_descriptors (16 * AFORK_FRAME_MAX_FDS))
    return;

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = STDERR_FILENO;
  add_frame (bytes, FRAME (TITLE, .string = { title }));

  caller_start (&caller);
  for (guint i = 0; i < 16; i++)
    caller_send_bytes (&caller, bytes->data + i, 1, fds, G_N_ELEMENTS (fds));
  caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL,
                       "More descriptors came than frames that name them");
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
}

/* A file that comes otherwise than was announced. Nothing of it is kept. */
static void
test_file (guint         *n_fds,
           gconstpointer  data)
{
  static const char sum_of_abc[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  static const char * const wrong_sums[] = {
    "", "../../../../tmp/x", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a/",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
  };
  static const struct
  {
    AForkFrame     then;
    AForkWireError code;
    const char    *text;
  } cases[] = {
    { FRAME (FILE_BYTES, .bytes = (const guint8 *) "abd", .n_bytes = 3),
      AFORK_WIRE_ERROR_MODULE, "SHA-256" },
    { FRAME (FILE_BYTES, .bytes = (const guint8 *) "abcd", .n_bytes = 4),
      AFORK_WIRE_ERROR_PROTOCOL, "more bytes" },
    { FRAME (FILE_BYTES), AFORK_WIRE_ERROR_PROTOCOL, "Bytes of a file" },
    { FRAME (TITLE, .string = { "x" }), AFORK_WIRE_ERROR_MODULE, "not all of it" },
    { FRAME (FAIL, .number = { AFORK_WIRE_ERROR_MODULE }, .string = { "lost it" }),
      AFORK_WIRE_ERROR_MODULE, "lost it" },
    { FRAME (FAIL, .number = { G_MAXUINT32 }, .string = { "lost it" }),
      AFORK_WIRE_ERROR_FAILED, "lost it" },
    /* It is all there, and is no shared object. */
    { FRAME (FILE_BYTES, .bytes = (const guint8 *) "abc", .n_bytes = 3),
      AFORK_WIRE_ERROR_MODULE, "file too short" },
  };
  g_autofree char *folder = g_dir_make_tmp ("afork-server-XXXXXX", NULL);
  g_autofree char *modules = g_build_filename (folder, "afork-1", "modules", NULL);
  g_autofree char *own = g_path_get_dirname (modules);
  g_autofree char *complete = g_strdup_printf ("%s/%s", modules, sum_of_abc);
  Caller caller;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const gboolean is_last = i == G_N_ELEMENTS (cases) - 1;

      caller_start (&caller);
      caller_send (&caller, FRAME (SETENV, .string = { "XDG_CACHE_HOME", folder }));
      caller_send (&caller, FRAME (FILE, .string = { "x", sum_of_abc }, .number = { 3, 0 }));
      g_assert_cmpuint (caller_expect (&caller, AFORK_FRAME_FILE_WANTED).number[0], ==, 1);
      caller_send (&caller, cases[i].then);
      caller_expect_error (&caller, cases[i].code, cases[i].text);
      caller_finish (&caller, AFORK_EXIT_BASE + (int) cases[i].code);
      g_assert_cmpint (g_remove (complete) == 0, ==, is_last);
      /* It is empty. */
      g_assert_no_errno (g_rmdir (modules));
    }

  /* The caller has gone in the middle. */
  caller_start (&caller);
  caller_send (&caller, FRAME (SETENV, .string = { "XDG_CACHE_HOME", folder }));
  caller_send (&caller, FRAME (FILE, .string = { "x", sum_of_abc }, .number = { 3, 0 }));
  caller_expect (&caller, AFORK_FRAME_FILE_WANTED);
  caller_send (&caller, FRAME (FILE_BYTES, .bytes = (const guint8 *) "ab", .n_bytes = 2));
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_MODULE);
  g_assert_no_errno (g_rmdir (modules));
  g_assert_no_errno (g_rmdir (own));

  for (gsize i = 0; i < G_N_ELEMENTS (wrong_sums); i++)
    {
      caller_start (&caller);
      caller_send (&caller, FRAME (SETENV, .string = { "XDG_CACHE_HOME", folder }));
      caller_send (&caller, FRAME (FILE, .string = { "x", wrong_sums[i] }, .number = { 3, 0 }));
      caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "SHA-256");
      caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
    }

  caller_start (&caller);
  caller_send (&caller, FRAME (FILE_BYTES, .bytes = (const guint8 *) "ab", .n_bytes = 2));
  caller_expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "Bytes of a file");
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
  g_assert_no_errno (g_rmdir (folder));
}

/* Frames may be as long as the protocol allows, and there may be many. */
static void
test_long_frames (guint         *n_fds,
                  gconstpointer  data)
{
  g_autofree char *value = g_strnfill (AFORK_FRAME_MAX_PAYLOAD - 4 - 4 - 1 - 4 - 1, 'x');
  Caller caller;

  caller_start (&caller);
  for (guint i = 0; i < 8; i++)
    caller_send (&caller, FRAME (SETENV, .string = { "NAME", value }));
  caller_require (&caller, "echo");
  caller_run (&caller, "echo");
  caller_expect (&caller, AFORK_FRAME_READY);
  caller_expect_echo (&caller, "");
  caller_finish (&caller, 0);
}

/* Descriptors of the server move away when another one is mapped to their numbers. */
static void
test_map (guint         *n_fds,
          gconstpointer  data)
{
  Caller caller, first, second;
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &first);
  caller_expect_fork (&caller, 2, &second);
  for (guint32 target = 0; target < 24; target++)
    caller_send_with_fd (&caller, FRAME (MAP_FD, .number = { target }), null);
  caller_finish (&second, 0);
  caller_expect_exited (&caller, 2, 0);
  caller_finish (&first, 0);
  caller_expect_exited (&caller, 1, 0);

  caller_require (&caller, "echo");
  caller_run (&caller, "echo");
  caller_expect (&caller, AFORK_FRAME_READY);
  caller_expect_echo (&caller, "");
  caller_finish (&caller, 0);
  close_fd (&null);
}

/* This descriptor does not exist, so the server has none there that it has not reserved. */
static void
test_map_nowhere (guint         *n_fds,
                  gconstpointer  data)
{
  Caller caller, fork;
  int death_pipe[2];

  g_assert_true (g_unix_open_pipe (death_pipe, FD_CLOEXEC, NULL));
  caller_start (&caller);
  caller_send_with_fd (&caller, FRAME (DEATH_PIPE, .n_fds = 1), death_pipe[0]);
  caller_expect_fork (&caller, 1, &fork);
  caller_send_with_fd (&fork, FRAME (MAP_FD, .number = { G_MAXUINT32 }), STDERR_FILENO);
  caller_expect_error (&fork, AFORK_WIRE_ERROR_FAILED, "mapped to -1");
  caller_finish (&fork, 0);
  caller_expect_exited (&caller, 1, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);

  caller_expect_fork (&caller, 2, &fork);
  caller_send_with_fd (&caller, FRAME (MAP_FD, .number = { G_MAXUINT32 }), STDERR_FILENO);
  caller_expect_error (&caller, AFORK_WIRE_ERROR_FAILED, "mapped to -1");
  caller_finish (&fork, 0);
  caller_expect_exited (&caller, 2, 0);
  caller_expect_end (&caller);
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);
  close_fd (&death_pipe[0]);
  close_fd (&death_pipe[1]);
}

/* The caller may exit before its server has got the death pipe. Its socket is still open, as if
 * another process had inherited it. */
static void
test_death_pipe_ended (guint         *n_fds,
                       gconstpointer  data)
{
  Caller caller;
  int death_pipe[2];
  int wait_status;

  g_assert_true (g_unix_open_pipe (death_pipe, FD_CLOEXEC, NULL));
  close_fd (&death_pipe[1]);
  caller_start (&caller);
  caller_send_with_fd (&caller, FRAME (DEATH_PIPE, .n_fds = 1), death_pipe[0]);
  close_fd (&death_pipe[0]);
  g_assert_cmpint (waitpid (caller.pid, &wait_status, 0), ==, caller.pid);
  g_assert_true (WIFSIGNALED (wait_status));
  g_assert_cmpint (WTERMSIG (wait_status), ==, SIGKILL);
  caller.pid = 0;
  caller_finish (&caller, 0);
}

/* The library of the caller is not where the caller says. Only a worker that needs it gets an
 * error. */
static void
test_library (guint         *n_fds,
              gconstpointer  data)
{
  const int status = AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FUNCTION;
  Caller caller, fork;

  caller_start (&caller);
  caller_send (&caller, FRAME (LIBRARY, .string = { "/nowhere/libnowhere.so" }));
  caller_fork (&caller, 1, &fork);
  caller_run (&fork, "no_such_function");
  caller_expect_error (&fork, AFORK_WIRE_ERROR_FUNCTION,
                       "There is no function “no_such_function”, because no module has been "
                       "loaded");
  caller_finish (&fork, 0);
  caller_expect_exited (&caller, 1, status);

  caller_require (&caller, "echo");
  caller_run (&caller, "afork_worker_serve_calls");
  caller_expect_error (&caller, AFORK_WIRE_ERROR_FUNCTION,
                       "There is no function “afork_worker_serve_calls” in the modules that have "
                       "been loaded, and AFork's library could not be loaded: libnowhere.so: ");
  caller_finish (&caller, status);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_server_test ("/server/usage", NULL, test_usage);
  add_server_test ("/server/standard", NULL, test_standard);
  for (guint i = 0; i < G_N_ELEMENTS (garbage); i++)
    {
      g_autofree char *path = g_strconcat ("/server/garbage/", garbage[i].path, NULL);

      add_server_test (path, &garbage[i], test_garbage);
    }
  for (guint i = 0; i < G_N_ELEMENTS (failures); i++)
    {
      g_autofree char *path = g_strconcat ("/server/failure/", failures[i].path, NULL);

      add_server_test (path, &failures[i], test_failure);
    }
  add_server_test ("/server/exec-nothing", NULL, test_exec_nothing);
  add_server_test ("/server/more-rights", NULL, test_more_rights);
  add_server_test ("/server/end-in-frame", NULL, test_end_in_frame);
  add_server_test ("/server/divided", NULL, test_divided);
  add_server_test ("/server/behind-run", NULL, test_behind_run);
  add_server_test ("/server/identify", NULL, test_identify);
  add_server_test ("/server/identify/version", NULL, test_identify_version);
  add_server_test ("/server/stray-fds", NULL, test_stray_fds);
  add_server_test ("/server/long-frames", NULL, test_long_frames);
  add_server_test ("/server/file", NULL, test_file);
  add_server_test ("/server/library", NULL, test_library);
  add_server_test ("/server/map", NULL, test_map);
  add_server_test ("/server/map/nowhere", NULL, test_map_nowhere);
  add_server_test ("/server/death-pipe/ended", NULL, test_death_pipe_ended);

  return g_test_run ();
}
