/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"

/*
 * What a thumbnail says of the picture it was made from. The worker adds what only it can know: the
 * picture's size in pixels and its type.
 */

#define THUMBNAILER_ID "afork-thumbnailer-" THUMBNAILER_VERSION

/* They as `a{ss}`, floating. @cause is why there is no thumbnail, or NULL. */
GVariant *thumbnail_keys_new       (const Picture *picture,
                                    const char    *cause);

/* Whether the texts of a file are about @picture as it is now. */
gboolean  thumbnail_keys_match     (GHashTable    *texts,
                                    const Picture *picture);

char     *thumbnail_keys_dup_cause (GHashTable    *texts);
