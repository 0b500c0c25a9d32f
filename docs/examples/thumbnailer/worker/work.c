/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

static const struct
{
  const char *name;
  GVariant *(*function) (WorkFile  *files,
                         guint      n_files,
                         GVariant  *args,
                         GError   **error);
  const char *type;             /* of the arguments */
} kinds[] = {
  { "thumbnail", thumbnail, "(hsa(hu)a{ss})" },
  { "record-failure", record_failure, "(ha{ss})" },
  { "contact-sheet", contact_sheet, "(huasa{ss})" },
  { "types", types, "()" },
};

/* Returns the files of a call, in an array of WorkFile. If another worker has crashed with the same
 * files, they are as that left them. */
static GArray *
take_files (AForkCall *call)
{
  GArray *files = g_array_new (FALSE, FALSE, sizeof (WorkFile));
  GUnixFDList *fds = afork_call_get_fds (call);
  const int n_fds = fds != NULL ? g_unix_fd_list_get_length (fds) : 0;
  GBytes **blobs;
  gsize n_blobs;

  g_array_set_clear_func (files, (GDestroyNotify) work_file_clear);
  for (int i = 0; i < n_fds; i++)
    {
      WorkFile file = WORK_FILE_FOR_FD (g_unix_fd_list_peek_fds (fds, NULL)[i]);

      work_file_rewind (&file);
      g_array_append_val (files, file);
    }

  blobs = afork_call_get_blobs (call, &n_blobs);
  for (gsize i = 0; i < n_blobs; i++)
    {
      WorkFile file = work_file_for_bytes (blobs[i]);

      g_array_append_val (files, file);
    }

  return files;
}

/* Returns what was written to files in memory with the result of CALL. */
static void
return_files (AForkCall *call,
              GArray    *files)
{
  for (guint i = 0; i < files->len; i++)
    {
      WorkFile *file = &g_array_index (files, WorkFile, i);
      g_autoptr(GBytes) bytes = NULL;

      if (file->written == NULL)
        continue;
      bytes = g_byte_array_free_to_bytes (g_steal_pointer (&file->written));
      afork_call_add_result_blob (call, bytes);
    }
}

/* Whether all indexes of files in VALUE are those of files that have come. */
static gboolean
has_files (GVariant *value,
           guint     n_files)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_HANDLE))
    return g_variant_get_handle (value) >= 0 && (guint) g_variant_get_handle (value) < n_files;

  for (gsize i = 0; g_variant_is_container (value) && i < g_variant_n_children (value); i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (value, i);

      if (!has_files (child, n_files))
        return FALSE;
    }

  return TRUE;
}

GVariant *
work (AForkCall  *call,
      GVariant   *args,
      GError    **error)
{
  g_autoptr(GArray) files = take_files (call);
  g_autoptr(GVariant) value = NULL;
  const char *name;

  g_variant_get (args, "(&sv)", &name, &value);
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_str_equal (kinds[i].name, name)
        && g_variant_is_of_type (value, G_VARIANT_TYPE (kinds[i].type))
        && has_files (value, files->len))
      {
        GVariant *result = kinds[i].function ((WorkFile *) files->data, files->len, value, error);

        if (result != NULL)
          return_files (call, files);
        return result;
      }

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "There is no work “%s”", name);
  return NULL;
}
