/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "standard-output.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int first_error;

static void
print_cb (const char *text)
{
  g_autofree char *converted = NULL;
  const char *charset;

  if (first_error != 0)
    return;

  if (!g_get_charset (&charset))
    converted = g_convert_with_fallback (text, -1, charset, "UTF-8", "?", NULL, NULL, NULL);
  if (fputs (converted != NULL ? converted : text, stdout) == EOF || fflush (stdout) == EOF)
    first_error = errno;
}

/* The lowest number that is free is the one that open() gives. */
void
standard_output_prepare (void)
{
  static const int modes[] = {
    [STDIN_FILENO] = O_WRONLY,
    [STDOUT_FILENO] = O_RDONLY,
    [STDERR_FILENO] = O_RDONLY,
  };

  for (int fd = 0; fd < (int) G_N_ELEMENTS (modes); fd++)
    if (fcntl (fd, F_GETFD) < 0 && open ("/dev/null", modes[fd]) < 0)
      first_error = errno;

  g_set_print_handler (print_cb);
}

int
standard_output_get_error (void)
{
  return first_error;
}

int
standard_output_check (int status)
{
  if (first_error == 0 || first_error == EPIPE)
    return status;

  g_printerr ("%s: The output could not be written: %s\n", g_get_prgname (),
              g_strerror (first_error));
  return MAX (status, EXIT_FAILURE);
}
