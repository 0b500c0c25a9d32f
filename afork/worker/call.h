/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "call-service.h"

G_BEGIN_DECLS

/* Takes what MESSAGE, a CALL, has. */
AForkCall *_afork_call_new                  (AForkCallService *service,
                                             AForkCallMessage *message);
guint32    _afork_call_get_number           (AForkCall        *self);
/* For a queue of calls. */
GList     *_afork_call_get_link             (AForkCall        *self);
GVariant  *_afork_call_get_args             (AForkCall        *self);
gboolean   _afork_call_is_answered          (AForkCall        *self);

/* Whether the caller is to be told when the function is entered. */
gboolean   _afork_call_wants_begin_notified (AForkCall        *self);

/* The function is about to be entered. */
void       _afork_call_begin                (AForkCall        *self);
gboolean   _afork_call_is_begun             (AForkCall        *self);

/* The caller does not want the answer any more. */
void       _afork_call_cancel               (AForkCall        *self);

G_END_DECLS
