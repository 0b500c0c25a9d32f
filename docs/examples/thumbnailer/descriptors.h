/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* How many descriptors there may be at a time, which the system limits for each process. */

/* What is wanted, and then what there is room for. */
typedef struct
{
  guint n_workers;
  guint n_pictures;     /* that are open at a time */
  guint n_shown;        /* thumbnails on one contact sheet, or 0 if no sheet is wanted */
} DescriptorPlan;

/* Raises the limit of this program as far as SELF needs it and the system allows it, and lowers
 * the numbers of SELF to what fits. Each stays at least 1, unless it was 0. N_FILES is how many
 * descriptors a picture needs. */
void     descriptor_plan_fit  (DescriptorPlan *self,
                               guint           n_files);

/* Whether a call has failed with this errno because this process, or the system, has too many open
 * files. This passes when some are closed. */
gboolean descriptors_are_used_up (int error_number);

/* Returns the code of a GIOError for an errno: also for the limit of the system. */
int      descriptors_error_code  (int error_number);
