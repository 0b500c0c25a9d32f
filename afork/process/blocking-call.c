/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "blocking-call.h"

#include <unistd.h>

#include "afork-interrupt-private.h"
#include "base/main-context.h"

/* The context of a thread's blocking calls. The thread keeps it, so that it can wait when no
 * descriptor is left. Only a call within another one needs one more. */
typedef struct
{
  GMainContext *context;        /* NULL while it is in use, and before the first call */
  pid_t         pid;            /* of the process that has created it */
} Kept;

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  if (kept->context != NULL && kept->pid == getpid ())
    _afork_main_context_unref (kept->context);
  g_free (kept);
}

static Kept *
get_kept (void)
{
  static GPrivate private = G_PRIVATE_INIT (kept_free);
  Kept *kept = g_private_get (&private);

  if (kept == NULL)
    {
      kept = g_new0 (Kept, 1);
      kept->pid = getpid ();
      g_private_set (&private, kept);
    }
  /* In a fork of the program, the context's descriptor is shared with the program, or closed, and
   * another descriptor may have its number. */
  if (kept->pid != getpid ())
    *kept = (Kept) { .pid = getpid () };

  return kept;
}

static GMainContext *
take_context (GError **error)
{
  Kept *kept = get_kept ();

  if (kept->context != NULL)
    return g_steal_pointer (&kept->context);

  return _afork_main_context_new (error);
}

gboolean
_afork_blocking_call_begin (AForkBlockingCall  *self,
                            GObject            *object,
                            AForkHold          *hold,
                            AForkClient        *client,
                            GError            **error)
{
  g_autoptr(AForkHold) owned_hold = hold;

  /* g_main_context_push_thread_default() needs the default context, too. If the object was refused
   * for lack of it, it may still not be there. */
  if (!_afork_main_context_ensure_default (error))
    return FALSE;

  self->context = take_context (error);
  if (self->context == NULL)
    return FALSE;

  self->hold = g_steal_pointer (&owned_hold);
  self->object = g_object_ref (object);
  self->result = NULL;
  self->has_waited = FALSE;
  self->interrupt = _afork_interrupt_attach (self->context);
  self->outer = _afork_main_context_enter_blocking (self->context);
  g_object_freeze_notify (object);
  g_main_context_push_thread_default (self->context);
  self->borrowed = _afork_client_borrow (client, self->context);
  return TRUE;
}

void
_afork_blocking_call_cb (GObject      *object,
                         GAsyncResult *result,
                         gpointer      data)
{
  AForkBlockingCall *self = data;

  self->result = g_object_ref (result);
}

void
_afork_blocking_call_wait (AForkBlockingCall *self)
{
  /* The call was started. Objects that handlers create from now on belong to the caller's
   * context. */
  g_main_context_pop_thread_default (self->context);
  g_object_thaw_notify (self->object);
  while (self->result == NULL)
    g_main_context_iteration (self->context, TRUE);
  self->has_waited = TRUE;
}

GAsyncResult *
_afork_blocking_call_end (AForkBlockingCall *self)
{
  if (!self->has_waited)
    _afork_blocking_call_wait (self);

  _afork_source_clear (&self->interrupt);
  _afork_main_context_leave_blocking (self->outer);
  _afork_client_give_back (self->borrowed);
  if (self->outer == NULL)
    get_kept ()->context = self->context;
  else
    _afork_main_context_unref (self->context);
  _afork_hold_release (self->hold);
  g_object_unref (self->object);
  return self->result;
}
