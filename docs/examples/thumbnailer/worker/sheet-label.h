/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

#include "sheet-layout.h"

/* Draws the names of pictures. */
typedef struct _SheetLabel SheetLabel;

/* For a sheet with rows of this height. */
SheetLabel *sheet_label_new        (int             row_height);
void        sheet_label_free       (SheetLabel     *self);

/* Returns how many pixels a name needs below its picture. */
int         sheet_label_get_height (SheetLabel     *self);

/* Draws NAME on SHEET, below the picture in BOX and not wider than it. If there is no room for all
 * of it, an ellipsis takes the place of its middle. */
void        sheet_label_draw       (SheetLabel     *self,
                                    GdkPixbuf      *sheet,
                                    const SheetBox *box,
                                    const char     *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SheetLabel, sheet_label_free)
