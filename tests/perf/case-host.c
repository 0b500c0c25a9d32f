/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "case-host.h"

#include <stdlib.h>
#include <string.h>

#include "../remote/delay-line.h"
#include "../remote/ssh-host.h"
#include "case.h"

enum { ONE_WAY_MS = 20 };

static void
enter (CasePlace   place,
       char      **argv)
{
  g_autofree char *script = case_sibling ("sshd.py");
  DelayLine line = { -1, 0 };

  if (place == CASE_FAR)
    {
      g_autofree char *reason = delay_line_start (&line, ONE_WAY_MS);

      if (reason != NULL)
        case_fail ("%s", reason);
    }
  ssh_host_enter (argv, script, place == CASE_FAR ? DELAY_LINE_FAR : NULL, line.far_network);
  case_fail ("ssh or sshd is not installed");
}

CasePlace
case_host_enter (int    argc,
                 char **argv)
{
  static const char * const prefixes[] = { [CASE_NEAR] = "near:", [CASE_FAR] = "far:" };
  char *variant = argv[argc - 1];

  for (CasePlace place = CASE_NEAR; place <= CASE_FAR; place++)
    if (g_str_has_prefix (variant, prefixes[place]))
      {
        if (ssh_host_get_configuration () == NULL)
          enter (place, argv);
        argv[argc - 1] = variant + strlen (prefixes[place]);
        return place;
      }

  return CASE_HERE;
}

const char *
case_host_get_configuration (void)
{
  return ssh_host_get_configuration ();
}

AForkRuntime *
case_host_new_runtime (CasePlace place)
{
  const char *options[] = { "-F", ssh_host_get_configuration (), NULL };
  const char *server = g_getenv ("AFORK_SERVER");
  g_autofree char *built = case_sibling ("../../afork/server/afork-server");
  AForkRuntime *runtime;

  if (place == CASE_HERE)
    return g_object_ref (afork_runtime_get_native ());

  runtime = afork_runtime_new_ssh ("host");
  afork_runtime_set_ssh_options (runtime, options);
  afork_runtime_set_server_path (runtime, server != NULL ? server : built);
  return runtime;
}
