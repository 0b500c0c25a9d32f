/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: sessions of ssh over a connection that is made once (ControlMaster). Variants: `session`,
 * where each process is a session that executes a program that does nothing; `cat`, where 64 bytes
 * go to a process and come back; and `relayed`, the same with a process between that copies, on
 * each host. */

#include "config.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call-loop.h"
#include "case-host.h"
#include "case-subprocess.h"

static char *control;           /* where clients find the connection */
static char *nothing;
static char *relay;

/* Executes ssh with WORDS, as the child of PROGRAM unless that is NULL. Standard input and output
 * is one end of a socketpair, of which FD gets the other, unless FD is NULL. */
static GSubprocess *
spawn_ssh (const char         *program,
           const char * const *words,
           int                *fd)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  g_auto(GStrv) argv = NULL;
  g_autoptr(GError) error = NULL;
  GSubprocess *process;
  int pair[2];

  if (fd != NULL)
    {
      if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        case_fail_errno ("socketpair");
      *fd = pair[0];
      g_subprocess_launcher_take_stdout_fd (launcher, dup (pair[1]));
      g_subprocess_launcher_take_stdin_fd (launcher, pair[1]);
    }

  if (program != NULL)
    g_strv_builder_add (builder, program);
  g_strv_builder_add_many (builder, "ssh", "-F", case_host_get_configuration (), "-T", control,
                           NULL);
  g_strv_builder_addv (builder, (const char **) words);
  argv = g_strv_builder_end (builder);
  process = g_subprocess_launcher_spawnv (launcher, (const char * const *) argv, &error);
  if (process == NULL)
    case_fail ("%s", error->message);
  return process;
}

static void
run_ssh (const char * const *words)
{
  g_autoptr(GSubprocess) process = spawn_ssh (NULL, words, NULL);
  g_autoptr(GError) error = NULL;

  if (!g_subprocess_wait_check (process, NULL, &error))
    case_fail ("ssh: %s", error->message);
}

static void
create_session (CaseCreation *creation)
{
  g_autoptr(GError) error = NULL;
  int fd;
  GSubprocess *process = spawn_ssh (NULL, (const char * const []) { "host", nothing, NULL }, &fd);
  GSocket *socket = g_socket_new_from_fd (fd, &error);

  if (socket == NULL)
    case_fail ("%s", error->message);

  case_creation_connected (creation, fd, process, socket);
  case_subprocess_await (process, creation);
}

static void
call_cat (int   ticket,
          void *data)
{
  const int fd = *(int *) data;
  g_autofree char *bytes = call_make_result (CALL_ECHO_SIZE);
  size_t n_there = 0;

  if (write (fd, bytes, CALL_ECHO_SIZE) != CALL_ECHO_SIZE)
    case_fail_errno ("write");
  while (n_there < CALL_ECHO_SIZE)
    {
      ssize_t n_read = read (fd, bytes + n_there, CALL_ECHO_SIZE - n_there);

      if (n_read <= 0)
        case_fail ("the other host has gone");
      n_there += (size_t) n_read;
    }
  call_check_result (bytes, CALL_ECHO_SIZE, CALL_ECHO_SIZE);
  call_ended (ticket);
}

static void
run_cat (const CaseOptions *options,
         gboolean           relayed)
{
  g_autofree char *command = relayed ? g_strconcat (relay, " cat", NULL) : g_strdup ("cat");
  const char *words[] = { "host", command, NULL };
  int fd;
  g_autoptr(GSubprocess) process = spawn_ssh (relayed ? relay : NULL, words, &fd);

  call_run (options, call_cat, NULL, &fd);
  close (fd);
  g_subprocess_wait (process, NULL, NULL);
}

int
main (int    argc,
      char **argv)
{
  g_autofree char *folder = NULL;
  CaseOptions options;

  case_host_enter (argc, argv);
  case_init (&options, argc, argv);
  folder = g_dir_make_tmp ("afork-perf-XXXXXX", NULL);
  if (folder == NULL)
    case_fail ("there is no folder for the connection");
  control = g_strdup_printf ("-oControlPath=%s/control", folder);
  nothing = case_sibling ("nothing");
  relay = case_sibling ("relay");

  /* When this has ended, the connection is there, and a process in the background has it. */
  run_ssh ((const char * const []) { "-oControlMaster=yes", "-fN", "host", NULL });
  if (g_strcmp0 (options.variant, "session") == 0)
    case_loop_run (&options, create_session);
  else if (g_strcmp0 (options.variant, "cat") == 0)
    run_cat (&options, FALSE);
  else if (g_strcmp0 (options.variant, "relayed") == 0)
    run_cat (&options, TRUE);
  else
    case_fail ("no such variant");
  run_ssh ((const char * const []) { "-q", "-Oexit", "host", NULL });

  g_rmdir (folder);
  free (nothing);
  free (relay);
  g_free (control);
  return 0;
}
