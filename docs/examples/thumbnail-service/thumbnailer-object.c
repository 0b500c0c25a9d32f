/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnailer-object.h"

#include "interfaces.h"
#include "thumbnail-maker.h"
#include "thumbnail-store.h"

#include <string.h>

/* The codes of the signal Error. The specification leaves them to the service. These are those of
 * tumbler, which clients know. */
typedef enum
{
  ERROR_UNSUPPORTED = 0,
  ERROR_IS_THUMBNAIL = 3,
  ERROR_SAVE_FAILED = 4,
  ERROR_UNSUPPORTED_FLAVOR = 5,
  ERROR_OTHER = 8
} ErrorCode;

struct _ThumbnailerObject
{
  GDBusConnection *bus;                         /* or NULL */
  ThumbnailMaker   makers[N_THUMBNAIL_SIZES];
  WorkerPool      *workers;
  GHashTable      *types;                       /* MIME types that can be decoded; NULL at first */
  GQueue           askers;                      /* of GDBusMethodInvocation, who wait for types */
  GHashTable      *requests;                    /* of Request, by their handle */
  GQueue           foreground;                  /* of Request, with pictures that were not begun */
  GQueue           background;
  GQueue           waiting;                     /* of Making, for want of descriptors */
  guint            n_open;
  guint            max_open;
  guint            last_handle;
  GSourceFunc      changed;
  gpointer         data;
};

/* What a client has queued. A request exists until all of its pictures have ended. */
typedef struct
{
  ThumbnailerObject *object;
  guint              handle;
  char              *client;            /* its name on the bus, or NULL if there is none */
  guint              watch_id;
  GStrv              uris;
  GStrv              types;
  guint              n_uris;
  guint              next;              /* the next one to begin */
  guint              n_running;
  ThumbnailSize      size;
  gboolean           has_flavor;        /* or the flavor is unknown */
  gboolean           is_background;
  gboolean           is_started;
  GCancellable      *cancellable;       /* cancelled if it was dequeued, or the client has left */
} Request;

static void fill (ThumbnailerObject *self);

/* Signals. They go only to the client of the request. */

static void
emit (Request    *request,
      const char *name,
      GVariant   *parameters)
{
  g_autoptr(GVariant) owned = g_variant_ref_sink (parameters);

  if (request->client != NULL)
    g_dbus_connection_emit_signal (request->object->bus, request->client, THUMBNAILER_PATH,
                                   THUMBNAILER_NAME, name, owned, NULL);
}

static void
emit_ready (Request    *request,
            const char *uri)
{
  const char *uris[] = { uri, NULL };

  emit (request, "Ready", g_variant_new ("(u^as)", request->handle, uris));
}

static void
emit_error (Request            *request,
            const char * const *uris,
            ErrorCode           code,
            const char         *message)
{
  emit (request, "Error", g_variant_new ("(u^asis)", request->handle, uris, code, message));
}

static void
emit_picture_error (Request    *request,
                    const char *uri,
                    ErrorCode   code,
                    const char *message)
{
  const char *uris[] = { uri, NULL };

  emit_error (request, uris, code, message);
}

/* Requests */

static void
request_free (Request *self)
{
  if (self->watch_id != 0)
    g_bus_unwatch_name (self->watch_id);
  g_free (self->client);
  g_strfreev (self->uris);
  g_strfreev (self->types);
  g_object_unref (self->cancellable);
  g_free (self);
}

static void
emit_started (Request *request)
{
  if (!request->is_started)
    emit (request, "Started", g_variant_new ("(u)", request->handle));
  request->is_started = TRUE;
}

static GQueue *
get_queue (Request *request)
{
  return request->is_background ? &request->object->background : &request->object->foreground;
}

/* Frees REQUEST once nothing is left to do for it. */
static void
end_if_done (Request *request)
{
  ThumbnailerObject *self = request->object;

  if (request->next < request->n_uris || request->n_running > 0)
    return;

  emit_started (request);
  emit (request, "Finished", g_variant_new ("(u)", request->handle));
  g_queue_remove (get_queue (request), request);
  g_hash_table_remove (self->requests, GUINT_TO_POINTER (request->handle));
  if (g_hash_table_size (self->requests) == 0)
    self->changed (self->data);
}

/* Nothing more is begun, and what is under way is cancelled. */
static void
cancel (Request *request)
{
  g_queue_remove (get_queue (request), request);
  request->next = request->n_uris;
  request->n_running++;
  g_cancellable_cancel (request->cancellable);
  request->n_running--;
  end_if_done (request);
}

static void
vanished_cb (GDBusConnection *bus,
             const char      *name,
             gpointer         user_data)
{
  cancel (user_data);
}

/* One picture */

typedef struct
{
  Request *request;
  Picture *picture;
  char    *uri;         /* as the client has written it */
} Making;

static void
making_free (Making *self)
{
  picture_free (self->picture);
  g_free (self->uri);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Making, making_free)

/* If there are too many open files, the picture waits until another one is done, and from now on
 * fewer are open at a time. If it is the only one, waiting would not help. */
static gboolean
put_back (Making       *making,
          const GError *error)
{
  ThumbnailerObject *self = making->request->object;

  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES) || self->n_open == 1)
    return FALSE;

  self->n_open--;
  self->max_open = MIN (self->max_open, self->n_open);
  g_queue_push_tail (&self->waiting, making);
  return TRUE;
}

static void
made_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr(Making) making = user_data;
  Request *request = making->request;
  ThumbnailerObject *self = request->object;
  g_autoptr(GError) error = NULL;
  Picture *picture = thumbnail_maker_make_finish (result, &error);

  if (put_back (making, error))
    {
      making = NULL;
      return;
    }

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_debug ("%s: cancelled", making->uri);
  else if (picture == NULL)
    emit_picture_error (request, making->uri, ERROR_SAVE_FAILED, error->message);
  else if (picture->error != NULL)
    emit_picture_error (request, making->uri, ERROR_OTHER, picture->error->message);
  else
    emit_ready (request, making->uri);

  self->n_open--;
  request->n_running--;
  end_if_done (request);
  fill (self);
}

static void
make (Making *making)
{
  Request *request = making->request;
  ThumbnailerObject *self = request->object;

  self->n_open++;
  thumbnail_maker_make_async (&self->makers[request->size], making->picture, request->cancellable,
                              made_cb, making);
}

/* Returns why there is no thumbnail of a URI, whatever is in its file, or NULL. */
static const char *
find_obstacle (Request     *request,
               const char  *uri,
               const char  *type,
               const char  *path,
               ErrorCode   *code)
{
  ThumbnailerObject *self = request->object;

  *code = ERROR_UNSUPPORTED;
  if (self->types != NULL && !g_hash_table_contains (self->types, type))
    return "There is no decoder for files of this type";

  *code = ERROR_OTHER;
  if (path == NULL)
    return "This is not the URI of a file";

  *code = ERROR_IS_THUMBNAIL;
  if (thumbnail_store_contains (self->makers[0].store, path))
    return "The file is a thumbnail itself";

  return NULL;
}

static void
begin_next (Request *request)
{
  const char *uri = request->uris[request->next];
  const char *type = request->types[request->next];
  g_autofree char *path = g_filename_from_uri (uri, NULL, NULL);
  ErrorCode code;
  const char *obstacle = find_obstacle (request, uri, type, path, &code);
  Making *making;

  request->next++;
  if (obstacle != NULL)
    {
      emit_picture_error (request, uri, code, obstacle);
      return;
    }

  making = g_new0 (Making, 1);
  making->request = request;
  making->uri = g_strdup (uri);
  making->picture = picture_new (path);
  making->picture->priority = !request->is_background;
  request->n_running++;
  make (making);
}

static void
begin (Request *request)
{
  emit_started (request);
  if (!request->has_flavor)
    {
      request->next = request->n_uris;
      emit_error (request, (const char * const *) request->uris, ERROR_UNSUPPORTED_FLAVOR,
                  "There are no thumbnails of this flavor");
    }
  else if (request->next < request->n_uris)
    begin_next (request);

  if (request->next == request->n_uris)
    g_queue_remove (get_queue (request), request);
  end_if_done (request);
}

/* Begins pictures as long as not too many are open. Nothing is begun before it is known what can be
 * decoded. */
static void
fill (ThumbnailerObject *self)
{
  while (self->types != NULL && self->n_open < self->max_open)
    {
      Making *making = g_queue_pop_head (&self->waiting);
      Request *request = g_queue_peek_head (&self->foreground);

      if (making != NULL)
        {
          make (making);
          continue;
        }
      if (request == NULL)
        request = g_queue_peek_head (&self->background);
      if (request == NULL)
        return;

      begin (request);
    }
}

static gboolean
fill_cb (gpointer user_data)
{
  fill (user_data);
  return G_SOURCE_REMOVE;
}

/* Takes URIS and TYPES. If there are fewer types than URIs, the other URIs are ignored. */
static Request *
add_request (ThumbnailerObject *self,
             const char        *client,
             GStrv              uris,
             GStrv              types,
             const char        *flavor,
             const char        *scheduler)
{
  Request *request = g_new0 (Request, 1);

  do
    self->last_handle++;
  while (self->last_handle == 0
         || g_hash_table_contains (self->requests, GUINT_TO_POINTER (self->last_handle)));

  request->object = self;
  request->handle = self->last_handle;
  request->client = g_strdup (client);
  request->uris = uris;
  request->types = types;
  request->n_uris = MIN (g_strv_length (uris), g_strv_length (types));
  request->has_flavor = thumbnail_size_parse (flavor, &request->size);
  request->is_background = g_str_equal (scheduler, "background");
  request->cancellable = g_cancellable_new ();
  g_hash_table_insert (self->requests, GUINT_TO_POINTER (request->handle), request);
  g_queue_push_tail (get_queue (request), request);
  if (client != NULL)
    request->watch_id = g_bus_watch_name_on_connection (self->bus, client,
                                                        G_BUS_NAME_WATCHER_FLAGS_NONE, NULL,
                                                        vanished_cb, request, NULL);

  self->changed (self->data);
  g_idle_add (fill_cb, self);
  return request;
}

void
thumbnailer_object_make (ThumbnailerObject *self,
                         const char        *uri,
                         const char        *flavor)
{
  const char *uris[] = { uri, NULL };
  const char *types[] = { "image/png", NULL };

  add_request (self, NULL, g_strdupv ((GStrv) uris), g_strdupv ((GStrv) types), flavor,
               "background");
}

/* Methods. A client may only dequeue what it has queued itself. */

static void
dequeue (ThumbnailerObject *self,
         const char        *client,
         guint              handle)
{
  Request *request = g_hash_table_lookup (self->requests, GUINT_TO_POINTER (handle));

  if (request != NULL && g_strcmp0 (request->client, client) == 0)
    cancel (request);
}

static GVariant *
queue (ThumbnailerObject *self,
       const char        *client,
       GVariant          *parameters)
{
  GStrv uris, types;
  const char *flavor, *scheduler;
  guint unqueue;

  g_variant_get (parameters, "(^as^as&s&su)", &uris, &types, &flavor, &scheduler, &unqueue);
  dequeue (self, client, unqueue);
  return g_variant_new ("(u)",
                        add_request (self, client, uris, types, flavor, scheduler)->handle);
}

/* Each type is one of files: schemes and types are a list of pairs. */
static GVariant *
get_supported (ThumbnailerObject *self)
{
  guint n_types;
  g_autofree const char **types =
    (const char **) g_hash_table_get_keys_as_array (self->types, &n_types);
  g_autofree const char **schemes = g_new0 (const char *, n_types + 1);

  for (guint i = 0; i < n_types; i++)
    schemes[i] = "file";
  return g_variant_new ("(^as^as)", schemes, types);
}

/* Clients ask once, often by the call that starts the service, and queue nothing of other types. */
static void
reply_to_askers (ThumbnailerObject *self)
{
  GDBusMethodInvocation *invocation;

  while ((invocation = g_queue_pop_head (&self->askers)) != NULL)
    g_dbus_method_invocation_return_value (invocation, get_supported (self));
  self->changed (self->data);
}

static void
method_cb (GDBusConnection       *bus,
           const char            *client,
           const char            *path,
           const char            *interface,
           const char            *method,
           GVariant              *parameters,
           GDBusMethodInvocation *invocation,
           gpointer               user_data)
{
  static const char *const schedulers[] = { "default", "foreground", "background", NULL };
  static const char *const flavors[] = { "normal", "large", "x-large", "xx-large", NULL };
  ThumbnailerObject *self = user_data;
  GVariant *result = NULL;
  guint handle;

  if (g_str_equal (method, "Queue"))
    result = queue (self, client, parameters);
  else if (g_str_equal (method, "Dequeue"))
    {
      g_variant_get (parameters, "(u)", &handle);
      dequeue (self, client, handle);
    }
  else if (g_str_equal (method, "GetSupported"))
    {
      g_queue_push_tail (&self->askers, invocation);
      if (self->types != NULL)
        reply_to_askers (self);
      else
        self->changed (self->data);
      return;
    }
  else if (g_str_equal (method, "GetSchedulers"))
    result = g_variant_new ("(^as)", schedulers);
  else
    result = g_variant_new ("(^as)", flavors);

  g_dbus_method_invocation_return_value (invocation, result);
}

gboolean
thumbnailer_object_export (ThumbnailerObject  *self,
                           GDBusConnection    *bus,
                           GError            **error)
{
  static const GDBusInterfaceVTable vtable = { .method_call = method_cb };

  self->bus = g_object_ref (bus);
  return g_dbus_connection_register_object (bus, THUMBNAILER_PATH,
                                            interfaces_find (THUMBNAILER_NAME), &vtable, self,
                                            NULL, error) != 0;
}

/* The object */

static void
types_cb (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  ThumbnailerObject *self = user_data;
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) types = worker_pool_list_types_finish (result, &error);

  self->types = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  if (types == NULL)
    g_printerr ("It is not known what can be decoded: %s\n", error->message);
  for (guint i = 0; types != NULL && types[i] != NULL; i++)
    g_hash_table_add (self->types, g_strdup (types[i]));
  reply_to_askers (self);
  fill (self);
}

ThumbnailerObject *
thumbnailer_object_new (WorkerPool   *workers,
                        guint         timeout,
                        guint         max_open,
                        GSourceFunc   changed,
                        gpointer      data,
                        GError      **error)
{
  g_autoptr(ThumbnailerObject) self = g_new0 (ThumbnailerObject, 1);

  self->workers = workers;
  self->max_open = max_open;
  self->changed = changed;
  self->data = data;
  self->requests = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) request_free);
  for (ThumbnailSize size = 0; size < N_THUMBNAIL_SIZES; size++)
    {
      self->makers[size] = (ThumbnailMaker) {
        .store = thumbnail_store_new (NULL, 1u << size, error),
        .workers = workers,
        .timeout = timeout,
      };
      if (self->makers[size].store == NULL)
        return NULL;
    }

  worker_pool_list_types_async (workers, types_cb, self);
  return g_steal_pointer (&self);
}

static gboolean
cancel_cb (gpointer key,
           gpointer value,
           gpointer data)
{
  g_cancellable_cancel (((Request *) value)->cancellable);
  return FALSE;
}

void
thumbnailer_object_free (ThumbnailerObject *self)
{
  g_hash_table_foreach_remove (self->requests, cancel_cb, NULL);
  while (self->n_open > 0)
    g_main_context_iteration (NULL, TRUE);
  while (g_source_remove_by_user_data (self))
    continue;

  for (ThumbnailSize size = 0; size < N_THUMBNAIL_SIZES; size++)
    g_clear_pointer (&self->makers[size].store, thumbnail_store_free);
  g_queue_clear_full (&self->askers, g_object_unref);
  g_queue_clear (&self->foreground);
  g_queue_clear (&self->background);
  g_hash_table_unref (self->requests);
  g_clear_pointer (&self->types, g_hash_table_unref);
  g_clear_object (&self->bus);
  g_free (self);
}

gboolean
thumbnailer_object_is_idle (ThumbnailerObject *self)
{
  return g_hash_table_size (self->requests) == 0 && g_queue_is_empty (&self->askers);
}
