/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "options.h"

#include "thumbnail-store.h"

#define MAX_JOBS        100     /* each takes some descriptors */
#define MAX_MEMORY      (1 << 20)
#define DEFAULT_TIMEOUT 30      /* seconds */

static GOptionContext *
make_context (Options *self)
{
  const GOptionEntry entries[] = {
    { "size", 's', 0, G_OPTION_ARG_STRING, &self->size,
      "normal, large, x-large or xx-large: at most 128, 256, 512 or 1024 pixels a side", "SIZE" },
    { "jobs", 'j', 0, G_OPTION_ARG_INT, &self->n_jobs,
      "Pictures worked on at once; as many as there are processors if not given", "N" },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self->output,
      "Folder of thumbnails; the one that all programs share if not given", "DIR" },
    { "contact-sheet", 'c', 0, G_OPTION_ARG_FILENAME, &self->contact_sheet,
      "Draw all thumbnails on one sheet, too", "FILE.png" },
    { "retry", 'r', 0, G_OPTION_ARG_NONE, &self->retry,
      "Try pictures again that failed before", NULL },
    { "first", 'f', 0, G_OPTION_ARG_FILENAME_ARRAY, &self->first,
      "Pictures or folders that come first, such as those in view; may be given again", "FILE" },
    { "fresh", 'F', 0, G_OPTION_ARG_NONE, &self->fresh,
      "A fresh process for each picture", NULL },
    { "max-memory", 'M', 0, G_OPTION_ARG_INT, &self->max_memory,
      "Replace a process that has more memory than this after a picture", "MB" },
    { "timeout", 't', 0, G_OPTION_ARG_INT, &self->timeout,
      "The longest time for one picture", "SECONDS" },
    { "module", 'm', 0, G_OPTION_ARG_FILENAME, &self->module,
      "Worker module to use in place of our own", "MODULE" },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &self->verbose,
      "Let workers say what they have to say", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &self->version,
      "Print the version", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->filenames, NULL, NULL },
    { NULL }
  };
  GOptionContext *context = g_option_context_new ("FOLDER… — make thumbnails of pictures");

  g_option_context_add_main_entries (context, entries, NULL);
  return context;
}

static gboolean
check (const Options  *self,
       GError        **error)
{
  if (thumbnail_size_get_pixels (self->size) == 0)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "There is no size “%s”", self->size);
  else if (self->n_jobs < 1 || self->n_jobs > MAX_JOBS)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "There can be 1 to %d jobs", MAX_JOBS);
  else if (self->timeout < 1)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "The time for a picture has to be at least one second");
  else if (self->max_memory < 0 || self->max_memory > MAX_MEMORY)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "A process can have up to %d MB", MAX_MEMORY);
  else if (self->filenames == NULL && self->first == NULL && !self->version)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "No folder was given");
  else
    return TRUE;

  return FALSE;
}

Options *
options_parse (int      *argc,
               char   ***argv,
               GError  **error)
{
  g_autoptr(Options) self = g_new0 (Options, 1);
  g_autoptr(GOptionContext) context = make_context (self);

  self->n_jobs = MIN (g_get_num_processors (), MAX_JOBS);
  self->timeout = DEFAULT_TIMEOUT;

  if (!g_option_context_parse (context, argc, argv, error))
    return NULL;

  if (self->size == NULL)
    self->size = g_strdup ("normal");
  if (self->module == NULL)
    self->module = g_strdup ("thumbnail-worker");

  return check (self, error) ? g_steal_pointer (&self) : NULL;
}

void
options_free (Options *self)
{
  g_free (self->size);
  g_free (self->output);
  g_free (self->contact_sheet);
  g_free (self->module);
  g_strfreev (self->first);
  g_strfreev (self->filenames);
  g_free (self);
}
