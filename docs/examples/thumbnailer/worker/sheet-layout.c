/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "sheet-layout.h"

#include <math.h>

/* Rows of equal width, as in a printed album: pictures keep their proportions, have a gap between
 * them, and have the height of their row. The rows have about the requested height. */

#define MARGIN       24
#define GAP          8
#define SHEET_ASPECT 1.5
#define MAX_AREA     (6 * 1000 * 1000)      /* pixels, of all pictures together */

static double
sum_aspects (const SheetBox *boxes,
             guint           n_boxes)
{
  double sum = 0;

  for (guint i = 0; i < n_boxes; i++)
    sum += boxes[i].aspect;

  return sum;
}

/* How many of the boxes go into the first row, if @n_rows rows are to have the same length. */
static guint
count_row (const SheetBox *boxes,
           guint           n_boxes,
           guint           n_rows)
{
  double share = sum_aspects (boxes, n_boxes) / n_rows;
  double length = boxes[0].aspect;
  guint n = 1;

  while (n < n_boxes && (n_rows == 1 || length + boxes[n].aspect / 2 <= share))
    length += boxes[n++].aspect;

  return n;
}

/* Fits the boxes into a row and returns its height. */
static int
place_row (SheetBox *boxes,
           guint     n_boxes,
           int       y,
           int       width)
{
  double height = (width - GAP * (int) (n_boxes - 1)) / sum_aspects (boxes, n_boxes);
  double x = MARGIN;

  for (guint i = 0; i < n_boxes; i++)
    {
      double end = x + boxes[i].aspect * height;

      boxes[i].x = lround (x);
      boxes[i].y = y;
      boxes[i].width = MAX (1, lround (end) - lround (x));
      boxes[i].height = MAX (1, lround (height));
      x = end + GAP;
    }

  return boxes[0].height;
}

void
sheet_layout (SheetBox *boxes,
              guint     n_boxes,
              int       row_height,
              int       label_height,
              int      *sheet_width,
              int      *sheet_height)
{
  double aspects = sum_aspects (boxes, n_boxes);
  double height = MIN (row_height, sqrt (MAX_AREA / aspects));
  guint n_rows = MAX (1, lround (sqrt (aspects / SHEET_ASPECT)));
  int width = MAX (1, lround (height * aspects / n_rows));
  int y = MARGIN;

  for (guint first = 0; first < n_boxes; n_rows = MAX (n_rows - 1, 1))
    {
      guint n = count_row (boxes + first, n_boxes - first, n_rows);

      y += place_row (boxes + first, n, y, width) + label_height + GAP;
      first += n;
    }

  *sheet_width = width + 2 * MARGIN;
  *sheet_height = y - GAP + MARGIN;
}
