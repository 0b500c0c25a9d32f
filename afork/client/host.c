/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "host.h"

#include "afork-error.h"
#include "base/i18n.h"

struct _AForkHost
{
  gatomicrefcount  ref_count;
  char            *name;
  GError          *lost;        /* or NULL */
};

AForkHost *
_afork_host_new (const char *name)
{
  AForkHost *self = g_new0 (AForkHost, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->name = g_strdup (name);
  return self;
}

AForkHost *
_afork_host_ref (AForkHost *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_host_unref (AForkHost *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_free (self->name);
  g_clear_error (&self->lost);
  g_free (self);
}

const char *
_afork_host_get_name (AForkHost *self)
{
  return self->name;
}

void
_afork_host_set_lost (AForkHost    *self,
                      const GError *error)
{
  if (self->lost != NULL)
    return;

  /* Whatever has ended the relay, the processes there are lost with it. */
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST))
    self->lost = g_error_copy (error);
  else
    self->lost = g_error_new (AFORK_ERROR, AFORK_ERROR_HOST_LOST,
                              _("The host “%s” was lost: %s"), self->name, error->message);
}

GError *
_afork_host_new_lost_error (AForkHost *self)
{
  return self->lost != NULL ? g_error_copy (self->lost) : NULL;
}
