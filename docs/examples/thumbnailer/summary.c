/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "summary.h"

#include "picture.h"

#define SHORTEST_TIME 0.01      /* seconds, below which a rate is meaningless */

/* Pictures that failed, or were left, for the same reason. */
typedef struct
{
  const char *cause;
  GPtrArray  *pictures;
} Failures;

static void
failures_free (gpointer data)
{
  Failures *self = data;

  g_ptr_array_unref (self->pictures);
  g_free (self);
}

static Failures *
find_or_add (GPtrArray  *groups,
             const char *cause)
{
  Failures *failures;

  for (guint i = 0; i < groups->len; i++)
    {
      failures = groups->pdata[i];
      if (g_str_equal (failures->cause, cause))
        return failures;
    }

  failures = g_new (Failures, 1);
  failures->cause = cause;
  failures->pictures = g_ptr_array_new ();
  g_ptr_array_add (groups, failures);
  return failures;
}

/* The most frequent reason first. */
static int
compare_failures (gconstpointer a,
                  gconstpointer b)
{
  const Failures *first = *(const Failures **) a;
  const Failures *second = *(const Failures **) b;

  if (first->pictures->len != second->pictures->len)
    return first->pictures->len > second->pictures->len ? -1 : 1;

  return g_strcmp0 (first->cause, second->cause);
}

static GPtrArray *
group_failures (GPtrArray *pictures)
{
  GPtrArray *groups = g_ptr_array_new_with_free_func (failures_free);

  for (guint i = 0; i < pictures->len; i++)
    {
      Picture *picture = pictures->pdata[i];

      if (picture->error != NULL)
        g_ptr_array_add (find_or_add (groups, picture->error->message)->pictures, picture);
    }

  g_ptr_array_sort (groups, compare_failures);
  return groups;
}

static void
print_failures (const Failures *failures,
                gboolean        with_names)
{
  g_print ("\n%s (%u)\n", failures->cause, failures->pictures->len);
  for (guint i = 0; with_names && i < failures->pictures->len; i++)
    g_print ("  %s\n", ((Picture *) failures->pictures->pdata[i])->name);
}

static guint
count (GPtrArray      *pictures,
       PictureOutcome  outcome)
{
  guint n = 0;

  for (guint i = 0; i < pictures->len; i++)
    n += ((Picture *) pictures->pdata[i])->outcome == outcome;

  return n;
}

void
summary_print (GPtrArray  *pictures,
               double      seconds,
               const char *workers,
               gboolean    with_names)
{
  g_autoptr(GPtrArray) groups = group_failures (pictures);
  guint n_done = count (pictures, PICTURE_DONE);
  guint n_left = count (pictures, PICTURE_LEFT);
  guint n_waiting = count (pictures, PICTURE_WAITING);

  if (pictures->len == 0)
    {
      g_print ("No pictures were found\n");
      return;
    }

  g_print ("%u done, %u reused, %u failed",
           n_done, count (pictures, PICTURE_REUSED), count (pictures, PICTURE_FAILED));
  if (n_left > 0)
    g_print (", %u left for later", n_left);
  if (n_waiting > 0)
    g_print (", %u not tried", n_waiting);
  g_print (" in %.2f s", seconds);
  if (n_done > 0 && seconds >= SHORTEST_TIME)
    g_print (", %.1f pictures/s", n_done / seconds);
  g_print ("\n");
  if (n_done > 0)
    g_print ("%s\n", workers);

  for (guint i = 0; i < groups->len; i++)
    print_failures (groups->pdata[i], with_names);
}

gboolean
summary_all_succeeded (GPtrArray *pictures)
{
  return count (pictures, PICTURE_FAILED) == 0 && count (pictures, PICTURE_LEFT) == 0;
}
