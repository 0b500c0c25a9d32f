/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "launcher.h"

G_BEGIN_DECLS

/* Executes the interpreter of a language with the server that is written in the language. It finds
 * its command socket at descriptor 3. */
extern const AForkLauncher _afork_launcher_language;

G_END_DECLS
