/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "call-service-io.h"

G_BEGIN_DECLS

/* Serves one call after the other, until all calls are answered and no more will come. */
void     _afork_call_service_serve_sequentially (AForkCallService  *self);

/* Nothing is received while a call is served. This starts a thread that receives meanwhile, so that
 * the call can be cancelled. DATA is the service. Returns FALSE and sets ERROR if the thread cannot
 * be started. May be called from any thread. */
gboolean _afork_call_service_listen             (gpointer           data,
                                                 GError           **error);

G_END_DECLS
