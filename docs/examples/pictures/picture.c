/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture.h"

#include "decoder.h"

#define THUMBNAIL_SIZE 256      /* pixels */

struct _Picture
{
  GObject     parent_instance;
  AForkPool  *pool;
  GFile      *file;
  char       *name;
  guint       n_views;
  AForkJob   *job;              /* or NULL if none is under way */
  GdkTexture *texture;          /* or NULL */
  char       *problem;          /* or NULL */
};

enum { PROP_0, PROP_PROBLEM, PROP_TEXTURE, N_PROPS };
static GParamSpec *props[N_PROPS];

G_DEFINE_FINAL_TYPE (Picture, picture, G_TYPE_OBJECT)

static void
picture_finalize (GObject *object)
{
  Picture *self = PICTURES_PICTURE (object);

  g_object_unref (self->pool);
  g_object_unref (self->file);
  g_free (self->name);
  g_clear_object (&self->texture);
  g_free (self->problem);
  G_OBJECT_CLASS (picture_parent_class)->finalize (object);
}

static void
picture_get_property (GObject    *object,
                      guint       id,
                      GValue     *value,
                      GParamSpec *pspec)
{
  Picture *self = PICTURES_PICTURE (object);

  switch (id)
    {
    case PROP_PROBLEM:
      g_value_set_string (value, self->problem);
      break;
    case PROP_TEXTURE:
      g_value_set_object (value, self->texture);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
picture_class_init (PictureClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = picture_finalize;
  object_class->get_property = picture_get_property;
  props[PROP_PROBLEM] =
    g_param_spec_string ("problem", NULL, NULL, NULL, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  props[PROP_TEXTURE] =
    g_param_spec_object ("texture", NULL, NULL, GDK_TYPE_TEXTURE,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
picture_init (Picture *self)
{
}

Picture *
picture_new (AForkPool  *pool,
             GFile      *file,
             const char *name)
{
  Picture *self = g_object_new (PICTURE_TYPE, NULL);

  self->pool = g_object_ref (pool);
  self->file = g_object_ref (file);
  self->name = g_strdup (name);
  return self;
}

const char *
picture_get_name (Picture *self)
{
  return self->name;
}

GFile *
picture_get_file (Picture *self)
{
  return self->file;
}

GdkTexture *
picture_get_texture (Picture *self)
{
  return self->texture;
}

const char *
picture_get_problem (Picture *self)
{
  return self->problem;
}

/* What is shown */

static void
set_texture (Picture    *self,
             GdkTexture *texture)
{
  if (g_set_object (&self->texture, texture))
    g_object_notify_by_pspec (G_OBJECT (self), props[PROP_TEXTURE]);
}

static void
set_problem (Picture    *self,
             const char *problem)
{
  g_free (self->problem);
  self->problem = g_utf8_make_valid (problem, -1);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_PROBLEM]);
}

/* The picture may have been hidden meanwhile, and even be shown again, by another job. */
static void
decoded_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  AForkJob *job = AFORK_JOB (object);
  g_autoptr(Picture) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GdkTexture) texture = decoder_run_finish (job, result, &error);

  if (job != self->job)
    return;

  g_clear_object (&self->job);
  if (texture != NULL)
    set_texture (self, texture);
  else
    set_problem (self, error->message);
}

static void
start (Picture *self)
{
  g_autoptr(GError) error = NULL;

  self->job = decoder_new_job (self->file, THUMBNAIL_SIZE, &error);
  if (self->job != NULL)
    decoder_run_async (self->pool, self->job, decoded_cb, g_object_ref (self));
  else
    set_problem (self, error->message);
}

void
picture_show (Picture *self)
{
  self->n_views++;
  if (self->texture == NULL && self->problem == NULL && self->job == NULL)
    start (self);
}

void
picture_hide (Picture *self)
{
  self->n_views--;
  if (self->n_views > 0)
    return;

  if (self->job != NULL)
    afork_job_cancel (self->job);
  g_clear_object (&self->job);
  set_texture (self, NULL);
}

void
picture_set_priority (Picture *self,
                      int      priority)
{
  if (self->job != NULL)
    afork_job_set_priority (self->job, priority);
}
