/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Places in programs and shared objects, named so that another process finds them. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A build ID, which the linker makes of all that it links: equal ones, equal objects. */
enum { AFORK_OBJECT_ID_SIZE = 2 * 32 + 1 };

/* Says which object has the function at ADDRESS: its build ID, in hexadecimal; and how far from the
 * object's beginning that is. False if there is none, or one without a build ID. */
bool  afork_object_describe (const void *address,
                             char        id[AFORK_OBJECT_ID_SIZE],
                             uint64_t   *offset);

/* The other way round, in whatever process. NULL if no object of that ID is loaded, or if it has no
 * code there. */
void *afork_object_find     (const char *id,
                             uint64_t    offset);
