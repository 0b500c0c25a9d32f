/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-init.h"
#include "afork-init-private.h"

#include <string.h>
#include <sys/auxv.h>

#include "afork-error.h"
#include "afork-i18n-private.h"
#include "afork-program-private.h"
#include "afork-spawn-private.h"
#include "afork-wakeup-private.h"
#include "worker/descriptors.h"
#include "worker/title.h"

static int called;              /* atomic */

/* Whoever commands a server has the server's rights, so it must not have more than its caller. */
static gboolean
has_more_rights (void)
{
  return getauxval (AT_SECURE) != 0;
}

static gboolean
is_server (int    argc,
           char **argv)
{
  return argc == 2
    && strcmp (argv[1], AFORK_SPAWN_HIDDEN_ARGUMENT) == 0
    && !has_more_rights ()
    && afork_is_stream_socket (AFORK_SPAWN_SOCKET_NUMBER);
}

/* What stands behind "--" are no options, and so left alone. */
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
 * Makes the program able to be its own server, for the runtime of [func@AFork.Runtime.get_self]. It
 * must be the first call of `main()`: where the program was executed by that runtime, this call
 * serves the caller and never returns, so nothing that comes behind it is done.
 *
 * Otherwise the call returns at once, and only removes from the arguments the one that AFork has
 * for itself, `--afork-socket=3`, should it be there. A program that runs with more rights than
 * its caller never serves.
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
  if (is_server (*argc, *argv))
    {
      afork_title_init (*argc, *argv);
      _afork_program_serve (AFORK_SPAWN_SOCKET_NUMBER, FALSE, _afork_wakeup_find ());
    }

  remove_hidden_argument (argc, argv);
}

gboolean
_afork_init_check (GError **error)
{
  if (!g_atomic_int_get (&called))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("The program “%s” is not executed as its own worker, for it has not called "
                     "afork_init() at its start"), g_get_prgname ());
      return FALSE;
    }
  if (has_more_rights ())
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("The program “%s” is not executed as its own worker, for it runs with more "
                     "rights than its caller"), g_get_prgname ());
      return FALSE;
    }

  return TRUE;
}
