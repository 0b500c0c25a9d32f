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

static void
send_number (AForkProcess *process,
             const char   *key,
             gint64        number)
{
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, number);

  afork_process_send_arg (process, key);
  afork_process_send_arg (process, text);
}

static void
send_text (AForkProcess *process,
           const char   *key,
           const char   *text)
{
  afork_process_send_arg (process, key);
  afork_process_send_arg (process, text);
}

void
thumbnail_keys_send (AForkProcess  *process,
                     const Picture *picture,
                     const char    *cause)
{
  send_text (process, KEY_URI, picture->uri);
  send_number (process, KEY_MTIME, picture->mtime);
  send_number (process, KEY_SIZE, picture->size);
  send_text (process, KEY_SOFTWARE, THUMBNAILER_ID);

  if (cause != NULL)
    {
      g_autofree char *ascii = g_str_to_ascii (cause, "C");

      send_text (process, KEY_CAUSE, ascii);
    }
}

static gboolean
match_number (GHashTable *texts,
              const char *key,
              gint64      number)
{
  g_autofree char *expected = g_strdup_printf ("%" G_GINT64_FORMAT, number);

  return g_strcmp0 (g_hash_table_lookup (texts, key), expected) == 0;
}

/* Not every program says how large the picture was in bytes. */
gboolean
thumbnail_keys_match (GHashTable    *texts,
                      const Picture *picture)
{
  return g_strcmp0 (g_hash_table_lookup (texts, KEY_URI), picture->uri) == 0
         && match_number (texts, KEY_MTIME, picture->mtime)
         && (!g_hash_table_contains (texts, KEY_SIZE)
             || match_number (texts, KEY_SIZE, picture->size));
}

char *
thumbnail_keys_dup_cause (GHashTable *texts)
{
  const char *cause = g_hash_table_lookup (texts, KEY_CAUSE);

  return cause != NULL ? text_from_bytes (cause, strlen (cause)) : g_strdup ("the cause is lost");
}
