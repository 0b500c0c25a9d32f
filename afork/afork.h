/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#define AFORK_INSIDE
# include <afork/afork-bindings.h>
# include <afork/afork-call-queue.h>
# include <afork/afork-early.h>
# include <afork/afork-enum-types.h>
# include <afork/afork-enums.h>
# include <afork/afork-error.h>
# include <afork/afork-init.h>
# include <afork/afork-interrupt.h>
# include <afork/afork-job.h>
# include <afork/afork-map.h>
# include <afork/afork-pool.h>
# include <afork/afork-pool-worker.h>
# include <afork/afork-process.h>
# include <afork/afork-rpc.h>
# include <afork/afork-runtime.h>
# include <afork/afork-sandbox.h>
# include <afork/afork-sandbox-probe.h>
# include <afork/afork-server.h>
# include <afork/afork-types.h>
# include <afork/afork-version.h>
# include <afork/afork-version-macros.h>
# include <afork/worker/afork-call.h>
#undef AFORK_INSIDE
