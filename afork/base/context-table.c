/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "context-table.h"

#include "atfork.h"
#include "context.h"

struct _AForkContextTable
{
  GObject   *owner;             /* not a reference; used only in its own calls */
  AForkMutex mutex;
  GPtrArray *entries;           /* of Entry: one for each context that has a value */
};

/* The data of context_gone_cb(). */
typedef struct
{
  AForkContextTable *table;     /* a reference */
  GWeakRef           owner;
} Watch;

typedef struct
{
  gpointer        value;
  GDestroyNotify  removed;
  AForkContext   *context;
  Watch          *watch;        /* freed with the entry, or in context_gone_cb(); NULL from then
                                 * on */
} Entry;

static void
table_clear (gpointer data)
{
  AForkContextTable *self = data;

  g_ptr_array_unref (self->entries);
}

static void
table_unref (AForkContextTable *self)
{
  g_atomic_rc_box_release_full (self, table_clear);
}

static void context_gone_cb (gpointer data);

static void
watch_free (Watch *watch)
{
  g_weak_ref_clear (&watch->owner);
  table_unref (watch->table);
  g_free (watch);
}

/* Any thread may call this. Call it without the mutex locked, because it calls removed(). */
static void
entry_free (gpointer data)
{
  Entry *entry = data;

  if (entry->watch != NULL
      && _afork_context_unwatch (entry->context, context_gone_cb, entry->watch))
    watch_free (entry->watch);
  entry->removed (entry->value);
  _afork_context_unref (entry->context);
  g_free (entry);
}

/* Finds the entry that WATCH belongs to. Call it with the mutex locked. */
static gboolean
find_watched (AForkContextTable *self,
              Watch             *watch,
              guint             *index)
{
  for (guint i = 0; i < self->entries->len; i++)
    if (((Entry *) g_ptr_array_index (self->entries, i))->watch == watch)
      {
        *index = i;
        return TRUE;
      }

  return FALSE;
}

/* The context is gone, and no thread can get its value any more. If another thread has removed the
 * entry at the same time, that thread frees it. If another thread is dropping the last reference to
 * the owner, it has not come to _afork_context_table_clear() yet, which frees the entry. */
static void
context_gone_cb (gpointer data)
{
  Watch *watch = data;
  AForkContextTable *self = watch->table;
  g_autoptr(GObject) owner = g_weak_ref_get (&watch->owner);
  Entry *removed = NULL;
  guint index;

  _afork_mutex_lock (&self->mutex);
  if (find_watched (self, watch, &index))
    {
      ((Entry *) g_ptr_array_index (self->entries, index))->watch = NULL;
      if (owner != NULL)
        removed = g_ptr_array_steal_index_fast (self->entries, index);
    }
  _afork_mutex_unlock (&self->mutex);

  if (removed != NULL)
    entry_free (removed);
  watch_free (watch);
}

static Entry *
entry_new (AForkContextTable *self,
           gpointer           value,
           GDestroyNotify     removed)
{
  Entry *entry = g_new0 (Entry, 1);
  Watch *watch = g_new0 (Watch, 1);

  entry->value = value;
  entry->removed = removed;
  entry->context = _afork_context_ref_thread_default ();
  entry->watch = watch;
  watch->table = g_atomic_rc_box_acquire (self);
  g_weak_ref_init (&watch->owner, self->owner);
  if (!_afork_context_watch (entry->context, context_gone_cb, watch))
    g_assert_not_reached ();
  return entry;
}

AForkContextTable *
_afork_context_table_new (GObject *owner)
{
  AForkContextTable *self = g_atomic_rc_box_new0 (AForkContextTable);

  self->owner = owner;
  self->entries = g_ptr_array_new_with_free_func (entry_free);
  return self;
}

void
_afork_context_table_clear (AForkContextTable *self)
{
  g_autoptr(GPtrArray) taken = NULL;
  GPtrArray *none = g_ptr_array_new_with_free_func (entry_free);

  _afork_mutex_lock (&self->mutex);
  taken = g_steal_pointer (&self->entries);
  self->entries = none;
  _afork_mutex_unlock (&self->mutex);
}

void
_afork_context_table_free (AForkContextTable *self)
{
  _afork_context_table_clear (self);
  table_unref (self);
}

/* Finds the entry of this thread's context. */
static gboolean
find_entry (AForkContextTable *self,
            guint             *index)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      Entry *entry = g_ptr_array_index (self->entries, i);

      if (_afork_context_is_thread_default (entry->context))
        {
          *index = i;
          return TRUE;
        }
    }

  return FALSE;
}

gboolean
_afork_context_table_get (AForkContextTable         *self,
                          AForkContextTableCopyFunc  copy,
                          gpointer                   copied)
{
  gboolean found;
  guint index;

  _afork_mutex_lock (&self->mutex);
  found = find_entry (self, &index);
  if (found)
    copy (((Entry *) g_ptr_array_index (self->entries, index))->value, copied);
  _afork_mutex_unlock (&self->mutex);

  return found;
}

void
_afork_context_table_set (AForkContextTable *self,
                          gpointer           value,
                          GDestroyNotify     removed)
{
  Entry *entry = value != NULL ? entry_new (self, value, removed) : NULL;
  Entry *old = NULL;
  guint index;

  _afork_mutex_lock (&self->mutex);
  if (find_entry (self, &index))
    old = g_ptr_array_steal_index_fast (self->entries, index);
  if (entry != NULL)
    g_ptr_array_add (self->entries, entry);
  _afork_mutex_unlock (&self->mutex);

  if (old != NULL)
    entry_free (old);
}
