/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* A file that appears complete or not at all. It is written without a name, or under another
 * name in the same directory, and replaces the file at its path when it is committed. If it is
 * freed before that, it leaves nothing behind. The descriptor may be shared: the position of all
 * copies is the end of the file when it is committed. */
typedef struct
{
  char    *path;
  char    *temporary;   /* its name until it is committed, or NULL if it has none */
  int      fd;
  gboolean owns_fd;     /* and closes it when it is freed */
} OutputFile;

OutputFile *output_file_new     (const char  *path,
                                 int          mode,
                                 GError     **error);
/* The same. Sets errno if it fails. */
OutputFile *output_file_try_new (const char  *path,
                                 int          mode);
/* Returns the descriptor, which is the caller's from now on. It must stay open until the file is
 * committed or freed. */
int         output_file_give_fd (OutputFile  *self);
gboolean    output_file_commit  (OutputFile  *self,
                                 GError     **error);
void        output_file_free    (OutputFile  *self);

/* These say that the file at PATH could not be written, and why. */
void        output_file_set_error (GError     **error,
                                   const char  *path,
                                   int          code,
                                   const char  *cause);
void        output_file_set_errno (GError     **error,
                                   const char  *path,
                                   int          error_number);

/* Removes what processes that were killed have left in FOLDER: files for names that end with
 * SUFFIX, and that were not changed since the time BEFORE, in seconds. What a process still writes
 * stays. */
void        output_file_sweep   (const char  *folder,
                                 const char  *suffix,
                                 gint64       before);

/* Removes what processes of this user that were killed have left of a file at PATH. What a process
 * still writes stays. */
void        output_file_sweep_for (const char *path);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OutputFile, output_file_free)
