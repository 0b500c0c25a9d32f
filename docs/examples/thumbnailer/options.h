/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* The options of the user. */
typedef struct
{
  char    **size_names;       /* or NULL */
  guint     sizes;            /* a bit for each ThumbnailSize */
  int       n_jobs;
  int       timeout;          /* of processor time, in seconds */
  int       max_memory;       /* MB, or 0 for any amount */
  char     *output;           /* a directory, or NULL for that of the user */
  char     *contact_sheet;    /* a file, or NULL */
  char     *module;
  char    **hosts;            /* destinations of ssh, or NULL for workers here */
  char    **first;            /* or NULL */
  gboolean  fresh;
  gboolean  unconfined;
  gboolean  retry;
  gboolean  clean;
  gboolean  quiet;
  gboolean  verbose;
  gboolean  version;
  gboolean  help;
  char     *help_text;        /* if it is wanted, or NULL */
  char    **filenames;
} Options;

Options *options_parse (int       argc,
                        char    **argv,
                        GError  **error);
void     options_free  (Options   *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Options, options_free)
