/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "stand-in.h"

static GPrivate current;        /* AForkStandIn of the thread, not owned */

const AForkStandIn *
_afork_stand_in_set (const AForkStandIn *stand_in)
{
  const AForkStandIn *before = g_private_get (&current);

  g_private_set (&current, (gpointer) stand_in);
  return before;
}

gboolean
_afork_stand_in_emit (GVariant *event)
{
  const AForkStandIn *stand_in = g_private_get (&current);

  if (stand_in == NULL)
    return FALSE;

  stand_in->emit (event, stand_in->data);
  return TRUE;
}

gboolean
_afork_stand_in_is_set (void)
{
  return g_private_get (&current) != NULL;
}
