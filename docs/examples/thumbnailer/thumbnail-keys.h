/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"

/* Texts in a thumbnail about its picture. The worker adds those that only it knows: the size of the
 * picture in pixels and its type. */

#define THUMBNAILER_NAME "afork-thumbnailer"
#define THUMBNAILER_ID   THUMBNAILER_NAME "-" THUMBNAILER_VERSION

/* Returns them as `a{ss}`, floating. CAUSE is why there is no thumbnail, or NULL. LIMIT is the
 * processor time in seconds that the picture has had, if more may do, or 0. */
GVariant   *thumbnail_keys_new       (const Picture *picture,
                                      const char    *cause,
                                      guint          limit);

/* The same for a contact sheet, and whether the texts are those of one, of any version. */
GVariant   *thumbnail_keys_new_for_sheet (void);
gboolean    thumbnail_keys_are_of_sheet  (GHashTable *texts);

/* Whether the texts of a file are about URI, and about PICTURE as it is now. URI is that of the
 * picture, or its relative form in a thumbnail that users share. */
gboolean    thumbnail_keys_match     (GHashTable    *texts,
                                      const char    *uri,
                                      const Picture *picture);

/* Returns the URI, or NULL. */
const char *thumbnail_keys_get_uri   (GHashTable    *texts);
/* Returns when the picture was changed, in seconds since the epoch, or G_MAXINT64. */
gint64      thumbnail_keys_get_mtime (GHashTable    *texts);
char       *thumbnail_keys_dup_cause (GHashTable    *texts);
guint       thumbnail_keys_get_limit (GHashTable    *texts);
