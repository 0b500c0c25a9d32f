/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "afork-enums.h"
#include "wire/afork-confinement.h"

G_BEGIN_DECLS

/* Which filter. */
typedef struct
{
  AForkStage       stage;
  AForkSystemCalls system_calls;
  gboolean         network;     /* allowed; COMPUTE has none anyway */
  gboolean         files;       /* with COMPUTE: files may be opened, which another layer limits */
} AForkFilterKind;

/* Returns the instructions of the filter of KIND as `AForkFilter` has them, or NULL and sets errno.
 * It is ENOSYS if the library was built without libseccomp. ARCHITECTURE is an AUDIT_ARCH_… or 0
 * for that of this program; only that one is kept for the next call. Sets *GIVES to the effects. */
GBytes *_afork_filter_compile          (const AForkFilterKind *kind,
                                        guint32                architecture,
                                        guint32               *gives);

/* Whether a sandbox needs the filter of KIND. */
gboolean _afork_filter_is_needed       (const AForkFilterKind *kind);

guint32 _afork_filter_get_architecture (void);

/* Returns the name of a system call of this architecture, or its number as text. */
char   *_afork_filter_name_system_call (guint32                number);

G_END_DECLS
