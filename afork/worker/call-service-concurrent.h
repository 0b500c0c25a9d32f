/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "call-service-io.h"

G_BEGIN_DECLS

/* Serves many calls at a time in the default main context, until all calls are answered and no more
 * will come. */
void _afork_call_service_serve_concurrently (AForkCallService *self);

G_END_DECLS
