/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A window on a folder of pictures: pictures [FOLDER…]
 *
 * The program decodes nothing. Confined workers do, so a picture that crashes a decoder costs one
 * tile. */

#include "decoder.h"
#include "style.h"
#include "window.h"

static AForkPool *pool;

static void
open_folder (GtkApplication *app,
             GFile          *folder)
{
  gtk_window_present (GTK_WINDOW (window_new (app, pool, folder)));
}

static void
activate_cb (GtkApplication *app)
{
  const char *path = g_get_user_special_dir (G_USER_DIRECTORY_PICTURES);
  g_autoptr(GFile) folder = g_file_new_for_path (path != NULL ? path : g_get_home_dir ());

  open_folder (app, folder);
}

static void
open_cb (GtkApplication  *app,
         GFile          **folders,
         int              n_folders,
         const char      *hint)
{
  for (int i = 0; i < n_folders; i++)
    open_folder (app, folders[i]);
}

/* All windows have the same pool. */
static void
startup_cb (GtkApplication *app)
{
  style_load ();
  pool = decoder_new_pool ("pictures-worker");
}

static void
shutdown_cb (GtkApplication *app)
{
  g_autoptr(GError) error = NULL;

  if (!afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, &error))
    g_printerr ("%s\n", error->message);
  g_clear_object (&pool);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GtkApplication) app = style_new_application ("org.example.afork.Pictures");

  g_signal_connect (app, "startup", G_CALLBACK (startup_cb), NULL);
  g_signal_connect (app, "activate", G_CALLBACK (activate_cb), NULL);
  g_signal_connect (app, "open", G_CALLBACK (open_cb), NULL);
  g_signal_connect (app, "shutdown", G_CALLBACK (shutdown_cb), NULL);
  return g_application_run (G_APPLICATION (app), argc, argv);
}
