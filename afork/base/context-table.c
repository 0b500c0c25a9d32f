/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "context-table.h"

#include "afork-process-private.h"
#include "atfork.h"

struct _AForkContextTable
{
  AForkMutex mutex;
  GPtrArray *entries;           /* of Entry: as many as there are contexts with a template */
};

/* What is called when a context has gone. */
typedef struct
{
  AForkContextTable *templates; /* a reference */
} Watch;

typedef struct
{
  AForkTemplate  template;
  AForkContext  *context;
  Watch         *watch;         /* freed with the entry, or when the context has gone */
} Entry;

static void
templates_clear (gpointer data)
{
  AForkContextTable *self = data;

  g_ptr_array_unref (self->entries);
}

static void
templates_unref (AForkContextTable *self)
{
  g_atomic_rc_box_release_full (self, templates_clear);
}

static void context_gone_cb (gpointer data);

static void
watch_free (Watch *watch)
{
  templates_unref (watch->templates);
  g_free (watch);
}

/* May be called in any thread. */
static void
entry_free (gpointer data)
{
  Entry *entry = data;

  if (_afork_context_unwatch (entry->context, context_gone_cb, entry->watch))
    watch_free (entry->watch);
  _afork_process_release_as_template (entry->template.process);
  g_object_unref (entry->template.process);
  _afork_context_unref (entry->context);
  g_free (entry);
}

/* Nobody can ask for the template any more. Another thread may have taken the entry out just now,
 * and then it frees it. */
static void
context_gone_cb (gpointer data)
{
  Watch *watch = data;
  AForkContextTable *self = watch->templates;
  Entry *lost = NULL;

  _afork_mutex_lock (&self->mutex);
  for (guint i = 0; i < self->entries->len && lost == NULL; i++)
    if (((Entry *) g_ptr_array_index (self->entries, i))->watch == watch)
      lost = g_ptr_array_steal_index_fast (self->entries, i);
  _afork_mutex_unlock (&self->mutex);

  if (lost != NULL)
    entry_free (lost);
  watch_free (watch);
}

static Entry *
entry_new (AForkContextTable   *self,
           const AForkTemplate *template)
{
  Entry *entry = g_new0 (Entry, 1);
  Watch *watch = g_new0 (Watch, 1);

  entry->template = *template;
  g_object_ref (template->process);
  _afork_process_hold_as_template (template->process);
  entry->context = _afork_context_ref_thread_default ();
  entry->watch = watch;
  watch->templates = g_atomic_rc_box_acquire (self);
  if (!_afork_context_watch (entry->context, context_gone_cb, watch))
    g_assert_not_reached ();
  return entry;
}

AForkContextTable *
_afork_context_table_new (void)
{
  AForkContextTable *self = g_atomic_rc_box_new0 (AForkContextTable);

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
  templates_unref (self);
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

AForkTemplate
_afork_context_table_get (AForkContextTable *self)
{
  AForkTemplate template = { NULL };
  guint index;

  _afork_mutex_lock (&self->mutex);
  if (find_entry (self, &index))
    {
      template = ((Entry *) g_ptr_array_index (self->entries, index))->template;
      g_object_ref (template.process);
    }
  _afork_mutex_unlock (&self->mutex);

  return template;
}

void
_afork_context_table_set (AForkContextTable   *self,
                          const AForkTemplate *template)
{
  Entry *entry = template->process != NULL ? entry_new (self, template) : NULL;
  Entry *old = NULL;
  guint index;

  _afork_mutex_lock (&self->mutex);
  if (find_entry (self, &index))
    old = g_ptr_array_steal_index_fast (self->entries, index);
  if (entry != NULL)
    g_ptr_array_add (self->entries, entry);
  _afork_mutex_unlock (&self->mutex);

  /* Without the lock, for it runs what the program has attached to the process. */
  if (old != NULL)
    entry_free (old);
}
