/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "cache-object.h"

#include "interfaces.h"
#include "thumbnail-store.h"

#define ALL_SIZES ((1u << N_THUMBNAIL_SIZES) - 1)

/* A thumbnail contains the URI of its picture, so the thumbnails of a copy are made again, in the
 * sizes that exist of the original. */
static void
follow (ThumbnailStore     *store,
        ThumbnailerObject  *thumbnailer,
        const char * const *from_uris,
        const char * const *to_uris)
{
  for (gsize i = 0; from_uris[i] != NULL && to_uris[i] != NULL; i++)
    for (ThumbnailSize size = 0; size < N_THUMBNAIL_SIZES; size++)
      if (thumbnail_store_has (store, size, from_uris[i]))
        thumbnailer_object_make (thumbnailer, to_uris[i], thumbnail_size_get_name (size));
}

static void
delete (ThumbnailStore     *store,
        const char * const *uris)
{
  for (gsize i = 0; uris[i] != NULL; i++)
    thumbnail_store_remove (store, uris[i]);
}

static void
cache_method_cb (GDBusConnection       *bus,
                 const char            *client,
                 const char            *path,
                 const char            *interface,
                 const char            *method,
                 GVariant              *parameters,
                 GDBusMethodInvocation *invocation,
                 gpointer               user_data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ThumbnailStore) store = thumbnail_store_new (NULL, ALL_SIZES, &error);
  g_autofree const char **uris = NULL;
  g_autofree const char **to_uris = NULL;
  guint since;

  if (store == NULL)
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      return;
    }

  if (g_str_equal (method, "Delete"))
    {
      g_variant_get (parameters, "(^a&s)", &uris);
      delete (store, uris);
    }
  else if (g_str_equal (method, "Cleanup"))
    {
      g_variant_get (parameters, "(^a&su)", &uris, &since);
      thumbnail_store_clean_below (store, uris, since);
    }
  else
    {
      g_variant_get (parameters, "(^a&s^a&s)", &uris, &to_uris);
      follow (store, user_data, uris, to_uris);
      if (g_str_equal (method, "Move"))
        delete (store, uris);
    }
  g_dbus_method_invocation_return_value (invocation, NULL);
}

/* Specialized thumbnailers would decode outside of the confined workers. */
static void
manager_method_cb (GDBusConnection       *bus,
                   const char            *client,
                   const char            *path,
                   const char            *interface,
                   const char            *method,
                   GVariant              *parameters,
                   GDBusMethodInvocation *invocation,
                   gpointer               user_data)
{
  g_dbus_method_invocation_return_error_literal (invocation, G_DBUS_ERROR,
                                                 G_DBUS_ERROR_NOT_SUPPORTED,
                                                 "This service has no specialized thumbnailers");
}

gboolean
cache_object_export (GDBusConnection    *bus,
                     ThumbnailerObject  *thumbnailer,
                     GError            **error)
{
  static const GDBusInterfaceVTable cache = { .method_call = cache_method_cb };
  static const GDBusInterfaceVTable manager = { .method_call = manager_method_cb };

  return g_dbus_connection_register_object (bus, CACHE_PATH, interfaces_find (CACHE_NAME), &cache,
                                            thumbnailer, NULL, error) != 0
    && g_dbus_connection_register_object (bus, MANAGER_PATH, interfaces_find (MANAGER_NAME),
                                          &manager, NULL, NULL, error) != 0;
}
