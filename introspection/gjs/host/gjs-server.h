/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>

G_BEGIN_DECLS

#define AFORK_TYPE_GJS_SERVER (_afork_gjs_server_get_type ())

G_DECLARE_FINAL_TYPE (AForkGjsServer, _afork_gjs_server, AFORK, GJS_SERVER, AForkServer)

/* Makes the server of this process. With IS_LATE, the JavaScript context is not made now, but in
 * each worker when it is run, and commands are recorded until then. If the script of the server
 * cannot be loaded, all commands fail. */
AForkServer *_afork_gjs_server_new (gboolean is_late);

G_END_DECLS
