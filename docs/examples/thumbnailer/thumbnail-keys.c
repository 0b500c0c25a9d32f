/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-keys.h"

#include "text.h"

#include <string.h>

#define KEY_URI      "Thumb::URI"
#define KEY_MTIME    "Thumb::MTime"
#define KEY_SIZE     "Thumb::Size"
#define KEY_SOFTWARE "Software"
#define KEY_CAUSE    "Comment"
#define KEY_LIMIT    "X-AFork::CPUTime"

static void
add_number (GVariantBuilder *keys,
            const char      *key,
            gint64           number)
{
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, number);

  g_variant_builder_add (keys, "{ss}", key, text);
}

GVariant *
thumbnail_keys_new (const Picture *picture,
                    const char    *cause,
                    guint          limit)
{
  g_auto(GVariantBuilder) keys = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));

  g_variant_builder_add (&keys, "{ss}", KEY_URI, picture->uri);
  add_number (&keys, KEY_MTIME, picture->mtime);
  add_number (&keys, KEY_SIZE, picture->size);
  g_variant_builder_add (&keys, "{ss}", KEY_SOFTWARE, THUMBNAILER_ID);

  if (cause != NULL)
    {
      g_autofree char *ascii = g_str_to_ascii (cause, "C");

      g_variant_builder_add (&keys, "{ss}", KEY_CAUSE, ascii);
    }

  if (limit > 0)
    add_number (&keys, KEY_LIMIT, limit);

  return g_variant_builder_end (&keys);
}

/* It has no URI, unlike a thumbnail. */
GVariant *
thumbnail_keys_new_for_sheet (void)
{
  g_auto(GVariantBuilder) keys = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));

  g_variant_builder_add (&keys, "{ss}", KEY_SOFTWARE, THUMBNAILER_ID);
  return g_variant_builder_end (&keys);
}

gboolean
thumbnail_keys_are_of_sheet (GHashTable *texts)
{
  const char *software = g_hash_table_lookup (texts, KEY_SOFTWARE);

  return software != NULL && g_str_has_prefix (software, THUMBNAILER_NAME "-")
         && !g_hash_table_contains (texts, KEY_URI);
}

static gboolean
match_number (GHashTable *texts,
              const char *key,
              gint64      number)
{
  g_autofree char *expected = g_strdup_printf ("%" G_GINT64_FORMAT, number);

  return g_strcmp0 (g_hash_table_lookup (texts, key), expected) == 0;
}

/* Not every program writes the size of the picture in bytes. */
gboolean
thumbnail_keys_match (GHashTable    *texts,
                      const char    *uri,
                      const Picture *picture)
{
  return g_strcmp0 (thumbnail_keys_get_uri (texts), uri) == 0
         && match_number (texts, KEY_MTIME, picture->mtime)
         && (!g_hash_table_contains (texts, KEY_SIZE)
             || match_number (texts, KEY_SIZE, picture->size));
}

const char *
thumbnail_keys_get_uri (GHashTable *texts)
{
  return g_hash_table_lookup (texts, KEY_URI);
}

gint64
thumbnail_keys_get_mtime (GHashTable *texts)
{
  const char *text = g_hash_table_lookup (texts, KEY_MTIME);
  gint64 mtime;

  return text != NULL && g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, &mtime, NULL)
    ? mtime : G_MAXINT64;
}

char *
thumbnail_keys_dup_cause (GHashTable *texts)
{
  const char *cause = g_hash_table_lookup (texts, KEY_CAUSE);

  return cause != NULL ? text_from_bytes (cause, strlen (cause)) : g_strdup ("the cause is lost");
}

guint
thumbnail_keys_get_limit (GHashTable *texts)
{
  const char *text = g_hash_table_lookup (texts, KEY_LIMIT);
  guint64 limit;

  return text != NULL && g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT, &limit, NULL)
    ? (guint) limit : 0;
}
