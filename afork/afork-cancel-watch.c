/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-cancel-watch-private.h"

/* It is kept by who made it, by the handler's closure, and by the source. */
struct _AForkCancelWatch
{
  gatomicrefcount  ref_count;
  GCancellable    *cancellable;
  gulong           handler_id;

  GMutex           lock;        /* for `source`, which the handler uses in any thread */
  GSource         *source;      /* NULL once it has been ended, or has gone with its context */

  AForkCancelFunc  func;
  gpointer         data;
  GDestroyNotify   free_data;
};

static AForkCancelWatch *
ref (AForkCancelWatch *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
unref (AForkCancelWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_object_unref (self->cancellable);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
closure_gone_cb (gpointer  data,
                 GClosure *closure)
{
  unref (data);
}

/* In the thread that cancels. */
static void
cancelled_cb (GCancellable     *cancellable,
              AForkCancelWatch *self)
{
  g_mutex_lock (&self->lock);
  if (self->source != NULL)
    g_source_set_ready_time (self->source, 0);
  g_mutex_unlock (&self->lock);
}

static GSource *
take_source (AForkCancelWatch *self)
{
  GSource *source;

  g_mutex_lock (&self->lock);
  source = g_steal_pointer (&self->source);
  g_mutex_unlock (&self->lock);
  return source;
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkCancelWatch *self = data;

  g_source_set_ready_time (source, -1);
  self->func (self->data);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .dispatch = source_dispatch };

/* The source is being destroyed: by us, or with its context. */
static void
source_gone_cb (gpointer data)
{
  AForkCancelWatch *self = data;
  GSource *source = take_source (self);

  if (source != NULL)
    g_source_unref (source);
  if (self->free_data != NULL)
    self->free_data (self->data);
  unref (self);
}

AForkCancelWatch *
_afork_cancel_watch_new (GCancellable    *cancellable,
                         GMainContext    *context,
                         AForkCancelFunc  func,
                         gpointer         data,
                         GDestroyNotify   free_data)
{
  AForkCancelWatch *self = g_new0 (AForkCancelWatch, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->cancellable = g_object_ref (cancellable);
  self->func = func;
  self->data = data;
  self->free_data = free_data;

  self->source = g_source_new (&source_funcs, sizeof (GSource));
  g_source_set_static_name (self->source, "[afork] cancellation");
  g_source_set_callback (self->source, NULL, ref (self), source_gone_cb);
  g_source_attach (self->source, context);
  self->handler_id = g_signal_connect_data (cancellable, "cancelled", G_CALLBACK (cancelled_cb),
                                            ref (self), closure_gone_cb, 0);
  if (g_cancellable_is_cancelled (cancellable))
    cancelled_cb (cancellable, self);
  return self;
}

void
_afork_cancel_watch_end (AForkCancelWatch *self)
{
  GSource *source = take_source (self);

  g_signal_handler_disconnect (self->cancellable, self->handler_id);
  if (source != NULL)
    {
      g_source_destroy (source);
      g_source_unref (source);
    }
  unref (self);
}
