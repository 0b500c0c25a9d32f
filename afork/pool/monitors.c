/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "monitors.h"

/* How long no workers are kept ready after a warning that memory is low, in microseconds. */
enum { LOW_MEMORY_TIME = 10 * G_USEC_PER_SEC };

/* What was done about low memory. A warning leads to TRIMMED, then to LOW, and after
 * LOW_MEMORY_TIME to NORMAL. */
typedef enum
{
  MEMORY_NORMAL,
  MEMORY_TRIMMED,               /* workers without jobs are ended */
  MEMORY_LOW,                   /* no workers are kept ready */
} MemoryState;

struct _AForkMonitors
{
  gatomicrefcount       ref_count;      /* each signal handler has a reference */
  AForkContext         *context;
  GWeakRef              owner;
  void                (*changed) (GObject *owner);
  GMemoryMonitor       *memory;         /* or NULL */
  gulong                memory_id;
  GPowerProfileMonitor *power;          /* or NULL */
  gulong                power_id;

  /* These are atomic. */
  int                   has_warned;
  int                   saves_power;
  int                   is_reported;    /* `changed` will be called */

  /* Used while `context` is held. */
  MemoryState           memory_state;
  gint64                memory_time;    /* when `memory_state` is NORMAL again */
  guint                 power_limit;    /* the largest number of workers while power is saved; 0 if
                                         * it is not saved */
};

static AForkMonitors *
monitors_ref (AForkMonitors *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
monitors_unref (AForkMonitors *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_weak_ref_clear (&self->owner);
  _afork_context_unref (self->context);
  g_free (self);
}

/* Signals, in any thread. */

static void
changed_cb (gpointer data)
{
  AForkMonitors *self = data;
  g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);

  g_atomic_int_set (&self->is_reported, FALSE);
  if (owner != NULL)
    self->changed (owner);
  monitors_unref (self);
}

/* In a fork of the program, the owner is not used any more. */
static void
report (AForkMonitors *self)
{
  if (!_afork_context_is_inherited (self->context)
      && g_atomic_int_compare_and_exchange (&self->is_reported, FALSE, TRUE))
    _afork_context_run (self->context, changed_cb, monitors_ref (self));
}

static void
low_memory_cb (GMemoryMonitor             *monitor,
               GMemoryMonitorWarningLevel  level,
               gpointer                    data)
{
  AForkMonitors *self = data;

  g_atomic_int_set (&self->has_warned, TRUE);
  report (self);
}

static void
power_cb (GPowerProfileMonitor *monitor,
          GParamSpec           *pspec,
          gpointer              data)
{
  AForkMonitors *self = data;

  g_atomic_int_set (&self->saves_power,
                    g_power_profile_monitor_get_power_saver_enabled (monitor));
  report (self);
}

static void
unref_closure (gpointer  data,
               GClosure *closure)
{
  monitors_unref (data);
}

static gulong
connect_monitor (AForkMonitors *self,
                 gpointer       monitor,
                 const char    *signal,
                 GCallback      handler)
{
  return g_signal_connect_data (monitor, signal, handler, monitors_ref (self), unref_closure, 0);
}

/* The object. */

AForkMonitors *
_afork_monitors_new (AForkContext  *context,
                     GObject       *owner,
                     void         (*changed) (GObject *owner))
{
  AForkMonitors *self = g_new0 (AForkMonitors, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->context = _afork_context_ref (context);
  g_weak_ref_init (&self->owner, owner);
  self->changed = changed;
  return self;
}

void
_afork_monitors_free (AForkMonitors *self)
{
  _afork_monitors_set_memory (self, NULL);
  _afork_monitors_set_power (self, NULL);
  monitors_unref (self);
}

void
_afork_monitors_set_memory (AForkMonitors  *self,
                            GMemoryMonitor *monitor)
{
  if (self->memory == monitor)
    return;

  if (self->memory != NULL)
    g_clear_signal_handler (&self->memory_id, self->memory);
  g_set_object (&self->memory, monitor);
  if (monitor != NULL)
    self->memory_id = connect_monitor (self, monitor, "low-memory-warning",
                                       G_CALLBACK (low_memory_cb));
}

void
_afork_monitors_set_power (AForkMonitors        *self,
                           GPowerProfileMonitor *monitor)
{
  if (self->power == monitor)
    return;

  if (self->power != NULL)
    g_clear_signal_handler (&self->power_id, self->power);
  g_set_object (&self->power, monitor);
  g_atomic_int_set (&self->saves_power, FALSE);
  if (monitor == NULL)
    return;

  self->power_id = connect_monitor (self, monitor, "notify::power-saver-enabled",
                                    G_CALLBACK (power_cb));
  g_atomic_int_set (&self->saves_power, g_power_profile_monitor_get_power_saver_enabled (monitor));
}

/* What the pool does because of them. */

static gboolean
adapt_to_memory (AForkMonitors *self,
                 gint64         now,
                 gboolean       was_warned)
{
  if (was_warned)
    {
      self->memory_state = MEMORY_TRIMMED;
      self->memory_time = now + LOW_MEMORY_TIME;
      return TRUE;
    }
  if (self->memory_state != MEMORY_LOW || now < self->memory_time)
    return FALSE;

  self->memory_state = MEMORY_NORMAL;
  return TRUE;
}

static gboolean
adapt_to_power (AForkMonitors *self,
                guint          n_workers)
{
  const gboolean saves_power = g_atomic_int_get (&self->saves_power);

  if (saves_power == (self->power_limit > 0))
    return FALSE;

  self->power_limit = saves_power ? MAX (n_workers, 1) : 0;
  return TRUE;
}

gboolean
_afork_monitors_adapt (AForkMonitors *self,
                       gint64         now,
                       guint          n_workers,
                       gboolean      *was_warned)
{
  gboolean has_changed;

  *was_warned = g_atomic_int_compare_and_exchange (&self->has_warned, TRUE, FALSE);
  has_changed = adapt_to_memory (self, now, *was_warned);
  return adapt_to_power (self, n_workers) || has_changed;
}

gboolean
_afork_monitors_end_trim (AForkMonitors *self)
{
  if (self->memory_state != MEMORY_TRIMMED)
    return FALSE;

  self->memory_state = MEMORY_LOW;
  return TRUE;
}

gint64
_afork_monitors_get_time (AForkMonitors *self)
{
  return self->memory_state == MEMORY_LOW ? self->memory_time : -1;
}

void
_afork_monitors_reduce (AForkMonitors        *self,
                        AForkSchedulerLimits *limits)
{
  if (self->memory_state != MEMORY_NORMAL)
    limits->min_idle = 0;
  if (self->memory_state == MEMORY_TRIMMED)
    limits->stop_delay = 0;
  if (self->power_limit > 0)
    limits->max_workers = MIN (limits->max_workers, self->power_limit);
}
