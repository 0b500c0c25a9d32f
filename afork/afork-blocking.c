/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-blocking-private.h"

#include <sys/eventfd.h>

#include "afork-fd-private.h"
#include "afork-i18n-private.h"
#include "afork-process-private.h"

static GPrivate innermost;       /* AForkBlocking */

gboolean
_afork_blocking_begin (AForkBlocking  *self,
                       GObject        *object,
                       AForkProcess   *process,
                       GError        **error)
{
  g_auto(AForkFd) place = eventfd (0, EFD_CLOEXEC);

  /* GLib ends the program where a new context finds no room for its own. */
  if (place < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                   _("There is no descriptor left to wait with: %s"), g_strerror (errno));
      return FALSE;
    }

  _afork_fd_clear (&place);
  self->object = g_object_ref (object);
  self->context = g_main_context_new ();
  self->result = NULL;
  self->outer = g_private_get (&innermost);
  g_private_set (&innermost, self);
  g_object_freeze_notify (object);
  g_main_context_push_thread_default (self->context);
  self->borrowed = _afork_peer_borrow (process->peer, self->context);
  return TRUE;
}

void
_afork_blocking_cb (GObject      *object,
                    GAsyncResult *result,
                    gpointer      data)
{
  AForkBlocking *self = data;

  self->result = g_object_ref (result);
}

GAsyncResult *
_afork_blocking_end (AForkBlocking *self)
{
  /* The call is made. What handlers make meanwhile belongs to the program's own context. */
  g_main_context_pop_thread_default (self->context);
  g_object_thaw_notify (self->object);
  while (self->result == NULL)
    g_main_context_iteration (self->context, TRUE);

  g_private_set (&innermost, self->outer);
  _afork_peer_give_back (self->borrowed);
  g_main_context_unref (self->context);
  g_object_unref (self->object);
  return self->result;
}

GMainContext *
_afork_blocking_get_context (void)
{
  AForkBlocking *self = g_private_get (&innermost);

  return self != NULL ? self->context : NULL;
}
