/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

/* Has g_print() remember why it could not write. Also opens standard descriptors that were closed
 * when the program started, so that no other file gets their numbers: writing still fails. */
void standard_output_prepare   (void);

/* Returns the errno of the first g_print() that failed, or 0. Nothing is printed after it. */
int  standard_output_get_error (void);

/* Returns STATUS, or an exit status of failure if not all could be printed. The cause is then
 * printed to standard error. That no process reads the output is no error. */
int  standard_output_check     (int status);
