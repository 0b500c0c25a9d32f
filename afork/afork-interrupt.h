/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <glib.h>

#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

/**
 * AForkInterruptFunc:
 * @user_data: the data that [func@AFork.bindings_set_interrupt_func] was given
 *
 * A function that a language has called while a blocking call waits.
 *
 * Since: 0.1
 */
typedef void (*AForkInterruptFunc) (gpointer user_data);

AFORK_AVAILABLE_IN_ALL
void afork_bindings_set_interrupt_func (int                 fd,
                                        AForkInterruptFunc  func,
                                        gpointer            user_data,
                                        GDestroyNotify      destroy);

G_END_DECLS
