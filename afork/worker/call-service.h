/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "stream/call-stream.h"
#include "afork-call.h"

G_BEGIN_DECLS

/* The worker's end of calls: it receives them, has them served by the caller's function, and sends
 * what that says. There is at most one in a process, and it lasts until the process ends. */
typedef struct _AForkCallService AForkCallService;

/* These may be called from any thread. */
void      _afork_call_service_report (AForkCallService *self,
                                      guint32           number,
                                      GVariant         *progress);
void      _afork_call_service_answer (AForkCallService *self,
                                      guint32           number,
                                      GVariant         *value,
                                      GUnixFDList      *fds,
                                      GPtrArray        *blobs,
                                      const GError     *error);

/* While a call is served that is not concurrent, nobody listens to the caller. This sees to it that
 * somebody does, so that the call can be cancelled. False and an error if no thread can be made. */
gboolean  _afork_call_service_listen (AForkCallService  *self,
                                      GError           **error);

G_END_DECLS
