/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "sheet-layout.h"

#include <math.h>

enum { LABEL = 15 };   /* pixels for a name */

static SheetBox *
make_boxes (guint n)
{
  SheetBox *boxes = g_new0 (SheetBox, n);

  for (guint i = 0; i < n; i++)
    boxes[i].aspect = g_test_rand_double_range (1 / 3.0, 3);

  return boxes;
}

static void
assert_inside (const SheetBox *box,
               int             width,
               int             height)
{
  g_assert_cmpint (box->x, >=, 0);
  g_assert_cmpint (box->y, >=, 0);
  g_assert_cmpint (box->width, >, 0);
  g_assert_cmpint (box->height, >, 0);
  g_assert_cmpint (box->x + box->width, <=, width);
  g_assert_cmpint (box->y + box->height + LABEL, <=, height);
}

/* Each box is to the right of the previous one, or begins a row below it. */
static void
assert_after (const SheetBox *box,
              const SheetBox *before)
{
  if (box->y == before->y)
    g_assert_cmpint (box->x, >, before->x + before->width);
  else
    g_assert_cmpint (box->y, >, before->y + before->height + LABEL);
}

static void
test_boxes (void)
{
  for (guint n = 1; n <= 400; n += 7)
    {
      g_autofree SheetBox *boxes = make_boxes (n);
      int width, height;

      sheet_layout (boxes, n, 80, LABEL, &width, &height);
      for (guint i = 0; i < n; i++)
        {
          assert_inside (&boxes[i], width, height);
          if (i > 0)
            assert_after (&boxes[i], &boxes[i - 1]);
        }
    }
}

static void
test_aspect_is_kept (void)
{
  g_autofree SheetBox *boxes = make_boxes (50);
  int width, height;

  sheet_layout (boxes, 50, 80, LABEL, &width, &height);
  for (guint i = 0; i < 50; i++)
    g_assert_cmpfloat (fabs (boxes[i].width - boxes[i].aspect * boxes[i].height), <=, 3);
}

static void
test_size_is_bounded (void)
{
  g_autofree SheetBox *boxes = make_boxes (400);
  int width, height;

  sheet_layout (boxes, 400, 1024, LABEL, &width, &height);
  g_assert_cmpint (width, <, 5000);
  g_assert_cmpint (height, <, 5000);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/sheet-layout/boxes", test_boxes);
  g_test_add_func ("/sheet-layout/aspect-is-kept", test_aspect_is_kept);
  g_test_add_func ("/sheet-layout/size-is-bounded", test_size_is_bounded);

  return g_test_run ();
}
