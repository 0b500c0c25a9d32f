/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-interrupt-private.h"

#include <glib-unix.h>

/* A source has a reference, so that the function may set another one or none. */
typedef struct
{
  int                 fd;
  AForkInterruptFunc  func;
  gpointer            data;
  GDestroyNotify      destroy;
} Interrupt;

static void
interrupt_clear (gpointer data)
{
  Interrupt *self = data;

  if (self->destroy != NULL)
    self->destroy (self->data);
}

static void
interrupt_unref (gpointer data)
{
  g_rc_box_release_full (data, interrupt_clear);
}

/* The Interrupt of the thread, or NULL. */
static GPrivate private = G_PRIVATE_INIT (interrupt_unref);

/**
 * afork_bindings_set_interrupt_func:
 * @fd: a descriptor; it stays the caller's, and must be open until another one is set
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): a function, or `NULL`
 *   for none
 * @user_data: data for @func
 * @destroy: a function that frees @user_data when @func is not called any more
 *
 * Calls a function while a blocking call of this thread waits, each time that a descriptor is
 * readable. This is for bindings to languages, and not for applications.
 *
 * An interpreter handles a signal only between two of its own instructions, so not while it waits
 * in a blocking call. Its signal handler in C can write to a descriptor. With this function, the
 * interpreter then handles the signal during the call. @func must read what can be read from @fd.
 * To end the call, it cancels the [class@Gio.Cancellable] of the call.
 *
 * Each thread has its own function. Blocking calls that wait already are not affected. @func and
 * @destroy are called in this thread; @destroy also when the thread exits.
 *
 * Since: 0.1
 */
void
afork_bindings_set_interrupt_func (int                 fd,
                                   AForkInterruptFunc  func,
                                   gpointer            user_data,
                                   GDestroyNotify      destroy)
{
  Interrupt *interrupt = NULL;

  if (func != NULL)
    {
      interrupt = g_rc_box_new (Interrupt);
      *interrupt = (Interrupt) { fd, func, user_data, destroy };
    }
  else if (destroy != NULL)
    {
      destroy (user_data);
    }

  g_private_replace (&private, interrupt);
}

static gboolean
interrupt_cb (int          fd,
              GIOCondition condition,
              gpointer     data)
{
  const Interrupt *self = data;

  self->func (self->data);
  return G_SOURCE_CONTINUE;
}

GSource *
_afork_interrupt_attach (GMainContext *context)
{
  Interrupt *interrupt = g_private_get (&private);
  GSource *source;

  if (interrupt == NULL)
    return NULL;

  source = g_unix_fd_source_new (interrupt->fd, G_IO_IN);
  g_source_set_static_name (source, "[afork] interrupt");
  g_source_set_callback (source, G_SOURCE_FUNC (interrupt_cb), g_rc_box_acquire (interrupt),
                         interrupt_unref);
  g_source_attach (source, context);
  return source;
}
