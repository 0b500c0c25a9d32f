/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "launcher.h"

G_BEGIN_DECLS

/* Executes any command. Its command socket is its standard input and output. */
extern const AForkLauncher _afork_launcher_command;

G_END_DECLS
