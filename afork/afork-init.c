/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-init.h"
#include "afork-init-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "afork-error.h"
#include "base/i18n.h"
#include "client/spawn.h"
#include "self/self-server.h"
#include "wire/afork-frame.h"

static int called;              /* atomic */

/* The caller of a server can use the rights of the server, so a server must not have more rights
 * than its caller. */
static gboolean
has_more_rights (void)
{
  return getauxval (AT_SECURE) != 0;
}

/* The caller that executes the program as a server adds the argument as the last one. */
static gboolean
is_started_as_server (int    argc,
                      char **argv)
{
  for (int i = 1; i < argc - 1; i++)
    if (strcmp (argv[i], "--") == 0)
      return FALSE;

  return argc > 1 && strcmp (argv[argc - 1], AFORK_SPAWN_HIDDEN_ARGUMENT) == 0;
}

/* Serves the caller. Does not return: the program must not do its own work as well. */
G_GNUC_NORETURN static void
serve (int    argc,
       char **argv)
{
  _afork_self_server_main (argc, argv, AFORK_SPAWN_SOCKET_NUMBER);

  /* A program in between has closed the socket, or the user has given the argument. */
  g_printerr (_("%s: %s is for programs that use AFork, and there is no socket to serve on\n"),
              argv[0], AFORK_SPAWN_HIDDEN_ARGUMENT);
  exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
}

/* Arguments after "--" are not options and stay. */
static void
remove_hidden_argument (int    *argc,
                        char ***argv)
{
  gboolean options = TRUE;
  int n_left = 0;

  for (int i = 0; i < *argc; i++)
    {
      options &= i == 0 || strcmp ((*argv)[i], "--") != 0;
      if (i == 0 || !options || strcmp ((*argv)[i], AFORK_SPAWN_HIDDEN_ARGUMENT) != 0)
        (*argv)[n_left++] = (*argv)[i];
    }

  (*argv)[n_left] = NULL;
  *argc = n_left;
}

/**
 * afork_init: (skip)
 * @argc: (inout): the number of arguments that `main()` has
 * @argv: (array length=argc) (inout) (transfer none): the arguments that `main()` has
 *
 * Lets the program be its own server, for the runtime of [func@AFork.Runtime.get_self]. It must be
 * the first call in `main()`. If that runtime has executed the program, this call serves the caller
 * and does not return. The program notices this by its last argument, `--afork-socket=3`, and by
 * descriptor 3, which is a stream socket. If there is no such socket, the program exits with a
 * message.
 *
 * Otherwise the call returns at once, and removes that argument if it is not after `--`. A program
 * that has more rights than its caller never serves.
 *
 * Call this in the first thread, before there is another one.
 *
 * Since: 0.1
 */
void
afork_init (int    *argc,
            char ***argv)
{
  g_return_if_fail (argc != NULL);
  g_return_if_fail (argv != NULL);

  g_atomic_int_set (&called, TRUE);
  if (*argv == NULL)
    return;

  if (is_started_as_server (*argc, *argv) && !has_more_rights ())
    serve (*argc, *argv);
  remove_hidden_argument (argc, argv);
}

gboolean
_afork_init_check (GError **error)
{
  if (!g_atomic_int_get (&called))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("The program “%s” cannot be executed as its own worker, because it did not "
                     "call afork_init() at its start"), program_invocation_short_name);
      return FALSE;
    }
  if (has_more_rights ())
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("The program “%s” cannot be executed as its own worker, because it has more "
                     "rights than its caller"), program_invocation_short_name);
      return FALSE;
    }

  return TRUE;
}
