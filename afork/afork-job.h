/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include <afork/afork-enums.h>
#include <afork/afork-types.h>
#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

#define AFORK_TYPE_JOB (afork_job_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkJob, afork_job, AFORK, JOB, GObject)

AFORK_AVAILABLE_IN_ALL
AForkJob      *afork_job_new              (GVariant     *args) G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
GVariant      *afork_job_get_args         (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
GUnixFDList   *afork_job_get_fds          (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_set_fds          (AForkJob     *self,
                                           GUnixFDList  *fds);
AFORK_AVAILABLE_IN_ALL
guint          afork_job_add_blob         (AForkJob     *self,
                                           GBytes       *blob);
AFORK_AVAILABLE_IN_ALL
guint          afork_job_get_timeout      (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_set_timeout      (AForkJob     *self,
                                           guint         timeout);
AFORK_AVAILABLE_IN_ALL
int            afork_job_get_priority     (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_set_priority     (AForkJob     *self,
                                           int           priority);
AFORK_AVAILABLE_IN_ALL
const char    *afork_job_get_key          (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_set_key          (AForkJob     *self,
                                           const char   *key);
AFORK_AVAILABLE_IN_ALL
guint          afork_job_get_retries      (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_set_retries      (AForkJob     *self,
                                           guint         retries);
AFORK_AVAILABLE_IN_ALL
gboolean       afork_job_get_coalesce     (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_set_coalesce     (AForkJob     *self,
                                           gboolean      coalesce);
AFORK_AVAILABLE_IN_ALL
AForkJobState  afork_job_get_state        (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
gboolean       afork_job_get_begun        (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
GUnixFDList   *afork_job_get_result_fds   (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
GBytes       **afork_job_get_result_blobs (AForkJob     *self,
                                           gsize        *n_blobs);
AFORK_AVAILABLE_IN_ALL
GVariant      *afork_job_get_result       (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
const GError  *afork_job_get_error        (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
guint          afork_job_get_index        (AForkJob     *self);
AFORK_AVAILABLE_IN_ALL
void           afork_job_cancel           (AForkJob     *self);

G_END_DECLS
