/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Checks in steps whether serialized values are in normal form. g_variant_is_normal_form() does it
 * in one step, which takes seconds for values of some MiB, and milliseconds for some of a few KiB,
 * because GLib parses each type inside a value again. */
typedef struct _AForkNormalCheck AForkNormalCheck;

typedef enum
{
  AFORK_NORMAL_CHECK_UNFINISHED,
  AFORK_NORMAL_CHECK_NORMAL,
  AFORK_NORMAL_CHECK_NOT_NORMAL,      /* or nested too deeply */
  AFORK_NORMAL_CHECK_TOO_COMPLEX,     /* a type inside the value is */
  AFORK_NORMAL_CHECK_NO_MEMORY,
} AForkNormalCheckResult;

/* Whether the length of TYPE, which is valid, times its levels of nesting is within the limit of
 * messages. */
gboolean                _afork_type_is_simple       (const char       *type);

AForkNormalCheck       *_afork_normal_check_new     (void);
void                    _afork_normal_check_free    (AForkNormalCheck *self);

/* Begins a check. TYPE is valid, definite and simple. TYPE and DATA, which are little-endian, must
 * stay until it is finished, or until another one begins. */
void                    _afork_normal_check_begin   (AForkNormalCheck *self,
                                                     const char       *type,
                                                     gconstpointer     data,
                                                     gsize             size);
/* Goes on for some tenths of a millisecond. */
AForkNormalCheckResult  _afork_normal_check_go_on   (AForkNormalCheck *self);

/* Checks all at once. */
AForkNormalCheckResult  _afork_normal_check_run     (AForkNormalCheck *self,
                                                     const char       *type,
                                                     gconstpointer     data,
                                                     gsize             size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkNormalCheck, _afork_normal_check_free)

G_END_DECLS
