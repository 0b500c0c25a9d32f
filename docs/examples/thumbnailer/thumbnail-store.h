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

/* The sizes of the standard, NULL-terminated, and the longest side of each in pixels, or 0. */
extern const char * const  thumbnail_size_names[];
guint           thumbnail_size_get_pixels      (const char            *size_name);

/* @root: (nullable): the directory, or NULL for that of the user */
ThumbnailStore *thumbnail_store_new            (const char            *root,
                                                const char            *size_name,
                                                GError               **error);
void            thumbnail_store_free           (ThumbnailStore        *self);

gboolean        thumbnail_store_contains       (const ThumbnailStore  *self,
                                                const char            *filename);

/* These need a picture that was opened. A thumbnail, or the record of a failure, is valid as long
 * as the picture was not changed. */
char           *thumbnail_store_find           (const ThumbnailStore  *self,
                                                const Picture         *picture);
char           *thumbnail_store_find_failure   (const ThumbnailStore  *self,
                                                const Picture         *picture);
OutputFile     *thumbnail_store_create         (const ThumbnailStore  *self,
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

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ThumbnailStore, thumbnail_store_free)
