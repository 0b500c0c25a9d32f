/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"
#include "thumbnail-store.h"

/* Finds the pictures among @filenames and in the directories among them, recursively and always in
 * the same order. Those of @first come before these, and have a higher priority. Files in the store
 * of thumbnails are not pictures, and neither are those in the folder of thumbnails that all
 * programs share, and in folders `.sh_thumbnails`, unless these are among @filenames. A
 * directory that cannot be read is in the result, as failed; so is a name of a missing file.
 *
 * @first: (nullable): files and directories
 * @filenames: (nullable): files and directories
 *
 * Returns: an array of Picture, each path in it once */
GPtrArray *picture_finder_find (const char * const   *first,
                                const char * const   *filenames,
                                const ThumbnailStore *store);
