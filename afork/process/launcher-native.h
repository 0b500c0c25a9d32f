/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "launcher.h"

G_BEGIN_DECLS

/* Executes a server program, which finds its command socket at descriptor 3. If the runtime allows
 * it, forks the early template of the program instead. */
extern const AForkLauncher _afork_launcher_native;

/* Returns the early template for the thread-default main context, or NULL. */
typedef AForkClient *(*AForkEarlyFunc) (void);

/* Sets the function that finds the early template. */
void _afork_launcher_native_set_early_func (AForkEarlyFunc get_early);

G_END_DECLS
