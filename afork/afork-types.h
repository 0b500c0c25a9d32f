/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

G_BEGIN_DECLS

/* Classes that name each other. */
typedef struct _AForkProcess AForkProcess;
typedef struct _AForkRuntime AForkRuntime;
typedef struct _AForkJob     AForkJob;
typedef struct _AForkRpc     AForkRpc;
typedef struct _AForkPool    AForkPool;
typedef struct _AForkMap     AForkMap;
typedef struct _AForkSandbox AForkSandbox;

G_END_DECLS
