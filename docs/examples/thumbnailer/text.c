/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "text.h"

#define ELLIPSIS             "…"
#define REPLACEMENT_CHARACTER 0xfffd

static char *
replace_controls (const char *text)
{
  g_autoptr(GString) result = g_string_new (NULL);

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      g_string_append_unichar (result, g_unichar_isprint (c) ? c : REPLACEMENT_CHARACTER);
    }

  return g_string_free (g_steal_pointer (&result), FALSE);
}

char *
text_from_bytes (const char *bytes,
                 gsize       size)
{
  g_autofree char *valid = g_utf8_make_valid (bytes, size);

  g_strchomp (valid);
  return replace_controls (valid);
}

char *
text_from_filename (const char *filename)
{
  g_autofree char *valid = g_filename_display_name (filename);

  return replace_controls (valid);
}

static guint
char_columns (gunichar c)
{
  return g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
}

guint
text_columns (const char *text)
{
  guint columns = 0;

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    columns += char_columns (g_utf8_get_char (p));

  return columns;
}

char *
text_ellipsize (const char *text,
                guint       columns)
{
  const char *p = text;
  guint used = 1;

  if (text_columns (text) <= columns)
    return g_strdup (text);
  if (columns == 0)
    return g_strdup ("");

  while (used + char_columns (g_utf8_get_char (p)) <= columns)
    {
      used += char_columns (g_utf8_get_char (p));
      p = g_utf8_next_char (p);
    }

  return g_strdup_printf ("%.*s" ELLIPSIS, (int) (p - text), text);
}
