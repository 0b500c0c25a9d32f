/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* The position of a picture on a contact sheet. */
typedef struct
{
  double aspect;      /* width : height, set by the caller */
  int    x;
  int    y;
  int    width;
  int    height;
} SheetBox;

/* Places the pictures of BOXES on a sheet, in rows of about ROW_HEIGHT, with LABEL_HEIGHT free
 * below each row. */
void sheet_layout (SheetBox *boxes,
                   guint     n_boxes,
                   int       row_height,
                   int       label_height,
                   int      *sheet_width,
                   int      *sheet_height);
