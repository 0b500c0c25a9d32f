/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"
#include "thumbnail-store.h"

/*
 * Finds the pictures among @filenames and in the folders among them, all the way down and always in
 * the same order. What is in the store of thumbnails is no picture. A folder that cannot be read is
 * in the result, failed; so is a name that leads nowhere.
 *
 * Returns: an array of Picture, each path in it once
 */
GPtrArray *picture_finder_find (const char * const   *filenames,
                                const ThumbnailStore *store);
