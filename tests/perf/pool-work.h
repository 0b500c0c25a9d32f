/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the jobs of the pool benchmark do, in a worker or in a thread. */

#pragma once

#include "case.h"

/* The name of a benchmark picture, made by make-pictures, and that of its thumbnail. */
#define POOL_PICTURE   "%s/pictures/%05d"
#define POOL_THUMBNAIL "%s/thumbnails/%05d.png"
/* How many pixels a side it has at most. */
#define POOL_PIXELS    256

/* Computes for one millisecond of the thread's own processor time. */
void  pool_spin             (void);

/* Returns how many processors this program may use. */
int   pool_count_processors (void);

/* Prints `efficiency-percent`: which part of ELAPSED the jobs of OPTIONS take if they are divided
 * evenly between the workers, or between the processors if these are fewer. */
void  pool_print_efficiency (const CaseOptions *options,
                             int64_t            elapsed);
