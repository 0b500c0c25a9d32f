/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

#include <unistd.h>

static const struct
{
  const char    *name;
  AForkCallFunc  function;
  const char    *type;          /* of the arguments */
} kinds[] = {
  { "thumbnail", thumbnail, "(hsa(hu)a{ss})" },
  { "record-failure", record_failure, "(ha{ss})" },
  { "contact-sheet", contact_sheet, "(hu)" },
  { "types", types, "()" },
};

/* If another worker has crashed with the same files, they are as that left them. */
static void
rewind_files (AForkCall *call)
{
  GUnixFDList *files = afork_call_get_fds (call);
  int n_files = files != NULL ? g_unix_fd_list_get_length (files) : 0;

  for (int i = 0; i < n_files; i++)
    lseek (g_unix_fd_list_peek_fds (files, NULL)[i], 0, SEEK_SET);
}

GVariant *
work (AForkCall  *call,
      GVariant   *args,
      GError    **error)
{
  g_autoptr(GVariant) value = NULL;
  const char *name;

  g_variant_get (args, "(&sv)", &name, &value);
  rewind_files (call);
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_str_equal (kinds[i].name, name)
        && g_variant_is_of_type (value, G_VARIANT_TYPE (kinds[i].type)))
      return kinds[i].function (call, value, error);

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "There is no work “%s”", name);
  return NULL;
}
