/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program that uses the library only through a plugin, which it unloads. */

#include "config.h"

#include <dlfcn.h>
#include <glib.h>

static gboolean (*use) (void);

static char *
get_path (void)
{
  return g_test_build_filename (G_TEST_BUILT, "modules", "plugin.so", NULL);
}

static gpointer
load (void)
{
  g_autofree char *path = get_path ();
  gpointer plugin = dlopen (path, RTLD_NOW | RTLD_LOCAL);

  if (plugin == NULL)
    g_error ("%s", dlerror ());

  use = (gboolean (*) (void)) dlsym (plugin, "plugin_use");
  g_assert_nonnull (use);
  return plugin;
}

/* The plugin itself is unloaded then. */
static void
unload (gpointer plugin)
{
  g_autofree char *path = get_path ();

  g_assert_cmpint (dlclose (plugin), ==, 0);
  g_assert_null (dlopen (path, RTLD_NOW | RTLD_NOLOAD));
}

static void
iterate (void)
{
  for (int i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
}

static void
test_plugin_unloaded (void)
{
  for (int i = 0; i < 3; i++)
    {
      gpointer plugin = load ();

      g_assert_true (use ());
      unload (plugin);
      /* The objects of the library continue to work. */
      iterate ();
    }
}

typedef struct
{
  GAsyncQueue *used;
  GAsyncQueue *unloaded;
} User;

static gpointer
use_in_context (gpointer data)
{
  User *self = data;
  g_autoptr(GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  g_assert_true (use ());
  g_async_queue_push (self->used, self);
  g_async_queue_pop (self->unloaded);
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* A thread and its context end after that. */
static void
test_plugin_unloaded_in_thread (void)
{
  User user = { .used = g_async_queue_new (), .unloaded = g_async_queue_new () };
  gpointer plugin = load ();
  GThread *thread = g_thread_new ("user", use_in_context, &user);

  g_async_queue_pop (user.used);
  unload (plugin);
  g_async_queue_push (user.unloaded, &user);
  g_thread_join (thread);
  iterate ();

  g_async_queue_unref (user.used);
  g_async_queue_unref (user.unloaded);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/plugin/unloaded", test_plugin_unloaded);
  g_test_add_func ("/plugin/unloaded/in-thread", test_plugin_unloaded_in_thread);

  return g_test_run ();
}
