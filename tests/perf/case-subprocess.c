/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "case-subprocess.h"

static void
waited_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GError) error = NULL;

  if (!g_subprocess_wait_finish (G_SUBPROCESS (object), result, &error))
    case_fail ("%s", error->message);

  case_creation_exited (data, g_subprocess_get_status (G_SUBPROCESS (object)));
}

void
case_subprocess_await (GSubprocess  *process,
                       CaseCreation *creation)
{
  g_subprocess_wait_async (process, NULL, waited_cb, creation);
}
