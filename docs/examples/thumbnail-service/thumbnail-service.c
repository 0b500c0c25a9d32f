/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Makes thumbnails for all programs of a session: thumbnail-service [--idle SECONDS]
 *
 * File managers ask for thumbnails on the session bus, and the bus starts this service. It opens
 * the files, the confined workers of the thumbnailer's pool decode them, and it exits when it has
 * had no request for a while. */

#include "cache-object.h"
#include "descriptors.h"
#include "interfaces.h"
#include "standard-output.h"

#include <glib-unix.h>
#include <locale.h>

#define CPU_TIME 30     /* seconds for a picture */
#define MAX_OPEN 32     /* pictures at a time */
#define N_FILES  2      /* descriptors for each: the picture and the thumbnail */

typedef struct
{
  GMainLoop         *loop;
  GDBusConnection   *bus;
  ThumbnailerObject *thumbnailer;
  int                idle_time;         /* seconds */
  guint              timer_id;
  guint              owner_ids[3];
  gboolean           is_leaving;        /* the names are given up, and what came before is done */
  int                status;
} Service;

static gboolean
quit_cb (gpointer user_data)
{
  Service *self = user_data;

  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

/* When the names are given up, the bus starts another service for further calls. Those that have
 * come before are here when it has answered. */
static void
released_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  Service *self = user_data;
  g_autoptr(GVariant) reply G_GNUC_UNUSED =
    g_dbus_connection_call_finish (self->bus, result, NULL);

  self->is_leaving = TRUE;
  if (thumbnailer_object_is_idle (self->thumbnailer))
    g_main_loop_quit (self->loop);
}

static gboolean
idle_cb (gpointer user_data)
{
  Service *self = user_data;

  self->timer_id = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (self->owner_ids); i++)
    g_clear_handle_id (&self->owner_ids[i], g_bus_unown_name);
  g_dbus_connection_call (self->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                          "org.freedesktop.DBus", "GetId", NULL, NULL, G_DBUS_CALL_FLAGS_NONE, -1,
                          NULL, released_cb, self);
  return G_SOURCE_REMOVE;
}

/* The first request has come, or the last one has ended. */
static gboolean
changed_cb (gpointer user_data)
{
  Service *self = user_data;
  const gboolean is_idle = self->thumbnailer == NULL
                           || thumbnailer_object_is_idle (self->thumbnailer);

  g_clear_handle_id (&self->timer_id, g_source_remove);
  if (is_idle && self->is_leaving)
    g_main_loop_quit (self->loop);
  else if (is_idle && self->owner_ids[0] != 0)
    self->timer_id = g_timeout_add_seconds ((guint) self->idle_time, idle_cb, self);
  return G_SOURCE_REMOVE;
}

/* Another service has the name already, or the bus has exited. run() reports the latter. */
static void
lost_cb (GDBusConnection *bus,
         const char      *name,
         gpointer         user_data)
{
  Service *self = user_data;

  if (!g_dbus_connection_is_closed (self->bus))
    g_printerr ("The name %s cannot be had\n", name);
  self->status = 1;
  g_main_loop_quit (self->loop);
}

static void
own_names (Service *self)
{
  static const char *const names[] = { CACHE_NAME, MANAGER_NAME, THUMBNAILER_NAME };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    self->owner_ids[i] = g_bus_own_name_on_connection (self->bus, names[i],
                                                       G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE, NULL,
                                                       lost_cb, self, NULL);
}

static gboolean
run (Service     *self,
     WorkerPool  *workers,
     guint        max_open,
     GError     **error)
{
  self->bus = g_bus_get_sync (G_BUS_TYPE_SESSION, NULL, error);
  if (self->bus == NULL)
    return FALSE;

  self->thumbnailer = thumbnailer_object_new (workers, CPU_TIME, max_open, changed_cb, self, error);
  if (self->thumbnailer == NULL
      || !thumbnailer_object_export (self->thumbnailer, self->bus, error)
      || !cache_object_export (self->bus, self->thumbnailer, error))
    return FALSE;

  own_names (self);
  changed_cb (self);
  g_main_loop_run (self->loop);
  return g_dbus_connection_flush_sync (self->bus, NULL, error);
}

int
main (int    argc,
      char **argv)
{
  Service self = { .idle_time = 60 };
  DescriptorPlan plan = { .n_workers = g_get_num_processors (), .n_pictures = MAX_OPEN };
  Options options = {
    .timeout = CPU_TIME,
    .module = (char *) "thumbnail-worker",
  };
  gboolean help = FALSE;
  const GOptionEntry entries[] = {
    { "idle", 'i', 0, G_OPTION_ARG_INT, &self.idle_time, "Exit when idle for so long", "SECONDS" },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Print this summary of the options", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr(GOptionContext) context = g_option_context_new (NULL);
  g_autoptr(WorkerPool) workers = NULL;
  g_autoptr(GError) error = NULL;

  standard_output_prepare ();
  setlocale (LC_ALL, "");
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc > 1 || self.idle_time < 0)
    {
      g_printerr ("%s\n", error != NULL ? error->message : "Too many arguments");
      return 2;
    }
  if (help)
    {
      g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);

      g_print ("%s", text);
      return standard_output_check (0);
    }

  self.loop = g_main_loop_new (NULL, FALSE);
  g_unix_signal_add (SIGTERM, quit_cb, &self);
  g_unix_signal_add (SIGINT, quit_cb, &self);
  descriptor_plan_fit (&plan, N_FILES);
  options.n_jobs = (int) plan.n_workers;
  workers = worker_pool_new (&options);
  if (!run (&self, workers, plan.n_pictures, &error))
    {
      g_printerr ("%s\n", error->message);
      self.status = 1;
    }

  g_clear_handle_id (&self.timer_id, g_source_remove);
  g_clear_pointer (&self.thumbnailer, thumbnailer_object_free);
  /* Signals may still stop the loop while the workers exit. */
  g_clear_pointer (&workers, worker_pool_free);
  g_clear_object (&self.bus);
  g_main_loop_unref (self.loop);
  return self.status;
}
