/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Text that a person reads, in that person's language. The catalogue is bound at the first use:
 * a constructor would do it in every process that merely loads the library. */
const char *_afork_gettext (const char *message) G_GNUC_FORMAT (1);

#define _(message) _afork_gettext (message)

G_END_DECLS
