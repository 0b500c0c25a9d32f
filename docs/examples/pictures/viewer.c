/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "viewer.h"

#include "decoder.h"

#define FULL_SIZE     8192      /* pixels */
#define FULL_PRIORITY 2         /* before all thumbnails */

struct _Viewer
{
  GtkWidget  parent_instance;
  AForkPool *pool;
  AForkJob  *job;               /* or NULL */
  GtkWidget *picture;
  GtkWidget *progress;
  GtkWidget *problem;
};

G_DEFINE_FINAL_TYPE (Viewer, viewer, GTK_TYPE_WIDGET)

static void
progress_cb (AForkJob *job,
             GVariant *fraction,
             Viewer   *self)
{
  if (g_variant_is_of_type (fraction, G_VARIANT_TYPE_DOUBLE))
    gtk_progress_bar_set_fraction (GTK_PROGRESS_BAR (self->progress),
                                   CLAMP (g_variant_get_double (fraction), 0, 1));
}

static void
show_problem (Viewer     *self,
              const char *problem)
{
  gtk_label_set_text (GTK_LABEL (self->problem), problem != NULL ? problem : "");
  gtk_widget_set_visible (self->problem, problem != NULL);
}

static void
end_job (Viewer *self)
{
  if (self->job != NULL)
    g_signal_handlers_disconnect_by_data (self->job, self);
  g_clear_object (&self->job);
  gtk_widget_set_visible (self->progress, FALSE);
}

static void
decoded_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  AForkJob *job = AFORK_JOB (object);
  g_autoptr(Viewer) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GdkTexture) texture = decoder_run_finish (job, result, &error);

  if (job != self->job)
    return;

  end_job (self);
  if (texture != NULL)
    gtk_picture_set_paintable (GTK_PICTURE (self->picture), GDK_PAINTABLE (texture));
  else
    show_problem (self, error->message);
}

static void
start (Viewer  *self,
       Picture *picture)
{
  g_autoptr(GError) error = NULL;

  self->job = decoder_new_job (picture_get_file (picture), FULL_SIZE, &error);
  if (self->job == NULL)
    {
      show_problem (self, error->message);
      return;
    }

  afork_job_set_priority (self->job, FULL_PRIORITY);
  g_signal_connect (self->job, "progress", G_CALLBACK (progress_cb), self);
  gtk_progress_bar_set_fraction (GTK_PROGRESS_BAR (self->progress), 0);
  gtk_widget_set_visible (self->progress, TRUE);
  decoder_run_async (self->pool, self->job, decoded_cb, g_object_ref (self));
}

void
viewer_show (Viewer  *self,
             Picture *picture)
{
  if (self->job != NULL)
    afork_job_cancel (self->job);
  end_job (self);
  show_problem (self, NULL);
  gtk_picture_set_paintable (GTK_PICTURE (self->picture),
                             picture != NULL ? GDK_PAINTABLE (picture_get_texture (picture))
                                             : NULL);
  if (picture != NULL)
    start (self, picture);
}

static void
viewer_dispose (GObject *object)
{
  Viewer *self = PICTURES_VIEWER (object);

  if (self->picture != NULL)
    viewer_show (self, NULL);
  g_clear_pointer (&self->picture, gtk_widget_unparent);
  g_clear_pointer (&self->progress, gtk_widget_unparent);
  g_clear_pointer (&self->problem, gtk_widget_unparent);
  g_clear_object (&self->pool);
  G_OBJECT_CLASS (viewer_parent_class)->dispose (object);
}

static void
viewer_class_init (ViewerClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = viewer_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_css_name (GTK_WIDGET_CLASS (klass), "viewer");
}

static void
viewer_init (Viewer *self)
{
  self->picture = gtk_picture_new ();
  gtk_widget_set_parent (self->picture, GTK_WIDGET (self));

  self->progress = gtk_progress_bar_new ();
  gtk_widget_add_css_class (self->progress, "osd");
  gtk_widget_set_valign (self->progress, GTK_ALIGN_START);
  gtk_widget_set_parent (self->progress, GTK_WIDGET (self));

  self->problem = gtk_label_new (NULL);
  gtk_label_set_wrap (GTK_LABEL (self->problem), TRUE);
  gtk_widget_set_parent (self->problem, GTK_WIDGET (self));

  gtk_widget_set_hexpand (GTK_WIDGET (self), TRUE);
  gtk_widget_set_vexpand (GTK_WIDGET (self), TRUE);
}

GtkWidget *
viewer_new (AForkPool *pool)
{
  Viewer *self = g_object_new (VIEWER_TYPE, NULL);

  self->pool = g_object_ref (pool);
  return GTK_WIDGET (self);
}
