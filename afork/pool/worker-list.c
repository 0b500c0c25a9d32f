/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "worker-list.h"

struct _AForkWorkerList
{
  GObject    parent_instance;
  GPtrArray *workers;           /* of AForkPoolWorker */
  GPtrArray *published;         /* the same as handlers of items-changed know it */
  gboolean   is_publishing;
};

static void list_model_init (GListModelInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (AForkWorkerList, _afork_worker_list, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, list_model_init))

static GType
get_item_type (GListModel *model)
{
  return AFORK_TYPE_POOL_WORKER;
}

static guint
get_n_items (GListModel *model)
{
  return AFORK_WORKER_LIST (model)->published->len;
}

static gpointer
get_item (GListModel *model,
          guint       position)
{
  AForkWorkerList *self = AFORK_WORKER_LIST (model);

  if (position >= self->published->len)
    return NULL;

  return g_object_ref (g_ptr_array_index (self->published, position));
}

static void
list_model_init (GListModelInterface *iface)
{
  iface->get_item_type = get_item_type;
  iface->get_n_items = get_n_items;
  iface->get_item = get_item;
}

static void
_afork_worker_list_finalize (GObject *object)
{
  AForkWorkerList *self = AFORK_WORKER_LIST (object);

  g_ptr_array_unref (self->workers);
  g_ptr_array_unref (self->published);
  G_OBJECT_CLASS (_afork_worker_list_parent_class)->finalize (object);
}

static void
_afork_worker_list_class_init (AForkWorkerListClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = _afork_worker_list_finalize;
}

static void
_afork_worker_list_init (AForkWorkerList *self)
{
  self->workers = g_ptr_array_new_with_free_func (g_object_unref);
  self->published = g_ptr_array_new_with_free_func (g_object_unref);
}

AForkWorkerList *
_afork_worker_list_new (void)
{
  return g_object_new (AFORK_TYPE_WORKER_LIST, NULL);
}

void
_afork_worker_list_add (AForkWorkerList *self,
                        AForkPoolWorker *worker)
{
  g_ptr_array_add (self->workers, g_object_ref (worker));
}

void
_afork_worker_list_remove (AForkWorkerList *self,
                           AForkPoolWorker *worker)
{
  g_ptr_array_remove (self->workers, worker);
}

void
_afork_worker_list_clear (AForkWorkerList *self)
{
  g_ptr_array_set_size (self->workers, 0);
}

/* Publishes the first difference. Returns whether there was one. */
static gboolean
publish_one (AForkWorkerList *self)
{
  guint n_equal = 0;
  guint n_removed;
  guint n_added = 0;

  while (n_equal < self->published->len && n_equal < self->workers->len
         && self->published->pdata[n_equal] == self->workers->pdata[n_equal])
    n_equal++;
  if (n_equal == self->published->len && n_equal == self->workers->len)
    return FALSE;

  /* Workers keep their order, and are added at the end. So a worker that is not at its place was
   * removed. */
  n_removed = n_equal < self->published->len ? 1 : 0;
  if (n_removed > 0)
    g_ptr_array_remove_index (self->published, n_equal);
  else
    for (n_added = 0; n_equal + n_added < self->workers->len; n_added++)
      g_ptr_array_add (self->published,
                       g_object_ref (self->workers->pdata[n_equal + n_added]));

  g_list_model_items_changed (G_LIST_MODEL (self), n_equal, n_removed, n_added);
  return TRUE;
}

void
_afork_worker_list_publish (AForkWorkerList *self)
{
  g_autoptr(AForkWorkerList) kept G_GNUC_UNUSED = g_object_ref (self);

  if (self->is_publishing)
    return;

  self->is_publishing = TRUE;
  while (publish_one (self))
    ;
  self->is_publishing = FALSE;
}
