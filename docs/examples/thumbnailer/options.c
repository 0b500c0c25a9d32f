/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "options.h"

#include "thumbnail-store.h"

#include <string.h>

#define MAX_JOBS        100     /* each takes some descriptors */
#define MAX_MEMORY      (1 << 20)
#define DEFAULT_TIMEOUT 30      /* seconds */
#define MAX_TIMEOUT     (24 * 60 * 60)

/* Returns the entries, up to one without a name, to be freed. */
static GOptionEntry *
make_entries (Options *self)
{
  const GOptionEntry entries[] = {
    { "size", 's', 0, G_OPTION_ARG_STRING_ARRAY, &self->size_names,
      "normal, large, x-large or xx-large: at most 128, 256, 512 or 1024 pixels a side; several, "
      "with commas between them, cost one decoding", "SIZE" },
    { "jobs", 'j', 0, G_OPTION_ARG_INT, &self->n_jobs,
      "Pictures worked on at once, on each host; as many as there are processors here if not given",
      "N" },
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
    { "clean", 'C', 0, G_OPTION_ARG_NONE, &self->clean,
      "First remove thumbnails whose pictures are gone", NULL },
    { "timeout", 't', 0, G_OPTION_ARG_INT, &self->timeout,
      "Processor time for one picture, and a tenth of the longest time at all", "SECONDS" },
    { "unconfined", 'U', 0, G_OPTION_ARG_NONE, &self->unconfined,
      "Do not confine workers: where the system cannot, or for pictures that you trust", NULL },
    { "module", 'm', 0, G_OPTION_ARG_FILENAME, &self->module,
      "Worker module to use in place of our own", "MODULE" },
    { "host", 'H', 0, G_OPTION_ARG_STRING_ARRAY, &self->hosts,
      "Decode on this host, over ssh, as many pictures at once as --jobs says; may be given again",
      "DEST" },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &self->quiet,
      "Print failures only", NULL },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &self->verbose,
      "Let workers say what they have to say", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &self->version,
      "Print the version", NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &self->help,
      "Print this summary of the options", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &self->filenames, NULL, NULL },
    { NULL }
  };

  return g_memdup2 (entries, sizeof entries);
}

static gboolean
takes_value (const GOptionEntry *entry)
{
  return entry->arg != G_OPTION_ARG_NONE;
}

static gboolean
is_long_with_value (const GOptionEntry *entries,
                    const char         *argument)
{
  if (!g_str_has_prefix (argument, "--"))
    return FALSE;

  for (; entries->long_name != NULL; entries++)
    if (takes_value (entries) && g_str_equal (entries->long_name, argument + strlen ("--")))
      return TRUE;
  return FALSE;
}

static gboolean
is_short_with_value (const GOptionEntry *entries,
                     char                name)
{
  for (; entries->long_name != NULL; entries++)
    if (takes_value (entries) && entries->short_name == name)
      return TRUE;
  return FALSE;
}

/* Returns the first short option in ARGUMENT that takes a value, or NULL. */
static const char *
find_short_with_value (const GOptionEntry *entries,
                       const char         *argument)
{
  if (argument[0] != '-' || argument[1] == '-')
    return NULL;

  for (const char *p = argument + 1; *p != '\0'; p++)
    if (is_short_with_value (entries, *p))
      return p;
  return NULL;
}

/* GLib takes the value of a short option only from the next argument, so it gets “-rj4” in two. A
 * value is left as it is, whatever it looks like. */
static char **
split_short_options (const GOptionEntry *entries,
                     int                 argc,
                     char              **argv)
{
  GPtrArray *split = g_ptr_array_new ();
  gboolean is_value = TRUE;     /* the name of the program is no option either */

  for (int i = 0; i < argc; i++)
    {
      const char *option = is_value ? NULL : find_short_with_value (entries, argv[i]);
      gsize length = 0;

      if (!is_value && g_str_equal (argv[i], "--"))
        {
          for (; i < argc; i++)
            g_ptr_array_add (split, g_strdup (argv[i]));
          break;
        }

      if (option != NULL && option[1] != '\0')
        {
          length = (gsize) (option + 1 - argv[i]);
          g_ptr_array_add (split, g_strndup (argv[i], length));
        }
      g_ptr_array_add (split, g_strdup (argv[i] + length));
      is_value = !is_value && ((option != NULL && option[1] == '\0')
                               || is_long_with_value (entries, argv[i]));
    }

  g_ptr_array_add (split, NULL);
  return (char **) g_ptr_array_free (split, FALSE);
}

static gboolean
parse_sizes (Options     *self,
             const char  *names,
             GError     **error)
{
  /* For an empty string, which is no size, g_strsplit() would return nothing. */
  g_auto(GStrv) each = g_strsplit (names[0] != '\0' ? names : ",", ",", -1);

  for (gsize i = 0; each[i] != NULL; i++)
    {
      ThumbnailSize size;

      if (!thumbnail_size_parse (each[i], &size))
        {
          g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                       "There is no size “%s”", each[i]);
          return FALSE;
        }
      self->sizes |= 1u << size;
    }

  return TRUE;
}

static gboolean
parse_all_sizes (Options  *self,
                 GError  **error)
{
  for (gsize i = 0; self->size_names != NULL && self->size_names[i] != NULL; i++)
    if (!parse_sizes (self, self->size_names[i], error))
      return FALSE;

  if (self->sizes == 0)
    self->sizes = 1u << THUMBNAIL_SIZE_NORMAL;
  return TRUE;
}

static gboolean
has_empty (char **names)
{
  return names != NULL && g_strv_contains ((const char * const *) names, "");
}

static gboolean
check (const Options  *self,
       GError        **error)
{
  if (self->n_jobs < 1 || self->n_jobs > MAX_JOBS)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "There can be 1 to %d jobs", MAX_JOBS);
  else if (self->timeout < 1 || self->timeout > MAX_TIMEOUT)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "The time for a picture has to be at least one second, and at most a day");
  else if (self->max_memory < 0 || self->max_memory > MAX_MEMORY)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                 "A process can have up to %d MB", MAX_MEMORY);
  else if (self->filenames == NULL && self->first == NULL && !self->version && !self->clean)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "No folder was given");
  else if (has_empty (self->filenames) || has_empty (self->first))
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "The name of a folder is empty");
  else if (g_strcmp0 (self->output, "") == 0)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "The name of the folder of thumbnails is empty");
  else if (g_strcmp0 (self->contact_sheet, "") == 0)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                         "The name of the contact sheet is empty");
  else
    return TRUE;

  return FALSE;
}

Options *
options_parse (int       argc,
               char    **argv,
               GError  **error)
{
  g_autoptr(Options) self = g_new0 (Options, 1);
  g_autofree GOptionEntry *entries = make_entries (self);
  g_auto(GStrv) arguments = split_short_options (entries, argc, argv);
  g_autoptr(GOptionContext) context =
    g_option_context_new ("FOLDER… — make thumbnails of pictures");

  self->n_jobs = MIN (g_get_num_processors (), MAX_JOBS);
  self->timeout = DEFAULT_TIMEOUT;

  /* GLib would exit after its help with status 0, whether or not it could be printed. */
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse_strv (context, &arguments, error))
    return NULL;
  if (self->help)
    {
      self->help_text = g_option_context_get_help (context, TRUE, NULL);
      return g_steal_pointer (&self);
    }

  if (!parse_all_sizes (self, error))
    return NULL;
  if (self->module == NULL)
    self->module = g_strdup ("thumbnail-worker");

  return check (self, error) ? g_steal_pointer (&self) : NULL;
}

void
options_free (Options *self)
{
  g_strfreev (self->size_names);
  g_free (self->output);
  g_free (self->contact_sheet);
  g_free (self->module);
  g_strfreev (self->hosts);
  g_strfreev (self->first);
  g_strfreev (self->filenames);
  g_free (self->help_text);
  g_free (self);
}
