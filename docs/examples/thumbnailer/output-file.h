/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* A file that appears complete or not at all. It is written under another name in the same
 * directory, and replaces the file at its path when it is committed. If it is freed before that, it
 * leaves nothing behind. */
typedef struct
{
  char *path;
  char *temporary;      /* NULL once committed */
  int   fd;
} OutputFile;

OutputFile *output_file_new    (const char  *path,
                                int          mode,
                                GError     **error);
gboolean    output_file_commit (OutputFile  *self,
                                GError     **error);
void        output_file_free   (OutputFile  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OutputFile, output_file_free)
