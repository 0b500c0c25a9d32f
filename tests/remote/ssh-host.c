/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "ssh-host.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* sshd.py sets it. It is empty if there is no server. */
#define CONFIGURATION_VARIABLE "AFORK_TEST_SSH_CONFIGURATION"

void
ssh_host_enter (char       **argv,
                const char  *script,
                const char  *address,
                int          network)
{
  g_autoptr(GPtrArray) command = g_ptr_array_new_with_free_func (g_free);

  if (g_getenv (CONFIGURATION_VARIABLE) != NULL)
    return;

  g_ptr_array_add (command, g_strdup ("python3"));
  g_ptr_array_add (command, g_strdup ("-B"));
  g_ptr_array_add (command, g_strdup (script));
  if (address != NULL)
    g_ptr_array_add (command, g_strdup_printf ("--address=%s", address));
  if (network >= 0)
    {
      fcntl (network, F_SETFD, 0);
      g_ptr_array_add (command, g_strdup_printf ("--network=/proc/%d/fd/%d", getpid (), network));
    }
  g_ptr_array_add (command, g_strdup ("--"));
  for (int i = 0; argv[i] != NULL; i++)
    g_ptr_array_add (command, g_strdup (argv[i]));
  g_ptr_array_add (command, NULL);

  execvp (command->pdata[0], (char **) command->pdata);
  g_error ("python3 cannot be executed: %s", g_strerror (errno));
}

const char *
ssh_host_get_configuration (void)
{
  const char *path = g_getenv (CONFIGURATION_VARIABLE);

  return path != NULL && *path != '\0' ? path : NULL;
}
