/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-templates-private.h"

#include "afork-context-private.h"
#include "afork-process-private.h"

struct _AForkTemplates
{
  GMutex     mutex;
  GPtrArray *entries;           /* of Entry: as many as there are contexts with a template */
};

typedef struct
{
  AForkTemplate  template;
  GMainContext  *context;       /* for comparison */
  GSource       *anchor;        /* in the context, and destroyed with it */
} Entry;

/* What an anchor is given. */
typedef struct
{
  AForkTemplates *templates;
  Entry          *entry;        /* for comparison */
} Mooring;

static void
templates_clear (gpointer data)
{
  AForkTemplates *self = data;

  g_ptr_array_unref (self->entries);
  g_mutex_clear (&self->mutex);
}

static void
templates_unref (AForkTemplates *self)
{
  g_atomic_rc_box_release_full (self, templates_clear);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  _afork_source_clear (&entry->anchor);
  _afork_process_end_kept (entry->template.process);
  g_object_unref (entry->template.process);
  g_free (entry);
}

/* An anchor is being destroyed: with its entry, or with its context, and then the template goes in
 * the context's own thread, before another context can have the same place in memory. */
static void
mooring_free (gpointer data)
{
  Mooring *mooring = data;
  AForkTemplates *self = mooring->templates;
  Entry *lost = NULL;
  guint index;

  g_mutex_lock (&self->mutex);
  if (g_ptr_array_find (self->entries, mooring->entry, &index))
    lost = g_ptr_array_steal_index_fast (self->entries, index);
  g_mutex_unlock (&self->mutex);

  if (lost != NULL)
    {
      _afork_process_come_here (lost->template.process);
      entry_free (lost);
    }
  templates_unref (self);
  g_free (mooring);
}

static Entry *
entry_new (AForkTemplates      *self,
           const AForkTemplate *template)
{
  static GSourceFuncs never_ready;
  Entry *entry = g_new0 (Entry, 1);
  Mooring *mooring = g_new0 (Mooring, 1);

  entry->template = *template;
  g_object_ref (template->process);
  _afork_process_begin_kept (template->process);
  entry->context = _afork_get_thread_context ();
  entry->anchor = g_source_new (&never_ready, sizeof (GSource));
  g_source_set_static_name (entry->anchor, "[afork] template");
  mooring->templates = g_atomic_rc_box_acquire (self);
  mooring->entry = entry;
  g_source_set_callback (entry->anchor, NULL, mooring, mooring_free);
  g_source_attach (entry->anchor, entry->context);
  return entry;
}

AForkTemplates *
_afork_templates_new (void)
{
  AForkTemplates *self = g_atomic_rc_box_new0 (AForkTemplates);

  g_mutex_init (&self->mutex);
  self->entries = g_ptr_array_new_with_free_func (entry_free);
  return self;
}

void
_afork_templates_clear (AForkTemplates *self)
{
  g_autoptr(GPtrArray) taken = NULL;
  GPtrArray *none = g_ptr_array_new_with_free_func (entry_free);

  g_mutex_lock (&self->mutex);
  taken = g_steal_pointer (&self->entries);
  self->entries = none;
  g_mutex_unlock (&self->mutex);
}

void
_afork_templates_free (AForkTemplates *self)
{
  _afork_templates_clear (self);
  templates_unref (self);
}

/* Finds the entry of this thread's context. */
static gboolean
find_entry (AForkTemplates *self,
            guint          *index)
{
  GMainContext *context = _afork_get_thread_context ();

  for (guint i = 0; i < self->entries->len; i++)
    if (((Entry *) g_ptr_array_index (self->entries, i))->context == context)
      {
        *index = i;
        return TRUE;
      }

  return FALSE;
}

AForkTemplate
_afork_templates_get (AForkTemplates *self)
{
  AForkTemplate template = { NULL };
  guint index;

  g_mutex_lock (&self->mutex);
  if (find_entry (self, &index))
    {
      template = ((Entry *) g_ptr_array_index (self->entries, index))->template;
      g_object_ref (template.process);
    }
  g_mutex_unlock (&self->mutex);

  return template;
}

void
_afork_templates_set (AForkTemplates      *self,
                      const AForkTemplate *template)
{
  Entry *entry = template->process != NULL ? entry_new (self, template) : NULL;
  Entry *old = NULL;
  guint index;

  g_mutex_lock (&self->mutex);
  if (find_entry (self, &index))
    old = g_ptr_array_steal_index_fast (self->entries, index);
  if (entry != NULL)
    g_ptr_array_add (self->entries, entry);
  g_mutex_unlock (&self->mutex);

  /* Without the lock, for it runs what the program has attached to the process. */
  if (old != NULL)
    entry_free (old);
}
