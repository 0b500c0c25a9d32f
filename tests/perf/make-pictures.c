/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* make-pictures [--count N] [SET:]FOLDER
 *
 * Makes pictures for the benchmarks of thumbnails from the photographs in FOLDER: in several sizes
 * and formats, each of another part of a photograph. They are the first N of the same row, and lie
 * beside this program in a folder with the name of the set: `pictures`, which is meant if no set is
 * named, `small` or `large`. Those that are there already stay. */

#include "config.h"

#include <errno.h>
#include <gdk-pixbuf/gdk-pixbuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pool-work.h"

enum { MAX_KINDS = 10 };

typedef struct
{
  const char *format;
  int         width;
} Kind;

typedef struct
{
  const char *name;
  Kind        kinds[MAX_KINDS + 1];     /* until one without a format */
} Set;

static const Set sets[] = {
  { "pictures",
    { { "jpeg", 640 }, { "jpeg", 1024 }, { "png", 640 }, { "jpeg", 1600 }, { "jpeg", 320 },
      { "png", 320 }, { "jpeg", 2048 }, { "tiff", 480 }, { "jpeg", 1024 }, { "jpeg", 480 } } },
  { "small",
    { { "jpeg", 320 }, { "jpeg", 640 }, { "png", 160 }, { "jpeg", 480 }, { "png", 320 } } },
  { "large",
    { { "jpeg", 4000 }, { "jpeg", 3200 }, { "png", 2000 }, { "jpeg", 4000 }, { "jpeg", 6000 } } },
};

typedef struct
{
  GPtrArray *photographs;       /* of GdkPixbuf */
  const Set *set;
  guint      n_kinds;
  char      *folder;
} Maker;

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return g_strcmp0 (*(char **) a, *(char **) b);
}

static GPtrArray *
load_photographs (const char *folder)
{
  GPtrArray *photographs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) directory = g_dir_open (folder, 0, &error);
  const char *name;

  if (directory == NULL)
    case_fail ("%s", error->message);
  while ((name = g_dir_read_name (directory)) != NULL)
    if (g_str_has_suffix (name, ".jpg"))
      g_ptr_array_add (names, g_build_filename (folder, name, NULL));
  g_ptr_array_sort (names, compare_names);

  for (guint i = 0; i < names->len; i++)
    {
      GdkPixbuf *photograph = gdk_pixbuf_new_from_file (names->pdata[i], &error);

      if (photograph == NULL)
        case_fail ("%s", error->message);
      g_ptr_array_add (photographs, photograph);
    }
  if (photographs->len == 0)
    case_fail ("%s has no photographs", folder);
  return photographs;
}

/* A part that is nine tenths as wide and as high as the photograph. */
static GdkPixbuf *
crop (GdkPixbuf *photograph,
      guint      number)
{
  int width = gdk_pixbuf_get_width (photograph), height = gdk_pixbuf_get_height (photograph);

  return gdk_pixbuf_new_subpixbuf (photograph,
                                   width / 10 * (number % 11) / 10,
                                   height / 10 * (number / 11 % 11) / 10,
                                   width * 9 / 10, height * 9 / 10);
}

static void
make_picture_cb (gpointer data,
                 gpointer user_data)
{
  Maker *self = user_data;
  guint number = GPOINTER_TO_UINT (data) - 1;
  guint series = number / self->n_kinds;
  const Kind *kind = &self->set->kinds[number % self->n_kinds];
  g_autofree char *path = g_strdup_printf ("%s/%s/%05u", self->folder, self->set->name, number);
  g_autofree char *temporary = g_strconcat (path, ".new", NULL);
  GdkPixbuf *photograph = self->photographs->pdata[series % self->photographs->len];
  g_autoptr(GdkPixbuf) part = crop (photograph, series / self->photographs->len);
  g_autoptr(GdkPixbuf) picture = NULL;
  g_autoptr(GError) error = NULL;
  int width = kind->width;

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return;

  picture = gdk_pixbuf_scale_simple (part, width,
                                     width * gdk_pixbuf_get_height (part)
                                     / gdk_pixbuf_get_width (part),
                                     GDK_INTERP_BILINEAR);
  if (!gdk_pixbuf_save (picture, temporary, kind->format, &error, NULL))
    case_fail ("%s", error->message);
  if (rename (temporary, path) < 0)
    case_fail_errno (path);
}

static void
make_folder (const char *parent,
             const char *name)
{
  g_autofree char *path = g_build_filename (parent, name, NULL);

  if (mkdir (path, 0777) < 0 && errno != EEXIST)
    case_fail_errno (path);
}

/* Finds the set that VARIANT names. Returns the folder of photographs. */
static const char *
find_set (Maker      *self,
          const char *variant)
{
  const char *folder = variant;

  self->set = &sets[0];
  for (gsize i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      gsize length = strlen (sets[i].name);

      if (g_str_has_prefix (variant, sets[i].name) && variant[length] == ':')
        {
          self->set = &sets[i];
          folder = variant + length + 1;
        }
    }

  for (self->n_kinds = 0; self->set->kinds[self->n_kinds].format != NULL; self->n_kinds++)
    continue;
  return folder;
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;
  GThreadPool *threads;
  Maker self;

  case_init (&options, argc, argv);
  if (options.variant == NULL)
    case_fail ("no folder was named");

  self.photographs = load_photographs (find_set (&self, options.variant));
  self.folder = case_sibling ("");
  make_folder (self.folder, self.set->name);
  make_folder (self.folder, "thumbnails");

  threads = g_thread_pool_new (make_picture_cb, &self, pool_count_processors (), TRUE, NULL);
  for (guint i = 0; i < (guint) options.count; i++)
    g_thread_pool_push (threads, GUINT_TO_POINTER (i + 1), NULL);
  g_thread_pool_free (threads, FALSE, TRUE);

  g_ptr_array_unref (self.photographs);
  free (self.folder);
  return 0;
}
