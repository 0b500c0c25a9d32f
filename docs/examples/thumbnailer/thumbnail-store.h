/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "output-file.h"
#include "picture.h"

#include <gio/gio.h>

/* A directory of thumbnails that all programs share, as in the freedesktop.org standard for
 * managing thumbnails: https://specifications.freedesktop.org/thumbnail-spec/latest/ */
typedef struct _ThumbnailStore ThumbnailStore;

/* The sizes of the standard. */
typedef enum
{
  THUMBNAIL_SIZE_NORMAL,
  THUMBNAIL_SIZE_LARGE,
  THUMBNAIL_SIZE_X_LARGE,
  THUMBNAIL_SIZE_XX_LARGE,
  N_THUMBNAIL_SIZES
} ThumbnailSize;

gboolean        thumbnail_size_parse           (const char            *name,
                                                ThumbnailSize         *size);
/* Returns the longest side in pixels. */
guint           thumbnail_size_get_pixels      (ThumbnailSize          size);
const char     *thumbnail_size_get_name        (ThumbnailSize          size);

/* The directory itself cannot be written to. The message is the same for all pictures. */
#define THUMBNAIL_STORE_ERROR (thumbnail_store_error_quark ())
GQuark          thumbnail_store_error_quark    (void);

/* ROOT is the directory, or NULL for that of the user. SIZES has a bit for each size that is
 * wanted. */
ThumbnailStore *thumbnail_store_new            (const char            *root,
                                                guint                  sizes,
                                                GError               **error);
void            thumbnail_store_free           (ThumbnailStore        *self);
gboolean        thumbnail_store_wants          (const ThumbnailStore  *self,
                                                ThumbnailSize          size);

/* Removes thumbnails, and records of failures, of pictures that are gone. Those on a medium that
 * may only be absent stay. Returns how many were removed. */
guint           thumbnail_store_clean          (const ThumbnailStore  *self);

/* The same for pictures whose URIs begin with one of BASE_URIS, and that were changed before SINCE,
 * in seconds since the epoch, whether or not they are there. */
guint           thumbnail_store_clean_below    (const ThumbnailStore  *self,
                                                const char * const    *base_uris,
                                                gint64                 since);

/* Whether there is a thumbnail of the picture with URI, valid or not. */
gboolean        thumbnail_store_has            (const ThumbnailStore  *self,
                                                ThumbnailSize          size,
                                                const char            *uri);
/* Removes the thumbnails of all sizes, and the record of a failure. */
void            thumbnail_store_remove         (const ThumbnailStore  *self,
                                                const char            *uri);

gboolean        thumbnail_store_contains       (const ThumbnailStore  *self,
                                                const char            *filename);

/* These need a picture that was opened. A thumbnail, or the record of a failure, is valid as
 * long as the picture was not changed. A thumbnail may also be beside the picture, where the
 * standard has those that users share. */
char           *thumbnail_store_find           (const ThumbnailStore  *self,
                                                ThumbnailSize          size,
                                                const Picture         *picture);
/* A failure for want of processor time does not count if CPU_TIME, in seconds, is more. */
char           *thumbnail_store_find_failure   (const ThumbnailStore  *self,
                                                const Picture         *picture,
                                                guint                  cpu_time);
OutputFile     *thumbnail_store_create         (const ThumbnailStore  *self,
                                                ThumbnailSize          size,
                                                const Picture         *picture,
                                                GError               **error);
OutputFile     *thumbnail_store_create_failure (const ThumbnailStore  *self,
                                                const Picture         *picture,
                                                GError               **error);

/* Puts a file in its place, unless it does not conform to the standard. A thumbnail removes the
 * record of an earlier failure. */
gboolean        thumbnail_store_commit         (const ThumbnailStore  *self,
                                                const Picture         *picture,
                                                OutputFile            *output,
                                                GError               **error);

/* Says first that the directory cannot be used, if ERROR does not: there is no space, for one. */
void            thumbnail_store_prefix_error   (const ThumbnailStore  *self,
                                                GError               **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ThumbnailStore, thumbnail_store_free)
